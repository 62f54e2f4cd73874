/**
 * The robot-video recipe from pixels to a report: tokenizer → likelihood → GRPO → control → evaluation.
 *
 *   tokenizer    frames ↔ tokens, trained to reconstruct (or loaded)
 *   likelihood   the transformer, by maximum likelihood (or loaded)
 *   grpo         the same transformer, by GRPO on the metric
 *   control      the likelihood model trained on by likelihood for as long as GRPO took: what RLVR must beat
 *   evaluate     all of them on held-out clips; result.json and report.html
 *
 * Whether one frame is predicted or several is the business of `single_step.ts` and `multi_step.ts`.
 *
 * Source: RLVR-World §6.1 (single-step), §6.3 (multi-step).
 */
import { UserError } from "../../base/user_error.ts";
import { STREAM } from "../../base/streams.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Lpips } from "../../models/lpips.ts";
import type { GalleryClip } from "../../report/gallery.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import type {
  Evaluations,
  EvaluationWatch,
  FirstStage,
  OpenRecipe,
  PolicyRecipe,
  RecipeContext,
  RecipeReport,
} from "../../runs/recipe.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { type StageContext, stopper } from "../../runs/stage.ts";
import type { WatchedMetric } from "../../runs/stage_history.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { VideoClip } from "../../worlds/robot_video/clips.ts";
import type { World } from "../../worlds/world.ts";
import { reportedMetrics, type RobotVideoConfig, type RobotVideoUse } from "./config.ts";
import { openRobotVideoData, readActionRanges, type RobotVideoData } from "./data.ts";
import { baselineAnswers, evaluateBaselines } from "./baselines.ts";
import { evaluateRobotVideo, type VideoEvaluation } from "./evaluation.ts";
import { type AnyVideoPrediction, videoKind } from "./kinds.ts";
import { isThere, VideoModels } from "./model_store.ts";
import { checkGivenFolders, givenFingerprints, type GivenModels, openGivenModels } from "./given_models.ts";
import type { VideoTokenizer } from "./video_kind.ts";
import {
  imaginedClips,
  robotVideoHeadline,
  robotVideoReport,
  type RobotVideoResult,
  robotVideoResult,
} from "./report.ts";
import { trainTokenizer } from "./tokenizer_stage.ts";

/** Names of the stages, in order. */
export const ROBOT_VIDEO_STAGES = ["tokenizer", "likelihood", "grpo", "control", "evaluate"] as const;
/** Name of a stage. */
export type RobotVideoStage = typeof ROBOT_VIDEO_STAGES[number];

/** What an experiment runs on. */
export interface RobotVideoContext extends RecipeContext<RobotVideoConfig> {
  /** What will be asked of the experiment: only what that needs is opened. @default {"training"} */
  use?: RobotVideoUse;
}

/**
 * What a video is judged by, beside what the configuration says.
 *
 * @internal
 */
export interface VideoEvaluationOptions extends EvaluationWatch {
  /** At most so many clips. */
  items?: number;
  /** Answers a clip, of which the best is kept as well. */
  samples?: number;
  /** Draw answers again that repeat the frame before. */
  rejectRepeating?: boolean;
}

/** Held-out clips of the evaluations during GRPO. */
const WATCHED_ITEMS = 64;

/** See the file's head. Its members are made when they are first needed. */
export class RobotVideoExperiment implements OpenRecipe<VideoClip, unknown, VideoEvaluation, RobotVideoResult> {
  readonly task = "train-video";
  readonly evaluated = "clips";
  readonly engine: Engine;
  readonly config: RobotVideoConfig;
  readonly context: StageContext;
  readonly learntFrom: LearntFrom;
  readonly models: VideoModels;
  readonly firstStages: readonly FirstStage[];
  readonly policies: readonly PolicyRecipe<VideoClip>[];
  /** The run's folder, where everything is written. */
  readonly run: RunFolder;
  /** Episodes, split, clips, action bins. */
  readonly data: RobotVideoData;
  readonly #use: RobotVideoUse;
  readonly #lpips: Lpips | undefined;
  #tokenizer: VideoTokenizer | undefined;
  #prediction: AnyVideoPrediction | undefined;

