/**
 * ZIP archives as numpy (`.npz`) and PyTorch (`.pth`) write them: the directory is read once, entries by range, so that
 * one array of a large archive costs one array of memory. Zip64 is understood, encryption and rare methods are refused.
 *
 * An archive says everything twice, in its directory and before each entry. Both must agree on names, entries may not share
 * bytes, and what is expanded is checked against its size and CRC, so that neither damage nor malice makes a file vanish, gives
 * other bytes than were written, or claims more than deflate can hold. Bytes are expanded by `node:zlib`, which Deno brings along.
 */
import { pipeline, Readable } from "node:stream";
import { constants, crc32, createInflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import { type AtomicSink, writeFileAtomicWith } from "./atomic.ts";
import { allocate, openRandomAccess, type RandomAccessFile } from "./random_access.ts";
import { UserError } from "../base/user_error.ts";

/** One file inside an archive. */
export interface ZipEntry {
  /** With its folders: `archive/data.pkl`. */
  name: string;
  /** 0 stored, 8 deflated. */
  method: number;
  /** Bytes in the archive. */
  compressedSize: number;
  /** Bytes when expanded. */
  size: number;
  /** Of the expanded bytes. */
  crc32: number;
  /** Where its bytes start in the archive. */
  dataOffset: number;
}

/** What the directory says of an entry. */
interface DirectoryRecord extends Omit<ZipEntry, "dataOffset"> {
  /** The name's bytes, to be found again in the header. */
  rawName: Uint8Array;
  /** Where the entry's own header starts. */
  headerOffset: number;
}

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_OF_DIRECTORY = 0x06054b50;
const ZIP64_END_OF_DIRECTORY = 0x06064b50;
const ZIP64_LOCATOR = 0x07064b50;
const STORED = 0;
const DEFLATED = 8;
/** Deflate cannot expand by more than this factor; a directory that claims more is lying. */
const MAX_EXPANSION = 1032;
/** Room for some 300,000 entries. */
const MAX_DIRECTORY_BYTES = 2 ** 25;
/** Bytes that are read or expanded at a time. */
const PIECE = 2 ** 18;

/** An open archive. Close it when done, or hold it with `using`. */
export class ZipFile implements Disposable {
  /** By name, in the directory's order. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** The archive. */
  readonly path: string;
  readonly #file: RandomAccessFile;

  private constructor(file: RandomAccessFile, entries: Map<string, ZipEntry>) {
    this.#file = file;
    this.path = file.path;
    this.entries = entries;
  }

  /**
   * Opens an archive and reads its directory and the headers of all entries.
   *
   * @throws {UserError} if it is missing or is not a sound ZIP archive.
   */
  static async open(path: string): Promise<ZipFile> {
    const file = await openRandomAccess(path);
    try {
      const { offset, size, count } = await findDirectory(file);
      const records = parseDirectory(path, await file.read(offset, size), count);
      return new ZipFile(file, await locateEntries(file, records, offset));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The whole of one entry, expanded and checked against its size and CRC. @throws {UserError} if they do not match. */
  async read(name: string): Promise<Uint8Array> {
    const bytes = allocate(this.path, this.#entry(name).size);
    let done = 0;
    for await (const piece of this.pieces(name)) {
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }

  /**
   * The same piece by piece, for entries that need not be in memory as a whole.
   *
   * @throws {UserError} as soon as there is more than the entry's size, or after the last piece if they do not match.
   */
  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    const entry = this.#entry(name);
    let size = 0, checksum = 0;
    for await (const piece of this.#expanded(entry)) {
      size += piece.length;
      if (size > entry.size) {
        throw damaged(this.path, `entry '${name}' has more than the ${entry.size} bytes it states`);
      }
      checksum = crc32(piece, checksum);
      yield piece;
    }
    if (size !== entry.size) {
      throw damaged(this.path, `entry '${name}' has ${size} bytes where its directory says ${entry.size}`);
    }
    if (checksum !== entry.crc32) throw damaged(this.path, `entry '${name}' does not match its checksum`);
  }

  /**
   * The first bytes of one entry, at most `length` of them. Not much more is read, and what that can expand to is bounded by the
   * format; its checksum cannot be checked.
   */
  async head(name: string, length: number): Promise<Uint8Array> {
    const entry = this.#entry(name);
    // Incompressible data grows a little when deflated.
    const raw = await this.#file.read(entry.dataOffset, Math.min(entry.compressedSize, length + 64));
    if (entry.method === STORED) return raw.slice(0, length);
    try {
      // Not as a stream: data sets have many headers, and this is several times faster.
      return new Uint8Array(inflateRawSync(raw, { finishFlush: constants.Z_SYNC_FLUSH })).slice(0, length);
    } catch (error) {
      throw this.#cannotExpand(entry, error);
    }
  }

  /**
   * Writes an entry to a file of its own, whose bytes are on the disk when it returns.
   *
   * @param onBytes told how many have been written, piece by piece.
   * @throws {UserError} as {@linkcode ZipFile.pieces} does; the file is half-written then.
   */
  async extract(
    name: string,
    path: string,
    { mode, onBytes }: { mode?: number; onBytes?: (count: number) => void } = {},
  ): Promise<void> {
    using file = await Deno.open(path, { create: true, write: true, truncate: true, mode });
    for await (const piece of this.pieces(name)) {
      for (let done = 0; done < piece.length;) done += await file.write(piece.subarray(done));
      onBytes?.(piece.length);
    }
    await file.sync();
  }

  /** Closes the file; reading from it then is an error. */
  close(): void {
    this.#file.close();
  }

  /** Same as {@linkcode ZipFile.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #entry(name: string): ZipEntry {
    const entry = this.entries.get(name);
    if (entry === undefined) throw damaged(this.path, `it has no entry '${name}'`);
    return entry;
  }

  /** An entry's bytes as they lie in the archive. */
  async *#stored(entry: ZipEntry): AsyncGenerator<Uint8Array> {
    for (let done = 0; done < entry.compressedSize; done += PIECE) {
      yield await this.#file.read(entry.dataOffset + done, Math.min(PIECE, entry.compressedSize - done));
    }
  }

  async *#expanded(entry: ZipEntry): AsyncGenerator<Uint8Array> {
    if (entry.method === STORED) return yield* this.#stored(entry);
    const inflate = createInflateRaw({ chunkSize: PIECE });
    // One piece ahead, not sixteen. Whatever goes wrong comes out of the loop below.
    pipeline(Readable.from(this.#stored(entry), { highWaterMark: 1 }), inflate, () => {});
    try {
      for await (const piece of inflate) yield piece;
    } catch (error) {
      throw this.#cannotExpand(entry, error);
    }
  }

  #cannotExpand({ name }: ZipEntry, error: unknown): unknown {
    if (!String((error as { code?: unknown }).code).startsWith("Z_")) return error;
    return damaged(this.path, `entry '${name}' cannot be expanded: ${(error as Error).message}`);
  }
}

async function findDirectory(file: RandomAccessFile): Promise<{ offset: number; size: number; count: number }> {
  const tailSize = Math.min(file.size, 22 + 0xffff);
  const tailStart = file.size - tailSize;
  const tail = viewOf(await file.read(tailStart, tailSize));
  let end = tailSize - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw damaged(file.path, "no ZIP directory found at its end (a truncated download, or not a ZIP file)");
  let count = tail.getUint16(end + 10, true);
  let size = tail.getUint32(end + 12, true);
  let offset = tail.getUint32(end + 16, true);
  let directoryEnd = tailStart + end;
  const locatorStart = directoryEnd - 20;
  if (locatorStart >= 0) {
    const locator = viewOf(await file.read(locatorStart, 20));
    if (locator.getUint32(0, true) === ZIP64_LOCATOR) {
      directoryEnd = toSafe(locator.getBigUint64(8, true), file.path);
      const record = viewOf(await file.read(directoryEnd, 56));
      if (record.getUint32(0, true) !== ZIP64_END_OF_DIRECTORY) {
        throw damaged(file.path, "its zip64 directory is missing");
      }
      count = toSafe(record.getBigUint64(32, true), file.path);
      size = toSafe(record.getBigUint64(40, true), file.path);
      offset = toSafe(record.getBigUint64(48, true), file.path);
    }
  }
  if (offset + size !== directoryEnd) {
    throw damaged(
      file.path,
      `its directory of ${size} bytes at ${offset} does not end where it should, at ${directoryEnd}`,
    );
  }
  if (size > MAX_DIRECTORY_BYTES) {
    throw damaged(file.path, `its directory has ${size} bytes, more than the ${MAX_DIRECTORY_BYTES} that are read`);
  }
  return { offset, size, count };
}

function parseDirectory(path: string, bytes: Uint8Array, count: number): DirectoryRecord[] {
  const records: DirectoryRecord[] = [];
  const names = new Set<string>();
  const view = viewOf(bytes), text = new TextDecoder();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL_HEADER) {
      throw damaged(path, `its directory ends after ${i} of ${count} entries`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw damaged(path, `its directory ends after ${i} of ${count} entries`);
    const rawName = bytes.subarray(at + 46, at + 46 + nameLength);
    const name = text.decode(rawName);
    const record: DirectoryRecord = {
      name,
      rawName,
      method: view.getUint16(at + 10, true),
      crc32: view.getUint32(at + 16, true),
      compressedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      headerOffset: view.getUint32(at + 42, true),
    };
    readZip64Extra(path, record, bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength));
    if (view.getUint16(at + 8, true) & 1) throw damaged(path, `entry '${name}' is encrypted, which is not supported`);
    if (record.method !== STORED && record.method !== DEFLATED) {
      throw damaged(
        path,
        `entry '${name}' uses compression method ${record.method}; only stored and deflate are supported`,
      );
    }
    if (record.method === STORED && record.size !== record.compressedSize) {
      throw damaged(path, `stored entry '${name}' states two sizes, ${record.compressedSize} and ${record.size}`);
    }
    if (record.size > record.compressedSize * MAX_EXPANSION + MAX_EXPANSION) {
      throw damaged(path, `entry '${name}' claims ${record.size} bytes from ${record.compressedSize} compressed ones`);
    }
    if (names.has(name)) throw damaged(path, `entry '${name}' is there twice`);
    names.add(name);
    records.push(record);
    at = next;
  }
  if (at !== bytes.length) throw damaged(path, `its directory goes on after the ${count} entries that it states`);
  return records;
}

/** Sizes and offsets of 2^32 - 1 stand for a 64-bit value in the extra field, in this order. */
function readZip64Extra(path: string, record: DirectoryRecord, extra: Uint8Array): void {
  const fields = (["size", "compressedSize", "headerOffset"] as const).filter((f) => record[f] === 0xffffffff);
  if (fields.length === 0) return;
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length;) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && length >= fields.length * 8 && at + 4 + length <= extra.length) {
      fields.forEach((field, i) => record[field] = toSafe(view.getBigUint64(at + 4 + i * 8, true), path));
      return;
    }
    at += 4 + length;
  }
  throw damaged(path, `entry '${record.name}' lacks its 64-bit sizes`);
}

