/**
 * ZIP archives as numpy (`.npz`) and PyTorch (`.pth`) write them: the directory is read once, entries by range, so that
 * one array of a large archive costs one array of memory. Zip64 is understood, encryption and rare methods are refused.
 *
 * Bytes are expanded by `node:zlib`, which Deno brings along: it is native, checks the CRC, and stops at a given length,
 * so that a damaged or hostile archive cannot claim memory that its own directory does not state.
 */
import { constants, crc32, deflateRawSync, inflateRaw, inflateRawSync } from "node:zlib";
import { type AtomicSink, writeFileAtomicWith } from "./atomic.ts";
import { openRandomAccess, type RandomAccessFile } from "./random_access.ts";
import { UserError } from "./user_error.ts";

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
  /** Where the entry's local header starts in the archive. */
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

/** An open archive. Close it when done, or hold it with `using`. */
export class ZipFile implements Disposable {
  /** By name, in the directory's order. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** The archive. */
  readonly path: string;
  readonly #file: RandomAccessFile;
  readonly #directoryOffset: number;

  private constructor(file: RandomAccessFile, entries: Map<string, ZipEntry>, directoryOffset: number) {
    this.#file = file;
    this.path = file.path;
    this.entries = entries;
    this.#directoryOffset = directoryOffset;
  }

  /** Opens an archive and reads its directory. @throws {UserError} if it is missing or is not a sound ZIP archive. */
  static async open(path: string): Promise<ZipFile> {
    const file = await openRandomAccess(path);
    try {
      const { offset, size, count } = await findDirectory(file);
      return new ZipFile(file, parseDirectory(path, await file.read(offset, size), count, offset), offset);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The whole of one entry, expanded and checked against its CRC. */
  async read(name: string): Promise<Uint8Array> {
    const entry = this.#entry(name);
    const raw = await this.#file.read(await this.#dataOffset(entry), entry.compressedSize);
    const bytes = entry.method === STORED ? raw : await this.#inflate(entry, raw);
    if (bytes.length !== entry.size) {
      throw damaged(this.path, `entry '${name}' has ${bytes.length} bytes where its directory says ${entry.size}`);
    }
    if (crc32(bytes) !== entry.crc32) throw damaged(this.path, `entry '${name}' does not match its checksum`);
    return bytes;
  }

  /** The first bytes of one entry, at most `length` of them. Their checksum cannot be checked. */
  async head(name: string, length: number): Promise<Uint8Array> {
    const entry = this.#entry(name);
    const start = await this.#dataOffset(entry);
    // Incompressible data grows a little when deflated: read some more than what is asked for.
    const raw = await this.#file.read(start, Math.min(entry.compressedSize, length + 1024));
    if (entry.method === STORED) return raw.slice(0, length);
    try {
      return new Uint8Array(inflateRawSync(raw, { finishFlush: constants.Z_SYNC_FLUSH })).slice(0, length);
    } catch (error) {
      throw damaged(this.path, `entry '${name}' cannot be expanded: ${(error as Error).message}`);
    }
  }

  /** Bytes [offset, offset + length) of an entry that is stored, not compressed. */
  async readStoredRange(name: string, offset: number, length: number): Promise<Uint8Array> {
    const entry = this.#entry(name);
    if (entry.method !== STORED) {
      throw damaged(this.path, `entry '${name}' is compressed where stored bytes are needed`);
    }
    if (offset < 0 || length < 0 || offset + length > entry.size) {
      throw damaged(this.path, `entry '${name}' has ${entry.size} bytes; ${length} were asked for at ${offset}`);
    }
    return await this.#file.read(await this.#dataOffset(entry) + offset, length);
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

  async #dataOffset(entry: ZipEntry): Promise<number> {
    const header = viewOf(await this.#file.read(entry.headerOffset, 30));
    if (header.getUint32(0, true) !== LOCAL_HEADER) {
      throw damaged(this.path, `entry '${entry.name}' has no header at byte ${entry.headerOffset}`);
    }
    const start = entry.headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    if (start + entry.compressedSize > this.#directoryOffset) {
      throw damaged(this.path, `entry '${entry.name}' runs into the archive's directory`);
    }
    return start;
  }

  #inflate(entry: ZipEntry, raw: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      inflateRaw(raw, { maxOutputLength: Math.max(1, entry.size) }, (error, result) => {
        if (error) reject(damaged(this.path, `entry '${entry.name}' cannot be expanded: ${error.message}`));
        else resolve(new Uint8Array(result.buffer, result.byteOffset, result.byteLength));
      });
    });
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
  const locatorStart = tailStart + end - 20;
  if (locatorStart >= 0) {
    const locator = viewOf(await file.read(locatorStart, 20));
    if (locator.getUint32(0, true) === ZIP64_LOCATOR) {
      const record = viewOf(await file.read(toSafe(locator.getBigUint64(8, true), file.path), 56));
      if (record.getUint32(0, true) !== ZIP64_END_OF_DIRECTORY) {
        throw damaged(file.path, "its zip64 directory is missing");
      }
      count = toSafe(record.getBigUint64(32, true), file.path);
      size = toSafe(record.getBigUint64(40, true), file.path);
      offset = toSafe(record.getBigUint64(48, true), file.path);
    }
  }
  if (offset + size > tailStart + end) throw damaged(file.path, "its directory lies outside of the file");
  return { offset, size, count };
}

