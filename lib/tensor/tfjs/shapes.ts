/**
 * Moving numbers about: what tfjs' kernels refuse for a type goes through one that they take.
 */
import type { Engine } from "../engine.ts";
import { stretched } from "./broadcast.ts";
import { type Context, KIND, of } from "./context.ts";
import { alias, tf } from "./runtime.ts";

type T = tf.Tensor;

export function shapes(c: Context) {
  return {
    reshape: (x, shape) => c.run(() => tf.reshape(of(x), [...shape])),
    permute: (x, order) => c.run(() => permute(of(x), order)),
    slice: (x, begin, size) => c.run(() => slice(of(x), begin, size)),
    concat: (xs, axis) => c.run(() => concat(xs.map(of), axis)),
    pad: (x, paddings, value) =>
      c.run(() => asNumbers([of(x)], ([y]) => tf.pad(y, paddings.map(([a, b]) => [a, b]), value))),
    broadcastTo: (x, shape) => c.run(() => stretched(of(x), shape)),
    cast: (x, dtype) => c.run(() => cast(of(x), KIND[dtype]!)),
    detach: (x) => c.own(alias(of(x))),
    clone: (x) => c.run(() => tf.clone(of(x))),
  } satisfies Partial<Engine>;
}

/**
 * Axes in another order. Axes of extent 1 are left out and axes that stay together are moved as one: tfjs' kernel is slow
 * on more than four.
 */
function permute(x: T, order: readonly number[]): T {
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
function slice(x: T, begin: readonly number[], size: readonly number[]): T {
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

/** Another type; floats are truncated towards zero. */
function cast(x: T, kind: "float32" | "int32" | "bool"): T {
  if (kind === "bool" && x.dtype !== "bool") return tf.notEqual(x, tf.scalar(0, x.dtype as "int32"));
  return tf.cast(x, kind);
}
