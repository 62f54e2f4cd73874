/**
 * Data of experiments with language models: which examples a model can take, a part of many, what a vocabulary is trained on,
 * files in folders.
 */
import { basename, join } from "node:path";
import { breather } from "../../base/breather.ts";
import type { SkippedRows } from "../../io/rows.ts";
import { parseShardName, setKey, shardsOf } from "../../io/shards.ts";
import { UserError } from "../../base/user_error.ts";
import type { LanguageExample } from "../../worlds/language_tokens.ts";
import type { EncodedTransition } from "../../worlds/world.ts";
import type { LanguageConfig } from "./fields.ts";

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
  all: readonly Example[],
  world: ExampleEncoder<Example>,
  config: Pick<LanguageConfig, "data">,
  what: string,
  { maxPositions, note, signal }: FittingOptions,
): Promise<Example[]> {
  const { maxQuestionTokens, maxAnswerTokens, strict } = config.data;
  const { kept, encoded } = await encodable(all, world, strict, { note: (text) => note(`${what}: ${text}`), signal });
  const examples = kept.map((i) => all[i]);
  const lengths = encoded.map(({ question, answer }) => ({
    question: question.length,
    answer: answer.tokens.length,
    // The last token of an answer is never fed.
    whole: question.length + answer.tokens.length - 1,
  }));
  const limits = { question: maxQuestionTokens, answer: maxAnswerTokens, whole: maxPositions };
  const report = (part: keyof typeof limits, names: string, field: string) => {
    const over = lengths.filter((example) => example[part] > limits[part]).length;
    if (over === 0) return;
    const longest = lengths.reduce((most, example) => Math.max(most, example[part]), 0);
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
  { examples: all, rows: allRows }: { examples: readonly Example[]; rows: readonly number[] },
  world: ExampleEncoder<Example>,
  config: Pick<LanguageConfig, "data">,
  { maxPositions, note, signal }: FittingOptions,
): Promise<{ examples: Example[]; rows: number[] }> {
  const { maxQuestionTokens, strict } = config.data;
  // An answer needs room for a token at least.
  const limit = Math.min(maxQuestionTokens, maxPositions - 1);
  const field = limit === maxQuestionTokens ? "data.maxQuestionTokens" : "the model's max_position_embeddings less 1,";
  const { kept: sound, encoded } = await encodable(all, world, strict, { note, signal });
  const examples = sound.map((i) => all[i]), rows = sound.map((i) => allRows[i]);
  const lengths = encoded.map((example) => example.question.length);
  const kept = [...examples.keys()].filter((i) => lengths[i] <= limit);
  if (kept.length < examples.length) {
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    const text = `${examples.length - kept.length} of ${examples.length} prompts exceed ${field} ${limit} ` +
      `(longest: ${longest} tokens)`;
    if (strict || kept.length === 0) throw new UserError(`held-out data: ${text}: raise it`);
    note(`${text}: skipped, and not among the scores`);
  }
  return { examples: kept.map((i) => examples[i]), rows: kept.map((i) => rows[i]) };
}

/**
 * The examples that a model's chat template takes, by their numbers: it may refuse roles that a file's prompts have.
 *
 * @throws {UserError} The template's own, when the data are strict and it refuses one, or it refuses all.
 * @throws The signal's reason once it is aborted.
 */
async function encodable<Example extends LanguageExample>(
  examples: readonly Example[],
  world: ExampleEncoder<Example>,
  strict: boolean,
  { note, signal }: Pick<FittingOptions, "note" | "signal">,
): Promise<{ kept: number[]; encoded: EncodedTransition[] }> {
  const kept: number[] = [], encoded: EncodedTransition[] = [], refusals: UserError[] = [], breathe = breather(signal);
  for (const [i, example] of examples.entries()) {
    await breathe();
    try {
      encoded.push(world.encodeOne(example));
      kept.push(i);
    } catch (error) {
      if (strict || !(error instanceof UserError)) throw error;
      refusals.push(error);
    }
  }
  if (refusals.length > 0) {
    if (kept.length === 0) throw refusals[0];
    note(`${refusals.length} of ${examples.length} prompts are refused, the first: ${refusals[0].message}: skipped`);
  }
  return { kept, encoded };
}

/** So many of some things, from all over them: files have their rows game by game, walk by walk. */
export function spread<Item>(items: readonly Item[], count: number | null): Item[] {
  if (count === null || count >= items.length) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)]);
}

