/**
 * The text-game experiment: vocabulary → likelihood → GRPO by each reward → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true differences of states
 *   grpo         it is trained on by GRPO, once by each reward that the configuration names
 *   evaluate     all of them on held-out transitions; result.json and report.html
 *
 * Each stage resumes from its newest valid checkpoint and needs the ones before it. What a stage computes stands in
 * `lib/training` and `lib/rl`; here is only what is given to whom.
 *
 * Source: RLVR-World §5.1.
 */
import { trainBpe } from "../models/bpe_trainer.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { TextTokenizer } from "../models/text_tokenizer.ts";
import { CompletionsClient } from "../rl/completions_client.ts";
import { GrpoTrainer } from "../rl/grpo.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { LikelihoodTrainer } from "../training/likelihood.ts";
import { loadModelState, saveModelState } from "../training/model_state.ts";
import type { Progress } from "../training/progress.ts";
import type { RunFolder } from "../training/run_folder.ts";
import { pickMetrics, RunInterruptedError, runStage, type StageContext } from "../training/stage.ts";
import { STREAM } from "../training/streams.ts";
import { GoldMixture } from "../worlds/text_game/mixing.ts";
import type { TextGameExample, TextGameResponse, TextGameWorld } from "../worlds/text_game/world.ts";
import { resolveWithProgress } from "./hub_folder.ts";
import { grpoOptions } from "./grpo_fields.ts";
import type { TextGameConfig, TextGameRewardName } from "./text_game_config.ts";
import { fittingExamples, fittingQuestions, spread, trainingTexts } from "./language_data.ts";
import { LanguageModels } from "./language_models.ts";
import { openTextGameData, type TextGameData } from "./text_game_data.ts";
import { evaluateTextGame, type TextGameEvaluation } from "./text_game_evaluation.ts";
import { readTextGameTokens, textGameWorld } from "./text_game_models.ts";

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

/** Samples written to samples.jsonl: one prompt's group, every so many steps. */
const SAMPLE_EVERY = 10;

