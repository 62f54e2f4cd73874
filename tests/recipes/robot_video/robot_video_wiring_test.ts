/**
 * What is given to whom in the stages of robot video: models and clips from stage to stage, rates, seeds, held-out episodes, what is
 * remembered. On episodes of noise from files, which no seed changes; what a stage asks for is noted on its way, and all of it is real.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import { openRobotVideoData } from "../../../lib/recipes/robot_video/data.ts";
import { MULTI_STEP } from "../../../lib/recipes/robot_video/multi_step.ts";
import { run as runRecipe } from "../../../lib/runs/run.ts";
import { SINGLE_STEP, SingleStepPrediction } from "../../../lib/recipes/robot_video/single_step.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { writeNpz } from "../../../lib/io/npz.ts";
import { CausalTransformer } from "../../../lib/models/causal_transformer.ts";
import { CompressiveTokenizer } from "../../../lib/models/compressive_tokenizer.ts";
import { Discriminator } from "../../../lib/models/discriminator.ts";
import { FrameTokenizer } from "../../../lib/models/frame_tokenizer.ts";
import { transformerConfig } from "../../../lib/models/transformer_config.ts";
import type { Parameters } from "../../../lib/nn/parameters.ts";
import { type GrpoMetrics, GrpoTrainer } from "../../../lib/train/grpo.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { LikelihoodTrainer } from "../../../lib/train/likelihood.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { STREAM } from "../../../lib/base/streams.ts";
import { TokenizerTrainer } from "../../../lib/train/frame_tokenizer_trainer.ts";
import { computeActionRanges } from "../../../lib/worlds/robot_video/actions.ts";
import { cutClip, TrainingClips, type VideoClip } from "../../../lib/worlds/robot_video/clips.ts";
import { singleStepAnswer } from "../../../lib/worlds/robot_video/single_step_sequences.ts";
import { withFolder } from "../../support/files.ts";
import { digest, type Plain, replace } from "../../support/config_fields.ts";
import { tinyConfig } from "../../support/tiny_run.ts";
import { MULTI, SINGLE } from "./support.ts";

const FRAMES = 12, SIDE = 16;

/** Episodes of noise, each with larger actions than the one before; others for another start. */
async function writeEpisodes(folder: string, start = 0): Promise<string> {
  await Deno.mkdir(folder);
  for (let i = 0; i < 6; i++) {
    const noise = (p: number) => (Math.imul(p + 1, 2654435761 + 2 * (start + i)) >>> 16) % 256;
    const image = Uint8Array.from({ length: FRAMES * SIDE * SIDE * 3 }, (_, p) => noise(p));
    const action = Float32Array.from(
      { length: FRAMES * 13 },
      (_, p) => p % 13 === 3 ? (start + i + 1) / 20 * Math.sin(p) : 0,
    );
    await writeNpz(join(folder, `${i}.npz`), {
      image: { dtype: "uint8", shape: [FRAMES, SIDE, SIDE, 3], data: image },
      action: { dtype: "float32", shape: [FRAMES, 13], data: action },
    });
  }
  return folder;
}

/** A class whose instances begin with a seed. */
interface Seeded {
  initialize(engine: Engine, config: unknown, options: { seed: number }): object;
}

/** Opens an experiment in a new folder, for as long as it is used. */
async function withExperiment(
  engine: Engine,
  folder: string,
  change: Plain,
  use: (experiment: RobotVideoExperiment) => Promise<void>,
): Promise<void> {
  const config = tinyConfig(change);
  using run = await RunFolder.create(await Deno.makeTempDir({ dir: folder }), { config });
  using experiment = await RobotVideoExperiment.open({ engine, config, run, progress: silentProgress });
  await use(experiment);
}

async function weightsOf({ parameters }: { parameters: Parameters }): Promise<string> {
  return digest(await Promise.all([...parameters.values()].map(async (each) => Array.from(await each.data(), Number))));
}