/** Reads each entry's own header, in the file's order: the name must be there again, and the bytes end before the next. */
async function locateEntries(
  file: RandomAccessFile,
  records: DirectoryRecord[],
  directoryOffset: number,
): Promise<Map<string, ZipEntry>> {
  const places = new Map<string, number>();
  const inOrder = records.toSorted((a, b) => a.headerOffset - b.headerOffset);
  for (const [i, { name, rawName, headerOffset, compressedSize }] of inOrder.entries()) {
    const next = inOrder[i + 1];
    const limit = next?.headerOffset ?? directoryOffset;
    const overlap = () => {
      const where = next === undefined ? "the archive's directory" : `entry '${next.name}'`;
      return damaged(file.path, `entry '${name}' of ${compressedSize} bytes overlaps ${where}`);
    };
    const fixed = 30 + rawName.length;
    if (headerOffset + fixed > limit) throw overlap();
    const header = await file.read(headerOffset, fixed);
    const view = viewOf(header);
    if (view.getUint32(0, true) !== LOCAL_HEADER) {
      throw damaged(file.path, `entry '${name}' has no header at byte ${headerOffset}`);
    }
    if (view.getUint16(26, true) !== rawName.length || !rawName.every((byte, at) => header[30 + at] === byte)) {
      throw damaged(file.path, `entry '${name}' of its directory has another name in its own header`);
    }
    const dataOffset = headerOffset + fixed + view.getUint16(28, true);
    if (dataOffset + compressedSize > limit) throw overlap();
    places.set(name, dataOffset);
  }
  const entries = new Map<string, ZipEntry>();
  for (const { name, method, compressedSize, size, crc32 } of records) {
    entries.set(name, { name, method, compressedSize, size, crc32, dataOffset: places.get(name)! });
  }
  return entries;
}

