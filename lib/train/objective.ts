/**
 * The GRPO objective on tokens, with its variants by name.
 *
 * For token t of answer i, with ρ = exp(log p − log p_old) and the answer's advantage A:
 *
 *     L1 = −A·ρ          L2 = −A·clamp(ρ, 1 − ε_low, 1 + ε_high)          L = max(L1, L2)
 *     dual clip:  L = min(L, −A·c) where A < 0
 *     loss = Σ weight·(L + β·kl − η·entropy)
 *
 * The weights say what "mean" means. What differs from the paper's Eq. 1, as in its released code, and the switch for each:
 * - tokens of a batch weigh the same (`token-mean`), where Eq. 1 averages each answer first (`sequence-mean`); Dr. GRPO
 *   divides by a fixed length instead (`fixed-length`);
 * - the KL is a term of the loss, estimator k3 clamped to ±10 (`k3`; `k1`, `k2`, `none`);
 * - `clipHigh` above `clipLow` is DAPO's clip-higher, `dualClip` the bound of Ye et al. 2020 (3 in the video code);
 * - `ratio: "sequence"` is GSPO's: one ratio an answer, the geometric mean of its tokens' ratios.
 *
 * Source: RLVR-World §4.3 and its code; Shao et al. 2024; Yu et al. 2025 (DAPO); Liu et al. 2025; Zheng et al. 2025 (GSPO);
 * Schulman, "Approximating KL divergence", 2020.
 */
import type { Tensor } from "../tensor/tensor.ts";

/** Estimator of the divergence from the reference model, from d = log p_ref − log p. */
export type KlEstimator = "none" | "k1" | "k2" | "k3";

/** What the loss of a batch is divided by. */
export type LossDenominator = "token-mean" | "sequence-mean" | "fixed-length";

/** Choices of the objective. */
export interface ObjectiveOptions {
  /** ε_low. */
  clipLow: number;
  /** ε_high. */
  clipHigh: number;
  /** Bound c of the dual clip, above 1; undefined leaves it out. */
  dualClip?: number;
  /** Estimator of the divergence. */
  kl: KlEstimator;
  /** β; 0 means that no reference model is needed. */
  klCoefficient: number;
  /** η. */
  entropyCoefficient: number;
  /** What "mean" means. */
  denominator: LossDenominator;
  /** A ratio a token, or one an answer. */
  ratio: "token" | "sequence";
}

/** The released video runs' choices. */
export const RELEASED_OBJECTIVE: Readonly<ObjectiveOptions> = {
  clipLow: 0.2,
  clipHigh: 0.2,
  dualClip: 3,
  kl: "k3",
  klCoefficient: 0.001,
  entropyCoefficient: 0,
  denominator: "token-mean",
  ratio: "token",
};

/**
 * @throws {RangeError} Naming the field that is out of range.
 */
export function checkObjective(options: ObjectiveOptions): void {
  const { clipLow, clipHigh, dualClip, klCoefficient, entropyCoefficient } = options;
  if (!(clipLow > 0 && clipLow < 1)) throw new RangeError(`clipLow must be between 0 and 1: received ${clipLow}`);
  if (!(clipHigh > 0)) throw new RangeError(`clipHigh must be positive: received ${clipHigh}`);
  if (dualClip !== undefined && !(dualClip > 1)) throw new RangeError(`dualClip must be above 1: received ${dualClip}`);
  if (!(klCoefficient >= 0)) throw new RangeError(`klCoefficient must not be negative: received ${klCoefficient}`);
  if (!Number.isFinite(entropyCoefficient)) {
    throw new RangeError(`entropyCoefficient must be a number: received ${entropyCoefficient}`);
  }
}

/**
 * The weight of each token in the loss: what "mean" means.
 *
 * @param sampled [N, T] row-major, 1 where the model spoke.
 * @param rows N, the answers that share a denominator: the whole mini-batch, so that splitting it into micro-batches changes
 *   nothing.
 * @param denominator See the file's head.
 * @param counts Of how many equal answers each row stands; 1 when left out.
 * @returns [N, T].
 */
