/**
 * Products of matrices, differentiable to any order, and the layers made of them.
 *
 * On WASM they run on our own kernels, which take transposed operands as they are.
 */
import type { Engine } from "../engine.ts";
import { stretched, sumTo } from "./broadcast.ts";
import { type Context, of } from "./context.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { dims, tf } from "./runtime.ts";
import { inGraph, operator } from "./tape.ts";

type T = tf.Tensor;

export function products(c: Context) {
  return {
    matmul: (a, b, transposeA, transposeB, outShape) =>
      c.run(() => matmul(of(a), of(b), transposeA, transposeB, outShape)),
    linear: (x, weight, bias) => c.run(() => linear(of(x), of(weight), bias && of(bias))),
    attention: (q, k, v, causal, scale) => c.run(() => attention(of(q), of(k), of(v), causal, scale)),
  } satisfies Partial<Engine>;
}

/** Batched product over the last two axes; leading axes broadcast. */
function matmul(a: T, b: T, transposeA: boolean, transposeB: boolean, outShape: readonly number[]): T {
  const lead = outShape.slice(0, -2);
  const wide = (x: T) =>
    x.shape.slice(0, -2).join() === lead.join() ? x : stretched(x, [...lead, ...x.shape.slice(-2)]);
  // One matrix on the right of many: a single tall product.
  if (!transposeA && b.rank === 2 && a.rank > 2) {
    const rows = tf.reshape(a, [-1, dims(a)[a.rank - 1]]);
    return tf.reshape(product(rows, b, false, transposeB), [...outShape]);
  }
  return product(wide(a), wide(b), transposeA, transposeB);
}

/** Product of stacks of matrices with the same leading axes. */
export function product(a: T, b: T, transposeA: boolean, transposeB: boolean): T {
  return operator({
    name: "matmul",
    inputs: { a, b },
    forward: () => {
      const fast = kernels();
      return fast ? multiply(fast, a, b, transposeA, transposeB) : tf.matMul(a, b, transposeA, transposeB);
    },
    save: () => [a, b],
    gradient: (dy, [a, b], wanted) => {
      const found: Record<string, T> = {};
      if (wanted.has("a")) {
        found.a = transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB);
      }
      if (wanted.has("b")) {
        found.b = transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false);
      }
      return found;
    },
  });
}

function multiply(fast: Kernels, a: T, b: T, transposeA: boolean, transposeB: boolean): T {
  const [aRows, aColumns] = a.shape.slice(-2), [bRows, bColumns] = b.shape.slice(-2);
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const n = transposeB ? bRows : bColumns;
  const lead = a.shape.slice(0, -2), count = lead.reduce((x, y) => x * y, 1);
  const shape = [...lead, m, n];
  const out = k === 0 ? fast.zeros(shape) : fast.make(shape);
  const room = fast.room(fast.run.gemm_scratch());
  const aSteps = transposeA ? [1, aColumns] : [aColumns, 1], bSteps = transposeB ? [1, bColumns] : [bColumns, 1];
  fast.run.gemm_batch(
    ...[count, m, n, k],
    ...[fast.at(a), aRows * aColumns, ...aSteps],
    ...[fast.at(b), bRows * bColumns, ...bSteps],
    ...[fast.at(out), m * n, 1, 0, room],
  );
  return out;
}

/** x [N, C] + bias [C]. */
function addBias(x: T, bias: T): T {
  const fast = kernels();
  if (!fast) return tf.add(x, bias);
  return operator({
    name: "addBias",
    inputs: { x, bias },
    forward: () => {
      const out = fast.make(x.shape);
      fast.run.add_bias(x.size / bias.size, bias.size, fast.at(x), fast.at(bias), fast.at(out));
      return out;
    },
    gradient: (dy) => ({ x: dy, bias: sumTo(dy, bias.shape) }),
  });
}

/** x [.., in] · weight [out, in]ᵀ + bias. */
function linear(x: T, weight: T, bias: T | undefined): T {
  const [out, width] = dims(weight);
  const rows = product(tf.reshape(x, [x.size / width, width]), weight, false, true);
  return tf.reshape(bias ? addBias(rows, bias) : rows, [...x.shape.slice(0, -1), out]);
}

/** Scaled dot-product attention. */
function attention(q: T, k: T, v: T, causal: boolean, scale: number): T {
  const fast = inGraph() ? undefined : kernels();
  if (fast) return fused(fast, q, k, v, causal, scale);
  const scores = tf.mul(product(q, k, false, true), scale);
  const queries = dims(q)[2], keys = dims(k)[2];
  if (!causal) return product(tf.softmax(scores), v, false, false);
  const mask = new Float32Array(queries * keys);
  for (let i = 0; i < queries; i++) mask.fill(-1e30, i * keys + i + keys - queries + 1, (i + 1) * keys);
  return product(tf.softmax(tf.add(scores, tf.tensor(mask, [queries, keys]))), v, false, false);
}

function fused(fast: Kernels, q: T, k: T, v: T, causal: boolean, scale: number): T {
  const [batch, heads, queries, width] = dims(q), keys = dims(k)[2];
  const extents = [batch * heads, queries, keys, width];
  return operator({
    name: "attention",
    inputs: { q, k, v },
    onceOnly: true,
    forward: () => {
      const out = fast.make(q.shape), weights = fast.make([batch, heads, queries, keys]);
      const room = fast.room(fast.run.gemm_scratch());
      fast.run.attention(
        ...extents,
        ...[q, k, v].map((x) => fast.at(x)),
        ...[scale, causal ? 1 : 0, fast.at(weights), fast.at(out), room],
      );
      return [out, weights];
    },
    save: (_out, weights) => [q, k, v, weights],
    gradient: (dy, saved) => {
      const [dq, dk, dv] = [q, k, v].map((x) => fast.make(x.shape));
      const room = fast.room(queries * keys + fast.run.gemm_scratch());
      fast.run.attention_gradient(
        ...extents,
        ...[...saved, dy].map((x) => fast.at(x)),
        ...[scale, fast.at(dq), fast.at(dk), fast.at(dv), room, room + 4 * queries * keys],
      );
      return { q: dq, k: dk, v: dv };
    },
  });
}
