/**
 * Trained web-page models as something to ask: a page, an action, what will change? For agents, evaluations and notebooks.
 */
import { join } from "node:path";
import { UserError } from "../../base/user_error.ts";
import { CausalTransformer } from "../../models/causal_transformer.ts";
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { generate } from "../../train/generation.ts";
import type { Engine } from "../../tensor/engine.ts";
import { RunFolder } from "../../runs/run_folder.ts";
import { parseChanges } from "../../worlds/web_page/f1_reward.ts";
import { buildWebPrompt } from "../../worlds/web_page/prompt.ts";
import type { WebQuestion } from "../../worlds/web_page/transition.ts";
import { type WebPageExample, WebPageWorld } from "../../worlds/web_page/world.ts";
import { checkEndsTexts, readLanguageModelFolder } from "../language/model_store.ts";
import { mergeSettings } from "../../runs/settings.ts";
import { type WebPageConfig, webPageConfig } from "./config.ts";
import { cutObservation } from "./data.ts";

/**
 * The world in a model's tokens.
 *
 * @internal
 */
export interface WebPageTokens {
  /** The model's tokenizer. */
  tokenizer: TextTokenizer;
  /** The world in the tokenizer's tokens. */
  world: WebPageWorld;
  /** Tokens of the model's longest sequence. */
  maxPositions: number;
  /** What the user should know of the model, a line each. */
  notes: readonly string[];
}

/**
 * Reads a folder's tokenizer and sizes.
 *
 * @throws {UserError} As `readLanguageModelFolder` does.
 */
export async function readWebPageTokens(folder: string, config: WebPageConfig): Promise<WebPageTokens> {
  const { tokenizer, vocabularySize, maxPositions, endTokens, notes } = await readLanguageModelFolder(folder);
  return { tokenizer, world: webPageWorld(tokenizer, vocabularySize, config, endTokens), maxPositions, notes };
}

/**
 * The world in a tokenizer's tokens.
 *
 * @param endTokens Ids that end an answer beside the tokenizer's end of text, as a model's files name them.
 * @throws {UserError} When the tokenizer has no token that ends a text.
 */
export function webPageWorld(
  tokenizer: TextTokenizer,
  vocabularySize: number,
  config: WebPageConfig,
  endTokens: readonly number[] = [],
): WebPageWorld {
  checkEndsTexts(tokenizer);
  return new WebPageWorld({
    tokenizer,
    endTokens,
    vocabularySize,
    maxAnswerTokens: config.data.maxAnswerTokens,
    chat: tokenizer.chatTemplate !== undefined,
    trainsQuestions: config.likelihood.trainsQuestions,
    keepEndOfSequence: config.grpo.keepEndOfSequence,
  });
}

/** A world model of web pages that can be asked. */
export class WebPageModel implements Disposable {
  /** Trees that were cut to {@linkcode WebPageConfig}'s limit so far. */
  cutTrees = 0;

  /** The model becomes this object's own. */
  constructor(
    /** The model that answers. */
    readonly model: CausalTransformer,
    /** The model's tokenizer and world. */
    readonly tokens: WebPageTokens,
    /** How it is asked: form of prompts, limits. */
    readonly config: WebPageConfig,
  ) {}