Deno.test("robot video: every stage goes on from the one before, on clips, rates and random numbers of its own", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const change = mergeSettings(SINGLE, {
      ...{ seed: 7, data: { folder: await writeEpisodes(join(folder, "episodes")) }, control: { steps: null } },
      likelihood: { steps: 4, decaySteps: 200, learningRate: 1e-3 },
      grpo: { reward: [{ metric: "psnr", weight: 1 }] },
      evaluation: { metrics: ["mae"], gifs: 1, gifFrames: 2 },
    });
    const seeds: number[] = [], clips: Record<string, number[][]> = {}, imagined: unknown[] = [];
    let stage = "";
    const begun: Record<string, unknown[]> = {};
    const { step: likelihoodStep } = LikelihoodTrainer.prototype, { step: grpoStep } = GrpoTrainer.prototype;
    const { initialize } = CausalTransformer, { clip } = TrainingClips.prototype;
    using spies = new DisposableStack();
    spies.use(replace(CausalTransformer, "initialize", (on, config, options) => {
      seeds.push(options.seed);
      return initialize.call(CausalTransformer, on, config, options);
    }));
    spies.use(replace(TrainingClips.prototype, "clip", function (...name) {
      (clips[stage] ??= []).push(name);
      return clip.apply(this, name);
    }));
    spies.use(replace(LikelihoodTrainer.prototype, "step", async function (step, batch) {
      begun[stage] ??= [await weightsOf(this.model), this.optimizer.stepCount];
      return await likelihoodStep.call(this, step, batch);
    }));
    spies.use(replace(GrpoTrainer.prototype, "step", async function (step, transitions) {
      const { model, reference, options: { seed } } = this;
      begun[stage] ??= [
        await weightsOf(model),
        await weightsOf(reference as CausalTransformer),
        reference !== model,
        seed,
      ];
      return await grpoStep.call(this, step, transitions);
    }));
    spies.use(replace(SingleStepPrediction.prototype, "imagine", async (model, given, { stream }) => {
      imagined.push([await weightsOf(model), stream[0]]);
      return given.map(({ frames }) => frames);
    }));
    await withExperiment(engine, folder, change, async (experiment) => {
      const { run } = experiment,
        left = async (name: string) => {
          const model = await CausalTransformer.load(engine, run.file(`models/${name}`));
          try {
            return await weightsOf(model);
          } finally {
            model.dispose();
          }
        };
      await experiment.firstStages[0].train();
      for (const each of ["likelihood", "grpo"] as const) {
        stage = each;
        await runRecipe(experiment, [each]);
      }
      // Twice as many seconds as four steps of likelihood took: eight steps.
      await Deno.writeTextFile(run.file("seconds.json"), JSON.stringify({ likelihood: 5, grpo: 10 }));
      stage = "control";
      const { result } = await runRecipe(experiment, ["control", "evaluate"]);
      const [likelihood, rlvr, control] = [await left("likelihood"), await left("rlvr"), await left("control")];
      assert.equal(new Set([likelihood, rlvr, control]).size, 3);
      assert.deepEqual(seeds, [7, 7]);
      assert.deepEqual(begun.grpo, [likelihood, likelihood, true, 7]);
      assert.deepEqual(begun.control, [likelihood, 4]);
      const named = (stream: number, from: number, steps: number) =>
        Array.from({ length: 2 * steps }, (_, i) => [stream, from + Math.floor(i / 2), i % 2]);
      assert.deepEqual(clips, {
        likelihood: named(STREAM.likelihoodBatch, 0, 4),
        grpo: named(STREAM.grpoBatch, 0, 2),
        control: named(STREAM.likelihoodBatch, 4, 8),
      });
      const log = await run.metrics.read();
      const rates = (name: string) => log.filter((each) => each.stage === name).map((each) => each.learningRate);
      assert.deepEqual(rates("likelihood"), [1e-3, 7.5e-4, 5e-4, 2.5e-4]);
      assert.deepEqual(rates("control"), [8, 7, 6, 5, 4, 3, 2, 1].map((each) => 1e-3 * each / 8));
      assert.deepEqual(imagined, [[control, 7], [rlvr, 7]]);
      assert.deepEqual(Object.keys(result!.metrics), ["psnr", "mae", "repetition"]);
      for (const [name, weights] of [["likelihood", likelihood], ["rlvr", rlvr], ["control", control]] as const) {
        const model = await experiment.models.trained(name);
        assert.equal(await weightsOf(model!), weights, name);
        model!.dispose();
      }

      const models = {
        tokenizer: { folder: run.file("models/tokenizer") },
        model: { folder: run.file("models/rlvr") },
      };
      const judged = async (over: Plain) => {
        let values: number[] = [];
        await withExperiment(engine, folder, mergeSettings(mergeSettings(change, models), over), async (other) => {
          const model = await other.models.likelihood();
          values = [...(await other.evaluate(model)).values.mae];
          model.dispose();
        });
        return values;
      };
      const whole = await judged({}), single = await judged({ grpo: { rolloutRows: 1 } });
      whole.forEach((each, i) => assert.ok(Math.abs(each - single[i]) < 1e-6, `in pieces ${single}, at once ${whole}`));
      assert.notDeepEqual(await judged({ seed: 8 }), whole);
    });
  });
  engine.close();
});

