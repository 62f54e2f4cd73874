/** Whole multi-step runs: what they report, that they resume bit for bit, what rejection and the penalty do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { robotVideoConfig } from "../../../lib/recipes/robot_video/config.ts";
import { trainLikelihood } from "../../../lib/runs/training.ts";
import { openRobotVideoData } from "../../../lib/recipes/robot_video/data.ts";
import type { VideoEvaluation } from "../../../lib/recipes/robot_video/evaluation.ts";
import { videoKind } from "../../../lib/recipes/robot_video/kinds.ts";
import { robotVideoHeadline, scoreTable } from "../../../lib/recipes/robot_video/report.ts";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { multiStepLengths } from "../../../lib/worlds/robot_video/multi_step_sequences.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { onOneEngine } from "../../support/engines.ts";
import { MULTI_STEP, runNumbers, stoppingProgress, tinyConfig, tinyRun } from "../../support/tiny_run.ts";

const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

onOneEngine("a multi-step run stopped twice in different stages ends as one that was not", async (engine) => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), parts = join(folder, "parts"), change = MULTI_STEP;
    await tinyRun(engine, whole, { change });
    const { tensors } = engine.memory();
    for (const [stage, step, resume] of [["tokenizer", 3, false], ["grpo", 2, true]] as const) {
      const { progress, signal } = stoppingProgress({ stage, step });
      await assert.rejects(tinyRun(engine, parts, { progress, signal, resume, change }), RunInterruptedError);
    }
    await tinyRun(engine, parts, { resume: true, change });
    assert.deepEqual(await runNumbers(parts), await runNumbers(whole));
    assert.equal(engine.memory().tensors, tensors, "a run gives back all its tensors, stopped or not");
  });
});

Deno.test("a multi-step run's result: metrics at each frame, both kinds of repetition, and its report", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const { result: made, report } = await tinyRun(engine, join(folder, "run"), { change: MULTI_STEP });
    const result = made!;
    assert.deepEqual(Object.keys(result.metrics), ["mae", "mse", "psnr", "ssim", "repeatedFrames", "repetition"]);
    for (const name of ["mae", "mse", "psnr", "ssim"]) {
      const { byFrame, base, rlvr } = result.metrics[name];
      for (const [model, all] of [["base", base], ["rlvr", rlvr]] as const) {
        const frames = byFrame![model];
        assert.equal(frames.length, 3, "three frames are predicted");
        // A metric is the mean over the frames, each of which is the mean over the same clips.
        const average = frames.reduce((sum, each) => sum + each.mean, 0) / 3;
        assert.ok(Math.abs(average - all.mean) < 1e-6 * Math.max(1, Math.abs(all.mean)), `${name}: ${average}`);
      }
    }
    for (const name of ["repetition", "repeatedFrames"]) {
      assert.equal(result.metrics[name].byFrame, undefined);
      for (const part of ["base", "rlvr", "likelihood"] as const) {
        const { mean, low, high, n } = result.metrics[name][part];
        assert.ok(0 <= low && low <= mean && mean <= high && high <= 1 && n === 4);
      }
    }
    assert.equal(result.metrics.repetition.better, "lower");
    assert.match(robotVideoHeadline(result), /\. Its predictions stand still at their end in [\d.]+ % of the clips, /);
    const html = await Deno.readTextFile(report!);
    for (const part of ["Along the rollout", "MAE at each predicted frame", "several frames ahead", "repeatedFrames"]) {
      assert.ok(html.includes(part), part);
    }
    assert.match(html, /1 true frame, then 3 imagined from the actions alone/);
  });
});

Deno.test("multi-step: the sizes of clips and sequences come from the configuration, the clips from the protocol", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  const config = tinyConfig(mergeSettings(MULTI_STEP, { data: { frames: 5, contextReach: 2 } }));
  const data = await openRobotVideoData(config), kind = videoKind(config);
  const clip = await data.training.clip(0, 1);
  assert.equal(clip.length, 5);
  assert.ok(clip.contextIndex! <= clip.start && clip.contextIndex! >= clip.start - 2);
  const tokenizer = kind.newTokenizer(engine, config, data),
    prediction = kind.prediction(tokenizer, config, data, undefined);
  const lengths = multiStepLengths({ contextTokens: 16, tokensPerFrame: 4, frames: 5, actionWidth: 13 });
  assert.equal(prediction.sequenceLength, lengths.total);
  const [{ question, answer }] = await prediction.world.encode([clip]);
  assert.deepEqual([question.length, answer.tokens.length], [lengths.question, lengths.answer]);
  assert.equal(answer.sampled.reduce((sum, each) => sum + each, 0), lengths.sampled);
  tokenizer.dispose();
});

Deno.test("multi-step: whether an answer repeats is seen by the ids that were sampled, as released", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  const config = tinyConfig(MULTI_STEP), data = await openRobotVideoData(config), kind = videoKind(config);
  const tokenizer = kind.newTokenizer(engine, config, data);
  const prediction = kind.prediction(tokenizer, config, data, undefined), clip = await data.training.clip(0, 1);
  const [{ answer }] = await prediction.world.encode([clip]), repeats = await prediction.repetitionRule([clip]);
  const { frameTokens } = prediction.world.vocabulary, perFrame = answer.tokens.length / 3;
  const frame = (last: number) => Int32Array.of(0, 1, 2, last);
  const said = (before: number, last: number) => {
    const tokens = answer.tokens.slice();
    tokens.set(frame(before), perFrame);
    tokens.set(frame(last), 2 * perFrame);
    return repeats(0, tokens);
  };
  assert.deepEqual([said(3, 3), said(3, 4)], [true, false]);
  // Ids beyond the codebook are decoded as its last one: the same picture, but not the same answer.
  const [edge, beyond, further] = [frameTokens - 1, frameTokens, frameTokens + 1];
  assert.deepEqual([said(edge, beyond), said(further, beyond), said(further, further)], [false, false, true]);
  tokenizer.dispose();
});

/** A model that has learned next to nothing, one token a frame, fifteen ids: it repeats often. */
const REPEATING = mergeSettings(MULTI_STEP, {
  data: { actionBins: 2 },
  tokenizer: { contextLevels: [2], fsqLevels: [3, 3], patchSize: 4 },
  evaluation: { itemsPerEpisode: 8 },
});

