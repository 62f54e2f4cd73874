/**
 * Writing over numbers on tfjs: blocks, and AdamW, one parameter at a time. tfjs' tensors do not change; a tensor of ours gets
 * another of theirs, made in the old one's memory where nobody else holds it.
 */
import type { AdamWOptions, Engine } from "../engine.ts";
import { type Context, of } from "./context.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { alias, internals, tf, unrecorded } from "./runtime.ts";
import { concat } from "./shapes.ts";

type T = tf.Tensor;

export function inPlace(c: Context) {
  return {
    assign: (target, value) => c.replace(target, alias(of(value))),
    assignSlice: (target, value, axis, start) =>
      c.replace(target, unrecorded(() => internals.tidy(() => withSlice(of(target), of(value), axis, start)))),
    addAll: (targets, values) =>
      targets.forEach((target, i) => {
        c.replace(target, unrecorded(() => tf.add(of(target), of(values[i]))));
      }),
    adamW(parameters, gradients, first, second, options) {
      parameters.forEach((parameter, i) => {
        const updated = unrecorded(() =>
          internals.tidy(() => adamW(of(parameter), of(gradients[i]), of(first[i]), of(second[i]), options))
        );
        c.replace(parameter, updated.parameter);
        c.replace(first[i], updated.first);
        c.replace(second[i], updated.second);
      });
    },
  } satisfies Partial<Engine>;
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
function withSlice(x: T, value: T, axis: number, start: number): T {
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

/** A parameter and its moments after one update (Loshchilov & Hutter 2019, in PyTorch's order of operations). */
function adamW(
  parameter: T,
  gradient: T,
  first: T,
  second: T,
  { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale }: AdamWOptions,
): { parameter: T; first: T; second: T } {
  const fast = kernels();
  if (fast) {
    const [out, m, v] = [fast.make(parameter.shape), own(fast, first), own(fast, second)];
    const root = 1 / Math.sqrt(1 - beta2 ** step), rate = learningRate / (1 - beta1 ** step);
    fast.run.adamw(
      ...[out.size, ...[parameter, gradient, m, v, out].map((each) => fast.at(each)), gradientScale],
      ...[1 - beta1, 1 - beta2, 1 - learningRate * weightDecay, rate, root, epsilon],
    );
    return { parameter: out, first: m, second: v };
  }
  const g = gradientScale === 1 ? gradient : tf.mul(gradient, gradientScale);
  const m = tf.add(tf.mul(first, beta1), tf.mul(g, 1 - beta1));
  const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(g), 1 - beta2));
  const stepSize = learningRate / (1 - beta1 ** step);
  const denominator = tf.add(tf.mul(tf.sqrt(v), 1 / Math.sqrt(1 - beta2 ** step)), epsilon);
  const decayed = tf.mul(parameter, 1 - learningRate * weightDecay);
  return { parameter: tf.sub(decayed, tf.mul(tf.div(m, denominator), stepSize)), first: m, second: v };
}

/** The same numbers to write over: themselves when nobody else holds them, a copy otherwise. */
function own(fast: Kernels, x: T): T {
  if (fast.isSole(x)) return alias(x);
  const out = fast.make(x.shape);
  fast.floats(out).set(fast.floats(x));
  return out;
}
