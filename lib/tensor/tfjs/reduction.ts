/**
 * Reductions and searches on tfjs. Extrema split the gradient evenly between equals, as torch's `amax` does.
 */
import type { Engine, ReduceOperator } from "../engine.ts";
import { sum } from "./broadcast.ts";
import { type Context, of } from "./context.ts";
import { takeAlong } from "./indexing.ts";
import { alias, internals, tf } from "./runtime.ts";
import { operator } from "./tape.ts";

type T = tf.Tensor;

export function reduction(c: Context) {
  return {
    reduce: (name, x, axes, keepDims) => c.run(() => reduce(name, of(x), axes, keepDims)),
    argmax: (x, axis) => c.run(() => tf.argMax(x.dtype === "float32" ? of(x) : tf.cast(of(x), "float32"), axis)),
    cumsum: (x, axis) => c.run(() => cumsum(of(x), axis)),
    topK(x, k) {
      const { values, indices } = internals.tidy(() => topK(of(x), k));
      return { values: c.own(values), indices: c.own(indices) };
    },
    squaredNorm: (xs) => c.run(() => tf.sum(tf.stack(xs.map((x) => tf.sum(tf.square(of(x))))))),
  } satisfies Partial<Engine>;
}

/** A reduction over axes. */
function reduce(name: ReduceOperator, x: T, axes: readonly number[], keepDims: boolean): T {
  const over = [...axes];
  switch (name) {
    case "sum":
      return sum(x.dtype === "bool" ? tf.cast(x, "int32") : x, over, keepDims);
    case "mean": {
      const count = over.reduce((product, axis) => product * x.shape[axis], 1);
      return tf.mul(sum(x, over, keepDims), 1 / count);
    }
    case "logSumExp":
      return logSumExp(x, over, keepDims);
    default:
      return extremum(name, x, over, keepDims);
  }
}

function extremum(name: "max" | "min", x: T, axes: number[], keepDims: boolean): T {
  const forward = (x: T) => name === "max" ? tf.max(x, axes, keepDims) : tf.min(x, axes, keepDims);
  if (axes.length === 0) return tf.clone(x);
  if (x.dtype === "bool") return tf.cast(forward(tf.cast(x, "int32")), "bool");
  if (x.dtype !== "float32") return forward(x);
  const kept = x.shape.map((n, i) => axes.includes(i) ? 1 : n);
  return operator({
    name,
    inputs: { x },
    forward: () => forward(x),
    save: (out) => [x, out],
    gradient: (dy, [x, out]) => {
      const chosen = tf.cast(tf.equal(x, tf.reshape(out, kept)), "float32");
      return { x: tf.mul(chosen, tf.div(tf.reshape(dy, kept), tf.sum(chosen, axes, true))) };
    },
  });
}

function logSumExp(x: T, axes: number[], keepDims: boolean): T {
  if (axes.length === 0) return tf.clone(x);
  const outShape = keepDims
    ? x.shape.map((n, i) => axes.includes(i) ? 1 : n)
    : x.shape.filter((_, i) => !axes.includes(i));
  if (x.size === 0) return tf.fill(outShape, -Infinity);
  const peak = tf.max(alias(x), axes, true);
  // A row of −∞ has no finite peak; subtracting 0 leaves it −∞.
  const shift = tf.where(tf.isFinite(peak), peak, tf.zerosLike(peak));
  return tf.reshape(tf.add(tf.log(tf.sum(tf.exp(tf.sub(x, shift)), axes, true)), shift), outShape);
}

/** Running sum, from the end when `reverse`. tfjs' own gradient is wrong on any axis but the last. */
function cumsum(x: T, axis: number, reverse = false): T {
  if (x.dtype !== "float32") return tf.cumsum(x.dtype === "bool" ? tf.cast(x, "int32") : x, axis, false, reverse);
  return operator({
    name: "cumsum",
    inputs: { x },
    forward: () => tf.cumsum(x, axis, false, reverse),
    gradient: (dy) => ({ x: cumsum(dy, axis, !reverse) }),
  });
}

/** The k largest of the last axis; values are differentiable. */
function topK(x: T, k: number): { values: T; indices: T } {
  const found = tf.topk(alias(x), k, true);
  if (x.dtype !== "float32") return found;
  return { values: takeAlong(x, found.indices, x.rank - 1), indices: found.indices };
}