Deno.test("multi-step: rejection draws again what stands still, and says how often", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    // Trained to name frames, two codes in all: their ids are often the same.
    const change = { tokenizer: { fsqLevels: [2] }, likelihood: { steps: 20, learningRate: 0.01 } };
    const config = tinyConfig(mergeSettings(REPEATING, change));
    using run = await RunFolder.create(join(folder, "run"), { config });
    using experiment = await RobotVideoExperiment.open({ engine, config, run, progress: silentProgress });
    await experiment.firstStages[0].train();
    await trainLikelihood(experiment);
    const model = await experiment.models.likelihood();
    const plain = await experiment.evaluate(model, { samples: 2 });
    assert.ok(mean(plain.repetition) > 0.1, "nothing stands still: the test sees nothing");
    assert.equal(plain.attempts, 1);
    const rejecting = await experiment.evaluate(model, { samples: 2, rejectRepeating: true });
    assert.ok(mean(rejecting.repetition) < mean(plain.repetition) / 4, `${mean(rejecting.repetition)}`);
    assert.ok(rejecting.attempts > 1);
    assert.deepEqual(rejecting.trueRepetition, plain.trueRepetition);
    const table = scoreTable({ base: rejecting } satisfies Record<string, VideoEvaluation>, 0);
    assert.match(table, /^mae, frame 3 +0\.\d+ \[/m);
    assert.match(table, /drawn again; samplings an answer: base [\d.]+$/);
    // An answer that does not repeat is the one that was drawn without rejection.
    plain.repetition.forEach((rate, i) => {
      if (rate === 0) assert.equal(rejecting.values.mae[i], plain.values.mae[i]);
    });
    model.dispose();
  });
});

Deno.test("multi-step: a penalty on repetition alone teaches the model to move", async () => {
  // Whichever engine is the fastest here: this takes some steps.
  const { engine } = await openEngine({});
  await withFolder(async (folder) => {
    const change = mergeSettings(REPEATING, {
      likelihood: { steps: 2, warmupSteps: 0 },
      grpo: {
        steps: 30,
        promptsPerStep: 4,
        groupSize: 16,
        miniBatchPrompts: 2,
        microBatchPrompts: 2,
        learningRate: 0.02,
        decaySteps: 0,
        klCoefficient: 0,
        reward: [{ metric: "repetition", weight: 1 }],
      },
      control: { enabled: false },
    });
    const { result } = await tinyRun(engine, join(folder, "run"), { change });
    const { base, rlvr } = result!.metrics.repeatedFrames;
    assert.equal(result!.headline, "repetition");
    assert.ok(base.mean > 0.1 && rlvr.mean < base.mean / 2, `${base.mean} before, ${rlvr.mean} after`);
  });
});

