/** What can be had of a model for nothing: against numpy, in a whole run, and what is made of it in words. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { baselineSentence } from "../../../lib/report/baselines.ts";
import { type BaselineRequest, evaluateBaselines, TEMPERATURES } from "../../../lib/recipes/robot_video/baselines.ts";
import { evaluateRobotVideo, type VideoEvaluation } from "../../../lib/recipes/robot_video/evaluation.ts";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import { imageMetrics } from "../../../lib/recipes/robot_video/video_kind.ts";
import { compareVideoBaselines, robotVideoHeadline } from "../../../lib/recipes/robot_video/report.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { type Tensor, tensor } from "../../../lib/tensor/tensor.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import type { VideoClip } from "../../../lib/worlds/robot_video/clips.ts";
import type { Tokens } from "../../../lib/worlds/world.ts";
import { withFolder } from "../../support/files.ts";
import { MULTI_STEP, tinyConfig, tinyRun } from "../../support/tiny_run.ts";
import { toyModel, toyTransitions, toyWorld } from "../../support/toy_world.ts";
import FIXTURE from "./fixtures/baselines.json" with { type: "json" };

const { clips: CLIPS, height: HEIGHT, width: WIDTH } = FIXTURE, SIZE = HEIGHT * WIDTH * 3;

Deno.test("baselines: nearest and median of N, the last frame again and the tokenizer's floor are numpy's", async (t) => {
  const { engine } = await openEngine({ engine: "wasm" });
  for (const { metric, count, answers, truth, last, floors, expected } of FIXTURE.cases) {
    await t.step(`${metric}, ${count} answers`, async () => {
      const model = toyModel(engine), toy = toyWorld(), [transition] = toyTransitions(0, 0, 1);
      const frames = (numbers: readonly number[]) => {
        const shape = [numbers.length / SIZE, HEIGHT, WIDTH, 3];
        return Promise.resolve({ frames: tensor(engine, Float32Array.from(numbers), shape) });
      };
      // The first of a clip's two frames is given.
      const clip = (item: number): VideoClip => ({
        episode: String(item),
        start: 0,
        frames: Uint8Array.from([...last.slice(item * SIZE, (item + 1) * SIZE), ...Array(SIZE).fill(0)]),
        actions: new Float32Array(2),
        length: 2,
        height: HEIGHT,
        width: WIDTH,
        actionWidth: 1,
      });
      const clips = { length: CLIPS, clip: (item: number) => Promise.resolve(clip(item)) };
      const images = Object.fromEntries(imageMetrics(undefined).map((each) => [each.name, each]));
      type Frames = { frames: Tensor };
      const request = {
        model,
        metric,
        answers: count,
        clips,
        selection: clips,
        sampling: { temperature: 1 },
        seed: 0,
        rows: 512,
        prediction: {
          world: {
            encode: (some: VideoClip[]) => toy.encode(some.map(() => transition)),
            decode: (tokens: Tokens[]) => frames(tokens.length === CLIPS * count ? answers : floors),
            truth: () => frames(truth),
            select: (states: Frames, places: number[]) => ({
              frames: states.frames.gather(tensor(engine, Int32Array.from(places))),
            }),
            release: (states: Frames) => states.frames.dispose(),
          },
          shown: { frames: 2, givenFrames: 1 },
          ownMetrics: [],
          better: (name: string) => images[name].better,
          repetitionRule: () => Promise.resolve(() => false),
          measure: async (name: string, predicted: Frames, true_: Frames) => ({
            values: await images[name].compute(predicted.frames, true_.frames).data(),
          }),
        },
      } as unknown as BaselineRequest;
      const found = await evaluateBaselines(request);
      for (const name of ["nearest", "median", "copy", "floor"] as const) {
        expected[name].forEach((value, i) => {
          assert.ok(Math.abs(found[name][i] - value) < 2e-5 * Math.max(1, Math.abs(value)), `${name} ${i}`);
        });
      }
      model.dispose();
    });
  }
});

Deno.test("baselines: of a whole run, for every model; the temperature is the best on other clips", async (t) => {
  const { engine } = await openEngine({ engine: "wasm" });
  for (const [kind, kindOf] of [["single-step", {}], ["multi-step", MULTI_STEP]] as const) {
    await t.step(kind, async () => {
      await withFolder(async (folder) => {
        const path = join(folder, "run");
        const change = mergeSettings(kindOf, { evaluation: { itemsPerEpisode: 4, baselineClips: 8 } });
        const { result, evaluations } = await tinyRun(engine, path, { change });
        const [drawn] = result!.baselines!.rows;
        assert.equal(drawn.name, "RLVR, as it is drawn");
        assert.equal(drawn.value.mean, result!.metrics.mae.rlvr.mean);
        assert.deepEqual(Object.keys(evaluations!), ["likelihood", "control", "rlvr"]);
        for (const { baselines, values } of Object.values(evaluations!)) {
          assert.equal(baselines!.metric, "mae");
          assert.deepEqual(baselines!.byTemperature.map(({ temperature }) => temperature), [1, ...TEMPERATURES]);
          const best = baselines!.byTemperature.reduce((a, b) => b.mean < a.mean ? b : a);
          assert.equal(baselines!.temperature, best.temperature);
          assert.equal(baselines!.atTemperature.length, values.mae.length);
          // Of the same clips, whatever the model.
          assert.deepEqual(baselines!.copy, evaluations!.rlvr.baselines!.copy);
          assert.deepEqual(baselines!.floor, evaluations!.rlvr.baselines!.floor);
          assert.ok(baselines!.median.every(Number.isFinite));
        }
        using run = await RunFolder.read(path);
        const config = tinyConfig(change), progress = silentProgress;
        using experiment = await RobotVideoExperiment.open({ engine, config, run, progress });
        const model = await experiment.models.likelihood(), { baselines } = evaluations!.likelihood;
        const again = await evaluateRobotVideo({
          model,
          prediction: await experiment.prediction(),
          clips: experiment.data.evaluation,
          samples: 1,
          sampling: { ...config.evaluation, temperature: baselines!.temperature },
          rejectRepeating: false,
          metrics: ["mae"],
          seed: config.seed,
          rows: config.grpo.rolloutRows,
        });
        assert.deepEqual(baselines!.atTemperature, again.values.mae);
        // The temperature was chosen on other clips of the same episodes.
        const { selection, evaluation } = experiment.data;
        const key = ({ episode, start, contextIndex }: VideoClip) => `${episode} ${start} ${contextIndex}`;
        const judged = await Promise.all(Array.from({ length: evaluation.length }, (_, i) => evaluation.clip(i)));
        const chosenOn = await Promise.all(Array.from({ length: selection.length }, (_, i) => selection.clip(i)));
        assert.notDeepEqual(chosenOn.map(key), judged.slice(0, chosenOn.length).map(key));
        model.dispose();
      });
    });
  }
});

Deno.test("baselines: none where none are asked for, or during GRPO", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const change = { evaluation: { baselineAnswers: 0, every: 1 } };
    const { result, evaluations } = await tinyRun(engine, join(folder, "run"), { change });
    assert.equal(result!.baselines, undefined);
    assert.equal(evaluations!.rlvr.baselines, undefined);
    assert.ok(!robotVideoHeadline(result!).includes("baseline"));
  });
});

/** An evaluation whose clips have these errors: as they are drawn, at the best temperature, nearest, median. */
function evaluated(drawn: number, cool: number, nearest: number, median: number): VideoEvaluation {
  const n = 24, clips = (mean: number) => Float64Array.from({ length: n }, (_, i) => mean + 0.01 * (i % 3));
  return {
    values: { mae: clips(drawn) },
    best: { mae: clips(drawn) },
    repetition: clips(0),
    trueRepetition: clips(0),
    attempts: 1,
    episodes: Array.from({ length: n }, (_, i) => `episode ${i % 6}`),
    baselines: {
      metric: "mae",
      answers: 16,
      temperature: 0.2,
      byTemperature: [],
      atTemperature: clips(cool),
      nearest: clips(nearest),
      median: clips(median),
      copy: clips(0.9),
      floor: clips(0.05),
    },
  };
}

