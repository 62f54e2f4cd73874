/** What a run says of itself: result.json, the headline, the report. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { robotVideoConfig } from "../../lib/recipes/robot_video/config.ts";
import type { VideoEvaluation } from "../../lib/recipes/robot_video/evaluation.ts";
import { RobotVideoExperiment } from "../../lib/recipes/robot_video/experiment.ts";
import { robotVideoHeadline, robotVideoResult, scoreTable } from "../../lib/recipes/robot_video/report.ts";
import { formatNumber } from "../../lib/report/html.ts";
import { meanInterval, pairedDifference } from "../../lib/report/intervals.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { withFolder } from "../support/files.ts";
import { stoppingProgress, tinyConfig, tinyRun } from "../support/tiny_run.ts";

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

Deno.test("the report's clips are as long as episodes have frames at the clips' step, none of them twice", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    // Episodes of 9 frames: every frame, and what a step of 2 and of 4 leaves of them; the last is what may just be seen.
    for (
      const { frameStep, start, steps } of [
        { frameStep: 1, start: 1, steps: 6 },
        { frameStep: 2, start: 0, steps: 5 },
        { frameStep: 3, start: 0, steps: 3 },
        { frameStep: 4, start: 0, steps: 3 },
      ]
    ) {
      const change = {
        data: { history: 1, frameStep, episodeLength: 9 },
        evaluation: { gifFrames: 5, gifs: 2 },
      };
      const config = tinyConfig(change), run = join(folder, `step-${frameStep}`);
      await tinyRun(engine, run, { change, stages: ["tokenizer", "likelihood"] });
      using opened = await RunFolder.read(run);
      using experiment = await RobotVideoExperiment.open({ engine, config, run: opened, progress: silentProgress });
      const model = await experiment.models.likelihood();
      const clips = await experiment.imagine({ Base: model });
      model.dispose();
      assert.equal(clips.length, 2);
      for (const [i, { label, note, panels: { Truth, Base } }] of clips.entries()) {
        const episode = await experiment.data.source.load(experiment.data.split.test[i]);
        const size = episode.height * episode.width * 3;
        const frames = Array.from({ length: steps }, (_, n) => {
          const at = start + n * frameStep;
          assert.ok(at < episode.length);
          return episode.frames.subarray(at * size, (at + 1) * size);
        });
        assert.equal(label, `${episode.id}, from frame ${start}`);
        assert.equal(note, `1 true frame, then ${steps - 1} imagined from the actions alone`);
        assert.equal(Truth.t, steps);
        assert.deepEqual(Truth.frames, Uint8Array.from(frames.flatMap((frame) => [...frame])));
        assert.equal(Base.t, steps);
        assert.deepEqual(Base.frames.subarray(0, size), Truth.frames.subarray(0, size));
      }
    }
  });
  engine.close();
});

/** Two clips of each of nine episodes: numbers that no other evaluation has, nor another part of this one. */
function evaluation(start: number): VideoEvaluation {
  const numbers = (shift: number) => Float64Array.from({ length: 18 }, (_, i) => ((start + shift + i) ** 2 % 19) / 19);
  return {
    values: { mae: numbers(0), psnr: numbers(3) },
    best: { mae: numbers(5), psnr: numbers(7) },
    byFrame: { mae: [numbers(11), numbers(13)], psnr: [numbers(14), numbers(15)] },
    ...{ repetition: numbers(16), trueRepetition: numbers(17), attempts: 1 },
    episodes: Array.from({ length: 18 }, (_, i) => `episode ${i % 9}`),
  };
}

Deno.test("results: every interval is that of its model, over episodes, and follows the run's seed", () => {
  const [likelihood, control, rlvr] = [1, 2, 4].map(evaluation);
  const config = robotVideoConfig("demo", { seed: 5, evaluation: { samples: 2 } });
  const options = { seed: 5, groups: control.episodes }, mean = (values: Float64Array) => meanInterval(values, options);
  const { repetition, trueRepetition } = control;
  const withControl: Record<string, VideoEvaluation> = { likelihood, control, rlvr };
  for (const models of [withControl, { likelihood, rlvr } as Record<string, VideoEvaluation>]) {
    const base = models.control ?? likelihood;
    const result = robotVideoResult(config, models);
    assert.equal(result.base, models.control ? "control" : "likelihood");
    for (const [name, rest] of [["mae", { better: "lower" }], ["psnr", { better: "higher", unit: "dB" }]] as const) {
      assert.deepEqual(result.metrics[name], {
        ...rest,
        base: mean(base.values[name]),
        rlvr: mean(rlvr.values[name]),
        difference: pairedDifference(base.values[name], rlvr.values[name], options),
        likelihood: mean(likelihood.values[name]),
        bestOfN: { base: mean(base.best[name]), rlvr: mean(rlvr.best[name]) },
        byFrame: { base: base.byFrame![name].map(mean), rlvr: rlvr.byFrame![name].map(mean) },
      }, name);
    }
    assert.deepEqual(result.metrics.repetition, {
      better: "lower",
      base: mean(base.repetition),
      rlvr: mean(rlvr.repetition),
      difference: pairedDifference(base.repetition, rlvr.repetition, options),
      likelihood: mean(likelihood.repetition),
    });
    assert.deepEqual(result.trueRepetition, mean(base.trueRepetition));
  }
  for (const values of [repetition, trueRepetition]) {
    const { low, high } = mean(values),
      alone = meanInterval(values, { seed: 5 }),
      other = meanInterval(values, { ...options, seed: 6 });
    assert.ok(low !== alone.low && high !== other.high, "the test sees groups and seed");
  }
});

Deno.test("the table of scores: intervals over episodes, by its seed", () => {
  const [base, rlvr] = [1, 4].map(evaluation);
  for (const seed of [5, 6]) {
    const cells = ([base, rlvr] as const).flatMap(({ values, best, episodes }) =>
      [values.mae, best.mae].map((each) => {
        const { mean, low, high } = meanInterval(each, { seed, groups: episodes });
        return `${formatNumber(mean)} [${formatNumber(low)}, ${formatNumber(high)}]`;
      })
    );
    const row = scoreTable({ base, rlvr }, seed).split("\n").find((line) => line.startsWith("mae "))!;
    assert.deepEqual(row.split(/ {2,}/).slice(1), cells);
  }
});