Deno.test("robot video: a tokenizer is made, shown training episodes and varied by the run's seed", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const data = { folder: await writeEpisodes(join(folder, "episodes")) };
    for (const kind of [SINGLE, MULTI]) {
      const look = async (seed: number) => {
        const seeds: number[] = [], dropped: (number | undefined)[] = [], loaded = new Set<number>();
        let background: Promise<ArrayLike<number | bigint>> | undefined;
        using spies = new DisposableStack();
        for (const each of [FrameTokenizer, CompressiveTokenizer, Discriminator] as unknown as Seeded[]) {
          const { initialize } = each;
          spies.use(replace(each, "initialize", (on, config, options) => {
            seeds.push(options.seed);
            return initialize.call(each, on, config, options);
          }));
        }
        const { reconstruct } = CompressiveTokenizer.prototype;
        spies.use(replace(CompressiveTokenizer.prototype, "reconstruct", function (context, frames, options) {
          dropped.push(options?.dropout?.random.uniform());
          return reconstruct.call(this, context, frames, options);
        }));
        for (const each of [SINGLE_STEP, MULTI_STEP]) {
          const { trainer } = each as typeof SINGLE_STEP;
          spies.use(replace(each as typeof SINGLE_STEP, "trainer", (tokenizer, parts) => {
            background = tokenizer.parameters.get("background")!.data();
            return trainer(tokenizer, parts);
          }));
        }
        // A discriminator takes long to make: one will do.
        const hasDiscriminator = kind === SINGLE && seed === 7;
        const adversarial = hasDiscriminator ? { adversarialWeight: 1, adversarialStart: 100 } : {};
        const change = { seed, data, tokenizer: { attentionDropout: 0.5, ...adversarial } };
        await withExperiment(engine, folder, mergeSettings(kind, change), async (experiment) => {
          const { source, split } = experiment.data, { load } = source;
          source.load = (index) => {
            loaded.add(index);
            return load.call(source, index);
          };
          await experiment.firstStages[0].train();
          assert.deepEqual(
            [...loaded].filter((index) => !split.train.includes(index)),
            [],
            "held-out episodes are seen",
          );
          assert.deepEqual(seeds, hasDiscriminator ? [seed, seed] : [seed]);
        });
        return { background: [...Array.from(await background!, Number)], dropped };
      };
      const [one, other] = [await look(7), await look(8)];
      assert.notDeepEqual(one.background, other.background);
      if (kind === MULTI) assert.ok(one.dropped[0] !== other.dropped[0] && new Set(one.dropped).size === 3);
    }
  });
  engine.close();
});

