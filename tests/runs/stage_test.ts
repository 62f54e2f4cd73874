import assert from "node:assert/strict";
import { join } from "node:path";
import type { HostTensor } from "../../lib/io/safetensors.ts";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { checkLearntFrom, RunInterruptedError, runStage, type Stage } from "../../lib/runs/stage.ts";
import { type Divergence, type StageHistory, watchBatches } from "../../lib/runs/stage_history.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { stoppingProgress } from "../support/tiny_run.ts";

/** A stage whose state is one number; each step's outcome depends on all before it and on the step's number. */
function chain(options: Partial<Stage> = {}) {
  let value = 1;
  const taken: number[] = [];
  const stage: Stage = {
    name: "chain",
    steps: 7,
    fingerprint: "data-a",
    save: () => Promise.resolve({ "state.safetensors": new Map([["value", float64(value)]]) }),
    load: async (checkpoint) => {
      const { data } = (await checkpoint.tensors("state.safetensors")).get("value")!;
      value = new Float64Array(data.slice().buffer)[0];
    },
    step: (step) => {
      taken.push(step);
      value = value * 1.1 + Math.sin(step);
      return Promise.resolve({ value });
    },
    show: ({ value }) => ({ value: value as number }),
    ...options,
  };
  return { stage, taken, set: (next: number) => value = next };
}

function float64(value: number): HostTensor {
  return { dtype: "F64", shape: [1], data: new Uint8Array(Float64Array.of(value).buffer) };
}

interface Run {
  path: string;
  /** Runs a stage as a new process would, and says what it did. */
  go(part: ReturnType<typeof chain>, stopAt?: number): Promise<{ error?: Error; notes: string[]; taken: number[] }>;
  values(stage?: string): Promise<unknown[]>;
}

async function withRun(use: (run: Run) => Promise<void>, checkpointEvery = 2): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "run");
    (await RunFolder.create(path, { config: {} })).close();
    await use({
      path,
      async go(part, stopAt) {
        const { progress, signal, notes } = stoppingProgress(
          stopAt === undefined ? undefined : { stage: part.stage.name, step: stopAt },
        );
        using run = await RunFolder.open(path, { config: {} });
        try {
          await runStage({ run, progress, signal, checkpointEvery }, part.stage);
          return { notes, taken: part.taken };
        } catch (error) {
          return { error: error as Error, notes, taken: part.taken };
        }
      },
      async values(stage = "chain") {
        using run = await RunFolder.read(path);
        return (await run.metrics.read()).filter((line) => line.stage === stage).map((
          { step, value },
        ) => [step, value]);
      },
    });
  });
}

async function newest(path: string) {
  using run = await RunFolder.read(path);
  return (await run.checkpoints("chain").newest())!.folder;
}

Deno.test("runStage: stopped twice and resumed, it logs what an undisturbed stage logs", async () => {
  let whole: unknown[] = [];
  await withRun(async (run) => {
    assert.equal((await run.go(chain())).error, undefined);
    whole = await run.values();
    assert.equal(whole.length, 7);
  });
  await withRun(async (run) => {
    for (const [stopAt, steps] of [[3, [0, 1, 2]], [4, [3]]] as const) {
      const { error, taken } = await run.go(chain(), stopAt);
      assert.ok(error instanceof RunInterruptedError);
      assert.equal(error.message, `stopped after step ${stopAt} of 7 of chain; saved`);
      assert.deepEqual(taken, steps);
    }
    const { error, taken, notes } = await run.go(chain());
    assert.equal(error, undefined);
    assert.deepEqual(taken, [4, 5, 6]);
    assert.deepEqual(notes, ["chain: resumed after step 4"]);
    assert.deepEqual(await run.values(), whole);
  });
});

Deno.test("runStage: a stage that was finished is not run again; with more steps it goes on", async () => {
  await withRun(async (run) => {
    await run.go(chain());
    assert.deepEqual((await run.go(chain())).taken, []);
    assert.deepEqual((await run.go(chain({ steps: 9 }))).taken, [7, 8]);
  });
});

