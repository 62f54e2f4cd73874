/**
 * NumPy's `.npy` format, versions 1 to 3: a header that names element type, order and shape, then the elements.
 *
 * Arrays come out in C order and the machine's byte order. Element types that JavaScript has no typed array for
 * (`object`, `complex`, text, records, `uint64`) are refused by name; pickled data is never looked at.
 */
import { elementCount, isShape } from "./host_tensor.ts";
import { UserError } from "../base/user_error.ts";

/** Element types of {@linkcode NdArray}. */
export type NdArrayDtype =
  | "bool"
  | "uint8"
  | "int8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "float16"
  | "float32"
  | "float64";

/** An array in C order. `bool` is held as bytes 0 and 1. */
export interface NdArray {
  /** Element type. */
  dtype: NdArrayDtype;
  /** Sizes of the axes, outermost first; `[]` for a scalar. */
  shape: number[];
  /** The elements. */
  data:
    | Uint8Array
    | Int8Array
    | Int16Array
    | Uint16Array
    | Int32Array
    | Uint32Array
    | BigInt64Array
    | Float16Array
    | Float32Array
    | Float64Array;
}

/** What the header of an array says, without its elements. */
export interface NdArrayInfo {
  /** Element type. */
  dtype: NdArrayDtype;
  /** Sizes of the axes, outermost first; `[]` for a scalar. */
  shape: number[];
}

/** NumPy's code for each type, and the typed array that holds it. */
const DTYPES = {
  bool: { code: "b1", array: Uint8Array },
  uint8: { code: "u1", array: Uint8Array },
  int8: { code: "i1", array: Int8Array },
  int16: { code: "i2", array: Int16Array },
  uint16: { code: "u2", array: Uint16Array },
  int32: { code: "i4", array: Int32Array },
  uint32: { code: "u4", array: Uint32Array },
  int64: { code: "i8", array: BigInt64Array },
  float16: { code: "f2", array: Float16Array },
  float32: { code: "f4", array: Float32Array },
  float64: { code: "f8", array: Float64Array },
} as const;

const BY_CODE = new Map(Object.entries(DTYPES).map(([dtype, { code }]) => [code as string, dtype as NdArrayDtype]));

/** NumPy's name of what its other type codes stand for, for the error message. */
const REFUSED: Record<string, string> = {
  O: "object",
  u8: "uint64",
  c8: "complex64",
  c16: "complex128",
  f16: "longdouble",
  S: "bytes",
  U: "str",
  V: "void",
  M: "datetime64",
  m: "timedelta64",
};

/** What the header of a file says. */
interface Header extends NdArrayInfo {
  bigEndian: boolean;
  fortranOrder: boolean;
  /** Number of elements. */
  count: number;
  /** Where they start. */
  dataOffset: number;
}

/** What NumPy itself reads of a header that it does not trust. */
const MAX_HEADER_BYTES = 10_000;
/** The longest beginning of a file that a header can fill. */
export const NPY_HEAD_BYTES = 12 + MAX_HEADER_BYTES;

/**
 * Decodes a `.npy` file. The result may share memory with `bytes`.
 *
 * @param source where the bytes come from, for error messages: `episode.npz: image`.
 * @throws {UserError} if they are no `.npy` data, are cut short, or hold elements of an unsupported type.
 */
export function decodeNpy(bytes: Uint8Array, source: string): NdArray {
  const { dtype, shape, bigEndian, fortranOrder, count, dataOffset } = parseHeader(bytes, source);
  const { array } = DTYPES[dtype];
  const width = array.BYTES_PER_ELEMENT;
  const needed = count * width;
  const there = bytes.length - dataOffset;
  if (there < needed) {
    throw invalid(source, `truncated: ${needed} bytes of ${dtype} [${shape}] expected, ${there} found`);
  }
  if (there > needed) throw invalid(source, `${there - needed} bytes follow the elements of ${dtype} [${shape}]`);
  const start = bytes.byteOffset + dataOffset;
  const aligned = start % width === 0 && !(bigEndian && width > 1);
  const raw = aligned ? bytes.subarray(dataOffset) : bytes.slice(dataOffset);
  if (bigEndian) swapBytes(raw, width);
  const data: NdArray["data"] = new array(raw.buffer as ArrayBuffer, raw.byteOffset, count);
  return { dtype, shape, data: fortranOrder ? toRowMajor(data, shape) : data };
}

