/** Archives made byte by byte, so that each of their statements can be wrong by itself. */
import { Buffer } from "node:buffer";
import { constants, crc32, deflateRawSync } from "node:zlib";

/** An entry; what is left out is as it should be. */
export interface BuiltEntry {
  name: string;
  /** As they lie in the archive. */
  raw: Uint8Array;
  method?: 0 | 8;
  /** Of the expanded bytes. */
  size?: number;
  crc?: number;
  /** In the entry's own header. */
  localName?: string;
  /** The directory points there instead of at the entry's own header. */
  offset?: number;
  /** Size and checksum come after the bytes, as where an archive is written to a pipe: 32 or 64 bits wide. */
  descriptor?: 32 | 64;
  /** Sizes and offset of the directory are in a zip64 field. */
  zip64?: boolean;
}

const text = (s: string) => new TextEncoder().encode(s);

/** `I` four bytes, `H` two, `Q` eight, little-endian. */
function pack(format: string, ...values: number[]): Uint8Array {
  const widths = [...format].map((letter) => ({ H: 2, I: 4, Q: 8 })[letter]!);
  const view = new DataView(new ArrayBuffer(widths.reduce((sum, width) => sum + width, 0)));
  let at = 0;
  widths.forEach((width, i) => {
    if (width === 8) view.setBigUint64(at, BigInt(values[i]), true);
    else if (width === 4) view.setUint32(at, values[i], true);
    else view.setUint16(at, values[i], true);
    at += width;
  });
  return new Uint8Array(view.buffer);
}

/** The archive of these entries, in this order. `count` is what its end states. */
export function buildZip(entries: BuiltEntry[], count = entries.length): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [], directory: Uint8Array[] = [];
  let at = 0;
  const add = (...pieces: Uint8Array[]) => pieces.forEach((piece) => (parts.push(piece), at += piece.length));
  for (const entry of entries) {
    const { name, raw, method = 0, descriptor, zip64 } = entry;
    const size = entry.size ?? raw.length, crc = entry.crc ?? (method === 0 ? crc32(raw) : 0);
    const start = at, rawName = text(name), localName = text(entry.localName ?? name);
    const flags = 0x800 | (descriptor ? 8 : 0);
    const stated = descriptor ? [0, 0, 0] : [crc, raw.length, size];
    if (entry.offset === undefined) {
      add(pack("IHHHHHIIIHH", 0x04034b50, 20, flags, method, 0, 0x21, ...stated, localName.length, 0), localName, raw);
      if (descriptor) add(pack(descriptor === 64 ? "IIQQ" : "IIII", 0x08074b50, crc, raw.length, size));
    }
    const offset = entry.offset ?? start;
    const extra = zip64 ? pack("HHQQQ", 1, 24, size, raw.length, offset) : new Uint8Array();
    const shown = (value: number) => zip64 ? 0xffffffff : value;
    directory.push(
      pack("IHHHHHHIII", 0x02014b50, 45, 45, flags, method, 0, 0x21, crc, shown(raw.length), shown(size)),
      pack("HHHHHII", rawName.length, extra.length, 0, 0, 0, 0, shown(offset)),
      rawName,
      extra,
    );
  }
  const start = at;
  add(...directory);
  add(pack("IHHHHIIH", 0x06054b50, 0, 0, count, count, at - start, start, 0));
  return new Uint8Array(Buffer.concat(parts));
}

/** An entry that is deflated. */
export function deflated(name: string, bytes: Uint8Array): BuiltEntry {
  return { name, method: 8, raw: new Uint8Array(deflateRawSync(bytes)), size: bytes.length, crc: crc32(bytes) };
}

/** Deflate's bytes of `head` and so many mebibytes of zeros after it; they are never expanded here. */
export function deflatedZeros(head: Uint8Array, mebibytes: number): Uint8Array {
  const open = { finishFlush: constants.Z_FULL_FLUSH };
  const zeros = deflateRawSync(new Uint8Array(2 ** 20), open);
  const end = deflateRawSync(new Uint8Array());
  return new Uint8Array(Buffer.concat([deflateRawSync(head, open), ...Array(mebibytes).fill(zeros), end]));
}

/** Bytes that `run` read from files on this thread. */
export async function bytesRead(run: () => Promise<unknown>): Promise<number> {
  const { readSync } = Deno.FsFile.prototype;
  let count = 0;
  Deno.FsFile.prototype.readSync = function (into) {
    const n = readSync.call(this, into);
    count += n ?? 0;
    return n;
  };
  try {
    await run();
  } finally {
    Deno.FsFile.prototype.readSync = readSync;
  }
  return count;
}
