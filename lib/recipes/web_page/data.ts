/**
 * Data of the web-page experiment: transitions to train with and to judge by, as examples with prompts and targets.
 *
 * Sources are walks through the built-in site and parquet files with the columns of the hub's data set. What cannot be used (a
 * row that lacks something, a prompt over the limit) is skipped and counted, or ends the run where the configuration is strict.
 */
import { join } from "node:path";
import { SkippedRows, usableRows } from "../../io/rows.ts";
import { UserError } from "../../base/user_error.ts";
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { fingerprintOf } from "../../runs/fingerprint.ts";
import { STREAM } from "../../base/streams.ts";
import { builtInWalks, type SiteTransition } from "../../gyms/shop/walks.ts";
import { readWebPageRows } from "../../worlds/web_page/parquet.ts";
import { buildWebPrompt } from "../../worlds/web_page/prompt.ts";
import { type WebPageExample, webPageExample, webPageExampleOfRow } from "../../worlds/web_page/world.ts";
import { checkFiles, checkUsable, findName, inFolder, mapBreathing, missingFile, namesIn } from "../language/data.ts";
import type { WebPageConfig } from "./config.ts";

/**
 * See the file's head.
 *
 * @internal
 */
export interface WebPageData {
  /** Examples to train with. */
  train: WebPageExample[];
  /** Held-out examples, to judge by. */
  test: WebPageExample[];
  /** Rule and hash of all examples; equal where the data are. */
  fingerprint: string;
  /** What the user should know of the data, a line each. */
  notes: string[];
}

/** Seeds of training shops begin here; below are those that are held out, and those that agents work in. */
const FIRST_TRAINING_SITE = 100_000;

/**
 * Opens the data that a configuration names.
 *
 * @throws {UserError} When a file is not what it should be, or nothing is left to train with or judge by.
 * @throws The signal's reason once it is aborted.
 */
export async function openWebPageData(config: WebPageConfig, signal?: AbortSignal): Promise<WebPageData> {
  const { data } = config, notes: string[] = [];
  let train: WebPageExample[], test: WebPageExample[];
  if (data.train === null && data.test !== null) {
    throw new UserError(
      `data.test is ${data.test}, but there is no data.train: name both, or neither for the built-in site`,
    );
  }
  await checkFiles([data.train, data.test]);
  if (data.train === null) {
    ({ train, test } = await builtIn(config, signal));
  } else {
    train = (await readWebPageExamples(data.train, config, notes, signal)).examples;
    if (data.test === null) {
      // Steps of one task see the same pages, so tasks are held out whole.
      const tasks = [...new Set(train.map((example) => example.group))];
      const heldOut = new Set(tasks.filter((_, i) => i % data.testEvery === 0));
      test = train.filter((example) => heldOut.has(example.group));
      train = train.filter((example) => !heldOut.has(example.group));
      notes.push(`no test file: every ${data.testEvery}th task is held out (${heldOut.size} of ${tasks.length})`);
      if (train.length === 0) throw new UserError(`${data.train}: all of its rows are of one task: name a test file`);
    } else {
      test = (await readWebPageExamples(data.test, config, notes, signal)).examples;
    }
  }
  notes.push(`transitions: ${train.length} to train with, ${test.length} to judge by`);
  const fingerprint = await fingerprintOf(["train", ...train, "test", ...test], signal);
  return { train, test, fingerprint, notes };
}

async function builtIn({ data, seed }: WebPageConfig, signal?: AbortSignal) {
  const range = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);
  const options = { walks: data.walks, steps: data.steps, stream: [seed, STREAM.simulator], signal };
  const train = await builtInWalks({
    ...options,
    sites: range(FIRST_TRAINING_SITE * (1 + seed % 1000), data.sites),
  });
  const heldOut = await builtInWalks({ ...options, walks: 1, sites: range(0, data.heldOutSites) });
  const asExample = ({ site, transition }: SiteTransition): WebPageExample => ({
    ...webPageExample(transition, data.prompt === "compact" ? "compact" : "instructions"),
    group: `shop ${site}`,
  });
  return {
    train: await mapBreathing(train, asExample, signal),
    test: await mapBreathing(heldOut, asExample, signal),
  };
}

