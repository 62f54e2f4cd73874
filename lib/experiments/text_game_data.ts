/**
 * Data of the text-game experiment: transitions to train with and to judge by, as examples with prompts and targets.
 *
 * Sources are the built-in games, the benchmark's JSONL and the hub's parquet. What cannot be used (a row that does not
 * parse, a prompt over the limit) is skipped and counted, or ends the run where the configuration is strict.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../files/user_error.ts";
import { builtInTransitions } from "../worlds/text_game/games/crawl.ts";
import { TEXT_GAMES } from "../worlds/text_game/games/games.ts";
import { loadTransitions } from "../worlds/text_game/jsonl.ts";
import { readParquet } from "../worlds/text_game/parquet.ts";
import type { GameRules, PromptOptions } from "../worlds/text_game/prompt.ts";
import { loadRules } from "../worlds/text_game/rules.ts";
import type { TextGameTransition } from "../worlds/text_game/state.ts";
import { exampleOf, exampleOfRow, type TextGameExample, type TextGameWorld } from "../worlds/text_game/world.ts";
import type { TextGameConfig } from "./text_game_config.ts";

/** See the file's head. */
export interface TextGameData {
  /** To train with. */
  train: TextGameExample[];
  /** To judge by. */
  test: TextGameExample[];
  /** To imitate, where that is not `train`. */
  imitation: TextGameExample[] | undefined;
  /** Hash of all examples. */
  fingerprint: string;
  /** What the user should know of the data, a line each. */
  notes: string[];
}

/**
 * Opens the data that a configuration names.
 *
 * @throws {UserError} When a file is not what it should be, a game is unknown, or nothing is left to train with or judge by.
 */
export async function openTextGameData(config: TextGameConfig): Promise<TextGameData> {
  const { data } = config, notes: string[] = [];
  let train: TextGameExample[], test: TextGameExample[];
  if (data.train === null) {
    if (data.test !== null) {
      throw new UserError(
        `data.test is ${data.test}, but there is no data.train: name both, or neither for the built-in games`,
      );
    }
    ({ train, test } = await builtIn(config));
  } else {
    train = await readExamples(data.train, config, notes);
    if (data.test === null) {
      test = train.filter((_, i) => i % data.testEvery === 0);
      train = train.filter((_, i) => i % data.testEvery !== 0);
      notes.push(
        `no test file: every ${data.testEvery}th row is held out (rows of one game resemble each other: --test is better)`,
      );
    } else {
      test = await readExamples(data.test, config, notes);
    }
  }
  const imitation = data.imitation === null ? undefined : await readImitation(data.imitation);
  const changed = (examples: TextGameExample[]) => examples.filter((each) => each.isChanged).length;
  notes.push(
    `transitions: ${train.length} to train with (${changed(train)} change something), ` +
      `${test.length} to judge by (${changed(test)})`,
  );
  return { train, test, imitation, fingerprint: fingerprintOf([...train, ...test, ...imitation ?? []]), notes };
}

async function builtIn(config: TextGameConfig) {
  const { data, seed } = config;
  const options = await promptOptions(config, builtInRules());
  try {
    const { train, heldOut } = builtInTransitions({
      seed,
      perGame: data.perGame,
      heldOutPerGame: data.heldOutPerGame,
      games: data.games ?? undefined,
      changedShare: data.changedShare ?? undefined,
    });
    const examples = (transitions: TextGameTransition[]) => transitions.map((each) => exampleOf(each, options));
    return { train: examples(train), test: examples(heldOut) };
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`built-in games: ${error.message}`);
    throw error;
  }
}

/** Rules of the built-in games, for prompts with instructions. */
function builtInRules(): Record<string, GameRules> {
  return Object.fromEntries(Object.entries(TEXT_GAMES).map(([name, game]) => [name, game.rules]));
}

async function promptOptions(
  { data }: TextGameConfig,
  rules?: Record<string, GameRules>,
): Promise<PromptOptions & { strictness: "released" | "strict" }> {
  return {
    style: data.prompt,
    rules: data.rules === null ? rules : await loadRules(data.rules),
    strictness: data.targets,
  };
}

async function readExamples(path: string, config: TextGameConfig, notes: string[]): Promise<TextGameExample[]> {
  const { data } = config, examples: TextGameExample[] = [];
  let skipped = 0, firstReason = "";
  const skip = (reason: string) => {
    if (skipped++ === 0) firstReason = reason;
  };
  if (path.endsWith(".parquet")) {
    let row = 0;
    for await (const each of readParquet(path)) {
      try {
        examples.push(exampleOfRow(each, data.targets));
      } catch (error) {
        if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
        const reason = `row ${row}: ${error.message.replace(/\s+/g, " ")}`;
        if (data.strict) throw new UserError(`${path}, ${reason}`);
        skip(reason);
      }
      row++;
    }
  } else {
    const options = await promptOptions(config);
    const { rows } = await loadTransitions(path, {
      strict: data.strict,
      onSkip: ({ row, reason }) => skip(`line ${row + 1}: ${reason}`),
    });
    for (const { transition } of rows) examples.push(exampleOf(transition, options));
  }
  if (skipped > 0) {
    notes.push(`${path}: skipped ${skipped} rows; the first, ${firstReason} (--strict-data stops there)`);
  }
  if (examples.length === 0) throw new UserError(`${path}: no transition could be used`);
  return examples;
}

