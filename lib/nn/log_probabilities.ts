/**
 * Log-probabilities of given tokens, chunk by chunk: the logits of one chunk of tokens are all that ever exists.
 *
 * With N tokens and a vocabulary of V, logits of all tokens would be the largest tensor of a training step by far, and
 * its gradient another. Here the projection to the vocabulary, the softmax, and, where a loss is made, their derivatives
 * are computed for some hundred tokens at a time. This file does not know what the loss is: the caller's function of a
 * chunk's log-probabilities says so.
 *
 * Axis letters: N tokens, n tokens of a chunk, D hidden width, V vocabulary.
 */
import { type DType, shapeText } from "../tensor/dtype.ts";
import { valueAndGrad } from "../tensor/gradient.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, type Tensor } from "../tensor/tensor.ts";

/** Elements of one chunk's logits where no chunk size is given: 64 MiB in float32. */
const DEFAULT_CHUNK_ELEMENTS = 2 ** 24;

/**
 * Options of both functions.
 *
 * @internal
 */
export interface LogProbabilityOptions {
  /** Tokens a chunk. @default {as many as make 2²⁴ logits} */
  chunkSize?: number;
  /** Logits are divided by it. @default {1} */
  temperature?: number;
  /** Also compute the entropy of each token's distribution. */
  withEntropy?: boolean;
  /** Type in which hidden and head are multiplied; theirs when left out. The softmax is computed in their own type. */
  computeType?: DType;
}

/** What {@linkcode tokenLogProbabilities} returns. */
export interface TokenLogProbabilities {
  /** Of the targets: [N], in nats. */
  logProbabilities: Tensor;
  /** [N], in nats; there when asked for. */
  entropy?: Tensor;
}

/** Loss of one chunk, and other sums over its tokens, for the log: scalars that get no gradient. */
export type ChunkLossAndSums = (
  logProbabilities: Tensor,
  start: number,
  entropy?: Tensor,
) => { loss: Tensor; sums: Record<string, Tensor> };

/**
 * Log-probabilities of the targets under softmax(hidden · headᵀ / temperature), without gradient.
 *
 * @param hidden [N, D].
 * @param head [V, D].
 * @param targets int64 [N], from 0 to below V.
 * @throws {RangeError} When shapes do not fit or an option is out of its range.
 */
export function tokenLogProbabilities(
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  options: LogProbabilityOptions = {},
): TokenLogProbabilities {
  const { ranges, temperature, withEntropy, computeType } = checked(
    "tokenLogProbabilities",
    hidden,
    head,
    targets,
    options,
  );
  return tidy(() => {
    const projection = as(head, computeType);
    const parts = ranges.map(([start, length]) =>
      tidy(() =>
        chunkOf(hidden.narrow(0, start, length), projection, targets.narrow(0, start, length), temperature, withEntropy)
      )
    );
    const logProbabilities = concat(parts.map((chunk) => chunk.logProbabilities));
    return withEntropy
      ? { logProbabilities, entropy: concat(parts.map((chunk) => chunk.entropy!)) }
      : { logProbabilities };
  });
}

/**
 * A loss of the targets' log-probabilities, summed over chunks, that can be differentiated by hidden and head.
 *
 * Each chunk is differentiated as soon as its loss is known, and its logits are freed. The result's value is the loss;
 * its gradients are the ones that were found: L + Σ h·∂h + Σ W·∂W − (the same, detached), with ∂h and ∂W constants. So it
 * is exact for a first derivative, and `perChunk` must reach whatever else it needs (advantages, old log-probabilities,
 * masks) as constants: nothing but hidden and head gets a gradient.
 *
 * @param hidden [N, D].
 * @param head [V, D].
 * @param targets int64 [N], from 0 to below V.
 * @param perChunk Gets log-probabilities [n] of tokens start … start + n − 1 (and their entropy [n] when asked for).
 * @throws {RangeError} When shapes do not fit or an option is out of its range.
 */
export function tokenLoss(
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  perChunk: (logProbabilities: Tensor, start: number, entropy?: Tensor) => Tensor,
  options: LogProbabilityOptions = {},
): Tensor {
  const plain: ChunkLossAndSums = (...chunk) => ({ loss: perChunk(...chunk), sums: {} });
  return tokenLossAndSums(hidden, head, targets, plain, options).loss;
}

/**
 * {@linkcode tokenLoss} with other sums over all tokens beside it: `sums` has the names that `perChunk` gives, detached.
 *
 * @throws {RangeError} When shapes do not fit or an option is out of its range.
 */
