/**
 * Files of lines, plain or gzipped (`.gz`), read as a stream: no file is ever in memory as a whole.
 */
import { pipeline, Readable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { createGunzip } from "node:zlib";
import { writeFileAtomicWith } from "./atomic.ts";
import { checkIsFile } from "./plain_file.ts";
import { UserError } from "../base/user_error.ts";

/** A line of a file. */
export interface FileLine {
  /** From 0; the line's number for people is one more. */
  row: number;
  /** Without its line break; undefined where it is not UTF-8. */
  text: string | undefined;
}

const LINE_FEED = 0x0a, CARRIAGE_RETURN = 0x0d;
/** Bytes of a line at most: a few gzipped kilobytes can stand for a line of gigabytes. */
const LONGEST_LINE = 2 ** 24;

/**
 * The lines of a file in order, blank ones too; a line break at the end begins no further line.
 *
 * @throws {UserError} When the file cannot be read, its gzip data is damaged, or a line is longer than 16 MiB.
 */
export async function* readLines(path: string): AsyncGenerator<FileLine> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let row = 0, begunLength = 0;
  let begun: Uint8Array[] = [];
  const check = (length: number) => {
    if (length <= LONGEST_LINE) return;
    throw new UserError(
      `${path}, line ${row + 1}: is longer than ${LONGEST_LINE} bytes: is it a file of lines, one record each?`,
    );
  };
  const finish = (end: Uint8Array): FileLine => {
    check(begunLength + end.length);
    let bytes = begun.length === 0 ? end : concatenate([...begun, end]);
    if (bytes[bytes.length - 1] === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1);
    begun = [];
    begunLength = 0;
    try {
      return { row: row++, text: decoder.decode(bytes) };
    } catch {
      return { row: row - 1, text: undefined };
    }
  };
  for await (const chunk of readBytes(path)) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      yield finish(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start === chunk.length) continue;
    begun.push(chunk.subarray(start));
    check(begunLength += chunk.length - start);
  }
  if (begun.length > 0) yield finish(new Uint8Array());
}

async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  let gzipped = false;
  try {
    await checkIsFile(path);
    const { readable } = await Deno.open(path, { read: true });
    gzipped = path.endsWith(".gz");
    // Not DecompressionStream: a gzip file may have several members (`cat a.gz b.gz`), of which it takes the first alone.
    yield* gzipped ? unpacked(readable) : readable;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UserError(`${path}: there is no such file`);
    const reason = (error as Error).message.replace(/\s+/g, " ");
    throw new UserError(
      gzipped ? `${path}: cannot be unpacked, is it complete? (${reason})` : `${path}: cannot be read (${reason})`,
    );
  }
}

function unpacked(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  // Errors of either end come out of the iteration; its end, early or not, closes the file.
  return pipeline(Readable.fromWeb(stream as NodeReadableStream), createGunzip(), () => {});
}

/**
 * Writes lines to a file, gzipped if its name ends in `.gz`; it appears when all are written.
 *
 * @throws whatever the file system or `lines` reports; the file that was there before is then unchanged.
 */
export async function writeLines(path: string, lines: Iterable<string> | AsyncIterable<string>): Promise<void> {
  await writeFileAtomicWith(path, async (sink) => {
    const encoder = new TextEncoder();
    let stream = ReadableStream.from(inChunks(lines)).pipeThrough(
      new TransformStream<string, BufferSource>({ transform: (text, to) => to.enqueue(encoder.encode(text)) }),
    );
    if (path.endsWith(".gz")) stream = stream.pipeThrough(new CompressionStream("gzip"));
    for await (const bytes of stream) await sink.write(bytes as Uint8Array);
  });
}

/** Many short lines at once, since each chunk costs a trip through the streams. */
async function* inChunks(lines: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = "";
  for await (const line of lines) {
    chunk += `${line}\n`;
    if (chunk.length >= 1 << 16) {
      yield chunk;
      chunk = "";
    }
  }
  if (chunk !== "") yield chunk;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
