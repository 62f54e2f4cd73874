/**
 * Softmax and normalizations: one kernel of our own each way on WASM; composed of tfjs operators elsewhere, and wherever a
 * gradient is itself to be differentiated.
 */
import type { Engine } from "../engine.ts";
import { type Context, of } from "./context.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { dims, tf } from "./runtime.ts";
import { inGraph, operator } from "./tape.ts";

type T = tf.Tensor;

export function normalization(c: Context) {
  return {
    softmax: (x) => c.run(() => softmax(of(x))),
    logSoftmax: (x) => c.run(() => logSoftmax(of(x))),
    rmsNorm: (x, weight, epsilon) => c.run(() => rmsNorm(of(x), of(weight), epsilon)),
    layerNorm: (x, weight, bias, epsilon) => c.run(() => layerNorm(of(x), of(weight), of(bias), epsilon)),
    groupNorm: (x, groups, weight, bias, epsilon) =>
      c.run(() => groupNorm(of(x), groups, of(weight), of(bias), epsilon)),
  } satisfies Partial<Engine>;
}

function once(): Kernels | undefined {
  return inGraph() ? undefined : kernels();
}

function fusedRows(fast: Kernels, name: "softmax" | "log_softmax", x: T): T {
  const n = dims(x)[x.rank - 1], rows = x.size / n;
  return operator({
    name,
    inputs: { x },
    onceOnly: true,
    forward: () => {
      const out = fast.make(x.shape);
      fast.run[name](rows, n, fast.at(x), fast.at(out));
      return out;
    },
    save: (out) => [out],
    gradient: (dy, [out]) => {
      const dx = fast.make(x.shape);
      fast.run[`${name}_gradient`](rows, n, fast.at(out), fast.at(dy), fast.at(dx));
      return { x: dx };
    },
  });
}

/** Softmax over the last axis. */
function softmax(x: T): T {
  const fast = once();
  return fast ? fusedRows(fast, "softmax", x) : tf.softmax(x);
}

/** log softmax over the last axis. */
function logSoftmax(x: T): T {
  const fast = once();
  return fast ? fusedRows(fast, "log_softmax", x) : tf.logSoftmax(x);
}

/** Root-mean-square normalization over the last axis. */
function rmsNorm(x: T, weight: T, epsilon: number): T {
  const fast = once();
  if (!fast) return tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon))), weight);
  const n = weight.size, rows = x.size / n;
  return operator({
    name: "rmsNorm",
    inputs: { x, weight },
    onceOnly: true,
    forward: () => {
      const out = fast.make(x.shape), inverse = fast.make([rows]);
      fast.run.rms_norm(rows, n, fast.at(x), fast.at(weight), epsilon, fast.at(out), fast.at(inverse));
      return [out, inverse];
    },
    save: (_out, inverse) => [x, weight, inverse],
    gradient: (dy, [x, weight, inverse]) => {
      const dx = fast.make(x.shape), dw = fast.zeros([n]);
      fast.run.rms_norm_gradient(rows, n, ...[x, weight, inverse, dy, dx, dw].map((each) => fast.at(each)));
      return { x: dx, weight: dw };
    },
  });
}

/** Layer normalization over the last axis. */
function layerNorm(x: T, weight: T, bias: T, epsilon: number): T {
  const rows = tf.reshape(x, [x.size / weight.size, weight.size]);
  return tf.reshape(groupNorm(rows, 1, weight, bias, epsilon), x.shape);
}

/** Group normalization of [B, …, C]. */
function groupNorm(x: T, groups: number, weight: T, bias: T, epsilon: number): T {
  const batch = dims(x)[0], channels = weight.size, positions = x.size / (batch * channels);
  const fast = once();
  if (!fast) {
    const grouped = tf.reshape(x, [batch, positions, groups, channels / groups]);
    const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true));
    const variance = tf.mean(tf.square(centred), [1, 3], true);
    const standard = tf.reshape(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), x.shape);
    return tf.add(tf.mul(standard, weight), bias);
  }
  const extents = [batch, positions, channels, groups];
  return operator({
    name: "groupNorm",
    inputs: { x, weight, bias },
    onceOnly: true,
    forward: () => {
      const out = fast.make(x.shape), mean = fast.make([batch, groups]), inverse = fast.make([batch, groups]);
      const room = fast.room(5 * channels);
      fast.run.group_norm(
        ...[...extents, fast.at(x), fast.at(weight), fast.at(bias), epsilon],
        ...[fast.at(out), fast.at(mean), fast.at(inverse), room],
      );
      return [out, mean, inverse];
    },
    save: (_out, mean, inverse) => [x, weight, mean, inverse],
    gradient: (dy, saved) => {
      const dx = fast.make(x.shape), dw = fast.zeros([channels]), db = fast.zeros([channels]);
      const room = fast.room(4 * channels);
      fast.run.group_norm_gradient(...extents, ...[...saved, dy, dx, dw, db].map((each) => fast.at(each)), room);
      return { x: dx, weight: dw, bias: db };
    },
  });
}
