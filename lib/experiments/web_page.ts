/**
 * The web-page experiment: vocabulary → likelihood → GRPO by F1 → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true changes of items
 *   grpo         it is trained on by GRPO; the reward is the F1 of the changes that an answer lists
 *   evaluate     both on held-out transitions; result.json and report.html
 *
 * Each stage resumes from its newest valid checkpoint and needs the ones before it. What a stage computes stands in
 * `lib/training` and `lib/rl`; here is only what is given to whom.
 *
 * Source: RLVR-World §5.2.
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
import type { WebPageExample, WebPageResponse, WebPageWorld } from "../worlds/web_page/world.ts";
import { grpoOptions } from "./grpo_fields.ts";
import { resolveWithProgress } from "./hub_folder.ts";
import { fittingExamples, fittingQuestions, spread, trainingTexts } from "./language_data.ts";
import { LanguageModels } from "./language_models.ts";
import type { WebPageConfig } from "./web_page_config.ts";
import { cutObservations, openWebPageData, type WebPageData } from "./web_page_data.ts";
import { evaluateWebPage, type WebPageEvaluation } from "./web_page_evaluation.ts";
import { readWebPageTokens, webPageWorld } from "./web_page_models.ts";

/** Stages in order. */
export const WEB_PAGE_STAGES = ["likelihood", "grpo", "evaluate"] as const;
/** Name of a stage. */
export type WebPageStage = typeof WEB_PAGE_STAGES[number];

/** What an experiment runs on. */
export interface WebPageContext {
  /** Who computes. */
  engine: Engine;
  /** Every value. */
  config: WebPageConfig;
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
export class WebPageExperiment {
  /** Transitions that a model can take, to train with. */
  readonly train: readonly WebPageExample[];
  /** Likewise, to judge by. */
  readonly test: readonly WebPageExample[];
  readonly #context: StageContext;
  readonly #models: LanguageModels;

  private constructor(
    /** Who computes. */
    readonly engine: Engine,
    /** Every value. */
    readonly config: WebPageConfig,
    /** Where everything is written. */
    readonly run: RunFolder,
    /** All transitions. */
    readonly data: WebPageData,
    /** Text to tokens. */
    readonly tokenizer: TextTokenizer,
    /** Prompts, answers, scores. */
    readonly world: WebPageWorld,
    /** The given model's folder, fetched where it was named by its place on the hub; null: a new one. */
    readonly modelFolder: string | null,
    examples: Record<"train" | "test", readonly WebPageExample[]>,
    { progress, signal }: WebPageContext,
  ) {
    this.train = examples.train;
    this.test = examples.test;
    this.#context = { run, progress, signal, checkpointEvery: config.checkpointEvery };
    const vocabularySize = world.vocabularySize;
    this.#models = new LanguageModels({ engine, config, run, tokenizer, vocabularySize, folder: modelFolder });
  }

