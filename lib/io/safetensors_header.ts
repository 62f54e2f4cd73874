/**
 * The header of a safetensors file: 8 bytes of length, then JSON that names each tensor's type, shape and place. It is
 * checked in full before any tensor is read, so that no later step trusts a number from the file.
 */
import { BYTES_PER_ELEMENT, elementCount, type HostDtype, type HostTensor, isShape } from "./host_tensor.ts";
import type { RandomAccessFile } from "./random_access.ts";
import { repeated, type StrictJson, strictJsonMembers } from "./strict_json.ts";
import { UserError } from "../base/user_error.ts";

/** One tensor's entry: its place is counted from the start of the file. */
export interface TensorPlace {
  /** Element type. */
  dtype: HostDtype;
  /** Sizes of the axes. */
  shape: number[];
  /** Of its first byte. */
  offset: number;
  /** Its size. */
  byteLength: number;
}

/** A checked header. */
export interface SafetensorsHeader {
  /** By name, in the header's order. */
  tensors: Map<string, TensorPlace>;
  /** The texts that the file says about itself. */
  metadata: Record<string, string>;
}

/** The limit of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

/** A tensor is an object of texts and lists of numbers; what a file says about itself has few items. */
const LIMITS = { depth: 2, items: 10_000 };

/**
 * The order in which the reference implementation lays out element types: widest first, so that every tensor starts at
 * a multiple of its element's width.
 */
const LAYOUT: HostDtype[] = ["I64", "F64", "F32", "I32", "BF16", "F16", "I16", "I8", "U8", "BOOL"];

/**
 * Reads and checks the header of an open file.
 *
 * @throws {UserError} naming the file and what is wrong with it.
 */
export async function readSafetensorsHeader(file: RandomAccessFile): Promise<SafetensorsHeader> {
  const fail = (reason: string) => new UserError(`${file.path} cannot be read as safetensors: ${reason}`);
  if (file.size < 8) throw fail(`truncated: ${file.size} bytes are too few to hold a header`);
  const stated = new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true);
  if (stated > BigInt(MAX_HEADER_BYTES)) {
    throw fail(
      `its header states ${stated} bytes, more than the allowed ${MAX_HEADER_BYTES}; is it safetensors at all?`,
    );
  }
  const length = Number(stated);
  if (8 + length > file.size) {
    throw fail(`truncated inside its header: ${length} bytes expected, ${file.size - 8} found`);
  }
  const bytes = await file.read(8, length);
  if (bytes[0] !== 0x7b) throw fail("its header does not start with '{'");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("its header is not valid UTF-8");
  }
  try {
    return checkHeader(text, 8 + length, file.size, fail);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw fail(`its header is not valid: ${error.message}`);
  }
}

function checkHeader(
  text: string,
  dataStart: number,
  fileSize: number,
  fail: (reason: string) => UserError,
): SafetensorsHeader {
  const metadata: Record<string, string> = Object.create(null);
  const tensors = new Map<string, TensorPlace>();
  let hasMetadata = false;
  for (const [name, value] of strictJsonMembers(text, LIMITS)) {
    if (!(value instanceof Map)) throw fail(`entry '${name}' is not an object`);
    if (name === "__metadata__") {
      if (hasMetadata) throw repeated(name);
      hasMetadata = true;
      for (const [key, text] of value) {
        if (typeof text !== "string") throw fail(`metadata '${key}' is not a string`);
        metadata[key] = text;
      }
    } else {
      if (tensors.has(name)) throw repeated(name);
      tensors.set(name, checkTensor(name, value, dataStart, fail));
    }
  }
  let end = dataStart;
  for (const [name, place] of [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    if (place.offset < end) throw fail(`tensor '${name}' overlaps the one before it`);
    if (place.offset > end) throw fail(`${place.offset - end} bytes before tensor '${name}' belong to no tensor`);
    end += place.byteLength;
  }
  if (end > fileSize) throw fail(`truncated: its header describes ${end} bytes, the file has ${fileSize}`);
  if (end < fileSize) throw fail(`${fileSize - end} bytes at its end belong to no tensor`);
  return { tensors, metadata };
}

function checkTensor(
  name: string,
  entry: Map<string, StrictJson>,
  dataStart: number,
  fail: (reason: string) => UserError,
): TensorPlace {
  const dtype = entry.get("dtype");
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES_PER_ELEMENT, dtype)) {
    const known = Object.keys(BYTES_PER_ELEMENT).join(", ");
    throw fail(`tensor '${name}' has the unsupported dtype ${JSON.stringify(dtype) ?? "(none)"}; known are ${known}`);
  }
  const shape = entry.get("shape");
  if (!Array.isArray(shape) || !isShape(shape)) throw fail(`tensor '${name}' has no valid shape`);
  const offsets = entry.get("data_offsets");
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[1] < offsets[0]) {
    throw fail(`tensor '${name}' has no valid data_offsets`);
  }
  const byteLength = offsets[1] - offsets[0];
  const needed = elementCount(shape) * BYTES_PER_ELEMENT[dtype as HostDtype];
  if (needed !== byteLength) {
    throw fail(`tensor '${name}' ${dtype} [${shape}] needs ${needed} bytes, its offsets give it ${byteLength}`);
  }
  return { dtype: dtype as HostDtype, shape, offset: dataStart + offsets[0], byteLength };
}

function isSizes(value: StrictJson | undefined): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0);
}

/** Sorts tensors into the order of the file and encodes its header, both as the reference implementation does. */
export function encodeSafetensorsHeader<T extends Pick<HostTensor, "dtype" | "shape">>(
  tensors: Iterable<[string, T]>,
  metadata: Record<string, string>,
): { header: Uint8Array; ordered: [string, T][] } {
  const rank = (t: T) => LAYOUT.indexOf(t.dtype);
  const ordered = [...tensors].sort(([a, x], [b, y]) => rank(x) - rank(y) || (a < b ? -1 : a > b ? 1 : 0));
  const items: string[] = [];
  if (Object.keys(metadata).length > 0) items.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const [name, { dtype, shape }] of ordered) {
    const end = offset + elementCount(shape) * BYTES_PER_ELEMENT[dtype];
    items.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${items.join(",")}}`);
  // Spaces up to a multiple of 8 keep the tensors aligned.
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new RangeError(`a safetensors header must have at most ${MAX_HEADER_BYTES} bytes: this one has ${length}`);
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return { header, ordered };
}