/**
 * Sees that files are there, all parts of those in numbered files too: before the first of them is read for minutes.
 *
 * @throws {UserError} When one is not.
 */
export async function checkFiles(paths: readonly (string | null)[]): Promise<void> {
  for (const path of paths) {
    for (const file of path === null ? [] : await shardsOf(path)) {
      if (!await Deno.stat(file).catch(() => undefined)) throw new UserError(`${file}: there is no such file`);
    }
  }
}

/**
 * Says what was skipped of a data set.
 *
 * @param notes Gets a line where rows were skipped.
 * @throws {UserError} When no row could be used.
 */
export function checkUsable(path: string, usable: number, skipped: SkippedRows, notes: string[]): void {
  const note = skipped.note(path);
  if (usable === 0) {
    throw new UserError(`${path}: no transition could be used${note === undefined ? "" : `; ${skipped.first(path)}`}`);
  }
  if (note !== undefined) notes.push(`${note} (--strict-data stops there)`);
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
 * Files in a folder, and in folders in it, as data sets of the hub may have them; of folders in those only what the hub's conversion
 * makes, `CONFIG/SPLIT/0000.parquet`. Undefined where it is a file.
 *
 * @throws {UserError} When the path cannot be read.
 */
export async function namesIn(path: string): Promise<string[] | undefined> {
  const walk = async (folder: string, depth: number): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name, isDirectory } of Deno.readDir(join(path, folder))) {
      const inner = join(folder, name);
      if (isDirectory) names.push(...depth < 2 ? await walk(inner, depth + 1) : []);
      else if (depth < 2 || isConverted(inner)) names.push(inner);
    }
    return names;
  };
  try {
    if (!(await Deno.stat(path)).isDirectory) return undefined;
    // The folder's own files come first.
    return (await walk("", 0)).sort((a, b) => depthOf(a) - depthOf(b) || (a < b ? -1 : 1));
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

function isConverted(name: string): boolean {
  const shard = parseShardName(name);
  return shard !== undefined && shard.count === undefined;
}

/**
 * The data set that a folder's names hold for a purpose; of one in numbered files the first file's name, which stands for all.
 *
 * @param patterns Of its name, numbers left out, in the order in which they are looked for.
 * @param remedy How one is chosen where several fit.
 * @throws {UserError} When several data sets fit a pattern: reading one of them would lose the others without a word.
 */
export function findName(names: readonly string[], patterns: readonly RegExp[], remedy: string): string | undefined {
  for (const pattern of patterns) {
    const fitting = names.filter((name) => pattern.test(basename(parseShardName(name)?.set ?? name)));
    // The folder's own files go before those of folders in it.
    const near = fitting.filter((name) => depthOf(name) === depthOf(fitting[0]));
    const sets = new Map(
      near.toReversed().map((name) => [setKey(parseShardName(name) ?? { set: name, count: 1 }), name]),
    );
    if (sets.size > 1) {
      const candidates = [...sets.values()].sort().slice(0, 4).join(", ");
      throw new UserError(`which of these is meant, ${candidates}${sets.size > 4 ? ", …" : ""}? ${remedy}`);
    }
    if (sets.size === 1) return sets.values().next().value;
  }
  return undefined;
}

/** The path of a name in a folder; undefined where there is none. */
export function inFolder(folder: string, name: string | undefined): string | undefined {
  return name === undefined ? undefined : join(folder, name);
}

/** That a folder lacks a file, and some of what it has instead. */
export function missingFile(path: string, what: string, names: readonly string[]): UserError {
  return new UserError(`${path} has no ${what}: found ${names.slice(0, 6).join(", ") || "nothing"}`);
}

function depthOf(name: string): number {
  return name.split(/[\\/]/).length;
}