  /**
   * Opens data and tokenizer, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: WebPageContext): Promise<WebPageExperiment> {
    const { engine, config, progress } = context, note = (text: string) => progress.note(text);
    // Refuses what is no address; nothing is sent.
    if (config.grpo.rollouts !== null) new CompletionsClient(config.grpo.rollouts);
    const data = await openWebPageData(config);
    data.notes.forEach(note);
    const folder = config.model.folder === null ? null : await resolveWithProgress(config.model.folder, progress);
    let tokenizer: TextTokenizer, world: WebPageWorld, maxPositions = Infinity;
    if (folder === null) {
      const { vocabularySize: size, pattern } = config.tokenizer;
      tokenizer = trainBpe(trainingTexts(data.train), { vocabularySize: size, pattern });
      world = webPageWorld(tokenizer, tokenizer.vocabularySize, config);
    } else {
      ({ tokenizer, world, maxPositions } = await readWebPageTokens(folder, config));
    }
    const cut = (examples: readonly WebPageExample[], what: string) =>
      cutObservations(examples, tokenizer, config, what, note);
    const train = fittingExamples(cut(data.train, "training data"), world, config, "training data", {
      maxPositions,
      note,
    });
    // Judged on all that can be asked: leaving out what has a long true answer would leave out the hardest.
    const judged = fittingQuestions(
      { examples: cut(data.test, "held-out data"), rows: [...data.test.keys()] },
      world,
      config,
      { maxPositions, note: (text) => note(`held-out data: ${text}`) },
    );
    const test = spread(judged.examples, config.evaluation.maxItems);
    const run = typeof context.run === "function" ? await context.run() : context.run;
    return new WebPageExperiment(engine, config, run, data, tokenizer, world, folder, { train, test }, context);
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
          () => this.train[random.integer(0, this.train.length)],
        );
        return { ...await trainer.step(step, await this.world.encode(examples)) };
      },
      show: (metrics) => pickMetrics(metrics, { loss: "loss", gradientNorm: "grad" }),
    });
    await this.#models.save(model, "models/likelihood", this.#models.firstName);
    return seconds;
  }

  /** Trains the likelihood model by GRPO on F1. Returns seconds of training. */
  async trainGrpo(): Promise<number> {
    const { grpo, seed, model: { checkpointing, lora }, logitChunk } = this.config;
    using owned = new DisposableStack();
    // Where all weights are trained, none may be of the type that frozen ones are kept in.
    const trainsAll = lora === null || !grpo.adapters;
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
    await using served = this.#models.served(model, "f1", (text) => this.#context.progress.note(text));
    const trainer = new GrpoTrainer<WebPageExample, readonly WebPageResponse[]>(model, reference, this.world, {
      ...grpoOptions(grpo),
      reward: [{ metric: "f1", weight: 1 }],
      alsoMeasured: ["precision", "recall"],
      checkpointing,
      logitChunk,
      scoreRows: grpo.rolloutRows,
      seed,
    }, served?.sampler);
    owned.defer(() => trainer.optimizer.dispose());
    const { seconds } = await runStage(this.#context, {
      name: "grpo",
      steps: grpo.steps,
      fingerprint: this.data.fingerprint,
      save: () => saveModelState(model.trainable, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
      step: async (step) => {
        const examples = this.#grpoBatch(step);
        const { sample, ...metrics } = await trainer.step(step, examples);
        if (step % SAMPLE_EVERY === 0) {
          const texts = sample.answers.map((answer) => this.tokenizer.decode(answer, { keepSpecial: true }));
          this.run.samples.append({
            stage: "grpo",
            step,
            example: examples[0].name,
            truth: examples[0].truth,
            answers: texts,
            rewards: sample.rewards,
            advantages: sample.advantages,
          });
        }
        return { ...metrics };
      },
      show: (metrics) =>
        pickMetrics(metrics, { reward: "F1", kl: "KL", entropy: "H", equalGroups: "equal", cutAnswers: "cut" }),
    });
    await this.#models.save(model, "models/rlvr", this.#models.grpoBase);
    return seconds;
  }

  /** The model that GRPO begins with: what likelihood training made, or the given one where that has no steps. */
  async likelihoodModel(): Promise<CausalTransformer> {
    return await this.#models.likelihood();
  }

  /** The model after GRPO, or undefined when that stage has not run. */
  async rlvrModel(): Promise<CausalTransformer | undefined> {
    return await this.#models.trained("models/rlvr");
  }

  /** Evaluates a model on the held-out transitions. */
  async evaluate(
    model: CausalTransformer,
    options: { onProgress?: (done: number, total: number) => void } = {},
  ): Promise<WebPageEvaluation> {
    const { seed, evaluation: { rows, sampledAnswers, temperature, topP } } = this.config;
    return await evaluateWebPage({
      model,
      world: this.world,
      examples: this.test,
      seed,
      rows,
      sampledAnswers,
      sampling: { temperature, topP },
      onProgress: options.onProgress,
    });
  }

  /** Examples of a step: epochs of all in random order, one after the other. */
  #grpoBatch(step: number): WebPageExample[] {
    const { promptsPerStep } = this.config.grpo, orders = new Map<number, Int32Array>();
    return Array.from({ length: promptsPerStep }, (_, i) => {
      const at = step * promptsPerStep + i, epoch = Math.floor(at / this.train.length);
      let order = orders.get(epoch);
      if (!order) {
        orders.set(epoch, order = new Philox(this.config.seed, STREAM.grpoBatch, epoch).permutation(this.train.length));
      }
      return this.train[order[at % this.train.length]];
    });
  }
}
