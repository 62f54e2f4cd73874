/**
 * Whether a tfjs backend computes what the operators here are composed of: small cases with known answers, of kernels that were seen
 * to give wrong numbers without a word.
 *
 * tfjs 4.22.0 fails them on WebGPU (Deno 2.9 on Mesa's software driver), and with them gradients of `pad`, `min`, `cumsum` and of
 * convolutions with a stride. What is trained by such kernels learns something else than it should, so the backend is refused; a
 * later tfjs that is right is taken as it is.
 */
import { internals, tf } from "./runtime.ts";

type T = tf.Tensor;

const CHECKS: { name: string; compute: () => T; expected: number[] }[] = [
  {
    name: "pad of five axes",
    compute: () => tf.pad(tf.reshape(tf.range(1, 5), [1, 2, 1, 1, 2]), [[0, 0], [0, 0], [1, 0], [0, 0], [0, 1]]),
    expected: [0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 4, 0],
  },
  {
    name: "where of five axes",
    compute: () => {
      const x = tf.reshape(tf.range(-2, 2), [2, 1, 1, 1, 2]);
      return tf.where(tf.greater(x, 0), x, tf.neg(x));
    },
    expected: [2, 1, 0, 1],
  },
  {
    name: "sum of truth values",
    compute: () => {
      const x = tf.tensor3d([62, -5, 37, -39, 96, -4, 66, -86, 33, -92, 41, -83], [1, 3, 4]);
      // The kernel of sums is made for numbers first, as it mostly is.
      const sum = tf.sum(x, 1), marks = tf.cast(tf.equal(x, tf.min(x, 1, true)), "float32");
      return tf.add(tf.sum(marks, 1), tf.mul(sum, 0));
    },
    expected: [1, 1, 1, 1],
  },
];

/** Names of what the running backend gets wrong, or refuses. */
export async function wrongKernels(): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, compute, expected } of CHECKS) {
    try {
      const out = internals.tidy(compute), numbers = await out.data();
      out.dispose();
      if (numbers.length !== expected.length || expected.some((value, i) => numbers[i] !== value)) wrong.push(name);
    } catch {
      wrong.push(name);
    }
  }
  return wrong;
}