Deno.test("runStage: what was being written when a process was killed at its last save goes at the next start", async () => {
  await withRun(async (run) => {
    const process = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
    await process.status;
    await run.go(chain());
    const folder = join(run.path, "checkpoints");
    const leftovers = [`.saved.json.${process.pid}-1.partial`, `chain/.best.json.${process.pid}-2.partial`];
    for (const name of leftovers) await Deno.writeTextFile(join(folder, name), "{");
    assert.deepEqual((await run.go(chain())).taken, []);
    for (const name of leftovers) await assert.rejects(Deno.stat(join(folder, name)), Deno.errors.NotFound, name);
  });
});

Deno.test("runStage: killed between two checkpoints, the lines after the last one are written anew, once", async () => {
  let whole: unknown[] = [];
  await withRun(async (run) => {
    await run.go(chain());
    whole = await run.values();
  });
  await withRun(async (run) => {
    // Fails in step 5 as a killed process does: steps 4 and the log line of it are beyond the checkpoint of step 4.
    const failing = chain();
    const { step } = failing.stage;
    failing.stage.step = (n) => n === 5 ? Promise.reject(new Error("killed")) : step(n);
    assert.equal((await run.go(failing)).error?.message, "killed");
    assert.equal((await run.values()).length, 5);
    assert.deepEqual((await run.go(chain())).taken, [4, 5, 6]);
    assert.deepEqual(await run.values(), whole);
  });
});

Deno.test("runStage: a damaged newest checkpoint is walked back from, and said", async () => {
  let whole: unknown[] = [];
  await withRun(async (run) => {
    await run.go(chain());
    whole = await run.values();
    const folder = await newest(run.path);
    const file = join(folder, "state.safetensors");
    const bytes = await Deno.readFile(file);
    bytes[bytes.length - 1] ^= 1;
    await Deno.writeFile(file, bytes);
    const { taken, notes, error } = await run.go(chain());
    assert.equal(error, undefined);
    assert.deepEqual(taken, [6], "the checkpoint before is of step 6");
    assert.equal(notes[0], `skipped the checkpoint ${folder}: state.safetensors does not match its SHA-256`);
    assert.deepEqual(await run.values(), whole);
  });
});

Deno.test("runStage: a newest checkpoint whose folder was removed is missed, and said; so are all of them", async () => {
  await withRun(async (run) => {
    await run.go(chain());
    const whole = await run.values(), folder = join(run.path, "checkpoints/chain");
    await Deno.remove(await newest(run.path), { recursive: true });
    const { taken, notes } = await run.go(chain());
    assert.deepEqual(taken, [6]);
    assert.deepEqual(notes, [
      `chain: the checkpoint of step 7, its newest, is not in ${folder} any more`,
      "chain: resumed after step 6",
    ]);
    assert.deepEqual(await run.values(), whole);
    assert.deepEqual((await run.go(chain())).notes, []);
    await Deno.remove(folder, { recursive: true });
    const again = await run.go(chain());
    assert.deepEqual(again.taken, [0, 1, 2, 3, 4, 5, 6]);
    assert.match(again.notes[0], /^chain: the checkpoint of step 7, its newest, is not in /);
    assert.deepEqual(await run.values(), whole);
  });
});

for (const file of ["stage.json", "state.safetensors"]) {
  Deno.test(`runStage: a sound manifest that lacks ${file} is walked back from, and said`, async () => {
    await withRun(async (run) => {
      await run.go(chain());
      const whole = await run.values(), folder = await newest(run.path), path = join(folder, "manifest.json");
      const manifest = JSON.parse(await Deno.readTextFile(path));
      delete manifest.files[file];
      await Deno.writeTextFile(path, JSON.stringify(manifest, null, 2) + "\n");
      await Deno.remove(join(folder, file));
      const { taken, notes, error } = await run.go(chain());
      assert.equal(error, undefined);
      assert.deepEqual(taken, [6], "the checkpoint before is of step 6");
      assert.equal(notes[0], `skipped the checkpoint ${folder}: manifest.json lacks ${file}`);
      assert.deepEqual(await run.values(), whole);
      assert.deepEqual((await run.go(chain())).taken, []);
    });
  });
}