Deno.test("robot video: of every stage's checkpoints the one with the better number is the best", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const data = { folder: await writeEpisodes(join(folder, "episodes")) }, steps = { steps: 60 };
    const change = mergeSettings(SINGLE, {
      data,
      tokenizer: steps,
      likelihood: steps,
      grpo: steps,
      checkpointEvery: 20,
    });
    // Errors fall and rewards rise. Of checkpoints 20 and 40, whose steps after them are known, the later is the best.
    const falling = (step: number) => 1 / (1 + step);
    let updates = 0;
    using _tokenizer = replace(TokenizerTrainer.prototype, "step", () => {
      const step = updates++;
      return Promise.resolve({
        ...{ step, updated: "tokenizer", loss: 1, gradientNorm: 1, learningRate: 1 } as const,
        absoluteError: falling(step),
      });
    });
    using _likelihood = replace(
      LikelihoodTrainer.prototype,
      "step",
      (step) => Promise.resolve({ loss: falling(step), gradientNorm: 1, learningRate: 1, tokens: 1 }),
    );
    using _grpo = replace(
      GrpoTrainer.prototype,
      "step",
      (step) => Promise.resolve({ reward: step, rewardStd: 1, entropy: 1, sample: {} } as unknown as GrpoMetrics),
    );
    await withExperiment(engine, folder, change, async (experiment) => {
      await runRecipe(experiment, ["tokenizer", "likelihood", "grpo"]);
      for (const stage of ["tokenizer", "likelihood", "grpo"]) {
        const path = experiment.run.file(`checkpoints/${stage}/best.json`);
        assert.equal(JSON.parse(await Deno.readTextFile(path)).step, 40, stage);
      }
    });
  });
  engine.close();
});

Deno.test("robot video data: clips and ranges are those of their own episodes; what the seed decides and what it does not", async () => {
  await withFolder(async (folder) => {
    const files = { folder: await writeEpisodes(join(folder, "episodes")), actionRanges: "computed" };
    const look = async (data: Plain, seed: number) => {
      const opened = await openRobotVideoData(tinyConfig(mergeSettings(SINGLE, { data, seed })));
      const { source, split, training, evaluation, bins } = opened;
      const ids = async (some: readonly number[]) =>
        await Promise.all(some.map(async (i) => (await source.load(i)).id));
      const trained = await Promise.all(Array.from({ length: 8 }, (_, i) => training.clip(0, i)));
      const judged = await Promise.all(Array.from({ length: evaluation.length }, (_, i) => evaluation.clip(i)));
      const [train, test] = [await ids(split.train), await ids(split.test)];
      assert.ok(trained.every(({ episode }) => train.includes(episode)), "training clips are held out");
      assert.ok(judged.every(({ episode }) => test.includes(episode)), "evaluation clips are trained on");
      assert.deepEqual(bins.ranges, await computeActionRanges(source, split.train));
      const show = (clips: readonly VideoClip[]) =>
        clips.map(({ episode, start, frames }) => [episode, start, digest([...frames])]);
      return { trained: show(trained), judged: show(judged) };
    };
    const [one, other] = [await look(files, 7), await look(files, 8)];
    assert.notDeepEqual(one.trained, other.trained);
    assert.deepEqual(one.judged, other.judged, "clips to judge by are the protocol's");
    const builtIn = { actionRanges: "computed" };
    assert.notDeepEqual((await look(builtIn, 7)).judged, (await look(builtIn, 8)).judged, "episodes of the simulator");
  });
});

