/**
 * What the recipes of language models share: a given model or a new one with a vocabulary of the data, examples that it can take,
 * likelihood training on them, a server that may sample. Data, worlds, rewards and evaluations are each recipe's own.
 */
import { workBreathing } from "../../base/breather.ts";
import { STREAM } from "../../base/streams.ts";
import { bpeTraining } from "../../models/bpe_trainer.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import type { RunResult } from "../../report/result.ts";
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
import type { StageContext } from "../../runs/stage.ts";
import { CompletionsClient } from "../../serving/completions_client.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import type { LanguageExample } from "../../worlds/language_tokens.ts";
import type { World } from "../../worlds/world.ts";
import { resolveWithProgress } from "../hub_folder.ts";
import { checkFiles, type ExampleEncoder, fittingExamples, fittingQuestions, spread, trainingTexts } from "./data.ts";
import type { LanguageConfig } from "./fields.ts";
import { LanguageModels, modelFingerprint, readLanguageModelFolder } from "./model_store.ts";

/** Names of the stages, in order. */
export const LANGUAGE_STAGES = ["likelihood", "grpo", "evaluate"] as const;

/** An example with a name for the log. */
export type NamedExample = LanguageExample & { readonly name: string };

/** A world whose questions and answers are text. */
export type LanguageWorld<Example, States> = World<Example, States> & ExampleEncoder<Example>;

/** Examples to train with and to judge by. */
export interface LanguageData<Example> {
  /** Examples to train with. */
  train: readonly Example[];
  /** Held-out examples, to judge by. */
  test: readonly Example[];
  /** Examples to imitate by likelihood. @default {the training examples} */
  imitation?: readonly Example[];
  /** Rule and hash of all examples; equal where the data are. */
  fingerprint: string;
  /** What the user should know of the data, a line each. */
  notes: readonly string[];
}

/** How a recipe's data and world are made. */
export interface LanguageSource<Example, Data extends LanguageData<Example>, OwnWorld> {
  /** Files that the configuration names. */
  files: readonly (string | null)[];
  /** Reads the training and held-out examples. */
  readData(): Promise<Data>;
  /** The world in a tokenizer's tokens. */
  worldOf(tokenizer: TextTokenizer, vocabularySize: number, endTokens?: readonly number[]): OwnWorld;
  /** Changes examples before it is seen whether a model can take them; they stay when it is left out. */
  prepare?(examples: readonly Example[], tokenizer: TextTokenizer, what: string): Promise<Example[]>;
}

/** Data, tokenizer and world, from {@linkcode openLanguage}. */
export interface OpenedLanguage<Example, Data, OwnWorld> {
  /** Training and held-out examples. */
  data: Data;
  /** The given model's tokenizer, or a new one. */
  tokenizer: TextTokenizer;
  /** The world in the tokenizer's tokens. */
  world: OwnWorld;
  /** The given model's folder, fetched where it was named by its place on the hub; null: a new one. */
  modelFolder: string | null;
  /** Examples that the model can take. */
  examples: Record<"train" | "test" | "imitation", readonly Example[]>;
  /** Of data and given model. */
  learntFrom: LearntFrom;
  /** The folder that the run writes to. */
  run: RunFolder;
}

/**
 * Opens the model's folder, data and tokenizer, and only then makes the run's folder, if it is to be made.
 *
 * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
 */
export async function openLanguage<
  Example extends NamedExample,
  Data extends LanguageData<Example>,
  OwnWorld extends ExampleEncoder<Example>,
>(
  context: RecipeContext<LanguageConfig>,
  source: LanguageSource<Example, Data, OwnWorld>,
): Promise<OpenedLanguage<Example, Data, OwnWorld>> {
  const { config, progress, signal } = context, note = (text: string) => progress.note(text);
  // Refuses what is no address; nothing is sent.
  if (config.grpo.rollouts !== null) new CompletionsClient(config.grpo.rollouts);
  // Files and model are found there and sound, or not, in a moment; reading data takes minutes.
  await checkFiles(source.files);
  const modelFolder = config.model.folder === null
    ? null
    : await resolveWithProgress(config.model.folder, progress, { signal });
  const given = modelFolder === null ? undefined : await readLanguageModelFolder(modelFolder);
  const givenWorld = given && source.worldOf(given.tokenizer, given.vocabularySize, given.endTokens);
  given?.notes.forEach(note);
  const data = await source.readData();
  data.notes.forEach(note);
  const tokenizer = given?.tokenizer ??
    await workBreathing(bpeTraining(trainingTexts(data.train), config.tokenizer), signal);
  const world = givenWorld ?? source.worldOf(tokenizer, tokenizer.vocabularySize);
  const maxPositions = given?.maxPositions ?? Infinity;
  const prepared = async (examples: readonly Example[], what: string) =>
    await source.prepare?.(examples, tokenizer, what) ?? examples;
  const fitting = async (examples: readonly Example[], what: string) =>
    await fittingExamples(await prepared(examples, what), world, config, what, { maxPositions, note, signal });
  const train = await fitting(data.train, "training data");
  // Judged on all that can be asked: leaving out what has a long true answer would leave out the hardest.
  const judged = await fittingQuestions(
    { examples: await prepared(data.test, "held-out data"), rows: [...data.test.keys()] },
    world,
    config,
    { maxPositions, note: (text) => note(`held-out data: ${text}`), signal },
  );
  const imitation = data.imitation ? await fitting(data.imitation, "data to imitate") : train;
  const models = modelFolder === null ? undefined : await modelFingerprint(modelFolder);
  return {
    data,
    tokenizer,
    world,
    modelFolder,
    examples: { train, test: spread(judged.examples, config.evaluation.maxItems), imitation },
    learntFrom: { fingerprint: data.fingerprint, models },
    run: typeof context.run === "function" ? await context.run() : context.run,
  };
}