  /**
   * Answers to questions: one list of texts a question, as many as samples; the token that ends an answer is left out. All are
   * drawn together, so ask many at once.
   *
   * @throws {RangeError} When a prompt leaves no room for an answer.
   */
  async predict(questions: readonly WebQuestion[], options: {
    /** Answers for each question. Default 1. */
    readonly samples?: number;
    /** The most likely answer instead of drawn ones. */
    readonly greedy?: boolean;
    /** Of drawn answers. Default 1. */
    readonly temperature?: number;
    /** Likewise. Default 0.95, as the paper's agent asks. */
    readonly topP?: number;
    /** Names the random numbers: (seed, purpose, step). */
    readonly stream: readonly [seed: number, purpose: number, step: number];
  }): Promise<string[][]> {
    if (questions.length === 0) return [];
    const { samples = 1, greedy = false, temperature = 1, topP = 0.95, stream } = options;
    const { world, tokenizer } = this.tokens;
    const encoded = await world.encode(questions.map((question) => this.#example(question)));
    const { answers } = await generate(this.model, {
      ...world.openAnswers,
      questions: encoded.map((example) => example.question),
      groupSize: samples,
      sampling: greedy ? { greedy } : { temperature, topP },
      stream,
      maxRows: Math.max(samples, this.config.evaluation.rows),
    });
    const { endTokens } = world.openAnswers;
    const textOf = (answer: Int32Array) => {
      const hasEnded = endTokens.includes(answer[answer.length - 1]);
      return tokenizer.decode(hasEnded ? answer.subarray(0, -1) : answer).trimEnd();
    };
    return questions.map((_, i) => answers.slice(i * samples, (i + 1) * samples).map(textOf));
  }

  /** Gives the model's memory back. */
  dispose(): void {
    this.model.dispose();
  }

  /** The same, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #example(question: WebQuestion): WebPageExample {
    const { maxObservationTokens, prompt } = this.config.data;
    let asked = question;
    if (maxObservationTokens !== null) {
      const observation = cutObservation(question.observation, this.tokens.tokenizer, maxObservationTokens);
      if (observation !== question.observation) this.cutTrees++;
      asked = { ...question, observation };
    }
    const style = prompt === "compact" ? "compact" : "instructions";
    return { name: "", group: "", question: buildWebPrompt(asked, style), target: "", truth: "", asked };
  }
}

/**
 * Opens a model of a run, or a folder's.
 *
 * @param changes Fields of the configuration that differ from the run's, or, with a folder, from the preset `webarena-1.5b`.
 * @throws {UserError} When the run has no such model, or the folder none at all.
 */
export async function openWebPageModel(
  engine: Engine,
  source: (
    /** Of a run of `train-web`: after likelihood training, or after GRPO. */
    | { readonly run: string; readonly which: "likelihood" | "rlvr" }
    /** A language model as transformers saves it. */
    | { readonly model: string }
  ),
  changes: Record<string, unknown> = {},
): Promise<WebPageModel> {
  const { folder, config } = "run" in source
    ? await ofRun(source.run, source.which, changes)
    : { folder: source.model, config: webPageConfig("webarena-1.5b", mergeSettings(ANY_ENGINE, changes)) };
  const tokens = await readWebPageTokens(folder, config);
  const { computeType, parameterType } = config.model;
  return new WebPageModel(await CausalTransformer.load(engine, folder, { computeType, parameterType }), tokens, config);
}

/** What the preset's training computes in is another matter: float32 runs on every engine. */
const ANY_ENGINE = { model: { computeType: "float32" } };

async function ofRun(path: string, which: "likelihood" | "rlvr", changes: Record<string, unknown>) {
  using run = await RunFolder.read(path);
  const { preset, ...stored } = run.config;
  const config = webPageConfig(String(preset), mergeSettings(stored, changes));
  // Where no likelihood stage ran, GRPO began with the given model.
  if (which === "likelihood" && config.likelihood.steps === 0) return { folder: config.model.folder!, config };
  const folder = join(run.path, "models", which);
  if (!(await Deno.stat(folder).catch(() => undefined))?.isDirectory) {
    const stage = which === "rlvr" ? "grpo" : "likelihood";
    throw new UserError(`${path} has no model ${which}: run that stage first (train-web --resume --stage ${stage})`);
  }
  return { folder, config };
}

/** A predicted answer's items by section, `None` left out: for code that acts on a prediction. */
export function predictedItems(answer: string): Record<"new" | "deleted" | "updated", string[]> {
  const sections = parseChanges(answer), items = (of: ReadonlySet<string>) => [...of].filter((item) => item !== "None");
  return { new: items(sections.new), deleted: items(sections.deleted), updated: items(sections.updated) };
}
