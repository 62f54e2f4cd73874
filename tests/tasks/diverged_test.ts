/** A training whose loss is no longer a number: a clear stop, exit code 1, and what was good is kept and can be gone on from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { withFolder } from "../support/files.ts";
import { runTask, tinyFlags } from "../support/tiny_run.ts";

const ENGINE = ["--engine", "wasm"];

async function linesOf(path: string, stage: string): Promise<number[]> {
  using run = await RunFolder.read(path);
  return (await run.metrics.read()).filter((line) => line.stage === stage).map((line) => line.step);
}

Deno.test("train-video: a likelihood loss that is not a number stops the run; with a lower rate it goes on", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const flags = tinyFlags({ likelihood: { learningRate: 1e30, steps: 4 } });
    const { code, stderr } = await runTask("train_video", [...ENGINE, ...flags, "--out", out]);
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /\nerror: the likelihood loss is NaN at step 1: training stopped and the last checkpoint was kept; lower [^\n]+\n$/,
    );
    assert.match(stderr, new RegExp(`\\nresume with: deno task train-video --resume --out ${out}\\n`));
    assert.doesNotMatch(stderr, /\n {4}at /, "no trace");
    assert.deepEqual(await linesOf(out, "tokenizer"), [0, 1, 2, 3]);
    assert.deepEqual(await linesOf(out, "likelihood"), [0]);

    const stages = ["--stage", "tokenizer", "--stage", "likelihood"];
    const rate = ["--set", "likelihood.learningRate=0.001"];
    const again = await runTask("train_video", [...ENGINE, "--resume", "--out", out, ...rate, ...stages]);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(await linesOf(out, "likelihood"), [0, 1, 2, 3]);
    using run = await RunFolder.read(out);
    const { resumed } = (await run.readEnvironment()) as { resumed: { changed: unknown }[] };
    assert.deepEqual(resumed.map(({ changed }) => changed), [{ "likelihood.learningRate": 0.001 }]);

    const other = await runTask("train_video", [
      ...ENGINE,
      "--resume",
      "--out",
      out,
      ...["--set", "likelihood.batch=3", "--set", "grpo.groupSize=8"],
    ]);
    assert.equal(other.code, 2, other.stderr);
    assert.match(
      other.stderr,
      /error: .* was started with another configuration: likelihood.batch was 2, now 3; grpo.groupSize was 4, now 8/,
    );
  });
});

Deno.test("train-video: a GRPO that diverges keeps the checkpoint before", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const flags = tinyFlags({ grpo: { steps: 4, promptsPerStep: 2, miniBatchPrompts: 2 }, checkpointEvery: 1 });
    const stages = ["--stage", "tokenizer", "--stage", "likelihood", "--stage", "grpo"];
    const first = await runTask("train_video", [...ENGINE, ...flags, "--set", "grpo.steps=1", ...stages, "--out", out]);
    assert.equal(first.code, 0, first.stderr);
    const change = ["--set", "grpo.steps=4", "--set", "grpo.learningRate=1e38", "--set", "checkpointEvery=4"];
    const { code, stderr } = await runTask("train_video", [...ENGINE, "--resume", "--out", out, ...change, ...stages]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /\nerror: (a reward|the GRPO loss|a number of \S+) is (NaN|-?Infinity) at step \d: /);
    using run = await RunFolder.read(out);
    assert.equal((await run.checkpoints("grpo").newest())!.step, 1);
  });
});

Deno.test("train-video: GRPO rates that leave every number finite stop the run, and a lower one goes on from before", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const flags = tinyFlags({ grpo: { steps: 6 }, checkpointEvery: 1 });
    const stages = ["--stage", "tokenizer", "--stage", "likelihood", "--stage", "grpo"];
    const first = await runTask("train_video", [...ENGINE, ...flags, "--set", "grpo.steps=1", ...stages, "--out", out]);
    assert.equal(first.code, 0, first.stderr);
    const resume = (rate: string) =>
      runTask("train_video", [
        ...[...ENGINE, "--resume", "--out", out, "--set", `grpo.learningRate=${rate}`, "--set", "checkpointEvery=1"],
        ...["--set", "grpo.steps=6", ...stages],
      ]);
    for (const rate of ["1e3", "1e30"]) {
      const { code, stderr } = await resume(rate);
      assert.equal(code, 1, stderr);
      const found = [
        "the number of updates in a row without a finite gradient is 3",
        "the gradient's norm, with answers that earned differently, is 0",
        "the GRPO loss is NaN",
      ].join("|");
      assert.match(stderr, new RegExp(`\nerror: (${found}) at step [123]: training stopped [^\n]+\n$`));
      assert.match(stderr, /\nresume with: deno task train-video --resume [^\n]+\n/);
      assert.doesNotMatch(stderr, /\n {4}at /, "no trace");
      using run = await RunFolder.read(out);
      assert.equal((await run.checkpoints("grpo").newest())!.step, 1, stderr);
    }
    const { code, stderr } = await resume("1e-4");
    assert.equal(code, 0, stderr);
    assert.deepEqual(await linesOf(out, "grpo"), [0, 1, 2, 3, 4, 5]);
  });
});

Deno.test("train-video: a tokenizer that diverges is one clear line, whatever became of its codes", async () => {
  await withFolder(async (folder) => {
    const flags = tinyFlags({ tokenizer: { learningRate: 1e25 } });
    const { code, stderr } = await runTask("train_video", [...ENGINE, ...flags, "--out", join(folder, "run")]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /\nerror: the tokenizer's (loss|gradient norm) is \S+ at step 1: training stopped [^\n]+\n$/);
    assert.doesNotMatch(stderr, /\n {4}at /, "no trace");
  });
});
