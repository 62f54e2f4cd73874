/**
 * The web-page experiment: vocabulary → likelihood → GRPO by F1 → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true changes of items
 *   grpo         it is trained on by GRPO; the reward is the F1 of the changes that an answer lists
 *   evaluate     both on held-out transitions; result.json and report.html
 *
 * Each stage resumes from its newest valid checkpoint and needs the ones before it. What a stage computes stands in
 * `lib/runs` and `lib/train`; here is only what is given to whom.
 *
 * Source: RLVR-World §5.2.
 */
import { breather, workBreathing } from "../../base/breather.ts";
import type { EvaluationProgress } from "../language/evaluation.ts";
import { bpeTraining } from "../../models/bpe_trainer.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { CompletionsClient } from "../../serving/completions_client.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import type { Progress } from "../../runs/progress.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { RunInterruptedError, type StageContext } from "../../runs/stage.ts";
import { STREAM } from "../../base/streams.ts";
import type { WebPageExample, WebPageResponse, WebPageWorld } from "../../worlds/web_page/world.ts";
import { resolveWithProgress } from "../hub_folder.ts";
import { checkFiles, fittingExamples, fittingQuestions, spread, trainingTexts } from "../language/data.ts";
import { LanguageModels, modelFingerprint } from "../language/models.ts";
import { LanguageStages } from "../language/stages.ts";
import type { WebPageConfig } from "./config.ts";
import { cutObservations, openWebPageData, type WebPageData } from "./data.ts";
import { evaluateWebPage, type WebPageEvaluation } from "./evaluation.ts";
import { readWebPageTokens, type WebPageTokens, webPageWorld } from "./models.ts";

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

/** See the file's head. */
export class WebPageExperiment {
  /** Transitions that a model can take, to train with. */
  readonly train: readonly WebPageExample[];
  /** Likewise, to judge by. */
  readonly test: readonly WebPageExample[];
  readonly #context: StageContext;
  readonly #breathe = breather();
  readonly #models: LanguageModels;
  readonly #stages: LanguageStages<WebPageExample, readonly WebPageResponse[]>;

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
    learntFrom: LearntFrom,
    examples: Record<"train" | "test", readonly WebPageExample[]>,
    { progress, signal }: WebPageContext,
  ) {
    this.train = examples.train;
    this.test = examples.test;
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
  static async open(context: WebPageContext): Promise<WebPageExperiment> {
    const { engine, config, progress, signal } = context, note = (text: string) => progress.note(text);
    // Refuses what is no address; nothing is sent.
    if (config.grpo.rollouts !== null) new CompletionsClient(config.grpo.rollouts);
    // Files and model are found there and sound, or not, in a moment; reading data takes minutes.
    await checkFiles([config.data.train, config.data.test]);
    const folder = config.model.folder === null
      ? null
      : await resolveWithProgress(config.model.folder, progress, { signal });
    const given = folder === null ? undefined : await readWebPageTokens(folder, config);
    given?.notes.forEach(note);
    const data = await openWebPageData(config, signal);
    data.notes.forEach(note);
    const { tokenizer, world, maxPositions } = given ?? await newTokens(config, data, signal);
    const cut = (examples: readonly WebPageExample[], what: string) =>
      cutObservations(examples, tokenizer, config, what, note, signal);
    const train = await fittingExamples(await cut(data.train, "training data"), world, config, "training data", {
      maxPositions,
      note,
      signal,
    });
    // Judged on all that can be asked: leaving out what has a long true answer would leave out the hardest.
    const judged = await fittingQuestions(
      { examples: await cut(data.test, "held-out data"), rows: [...data.test.keys()] },
      world,
      config,
      { maxPositions, note: (text) => note(`held-out data: ${text}`), signal },
    );
    const test = spread(judged.examples, config.evaluation.maxItems);
    const learntFrom = {
      fingerprint: data.fingerprint,
      models: folder === null ? undefined : await modelFingerprint(folder),
    };
    const run = typeof context.run === "function" ? await context.run() : context.run;
    return new WebPageExperiment(
      engine,
      config,
      run,
      data,
      tokenizer,
      world,
      folder,
      learntFrom,
      { train, test },
      context,
    );
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
    return await this.#stages.trainLikelihood(this.train);
  }

  /** Trains the likelihood model by GRPO on F1. Returns seconds of training. */
  async trainGrpo(): Promise<number> {
    const { credit, creditDiscount } = this.config.grpo;
    return await this.#stages.trainGrpo({
      name: "grpo",
      model: "models/rlvr",
      metric: "f1",
      shownAs: "F1",
      alsoMeasured: ["precision", "recall"],
      servedAs: "f1",
      credit: { credit: credit === "item" ? "part" : "answer", creditDiscount },
      batch: (step) => this.#grpoBatch(step),
      truth: ({ truth }) => truth,
    });
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
    options: { onProgress?: EvaluationProgress; breathe?: () => Promise<void> } = {},
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
      ...options,
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

/** A vocabulary of the training data, for a new model. */
async function newTokens(
  config: WebPageConfig,
  { train }: WebPageData,
  signal?: AbortSignal,
): Promise<Omit<WebPageTokens, "notes">> {
  const { vocabularySize, pattern } = config.tokenizer;
  const tokenizer = await workBreathing(bpeTraining(trainingTexts(train), { vocabularySize, pattern }), signal);
  return { tokenizer, world: webPageWorld(tokenizer, tokenizer.vocabularySize, config), maxPositions: Infinity };
}
