import assert from "node:assert/strict";
import { join } from "node:path";
import { configDifferences, RunFolder } from "../../lib/runs/run_folder.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

const CONFIG = {
  preset: "demo",
  steps: 100,
  engine: "torch",
  rl: { groupSize: 8, learningRate: 1e-5, rewards: ["mae"] },
};

Deno.test("run folder: create writes configuration and environment", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "runs", "a");
    using run = await RunFolder.create(path, { config: CONFIG, environment: { engine: "torch 2.13.0" } });
    assert.equal(run.path, path);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(join(path, "config.json"))), CONFIG);
    const environment = (await run.readEnvironment())!;
    assert.equal(environment.deno, Deno.version.deno);
    assert.equal(environment.engine, "torch 2.13.0");
    assert.ok((environment.cpuCores as number) >= 1 && (environment.memoryBytes as number) > 2 ** 20);
    assert.ok(Math.abs(Date.parse(environment.date as string) - Date.now()) < 60_000);
    assert.ok(environment.commit === null || /^[0-9a-f]{40}(-dirty)?$/.test(environment.commit as string));
    assert.deepEqual((await Array.fromAsync(Deno.readDir(path))).map((e) => e.name).sort(), [
      ".lock",
      "config.json",
      "environment.json",
    ]);
  });
});

Deno.test("run folder: nothing is overwritten: each file of a run keeps another from starting there", async () => {
  await withFolder(async (folder) => {
    for (const name of ["config.json", "metrics.jsonl", "samples.jsonl", "result.json", "report.html", "checkpoints"]) {
      const path = join(folder, name.replace(".", "_"));
      await Deno.mkdir(path);
      await Deno.writeTextFile(join(path, name), "precious");
      await rejectsUserError(() => RunFolder.create(path, { config: CONFIG }), path, `(${name})`, "--resume", "--out");
      assert.equal(await Deno.readTextFile(join(path, name)), "precious");
      assert.deepEqual((await Array.fromAsync(Deno.readDir(path))).length, 1);
    }
  });
});

Deno.test("run folder: an empty folder, or one with notes, can take a run; a file cannot", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "notes.txt"), "x");
    (await RunFolder.create(folder, { config: CONFIG })).close();
    await rejectsUserError(
      () => RunFolder.create(join(folder, "notes.txt"), { config: CONFIG }),
      "cannot make the run folder",
    );
  });
});

Deno.test("run folder: resuming with the same configuration adds to the environment", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    (await RunFolder.create(path, { config: CONFIG, environment: { device: "cpu" } })).close();
    const before = await Deno.readTextFile(join(path, "config.json"));
    (await RunFolder.open(path, { config: structuredClone(CONFIG), environment: { device: "cpu" } })).close();
    const config = { ...CONFIG, steps: 200 };
    using run = await RunFolder.open(path, { config, environment: { device: "cuda" } });
    assert.equal(await Deno.readTextFile(join(path, "config.json")), before);
    assert.equal(run.config.steps, 100);
    const environment = (await run.readEnvironment())!;
    assert.equal(environment.device, "cpu");
    const resumed = environment.resumed as Record<string, unknown>[];
    assert.deepEqual(resumed.map(({ device, changed }) => [device, changed]), [["cpu", {}], ["cuda", { steps: 200 }]]);
  });
});

Deno.test("run folder: resuming with another configuration lists every field and changes nothing", async () => {
  await withFolder(async (folder) => {
    (await RunFolder.create(folder, { config: CONFIG })).close();
    const read = () => Promise.all(["config.json", "environment.json"].map((n) => Deno.readTextFile(join(folder, n))));
    const before = await read();
    const config = { preset: "demo", steps: 5, engine: "tfjs", extra: true, rl: { groupSize: 16, rewards: ["mse"] } };
    await rejectsUserError(
      () => RunFolder.open(folder, { config }),
      folder,
      "rl.groupSize was 8, now 16",
      "rl.learningRate was 0.00001, now absent",
      'rl.rewards was ["mae"], now ["mse"]',
      "extra was absent, now true",
    );
    await rejectsUserError(() => RunFolder.open(folder, { config, mayChange: [] }), "steps was 100, now 5");
    assert.deepEqual(await read(), before);
    (await RunFolder.open(folder, { config, mayChange: ["steps", "engine", "extra", "rl"] })).close();
    await rejectsUserError(
      () => RunFolder.open(folder, { config, mayChange: ["steps", "engine", "extra", "r"] }),
      "rl.",
    );
  });
});

Deno.test("run folder: opening what is none, or is damaged", async () => {
  await withFolder(async (folder) => {
    await rejectsUserError(
      () => RunFolder.open(join(folder, "nope"), { config: CONFIG }),
      "nope holds no run",
      "--resume",
    );
    await rejectsUserError(() => RunFolder.read(folder), "holds no run (it has no config.json)");
    for (const text of ["", "{", "[]", "null"]) {
      await Deno.writeTextFile(join(folder, "config.json"), text);
      await rejectsUserError(() => RunFolder.read(folder), "config.json is damaged");
    }
  });
});

