/**
 * AdamW on tfjs, one parameter at a time.
 */
import type { AdamWOptions } from "../engine.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { alias, tf } from "./runtime.ts";

type T = tf.Tensor;

/** A parameter and its moments after one update (Loshchilov & Hutter 2019, in PyTorch's order of operations). */
export function adamW(
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
