/**
 * Stretching numbers over axes and adding them up along axes: each is the other's gradient, to any order.
 */
import { type Kernels, kernels } from "./kernels.ts";
import { tf } from "./runtime.ts";
import { operator } from "./tape.ts";

type T = tf.Tensor;

/** Numbers that backends may add up one after the other, and the length above which sums are made of such blocks. */
const BLOCK = 64, LONGEST = 512;

/** Sum over some axes (sorted); differentiable to any order. tfjs adds one number after the other, which loses digits. */
export function sum(x: T, axes: readonly number[], keepDims: boolean): T {
  const fast = kernels(), count = axes.reduce((product, axis) => product * x.shape[axis], 1);
  const shape = x.shape.map((n, i) => axes.includes(i) ? 1 : n);
  const outShape = keepDims ? shape : x.shape.filter((_, i) => !axes.includes(i));
  // tfjs' WASM backend writes nothing where there is nothing to add.
  if (x.size === 0) return tf.zeros(outShape, x.dtype);
  if (x.dtype !== "float32" || axes.length === 0 || (!fast && count <= LONGEST)) return tf.sum(x, [...axes], keepDims);
  return operator({
    name: "sum",
    inputs: { x },
    forward: () => tf.reshape(fast ? sumRuns(fast, x, axes) : sumBlocks(x, axes), outShape),
    gradient: (dy) => ({ x: stretched(tf.reshape(dy, shape), x.shape) }),
  });
}

/** Brings the axes together behind the others and adds them up in blocks. */
function sumBlocks(x: T, axes: readonly number[]): T {
  const order = [...x.shape.map((_, i) => i).filter((i) => !axes.includes(i)), ...axes];
  const length = axes.reduce((product, axis) => product * x.shape[axis], 1);
  return rowSums(tf.reshape(tf.transpose(x, order), [x.size / length, length]));
}

/** Sums of rows: x [R, N] → [R]; long ones by sums of blocks, those by blocks again. */
function rowSums(x: T): T {
  const [rows, length] = x.shape as [number, number];
  if (length <= LONGEST) return tf.sum(x, 1);
  const blocks = Math.floor(length / BLOCK), whole = blocks * BLOCK;
  const parts = tf.sum(tf.reshape(tf.slice(x, [0, 0], [rows, whole]), [rows, blocks, BLOCK]), 2);
  const total = rowSums(tf.reshape(parts, [rows, blocks]));
  return whole === length ? total : tf.add(total, tf.sum(tf.slice(x, [0, whole], [rows, length - whole]), 1));
}

/** Sums over each run of neighbouring axes, the last first. */
function sumRuns(fast: Kernels, x: T, axes: readonly number[]): T {
  const extents = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  let shape: number[] = x.shape, out = x;
  for (let last = axes.length - 1; last >= 0;) {
    let first = last;
    while (first > 0 && axes[first - 1] === axes[first] - 1) first--;
    const begin = axes[first], end = axes[last] + 1;
    const outer = shape.slice(0, begin), inner = shape.slice(end);
    const next = fast.make([...outer, ...inner]), columns = extents(inner);
    fast.run.sums(
      ...[extents(outer), extents(shape.slice(begin, end)), columns] as const,
      ...[fast.at(out), fast.at(next), fast.room(3 * columns)] as const,
    );
    [out, shape] = [next, next.shape];
    last = first - 1;
  }
  return out;
}

/** Sums a gradient over the axes along which its operand was stretched. */
export function sumTo(dy: T, shape: readonly number[]): T {
  const lead = dy.rank - shape.length;
  const axes = dy.shape.map((n, i) => i < lead || (shape[i - lead] === 1 && n !== 1) ? i : -1).filter((i) => i >= 0);
  return tf.reshape(axes.length > 0 ? sum(dy, axes, false) : dy, [...shape]);
}

/**
 * Stretched by copying runs of numbers, where one stretch of neighbouring axes is all there is: [A, 1, N] → [A, S, N].
 * tfjs' own kernel is a hundred times slower on five axes.
 */
export function repeated(x: T, shape: readonly number[]): T | undefined {
  const fast = kernels();
  if (!fast || x.size === 0) return undefined;
  const lead = shape.length - x.rank;
  const stretches = shape.map((n, i) => i < lead || (x.shape[i - lead] === 1 && n !== 1));
  const first = stretches.indexOf(true), last = stretches.lastIndexOf(true);
  if (first === -1 || !stretches.slice(first, last + 1).every(Boolean)) return undefined;
  const extent = (from: number, to: number) => shape.slice(from, to).reduce((a, b) => a * b, 1);
  const [outer, times, inner] = [extent(0, first), extent(first, last + 1), extent(last + 1, shape.length)];
  const out = fast.make(shape), from = fast.floats(x), to = fast.floats(out);
  for (let a = 0, at = 0; a < outer; a++) {
    if (inner === 1) {
      to.fill(from[a], at, at += times);
      continue;
    }
    const run = from.subarray(a * inner, (a + 1) * inner);
    for (let s = 0; s < times; s++, at += inner) to.set(run, at);
  }
  return out;
}

/** Stretches by NumPy's rule, any type. */
export function stretched(x: T, shape: readonly number[]): T {
  if (x.dtype === "float32") {
    return operator({
      name: "broadcastTo",
      inputs: { x },
      forward: () => repeated(x, shape) ?? tf.broadcastTo(x, [...shape]),
      gradient: (dy) => ({ x: sumTo(dy, x.shape) }),
    });
  }
  const wide = tf.broadcastTo(tf.cast(x, "int32"), [...shape]);
  return tf.cast(wide, x.dtype);
}
