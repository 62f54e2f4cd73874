/**
 * The robot-video experiment from pixels to a report: tokenizer → likelihood → GRPO → control → evaluation.
 *
 *   tokenizer    frames ↔ tokens, trained to reconstruct (or loaded)
 *   likelihood   the transformer, by maximum likelihood (or loaded)
 *   grpo         the same transformer, by GRPO on the metric
 *   control      the likelihood model trained on by likelihood for as long as GRPO took: what RLVR must beat
 *   evaluate     all of them on held-out clips; result.json and report.html
 *
 * Each stage resumes from its newest valid checkpoint and needs the ones before it. What a stage computes stands in
 * `lib/runs` and `lib/train`; here is only what is given to whom. Whether one frame is predicted or several is the business of
 * `robot_video_single_step.ts` and `robot_video_multi_step.ts`.
 *
 * Source: RLVR-World §6.1 (single-step), §6.3 (multi-step).
 */
import { breather } from "../../base/breather.ts";
import { UserError } from "../../base/user_error.ts";
import { CausalTransformer } from "../../models/causal_transformer.ts";
import { Discriminator, RELEASED_DISCRIMINATOR } from "../../models/discriminator.ts";
import type { Lpips } from "../../models/lpips.ts";
import { transformerConfig } from "../../models/transformer_config.ts";
import { grpoDivergence } from "../../runs/grpo_divergence.ts";
import { GrpoTrainer } from "../../train/grpo.ts";
import { needsReference } from "../../train/objective.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import { LikelihoodTrainer } from "../../train/likelihood.ts";
import { loadModelState, saveModelState } from "../../runs/model_state.ts";
import type { Progress } from "../../runs/progress.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { checkLearntFrom, pickMetrics, RunInterruptedError, runStage, type StageContext } from "../../runs/stage.ts";
import {
  likelihoodDivergence,
  tokenizerDivergence,
  watchBatches,
  type WatchedMetric,
} from "../../runs/stage_history.ts";
import { STREAM } from "../../base/streams.ts";
import type { Clip } from "../../worlds/robot_video/clips.ts";
import { reportedMetrics, type RobotVideoConfig, type RobotVideoUse } from "./config.ts";
import { openRobotVideoData, readActionRanges, type RobotVideoData, writeActionRanges } from "./data.ts";
import { evaluateRobotVideo, type Evaluation } from "./evaluation.ts";
import { type AnyVideoPrediction, videoKind } from "./kinds.ts";
import { checkGivenFolders, givenFingerprints, type GivenModels, loadFittingModel, openGivenModels } from "./models.ts";
import { setBackground, type VideoKind, type VideoTokenizer, type VideoWorld } from "./prediction.ts";

/** Stages in order. */
export const ROBOT_VIDEO_STAGES = ["tokenizer", "likelihood", "grpo", "control", "evaluate"] as const;
/** Name of a stage. */
export type RobotVideoStage = typeof ROBOT_VIDEO_STAGES[number];

/** What an experiment runs on. */
export interface ExperimentContext {
  /** Who computes. */
  engine: Engine;
  /** Every value. */
  config: RobotVideoConfig;
  /** What will be asked of the experiment: only what that needs is opened. Training when left out. */
  use?: RobotVideoUse;
  /** The run's folder, or how to make it: that is called once everything else has been opened and found sound. */
  run: RunFolder | (() => Promise<RunFolder>);
  /** Where it is said how far the run is. */
  progress: Progress;
  /** Stops the run; what has been trained is saved. */
  signal?: AbortSignal;
}

/** Held-out clips of the evaluations during GRPO. */
const WATCHED_ITEMS = 64;
/** Samples written to samples.jsonl: one prompt's group, every so many steps. */
const SAMPLE_EVERY = 10;

/** See the file's head. Its members are made when they are first needed. */
export class RobotVideoExperiment {
  /** Who computes. */
  readonly engine: Engine;
  /** Every value. */
  readonly config: RobotVideoConfig;
  /** Where everything is written. */
  readonly run: RunFolder;
  /** Episodes, split, clips, action bins. */
  readonly data: RobotVideoData;
  readonly #context: StageContext;
  readonly #breathe = breather();
  readonly #use: RobotVideoUse;
  readonly #lpips: Lpips | undefined;
  readonly #kind: VideoKind;
  readonly #learntFrom: LearntFrom;
  #tokenizer: VideoTokenizer | undefined;
  #prediction: AnyVideoPrediction | undefined;

