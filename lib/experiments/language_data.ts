/**
 * Data of experiments with language models: which examples a model can take, a part of many, what a vocabulary is trained on,
 * files in folders.
 */
import { basename, join } from "node:path";
import { breather } from "../files/breather.ts";
import { UserError } from "../files/user_error.ts";
import type { LanguageExample } from "../worlds/language_tokens.ts";
import type { EncodedTransition } from "../worlds/world.ts";
import type { LanguageConfig } from "./language_fields.ts";

/** Who knows how long examples are. */
export interface ExampleEncoder<Example> {
  /** Prompt and target in tokens. */
  encodeOne(example: Example): EncodedTransition;
}

/** How {@linkcode fittingExamples} judges. */
export interface FittingOptions {
  /** Longest sequence of the model. */
  maxPositions: number;
  /** Gets a line where examples were left out. */
  note: (text: string) => void;
  /** Ends it: tokenizing many examples takes long. */
  signal?: AbortSignal;
}

/** Does the same to each of many, and lets the event loop turn in between. @throws The signal's reason once it is aborted. */
export async function mapBreathing<Item, Result>(
  items: readonly Item[],
  map: (item: Item) => Result,
  signal?: AbortSignal,
): Promise<Result[]> {
  const breathe = breather(signal), results: Result[] = [];
  for (const item of items) {
    results.push(map(item));
    await breathe();
  }
  return results;
}

/**
 * Leaves out examples that are too long for a model or for the configuration's limits, and says how many.
 *
 * @throws {UserError} When the data are strict and there is one, or nothing is left.
 * @throws The signal's reason once it is aborted.
 */
export async function fittingExamples<Example extends LanguageExample>(
  examples: readonly Example[],
  world: ExampleEncoder<Example>,
  config: Pick<LanguageConfig, "data">,
  what: string,
  { maxPositions, note, signal }: FittingOptions,
): Promise<Example[]> {
  const { maxQuestionTokens, maxAnswerTokens, strict } = config.data;
  const lengths = await mapBreathing(examples, (each) => {
    const { question, answer } = world.encodeOne(each);
    return {
      question: question.length,
      answer: answer.tokens.length,
      // The last token of an answer is never fed.
      whole: question.length + answer.tokens.length - 1,
    };
  }, signal);
  const limits = { question: maxQuestionTokens, answer: maxAnswerTokens, whole: maxPositions };
  const report = (part: keyof typeof limits, names: string, field: string) => {
    const over = lengths.filter((each) => each[part] > limits[part]).length;
    if (over === 0) return;
    const longest = lengths.reduce((most, each) => Math.max(most, each[part]), 0);
    const text = `${what}: ${over} of ${examples.length} ${names} exceed ${field} ${limits[part]} ` +
      `(longest: ${longest} tokens)`;
    if (strict) throw new UserError(`${text}: raise it, or leave --strict-data out to skip them`);
    note(`${text}: skipped`);
  };
  report("question", "prompts", "data.maxQuestionTokens");
  report("answer", "answers", "data.maxAnswerTokens");
  report("whole", "prompts with their answers", "the model's max_position_embeddings");
  const fitting = examples.filter((_, i) =>
    (["question", "answer", "whole"] as const).every((part) => lengths[i][part] <= limits[part])
  );
  if (fitting.length === 0) {
    throw new UserError(
      `${what}: no example is within data.maxQuestionTokens, data.maxAnswerTokens and the model's own limit`,
    );
  }
  return fitting;
}

/**
 * Leaves out examples whose prompts are too long for a model or for the configuration's limit, and says how many. True
 * answers may have any length: a model is judged on those that it cannot give, too.
 *
 * @throws {UserError} When the data are strict and there is one, or nothing is left.
 * @throws The signal's reason once it is aborted.
 */
export async function fittingQuestions<Example extends LanguageExample>(
  { examples, rows }: { examples: readonly Example[]; rows: readonly number[] },
  world: ExampleEncoder<Example>,
  config: Pick<LanguageConfig, "data">,
  { maxPositions, note, signal }: FittingOptions,
): Promise<{ examples: Example[]; rows: number[] }> {
  const { maxQuestionTokens, strict } = config.data;
  // An answer needs room for a token at least.
  const limit = Math.min(maxQuestionTokens, maxPositions - 1);
  const field = limit === maxQuestionTokens ? "data.maxQuestionTokens" : "the model's max_position_embeddings less 1,";
  const lengths = await mapBreathing(examples, (each) => world.encodeOne(each).question.length, signal);
  const kept = [...examples.keys()].filter((i) => lengths[i] <= limit);
  if (kept.length < examples.length) {
    const longest = lengths.reduce((most, each) => Math.max(most, each), 0);
    const text = `${examples.length - kept.length} of ${examples.length} prompts exceed ${field} ${limit} ` +
      `(longest: ${longest} tokens)`;
    if (strict || kept.length === 0) throw new UserError(`held-out data: ${text}: raise it`);
    note(`${text}: skipped, and not among the scores`);
  }
  return { examples: kept.map((i) => examples[i]), rows: kept.map((i) => rows[i]) };
}

/** So many of some things, from all over them: files have their rows game by game, walk by walk. */
export function spread<Item>(items: readonly Item[], count: number | null): Item[] {
  if (count === null || count >= items.length) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)]);
}

/** Texts that a vocabulary is trained on. */
export function* trainingTexts(examples: readonly LanguageExample[]): Generator<string> {
  for (const { question, target } of examples) {
    if (typeof question === "string") yield question;
    else for (const { content } of question) yield content;
    yield target;
  }
}

/**
 * Files in a folder, and in folders in it, as data sets of the hub may have them; undefined where it is a file.
 *
 * @throws {UserError} When the path cannot be read.
 */
export async function namesIn(path: string): Promise<string[] | undefined> {
  try {
    if (!(await Deno.stat(path)).isDirectory) return undefined;
    const names: string[] = [];
    for await (const entry of Deno.readDir(path)) {
      const isFolder = entry.isDirectory;
      if (!isFolder) names.push(entry.name);
      else for await (const inner of Deno.readDir(join(path, entry.name))) names.push(join(entry.name, inner.name));
    }
    // The folder's own files come first.
    const depth = (name: string) => name === basename(name) ? 0 : 1;
    return names.sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** The first name that fits a pattern, patterns in the order in which they are looked for. */
export function findName(names: readonly string[], patterns: readonly RegExp[]): string | undefined {
  for (const pattern of patterns) {
    const found = names.find((name) => pattern.test(basename(name)));
    if (found !== undefined) return found;
  }
  return undefined;
}