export function tokenLossAndSums(
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  perChunk: ChunkLossAndSums,
  options: LogProbabilityOptions = {},
): { loss: Tensor; sums: Record<string, Tensor> } {
  const { ranges, temperature, withEntropy, computeType } = checked("tokenLoss", hidden, head, targets, options);
  return tidy(() => {
    const weight = head.detach();
    const constant = hidden.detach();
    const hiddenGradients: Tensor[] = [];
    let headGradient: Tensor | undefined;
    let totals: { loss: Tensor; sums: Record<string, Tensor> } | undefined;
    for (const [start, length] of ranges) {
      const before = headGradient, totalsBefore = totals;
      const chunk = tidy(() => {
        const rows = constant.narrow(0, start, length).detach();
        const { gradients, aux } = valueAndGrad(() => {
          const { logProbabilities, entropy } = chunkOf(
            rows,
            as(weight, computeType),
            targets.narrow(0, start, length),
            temperature,
            withEntropy,
          );
          const ofChunk = perChunk(logProbabilities, start, entropy);
          const loss = ofChunk.loss.reshape([]);
          // The head's gradient so far is added inside the recording that ends here: an addition outside would be
          // recorded by the enclosing one, which would hold every partial sum.
          return { loss: before ? loss.add(weight.mul(before).sum()) : loss, aux: { loss, sums: ofChunk.sums } };
        }, [rows, weight]);
        return { totals: totalsBefore ? addTotals(totalsBefore, aux) : aux, gradients };
      });
      before?.dispose();
      if (totalsBefore) {
        for (const total of [totalsBefore.loss, ...Object.values(totalsBefore.sums)]) total.dispose();
      }
      totals = chunk.totals;
      hiddenGradients.push(chunk.gradients[0]);
      headGradient = chunk.gradients[1];
    }
    const { loss, sums } = totals!;
    const linear = hidden.mul(concat(hiddenGradients).detach()).sum().add(head.mul(headGradient!.detach()).sum());
    return { loss: loss.detach().add(linear.sub(linear.detach())), sums };
  });
}

function addTotals(a: ReturnType<ChunkLossAndSums>, b: ReturnType<ChunkLossAndSums>): ReturnType<ChunkLossAndSums> {
  const sums = Object.entries(b.sums).map(([name, sum]) => [name, a.sums[name].add(sum)] as const);
  return { loss: a.loss.add(b.loss), sums: Object.fromEntries(sums) };
}

/** One chunk, differentiable in hidden and head. `head` is in the compute type; the rest in hidden's. */
function chunkOf(
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  temperature: number,
  withEntropy: boolean,
): TokenLogProbabilities {
  let logits = as(as(hidden, head.dtype).linear(head), hidden.dtype);
  if (temperature !== 1) logits = logits.div(temperature);
  const all = logits.logSoftmax();
  const count = hidden.shape[0];
  const logProbabilities = all.takeAlong(targets.reshape([count, 1]), -1).reshape([count]);
  return withEntropy ? { logProbabilities, entropy: all.exp().mul(all).sum(-1).neg() } : { logProbabilities };
}

function checked(
  name: string,
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  { chunkSize, temperature = 1, withEntropy = false, computeType = hidden.dtype }: LogProbabilityOptions,
) {
  const [count, width] = hidden.shape;
  const fits = hidden.rank === 2 && head.rank === 2 && head.shape[1] === width && targets.rank === 1 &&
    targets.shape[0] === count && count > 0;
  if (!fits || targets.dtype !== "int64") {
    throw new RangeError(
      `${name}: hidden ${shapeText(hidden.shape)} [N, D], head ${shapeText(head.shape)} [V, D] and targets ` +
        `${targets.dtype} ${shapeText(targets.shape)} [N] do not fit`,
    );
  }
  if (!(temperature > 0)) throw new RangeError(`${name}: temperature must be above 0: received ${temperature}`);
  const size = chunkSize ?? Math.max(1, Math.floor(DEFAULT_CHUNK_ELEMENTS / head.shape[0]));
  if (!(Number.isInteger(size) && size >= 1)) {
    throw new RangeError(`${name}: chunkSize must be at least 1: received ${chunkSize}`);
  }
  const ranges: [start: number, length: number][] = [];
  for (let start = 0; start < count; start += size) ranges.push([start, Math.min(size, count - start)]);
  return { ranges, temperature, withEntropy, computeType };
}

function as(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : x.cast(dtype);
}