Deno.test("run folder: killed between its first two files, it can be resumed", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(CONFIG));
    using run = await RunFolder.open(folder, { config: CONFIG });
    assert.equal(((await run.readEnvironment())!.resumed as unknown[]).length, 1);
  });
});

Deno.test("run folder: another process cannot write to it at the same time; a killed one leaves no lock", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    const script = join(folder, "hold.ts");
    const module = new URL("../../lib/runs/run_folder.ts", import.meta.url).href;
    await Deno.writeTextFile(
      script,
      `import { RunFolder } from ${JSON.stringify(module)};
       await RunFolder.create(${JSON.stringify(path)}, { config: {} });
       console.log("ready");
       await new Promise((resolve) => setTimeout(resolve, 60_000));`,
    );
    const args = ["run", "--no-check", "--no-lock", "-A", script];
    const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "null" }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    const before = await Deno.readTextFile(join(path, "environment.json"));
    await rejectsUserError(() => RunFolder.open(path, { config: {} }), "a is in use by another process");
    assert.equal(await Deno.readTextFile(join(path, "environment.json")), before);
    (await RunFolder.read(path)).close();
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    using first = await RunFolder.open(path, { config: {} });
    using second = await RunFolder.open(path, { config: {} });
    assert.equal(first.path, second.path);
  });
});

Deno.test("run folder: where the lock was removed and another holds a new one, nothing more is written", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    using first = await RunFolder.create(path, { config: CONFIG });
    await first.writeResult({ by: "first" });
    await Deno.remove(join(path, ".lock"));
    using second = await RunFolder.open(path, { config: CONFIG });
    await second.writeResult({ by: "second" });
    await rejectsUserError(
      () => first.writeResult({ by: "first" }),
      join(path, ".lock"),
      "others may write to this folder",
    );
    await rejectsUserError(() => first.file("models"), "others may write");
    await rejectsUserError(() => first.checkpoints("rl"), "others may write");
    assert.deepEqual(await second.readResult(), { by: "second" });
    second.close();
    await Deno.rename(path, join(folder, "b"));
    await rejectsUserError(() => first.writeResult({}), `the folder ${path} is not there any more`);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name), ["b"]);
  });
});

Deno.test("run folder: logs, checkpoints by stage, and the result", async () => {
  await withFolder(async (folder) => {
    using run = await RunFolder.create(join(folder, "a"), { config: CONFIG });
    run.metrics.append({ stage: "rl", step: 1, reward: 0.5 });
    run.samples.append({ stage: "rl", step: 1, text: "x" });
    await run.checkpoints("rl").save(1, { "state.json": { x: 1 } });
    await run.checkpoints("tokenizer", { keep: 1 }).save(9, { "state.json": { x: 9 } });
    assert.equal(await run.readResult(), undefined);
    await run.writeResult({ task: "train-video", metrics: {}, peak: Infinity });

    using again = await RunFolder.read(run.path);
    assert.deepEqual(await again.metrics.read(), [{ stage: "rl", step: 1, reward: 0.5 }]);
    assert.deepEqual(await again.samples.read(), [{ stage: "rl", step: 1, text: "x" }]);
    assert.equal((await again.checkpoints("rl").newest())!.step, 1);
    assert.equal((await again.checkpoints("tokenizer").newest())!.step, 9);
    assert.deepEqual(await again.readResult(), { task: "train-video", metrics: {}, peak: "Infinity" });
    for (const stage of ["", "..", "a/b"]) assert.throws(() => run.checkpoints(stage), /a stage cannot be named/);
  });
});

Deno.test("configDifferences: nothing, nested, added, removed, null and dangerous names", () => {
  assert.deepEqual(configDifferences({ a: { b: [1, { c: 2 }] } }, { a: { b: [1, { c: 2 }] } }), []);
  assert.deepEqual(configDifferences({ a: null }, { a: {} }), [{ field: "a", stored: null, requested: {} }]);
  assert.deepEqual(configDifferences({}, { constructor: 1 }), [{
    field: "constructor",
    stored: undefined,
    requested: 1,
  }]);
});

Deno.test("run folder: a run of version 0.1 opens, its loss said as it is now", async () => {
  const cases = [
    [{ ratio: "token", dualClip: null }, { loss: "clip", dualClip: 3 }],
    [{ ratio: "token", dualClip: 4 }, { loss: "dual-clip", dualClip: 4 }],
    [{ ratio: "sequence", dualClip: null }, { loss: "gspo", dualClip: 3 }],
    [{ loss: "dapo", dualClip: 3 }, { loss: "dapo", dualClip: 3 }],
  ];
  await withFolder(async (folder) => {
    for (const [i, [before, now]] of cases.entries()) {
      const path = join(folder, String(i));
      (await RunFolder.create(path, { config: { ...CONFIG, grpo: { ...before, steps: 5 } } })).close();
      const config = { ...CONFIG, grpo: { ...now, steps: 5 } };
      assert.deepEqual((await RunFolder.read(path)).config, config);
      (await RunFolder.open(path, { config })).close();
      const other = { ...CONFIG, grpo: { ...now, loss: "cispo", steps: 5 } };
      await rejectsUserError(
        () => RunFolder.open(path, { config: other }),
        `grpo.loss was ${JSON.stringify(now.loss)}`,
      );
    }
  });
});
