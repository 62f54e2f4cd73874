/**
 * The hub's files (`thuml/bytesized32-world-model-cot`): a prompt, the true next state or the answer to imitate, and what
 * scoring needs, one row a transition, as parquet.
 *
 * Source: RLVR-World `process_jsonl_train.py`; its dataset card.
 */
import { readParquetRecords, writeParquetRecords } from "../../io/parquet.ts";
import { type RowOptions, type RowPlace, usableRows } from "../../io/rows.ts";
import { shownValue } from "../../io/shown_value.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "./state.ts";
import { scoredStateJson } from "./state_json.ts";

/** A message of a chat. */
export interface PromptMessage {
  /** `user`, `system`, `assistant`. */
  role: string;
  content: string;
}

/** A row of the hub's files. */
export interface ParquetRow {
  /** The chat that asks; one message of the user in the published files. */
  prompt: PromptMessage[];
  /**
   * In files for reinforcement learning the true next state as JSON (`parseScoredState` reads it); in `generated_cot` the
   * response to imitate.
   */
  groundTruth: string;
  /** The current state as JSON; undefined where the file has none. */
  dataState: string | undefined;
  /** The action; undefined where the file has none. */
  dataAction: string | undefined;
  /** `train` or `test`; empty where the file has none. */
  split: string;
  /** Row of the JSONL file that it was made from; −1 where the file has none. */
  index: number;
}

/** A row and where it stands. */
export type PlacedParquetRow = ParquetRow & RowPlace;

/** How a parquet file is read. */
export interface ReadParquetOptions extends RowOptions {
  /** Whether rows must have the state and the action, which scoring needs and imitation does not. @default {true} */
  states?: boolean;
  /** Stop after so many rows. */
  limit?: number;
}

/**
 * The rows of a parquet file, in order; of a file in numbered parts (`train-00000-of-00003.parquet`) those of all parts.
 *
 * @throws {UserError} When a file cannot be read or lacks a column; when strict, also at the first row that cannot be used.
 */
export function readParquet(path: string, options: ReadParquetOptions = {}): AsyncGenerator<PlacedParquetRow> {
  const needsStates = options.states ?? true;
  const columns = ["prompt", "reward_model"], extra = ["extra_info"];
  const records = readParquetRecords(path, {
    needed: needsStates ? [...columns, ...extra] : columns,
    optional: needsStates ? [] : extra,
    limit: options.limit,
  });
  return usableRows(
    records,
    ({ record, row, file, place }) => ({ ...toRow(record, needsStates), row, file, place }),
    options,
  );
}

/** @throws {TypeError} When a field that is needed is not there, or of another kind. */
function toRow(record: Record<string, unknown>, needsStates: boolean): ParquetRow {
  const extra = (record.extra_info ?? {}) as Record<string, unknown>;
  const text = (key: string): string | undefined => {
    if (typeof extra[key] === "string") return extra[key];
    if (needsStates) throw new TypeError(`extra_info.${key} must be a string: received ${shown(extra[key])}`);
    return undefined;
  };
  return {
    prompt: promptMessages(record.prompt),
    groundTruth: groundTruth(record.reward_model),
    dataState: text("data_state"),
    dataAction: text("data_action"),
    split: typeof extra.split === "string" ? extra.split : "",
    index: typeof extra.index === "number" ? extra.index : -1,
  };
}

/** The chat in a column `prompt`. @throws {TypeError} When it is none. */
export function promptMessages(prompt: unknown): PromptMessage[] {
  if (!Array.isArray(prompt) || prompt.length === 0) {
    throw new TypeError(`prompt must be a list of messages: received ${shown(prompt)}`);
  }
  return prompt.map((message) => {
    const { role, content } = (message ?? {}) as Record<string, unknown>;
    if (typeof role !== "string" || typeof content !== "string") {
      throw new TypeError(`prompt must be a list of messages with role and content: received ${shown(message)}`);
    }
    return { role, content };
  });
}

/** The truth in a column `reward_model`. @throws {TypeError} When there is none. */
export function groundTruth(rewardModel: unknown): string {
  const truth = (rewardModel as Record<string, unknown> | null | undefined)?.ground_truth;
  if (typeof truth !== "string") {
    throw new TypeError(`reward_model.ground_truth must be a string: received ${shown(truth)}`);
  }
  return truth;
}

function shown(value: unknown): string {
  return shownValue(value ?? undefined);
}

/** The row of a transition: what the hub's files for reinforcement learning have. */
export function parquetRow(
  transition: TextGameTransition,
  prompt: string,
  place: { split: string; index: number },
): ParquetRow {
  return {
    prompt: [{ role: "user", content: prompt }],
    groundTruth: scoredStateJson(scoredNext(transition)),
    dataState: scoredStateJson(scoredCurrent(transition)),
    dataAction: transition.action,
    ...place,
  };
}

/**
 * Writes rows with the columns of the hub's files; the file appears when all are written.
 *
 * @throws {RangeError} When there is no row.
 */
export async function writeParquet(path: string, rows: Iterable<ParquetRow>): Promise<void> {
  await writeParquetRecords(
    path,
    (function* () {
      for (const row of rows) yield recordOf(row);
    })(),
  );
}

function recordOf(row: ParquetRow): Record<string, unknown> {
  return {
    data_source: "llm_simulator",
    prompt: row.prompt.map(({ role, content }) => ({ content, role })),
    ability: "next state prediction",
    reward_model: { ground_truth: row.groundTruth, style: "rule" },
    extra_info: {
      data_action: row.dataAction ?? "",
      data_state: row.dataState ?? "",
      index: row.index,
      split: row.split,
    },
  };
}
