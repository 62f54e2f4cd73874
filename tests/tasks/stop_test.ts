/**
 * The training commands asked to stop by a signal, with checkpoints so far apart that nothing but the signal saves: in every
 * stage, in the preparation of data and in the evaluation.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { python, withFolder } from "../support/files.ts";
import { engineNames } from "../support/engines.ts";
import { ROOT, startTask, tinyFlags } from "../support/tiny_run.ts";
import { tinyTextFlags } from "../support/tiny_text_run.ts";
import { tinyWebFlags } from "../support/tiny_web_run.ts";

/** More steps than a test can wait for, and no checkpoint in between. */
const ENDLESS = { steps: 1_000_000 }, checkpointEvery = 1_000_000;
const ENGINE = engineNames().includes("torch:cpu") ? "torch" : "wasm";
const PATIENCE_MS = 120_000;

type Task = "train_video" | "train_text_game" | "train_web";
const FLAGS = { train_video: tinyFlags, train_text_game: tinyTextFlags, train_web: tinyWebFlags };

/** A command under way, and what it has said so far. */
class Running {
  stderr = "";
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(task: Task, change: Record<string, unknown>, readonly out: string, engine = ENGINE) {
    const flags = FLAGS[task]({ checkpointEvery, ...change });
    this.#child = startTask(task, ["--engine", engine, ...flags, "--out", out]);
    this.#timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    this.#read = this.#listen();
    this.#child.stdout.cancel();
  }

  async #listen() {
    try {
      for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) this.stderr += text;
    } catch { /* cancelled */ }
  }

  /** Waits until something holds, or the command has ended. */
  async until(holds: () => boolean | Promise<boolean>): Promise<void> {
    let ended = false;
    this.#child.status.then(() => ended = true);
    while (!ended && !await holds()) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(!ended, `it ended too early: ${this.stderr}`);
  }

  /** Waits until a stage has logged a step. */
  async untilStage(stage: string): Promise<void> {
    await this.until(async () => {
      const log = await Deno.readTextFile(join(this.out, "metrics.jsonl")).catch(() => "");
      return log.includes(`"stage":"${stage}"`);
    });
  }

  send(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async end(): Promise<Deno.CommandStatus> {
    const status = await this.#child.status;
    clearTimeout(this.#timer);
    await this.#read;
    return status;
  }
}

async function savedSteps(out: string, stage: string): Promise<string[]> {
  const folder = join(out, "checkpoints", stage);
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).filter((name) =>
    name.startsWith("step-")
  );
}

const STAGES: [Task, stage: string, change: Record<string, unknown>, signal: Deno.Signal][] = [
  ["train_video", "tokenizer", { tokenizer: ENDLESS }, "SIGINT"],
  ["train_video", "likelihood", { likelihood: ENDLESS }, "SIGTERM"],
  ["train_video", "grpo", { grpo: ENDLESS }, "SIGHUP"],
  ["train_video", "control", { control: ENDLESS }, "SIGINT"],
  ["train_text_game", "likelihood", { likelihood: ENDLESS }, "SIGHUP"],
  ["train_text_game", "grpo-binary", { grpo: ENDLESS }, "SIGINT"],
  ["train_web", "likelihood", { likelihood: ENDLESS }, "SIGINT"],
  ["train_web", "grpo", { grpo: ENDLESS }, "SIGTERM"],
];

for (const [task, stage, change, signal] of STAGES) {
  Deno.test(`${task}: ${signal} in ${stage} is answered, saves after the step and exits with 130`, async () => {
    await withFolder(async (folder) => {
      const run = new Running(task, change, join(folder, "run"));
      await run.untilStage(stage);
      run.send(signal);
      const { code } = await run.end();
      assert.equal(code, 130, run.stderr);
      assert.match(run.stderr, /\nstopping after this step, to save; press Ctrl-C again to stop at once\n/);
      const [, step] = new RegExp(`\nstopped after step (\\d+) of 1000000 of ${stage}; saved\n`).exec(run.stderr) ??
        assert.fail(run.stderr);
      assert.ok(run.stderr.endsWith(`\n`), run.stderr);
      const command = `resume with: deno task ${task.replaceAll("_", "-")} --resume --out ${run.out}`;
      assert.ok(run.stderr.includes(command), run.stderr);
      assert.deepEqual(await savedSteps(run.out, stage), [`step-${step.padStart(8, "0")}`]);
    });
  });
}

Deno.test("train_video on WebAssembly: SIGINT in a stage", {
  ignore: !engineNames().includes("wasm") || ENGINE === "wasm",
}, async () => {
  await withFolder(async (folder) => {
    const run = new Running("train_video", { tokenizer: ENDLESS }, join(folder, "run"), "wasm");
    await run.untilStage("tokenizer");
    run.send("SIGINT");
    assert.equal((await run.end()).code, 130, run.stderr);
    assert.match(run.stderr, /\nstopped after step \d+ of 1000000 of tokenizer; saved\n/);
  });
});

