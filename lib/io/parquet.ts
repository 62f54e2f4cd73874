/**
 * Parquet files as records: read column by column and a few hundred rows at a time, written from lines of JSON.
 *
 * Read and written by polars, which is loaded only when a parquet file is touched, so that nothing else needs its binary.
 * What the columns mean is the callers' affair.
 */
import { Buffer } from "node:buffer";
import { basename, dirname } from "node:path";
import { claimAside, removeLeftovers, syncFolder } from "./atomic.ts";
import { cannotWrite } from "../base/disk_error.ts";
import type { RowPlace } from "./rows.ts";
import { shardsOf } from "./shards.ts";
import { UserError } from "../base/user_error.ts";

/** A row by its columns' names. */
export type ParquetRecord = Record<string, unknown>;

/** A record and where it stands. */
export interface PlacedRecord extends RowPlace {
  /** The row. */
  record: ParquetRecord;
}

/** Which part of a file is read. */
export interface ReadRecordsOptions {
  /** Columns that must be there. */
  needed: readonly string[];
  /** Columns that are read where they are there. */
  optional?: readonly string[];
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
  toRecords(): ParquetRecord[];
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
 * The rows of a parquet file, in order. A numbered file (`train-00000-of-00003.parquet`) stands for all of its data set.
 *
 * @throws {UserError} When a file is missing, cannot be read or lacks a column that is needed.
 */
export async function* readParquetRecords(path: string, options: ReadRecordsOptions): AsyncGenerator<PlacedRecord> {
  const files = await shardsOf(path), polars = await loadPolars();
  let row = 0;
  for (const file of files) {
    const frame = openFrame(polars, file, options), before = row;
    const count = Math.min(frame.height, (options.limit ?? Infinity) - before);
    for (let start = 0; start < count; start += CHUNK) {
      for (const record of sliceRecords(polars, frame, start, Math.min(CHUNK, count - start))) {
        yield { row, file, place: `row ${row - before}`, record };
        row++;
      }
    }
  }
}

/** This polars refuses to turn a single row with a list of structures into an object; two it takes. */
function sliceRecords(polars: Polars, frame: Frame, start: number, length: number): ParquetRecord[] {
  const slice = frame.slice(start, length);
  return length > 1 ? slice.toRecords() : polars.concat([slice, slice]).toRecords().slice(0, 1);
}

function openFrame(polars: Polars, path: string, { needed, optional = [] }: ReadRecordsOptions): Frame {
  const read = (columns: readonly string[]) => polars.readParquet(path, { columns: [...columns] });
  let isFile: boolean;
  try {
    ({ isFile } = Deno.statSync(path));
  } catch {
    throw new UserError(`${path}: there is no such file`);
  }
  if (!isFile) throw new UserError(`${path}: cannot be read (it is not a file)`);
  // Which columns there are is known only by asking for them.
  let asked = [...needed, ...optional];
  for (;;) {
    try {
      return read(asked);
    } catch (error) {
      const reason = (error as Error).message.replace(/\s+/g, " ");
      const missing = /unable to find column "([^"]+)"/.exec(reason)?.[1];
      if (missing !== undefined && asked.includes(missing) && !needed.includes(missing)) {
        asked = asked.filter((name) => name !== missing);
        continue;
      }
      throw new UserError(
        missing === undefined
          ? `${path}: is not a parquet file that can be read (${reason})`
          : `${path}: has no column "${missing}"; needed are ${needed.join(", ")}`,
      );
    }
  }
}

/**
 * Writes records; the file appears when all are written.
 *
 * @param records All with the same columns in the same order, of the same types; null where there is no value.
 * @throws {RangeError} When there is no record.
 */
export async function writeParquetRecords(path: string, records: Iterable<ParquetRecord>): Promise<void> {
  const polars = await loadPolars();
  const frames: Frame[] = [];
  let lines: string[] = [];
  // JSON is the one way by which this polars takes lists of structures.
  const flush = () => {
    if (lines.length > 0) frames.push(polars.readJSON(Buffer.from(lines.join("\n")), { format: "lines" }));
    lines = [];
  };
  for (const record of records) {
    lines.push(JSON.stringify(record));
    if (lines.length === CHUNK) flush();
  }
  flush();
  if (frames.length === 0) throw new RangeError(`${path}: a parquet file needs at least one row: received none`);
  await removeLeftovers(dirname(path), (target) => target === basename(path));
  using aside = claimAside(path);
  try {
    polars.concat(frames).writeParquet(aside.path, { compression: "zstd" });
    await Deno.rename(aside.path, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await Deno.remove(aside.path).catch(() => {});
    throw cannotWrite(path, error);
  }
}