Deno.test("robot video: action ranges are kept with a model, and later data are read by them", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const own = await writeEpisodes(join(folder, "own")), others = await writeEpisodes(join(folder, "others"), 6);
    const change = (data: string) => mergeSettings(SINGLE, { data: { folder: data, actionRanges: "computed" } });
    await withExperiment(engine, folder, change(own), async (experiment) => {
      const { run, data: { bins: { ranges } } } = experiment;
      await runRecipe(experiment, ["tokenizer", "likelihood"]);
      await withExperiment(engine, folder, change(others), ({ data }) => {
        assert.notDeepEqual(data.bins.ranges.max, ranges.max, "ranges of their own");
        return Promise.resolve();
      });
      const models = {
        tokenizer: { folder: run.file("models/tokenizer") },
        model: { folder: run.file("models/likelihood") },
      };
      await withExperiment(engine, folder, mergeSettings(change(others), models), ({ data }) => {
        assert.deepEqual(data.bins.ranges.max, ranges.max);
        return Promise.resolve();
      });
    });
  });
  engine.close();
});

Deno.test("single-step prediction: what is remembered, what repeats, and which action leads to which imagined frame", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const files = { folder: await writeEpisodes(join(folder, "episodes")) };
    // Another clip of the same name: only frames as they are in an episode are known by it.
    for (const [data, isKnown] of [[{}, true], [{ augment: true }, false], [{ frameStep: 2 }, false]] as const) {
      const config = tinyConfig(mergeSettings(SINGLE, { data: { ...files, ...data } })),
        opened = await openRobotVideoData(config);
      const tokenizer = SINGLE_STEP.newTokenizer(engine, config, opened);
      const prediction = SINGLE_STEP.prediction(tokenizer, config, opened, undefined) as SingleStepPrediction;
      const clip = await opened.training.clip(0, 0),
        changed = { ...clip, frames: clip.frames.map((each) => 255 - each) };
      const [[one], [other]] = [await prediction.world.encode([clip]), await prediction.world.encode([changed])];
      assert.equal(digest([...one.question]) === digest([...other.question]), isKnown, JSON.stringify(data));

      const frames = (await prediction.world.frameTokens([clip]))[0],
        answer = (tokens: Int32Array) => singleStepAnswer(prediction.world.vocabulary, tokens);
      const repeats = await prediction.repetitionRule([clip]), [before, truth] = frames.slice(-2) as Int32Array[];
      assert.notDeepEqual(before, truth);
      assert.deepEqual([repeats(0, answer(before)), repeats(0, answer(truth))], [true, false]);
      tokenizer.dispose();
    }

    const config = tinyConfig(mergeSettings(SINGLE, { data: { ...files, history: 2, actionBins: 2 } }));
    const data = await openRobotVideoData(config), tokenizer = SINGLE_STEP.newTokenizer(engine, config, data);
    const prediction = SINGLE_STEP.prediction(tokenizer, config, data, undefined) as SingleStepPrediction;
    const sizes = { hiddenSize: 32, layers: 1, heads: 2, feedForwardSize: 64, initializerRange: 1 };
    const { world } = prediction, { decode } = world, clip = cutClip(await data.source.load(data.split.test[0]), 0, 5);
    const model = CausalTransformer.initialize(
      engine,
      transformerConfig({ vocabularySize: world.vocabulary.size, ...sizes }),
      { seed: 1 },
    );
    // The third frame follows the first two actions, the fifth the third and the fourth.
    const imagined = async (changed?: number) => {
      const actions = clip.actions.slice();
      if (changed !== undefined) actions.set(data.bins.ranges.max, changed * clip.actionWidth);
      let frames: string[] = [];
      using _ = replace(world, "decode", (answers) => {
        frames = answers.map((tokens) => tokens.join());
        return decode.call(world, answers);
      });
      await prediction.imagine(model, [{ ...clip, actions }], { sampling: {}, stream: [1, 2, 3] });
      return frames;
    };
    const plain = await imagined();
    for (const [changed, first] of [[0, 0], [1, 0], [2, 1], [3, 2], [4, -1]]) {
      const frames = await imagined(changed);
      assert.equal(frames.findIndex((tokens, t) => tokens !== plain[t]), first, `action ${changed}`);
    }
    model.dispose();
    tokenizer.dispose();
  });
  engine.close();
});