Deno.test("runStage: a folder that is removed, renamed or taken over during the run ends it, and stays as it is", async () => {
  const deeds: [name: string, deed: (path: string) => Promise<void>, said: RegExp][] = [
    ["removed", (path) => Deno.remove(path, { recursive: true }), /^the folder .* is not there any more: it was/],
    ["renamed", (path) => Deno.rename(path, `${path}-2`), /removed or renamed, .*--resume --out NEW-NAME\)$/],
    ["without its lock", (path) => Deno.remove(join(path, ".lock")), /\.lock was removed or replaced, so that others/],
    [
      "with another's lock",
      async (path) => {
        await Deno.remove(join(path, ".lock"));
        await Deno.writeTextFile(join(path, ".lock"), "");
      },
      /\.lock was removed or replaced/,
    ],
  ];
  for (const [name, deed, said] of deeds) {
    await withRun(async (run) => {
      const part = chain();
      const { step } = part.stage;
      part.stage.step = async (n) => {
        if (n === 3) await deed(run.path);
        return await step(n);
      };
      const { error } = await run.go(part);
      await rejectsUserError(() => Promise.reject(error), said);
      assert.deepEqual(part.taken, [0, 1, 2, 3], name);
      const place = name === "renamed" ? `${run.path}-2` : run.path;
      const isThere = await Deno.stat(run.path).then(() => true, () => false);
      assert.equal(isThere, place === run.path && name !== "removed", name);
      if (name !== "removed") assert.ok((await newest(place)).endsWith("step-00000002"), name);
    });
  }
});

Deno.test("runStage: other data are refused, and nothing is lost", async () => {
  await withRun(async (run) => {
    await run.go(chain());
    const before = await Deno.readTextFile(join(run.path, "metrics.jsonl"));
    const other = chain({ fingerprint: "data-b", steps: 9 });
    await rejectsUserError(
      async () => {
        throw (await run.go(other)).error;
      },
      await newest(run.path),
      "was trained on other data (fingerprint data-a, now data-b)",
      "--out",
    );
    assert.deepEqual(other.taken, []);
    assert.equal(await Deno.readTextFile(join(run.path, "metrics.jsonl")), before);
  });
});

Deno.test("runStage: a run whose fingerprint an earlier version made goes on, says so once, and has a new one", async () => {
  await withRun(async (run) => {
    await run.go(chain(), 4);
    const { notes, taken } = await run.go(chain({ fingerprint: "2:data" }), 6);
    assert.deepEqual(taken, [4, 5]);
    assert.match(notes[0], /^chain: begun with another version, .* whether they are the same is not known$/);
    assert.deepEqual((await run.go(chain({ fingerprint: "2:data" }))).notes, ["chain: resumed after step 6"]);
    await rejectsUserError(
      async () => {
        throw (await run.go(chain({ fingerprint: "2:other", steps: 9 }))).error;
      },
      "(fingerprint 2:data, now 2:other)",
      "data are compared by content: all rows, or 256 KiB of each of 1000 episodes",
    );
  });
});

Deno.test("runStage: other models at the same place are refused; a run of an earlier version goes on and has theirs", async () => {
  const of = (model?: string, steps = 7) =>
    chain({ steps, ...model === undefined ? {} : { models: { "tokenizer.folder": "1:same", "model.folder": model } } });
  await withRun(async (run) => {
    // Without the field, as earlier versions saved it.
    assert.ok((await run.go(of(), 3)).error instanceof RunInterruptedError);
    assert.deepEqual((await run.go(of("1:one"), 5)).taken, [3, 4]);
    assert.deepEqual((await run.go(of("1:one"))).notes, ["chain: resumed after step 5"]);
    const other = of("1:two", 9);
    await rejectsUserError(
      async () => {
        throw (await run.go(other)).error;
      },
      await newest(run.path),
      "was trained with other files of model.folder (fingerprint 1:one, now 1:two)",
      "--out",
    );
    assert.deepEqual(other.taken, []);
    assert.deepEqual((await run.go(of("2:made in another way", 8))).taken, [7]);
  });
});