/**
 * Writes an archive atomically, one entry at a time. Without zip64, as every reader takes it: entries and archive must
 * stay below 4 GiB.
 *
 * @throws {RangeError} if they do not.
 */
export async function writeZip(
  path: string,
  entries: Iterable<[name: string, bytes: Uint8Array]>,
  options: { compress?: boolean } = {},
): Promise<void> {
  await writeFileAtomicWith(path, async (sink) => {
    const directory: Uint8Array[] = [];
    for (const [name, bytes] of entries) directory.push(await writeEntry(sink, path, name, bytes, options.compress));
    const offset = sink.size;
    for (const record of directory) await sink.write(record);
    const size = sink.size - offset;
    if (offset + size >= 0xffffffff || directory.length >= 0xffff) {
      throw new RangeError(`cannot write ${path}: an archive must have fewer than 65,535 entries and stay below 4 GiB`);
    }
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, END_OF_DIRECTORY, true);
    end.setUint16(8, directory.length, true);
    end.setUint16(10, directory.length, true);
    end.setUint32(12, size, true);
    end.setUint32(16, offset, true);
    await sink.write(new Uint8Array(end.buffer));
  });
}

async function writeEntry(
  sink: AtomicSink,
  path: string,
  name: string,
  bytes: Uint8Array,
  compress = false,
): Promise<Uint8Array> {
  const data = compress ? new Uint8Array(deflateRawSync(bytes)) : bytes;
  const headerOffset = sink.size;
  if (headerOffset + data.length >= 0xffffffff || bytes.length >= 0xffffffff) {
    throw new RangeError(`cannot write '${name}' to ${path}: an archive must stay below 4 GiB`);
  }
  const nameBytes = new TextEncoder().encode(name);
  // The 26 bytes that the local header and the directory's record share, from "version needed" on.
  const shared = new DataView(new ArrayBuffer(26));
  shared.setUint16(0, 20, true);
  shared.setUint16(2, 0x0800, true); // names are UTF-8
  shared.setUint16(4, compress ? DEFLATED : STORED, true);
  shared.setUint16(8, 0x0021, true); // 1980-01-01: equal content gives equal archives
  shared.setUint32(10, crc32(bytes), true);
  shared.setUint32(14, data.length, true);
  shared.setUint32(18, bytes.length, true);
  shared.setUint16(22, nameBytes.length, true);
  const sharedBytes = new Uint8Array(shared.buffer);

  const local = new Uint8Array(30 + nameBytes.length);
  viewOf(local).setUint32(0, LOCAL_HEADER, true);
  local.set(sharedBytes, 4);
  local.set(nameBytes, 30);
  await sink.write(local);
  await sink.write(data);

  const record = new Uint8Array(46 + nameBytes.length);
  const view = viewOf(record);
  view.setUint32(0, CENTRAL_HEADER, true);
  view.setUint16(4, 20, true);
  record.set(sharedBytes, 6);
  view.setUint32(42, headerOffset, true);
  record.set(nameBytes, 46);
  return record;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toSafe(value: bigint, path: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(path, `it states a size or offset of ${value} bytes`);
  return Number(value);
}

function damaged(path: string, reason: string): UserError {
  return new UserError(`${path} cannot be read as a ZIP archive: ${reason}`);
}
