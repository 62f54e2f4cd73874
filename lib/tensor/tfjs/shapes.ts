/**
 * Moving numbers about: what tfjs' kernels refuse for a type goes through one that they take.
 */
import { kernels } from "./kernels.ts";
import { alias, tf } from "./runtime.ts";

type T = tf.Tensor;

/**
 * Axes in another order. Axes of extent 1 are left out and axes that stay together are moved as one: tfjs' kernel is slow
 * on more than four.
 */
export function permute(x: T, order: readonly number[]): T {
  const shape = x.shape, outShape = order.map((axis) => shape[axis]);
  const moved = order.filter((axis) => shape[axis] !== 1);
  const runs: number[][] = [];
  for (const axis of moved) {
    const run = runs[runs.length - 1], before = run?.[run.length - 1];
    const follows = before !== undefined && axis > before && shape.slice(before + 1, axis).every((n) => n === 1);
    if (follows) run.push(axis);
    else runs.push([axis]);
  }
  if (runs.length <= 1) return tf.reshape(x, outShape);
  // Runs by where they stand in x; then the order that brings them where they go.
  const places = runs.map((_, i) => i).sort((a, b) => runs[a][0] - runs[b][0]);
  const extents = places.map((i) => runs[i].reduce((product, axis) => product * shape[axis], 1));
  const merged = tf.transpose(tf.reshape(x, extents), runs.map((_, i) => places.indexOf(i)));
  return tf.reshape(merged, outShape);
}

/** Runs an operator on booleans as integers. */
function asNumbers(xs: T[], fn: (xs: T[]) => T): T {
  if (xs[0].dtype !== "bool") return fn(xs);
  return tf.cast(fn(xs.map((x) => tf.cast(x, "int32"))), "bool");
}

/**
 * Tensors one after the other. Joined as rows: tfjs' kernels (that of the gradient, a slice, above all) are a hundred times
 * slower on five axes than on two.
 */
export function concat(xs: T[], axis: number): T {
  const [first] = xs, total = xs.reduce((sum, x) => sum + x.shape[axis], 0);
  const outer = first.shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const inner = first.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const joined = asNumbers(xs, (ys) => tf.concat(ys.map((y) => tf.reshape(y, [outer, y.shape[axis] * inner])), 1));
  return tf.reshape(joined, first.shape.map((n, i) => i === axis ? total : n));
}

/** A block. Axes that are taken whole are merged with the one before them, for the same reason. */
export function slice(x: T, begin: readonly number[], size: readonly number[]): T {
  const merged: { extent: number; begin: number; size: number }[] = [];
  x.shape.forEach((extent, i) => {
    const before = merged[merged.length - 1];
    if (before && size[i] === extent) {
      before.extent *= extent;
      before.begin *= extent;
      before.size *= extent;
    } else merged.push({ extent, begin: begin[i], size: size[i] });
  });
  const flat = tf.reshape(x, merged.map((axis) => axis.extent));
  const block = tf.slice(flat, merged.map((axis) => axis.begin), merged.map((axis) => axis.size));
  return tf.reshape(block, [...size]);
}

/** A border of one value. */
export function pad(x: T, paddings: readonly (readonly [number, number])[], value: number): T {
  return asNumbers([x], ([y]) => tf.pad(y, paddings.map(([a, b]) => [a, b]), value));
}

/** Another type; floats are truncated towards zero. */
export function cast(x: T, kind: "float32" | "int32" | "bool"): T {
  if (kind === "bool" && x.dtype !== "bool") return tf.notEqual(x, tf.scalar(0, x.dtype as "int32"));
  return tf.cast(x, kind);
}

/** Writes a block over numbers that nobody else holds; false where that cannot be done. */
function overwrite(x: T, value: T, axis: number, start: number): boolean {
  const fast = kernels();
  if (!fast || x.dtype !== "float32" || x.dataId === value.dataId || !fast.isSole(x)) return false;
  const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const step = x.shape[axis] * inner, length = value.shape[axis] * inner;
  const to = fast.floats(x), from = fast.floats(value);
  for (let i = 0, at = start * inner; i < from.length; i += length, at += step) {
    to.set(from.subarray(i, i + length), at);
  }
  fast.touched(x);
  return true;
}

/** `x` with a block along one axis replaced: in place where it can be. */
export function withSlice(x: T, value: T, axis: number, start: number): T {
  if (value.size === 0 || overwrite(x, value, axis, start)) return alias(x);
  const end = start + value.shape[axis];
  const part = (from: number, to: number) =>
    tf.slice(x, x.shape.map((_, i) => i === axis ? from : 0), x.shape.map((n, i) => i === axis ? to - from : n));
  const pieces: T[] = [];
  if (start > 0) pieces.push(part(0, start));
  pieces.push(value);
  if (end < x.shape[axis]) pieces.push(part(end, x.shape[axis]));
  return pieces.length === 1 ? tf.clone(value) : concat(pieces, axis);
}