Deno.test("baselines: RLVR is called better only than the strongest of them, with an interval that excludes 0", () => {
  const likelihood = evaluated(0.5, 0.42, 0.43, 0.3), control = evaluated(0.48, 0.4, 0.41, 0.28);
  const compare = (rlvr: VideoEvaluation) => compareVideoBaselines({ likelihood, control, rlvr }, "lower", 1)!;
  const worse = compare(evaluated(0.43, 0.41, 0.42, 0.35));
  assert.equal(worse.strongest, "control, at its best temperature 0.2");
  const difference = worse.rows.find(({ name }) => name === worse.strongest)!.difference!;
  assert.ok(Math.abs(difference.mean - 0.03) < 1e-12 && difference.low > 0);
  assert.ok(Math.abs(worse.attained! - (0.48 - 0.43) / (0.48 - 0.28)) < 1e-12);
  const better = compare(evaluated(0.35, 0.34, 0.34, 0.33));
  assert.ok(better.rows.find(({ name }) => name === better.strongest)!.difference!.high < 0);
  // RLVR at a lower temperature is no baseline, nor is a median or the floor.
  assert.deepEqual(
    worse.rows.filter(({ kind }) => kind === "baseline").map(({ name }) => name.split(",")[0]),
    ["control", "control", "control", "likelihood", "likelihood", "likelihood", "the last given frame again"],
  );
  const still = evaluated(0.5, 0.42, 0.43, 0.3);
  still.baselines!.copy.fill(0.1);
  assert.equal(
    compareVideoBaselines({ likelihood: still, rlvr: likelihood }, "lower", 1)!.strongest,
    "the last given frame again",
  );
  assert.equal(compareVideoBaselines({ likelihood: { ...likelihood, baselines: undefined } }, "lower", 1), undefined);
});

Deno.test("baselines: the sentence says better, worse, or that it cannot be told", () => {
  const likelihood = evaluated(0.5, 0.42, 0.43, 0.3);
  const say = (rlvr: VideoEvaluation) => baselineSentence(compareVideoBaselines({ likelihood, rlvr }, "lower", 1)!);
  const strongest = "likelihood, at its best temperature 0.2: MAE 0.4300";
  assert.match(
    say(evaluated(0.3, 0.3, 0.3, 0.3)),
    new RegExp(`\\(${strongest}\\) RLVR is better than it \\(difference −0.12`),
  );
  assert.match(say(evaluated(0.45, 0.3, 0.3, 0.3)), /RLVR is worse than it .* It takes 25 % of the way/);
  const unclear = evaluated(0.42, 0.42, 0.42, 0.42);
  unclear.values.mae.forEach((value, i) => unclear.values.mae[i] = value + (i % 2 ? 0.05 : -0.05));
  assert.match(say(unclear), /RLVR cannot be told from it/);
});
