/**
 * A tensor in host memory as files hold it: raw little-endian bytes with an element type and a shape. The files' readers
 * and writers speak this type only; engines turn it into their own tensors.
 *
 * Deno runs on little-endian machines only, so bytes and typed arrays agree.
 */

/** Element types, by their names in safetensors. */
export type HostDtype = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/** A tensor in host memory, in C order. */
export interface HostTensor {
  /** Element type. */
  dtype: HostDtype;
  /** Sizes of the axes, outermost first; `[]` for a scalar. */
  shape: number[];
  /** The elements' little-endian bytes. */
  data: Uint8Array;
}

/** Bytes of one element of each type. */
export const BYTES_PER_ELEMENT: Readonly<Record<HostDtype, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** As many axes as PyTorch and NumPy allow. */
const MAX_AXES = 64;

/**
 * Whether a file's numbers can be a shape: at most 64 whole sizes, of which even the bytes of the widest element can be counted
 * exactly, also where another size is 0.
 */
export function isShape(sizes: readonly unknown[]): sizes is number[] {
  if (sizes.length > MAX_AXES || !sizes.every((size) => Number.isSafeInteger(size) && size as number >= 0)) {
    return false;
  }
  return elementCount((sizes as number[]).filter((size) => size > 0)) <= Number.MAX_SAFE_INTEGER / 8;
}

/** Number of elements of a shape; 1 for a scalar's `[]`. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Checks that a tensor's bytes fit its type and shape.
 *
 * @param name of the tensor, for the error message.
 * @throws {RangeError} if they do not.
 */
export function checkHostTensor(name: string, t: HostTensor): void {
  if (!Object.hasOwn(BYTES_PER_ELEMENT, t.dtype)) {
    throw new RangeError(
      `tensor '${name}' has the unknown dtype ${t.dtype}: use one of ${Object.keys(BYTES_PER_ELEMENT).join(", ")}`,
    );
  }
  if (!isShape(t.shape)) {
    throw new RangeError(`tensor '${name}' must have a shape of whole numbers: received [${t.shape}]`);
  }
  const needed = elementCount(t.shape) * BYTES_PER_ELEMENT[t.dtype];
  if (t.data.length !== needed) {
    throw new RangeError(`tensor '${name}' ${t.dtype} [${t.shape}] needs ${needed} bytes: received ${t.data.length}`);
  }
}

/**
 * The elements of a floating-point tensor as float32; F64 is rounded. An F32 tensor's result may share its memory.
 *
 * @param memory Holds a BF16 tensor's result, for callers who convert piece by piece; at least as large.
 * @throws {TypeError} if the tensor is not F32, F16, BF16 or F64.
 */
export function toFloat32(t: HostTensor, memory?: Float32Array): Float32Array {
  const count = elementCount(t.shape);
  switch (t.dtype) {
    case "F32":
      return new Float32Array(aligned(t.data, 4), offsetOf(t.data, 4), count);
    case "F16":
      return new Float32Array(new Float16Array(aligned(t.data, 2), offsetOf(t.data, 2), count));
    case "F64":
      return new Float32Array(new Float64Array(aligned(t.data, 8), offsetOf(t.data, 8), count));
    case "BF16": {
      const halves = new Uint16Array(aligned(t.data, 2), offsetOf(t.data, 2), count);
      const floats = memory?.subarray(0, count) ?? new Float32Array(count);
      const bits = new Uint32Array(floats.buffer, floats.byteOffset, count);
      for (let i = 0; i < count; i++) bits[i] = halves[i] << 16;
      return floats;
    }
    default:
      throw new TypeError(`dtype ${t.dtype} is not floating-point: toFloat32 takes F32, F16, BF16 and F64`);
  }
}

/**
 * Makes a tensor of float32 elements, rounded to nearest even where the type is narrower. An F32 tensor shares the
 * memory of `data`.
 *
 * @throws {RangeError} if `data` has not as many elements as the shape.
 */
export function fromFloat32(
  data: Float32Array,
  shape: readonly number[],
  dtype: "F32" | "F16" | "BF16" | "F64" = "F32",
): HostTensor {
  const tensor: HostTensor = { dtype, shape: [...shape], data: bytesOf(narrow(data, dtype)) };
  checkHostTensor("(new)", tensor);
  return tensor;
}

/** The elements of an I64 tensor; the result may share its memory. @throws {TypeError} for any other type. */
export function toInt64(t: HostTensor): BigInt64Array {
  if (t.dtype !== "I64") throw new TypeError(`dtype ${t.dtype} is not I64`);
  return new BigInt64Array(aligned(t.data, 8), offsetOf(t.data, 8), elementCount(t.shape));
}

/**
 * Makes an I64 tensor. A BigInt64Array's memory is shared, numbers are converted.
 *
 * @throws {RangeError} if a number is not whole, or if there are not as many elements as the shape needs.
 */
export function fromInt64(data: BigInt64Array | ArrayLike<number>, shape: readonly number[]): HostTensor {
  const values = data instanceof BigInt64Array ? data : BigInt64Array.from(Array.from(data), BigInt);
  const tensor: HostTensor = { dtype: "I64", shape: [...shape], data: bytesOf(values) };
  checkHostTensor("(new)", tensor);
  return tensor;
}

function narrow(data: Float32Array, dtype: "F32" | "F16" | "BF16" | "F64"): ArrayBufferView {
  if (dtype === "F32") return data;
  if (dtype === "F16") return new Float16Array(data);
  if (dtype === "F64") return new Float64Array(data);
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const halves = new Uint16Array(data.length);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i];
    // Rounding could carry a NaN's mantissa into infinity: a NaN keeps its high bits and becomes quiet.
    const isNaN = (x & 0x7fffffff) > 0x7f800000;
    halves[i] = isNaN ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return halves;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The buffer to view `bytes` in with elements of `width` bytes: a copy where they do not start at a multiple of it. */
function aligned(bytes: Uint8Array, width: number): ArrayBuffer {
  return (bytes.byteOffset % width === 0 ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer;
}

function offsetOf(bytes: Uint8Array, width: number): number {
  return bytes.byteOffset % width === 0 ? bytes.byteOffset : 0;
}
