/** The command in a process of its own, killed and interrupted: it resumes to the very numbers of an undisturbed run. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Philox } from "../../lib/tensor/random.ts";
import { withFolder } from "../support/files.ts";
import { runNumbers, runTask, startTask, tinyFlags } from "../support/tiny_run.ts";

/** Every step is saved, so that a kill often strikes a save. */
const FLAGS = ["--device", "cpu", ...tinyFlags({ checkpointEvery: 1 })];

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Waits for a file, so that what is killed is training and not the start of the program. */
async function untilThere(path: string, child: Promise<unknown>): Promise<void> {
  let ended = false;
  child.then(() => ended = true);
  while (!ended && !await exists(path)) await new Promise((resolve) => setTimeout(resolve, 10));
}

Deno.test("train-video killed with SIGKILL at random moments: the next runs end as an undisturbed one", async () => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), killed = join(folder, "killed");
    const began = performance.now();
    const undisturbed = await runTask("train_video", [...FLAGS, "--out", whole]);
    assert.equal(undisturbed.code, 0, undisturbed.stderr);
    const milliseconds = performance.now() - began;
    const random = new Philox(Date.now());
    const moments: number[] = [];
    for (let kill = 0; kill < 4; kill++) {
      const resume = await exists(join(killed, "config.json")) ? ["--resume"] : [];
      const child = startTask("train_video", [...FLAGS, "--out", killed, ...resume]);
      const output = child.output();
      await untilThere(join(killed, kill === 0 ? "metrics.jsonl" : "config.json"), output);
      // Whole runs take a while to start; what is left of one is cut somewhere in its first half.
      const moment = random.uniform() * milliseconds * 0.5;
      moments.push(Math.round(moment));
      const timer = setTimeout(() => child.kill("SIGKILL"), moment);
      const { success } = await output;
      clearTimeout(timer);
      if (success) break;
    }
    const resumed = await runTask("train_video", [...FLAGS, "--out", killed, "--resume"]);
    assert.equal(resumed.code, 0, `killed after ${moments.join(", ")} ms: ${resumed.stderr}`);
    assert.deepEqual(await runNumbers(killed), await runNumbers(whole), `killed after ${moments.join(", ")} ms`);
  });
});

Deno.test("train-video interrupted with Ctrl-C saves, exits with 130, and says how to go on", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const child = startTask("train_video", [...FLAGS, "--out", out]);
    const output = child.output();
    await untilThere(join(out, "metrics.jsonl"), output);
    const isRunning = await exists(join(out, "metrics.jsonl"));
    if (isRunning) child.kill("SIGINT");
    const { code, stderr } = await output;
    const text = new TextDecoder().decode(stderr);
    assert.ok(isRunning, text);
    assert.equal(code, 130, text);
    assert.match(text, /stopping after this step, to save; press Ctrl-C again to stop at once/);
    assert.match(text, /\nstopped after step \d of 4 of tokenizer; saved\n/);
    const [, command] = /\nresume with: deno task train-video (.+)\n/.exec(text) ?? assert.fail(text);
    assert.equal(command, `--resume --out ${out}`);
    assert.ok(await exists(join(out, "checkpoints/tokenizer")));

    const resumed = await runTask("train_video", ["--device", "cpu", ...command.split(" "), "--stage", "tokenizer"]);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, /tokenizer: resumed after step \d/);
    assert.ok(await exists(join(out, "models/tokenizer/config.json")));
  });
});