/** See the file's head. */
export class TextGameExperiment {
  /** Transitions that a model can take, to train with. */
  readonly train: readonly TextGameExample[];
  /** Likewise, to judge by. */
  readonly test: readonly TextGameExample[];
  readonly #context: StageContext;
  readonly #imitation: readonly TextGameExample[];
  readonly #models: LanguageModels;

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
    examples: Record<"train" | "test" | "imitation", readonly TextGameExample[]>,
    context: TextGameContext,
  ) {
    this.train = examples.train;
    this.test = examples.test;
    this.#imitation = examples.imitation;
    this.#models = new LanguageModels({
      engine,
      config,
      run,
      tokenizer,
      vocabularySize: world.vocabularySize,
      folder: modelFolder,
    });
    this.#context = {
      run,
      progress: context.progress,
      signal: context.signal,
      checkpointEvery: config.checkpointEvery,
    };
  }

  /**
   * Opens data and tokenizer, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: TextGameContext): Promise<TextGameExperiment> {
    const { engine, config, progress } = context;
    // Refuses what is no address; nothing is sent.
    if (config.grpo.rollouts !== null) new CompletionsClient(config.grpo.rollouts);
    const data = await openTextGameData(config);
    for (const note of data.notes) progress.note(note);
    const folder = config.model.folder === null ? null : await resolveWithProgress(config.model.folder, progress);
    let tokenizer: TextTokenizer, world: TextGameWorld, maxPositions = Infinity;
    if (folder === null) {
      const { vocabularySize: size, pattern } = config.tokenizer;
      tokenizer = trainBpe(trainingTexts(data.train), { vocabularySize: size, pattern });
      world = textGameWorld(tokenizer, tokenizer.vocabularySize, config);
    } else {
      ({ tokenizer, world, maxPositions } = await readTextGameTokens(folder, config));
    }
    const fit = (examples: readonly TextGameExample[], what: string) =>
      fittingExamples(examples, world, config, what, { maxPositions, note: (text) => progress.note(text) });
    const train = fit(data.train, "training data");
    // Judged on all that can be asked: leaving out what has a long true answer would leave out the hardest.
    const judged = fittingQuestions({ examples: data.test, rows: [...data.test.keys()] }, world, config, {
      maxPositions,
      note: (text) => progress.note(`held-out data: ${text}`),
    });
    const test = spread(judged.examples, config.evaluation.maxItems);
    const imitation = data.imitation ? fit(data.imitation, "data to imitate") : train;
    const run = typeof context.run === "function" ? await context.run() : context.run;
    const examples = { train, test, imitation };
    return new TextGameExperiment(engine, config, run, data, tokenizer, world, folder, examples, context);
  }

  /**
   * For work between stages, which has nothing to save.
   *
   * @throws {RunInterruptedError} When the user asked to stop.
   */
  stopIfAsked(during: string): void {
    if (this.#context.signal?.aborted) throw new RunInterruptedError(`stopped during ${during}; all training is saved`);
  }

  /** Trains the language model to imitate. Returns seconds of training. */
  async trainLikelihood(): Promise<number> {
    const { likelihood, model: { checkpointing } } = this.config;
    if (likelihood.steps === 0) return 0;
    using owned = new DisposableStack();
    const model = owned.adopt(await this.#models.first(), (each) => each.dispose());
    this.#models.attachNew(model);
    const trainer = new LikelihoodTrainer(model, {
      ...likelihood,
      checkpointing,
      decay: { steps: Math.min(likelihood.decaySteps, likelihood.steps), totalSteps: likelihood.steps },
      logitChunk: this.config.logitChunk,
    });
    owned.defer(() => trainer.optimizer.dispose());
    const { seconds } = await runStage(this.#context, {
      name: "likelihood",
      steps: likelihood.steps,
      fingerprint: this.data.fingerprint,
      save: () => saveModelState(model.trainable, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
      step: async (step) => {
        const random = new Philox(this.config.seed, STREAM.likelihoodBatch, step);
        const examples = Array.from(
          { length: likelihood.batch },
          () => this.#imitation[random.integer(0, this.#imitation.length)],
        );
        return { ...await trainer.step(step, await this.world.encode(examples)) };
      },
      show: (metrics) => pickMetrics(metrics, { loss: "loss", gradientNorm: "grad" }),
    });
    await this.#models.save(model, "models/likelihood", this.#models.firstName);
    return seconds;
  }

  /** Trains the likelihood model by GRPO on one reward. Returns seconds of training. */
  async trainGrpo(reward: TextGameRewardName): Promise<number> {
    const { grpo, seed, model: { checkpointing }, logitChunk } = this.config;
    using owned = new DisposableStack();
    // Where all weights are trained, none may be of the type that frozen ones are kept in.
    const trainsAll = this.config.model.lora === null || !grpo.adapters;
    const parameterType = trainsAll ? "float32" : this.config.model.parameterType;
    const model = owned.adopt(await this.#models.likelihood(parameterType), (each) => each.dispose());
    if (!trainsAll) this.#models.attachNew(model);
    const needsReference = grpo.kl !== "none" && grpo.klCoefficient > 0;
    // With adapters the reference is the same model without them.
    const reference = !needsReference
      ? undefined
      : model.adapters
      ? "without-adapters" as const
      : owned.adopt(await this.#models.likelihood(), (each) => each.dispose());
    const metric = metricOf(reward, grpo.scoring), others = { binary: "taskSpecific", taskSpecific: "binary" } as const;
    await using served = this.#models.served(model, reward, (text) => this.#context.progress.note(text));
    const trainer = new GrpoTrainer<TextGameExample, readonly TextGameResponse[]>(model, reference, this.world, {
      ...grpoOptions(grpo),
      reward: [{ metric, weight: 1 }],
      alsoMeasured: [metricOf(others[reward], grpo.scoring)],
      checkpointing,
      logitChunk,
      scoreRows: grpo.rolloutRows,
      seed,
    }, served?.sampler);
    owned.defer(() => trainer.optimizer.dispose());
    const mixture = this.#mixture(reward);
    const { seconds } = await runStage(this.#context, {
      name: `grpo-${reward}`,
      steps: grpo.steps,
      fingerprint: this.data.fingerprint,
      save: () => saveModelState(model.trainable, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
      step: async (step) => {
        const examples = mixture(step, grpo.promptsPerStep);
        const { sample, ...metrics } = await trainer.step(step, examples);
        if (step % SAMPLE_EVERY === 0) {
          const texts = sample.answers.map((answer) => this.tokenizer.decode(answer, { keepSpecial: true }));
          this.run.samples.append({
            stage: `grpo-${reward}`,
            step,
            example: examples[0].name,
            truth: examples[0].target,
            answers: texts,
            rewards: sample.rewards,
            advantages: sample.advantages,
          });
        }
        return { ...metrics };
      },
      show: (metrics) =>
        pickMetrics(metrics, { reward: "reward", kl: "KL", entropy: "H", equalGroups: "equal", cutAnswers: "cut" }),
    });
    await this.#models.save(model, `models/rlvr-${reward}`, this.#models.grpoBase);
    return seconds;
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
    options: { onProgress?: (done: number, total: number) => void } = {},
  ): Promise<TextGameEvaluation> {
    return await evaluateTextGame({
      model,
      world: this.world,
      examples: this.test,
      scoring: this.config.grpo.scoring,
      seed: this.config.seed,
      rows: this.config.evaluation.rows,
      sampledAnswers: this.config.evaluation.sampledAnswers,
      onProgress: options.onProgress,
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

/** Name of the world's metric of a reward. */
export function metricOf(reward: TextGameRewardName, scoring: TextGameConfig["grpo"]["scoring"]): string {
  if (scoring === "released") return reward;
  return reward === "binary" ? "strictBinary" : "strictTaskSpecific";
}