/**
 * Reads only the header of a `.npy` file.
 *
 * @param bytes the file's beginning, `NPY_HEAD_BYTES` of it or all.
 * @returns what it says of the elements, and how many bytes the whole file must have.
 * @throws {UserError} as {@linkcode decodeNpy} does, except for what follows the header.
 */
export function decodeNpyHeader(bytes: Uint8Array, source: string): { info: NdArrayInfo; fileSize: number } {
  const { dtype, shape, count, dataOffset } = parseHeader(bytes, source);
  return { info: { dtype, shape }, fileSize: dataOffset + count * DTYPES[dtype].array.BYTES_PER_ELEMENT };
}

/**
 * Encodes an array as `.npy`, version 1 (little-endian, C order).
 *
 * @throws {RangeError} if the number of elements is not the shape's product.
 */
export function encodeNpy(a: NdArray): Uint8Array {
  const { code, array } = DTYPES[a.dtype];
  if (!(a.data instanceof array)) {
    throw new TypeError(`dtype ${a.dtype} needs a ${array.name}: received a ${a.data.constructor.name}`);
  }
  const count = a.shape.reduce((product, size) => product * size, 1);
  if (count !== a.data.length) {
    throw new RangeError(`shape [${a.shape}] needs ${count} elements: received ${a.data.length}`);
  }
  const order = array.BYTES_PER_ELEMENT === 1 ? "|" : "<";
  const shape = a.shape.length === 1 ? `(${a.shape[0]},)` : `(${a.shape.join(", ")})`;
  const dict = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': ${shape}, }`;
  // Magic, version, length and dictionary fill a multiple of 64 bytes, so that the elements are aligned.
  const headerSize = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const bytes = new Uint8Array(headerSize + a.data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(bytes.buffer).setUint16(8, headerSize - 10, true);
  bytes.set(new TextEncoder().encode(dict.padEnd(headerSize - 11) + "\n"), 10);
  bytes.set(new Uint8Array(a.data.buffer, a.data.byteOffset, a.data.byteLength), headerSize);
  return bytes;
}

function parseHeader(bytes: Uint8Array, source: string): Header {
  const magic = String.fromCharCode(...bytes.subarray(0, 6));
  if (magic !== "\x93NUMPY") throw invalid(source, "it does not start with NumPy's magic bytes");
  const version = bytes[6];
  if (version < 1 || version > 3) throw invalid(source, `format version ${version} is unknown (1, 2 and 3 are known)`);
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) throw invalid(source, "truncated inside its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER_BYTES) {
    throw invalid(source, `its header states ${length} bytes, more than the ${MAX_HEADER_BYTES} that NumPy reads`);
  }
  if (start + length > bytes.length) {
    throw invalid(source, `truncated inside its header: ${length} bytes expected, ${bytes.length - start} found`);
  }
  const text = new TextDecoder(version === 3 ? "utf-8" : "latin1").decode(bytes.subarray(start, start + length));
  return { ...parseDictionary(text, source), dataOffset: start + length };
}

/** A string, a word, a number as Python 2 wrote them too, or any other character; white space before it is skipped. */
const TOKEN = /\s*('[^']*'|"[^"]*"|\w+|[^\s])/y;

