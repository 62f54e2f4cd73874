/**
 * The hub's files (`thuml/webarena-world-model-cot`): one row a transition, with the prompt, the changes as ground truth, the
 * answer to imitate and the annotations it was made from, as parquet. Recordings are written with the same columns.
 *
 * A recording has no annotations (`refined_tao` and so on are empty), its `answer` is the changes without a chain of thought,
 * and its `extra_info` holds what a transition is made of, so that it comes back whole.
 *
 * Source: the data set's card; RLVR-World App. A.2.
 */
import { readParquetRecords, writeParquetRecords } from "../../io/parquet.ts";
import { type RowOptions, type RowPlace, usableRows } from "../../io/rows.ts";
import { groundTruth, promptMessages } from "../text_game/parquet.ts";
import { buildWebPrompt, parseWebPrompt } from "./prompt.ts";
import { answerOf, type WebPageTransition, type WebQuestion } from "./transition.ts";

/** A message of a chat. */
export interface WebPromptMessage {
  /** `user`, `system`, `assistant`. */
  readonly role: string;
  readonly content: string;
}

/** A row of the hub's files. */
export interface WebPageRow {
  /** Task or walk that it belongs to; −1 where the file has none. */
  readonly taskId: number;
  /** Its place in that; −1 where the file has none. */
  readonly step: number;
  /** The chat that asks. */
  readonly prompt: readonly WebPromptMessage[];
  /** The true changes: the text with the three sections. */
  readonly truth: string;
  /** The response to imitate, with its chain of thought; undefined where the file has none. */
  readonly answer: string | undefined;
  /** The next page; undefined where the file has none. */
  readonly nextObservation: string | undefined;
  /** What the prompt asks, taken apart; undefined where it has another form. */
  readonly question: WebQuestion | undefined;
  /** `train` or `test`; empty where the file has none. */
  readonly split: string;
}

/** Which part of a file is read. */
export interface ReadWebPageRowsOptions extends RowOptions {
  /** Whether rows must have an answer to imitate. @default {false} */
  answers?: boolean;
  /** Stop after so many rows. */
  limit?: number;
}

/**
 * The rows of a parquet file, in order; of a file in numbered parts (`train-00000-of-00003.parquet`) those of all parts.
 *
 * @throws {UserError} When a file cannot be read or lacks a column; when strict, also at the first row that cannot be used.
 */
export function readWebPageRows(
  path: string,
  options: ReadWebPageRowsOptions = {},
): AsyncGenerator<WebPageRow & RowPlace> {
  const answer = ["answer"];
  const records = readParquetRecords(path, {
    needed: ["prompt", "reward_model", ...options.answers ? answer : []],
    optional: ["task_id", "step_idx", "next_state_acctree", "extra_info", ...options.answers ? [] : answer],
    limit: options.limit,
  });
  return usableRows(
    records,
    ({ record, row, file, place }) => ({ ...toRow(record, options.answers ?? false), row, file, place }),
    options,
  );
}

/** @throws {TypeError} When a field that is needed is not there, or of another kind. */
function toRow(record: Record<string, unknown>, needsAnswer: boolean): WebPageRow {
  const prompt = promptMessages(record.prompt), truth = groundTruth(record.reward_model);
  if (needsAnswer && typeof record.answer !== "string") throw new TypeError("answer must be a string");
  const extra = (record.extra_info ?? {}) as Record<string, unknown>;
  return {
    taskId: number(record.task_id),
    step: number(record.step_idx),
    prompt,
    truth,
    answer: text(record.answer),
    nextObservation: text(record.next_state_acctree),
    question: recordedQuestion(extra) ?? parseWebPrompt(prompt.at(-1)!.content),
    split: text(extra.split) ?? "",
  };
}

function number(value: unknown): number {
  return typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : -1;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** What our own recordings keep beside the prompt. */
function recordedQuestion(extra: Record<string, unknown>): WebQuestion | undefined {
  const { url, objective, observation, action, previous_actions: previous } = extra;
  if (
    typeof url !== "string" || typeof objective !== "string" || typeof observation !== "string" ||
    typeof action !== "string" || !Array.isArray(previous)
  ) return undefined;
  return { url, objective, observation, action, previousActions: previous.map(String) };
}

/** The row of a recorded transition. */
export function webPageRecord(
  transition: WebPageTransition,
  { split, index }: { split: string; index: number },
): Record<string, unknown> {
  const { changes } = transition, question = buildWebPrompt(transition, "instructions"), answer = answerOf(transition);
  const lines = (items: readonly string[]) => items.length === 0 ? "None" : items.join("\n");
  return {
    task_id: transition.taskId,
    step_idx: transition.step,
    previous_actions: transition.previousActions,
    next_state_acctree: transition.nextObservation,
    refined_tao: "",
    raw_prediction: "",
    next_state_description_with_tao: "",
    new_items: lines(changes.newItems),
    updated_items: lines(changes.updatedItems),
    deleted_items: lines(changes.deletedItems),
    question,
    answer,
    data_source: "web_agent",
    prompt: [{ content: question, role: "user" }],
    ability: "next state prediction",
    reward_model: { ground_truth: answer, style: "rule" },
    extra_info: {
      action: transition.action,
      described_action: transition.describedAction,
      index,
      objective: transition.objective,
      observation: transition.observation,
      previous_actions: transition.previousActions,
      split,
      url: transition.url,
    },
  };
}

/**
 * Writes transitions with the columns of the hub's files; the file appears when all are written.
 *
 * @throws {RangeError} When there is no transition.
 */
export async function writeWebPageParquet(
  path: string,
  transitions: Iterable<WebPageTransition>,
  split = "train",
): Promise<void> {
  await writeParquetRecords(
    path,
    (function* () {
      let index = 0;
      for (const each of transitions) yield webPageRecord(each, { split, index: index++ });
    })(),
  );
}