  private constructor(
    context: ExperimentContext,
    run: RunFolder,
    data: RobotVideoData,
    given: GivenModels,
    models: LearntFrom["models"],
  ) {
    this.engine = context.engine;
    this.config = context.config;
    this.run = run;
    this.data = data;
    this.#use = context.use ?? "training";
    this.#kind = videoKind(context.config);
    this.#lpips = given.lpips;
    this.#tokenizer = given.tokenizer;
    this.#learntFrom = { fingerprint: data.fingerprint, models };
    this.#context = {
      run,
      progress: context.progress,
      signal: context.signal,
      checkpointEvery: context.config.checkpointEvery,
    };
  }

  /**
   * Opens data and weights, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: ExperimentContext): Promise<RobotVideoExperiment> {
    const { config, use = "training" } = context;
    // First: data take minutes.
    await checkGivenFolders(config, use);
    const models = use === "training" ? await givenFingerprints(config) : undefined;
    const trained = config.model.folder ??
      (typeof context.run === "function" ? undefined : context.run.file("models/likelihood"));
    const trainedRanges = trained === undefined ? undefined : await readActionRanges(trained);
    const data = await openRobotVideoData(config, { trainedRanges, use, signal: context.signal });
    for (const note of data.notes) context.progress.note(note);
    const given = await openGivenModels(context.engine, config, data, use);
    try {
      const run = typeof context.run === "function" ? await context.run() : context.run;
      return new RobotVideoExperiment(context, run, data, given, models);
    } catch (error) {
      given.tokenizer?.dispose();
      throw error;
    }
  }

  /**
   * For work between stages, which has nothing to save: to be awaited now and then.
   *
   * @throws {RunInterruptedError} When the user asked to stop.
   */
  async stopIfAsked(during: string): Promise<void> {
    await this.#breathe();
    if (this.#context.signal?.aborted) throw new RunInterruptedError(`stopped during ${during}; all training is saved`);
  }

  /** Sees that stages which are not run were trained on what there is now. @throws {UserError} When they were not. */
  async checkLearntFrom(stages: readonly string[]): Promise<void> {
    await checkLearntFrom(this.#context, stages, this.#learntFrom);
  }

  /** Trains the tokenizer, unless one was given. Returns seconds of training. */
  async trainTokenizer(): Promise<number> {
    const { tokenizer: settings } = this.config;
    if (settings.folder !== null) return 0;
    using owned = new DisposableStack();
    const { engine, config, data } = this;
    const tokenizer = this.#kind.newTokenizer(engine, config, data);
    // What is left unfinished is given back; the finished one stays the experiment's.
    owned.defer(() => tokenizer !== this.#tokenizer && tokenizer.dispose());
    if (settings.background) await setBackground(engine, tokenizer, data, config.seed);
    const discriminator = settings.adversarialWeight > 0
      ? owned.adopt(
        Discriminator.initialize(engine, RELEASED_DISCRIMINATOR, { seed: config.seed }),
        (each) => each.dispose(),
      )
      : undefined;
    const perceptual = settings.lpipsWeight > 0 ? this.#lpips : undefined;
    const trainer = this.#kind.trainer(tokenizer, { config, data, perceptual, discriminator });
    owned.defer(() => trainer.dispose());
    const { seconds } = await runStage(this.#context, {
      name: "tokenizer",
      steps: settings.steps,
      ...this.#learntFrom,
      async save() {
        const { tensors, ...counts } = await trainer.stateToHost();
        return { "state.safetensors": tensors, "state.json": counts };
      },
      async load(checkpoint) {
        const counts = await checkpoint.json<{ step: number; tokenizerUpdates: number; discriminatorUpdates: number }>(
          "state.json",
        );
        await trainer.loadState(
          { ...counts, tensors: await checkpoint.tensors("state.safetensors") },
          checkpoint.folder,
        );
      },
      step: async () => ({ ...await trainer.step() }),
      show: (metrics) => pickMetrics(metrics, { absoluteError: "L1", codesUsed: "codes" }),
      watched: watchBatches("absoluteError", "lower"),
      divergence: tokenizerDivergence,
    });
    this.#tokenizer = tokenizer;
    await tokenizer.save(this.run.file("models/tokenizer"));
    return seconds;
  }

  /** The frozen tokenizer (the given one, or the trained one) and the world over it. */
  async prediction(): Promise<AnyVideoPrediction> {
    if (this.#prediction) return this.#prediction;
    const { engine, config, data } = this;
    if (!this.#tokenizer) {
      const folder = config.tokenizer.folder ?? this.run.file("models/tokenizer");
      if (config.tokenizer.folder === null) await this.#needFolder(folder, "tokenizer");
      this.#tokenizer = await this.#kind.loadTokenizer(engine, folder, config, data);
    }
    this.#prediction = this.#kind.prediction(this.#tokenizer, config, data, this.#lpips) as AnyVideoPrediction;
    return this.#prediction;
  }

  /** The world over the frozen tokenizer. */
  async world(): Promise<AnyVideoPrediction["world"]> {
    return (await this.prediction()).world;
  }

  /** Trains the transformer by likelihood, unless one was given. Returns seconds of training. */
  async trainLikelihood(): Promise<number> {
    if (this.config.model.folder !== null) return 0;
    using owned = new DisposableStack();
    const model = owned.adopt(await this.#newModel(), (each) => each.dispose());
    const seconds = await this.#likelihoodStage("likelihood", model, this.config.likelihood.steps, 0);
    await this.#saveModel(model, "models/likelihood");
    return seconds;
  }

  /** Trains the likelihood model by GRPO. Returns seconds of training. */
  async trainGrpo(): Promise<number> {
    const { config } = this, { grpo } = config;
    const world: VideoWorld = await this.world();
    using owned = new DisposableStack();
    const load = async () => owned.adopt(await this.likelihoodModel(), (each) => each.dispose());
    const model = await load();
    const reference = needsReference(grpo) ? await load() : undefined;
    const trainer = new GrpoTrainer<Clip, unknown>(model, reference, world, {
      ...grpo,
      credit: grpo.credit === "answer" ? "answer" : "part",
      alsoMeasured: [],
      logitChunk: config.logitChunk,
      seed: config.seed,
    });
    owned.defer(() => trainer.optimizer.dispose());
    const { seconds } = await runStage(this.#context, {
      name: "grpo",
      steps: grpo.steps,
      ...this.#learntFrom,
      save: () => saveModelState(model.parameters, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.parameters, trainer.optimizer),
      step: async (step) => {
        const clips = await this.#trainingClips(STREAM.grpoBatch, step, grpo.promptsPerStep);
        const { sample, ...metrics } = await trainer.step(step, clips);
        if (step % SAMPLE_EVERY === 0) {
          this.run.samples.append({ stage: "grpo", step, clip: clipName(clips[0]), ...sample });
        }
        const { every } = config.evaluation;
        if (every === 0 || (step + 1) % every !== 0) return { ...metrics };
        const watched = await this.evaluate(model, { items: WATCHED_ITEMS });
        return { ...metrics, heldOut: means(watched.values) };
      },
      show: (metrics) =>
        pickMetrics(metrics, { reward: "reward", kl: "KL", clipShare: "clip", entropy: "H", equalGroups: "equal" }),
      watched: config.evaluation.every > 0 ? heldOutReward(grpo.reward, world) : watchBatches("reward", "higher"),
      divergence: (history) => grpoDivergence(history, trainer),
    });
    await this.#saveModel(model, "models/rlvr");
    return seconds;
  }

  /**
   * Trains the likelihood model on by likelihood, for as many steps as fit into GRPO's time at the speed of the likelihood
   * stage (or as many as the configuration says). Returns seconds of training.
   */
  async trainControl(grpoSeconds: number, likelihoodSeconds: number): Promise<number> {
    const { likelihood, control } = this.config;
    if (!control.enabled || this.config.model.folder !== null) return 0;
    const fitting = Math.round(grpoSeconds / (likelihoodSeconds / likelihood.steps));
    const steps = control.steps ?? Math.max(1, fitting);
    using owned = new DisposableStack();
    const model = owned.adopt(await this.#newModel(), (each) => each.dispose());
    const seconds = await this.#likelihoodStage("control", model, likelihood.steps + steps, likelihood.steps);
    await this.#saveModel(model, "models/control");
    return seconds;
  }

  /** The model after likelihood training: the given one, or the trained one. */
  likelihoodModel(): Promise<CausalTransformer> {
    return this.#loadModel(this.config.model.folder ?? this.run.file("models/likelihood"), "likelihood");
  }

  /** A trained model by its stage, or undefined when that stage has not run. */
  async trainedModel(stage: "likelihood" | "grpo" | "control"): Promise<CausalTransformer | undefined> {
    if (stage === "likelihood") return await this.likelihoodModel();
    const folder = this.run.file(stage === "grpo" ? "models/rlvr" : "models/control");
    try {
      await Deno.stat(folder);
    } catch {
      return undefined;
    }
    return await this.#loadModel(folder, stage);
  }

  /** Evaluates a model on the held-out clips, by `evaluation.metrics`; in a training run by its reward's metrics as well. */
  async evaluate(
    model: CausalTransformer,
    options: {
      items?: number;
      samples?: number;
      rejectRepeating?: boolean;
      onProgress?: (done: number, total: number) => void;
      breathe?: () => Promise<void>;
    } = {},
  ): Promise<Evaluation> {
    const { evaluation, seed, grpo } = this.config;
    return await evaluateRobotVideo({
      model,
      prediction: await this.prediction(),
      clips: this.data.evaluation,
      items: options.items ?? evaluation.maxItems ?? undefined,
      samples: options.samples ?? evaluation.samples,
      sampling: { temperature: evaluation.temperature, topK: evaluation.topK, topP: evaluation.topP },
      rejectRepeating: options.rejectRepeating ?? evaluation.rejectRepeating,
      maxAttempts: evaluation.maxAttempts,
      metrics: this.#use === "training" ? reportedMetrics(this.config) : evaluation.metrics,
      seed,
      rows: grpo.rolloutRows,
      onProgress: options.onProgress,
      breathe: options.breathe,
    });
  }

  /** Gives the tokenizer back. */
  dispose(): void {
    this.#tokenizer?.dispose();
    this.#tokenizer = undefined;
    this.#prediction = undefined;
  }

  /** Same as {@linkcode RobotVideoExperiment.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  async #saveModel(model: CausalTransformer, name: string): Promise<void> {
    const folder = this.run.file(name);
    await model.save(folder);
    await writeActionRanges(folder, this.data.bins.ranges);
  }

  async #newModel(): Promise<CausalTransformer> {
    const { model, seed } = this.config;
    const { vocabulary } = await this.world();
    const config = transformerConfig({
      vocabularySize: vocabulary.size,
      hiddenSize: model.hiddenSize,
      layers: model.layers,
      heads: model.heads,
      feedForwardSize: model.intermediateSize,
      initializerRange: model.initializerRange,
      bosToken: vocabulary.bos,
      eosToken: vocabulary.eos,
      padToken: vocabulary.eos,
    });
    return CausalTransformer.initialize(this.engine, config, { seed, computeType: model.computeType });
  }

  async #loadModel(folder: string, stage: string): Promise<CausalTransformer> {
    if (folder !== this.config.model.folder) await this.#needFolder(folder, stage);
    return await loadFittingModel(this.engine, folder, this.config, await this.prediction());
  }

  async #likelihoodStage(name: "likelihood" | "control", model: CausalTransformer, steps: number, from: number) {
    const { likelihood } = this.config;
    const world = await this.world();
    const trainer = new LikelihoodTrainer(model, {
      ...likelihood,
      decay: { steps: Math.min(likelihood.decaySteps, steps - from), totalSteps: steps },
      logitChunk: this.config.logitChunk,
    });
    using owned = new DisposableStack();
    owned.defer(() => trainer.optimizer.dispose());
    if (name === "control") {
      const checkpoint = await this.run.checkpoints("likelihood").newest();
      if (checkpoint?.step !== from) {
        throw new UserError(
          `${this.run.path} has no sound checkpoint of the end of the likelihood stage (step ${from}; the newest is ` +
            `${checkpoint ? `of step ${checkpoint.step}` : "missing"}): run it again with --resume --stage likelihood`,
        );
      }
      await loadModelState(checkpoint, model.parameters, trainer.optimizer);
    }
    const { seconds } = await runStage(this.#context, {
      name,
      steps: steps - from,
      ...this.#learntFrom,
      save: () => saveModelState(model.parameters, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.parameters, trainer.optimizer),
      step: async (step) => {
        // The control's steps go on where likelihood's ended: other batches, the full rate again, and its own fall.
        const number = from + step;
        const clips = await this.#trainingClips(STREAM.likelihoodBatch, number, likelihood.batch);
        return { ...await trainer.step(number, await world.encode(clips)) };
      },
      show: (metrics) => pickMetrics(metrics, { loss: "loss", gradientNorm: "grad" }),
      watched: watchBatches("loss", "lower"),
      divergence: likelihoodDivergence,
    });
    return seconds;
  }

  async #trainingClips(stream: number, step: number, count: number): Promise<Clip[]> {
    const clips: Clip[] = [];
    for (let item = 0; item < count; item++) clips.push(await this.data.training.clip(stream, step, item));
    return clips;
  }

  async #needFolder(folder: string, stage: string): Promise<void> {
    try {
      await Deno.stat(folder);
    } catch {
      throw new UserError(`${folder} does not exist: run the ${stage} stage first (--stage ${stage})`);
    }
  }
}

function clipName(clip: Clip): string {
  return `${clip.episode}@${clip.start}`;
}

/** The reward of the held-out clips that are evaluated every so many steps, of those of its terms that they are measured by. */
function heldOutReward(terms: RobotVideoConfig["grpo"]["reward"], { metrics }: VideoWorld): WatchedMetric {
  return {
    name: "heldOutReward",
    better: "higher",
    heldOut: true,
    of({ heldOut }) {
      const measured = terms.filter(({ metric }) => Object.hasOwn((heldOut ?? {}) as object, metric));
      if (measured.length === 0) return undefined;
      const value = ({ metric, weight }: typeof terms[number]) =>
        (metrics[metric].better === "lower" ? -1 : 1) * weight * (heldOut as Record<string, number>)[metric];
      return measured.reduce((sum, term) => sum + value(term), 0);
    },
  };
}

function means(values: Record<string, Float64Array>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).map(([name, each]) => [name, each.reduce((sum, value) => sum + value, 0) / each.length]),
  );
}
