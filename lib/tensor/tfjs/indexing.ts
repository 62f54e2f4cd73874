/**
 * Picking rows and numbers, and putting them back: each is the other's gradient, to any order.
 */
import type { Engine } from "../engine.ts";
import { type Context, of } from "./context.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { tf } from "./runtime.ts";
import { operator } from "./tape.ts";

type T = tf.Tensor;

export function indexing(c: Context) {
  return {
    gather: (x, indices, axis) => c.run(() => gather(of(x), of(indices), axis)),
    takeAlong: (x, indices, axis) => c.run(() => takeAlong(of(x), of(indices), axis)),
  } satisfies Partial<Engine>;
}

/** @throws {RangeError} When an index lies outside: our kernels would write where they must not. */
function checkWithin(fast: Kernels, indices: T, count: number): void {
  const at = fast.run.find_outside(indices.size, count, fast.at(indices));
  if (at < 0) return;
  throw new RangeError(
    `gather: indices must be from 0 to ${count - 1}: received ${fast.integers(indices)[at]} at ${at}`,
  );
}

/** Rows of a table: x [N, W], indices [M] → [M, W]. */
function pickRows(x: T, indices: T): T {
  return operator({
    name: "pickRows",
    inputs: { x },
    forward: () => {
      const fast = kernels();
      if (!fast) return tf.gather(x, indices as tf.Tensor1D);
      checkWithin(fast, indices, x.shape[0]);
      const out = fast.make([indices.size, ...x.shape.slice(1)]);
      fast.run.pick_rows(indices.size, x.size / x.shape[0], fast.at(x), fast.at(indices), fast.at(out));
      return out;
    },
    save: () => [indices],
    gradient: (dy, [indices]) => ({ x: addRows(dy, indices, x.shape[0]) }),
  });
}

/** Adds rows into a table of zeros: y [M, W], indices [M] → [N, W]. */
function addRows(y: T, indices: T, count: number): T {
  return operator({
    name: "addRows",
    inputs: { y },
    forward: () => {
      const shape = [count, ...y.shape.slice(1)], fast = kernels();
      if (!fast) return tf.scatterND(tf.reshape(indices, [-1, 1]), y, shape);
      checkWithin(fast, indices, count);
      const out = fast.zeros(shape);
      fast.run.add_rows(indices.size, out.size / count, fast.at(y), fast.at(indices), fast.at(out));
      return out;
    },
    save: () => [indices],
    gradient: (dy, [indices]) => ({ y: pickRows(dy, indices) }),
  });
}

function toFront(rank: number, axis: number): number[] {
  return [axis, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis)];
}

function inverse(order: number[]): number[] {
  return order.map((_, i) => order.indexOf(i));
}

/** Rows along an axis by a list of indices. */
function gather(x: T, indices: T, axis: number): T {
  if (x.dtype !== "float32") {
    if (x.dtype === "int32") return tf.gather(x, indices as tf.Tensor1D, axis);
    return tf.cast(tf.gather(tf.cast(x, "int32"), indices as tf.Tensor1D, axis), x.dtype);
  }
  const order = toFront(x.rank, axis);
  const front = axis === 0 ? x : tf.transpose(x, order);
  const rows = tf.reshape(front, [front.shape[0], front.size / front.shape[0]]);
  const picked = tf.reshape(pickRows(rows, indices), [indices.size, ...front.shape.slice(1)]);
  return axis === 0 ? picked : tf.transpose(picked, inverse(order));
}

/** Single numbers along an axis. */
export function takeAlong(x: T, indices: T, axis: number): T {
  const last = x.rank - 1;
  const order = x.shape.map((_, i) => i).filter((i) => i !== axis).concat(axis);
  const moved = axis === last ? x : tf.transpose(x, order);
  const where = axis === last ? indices : tf.transpose(indices, order);
  const n = moved.shape[last], k = where.shape[last], rows = where.size / k;
  const starts = tf.reshape(tf.range(0, rows * n, n, "int32"), [rows, 1]);
  const flat = tf.reshape(tf.add(tf.reshape(where, [rows, k]), starts), [rows * k]);
  const table = tf.reshape(moved, [rows * n, 1]);
  const picked = x.dtype === "float32"
    ? pickRows(table, flat)
    : tf.cast(tf.gather(tf.cast(table, "int32"), flat as tf.Tensor1D), x.dtype);
  const shaped = tf.reshape(picked, [...moved.shape.slice(0, -1), k]);
  return axis === last ? shaped : tf.transpose(shaped, inverse(order));
}
