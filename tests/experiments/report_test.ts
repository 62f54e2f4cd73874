/** What a run says of itself: result.json, the headline, the report. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { robotVideoHeadline } from "../../lib/experiments/robot_video_report.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { withFolder } from "../files/support.ts";
import { stoppingProgress, tinyRun } from "../support/tiny_run.ts";

Deno.test("a run's result: intervals of every metric, the control as base, times, memory; and its report", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const { result, report, seconds } = await tinyRun(engine, join(folder, "run"));
    assert.ok(result);
    assert.equal(result.task, "train-video");
    assert.equal(result.base, "control");
    assert.deepEqual(Object.keys(result.metrics), ["mae", "mse", "psnr", "ssim", "repetition"]);
    for (const { base, rlvr, likelihood, difference } of Object.values(result.metrics)) {
      for (const { mean, low, high, n } of [base, rlvr, likelihood, difference!]) {
        assert.ok(low <= mean && mean <= high, `${low} ${mean} ${high}`);
        assert.equal(n, 4);
      }
      assert.ok(Math.abs(difference!.mean - (rlvr.mean - base.mean)) < 1e-9);
    }
    assert.equal(result.metrics.psnr.better, "higher");
    assert.ok(result.peakMemoryBytes > 1e7);
    assert.deepEqual(Object.keys(seconds), ["tokenizer", "likelihood", "grpo", "control", "evaluate"]);
    assert.ok(Object.values(seconds).every((each) => each > 0));
    const stored = JSON.parse(await Deno.readTextFile(join(folder, "run/result.json")));
    assert.deepEqual(stored, result);
    const html = await Deno.readTextFile(report!);
    assert.ok(html.includes(robotVideoHeadline(result).slice(0, 20)));
    assert.match(
      robotVideoHeadline(result),
      /^Held-out MAE is .* % (better|worse); the 95 % interval of the difference /,
    );
  });
});

Deno.test("a run with one held-out episode claims no interval of the difference", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const { result } = await tinyRun(engine, join(folder, "run"), { change: { data: { testEvery: 8 } } });
    assert.equal(result!.metrics.mae.difference, undefined);
    assert.match(
      robotVideoHeadline(result!),
      /; clips of one episode only, too few for an interval .* \(2 held-out clips\)/,
    );
  });
});

Deno.test("a run from given folders trains neither tokenizer nor transformer, says so, and starts GRPO from them", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const first = join(folder, "first"), second = join(folder, "second");
    const { result: before } = await tinyRun(engine, first);
    const change = {
      tokenizer: { folder: join(first, "models/tokenizer") },
      model: { folder: join(first, "models/likelihood") },
    };
    const { progress, notes, stages } = stoppingProgress();
    const { result, seconds } = await tinyRun(engine, second, { change, progress });
    assert.deepEqual(notes, [
      `tokenizer: nothing to train, ${change.tokenizer.folder} was given`,
      `likelihood: nothing to train, ${change.model.folder} was given`,
    ]);
    assert.deepEqual(stages, ["grpo", "evaluate likelihood", "evaluate rlvr"]);
    assert.deepEqual(Object.keys(seconds), ["grpo", "evaluate"]);
    assert.equal(result!.base, "likelihood");
    // The same model on the same clips, and the same GRPO from it.
    assert.deepEqual(result!.metrics.mae.base, before!.metrics.mae.likelihood);
    assert.deepEqual(result!.metrics.mae.rlvr, before!.metrics.mae.rlvr);
  });
});