/**
 * Examples of a parquet file, and the row of each, from 0.
 *
 * @throws {UserError} When the file is not what it should be, or has no usable row; where the configuration is strict, also
 * at the first row that cannot be used.
 * @throws The signal's reason once it is aborted.
 * @param notes Gets a line where rows were skipped.
 */
export async function readWebPageExamples(
  path: string,
  { data }: WebPageConfig,
  notes: string[],
  signal?: AbortSignal,
): Promise<{ examples: WebPageExample[]; rows: number[] }> {
  const examples: WebPageExample[] = [], rows: number[] = [], skipped = new SkippedRows();
  const options = { strict: data.strict, onSkip: skipped.add, signal };
  const read = usableRows(readWebPageRows(path, options), (row) => {
    const example = webPageExampleOfRow(row, { style: data.prompt, target: data.target }), name = `row ${row.row}`;
    return { row: row.row, example: row.taskId < 0 ? { ...example, name, group: name } : example };
  }, options);
  for await (const { row, example } of read) {
    examples.push(example);
    rows.push(row);
  }
  checkUsable(path, examples.length, skipped, notes);
  return { examples, rows };
}

/**
 * Cuts trees that are longer than the configuration allows, at their end, as WebArena does; prompts that came with a file stay as
 * they are. Says how many were cut.
 *
 * @throws The signal's reason once it is aborted.
 */
export async function cutObservations(
  examples: readonly WebPageExample[],
  tokenizer: TextTokenizer,
  { data: { maxObservationTokens, prompt } }: WebPageConfig,
  what: string,
  note: (text: string) => void,
  signal?: AbortSignal,
): Promise<WebPageExample[]> {
  if (maxObservationTokens === null) return [...examples];
  let cut = 0;
  const result = await mapBreathing(examples, (example) => {
    if (example.asked === undefined || typeof example.question !== "string") return example;
    const observation = cutObservation(example.asked.observation, tokenizer, maxObservationTokens);
    if (observation === example.asked.observation) return example;
    cut++;
    const asked = { ...example.asked, observation };
    return { ...example, asked, question: buildWebPrompt(asked, prompt === "compact" ? "compact" : "instructions") };
  }, signal);
  if (cut > 0) {
    note(`${what}: ${cut} of ${examples.length} trees exceed data.maxObservationTokens ${maxObservationTokens}: cut`);
  }
  return result;
}

/** The first tokens of a tree, as text. */
export function cutObservation(tree: string, tokenizer: TextTokenizer, maxTokens: number): string {
  const tokens = tokenizer.encode(tree, { addSpecialTokens: false });
  return tokens.length <= maxTokens ? tree : tokenizer.decode(tokens.subarray(0, maxTokens), { keepSpecial: true });
}

const TRAIN_FILES = [/^train\.parquet$/, /^train.*\.parquet$/];
const TEST_FILES = [/^test\.parquet$/, /^test.*\.parquet$/, /^validation\.parquet$/, /^validation.*\.parquet$/];

/**
 * The training and test files of a folder; a file stands for itself, to be split.
 *
 * @param testPath The test file, where it is named: the folder's is then not looked for.
 * @throws {UserError} When the path does not exist, the folder has no training file, or it is not clear which is meant.
 */
export async function findWebPageFiles(path: string, testPath?: string): Promise<{ train: string; test?: string }> {
  const names = await namesIn(path);
  if (names === undefined) return { train: path, ...testPath === undefined ? {} : { test: testPath } };
  const train = findName(names, TRAIN_FILES, `Name it: --data ${path}/NAME`);
  const test = testPath ?? inFolder(path, findName(names, TEST_FILES, `Name it: --test ${path}/NAME`));
  if (train === undefined) throw missingFile(path, "training file (train.parquet)", names);
  return { train: join(path, train), ...test === undefined ? {} : { test } };
}

/**
 * The test file of a folder; a file stands for itself.
 *
 * @throws {UserError} When the path does not exist, the folder has no test file, or it is not clear which is meant.
 */
export async function findWebPageTestFile(path: string): Promise<string> {
  const names = await namesIn(path);
  if (names === undefined) return path;
  const test = findName(names, TEST_FILES, `Name it: ${path}/NAME`);
  if (test === undefined) throw missingFile(path, "test file (test.parquet)", names);
  return join(path, test);
}