Deno.test("multi-step: what a configuration may not say", async () => {
  const refuse = (values: Record<string, unknown>, ...says: string[]) => {
    assert.throws(() => robotVideoConfig("demo", values), (error: Error) => {
      for (const part of says) assert.ok(error.message.includes(part), `${part} is not in ${error.message}`);
      return error instanceof UserError;
    });
  };
  refuse({ grpo: { reward: [{ metric: "repetition", weight: 1 }] } }, "grpo.reward", "data.prediction=multi-step");
  refuse({ data: { prediction: "two-step" } }, "data.prediction", 'received "two-step"');
  refuse({ data: { frames: 1 } }, "data.frames", "received 1");
  refuse(
    { data: { prediction: "multi-step" }, tokenizer: { frameChoice: "random", horizon: 7 } },
    "tokenizer.horizon 7 must exceed tokenizer.laterFrames 7",
  );
  refuse({ grpo: { aggregate: "median" } }, "grpo.aggregate", 'received "median"');
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const config = tinyConfig(mergeSettings(MULTI_STEP, { tokenizer: { patchSize: 3 } }));
    const run = () => RunFolder.create(join(folder, "run"), { config });
    await rejectsUserError(
      () => RobotVideoExperiment.open({ engine, config, run, progress: silentProgress }),
      "the tokenizer's sizes: ",
      "3",
    );
    assert.equal(await Deno.stat(join(folder, "run")).catch(() => undefined), undefined, "nothing is written");
  });
});

Deno.test("the presets of multi-step prediction: the paper's numbers", () => {
  const weights = { lpips: { vgg: "vgg.pth", linear: "linear.pth" } };
  const { data, tokenizer, likelihood, grpo, evaluation } = robotVideoConfig("rt1-multi-step", weights);
  assert.deepEqual([data.prediction, data.frames, data.contextReach, data.testEvery], ["multi-step", 8, 15, 100]);
  assert.deepEqual([data.height, data.width, data.augment], [256, 320, true]);
  assert.deepEqual(tokenizer.channels, [128, 256, 256, 512]);
  assert.deepEqual([tokenizer.steps, tokenizer.batch, tokenizer.learningRate], [600_000, 16, 5e-4]);
  assert.deepEqual([likelihood.steps, likelihood.batch, likelihood.learningRate], [450_000, 32, 5e-5]);
  assert.deepEqual([grpo.promptsPerStep, grpo.groupSize, grpo.miniBatchPrompts, grpo.steps], [128, 16, 32, 200]);
  assert.deepEqual(grpo.reward, [{ metric: "mae", weight: 1 }, { metric: "lpips", weight: 1 }]);
  assert.deepEqual([grpo.aggregate, grpo.learningRate, grpo.klCoefficient, grpo.dualClip], ["mean", 5e-5, 1e-3, 3]);
  assert.deepEqual([evaluation.topK, evaluation.temperature, evaluation.itemsPerEpisode], [100, 1, 1]);
  const option = [{ metric: "mse", weight: 1 }, { metric: "lpips", weight: 1 }];
  assert.deepEqual(robotVideoConfig("rt1-multi-step", { ...weights, grpo: { reward: option } }).grpo.reward, option);
});

Deno.test("demo-policies is demo-multi-step but for the credit, which looks at every frame that follows", () => {
  const { preset, grpo: { credit, creditDiscount, ...grpo }, ...rest } = robotVideoConfig("demo-policies");
  const { preset: other, grpo: { credit: near, creditDiscount: discount, ...same }, ...also } = robotVideoConfig(
    "demo-multi-step",
  );
  assert.deepEqual([preset, credit, creditDiscount], ["demo-policies", "frame", 1]);
  assert.deepEqual([other, near, discount], ["demo-multi-step", "patch", 0.5]);
  assert.deepEqual(grpo, same);
  assert.deepEqual(rest, also);
});