function parseDirectory(path: string, bytes: Uint8Array, count: number, limit: number): Map<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  const view = viewOf(bytes);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL_HEADER) {
      throw damaged(path, `its directory ends after ${i} of ${count} entries`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw damaged(path, `its directory ends after ${i} of ${count} entries`);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const entry: ZipEntry = {
      name,
      method: view.getUint16(at + 10, true),
      crc32: view.getUint32(at + 16, true),
      compressedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      headerOffset: view.getUint32(at + 42, true),
    };
    readZip64Extra(path, entry, bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength));
    if (view.getUint16(at + 8, true) & 1) throw damaged(path, `entry '${name}' is encrypted, which is not supported`);
    if (entry.method !== STORED && entry.method !== DEFLATED) {
      throw damaged(
        path,
        `entry '${name}' uses compression method ${entry.method}; only stored and deflate are supported`,
      );
    }
    if (entry.method === STORED && entry.size !== entry.compressedSize) {
      throw damaged(path, `stored entry '${name}' states two sizes, ${entry.compressedSize} and ${entry.size}`);
    }
    if (entry.headerOffset + 30 + entry.compressedSize > limit) {
      throw damaged(path, `entry '${name}' of ${entry.compressedSize} bytes lies outside of the file`);
    }
    if (entry.size > entry.compressedSize * MAX_EXPANSION + MAX_EXPANSION) {
      throw damaged(path, `entry '${name}' claims ${entry.size} bytes from ${entry.compressedSize} compressed ones`);
    }
    if (entries.has(name)) throw damaged(path, `entry '${name}' is there twice`);
    entries.set(name, entry);
    at = next;
  }
  return entries;
}

/** Sizes and offsets of 2^32 - 1 stand for a 64-bit value in the extra field, in this order. */
function readZip64Extra(path: string, entry: ZipEntry, extra: Uint8Array): void {
  const fields = (["size", "compressedSize", "headerOffset"] as const).filter((f) => entry[f] === 0xffffffff);
  if (fields.length === 0) return;
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length;) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && length >= fields.length * 8 && at + 4 + length <= extra.length) {
      fields.forEach((field, i) => entry[field] = toSafe(view.getBigUint64(at + 4 + i * 8, true), path));
      return;
    }
    at += 4 + length;
  }
  throw damaged(path, `entry '${entry.name}' lacks its 64-bit sizes`);
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
