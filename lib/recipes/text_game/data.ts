/**
 * Data of the text-game experiment: transitions to train with and to judge by, as examples with prompts and targets.
 *
 * Sources are the built-in games, the benchmark's JSONL and the hub's parquet. What cannot be used (a row that does not
 * parse, a prompt over the limit) is skipped and counted, or ends the run where the configuration is strict.
 */
import { join } from "node:path";
import { workBreathing } from "../../base/breather.ts";
import { SkippedRows, usableRows } from "../../io/rows.ts";
import { UserError } from "../../base/user_error.ts";
import { fingerprintOf } from "../../runs/fingerprint.ts";
import { builtInCrawl } from "../../gyms/games/crawl.ts";
import { TEXT_GAMES } from "../../gyms/games/games.ts";
import { readTransitions } from "../../worlds/text_game/jsonl.ts";
import { readParquet } from "../../worlds/text_game/parquet.ts";
import type { GameRules, PromptOptions } from "../../worlds/text_game/prompt.ts";
import { loadRules } from "../../worlds/text_game/rules.ts";
import type { TextGameTransition } from "../../worlds/text_game/state.ts";
import { exampleOf, exampleOfRow, type TextGameExample } from "../../worlds/text_game/world.ts";
import { checkFiles, checkUsable, findName, inFolder, mapBreathing, missingFile, namesIn } from "../language/data.ts";
import type { TextGameConfig } from "./config.ts";

/**
 * See the file's head.
 *
 * @internal
 */
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
 * @throws The signal's reason once it is aborted.
 */
export async function openTextGameData(config: TextGameConfig, signal?: AbortSignal): Promise<TextGameData> {
  const { data } = config, notes: string[] = [];
  let train: TextGameExample[], test: TextGameExample[];
  if (data.train === null && data.test !== null) {
    throw new UserError(
      `data.test is ${data.test}, but there is no data.train: name both, or neither for the built-in games`,
    );
  }
  await checkFiles([data.train, data.test, data.imitation]);
  if (data.train === null) {
    ({ train, test } = await builtIn(config, signal));
  } else {
    train = (await readTextGameExamples(data.train, config, notes, signal)).examples;
    if (data.test === null) {
      test = train.filter((_, i) => i % data.testEvery === 0);
      train = train.filter((_, i) => i % data.testEvery !== 0);
      notes.push(
        `no test file: every ${data.testEvery}th row is held out (rows of one game resemble each other: --test is better)`,
      );
    } else {
      test = (await readTextGameExamples(data.test, config, notes, signal)).examples;
    }
  }
  const imitation = data.imitation === null ? undefined : await readImitation(data.imitation, config, notes, signal);
  const changed = (examples: TextGameExample[]) => examples.filter((example) => example.isChanged).length;
  notes.push(
    `transitions: ${train.length} to train with (${changed(train)} change something), ` +
      `${test.length} to judge by (${changed(test)})`,
  );
  const all = ["train", ...train, "test", ...test, "imitation", ...imitation ?? []];
  return { train, test, imitation, fingerprint: await fingerprintOf(all, signal), notes };
}

