/**
 * A log of one JSON object a line (JSONL), for what a run measures and for the samples it keeps. Lines are handed to the
 * system as they are appended, so a killed run keeps all of them; what a machine that loses power keeps is up to
 * {@linkcode MetricLog.sync}.
 *
 * When a run resumes, {@linkcode MetricLog.truncateAfter} drops the lines of the steps that will be done again.
 */
import { basename, dirname } from "node:path";
import { removeLeftovers, writeFileAtomicWith } from "../io/atomic.ts";
import { cannotWrite } from "../base/disk_error.ts";
import { checkIsFile } from "../io/plain_file.ts";
import { cannotRead } from "../io/random_access.ts";
import { UserError } from "../base/user_error.ts";

/** One line: the stage and step it belongs to, and anything else that JSON can hold. */
export interface MetricEntry {
  /** Name of the stage, such as `likelihood`. */
  stage: string;
  /** Of the stage, from 0 on. */
  step: number;
  /** Anything that JSON can hold. */
  [key: string]: unknown;
}

const NEWLINE = 0x0a;

/**
 * A JSONL file that is appended to. One process writes to a log at a time.
 *
 * @internal
 */
export class MetricLog {
  /** Path of the file. */
  readonly path: string;
  #file: Deno.FsFile | undefined;

  /** Nothing is read or written yet. @param path the file; made when the first line is appended. */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * Appends one line. NaN and infinities are written as the texts "NaN", "Infinity" and "-Infinity", typed arrays as
   * arrays; {@linkcode metricNumber} reads such numbers back.
   *
   * @throws {RangeError} if the step is not a whole number of at least 0, or the stage is empty.
   * @throws {DiskError} if the system does not take the line; nothing of it stays.
   */
  append(entry: MetricEntry): void {
    if (typeof entry.stage !== "string" || entry.stage === "") {
      throw new RangeError(`a log line's stage must be a text: received ${JSON.stringify(entry.stage)}`);
    }
    if (!Number.isSafeInteger(entry.step) || entry.step < 0) {
      throw new RangeError(`a log line's step must be a whole number, at least 0: received ${entry.step}`);
    }
    const bytes = new TextEncoder().encode(JSON.stringify(entry, readable) + "\n");
    try {
      this.#file ??= openAfterLastLine(this.path);
      for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
    } catch (error) {
      // Opening it again cuts off what was written of this line.
      this.close();
      throw cannotWrite(this.path, error);
    }
  }

  /** Returns when all lines are on the disk. @throws {DiskError} if the system cannot put them there. */
  async sync(): Promise<void> {
    try {
      await this.#file?.sync();
    } catch (error) {
      throw cannotWrite(this.path, error);
    }
  }

  /**
   * Drops the lines of `stage` whose step is greater than `step`, and a last line that is half-written. Other stages'
   * lines are left alone.
   *
   * @param step the step that is resumed from; -1 drops the whole stage.
   * @returns how many lines were dropped, the half-written one included.
   * @throws {UserError} if another line is damaged, naming it; the file is unchanged then.
   */
  async truncateAfter(stage: string, step: number): Promise<number> {
    this.close();
    let dropped = 0;
    for await (const line of readLines(this.path)) if (isDropped(this.path, line, stage, step)) dropped++;
    if (dropped === 0) return 0;
    await writeFileAtomicWith(this.path, async (sink) => {
      for await (const line of readLines(this.path)) {
        if (!isDropped(this.path, line, stage, step)) await sink.write(line.bytes);
      }
    });
    return dropped;
  }

  /**
   * Reads the lines one by one. A half-written last line is left out.
   *
   * @throws {UserError} at a damaged line, naming it.
   */
  async *entries(): AsyncGenerator<MetricEntry> {
    for await (const line of readLines(this.path)) if (line.complete) yield parse(this.path, line);
  }

  /** All lines. @throws {UserError} as {@linkcode MetricLog.entries} does. */
  async read(): Promise<MetricEntry[]> {
    return await Array.fromAsync(this.entries());
  }

  /** Closes the file; a later append opens it again. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  /** Same as {@linkcode MetricLog.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A number of a log line: "NaN", "Infinity" and "-Infinity" stand for themselves, anything else is undefined. */
export function metricNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : undefined;
}

function readable(_key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint") return Number(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Float32Array);
  return value;
}

/** Opens for appending. What a killed process left of a line would run into ours: it is cut off. */
function openAfterLastLine(path: string): Deno.FsFile {
  const file = Deno.openSync(path, { read: true, write: true, create: true });
  const { size } = file.statSync();
  const buffer = new Uint8Array(4096);
  let end = size;
  search: while (end > 0) {
    const start = Math.max(0, end - buffer.length);
    file.seekSync(start, Deno.SeekMode.Start);
    const n = file.readSync(buffer.subarray(0, end - start)) ?? 0;
    for (let i = n - 1; i >= 0; i--) {
      if (buffer[i] === NEWLINE) {
        end = start + i + 1;
        break search;
      }
    }
    end = start;
  }
  if (end < size) file.truncateSync(end);
  file.seekSync(end, Deno.SeekMode.Start);
  return file;
}

interface Line {
  number: number;
  /** The line's bytes, line break included. */
  bytes: Uint8Array;
  /** Ends in a line break. */
  complete: boolean;
}

async function* readLines(path: string): AsyncGenerator<Line> {
  let file: Deno.FsFile;
  try {
    await removeLeftovers(dirname(path), (target) => target === basename(path));
    await checkIsFile(path);
    file = await Deno.open(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw cannotRead(path, error);
  }
  let number = 0;
  let pending: Uint8Array[] = [];
  for await (const chunk of file.readable) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pending.push(chunk.subarray(start, end + 1));
      yield { number: ++number, bytes: concat(pending), complete: true };
      pending = [];
      start = end + 1;
    }
    if (start < chunk.length) pending.push(chunk.slice(start));
  }
  if (pending.length > 0) yield { number: ++number, bytes: concat(pending), complete: false };
}

function concat(parts: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function isDropped(path: string, line: Line, stage: string, step: number): boolean {
  if (!line.complete) return true;
  const entry = parse(path, line);
  return entry.stage === stage && entry.step > step;
}

function parse(path: string, line: Line): MetricEntry {
  let entry: unknown;
  try {
    entry = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line.bytes));
  } catch {
    entry = undefined;
  }
  const { stage, step } = (entry ?? {}) as Partial<MetricEntry>;
  if (typeof stage !== "string" || typeof step !== "number") {
    throw new UserError(`line ${line.number} of ${path} is damaged: mend or remove it`);
  }
  return entry as MetricEntry;
}