export function tokenWeights(
  sampled: Uint8Array,
  rows: number,
  denominator: LossDenominator,
  counts: readonly number[] = new Array(rows).fill(1),
): Float32Array {
  const length = sampled.length / rows;
  const weights = new Float32Array(sampled.length);
  const own = Array.from({ length: rows }, (_, row) => sampled.subarray(row * length, (row + 1) * length));
  const spoken = own.map((each) => each.reduce((sum, one) => sum + one, 0));
  const answers = counts.reduce((sum, each) => sum + each, 0);
  const total = spoken.reduce((sum, each, row) => sum + counts[row] * each, 0);
  for (let row = 0; row < rows; row++) {
    const divisor = denominator === "token-mean"
      ? total
      : denominator === "sequence-mean"
      ? answers * spoken[row]
      : answers * length;
    for (let t = 0; t < length; t++) weights[row * length + t] = own[row][t] === 0 ? 0 : counts[row] / divisor;
  }
  return weights;
}

/**
 * Nats beyond which differences of log-probabilities count as this much before `exp`. exp(80) is still a number of float32; an
 * infinite ratio times the gradient 0 of whatever clip or bound holds it would not be.
 */
const LARGEST_DIFFERENCE = 80;

/** Tensors of some tokens, all [n]. */
export interface TokenTerms {
  /** log p of the chosen tokens, differentiable. */
  logProbabilities: Tensor;
  /** log p when the answers were sampled, or undefined on the first update of a batch: then they are equal. */
  oldLogProbabilities: Tensor | undefined;
  /** log p under the reference model; needed when β > 0. */
  referenceLogProbabilities: Tensor | undefined;
  /** A of each token's answer. */
  advantages: Tensor;
  /** From `tokenWeights`; 0 where the token was given. */
  weights: Tensor;
  /** Entropy of each token's distribution, when η ≠ 0. */
  entropy: Tensor | undefined;
}

/** Sums over some tokens: the loss, and what the log shows of it. */
export interface ObjectiveSums {
  /** Weighted sum, differentiable. */
  loss: Tensor;
  /** Weighted sum of the divergence estimate, undefined without reference. */
  kl: Tensor | undefined;
  /** Weighted share of tokens where the clip was active. */
  clipped: Tensor;
}

/**
 * The token-level objective on some tokens; see the file's head.
 *
 * @throws {RangeError} With `ratio: "sequence"`, which needs all tokens of an answer at once (see `GrpoTrainer`), and where the
 *   divergence needs a reference that is not given.
 */
export function tokenObjective(terms: TokenTerms, options: ObjectiveOptions): ObjectiveSums {
  if (options.ratio === "sequence") {
    throw new RangeError(
      `tokenObjective: ratio "sequence" is one of whole answers, not of single tokens: use ratio "token", or GrpoTrainer`,
    );
  }
  const { logProbabilities, advantages, weights } = terms;
  const old = terms.oldLogProbabilities ?? logProbabilities.detach();
  const { loss, clipped } = clippedLoss(ratioOf(logProbabilities.sub(old)), advantages, options);
  const policy = loss.mul(weights).sum(), rest = regularization(terms, options);
  return {
    loss: rest.loss ? policy.add(rest.loss) : policy,
    kl: rest.kl,
    clipped: clipped.mul(weights).sum(),
  };
}

/**
 * What the loss has beside the policy's own: Σ weight·(β·kl − η·entropy), whatever the ratio is of.
 *
 * @returns `loss`, differentiable, undefined where there is neither; and `kl`, the weighted divergence without its coefficient.
 */