/**
 * A recipe of a language model, opened.
 *
 * @internal
 */
export abstract class LanguageExperiment<
  Config extends LanguageConfig,
  Example extends NamedExample,
  Data extends LanguageData<Example>,
  States,
  OwnWorld extends LanguageWorld<Example, States>,
  Evaluation,
  Result extends RunResult,
> implements OpenRecipe<Example, States, Evaluation, Result> {
  abstract readonly task: string;
  abstract readonly policies: readonly PolicyRecipe<Example>[];
  readonly evaluated = "transitions";
  readonly firstStages: readonly FirstStage[] = [];
  readonly engine: Engine;
  readonly config: Config;
  readonly context: StageContext;
  readonly models: LanguageModels;
  readonly learntFrom: LearntFrom;
  /** The folder that the run writes to. */
  readonly run: RunFolder;
  /** Training and held-out examples. */
  readonly data: Data;
  /** The given model's tokenizer, or a new one. */
  readonly tokenizer: TextTokenizer;
  /** The world in the tokenizer's tokens. */
  readonly world: OwnWorld;
  /** The given model's folder, fetched where it was named by its place on the hub; null: a new one. */
  readonly modelFolder: string | null;
  /** Transitions that the model can take, to train with. */
  readonly train: readonly Example[];
  /** Held-out examples that fit the model, to judge by. */
  readonly test: readonly Example[];
  readonly #imitation: readonly Example[];

  /** Takes over what `openLanguage` opened. */
  constructor(
    { engine, config, progress, signal }: RecipeContext<Config>,
    opened: OpenedLanguage<Example, Data, OwnWorld>,
  ) {
    const { run, data, tokenizer, world, modelFolder, examples, learntFrom } = opened;
    this.engine = engine;
    this.config = config;
    this.run = run;
    this.data = data;
    this.tokenizer = tokenizer;
    this.world = world;
    this.modelFolder = modelFolder;
    this.learntFrom = learntFrom;
    this.train = examples.train;
    this.test = examples.test;
    this.#imitation = examples.imitation;
    this.context = { run, progress, signal, checkpointEvery: config.checkpointEvery };
    const { vocabularySize } = world;
    this.models = new LanguageModels({ engine, config, run, tokenizer, vocabularySize, folder: modelFolder });
  }

  get withoutLikelihood(): string | undefined {
    if (this.config.likelihood.steps > 0) return undefined;
    return "no steps asked for, GRPO begins with the given model";
  }

  get checkpointing(): boolean {
    return this.config.model.checkpointing;
  }

  loadWorld(): Promise<OwnWorld> {
    return Promise.resolve(this.world);
  }

  likelihoodBatch(step: number): Example[] {
    const { seed, likelihood: { batch } } = this.config, all = this.#imitation;
    const random = new Philox(seed, STREAM.likelihoodBatch, step);
    return Array.from({ length: batch }, () => all[random.integer(0, all.length)]);
  }

  abstract evaluate(model: CausalTransformer, watch?: EvaluationWatch): Promise<Evaluation>;
  abstract result(evaluations: Evaluations<Evaluation>): Omit<Result, Exclude<keyof RunResult, "metrics">>;
  abstract headline(result: Result): string;
  abstract report(result: Result, evaluations: Evaluations<Evaluation>): RecipeReport;

  /** A policy, with what is the same for all of language models. @param servedAs Name of its adapters at a server that samples. */
  protected policy(
    { truth, servedAs, options, ...own }: Omit<PolicyRecipe<Example>, "describe" | "sampler" | "options"> & {
      options: Omit<PolicyRecipe<Example>["options"], "checkpointing" | "scoreRows">;
      servedAs: string;
      truth(example: Example): unknown;
    },
  ): PolicyRecipe<Example> {
    return {
      ...own,
      options: { ...options, checkpointing: this.checkpointing, scoreRows: this.config.grpo.rolloutRows },
      sampler: (model) => this.models.served(model, servedAs, (text) => this.context.progress.note(text)),
      describe: (example, { answers, rewards, advantages }) => ({
        example: example.name,
        truth: truth(example),
        answers: answers.map((answer) => this.tokenizer.decode(answer, { keepSpecial: true })),
        rewards,
        advantages,
      }),
    };
  }
}
