/**
 * Drawing tokens from logits on the engine, by inversion of the cumulative distribution.
 *
 * Randomness comes in as uniform numbers, so the same numbers give the same tokens on every engine. Nothing is read back:
 * tokens stay on the device for the next decoding step.
 *
 * Axis letters: N samples, V vocabulary, K candidates that are left after filtering.
 */
import { shapeText } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { tidy } from "../tensor/scope.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";

/**
 * How tokens are drawn.
 *
 * @internal
 */
export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the most likely token, as `greedy` does. @default {1} */
  temperature?: number;
  /** Only the k most likely tokens are drawn; 0 or −1: all. @default {0} */
  topK?: number;
  /** Only the fewest most likely tokens that together have this probability are drawn; 1: all. @default {1} */
  topP?: number;
  /** Take the most likely token, the first of equals. */
  greedy?: boolean;
  /**
   * Logits of tokens that the sequence has already are divided by it where positive and multiplied where negative (Keskar et
   * al. 2019, as Hugging Face does): above 1 it says things once. Needs {@linkcode sampleTokens}' `seen`. @default {1}
   */
  repetitionPenalty?: number;
}

/** What {@linkcode sampleTokens} returns. */
export interface SampledTokens {
  /** Ids of the drawn tokens, int64 [N]. */
  tokens: Tensor;
  /** [N], in nats, under the distribution that was drawn from: filtered and tempered; 0 for a greedy choice. */
  logProbabilities: Tensor;
}

/**
 * Checks options before anything is sampled.
 *
 * @throws {RangeError} When an option is out of its range.
 */
export function checkSamplingOptions(options: SamplingOptions): void {
  const { temperature = 1, topK, topP = 1, repetitionPenalty = 1 } = options;
  if (!(Number.isFinite(temperature) && temperature >= 0)) {
    throw new RangeError(`temperature must be at least 0: received ${temperature}`);
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= -1)) {
    throw new RangeError(`topK must be a whole number of at least 1 (0 or −1 for all tokens): received ${topK}`);
  }
  if (!(Number.isFinite(repetitionPenalty) && repetitionPenalty > 0)) {
    throw new RangeError(`repetitionPenalty must be above 0: received ${repetitionPenalty}`);
  }
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP must be above 0 and at most 1: received ${topP}`);
}

/**
 * Draws one token for each row of logits.
 *
 * @param logits [N, V].
 * @param uniforms [N] in [0, 1), of the logits' type; not looked at when greedy.
 * @param seen [N, V] of 1 where a token has occurred and 0 elsewhere; needed with a repetition penalty.
 * @throws {RangeError} When an option is out of its range or shapes do not fit.
 */
export function sampleTokens(
  logits: Tensor,
  uniforms: Tensor,
  options: SamplingOptions = {},
  seen?: Tensor,
): SampledTokens {
  checkSamplingOptions(options);
  const { temperature = 1, topK = 0, topP = 1, greedy = false, repetitionPenalty = 1 } = options;
  if (repetitionPenalty !== 1 && !seen) {
    throw new RangeError(`repetitionPenalty ${repetitionPenalty} needs to know which tokens were seen: pass \`seen\``);
  }
  const [count, vocabulary] = logits.shape;
  if (logits.rank !== 2 || uniforms.rank !== 1 || uniforms.shape[0] !== count) {
    throw new RangeError(
      `sampleTokens: logits ${shapeText(logits.shape)} [N, V] and uniforms ${shapeText(uniforms.shape)} [N] do not fit`,
    );
  }
  return tidy(() => {
    if (repetitionPenalty !== 1) logits = penalized(logits, seen!, repetitionPenalty);
    if (greedy || temperature === 0) {
      return { tokens: logits.argmax(-1), logProbabilities: zeros(logits.engine, [count], logits.dtype) };
    }
    let candidates = temperature === 1 ? logits : logits.div(temperature);
    let ids: Tensor | undefined;
    const kept = topK > 0 ? Math.min(topK, vocabulary) : vocabulary;
    if (kept < vocabulary || topP < 1) {
      const top = candidates.topK(kept);
      candidates = top.values;
      ids = top.indices;
    }
    let logProbabilities = candidates.logSoftmax();
    if (topP < 1) {
      const probabilities = logProbabilities.exp();
      const before = probabilities.cumsum(-1).sub(probabilities);
      // The first candidate always stays: what comes before it has probability 0.
      const excluded = before.greaterEqual(topP).cast(logits.dtype).mul(1e9);
      logProbabilities = logProbabilities.sub(excluded).logSoftmax();
    }
    const place = invert(logProbabilities.exp(), uniforms).reshape([count, 1]);
    return {
      tokens: (ids ? ids.takeAlong(place, -1) : place).reshape([count]),
      logProbabilities: logProbabilities.takeAlong(place, -1).reshape([count]),
    };
  });
}

/**
 * The `seen` of {@linkcode sampleTokens} for sequences that have these tokens: [N, V].
 *
 * @param sequences [N] of any lengths; ids outside the vocabulary are not counted.
 * @param vocabulary V.
 */
export function seenTokens(engine: Engine, sequences: readonly ArrayLike<number>[], vocabulary: number): Tensor {
  const seen = new Float32Array(sequences.length * vocabulary);
  sequences.forEach((sequence, row) => {
    for (let i = 0; i < sequence.length; i++) {
      if (sequence[i] >= 0 && sequence[i] < vocabulary) seen[row * vocabulary + sequence[i]] = 1;
    }
  });
  return tensor(engine, seen, [sequences.length, vocabulary]);
}

/**
 * `seen` [N, V] with one more token a row.
 *
 * @param tokens int64 [N].
 */
export function withSeenTokens(seen: Tensor, tokens: Tensor): Tensor {
  const [count, vocabulary] = seen.shape;
  const all = tensor(seen.engine, Int32Array.from({ length: vocabulary }, (_, i) => i), [1, vocabulary]);
  return seen.maximum(tokens.reshape([count, 1]).equal(all).cast(seen.dtype));
}

function penalized(logits: Tensor, seen: Tensor, penalty: number): Tensor {
  const changed = logits.greater(0).where(logits.div(penalty), logits.mul(penalty));
  return seen.greater(0).where(changed, logits);
}

/**
 * Index of the first candidate whose cumulative probability exceeds u · (the total): int64 [N].
 *
 * A candidate of probability 0 never raises the sum, so it is never the first to exceed. There always is one: the largest
 * number below 1, times any total and rounded, is still below that total.
 */
function invert(probabilities: Tensor, uniforms: Tensor): Tensor {
  const sums = probabilities.cumsum(-1);
  const total = sums.narrow(-1, sums.shape[1] - 1, 1);
  return sums.lessEqual(uniforms.reshape([-1, 1]).mul(total)).sum(-1);
}
