/**
 * Scores a file of answers, from whatever model: lines `{"row": 3, "response": "…"}` become lines
 * `{"row", "binary", "taskSpecific"}` in the same order, row being the line of the data from 0.
 *
 * Only the rows that are asked for need to be usable.
 */
import { breather } from "../../base/breather.ts";
import type { RowOptions } from "../../io/rows.ts";
import { shownValue } from "../../io/shown_value.ts";
import { UserError } from "../../base/user_error.ts";
import { isChanged, type Strictness } from "./difference.ts";
import { readTransitions } from "./jsonl.ts";
import { readLines, writeLines } from "../../io/lines.ts";
import { readParquet } from "./parquet.ts";
import { scoreResponse, type TextGameReward } from "./reward.ts";
import { scoredCurrent, scoredNext, type ScoredState } from "./state.ts";
import { parseScoredState } from "./state_json.ts";

/** What is scored, with what, and where the scores go. */
export interface ScoreAnswersOptions {
  /** Answers: a line each, `.jsonl` or `.jsonl.gz`. */
  answers: string;
  /** The benchmark's rows: `.jsonl`, `.jsonl.gz`, or the hub's `.parquet`. */
  data: string;
  /** Where scores are written; gzipped if it ends in `.gz`. */
  out: string;
  /** The published scoring (answers are repaired as json_repair 0.61.7 does) or the mended one. @default {"released"} */
  strictness?: Strictness;
  /** Ends it; nothing is written then. */
  signal?: AbortSignal;
}

/** Sums over some answers. */
export interface ScoreSummary {
  /** How many answers. */
  count: number;
  /** How many are right: the sum of binary rewards. */
  correct: number;
  /** The sum of task-specific rewards. */
  taskSpecific: number;
}

/** What {@linkcode scoreAnswersFile} found. */
export interface ScoreAnswersResult {
  /** Over all answers. */
  all: ScoreSummary;
  /** Over those to rows in which something changes. */
  changed: ScoreSummary;
  /** Over the others. */
  unchanged: ScoreSummary;
}

interface Answer {
  row: number;
  response: string;
}

/** A row to compare with, or why there is none. */
type TruthRow = { current: ScoredState; next: ScoredState } | { reason: string };

/**
 * Scores a file of answers and writes the scores; the file of scores appears complete or not at all.
 *
 * @throws {UserError} When a file cannot be read, a line of answers has another form, or a row does not exist or cannot be used;
 * with the line's number.
 * @throws The signal's reason once it is aborted.
 */
export async function scoreAnswersFile(options: ScoreAnswersOptions): Promise<ScoreAnswersResult> {
  const { answers: answersPath, data, out, strictness = "released", signal } = options, breathe = breather(signal);
  const answers = await readAnswers(answersPath);
  const wanted = new Set(answers.map(({ answer }) => answer.row));
  const { rows, count } = await readTruth(data, wanted, signal);
  const result = { all: emptySummary(), changed: emptySummary(), unchanged: emptySummary() };
  const lines: string[] = [];
  for (const { answer, line } of answers) {
    await breathe();
    const truth = rows.get(answer.row);
    if (truth === undefined) {
      throw new UserError(
        `${answersPath}, line ${line}: there is no row ${answer.row} in ${data}, which has ${count} rows`,
      );
    }
    if ("reason" in truth) {
      throw new UserError(`${answersPath}, line ${line}: row ${answer.row} of ${data} cannot be used: ${truth.reason}`);
    }
    const reward = scoreResponse(answer.response, truth.current, truth.next, strictness);
    add(result.all, reward);
    add(isChanged(truth.current, truth.next) ? result.changed : result.unchanged, reward);
    lines.push(JSON.stringify({ row: answer.row, binary: reward.binary, taskSpecific: reward.taskSpecific }));
  }
  await writeScores(out, lines);
  return result;
}

async function writeScores(path: string, lines: readonly string[]): Promise<void> {
  try {
    await writeLines(path, lines);
  } catch (error) {
    throw new UserError(`${path}: cannot be written (${(error as Error).message})`);
  }
}

async function readAnswers(path: string): Promise<{ answer: Answer; line: number }[]> {
  const answers: { answer: Answer; line: number }[] = [];
  for await (const { row, text } of readLines(path)) {
    if (text?.trim() === "") continue;
    answers.push({ answer: parseAnswerLine(text, `${path}, line ${row + 1}`), line: row + 1 });
  }
  if (answers.length === 0) throw new UserError(`${path}: it has no answer`);
  return answers;
}

function parseAnswerLine(text: string | undefined, where: string): Answer {
  if (text === undefined) throw new UserError(`${where}: it is not UTF-8`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}: is not JSON (${(error as Error).message.replace(/\s+/g, " ")})`);
  }
  const { row, response } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof row !== "number" || !Number.isSafeInteger(row) || row < 0) {
    throw new UserError(`${where}: row must be a number from 0 on: received ${shownValue(row)}`);
  }
  if (typeof response !== "string") {
    throw new UserError(`${where}: response must be a string: received ${shownValue(response)}`);
  }
  return { row, response };
}

async function readTruth(
  path: string,
  wanted: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<{ rows: Map<number, TruthRow>; count: number }> {
  const rows = new Map<number, TruthRow>();
  let count = 0;
  const keep = (row: number, truth: () => TruthRow) => {
    count = Math.max(count, row + 1);
    if (wanted.has(row)) rows.set(row, truth());
  };
  const options: RowOptions = { strict: false, onSkip: ({ row, reason }) => keep(row, () => ({ reason })), signal };
  if (path.endsWith(".parquet")) {
    for await (const { row, groundTruth, dataState } of readParquet(path, options)) {
      keep(row, () => parseTruth(dataState ?? "", groundTruth));
    }
    return { rows, count };
  }
  for await (const { row, transition } of readTransitions(path, options)) {
    keep(row, () => ({ current: scoredCurrent(transition), next: scoredNext(transition) }));
  }
  return { rows, count };
}

function parseTruth(current: string, next: string): TruthRow {
  try {
    return { current: parseScoredState(current), next: parseScoredState(next) };
  } catch (error) {
    return { reason: (error as Error).message.replace(/\s+/g, " ") };
  }
}

function emptySummary(): ScoreSummary {
  return { count: 0, correct: 0, taskSpecific: 0 };
}

function add(summary: ScoreSummary, reward: TextGameReward): void {
  summary.count++;
  summary.correct += reward.binary;
  summary.taskSpecific += reward.taskSpecific;
}
