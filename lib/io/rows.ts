/**
 * Rows of data files: where each one stands, and what becomes of those that cannot be used. One way for all formats: a bad row
 * ends the reading and is named, or it is skipped and somebody is told.
 */
import { basename } from "node:path";
import { breather } from "../base/breather.ts";
import { UserError } from "../base/user_error.ts";

/** Where a row stands. */
export interface RowPlace {
  /** Its number from 0; over all files, where a data set has several. */
  row: number;
  /** The file that it stands in. */
  file: string;
  /** Where in that file, for people: `row 3` (from 0), `line 4` (from 1). */
  place: string;
}

/** A row that was skipped. */
export interface SkippedRow extends RowPlace {
  reason: string;
}

/** How rows are read, and what becomes of those that cannot be used. */
export interface RowOptions {
  /** Whether one ends the reading. Default true. */
  strict?: boolean;
  /** Told of every row that is skipped; only where not strict. */
  onSkip?: (skipped: SkippedRow) => void;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/**
 * What `read` makes of each row. The event loop has its turn in between.
 *
 * @param read Refuses a row by a SyntaxError or a TypeError; what nests too deeply for it is refused as well.
 * @throws {UserError} Where strict, at the first row that is refused: with its place.
 * @throws The signal's reason once it is aborted.
 */
export async function* usableRows<Row extends RowPlace, Value>(
  rows: AsyncIterable<Row>,
  read: (row: Row) => Value,
  { strict = true, onSkip, signal }: RowOptions,
): AsyncGenerator<Value> {
  const breathe = breather(signal);
  for await (const each of rows) {
    await breathe();
    let value: Value;
    try {
      value = read(each);
    } catch (error) {
      const reason = reasonOf(error), { row, file, place } = each;
      if (reason === undefined) throw error;
      if (strict) throw new UserError(`${file}, ${place}: ${reason}`);
      onSkip?.({ row, file, place, reason });
      continue;
    }
    yield value;
  }
}

/** Why a row was refused, in one line; undefined where the error is of another kind. */
function reasonOf(error: unknown): string | undefined {
  if (error instanceof SyntaxError || error instanceof TypeError) return error.message.replace(/\s+/g, " ");
  return error instanceof RangeError && /call stack/.test(error.message) ? "it nests too deeply" : undefined;
}

/** Counts what is skipped, and says it. */
export class SkippedRows {
  count = 0;
  #first?: SkippedRow;

  /** Counts one: for `onSkip`. */
  readonly add = (skipped: SkippedRow): void => {
    this.#first ??= skipped;
    this.count++;
  };

  /**
   * How many were skipped and the first with its reason; undefined where none was.
   *
   * @param path How messages call the data.
   */
  note(path: string): string | undefined {
    if (this.count === 0) return undefined;
    return `${path}: skipped ${this.count === 1 ? "1 row" : `${this.count} rows`}; ${this.first(path)}`;
  }

  /** The first with its reason: `the first, row 3: …`; empty where none was. */
  first(path: string): string {
    if (this.#first === undefined) return "";
    const { file, place, reason } = this.#first;
    return `the first, ${place}${file === path ? "" : ` of ${basename(file)}`}: ${reason}`;
  }
}
