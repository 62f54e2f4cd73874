/**
 * The hub's files (`thuml/bytesized32-world-model-cot`): a prompt, the true next state or the answer to imitate, and what
 * scoring needs, one row a transition, as parquet.
 *
 * Read and written by polars, which is loaded only when a parquet file is touched, so that nothing else needs its binary.
 *
 * Source: RLVR-World `process_jsonl_train.py`; its dataset card.
 */
import { Buffer } from "node:buffer";
import { basename, dirname } from "node:path";
import { claimAside, removeLeftovers, syncFolder } from "../../files/atomic.ts";
import { UserError } from "../../files/user_error.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "./state.ts";
import { scoredStateJson } from "./state_json.ts";

/** A message of a chat. */
export interface PromptMessage {
  /** `user`, `system`, `assistant`. */
  role: string;
  /** What it says. */
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

/** How a parquet file is read. */
export interface ReadParquetOptions {
  /** Whether rows must have the state and the action, which scoring needs and imitation does not. Default true. */
  states?: boolean;
  /** Stop after so many rows. */
  limit?: number;
}

/** Rows that are JavaScript objects at a time: the prompts of a file are a gigabyte of strings. */
const CHUNK = 512;

/** What is used of polars. */
interface Frame {
  readonly columns: string[];
  readonly height: number;
  slice(offset: number, length: number): Frame;
  toRecords(): Record<string, unknown>[];
  writeParquet(path: string, options: { compression: string }): void;
}

interface Polars {
  readParquet(path: string, options: { columns: string[] }): Frame;
  readJSON(body: Buffer, options: { format: "lines" }): Frame;
  concat(frames: Frame[]): Frame;
}

async function loadPolars(): Promise<Polars> {
  try {
    return (await import("nodejs-polars")).default as unknown as Polars;
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new UserError(
      `parquet files need the package nodejs-polars, which does not load here (${reason}): use .jsonl files`,
    );
  }
}

/**
 * The rows of a parquet file, in order.
 *
 * @throws {UserError} When the file cannot be read or lacks a column or field that is needed.
 */
export async function* readParquet(path: string, options: ReadParquetOptions = {}): AsyncGenerator<ParquetRow> {
  const needsStates = options.states ?? true;
  const polars = await loadPolars();
  const frame = openFrame(polars, path, needsStates);
  const count = Math.min(frame.height, options.limit ?? Infinity);
  for (let start = 0; start < count; start += CHUNK) {
    const records = sliceRecords(polars, frame, start, Math.min(CHUNK, count - start));
    for (let i = 0; i < records.length; i++) yield toRow(records[i], `${path}, row ${start + i}`, needsStates);
  }
}

/** This polars refuses to turn a single row with a list of structures into an object; two it takes. */
function sliceRecords(polars: Polars, frame: Frame, start: number, length: number): Record<string, unknown>[] {
  const slice = frame.slice(start, length);
  return length > 1 ? slice.toRecords() : polars.concat([slice, slice]).toRecords().slice(0, 1);
}

function openFrame(polars: Polars, path: string, needsStates: boolean): Frame {
  const read = (columns: string[]) => polars.readParquet(path, { columns });
  try {
    Deno.statSync(path);
  } catch {
    throw new UserError(`${path}: there is no such file`);
  }
  const needed = ["prompt", "reward_model", ...(needsStates ? ["extra_info"] : [])];
  try {
    if (needsStates) return read(needed);
    try {
      return read([...needed, "extra_info"]);
    } catch {
      return read(needed);
    }
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, " ");
    const missing = /unable to find column "([^"]+)"/.exec(reason)?.[1];
    throw new UserError(
      missing === undefined
        ? `${path}: is not a parquet file that can be read (${reason})`
        : `${path}: has no column "${missing}"; needed are ${needed.join(", ")}`,
    );
  }
}

function toRow(record: Record<string, unknown>, where: string, needsStates: boolean): ParquetRow {
  const prompt = Array.isArray(record.prompt) ? record.prompt : [];
  const messages = prompt.map((message) => {
    const { role, content } = (message ?? {}) as Record<string, unknown>;
    if (typeof role !== "string" || typeof content !== "string") {
      throw new UserError(`${where}: prompt must be a list of messages with role and content`);
    }
    return { role, content };
  });
  if (messages.length === 0) throw new UserError(`${where}: prompt must be a list of messages: received none`);
  const groundTruth = (record.reward_model as Record<string, unknown> | null)?.ground_truth;
  if (typeof groundTruth !== "string") throw new UserError(`${where}: reward_model.ground_truth must be a string`);
  const extra = (record.extra_info ?? {}) as Record<string, unknown>;
  const text = (key: string): string | undefined => {
    if (typeof extra[key] === "string") return extra[key];
    if (needsStates) throw new UserError(`${where}: extra_info.${key} must be a string`);
    return undefined;
  };
  return {
    prompt: messages,
    groundTruth,
    dataState: text("data_state"),
    dataAction: text("data_action"),
    split: typeof extra.split === "string" ? extra.split : "",
    index: typeof extra.index === "number" ? extra.index : -1,
  };
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
  const polars = await loadPolars();
  const frames: Frame[] = [];
  let lines: string[] = [];
  // JSON is the one way by which this polars takes lists of structures.
  const flush = () => {
    if (lines.length > 0) frames.push(polars.readJSON(Buffer.from(lines.join("\n")), { format: "lines" }));
    lines = [];
  };
  for (const row of rows) {
    lines.push(rowJson(row));
    if (lines.length === CHUNK) flush();
  }
  flush();
  if (frames.length === 0) throw new RangeError(`${path}: a parquet file needs at least one row: received none`);
  await removeLeftovers(dirname(path), (target) => target === basename(path));
  using aside = claimAside(path);
  try {
    polars.concat(frames).writeParquet(aside.path, { compression: "zstd" });
    await Deno.rename(aside.path, path);
  } catch (error) {
    await Deno.remove(aside.path).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

function rowJson(row: ParquetRow): string {
  return JSON.stringify({
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
  });
}
