/**
 * Element types and shapes: what a tensor's numbers are on the engine and on the host.
 *
 * `int64` is the one integer type (token ids, indices). The tfjs engine holds it in 32 bits and refuses values beyond.
 * Not every engine has `float64` and `bfloat16`: `Engine.supports` tells.
 */

/** Element type of a tensor. */
export type DType = "float32" | "float64" | "bfloat16" | "int64" | "bool";

/**
 * Numbers on the host that a tensor can be made from. `int64` takes Int32Array, BigInt64Array or number[].
 *
 * @internal
 */
export type HostData = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | readonly number[];

/**
 * Numbers read back from a tensor: float32 and bfloat16 → Float32Array, float64 → Float64Array, int64 → Int32Array,
 * bool → Uint8Array of 0 and 1.
 *
 * @internal
 */
export type ReadData = Float32Array | Float64Array | Int32Array | Uint8Array;

/** Extents of a tensor's axes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** Bytes of one element. */
export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  bfloat16: 2,
  int64: 8,
  bool: 1,
};

/** Whether gradients exist for this type. */
export function isFloating(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64" || dtype === "bfloat16";
}

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}

/** `[2, 3]`, for messages. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * The shape that two shapes broadcast to, by NumPy's rule: axes are matched from the last, extent 1 stretches.
 *
 * @param operator Named in the error.
 * @throws {RangeError} When two extents differ and neither is 1.
 */
export function broadcastShapes(a: Shape, b: Shape, operator: string): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1, y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new RangeError(`${operator}: shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast`);
    }
    out[i] = x === 1 ? y : x;
  }
  return out;
}

/**
 * An axis counted from the front: −1 is the last.
 *
 * @throws {RangeError} When there is no such axis.
 */
export function normalizeAxis(axis: number, rank: number, operator: string): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || index < 0 || index >= rank) {
    throw new RangeError(`${operator}: axis ${axis} does not exist in a tensor of rank ${rank}`);
  }
  return index;
}
