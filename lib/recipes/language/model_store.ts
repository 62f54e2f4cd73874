/**
 * The models of a run with a language model: the given or new one that it begins with, those that its stages leave behind, the
 * server that may sample for it. What text games and web pages do alike.
 */
import { basename, resolve } from "node:path";
import { UserError } from "../../base/user_error.ts";
import { CausalTransformer } from "../../models/causal_transformer.ts";
import { openTransformer, readTransformerConfig } from "../../models/causal_transformer_files.ts";
import { saveAdapters } from "../../models/lora_files.ts";
import { findModelFolder } from "../../models/model_folder.ts";
import { TextTokenizer } from "../../models/text_tokenizer.ts";
import { endTokens, transformerConfig } from "../../models/transformer_config.ts";
import type { AnswerSampler } from "../../train/answer_sampler.ts";
import { CompletionsClient } from "../../serving/completions_client.ts";
import { ServedAnswers } from "../../serving/served_answers.ts";
import type { Engine } from "../../tensor/engine.ts";
import { fingerprintOfModel } from "../../runs/fingerprint.ts";
import type { ModelStore } from "../../runs/recipe.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import type { LanguageConfig } from "./fields.ts";

/** What {@linkcode LanguageModels} is made of. */
export interface LanguageModelsOptions {
  /** Engine that the models are computed on. */
  engine: Engine;
  /** The configuration, every value filled in. */
  config: LanguageConfig;
  /** Where models are kept: `models/likelihood`, `models/rlvr…`. */
  run: RunFolder;
  /** The run's tokenizer, which is saved with every model. */
  tokenizer: TextTokenizer;
  /** Rows of a new model's embedding. */
  vocabularySize: number;
  /** The given model's folder, fetched where it was named by its place on the hub; null: a new one. */
  folder: string | null;
}

/** A server that samples a policy's answers, for as long as it is trained. */
export type ServedPolicy = AsyncDisposable & { sampler: AnswerSampler };

/** The language models of a run, by the stages that leave them behind. */
export class LanguageModels implements ModelStore {
  readonly #options: LanguageModelsOptions;

  /** Loads nothing yet. @param options What all of its models share. */
  constructor(options: LanguageModelsOptions) {
    this.#options = options;
  }

  async beginning(): Promise<CausalTransformer> {
    return this.#withAdapters(await this.#first());
  }

  async likelihood(
    parameterType: "float32" | "bfloat16" = this.#options.config.model.parameterType,
  ): Promise<CausalTransformer> {
    if (this.#options.config.likelihood.steps === 0) return await this.#first(parameterType);
    return await this.#load("likelihood", "likelihood", parameterType);
  }

  async policy(): Promise<CausalTransformer> {
    const { model: { lora, parameterType }, grpo } = this.#options.config;
    // Where all weights are trained, none may be of the type that frozen ones are kept in.
    const trainsAll = lora === null || !grpo.adapters;
    const model = await this.likelihood(trainsAll ? "float32" : parameterType);
    return trainsAll ? model : this.#withAdapters(model);
  }

  async trained(name: string): Promise<CausalTransformer | undefined> {
    try {
      await Deno.stat(this.#options.run.file(`models/${name}`));
    } catch {
      return undefined;
    }
    return await this.#load(name, "grpo", this.#options.config.model.parameterType);
  }

  /** Keeps a model in the run. Adapters are kept beside a merged model: whoever loads the folder gets what was trained. */
  async save(model: CausalTransformer, name: string): Promise<void> {
    const { run, tokenizer, config } = this.#options, folder = run.file(`models/${name}`);
    if (model.adapters) {
      const baseModel = name === "likelihood" ? this.firstName : this.grpoBase;
      await saveAdapters(model, `${folder}/adapter`, { baseModel });
      model.mergeAdapters();
    }
    await model.save(folder, { dtype: config.model.parameterType });
    await tokenizer.save(folder);
  }

  /** The given model, or a new one. */
  async #first(parameterType = this.#options.config.model.parameterType): Promise<CausalTransformer> {
    const { engine, tokenizer, folder, vocabularySize, config: { model, seed, data } } = this.#options;
    if (folder !== null) {
      return await CausalTransformer.load(engine, folder, { computeType: model.computeType, parameterType });
    }
    const end = tokenizer.eosToken!.id;
    const config = transformerConfig({
      vocabularySize,
      hiddenSize: model.hiddenSize,
      layers: model.layers,
      heads: model.heads,
      feedForwardSize: model.intermediateSize,
      initializerRange: model.initializerRange,
      maxPositions: data.maxQuestionTokens + data.maxAnswerTokens,
      tiedEmbeddings: true,
      eosToken: end,
      padToken: end,
    });
    return CausalTransformer.initialize(engine, config, { seed, computeType: model.computeType });
  }

  /** Gives a model new adapters where the configuration has them. */
  #withAdapters(model: CausalTransformer): CausalTransformer {
    const { model: { lora }, seed } = this.#options.config;
    if (lora !== null) model.attachAdapters({ ...lora, seed });
    return model;
  }