Deno.test("checkLearntFrom: stages that are not run are compared as well; a damaged checkpoint says nothing", async () => {
  await withRun(async (run) => {
    await run.go(chain({ fingerprint: "2:a" }), 3);
    const check = async (fingerprint: string) => {
      const { progress, notes } = stoppingProgress();
      using opened = await RunFolder.read(run.path);
      await checkLearntFrom({ run: opened, progress }, ["chain", "none"], { fingerprint });
      return notes;
    };
    assert.deepEqual(await check("2:a"), []);
    await rejectsUserError(
      () => check("2:b"),
      await newest(run.path),
      "was trained on other data (fingerprint 2:a, now 2:b)",
    );
    assert.match(
      (await check("3:a"))[0],
      /^chain: begun with another version, .* whether they are the same is not known$/,
    );
    await Deno.writeTextFile(join(await newest(run.path), "stage.json"), "{");
    assert.deepEqual(await check("2:b"), []);
  });
});

Deno.test("runStage: numbers that are not finite never become a checkpoint", async () => {
  await withRun(async (run) => {
    const part = chain();
    const { step } = part.stage;
    part.stage.step = async (n) => {
      const metrics = await step(n);
      if (n === 5) part.set(NaN);
      return metrics;
    };
    const { error } = await run.go(part);
    assert.ok(error instanceof TrainingDivergedError);
    assert.match(
      error.message,
      /^a number of value is NaN at step 5: training stopped and the last checkpoint was kept/,
    );
    assert.ok((await newest(run.path)).endsWith("step-00000004"));
    assert.deepEqual((await run.go(chain())).taken, [4, 5, 6]);
  });
});

/** A stage that logs what a function says of each step. */
function scripted(reward: (step: number) => number, options: Partial<Stage> = {}) {
  const part = chain({ watched: watchBatches("reward", "higher"), ...options });
  const { step } = part.stage;
  part.stage.step = async (n) => ({ ...await step(n), reward: reward(n) });
  return part;
}

const checkpoints = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(join(path, "checkpoints", "chain")))).map((each) => each.name).sort();
const marked = async (path: string) => JSON.parse(await Deno.readTextFile(join(path, "checkpoints/chain/best.json")));

Deno.test("runStage: the best checkpoint is kept beside the newest ones, across resumes, and can be gone on from", async () => {
  await withRun(async (run) => {
    // It rises until step 40 and then falls; a checkpoint's value is the mean of the 20 steps before the next one.
    const reward = (step: number) => step < 40 ? step : 40 - 2 * (step - 40);
    const options = { steps: 90 };
    assert.ok((await run.go(scripted(reward, options), 55)).error instanceof RunInterruptedError);
    assert.deepEqual(await marked(run.path), { step: 40, metric: "reward", value: 32.75 });
    assert.equal((await run.go(scripted(reward, options))).error, undefined);
    assert.deepEqual(await checkpoints(run.path), ["best.json", "step-00000040", "step-00000080", "step-00000090"]);
    const whole = await run.values();

    // Newer ones renamed, the run goes on from the best, as it had gone on from it.
    for (const name of ["step-00000080", "step-00000090"]) {
      await Deno.rename(join(run.path, "checkpoints/chain", name), join(run.path, "checkpoints/chain", `old-${name}`));
    }
    const { taken, error } = await run.go(scripted(reward, options));
    assert.equal(error, undefined);
    assert.equal(taken[0], 40);
    assert.deepEqual(await run.values(), whole);
    assert.equal((await marked(run.path)).step, 40);
  }, 10);
});

/** Changes a byte of a checkpoint's numbers, or cuts it off. */
async function damage(path: string, step: number, isCut = false): Promise<void> {
  const file = join(path, `checkpoints/chain/step-${String(step).padStart(8, "0")}/state.safetensors`);
  const bytes = await Deno.readFile(file);
  bytes[bytes.length - 1] ^= 1;
  await Deno.writeFile(file, isCut ? bytes.subarray(1) : bytes);
}