/** Takes exactly what NumPy writes: a dictionary of the three keys in any order, and nothing else. */
function parseDictionary(text: string, source: string): Omit<Header, "dataOffset"> {
  const cursor = new RegExp(TOKEN);
  const malformed = (at: number) =>
    invalid(source, `its header is malformed at ${JSON.stringify(text.slice(at, at + 60))}`);
  const next = () => cursor.exec(text)?.[1] ?? "";
  const take = (...wanted: string[]) => {
    const at = cursor.lastIndex, token = next();
    if (!wanted.includes(token)) throw malformed(at);
    return token;
  };

  if (next() !== "{") throw invalid(source, `its header is not a dictionary: ${JSON.stringify(text.slice(0, 80))}`);
  const values = new Map<string, string[]>();
  for (let closed = false; !closed;) {
    const at = cursor.lastIndex, key = next();
    if (key === "}") break;
    const name = /^(['"])(descr|fortran_order|shape)\1$/.exec(key)?.[2];
    if (name === undefined) throw malformed(at);
    if (values.has(name)) throw invalid(source, `its header has '${name}' twice`);
    take(":");
    const value = [next()];
    // A list describes the fields of records, which are refused: where it ends does not matter.
    if (name === "descr" && value[0] === "[") throw unsupported("record", text.slice(at), source);
    while (value[0] === "(" && value.at(-1) !== ")" && value.at(-1) !== "") value.push(next());
    values.set(name, value);
    closed = take(",", "}") === "}";
  }
  if (text.slice(cursor.lastIndex).trim() !== "") throw malformed(cursor.lastIndex);
  for (const key of ["descr", "fortran_order", "shape"]) {
    if (!values.has(key)) throw invalid(source, `its header has no '${key}'`);
  }
  const { dtype, bigEndian } = parseDescr(values.get("descr")![0], source);
  const [order] = values.get("fortran_order")!;
  if (order !== "True" && order !== "False") throw invalid(source, `fortran_order must be True or False: ${order}`);
  const { shape, count } = parseShape(values.get("shape")!, source);
  return { dtype, bigEndian, fortranOrder: order === "True", shape, count };
}

function parseDescr(descr: string, source: string): { dtype: NdArrayDtype; bigEndian: boolean } {
  const code = descr.slice(1, -1);
  const dtype = /^[<>|=]/.test(code) ? BY_CODE.get(code.slice(1)) : undefined;
  if (dtype !== undefined && /^['"]/.test(descr)) return { dtype, bigEndian: code[0] === ">" };
  const kind = code.replace(/^[<>|=]/, "");
  throw unsupported(REFUSED[kind] ?? REFUSED[kind[0]] ?? "unknown", descr, source);
}

function unsupported(type: string, descr: string, source: string): UserError {
  return invalid(
    source,
    `elements of type ${type} (${descr.slice(0, 60)}) are not supported; save the array with one of: ` +
      Object.keys(DTYPES).join(", "),
  );
}

/** A tuple's tokens: sizes with commas between them, after the last one only if it is the only one or by choice. */
function parseShape(tokens: string[], source: string): { shape: number[]; count: number } {
  const inner = tokens.slice(1, -1);
  const sizes = inner.filter((_, i) => i % 2 === 0), commas = inner.filter((_, i) => i % 2 === 1);
  const shape = sizes.map((size) => /^\d+L?$/.test(size) ? Number.parseInt(size) : NaN);
  const isTuple = tokens[0] === "(" && tokens.at(-1) === ")" && commas.every((comma) => comma === ",");
  if (!isTuple || !isShape(shape)) {
    throw invalid(source, `shape must be a tuple of sizes: ${tokens.join("").slice(0, 80)}`);
  }
  return { shape, count: elementCount(shape) };
}

function swapBytes(raw: Uint8Array, width: number): void {
  if (width === 1) return;
  for (let i = 0; i < raw.length; i += width) raw.subarray(i, i + width).reverse();
}

/** Reorders elements stored with the first axis fastest into C order, walking the result once. */
function toRowMajor(data: NdArray["data"], shape: number[]): NdArray["data"] {
  const result = data.slice() as NdArray["data"];
  const strides: number[] = [];
  shape.reduce((stride, size) => (strides.push(stride), stride * size), 1);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < data.length; to++) {
    result[to] = data[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

function invalid(source: string, reason: string): UserError {
  return new UserError(`${source} cannot be read as a NumPy array: ${reason}`);
}