async function readImitation(path: string): Promise<TextGameExample[]> {
  const examples: TextGameExample[] = [];
  for await (const row of readParquet(path, { states: false })) {
    examples.push({
      name: `row ${examples.length}`,
      game: "",
      question: row.prompt,
      target: row.groundTruth,
      current: [],
      next: [],
      isChanged: true,
      isGold: true,
    });
  }
  if (examples.length === 0) throw new UserError(`${path}: it has no row`);
  return examples;
}

/**
 * Leaves out examples that are too long for a model, and says how many.
 *
 * @throws {UserError} When the data are strict and there is one, or nothing is left.
 */
export function fittingExamples(
  examples: readonly TextGameExample[],
  world: TextGameWorld,
  config: TextGameConfig,
  what: string,
  note: (text: string) => void,
): TextGameExample[] {
  const { maxQuestionTokens, maxAnswerTokens, strict } = config.data;
  const lengths = examples.map((each) => {
    const { question, answer } = world.encodeOne(each);
    return { question: question.length, answer: answer.tokens.length };
  });
  const report = (part: "question" | "answer", limit: number, field: string) => {
    const over = lengths.filter((each) => each[part] > limit).length;
    if (over === 0) return;
    const longest = lengths.reduce((most, each) => Math.max(most, each[part]), 0);
    const name = part === "question" ? "prompts" : "answers";
    const text = `${what}: ${over} of ${examples.length} ${name} exceed ${field} ${limit} (longest: ${longest} tokens)`;
    if (strict) throw new UserError(`${text}: raise it, or leave --strict-data out to skip them`);
    note(`${text}: skipped`);
  };
  report("question", maxQuestionTokens, "data.maxQuestionTokens");
  report("answer", maxAnswerTokens, "data.maxAnswerTokens");
  const fitting = examples.filter((_, i) =>
    lengths[i].question <= maxQuestionTokens && lengths[i].answer <= maxAnswerTokens
  );
  if (fitting.length === 0) {
    throw new UserError(`${what}: no example is within data.maxQuestionTokens and data.maxAnswerTokens: raise them`);
  }
  return fitting;
}

/** Texts that a vocabulary is trained on. */
export function* trainingTexts(examples: readonly TextGameExample[]): Generator<string> {
  for (const { question, target } of examples) {
    if (typeof question === "string") yield question;
    else for (const { content } of question) yield content;
    yield target;
  }
}

function fingerprintOf(examples: readonly TextGameExample[]): string {
  const hash = createHash("sha256");
  for (const { name, question, target } of examples) hash.update(JSON.stringify([name, question, target]));
  return hash.digest("hex").slice(0, 16);
}

/** Names of the benchmark's and the hub's files, in the order in which they are looked for. */
const TRAIN_FILES = [
  /^train\.jsonl(\.gz)?$/,
  /^train_state_difference\.parquet$/,
  /^train.*\.(jsonl|jsonl\.gz|parquet)$/,
];
const TEST_FILES = [/^test\.jsonl(\.gz)?$/, /^test_state_difference\.parquet$/, /^test.*\.(jsonl|jsonl\.gz|parquet)$/];

/**
 * The training and test files of a folder; a file stands for itself, to be split.
 *
 * @throws {UserError} When the path does not exist or the folder has no training file.
 */
export async function findTextGameFiles(path: string): Promise<{ train: string; test?: string; imitation?: string }> {
  let names: string[];
  try {
    const { isDirectory } = await Deno.stat(path);
    if (!isDirectory) return { train: path };
    names = (await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name).sort();
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`);
  }
  const find = (patterns: RegExp[]) =>
    patterns.map((pattern) => names.find((name) => pattern.test(name))).find((name) => name !== undefined);
  const train = find(TRAIN_FILES), test = find(TEST_FILES);
  if (train === undefined) {
    throw new UserError(
      `${path} has no training file (train.jsonl, train.jsonl.gz or train_state_difference.parquet): found ${
        names.slice(0, 6).join(", ") || "nothing"
      }`,
    );
  }
  const at = (name: string) => join(path, name);
  return {
    train: at(train),
    ...test === undefined ? {} : { test: at(test) },
    ...names.includes("generated_cot.parquet") ? { imitation: at("generated_cot.parquet") } : {},
  };
}