  /** The given model as other tools name it. */
  get firstName(): string | undefined {
    return this.#options.config.model.folder?.replace(/^hub:/, "");
  }

  /** The model that adapters of GRPO belong to, which is also what a server of its answers has to serve. */
  get grpoBase(): string | undefined {
    if (this.#options.config.likelihood.steps === 0) return this.firstName;
    return resolve(this.#options.run.file("models/likelihood"));
  }

  /**
   * The server that samples, where one was named.
   *
   * @param stage Part of the name under which it serves what is trained.
   */
  served(model: CausalTransformer, stage: string, note: (text: string) => void): ServedPolicy | undefined {
    const { run, tokenizer, config: { grpo } } = this.#options;
    if (grpo.rollouts === null) return undefined;
    note(`rollouts: sampled by ${grpo.rollouts}, which has to serve ${this.grpoBase}`);
    const client = new CompletionsClient(grpo.rollouts, {
      model: grpo.rolloutModel ?? undefined,
      apiKey: Deno.env.get("ROLLOUTS_API_KEY"),
      encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }),
      onRetry: note,
    });
    const sampler = new ServedAnswers(client, {
      model,
      folder: resolve(run.path, "rollouts"),
      // Resumed runs begin again at a step that the server may have seen.
      name: `${basename(resolve(run.path))}-${stage}-${Date.now().toString(36)}`,
      baseModel: this.grpoBase,
      onNote: note,
    });
    return { sampler, [Symbol.asyncDispose]: () => sampler.close() };
  }

  async #load(name: string, stage: string, parameterType: "float32" | "bfloat16"): Promise<CausalTransformer> {
    const { engine, run, config: { model: { computeType } } } = this.#options, folder = run.file(`models/${name}`);
    try {
      await Deno.stat(folder);
    } catch {
      throw new UserError(`${folder} does not exist: run the ${stage} stage first (--stage ${stage})`);
    }
    return await CausalTransformer.load(engine, folder, { computeType, parameterType });
  }
}

/** What a language model's folder says of itself. */
export interface LanguageModelFolder {
  /** Text to tokens; it has a token that ends a text. */
  tokenizer: TextTokenizer;
  /** Number of rows of the embedding. */
  vocabularySize: number;
  /** Tokens of the model's longest sequence. */
  maxPositions: number;
  /** Ids that end an answer, as the model's own files name them; the tokenizer's end of text may not be among them. */
  endTokens: readonly number[];
  /** What the user should know of the model, a line each. */
  notes: string[];
}

/**
 * Reads a folder's tokenizer and sizes, and sees that its weights belong to them; no weight is read.
 *
 * @throws {UserError} When the folder has no model or no tokenizer, the parts do not belong together, or the tokenizer has no
 * token that ends a text.
 */
export async function readLanguageModelFolder(folder: string): Promise<LanguageModelFolder> {
  const places = await findModelFolder(folder);
  const tokenizer = await TextTokenizer.load(places.tokenizer);
  const config = await readTransformerConfig(places.model), { vocabularySize, maxPositions } = config;
  tokenizer.checkFits(vocabularySize);
  checkEndsTexts(tokenizer);
  using opened = await openTransformer(places.model);
  const notes: string[] = [];
  if (places.adapter !== undefined) notes.push(`${folder} is an adapter: merged into its base model ${places.model}`);
  if (opened.lacksHead) {
    notes.push(
      `${places.model} is a base model without lm_head: a new one is drawn, as transformers does; it knows nothing before it ` +
        `has been trained`,
    );
  }
  return { tokenizer, vocabularySize, maxPositions, endTokens: endTokens(config), notes };
}

/** The fingerprint of a given model, by the field that names it. @throws {UserError} When a file cannot be read. */
export async function modelFingerprint(folder: string): Promise<Record<string, string>> {
  return { "model.folder": await fingerprintOfModel(Object.values(await findModelFolder(folder))) };
}

/** Refuses a tokenizer that cannot end an answer. @throws {UserError} When it has no token that ends a text. */
export function checkEndsTexts(tokenizer: TextTokenizer): void {
  if (tokenizer.eosToken) return;
  throw new UserError(
    `${tokenizer.source}: the tokenizer has no eos_token, which ends an answer: name one in its tokenizer_config.json`,
  );
}