export function regularization(
  terms: Omit<TokenTerms, "advantages" | "oldLogProbabilities">,
  options: ObjectiveOptions,
): { loss: Tensor | undefined; kl: Tensor | undefined } {
  const { entropy, weights } = terms, divergence = divergenceOf(terms, options);
  const parts = [
    ...divergence ? [divergence.mul(options.klCoefficient)] : [],
    ...entropy ? [entropy.mul(-options.entropyCoefficient)] : [],
  ];
  const loss = parts.length === 0 ? undefined : parts.reduce((a, b) => a.add(b)).mul(weights).sum();
  return { loss, kl: divergence?.detach().mul(weights).sum() };
}

/**
 * GSPO's objective as coefficients: the gradient of the clipped sequence-level loss with respect to every token's log p.
 *
 * The ratio of an answer needs all its tokens before any loss, so the loss is made in two passes: log p first (no gradient),
 * then Σ coefficient·log p, which has the same gradient.
 *
 * @param current, old [N, T] log p of the chosen tokens. @param sampled [N, T] of 0 and 1, float. @param advantages [N, 1].
 * @returns coefficients [N, T] to be multiplied by weights, the loss [N, T] (the same number on all tokens of an answer),
 *   and the clip indicator [N, T].
 */
export function sequenceCoefficients(
  current: Tensor,
  old: Tensor,
  sampled: Tensor,
  advantages: Tensor,
  options: ObjectiveOptions,
): { coefficients: Tensor; loss: Tensor; clipped: Tensor } {
  const lengths = sampled.sum(1, true).clamp(1, Infinity);
  const ratio = ratioOf(current.sub(old).mul(sampled).sum(1, true).div(lengths));
  const { loss, clipped, active } = clippedLoss(ratio, advantages, options);
  // d/d log p_t of −A·s is −A·s / |o|; summed over the answer's tokens (whose weights add up to the answer's share) this
  // leaves −A·s a token where the clip does not hold it.
  const slope = ratio.mul(advantages).neg().mul(active);
  return {
    coefficients: slope.broadcastTo(current.shape),
    loss: loss.broadcastTo(current.shape),
    clipped: clipped.broadcastTo(current.shape),
  };
}

/** exp of a difference of log-probabilities; see {@linkcode LARGEST_DIFFERENCE}. */
function ratioOf(difference: Tensor): Tensor {
  return difference.clamp(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE).exp();
}

/** max(L1, L2) with the dual clip; `active` is 1 where the gradient passes through the ratio. */
function clippedLoss(ratio: Tensor, advantages: Tensor, options: ObjectiveOptions) {
  const plain = ratio.mul(advantages).neg();
  const bounded = ratio.clamp(1 - options.clipLow, 1 + options.clipHigh).mul(advantages).neg();
  let loss = plain.maximum(bounded);
  const clipped = bounded.greater(plain).cast(ratio.dtype).detach();
  let active = clipped.neg().add(1);
  if (options.dualClip !== undefined) {
    const bound = advantages.mul(-options.dualClip);
    const held = advantages.less(0).and(loss.greater(bound));
    loss = held.where(bound.broadcastTo(loss.shape), loss);
    active = active.mul(held.not().cast(ratio.dtype));
  }
  return { loss, clipped, active };
}

function divergenceOf(
  terms: Pick<TokenTerms, "logProbabilities" | "referenceLogProbabilities">,
  options: ObjectiveOptions,
): Tensor | undefined {
  if (options.kl === "none" || options.klCoefficient === 0) return undefined;
  if (!terms.referenceLogProbabilities) {
    throw new RangeError(
      `kl: the estimator ${options.kl} needs a reference model: set klCoefficient to 0 to go without`,
    );
  }
  const difference = terms.referenceLogProbabilities.sub(terms.logProbabilities);
  if (options.kl === "k1") return difference.neg();
  if (options.kl === "k2") return difference.square().mul(0.5);
  return ratioOf(difference).sub(difference).sub(1).clamp(-10, 10);
}