const PREPARING: [Task, change: Record<string, unknown>][] = [
  ["train_video", { data: { episodes: 100_000, actionRanges: "computed" } }],
  ["train_text_game", { data: { games: ["leaky-jugs"], perGame: 100_000 } }],
  ["train_web", { data: { sites: 20_000 } }],
];

for (const [task, change] of PREPARING) {
  Deno.test(`${task}: a stop while data are prepared`, async () => {
    await withFolder(async (folder) => {
      const run = new Running(task, change, join(folder, "run"));
      await run.until(() => run.stderr.includes("\n"));
      run.send("SIGINT");
      const { code } = await run.end();
      assert.equal(code, 130, run.stderr);
      assert.ok(run.stderr.endsWith("stopped before the run began\n"), run.stderr);
      await assert.rejects(Deno.stat(run.out), Deno.errors.NotFound);
    });
  });
}

const EVALUATING: [Task, name: string, change: Record<string, unknown>][] = [
  ["train_video", "likelihood", { evaluation: { samples: 5000, itemsPerEpisode: 200 }, grpo: { rolloutRows: 500 } }],
  ["train_text_game", "likelihood", { evaluation: { sampledAnswers: 5000, rows: 50 } }],
  ["train_web", "likelihood", { evaluation: { sampledAnswers: 5000, rows: 50 } }],
];

for (const [task, name, change] of EVALUATING) {
  Deno.test(`${task}: a stop in the evaluation`, async () => {
    await withFolder(async (folder) => {
      const run = new Running(task, change, join(folder, "run"));
      await run.until(() => run.stderr.includes(`\nevaluate ${name}: `));
      run.send("SIGINT");
      const { code } = await run.end();
      assert.equal(code, 130, run.stderr);
      assert.match(run.stderr, /\nstopped during the evaluation; all training is saved\n/);
      assert.match(run.stderr, /\nresume with: deno task train-[a-z-]+ --resume --out /);
    });
  });
}

Deno.test("a second press ends a command at once, in the middle of a step that takes minutes", async () => {
  await withFolder(async (folder) => {
    const likelihood = { batch: 1_000_000, microBatch: 1000 };
    const run = new Running("train_text_game", { likelihood }, join(folder, "run"));
    await run.until(() => run.stderr.includes("\nlikelihood: "));
    run.send("SIGINT");
    await run.until(() => run.stderr.includes("\nstopping after this step"));
    // Two signals in a row may be one press.
    await new Promise((resolve) => setTimeout(resolve, 400));
    run.send("SIGINT");
    const { code, signal } = await run.end();
    assert.deepEqual([code, signal], [130, "SIGINT"], run.stderr);
    assert.ok(!run.stderr.includes("saved"), run.stderr);
  });
});

Deno.test("a stop when nobody reads what the command says any more: it saves all the same", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const flags = tinyTextFlags({ checkpointEvery, likelihood: ENDLESS });
    const child = startTask("train_text_game", ["--engine", ENGINE, ...flags, "--out", out]);
    await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const logged = () => Deno.stat(join(out, "metrics.jsonl")).then(({ size }) => size > 0, () => false);
    while (!await logged()) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGHUP");
    assert.equal((await child.status).code, 130);
    clearTimeout(timer);
    assert.equal((await savedSteps(out, "likelihood")).length, 1);
  });
});

/** Starts what follows in a terminal of its own, closes that once a file appears, and waits for the end. */
const CLOSE_TERMINAL = `
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
os.set_blocking(terminal, False)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
    try:
        os.read(terminal, 65536)
    except BlockingIOError:
        pass
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

Deno.test({
  name: "the terminal is closed: training saves and exits with 130 (needs a Python: RLVR_PYTHON)",
  ignore: python === undefined || Deno.build.os === "windows",
  fn: async () => {
    await withFolder(async (folder) => {
      const out = join(folder, "run"), flags = tinyTextFlags({ checkpointEvery, likelihood: ENDLESS });
      const { code } = await new Deno.Command(python!, {
        args: ["-c", CLOSE_TERMINAL, join(out, "metrics.jsonl"), Deno.execPath(), "run", "-A", "--no-check", "--config"]
          .concat(
            join(ROOT, "deno.json"),
            join(ROOT, "tasks/train_text_game.ts"),
            "--engine",
            ENGINE,
            ...flags,
            "--out",
            out,
          ),
      }).output();
      assert.equal(code, 130);
      assert.equal((await savedSteps(out, "likelihood")).length, 1);
    });
  },
});
