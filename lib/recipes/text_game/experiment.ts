/**
 * The text-game experiment: vocabulary → likelihood → GRPO by each reward → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true differences of states
 *   grpo         it is trained on by GRPO, once by each reward that the configuration names
 *   evaluate     all of them on held-out transitions; result.json and report.html
 *
 * Each stage resumes from its newest valid checkpoint and needs the ones before it. What a stage computes stands in
 * `lib/runs` and `lib/train`; here is only what is given to whom.
 *
 * Source: RLVR-World §5.1.
 */
import { breather, workBreathing } from "../../base/breather.ts";
import type { EvaluationProgress } from "../language/evaluation.ts";
import { bpeTraining } from "../../models/bpe_trainer.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { CompletionsClient } from "../../serving/completions_client.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import type { Progress } from "../../runs/progress.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { RunInterruptedError, type StageContext } from "../../runs/stage.ts";
import { STREAM } from "../../base/streams.ts";
import { GoldMixture } from "../../worlds/text_game/mixing.ts";
import type { TextGameExample, TextGameResponse, TextGameWorld } from "../../worlds/text_game/world.ts";
import { resolveWithProgress } from "../hub_folder.ts";
import type { TextGameConfig, TextGameRewardName } from "./config.ts";
import { checkFiles, fittingExamples, fittingQuestions, spread, trainingTexts } from "../language/data.ts";
import { LanguageModels, modelFingerprint } from "../language/models.ts";
import { LanguageStages } from "../language/stages.ts";
import { openTextGameData, type TextGameData } from "./data.ts";
import { evaluateTextGame, type TextGameEvaluation } from "./evaluation.ts";
import { readTextGameTokens, type TextGameTokens, textGameWorld } from "./models.ts";

/** Stages in order. */
export const TEXT_GAME_STAGES = ["likelihood", "grpo", "evaluate"] as const;
/** Name of a stage. */
export type TextGameStage = typeof TEXT_GAME_STAGES[number];

/** What an experiment runs on. */
export interface TextGameContext {
  /** Who computes. */
  engine: Engine;
  /** Every value. */
  config: TextGameConfig;
  /** The run's folder, or how to make it: that is called once everything else has been opened and found sound. */
  run: RunFolder | (() => Promise<RunFolder>);
  /** Where it is said how far the run is. */
  progress: Progress;
  /** Stops the run; what has been trained is saved. */
  signal?: AbortSignal;
}

/** See the file's head. */
export class TextGameExperiment {
  /** Transitions that a model can take, to train with. */
  readonly train: readonly TextGameExample[];
  /** Likewise, to judge by. */
  readonly test: readonly TextGameExample[];
  readonly #context: StageContext;
  readonly #breathe = breather();
  readonly #imitation: readonly TextGameExample[];
  readonly #models: LanguageModels;
  readonly #stages: LanguageStages<TextGameExample, readonly TextGameResponse[]>;

  private constructor(
    /** Who computes. */
    readonly engine: Engine,
    /** Every value. */
    readonly config: TextGameConfig,
    /** Where everything is written. */
    readonly run: RunFolder,
    /** All transitions. */
    readonly data: TextGameData,
    /** Text to tokens. */
    readonly tokenizer: TextTokenizer,
    /** Prompts, answers, scores. */
    readonly world: TextGameWorld,
    /** The given model's folder, fetched where it was named by its place on the hub; null: a new one. */
    readonly modelFolder: string | null,
    learntFrom: LearntFrom,
    examples: Record<"train" | "test" | "imitation", readonly TextGameExample[]>,
    { progress, signal }: TextGameContext,
  ) {
    this.train = examples.train;
    this.test = examples.test;
    this.#imitation = examples.imitation;
    this.#context = { run, progress, signal, checkpointEvery: config.checkpointEvery };
    const vocabularySize = world.vocabularySize;
    const models = new LanguageModels({ engine, config, run, tokenizer, vocabularySize, folder: modelFolder });
    this.#models = models;
    this.#stages = new LanguageStages({ config, context: this.#context, models, world, tokenizer, learntFrom });
  }