Deno.test("runStage: a damaged best checkpoint is named and not kept; the best of those that are left takes its place", async () => {
  const reward = (step: number) => step < 40 ? step : 40 - 2 * (step - 40);
  const mean20 = (end: number) =>
    Array.from({ length: 20 }, (_, i) => reward(end - 1 - i)).reduce((a, b) => a + b) / 20;
  const options = { steps: 90 };
  for (
    const { damaged, instead, best } of [
      { damaged: [40], instead: "step 50 is the best of those that are left", best: { step: 50, value: mean20(55) } },
      { damaged: [40, 50], instead: "no other is known to be good", best: { step: 55, value: mean20(60) } },
    ]
  ) {
    await withRun(async (run) => {
      assert.ok((await run.go(scripted(reward, options), 55)).error instanceof RunInterruptedError);
      assert.equal((await marked(run.path)).step, 40);
      for (const step of damaged) await damage(run.path, step);
      const { error, notes } = await run.go(scripted(reward, options));
      assert.equal(error, undefined);
      assert.deepEqual(notes, [
        "chain: resumed after step 55",
        `chain: the best checkpoint, of step 40, is lost (state.safetensors does not match its SHA-256): ${instead}`,
      ]);
      assert.deepEqual(await marked(run.path), { step: best.step, metric: "reward", value: best.value });
      assert.deepEqual(await checkpoints(run.path), [
        "best.json",
        `step-000000${best.step}`,
        "step-00000080",
        "step-00000090",
      ]);
    }, 10);
  }
});

Deno.test("runStage: a best checkpoint that is damaged while the stage runs is not kept, nor named when it diverges", async () => {
  const reward = (step: number) => step < 40 ? step : 40 - 2 * (step - 40);
  const at = (stopped: number, act: () => Promise<void>, divergence?: Stage["divergence"]) => {
    const part = scripted(reward, { steps: 90, divergence });
    const { step } = part.stage;
    part.stage.step = async (n) => {
      if (n === stopped) await act();
      return await step(n);
    };
    return part;
  };
  await withRun(async (run) => {
    const { notes } = await run.go(at(72, () => damage(run.path, 40, true)));
    assert.deepEqual(notes, [
      "chain: the best checkpoint, of step 40, is lost (state.safetensors has 79 bytes instead of 80): " +
      "step 60 is the best of those that are left",
    ]);
    assert.deepEqual(await checkpoints(run.path), ["best.json", "step-00000060", "step-00000080", "step-00000090"]);
    assert.equal((await marked(run.path)).step, 60);
  }, 10);
  await withRun(async (run) => {
    const rule = (history: StageHistory) =>
      history.last.at(-1)!.step === 74 ? { what: "the reward", value: -1, since: 74 } : undefined;
    const { error, notes } = await run.go(at(74, () => damage(run.path, 40), rule));
    assert.ok(error instanceof TrainingDivergedError);
    assert.match(notes.at(-2)!, /the best checkpoint, of step 40, is lost/);
    assert.match(notes.at(-1)!, /^best checkpoint: step 60 of chain, reward/);
  }, 10);
});

Deno.test("runStage: a best checkpoint by numbers measured after steps is found again in the log", async () => {
  await withRun(async (run) => {
    const watched = { ...watchBatches("reward", "higher"), heldOut: true };
    const part = () => scripted((step) => -step, { steps: 14, watched });
    assert.ok((await run.go(part(), 10)).error instanceof RunInterruptedError);
    assert.equal((await marked(run.path)).step, 2);
    await damage(run.path, 2);
    await run.go(part());
    assert.deepEqual(await marked(run.path), { step: 8, metric: "reward", value: -7 });
  });
});

Deno.test("runStage: no checkpoint is the best before there are steps enough to tell, nor by a number of another name", async () => {
  await withRun(async (run) => {
    await run.go(scripted((step) => step < 10 ? 100 : 1, { steps: 19 }));
    assert.ok(!(await checkpoints(run.path)).includes("best.json"));
    await run.go(scripted(() => 1, { steps: 30 }));
    assert.equal((await marked(run.path)).step, 19);
    await run.go(scripted(() => 0.5, { steps: 60, watched: watchBatches("value", "lower") }));
    assert.equal((await marked(run.path)).metric, "value");
  }, 10);
});