  private constructor(
    { engine, config, use = "training", progress, signal }: RobotVideoContext,
    run: RunFolder,
    data: RobotVideoData,
    given: GivenModels,
    models: LearntFrom["models"],
  ) {
    this.engine = engine;
    this.config = config;
    this.run = run;
    this.data = data;
    this.#use = use;
    this.#lpips = given.lpips;
    this.#tokenizer = given.tokenizer;
    this.learntFrom = { fingerprint: data.fingerprint, models };
    this.context = { run, progress, signal, checkpointEvery: config.checkpointEvery };
    this.models = new VideoModels(engine, config, data, run, () => this.prediction());
    this.firstStages = [{
      name: "tokenizer",
      replacement: config.tokenizer.folder,
      train: () => this.#trainTokenizer(),
    }];
    this.policies = [this.#policy()];
  }

  /**
   * Opens data and weights, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: RobotVideoContext): Promise<RobotVideoExperiment> {
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

  get withoutLikelihood(): string | undefined {
    const { folder } = this.config.model;
    return folder === null ? undefined : `nothing to train, ${folder} was given`;
  }

  get control(): { steps: number | null } | undefined {
    const { control: { enabled, steps }, model } = this.config;
    return enabled && model.folder === null ? { steps } : undefined;
  }

  /** The frozen tokenizer (the given one, or the trained one) and the world over it. */
  async prediction(): Promise<AnyVideoPrediction> {
    if (this.#prediction) return this.#prediction;
    const { engine, config, data } = this, kind = videoKind(config);
    if (!this.#tokenizer) {
      const folder = config.tokenizer.folder ?? this.run.file("models/tokenizer");
      if (config.tokenizer.folder === null && !await isThere(folder)) {
        throw new UserError(`${folder} does not exist: run the tokenizer stage first (--stage tokenizer)`);
      }
      this.#tokenizer = await kind.loadTokenizer(engine, folder, config, data);
    }
    this.#prediction = kind.prediction(this.#tokenizer, config, data, this.#lpips) as AnyVideoPrediction;
    return this.#prediction;
  }

  async loadWorld(): Promise<World<VideoClip, unknown>> {
    return (await this.prediction()).world as World<VideoClip, unknown>;
  }

  likelihoodBatch(step: number): Promise<VideoClip[]> {
    return this.#trainingClips(STREAM.likelihoodBatch, step, this.config.likelihood.batch);
  }

  /** Evaluates a model on the held-out clips, by `evaluation.metrics`; in a training run by its reward's metrics as well. */
  async evaluate(
    model: CausalTransformer,
    { items, samples, rejectRepeating, baselines = false, onProgress, breathe }: VideoEvaluationOptions = {},
  ): Promise<VideoEvaluation> {
    const { evaluation, seed, grpo } = this.config;
    const metrics = this.#use === "training" ? reportedMetrics(this.config) : evaluation.metrics;
    const shared = {
      model,
      prediction: await this.prediction(),
      clips: this.data.evaluation,
      items: items ?? evaluation.maxItems ?? undefined,
      sampling: { temperature: evaluation.temperature, topK: evaluation.topK, topP: evaluation.topP },
      seed,
      rows: grpo.rolloutRows,
      breathe,
    };
    const answers = evaluation.baselineAnswers, { selection } = this.data;
    const extra = baselines && answers > 0 ? { metric: metrics[0], answers, selection } : undefined;
    const result = await evaluateRobotVideo({
      ...shared,
      samples: samples ?? evaluation.samples,
      rejectRepeating: rejectRepeating ?? evaluation.rejectRepeating,
      maxAttempts: evaluation.maxAttempts,
      metrics,
      onProgress: (done, clips) => onProgress?.(done, clips + (extra ? baselineAnswers(clips, extra) : 0)),
    });
    if (!extra) return result;
    const clips = result.episodes.length, total = clips + baselineAnswers(clips, extra);
    return {
      ...result,
      baselines: await evaluateBaselines({
        ...shared,
        ...extra,
        onProgress: (done) => onProgress?.(clips + done, total),
      }),
    };
  }

  result(
    evaluations: Evaluations<VideoEvaluation>,
  ): Pick<RobotVideoResult, "metrics" | "base" | "headline" | "trueRepetition" | "baselines"> {
    return robotVideoResult(this.config, evaluations);
  }

  headline(result: RobotVideoResult): string {
    return robotVideoHeadline(result);
  }

  async report(result: RobotVideoResult): Promise<RecipeReport> {
    if (this.config.evaluation.gifs === 0) return robotVideoReport(this.config, result, []);
    using owned = new DisposableStack();
    const keep = (model: CausalTransformer | undefined) => model && owned.adopt(model, (loaded) => loaded.dispose());
    const control = keep(await this.models.trained("control")), rlvr = keep(await this.models.trained("rlvr"));
    const likelihood = control && rlvr ? undefined : keep(await this.models.likelihood());
    const clips = await this.imagine({ Base: control ?? likelihood!, RLVR: rlvr ?? likelihood! });
    return robotVideoReport(this.config, result, clips);
  }

  /** The frames that models imagine on held-out episodes, truth first. @param models By the names that are shown. */
  async imagine(models: Record<string, CausalTransformer>): Promise<GalleryClip[]> {
    const { config, data, context } = this, stopIfAsked = stopper(context, "the report");
    return await imaginedClips({ config, data, prediction: await this.prediction(), stopIfAsked }, models);
  }

  /** Frees the tokenizer, if one was loaded. */
  dispose(): void {
    this.#tokenizer?.dispose();
    this.#tokenizer = undefined;
    this.#prediction = undefined;
  }

  /** Same as {@linkcode RobotVideoExperiment.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #policy(): PolicyRecipe<VideoClip> {
    const { config: { grpo: { reward, credit, creditDiscount, scoreRows, promptsPerStep }, evaluation: { every } } } =
      this;
    return {
      stage: "grpo",
      name: "rlvr",
      options: { reward, credit: credit === "answer" ? "answer" : "part", creditDiscount, scoreRows },
      shownAs: "reward",
      batch: (step) => this.#trainingClips(STREAM.grpoBatch, step, promptsPerStep),
      describe: (clip, sample) => ({ clip: `${clip.episode}@${clip.start}`, ...sample }),
      watch: every === 0 ? undefined : {
        every,
        metric: ({ metrics }) => heldOutReward(reward, metrics),
        measure: async (model) => ({ heldOut: means((await this.evaluate(model, { items: WATCHED_ITEMS })).values) }),
      },
    };
  }

  async #trainTokenizer(): Promise<number> {
    const { engine, config, data, context, learntFrom } = this, kind = videoKind(config);
    const stage = { engine, config, data, kind, lpips: this.#lpips, context, learntFrom };
    const { tokenizer, seconds } = await trainTokenizer(stage);
    this.#tokenizer = tokenizer;
    return seconds;
  }

  async #trainingClips(stream: number, step: number, count: number): Promise<VideoClip[]> {
    const clips: VideoClip[] = [];
    for (let item = 0; item < count; item++) clips.push(await this.data.training.clip(stream, step, item));
    return clips;
  }
}

/** The reward of the held-out clips that are evaluated every so many steps, of those of its terms that they are measured by. */
function heldOutReward(
  terms: RobotVideoConfig["grpo"]["reward"],
  metrics: World<VideoClip, unknown>["metrics"],
): WatchedMetric {
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
    Object.entries(values).map((
      [name, numbers],
    ) => [name, numbers.reduce((sum, value) => sum + value, 0) / numbers.length]),
  );
}