async function builtIn(config: TextGameConfig, signal?: AbortSignal) {
  const { data, seed } = config;
  const options = await promptOptions(config, builtInRules());
  try {
    const train: TextGameExample[][] = [], test: TextGameExample[][] = [];
    const asExample = (transition: TextGameTransition) => exampleOf(transition, options);
    // Game by game: each takes a while, and what is collected of one does not depend on the others.
    for (const game of data.games ?? Object.keys(TEXT_GAMES)) {
      const crawl = builtInCrawl({
        seed,
        perGame: data.perGame,
        heldOutPerGame: data.heldOutPerGame,
        games: [game],
        changedShare: data.changedShare ?? undefined,
      });
      const collected = await workBreathing(crawl, signal);
      train.push(await mapBreathing(collected.train, asExample, signal));
      test.push(await mapBreathing(collected.heldOut, asExample, signal));
    }
    return { train: train.flat(), test: test.flat() };
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

/**
 * Examples of a file, and the row of each: its line or its row of a parquet file, from 0.
 *
 * @throws {UserError} When the file is not what it should be, or has no usable row; where the configuration is strict, also
 * at the first row that cannot be used.
 * @throws The signal's reason once it is aborted.
 * @param notes Gets a line where rows were skipped.
 */
export async function readTextGameExamples(
  path: string,
  config: TextGameConfig,
  notes: string[],
  signal?: AbortSignal,
): Promise<{ examples: TextGameExample[]; rows: number[] }> {
  const { data } = config, examples: TextGameExample[] = [], rows: number[] = [], skipped = new SkippedRows();
  const options = { strict: data.strict, onSkip: skipped.add, signal };
  const prompts = await promptOptions(config);
  const read = path.endsWith(".parquet")
    ? usableRows(
      readParquet(path, options),
      (row) => ({ row: row.row, example: exampleOfRow(row, data.targets) }),
      options,
    )
    : usableRows(
      readTransitions(path, options),
      ({ row, transition }) => ({ row, example: exampleOf(transition, prompts) }),
      options,
    );
  for await (const { row, example } of read) {
    examples.push(example);
    rows.push(row);
  }
  checkUsable(path, examples.length, skipped, notes);
  return { examples, rows };
}

async function readImitation(
  path: string,
  { data: { strict } }: TextGameConfig,
  notes: string[],
  signal?: AbortSignal,
): Promise<TextGameExample[]> {
  const examples: TextGameExample[] = [], skipped = new SkippedRows();
  for await (
    const { row, prompt, groundTruth } of readParquet(path, { states: false, strict, onSkip: skipped.add, signal })
  ) {
    examples.push({
      name: `row ${row}`,
      game: "",
      question: prompt,
      target: groundTruth,
      current: [],
      next: [],
      isChanged: true,
      isGold: true,
    });
  }
  checkUsable(path, examples.length, skipped, notes);
  return examples;
}

/** Names of the benchmark's and the hub's files, in the order in which they are looked for. */
const TRAIN_FILES = namesOf("train"), TEST_FILES = [...namesOf("test"), ...namesOf("validation")];
const IMITATION_FILES = [/^generated_cot\.parquet$/];

function namesOf(split: string): RegExp[] {
  return ["\\.jsonl", "\\.jsonl\\.gz", "_state_difference\\.parquet", "\\.parquet", ".*\\.(jsonl|jsonl\\.gz|parquet)"]
    .map((rest) => new RegExp(`^${split}${rest}$`));
}

/**
 * The training and test files of a folder; a file stands for itself, to be split.
 *
 * @param testPath The test file, where it is named: the folder's is then not looked for.
 * @throws {UserError} When the path does not exist, the folder has no training file, or it is not clear which is meant.
 */
export async function findTextGameFiles(path: string, testPath?: string): Promise<{
  /** To train with. */
  train: string;
  /** To judge by. */
  test?: string;
  /** With responses to imitate. */
  imitation?: string;
}> {
  const names = await namesIn(path);
  if (names === undefined) return { train: path, ...testPath === undefined ? {} : { test: testPath } };
  const train = findName(names, TRAIN_FILES, `Name it: --data ${path}/NAME`);
  const test = testPath ?? inFolder(path, findName(names, TEST_FILES, `Name it: --test ${path}/NAME`));
  const imitation = inFolder(path, findName(names, IMITATION_FILES, `Name it: --set data.imitation=${path}/NAME`));
  if (train === undefined) {
    throw missingFile(path, "training file (train.jsonl, train.jsonl.gz or train_state_difference.parquet)", names);
  }
  return {
    train: join(path, train),
    ...test === undefined ? {} : { test },
    ...imitation === undefined ? {} : { imitation },
  };
}

/**
 * The test file of a folder; a file stands for itself.
 *
 * @throws {UserError} When the path does not exist, the folder has no test file, or it is not clear which is meant.
 */
export async function findTestFile(path: string): Promise<string> {
  const names = await namesIn(path);
  if (names === undefined) return path;
  const test = findName(names, TEST_FILES, `Name it: ${path}/NAME`);
  if (test !== undefined) return join(path, test);
  throw missingFile(path, "test file (test.jsonl, test.jsonl.gz or test_state_difference.parquet)", names);
}