  /**
   * Opens the model's folder, data and tokenizer, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: TextGameContext): Promise<TextGameExperiment> {
    const { engine, config, progress, signal } = context;
    // Refuses what is no address; nothing is sent.
    if (config.grpo.rollouts !== null) new CompletionsClient(config.grpo.rollouts);
    // Files and model are found there and sound, or not, in a moment; reading data takes minutes.
    await checkFiles([config.data.train, config.data.test, config.data.imitation]);
    const folder = config.model.folder === null
      ? null
      : await resolveWithProgress(config.model.folder, progress, { signal });
    const given = folder === null ? undefined : await readTextGameTokens(folder, config);
    for (const note of given?.notes ?? []) progress.note(note);
    const data = await openTextGameData(config, signal);
    for (const note of data.notes) progress.note(note);
    const { tokenizer, world, maxPositions } = given ?? await newTokens(config, data, signal);
    const fit = (examples: readonly TextGameExample[], what: string) =>
      fittingExamples(examples, world, config, what, { maxPositions, note: (text) => progress.note(text), signal });
    const train = await fit(data.train, "training data");
    // Judged on all that can be asked: leaving out what has a long true answer would leave out the hardest.
    const judged = await fittingQuestions({ examples: data.test, rows: [...data.test.keys()] }, world, config, {
      maxPositions,
      note: (text) => progress.note(`held-out data: ${text}`),
      signal,
    });
    const test = spread(judged.examples, config.evaluation.maxItems);
    const imitation = data.imitation ? await fit(data.imitation, "data to imitate") : train;
    const learntFrom = {
      fingerprint: data.fingerprint,
      models: folder === null ? undefined : await modelFingerprint(folder),
    };
    const run = typeof context.run === "function" ? await context.run() : context.run;
    const examples = { train, test, imitation };
    return new TextGameExperiment(engine, config, run, data, tokenizer, world, folder, learntFrom, examples, context);
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
    await this.#stages.checkLearntFrom(stages);
  }

  /** Trains the language model to imitate. Returns seconds of training. */
  async trainLikelihood(): Promise<number> {
    return await this.#stages.trainLikelihood(this.#imitation);
  }

  /** Trains the likelihood model by GRPO on one reward. Returns seconds of training. */
  async trainGrpo(reward: TextGameRewardName): Promise<number> {
    const { promptsPerStep, scoring } = this.config.grpo, mixture = this.#mixture(reward);
    const others = { binary: "taskSpecific", taskSpecific: "binary" } as const;
    return await this.#stages.trainGrpo({
      name: `grpo-${reward}`,
      model: `models/rlvr-${reward}`,
      metric: metricOf(reward, scoring),
      shownAs: "reward",
      alsoMeasured: [metricOf(others[reward], scoring)],
      servedAs: reward,
      credit: {},
      batch: (step) => mixture(step, promptsPerStep),
      truth: ({ target }) => target,
    });
  }

  /** The model that GRPO begins with: what likelihood training made, or the given one where that has no steps. */
  async likelihoodModel(): Promise<CausalTransformer> {
    return await this.#models.likelihood();
  }

  /** A trained model by its reward, or undefined when that stage has not run. */
  async rlvrModel(reward: TextGameRewardName): Promise<CausalTransformer | undefined> {
    return await this.#models.trained(`models/rlvr-${reward}`);
  }

  /** Evaluates a model on the held-out transitions. */
  async evaluate(
    model: CausalTransformer,
    options: { onProgress?: EvaluationProgress; breathe?: () => Promise<void> } = {},
  ): Promise<TextGameEvaluation> {
    return await evaluateTextGame({
      model,
      world: this.world,
      examples: this.test,
      scoring: this.config.grpo.scoring,
      seed: this.config.seed,
      rows: this.config.evaluation.rows,
      sampledAnswers: this.config.evaluation.sampledAnswers,
      ...options,
    });
  }

  /** Examples of a step: epochs of the mixture in random order, one after the other. */
  #mixture(reward: TextGameRewardName): (step: number, count: number) => TextGameExample[] {
    const gold = this.train.filter((each) => each.isGold), others = this.train.filter((each) => !each.isGold);
    const wanted = Math.floor(this.config.grpo.othersPerGold[reward] * gold.length);
    const mixture = new GoldMixture({
      gold,
      others,
      drawn: others.length === 0 ? 0 : gold.length === 0 ? others.length : wanted,
      stream: [this.config.seed, STREAM.grpoBatch],
    });
    const epochs = new Map<number, TextGameExample[]>();
    const epochOf = (number: number) => {
      const known = epochs.get(number) ?? mixture.epoch(number);
      epochs.clear();
      epochs.set(number, known);
      return known;
    };
    return (step, count) =>
      Array.from({ length: count }, (_, i) => {
        const at = step * count + i;
        return epochOf(Math.floor(at / mixture.length))[at % mixture.length];
      });
  }
}

/** A vocabulary of the training data, for a new model. */
async function newTokens(
  config: TextGameConfig,
  { train }: TextGameData,
  signal?: AbortSignal,
): Promise<Omit<TextGameTokens, "notes">> {
  const { vocabularySize, pattern } = config.tokenizer;
  const tokenizer = await workBreathing(bpeTraining(trainingTexts(train), { vocabularySize, pattern }), signal);
  return { tokenizer, world: textGameWorld(tokenizer, tokenizer.vocabularySize, config), maxPositions: Infinity };
}

/** Name of the world's metric of a reward. */
export function metricOf(reward: TextGameRewardName, scoring: TextGameConfig["grpo"]["scoring"]): string {
  if (scoring === "released") return reward;
  return reward === "binary" ? "strictBinary" : "strictTaskSpecific";
}