Deno.test("runStage: where less is better, the best checkpoint is the one with least", async () => {
  await withRun(async (run) => {
    await run.go(scripted((step) => Math.abs(step - 40), { steps: 90, watched: watchBatches("reward", "lower") }));
    assert.equal((await marked(run.path)).step, 40);
  }, 10);
});

Deno.test("runStage: a metric that is measured after a step is of the checkpoint that follows, and of no other", async () => {
  await withRun(async (run) => {
    const watched = { ...watchBatches("heldOut", "higher"), heldOut: true };
    // Measured after every third step: of the checkpoints 6 and 12.
    const part = chain({ steps: 14, watched });
    const { step } = part.stage;
    part.stage.step = async (n) => ({ ...await step(n), ...(n + 1) % 3 === 0 ? { heldOut: n === 8 ? 9 : 1 / n } : {} });
    await run.go(part);
    assert.deepEqual(await marked(run.path), { step: 6, metric: "heldOut", value: 1 / 5 });
    assert.deepEqual(await checkpoints(run.path), ["best.json", "step-00000006", "step-00000012", "step-00000014"]);
  });
});

Deno.test("runStage: what its log shows ends it; checkpoints since then are set aside, and it resumes before them", async () => {
  const rule = (history: StageHistory): Divergence | undefined => {
    const found = history.inARow("reward", 5, (value) => value < 0);
    return found && { what: "the reward", ...found };
  };
  await withRun(async (run) => {
    const broken = scripted((step) => step < 33 ? step : -1, { steps: 60, divergence: rule });
    const { error, notes } = await run.go(broken);
    assert.ok(error instanceof TrainingDivergedError);
    assert.match(error.message, /^the reward is -1 at step 37: training stopped and the last checkpoint was kept/);
    assert.deepEqual(await checkpoints(run.path), [
      "best.json",
      "diverged-step-00000034",
      "diverged-step-00000036",
      "step-00000032",
    ]);
    assert.deepEqual(notes.slice(-2), [
      `no longer resumed from: diverged-step-00000034, diverged-step-00000036 of ${
        join(run.path, "checkpoints/chain")
      }`,
      "best checkpoint: step 32 of chain, reward 21.8",
    ]);
    const mended = await run.go(scripted((step) => step, { steps: 60, divergence: rule }));
    assert.equal(mended.error, undefined);
    assert.equal(mended.taken[0], 32);
  });
});

Deno.test("runStage: a rule sees the steps before a resume", async () => {
  const rule = (history: StageHistory): Divergence | undefined =>
    history.last.at(-1)!.reward as number < (history.first[0].reward as number)
      ? { what: "the reward", value: 0, since: history.last.at(-1)!.step }
      : undefined;
  await withRun(async (run) => {
    const part = () => scripted((step) => step < 5 ? 1 : 0.5, { divergence: rule });
    assert.ok((await run.go(part(), 4)).error instanceof RunInterruptedError);
    const { error } = await run.go(part());
    assert.ok(error instanceof TrainingDivergedError && error.step === 5);
  });
});

Deno.test("runStage: a step that cannot be trained on takes the checkpoint that it began with out of the way", async () => {
  await withRun(async (run) => {
    const part = chain();
    const { step } = part.stage;
    part.stage.step = (n) => n === 4 ? Promise.reject(new TrainingDivergedError("the loss", 4, NaN)) : step(n);
    await run.go(part);
    assert.deepEqual(await checkpoints(run.path), ["diverged-step-00000004", "step-00000002"]);
    assert.deepEqual((await run.go(chain())).taken, [2, 3, 4, 5, 6]);
  });
});

Deno.test("runStage: stages of one run leave each other's lines alone", async () => {
  await withRun(async (run) => {
    await run.go(chain({ name: "first", steps: 3 }));
    const first = await run.values("first");
    await run.go(chain({ name: "second" }), 1);
    await run.go(chain({ name: "second" }));
    assert.equal(first.length, 3);
    assert.deepEqual(await run.values("first"), first);
    assert.equal((await run.values("second")).length, 7);
  });
});
