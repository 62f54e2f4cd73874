/**
 * Products, softmax, normalization and attention, composed of tfjs operators and so differentiable to any order.
 */
import { stretched } from "./elementwise.ts";
import { dims, tf } from "./runtime.ts";

type T = tf.Tensor;

/** Batched product over the last two axes; leading axes broadcast. */
export function matmul(a: T, b: T, transposeA: boolean, transposeB: boolean, outShape: readonly number[]): T {
  // tfjs' gradient of a product forgets to sum over broadcast axes: stretch first.
  const lead = outShape.slice(0, -2);
  const wide = (x: T) =>
    x.shape.slice(0, -2).join() === lead.join() ? x : stretched(x, [...lead, ...x.shape.slice(-2)]);
  return tf.matMul(wide(a), wide(b), transposeA, transposeB);
}

/** x [.., in] · weight [out, in]ᵀ + bias. */
export function linear(x: T, weight: T, bias: T | undefined): T {
  const [out, width] = weight.shape;
  const product = tf.matMul(tf.reshape(x, [-1, width]) as tf.Tensor2D, weight as tf.Tensor2D, false, true);
  return tf.reshape(bias ? tf.add(product, bias) : product, [...x.shape.slice(0, -1), out]);
}

/** Softmax over the last axis. */
export function softmax(x: T): T {
  return tf.softmax(x);
}

/** log softmax over the last axis. */
export function logSoftmax(x: T): T {
  return tf.logSoftmax(x);
}

/** Root-mean-square normalization over the last axis. */
export function rmsNorm(x: T, weight: T, epsilon: number): T {
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon))), weight);
}

function standardized(x: T, axes: number[], epsilon: number): T {
  const centred = tf.sub(x, tf.mean(x, axes, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), epsilon)));
}

/** Layer normalization over the last axis. */
export function layerNorm(x: T, weight: T, bias: T, epsilon: number): T {
  return tf.add(tf.mul(standardized(x, [x.rank - 1], epsilon), weight), bias);
}

/** Group normalization of [B, …, C]. */
export function groupNorm(x: T, groups: number, weight: T, bias: T, epsilon: number): T {
  const batch = x.shape[0], channels = x.shape[x.rank - 1];
  const grouped = tf.reshape(x, [batch, -1, groups, channels / groups]);
  return tf.add(tf.mul(tf.reshape(standardized(grouped, [1, 3], epsilon), x.shape), weight), bias);
}

/** Scaled dot-product attention. */
export function attention(q: T, k: T, v: T, causal: boolean, scale: number): T {
  const scores = tf.mul(tf.matMul(q, k, false, true), scale);
  const queries = dims(q)[2], keys = dims(k)[2];
  if (!causal) return tf.matMul(tf.softmax(scores), v);
  const mask = new Float32Array(queries * keys);
  for (let i = 0; i < queries; i++) mask.fill(-1e30, i * keys + i + keys - queries + 1, (i + 1) * keys);
  return tf.matMul(tf.softmax(tf.add(scores, tf.tensor(mask, [queries, keys]))), v);
}
