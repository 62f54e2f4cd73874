/**
 * The GRPO objective: a policy loss, the divergence from the reference model, an entropy bonus, and what "mean" means.
 *
 *     loss = Σ_t w_t · (L_t + β·kl_t − η·entropy_t)
 *
 * L is a loss of `losses/`: of ρ = exp(log p − log p_old) and the advantage. Token t's weight w says what the loss is divided by.
 * What differs from the paper's Eq. 1, as in its released code, and the choice for each:
 * - tokens of a batch weigh the same (`token-mean`), where Eq. 1 averages each answer first (`sequence-mean`); Dr. GRPO
 *   divides by a fixed length instead (`fixed-length`);
 * - the KL is a term of the loss, estimator k3 clamped to ±10 (`k3`; `k1`, `k2`, `none`).
 *
 * Source: RLVR-World §4.3 and its code; Schulman, "Approximating KL divergence", 2020.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { LossBounds, LossDenominator, PolicyLoss } from "./losses/loss.ts";
import { policyLossOf } from "./losses/losses.ts";

/** Estimator of the divergence from the reference model, from d = log p_ref − log p. */
export type KlEstimator = "none" | "k1" | "k2" | "k3";

/**
 * Choices of the objective.
 *
 * @internal
 */
export interface ObjectiveOptions extends LossBounds {
  /** L: a name among `LOSSES`, or a loss of one's own. */
  loss: string | PolicyLoss;
  /** What the loss is divided by: tokens, tokens of each answer, or a fixed length. */
  denominator: LossDenominator;
  /** Estimator of the divergence from the reference model. */
  kl: KlEstimator;
  /** β; 0 means that no reference model is needed. */
  klCoefficient: number;
  /** η, weight of the entropy bonus. */
  entropyCoefficient: number;
}

/** The released video runs' choices. */
export const RELEASED_OBJECTIVE: Readonly<ObjectiveOptions> = {
  loss: "dual-clip",
  clipLow: 0.2,
  clipHigh: 0.2,
  dualClip: 3,
  denominator: "token-mean",
  kl: "k3",
  klCoefficient: 0.001,
  entropyCoefficient: 0,
};

/** L. @throws {RangeError} When there is no loss of that name, or a bound is out of its range. */
export function lossOf({ loss, ...bounds }: Pick<ObjectiveOptions, "loss" | keyof LossBounds>): PolicyLoss {
  return typeof loss === "string" ? policyLossOf(loss, bounds) : loss;
}

/** Whether the objective needs log p of a reference model. */
export function needsReference({ kl, klCoefficient }: Pick<ObjectiveOptions, "kl" | "klCoefficient">): boolean {
  return kl !== "none" && klCoefficient > 0;
}

/**
 * The weight of each token in the loss: what "mean" means.
 *
 * @param sampled_NT Row-major, 1 where the model spoke.
 * @param rows N, the answers that share a denominator: the whole mini-batch, so that splitting it into micro-batches changes
 *   nothing.
 * @param denominator See the file's head.
 * @param counts_N Of how many equal answers each row stands. @default {1 each}
 * @returns [N, T].
 */
export function tokenWeights(
  sampled_NT: Uint8Array,
  rows: number,
  denominator: LossDenominator,
  counts_N: readonly number[] = new Array(rows).fill(1),
): Float32Array {
  const length = sampled_NT.length / rows, weights_NT = new Float32Array(sampled_NT.length);
  const lengths_N = counts_N.map((_, n) =>
    sampled_NT.subarray(n * length, (n + 1) * length).reduce((sum, one) => sum + one, 0)
  );
  const answers = counts_N.reduce((sum, count) => sum + count, 0);
  const tokens = lengths_N.reduce((sum, spoken, n) => sum + counts_N[n] * spoken, 0);
  for (let n = 0; n < rows; n++) {
    const divisor = { "token-mean": tokens, "sequence-mean": answers * lengths_N[n], "fixed-length": answers * length };
    for (let t = n * length; t < (n + 1) * length; t++) {
      weights_NT[t] = sampled_NT[t] === 0 ? 0 : counts_N[n] / divisor[denominator];
    }
  }
  return weights_NT;
}

/**
 * Nats beyond which differences of log-probabilities count as this much before `exp`. exp(80) is still a number of float32; an
 * infinite ratio times the gradient 0 of whatever clip or bound holds it would not be.
 */
const LARGEST_DIFFERENCE = 80;

/**
 * Tensors of some tokens, all [n].
 *
 * @internal
 */
export interface TokenTerms {
  /** log p of the chosen tokens, differentiable. */
  logProbabilities: Tensor;
  /** log p when the answers were sampled, or undefined on the first update of a batch: then they are equal. */
  oldLogProbabilities: Tensor | undefined;
  /** log p under the reference model; needed when β > 0. */
  referenceLogProbabilities: Tensor | undefined;
  /** A of each token's answer, or of its part of it. */
  advantages: Tensor;
  /** From `tokenWeights`; 0 where the token was given. */
  weights: Tensor;
  /** Entropy of each token's distribution, when η ≠ 0. */
  entropy: Tensor | undefined;
}

/**
 * Sums over some tokens: the loss, and what the log shows of it.
 *
 * @internal
 */
export interface ObjectiveSums {
  /** Σ_t w_t · (L_t + β·kl_t − η·entropy_t), differentiable. */
  loss: Tensor;
  /** Weighted sum of the divergence estimate, undefined without reference. */
  kl: Tensor | undefined;
  /** Weighted share of tokens where the clip was active. */
  clipped: Tensor;
}

/**
 * The objective on some tokens; see the file's head.
 *
 * @throws {RangeError} With a loss whose ratios are answers', which needs all tokens of an answer at once (see `GrpoTrainer`), and
 *   where the divergence needs a reference that is not given.
 */
export function tokenObjective(terms: TokenTerms, options: ObjectiveOptions): ObjectiveSums {
  const policyLoss = lossOf(options);
  if (policyLoss.ratioOf === "answer") {
    throw new RangeError(
      `tokenObjective: the loss ${policyLoss.name} is one of whole answers, not of single tokens: use another, or GrpoTrainer`,
    );
  }
  const { logProbabilities, advantages } = terms;
  const old = terms.oldLogProbabilities ?? logProbabilities.detach();
  const ratio = ratioOf(logProbabilities.sub(old));
  const { loss, clipped } = policyLoss.terms({ ratio, logProbabilities, advantages });
  return weightedSums(loss, clipped, terms, options);
}

/**
 * Coefficients of an answer-level loss: the gradient of the loss by every token's log p.
 *
 * The ratio of an answer needs all its tokens before any loss, so the loss is made in two passes: log p first (no gradient),
 * then Σ coefficient·log p, which has the same gradient.
 *
 * @param current_NT, old_NT log p of the chosen tokens.
 * @param sampled_NT 0 and 1, float.
 * @param advantages_N1 One an answer.
 * @returns Coefficients [N, T] to be multiplied by weights, the loss [N, T] (the same number on all tokens of an answer), and the
 *   clip indicator [N, T].
 */
export function answerCoefficients(
  current_NT: Tensor,
  old_NT: Tensor,
  sampled_NT: Tensor,
  advantages_N1: Tensor,
  options: ObjectiveOptions,
): { coefficients: Tensor; loss: Tensor; clipped: Tensor } {
  const lengths_N1 = sampled_NT.sum(1, true).clamp(1, Infinity);
  const meanOf = (x_NT: Tensor) => x_NT.mul(sampled_NT).sum(1, true).div(lengths_N1);
  const { loss, clipped, slope } = lossOf(options).terms({
    ratio: ratioOf(meanOf(current_NT.sub(old_NT))),
    logProbabilities: meanOf(current_NT),
    advantages: advantages_N1,
  });
  // d/d log p_t of an answer's loss is slope/|o|; summed over the answer's tokens (whose weights add up to the answer's share)
  // this leaves the slope a token.
  const shape = current_NT.shape;
  return { coefficients: slope.broadcastTo(shape), loss: loss.broadcastTo(shape), clipped: clipped.broadcastTo(shape) };
}

/** The objective on some tokens of answers whose {@linkcode answerCoefficients} are known; all [n]. */
export function answerObjective(
  terms: TokenTerms,
  ofAnswers: ReturnType<typeof answerCoefficients>,
  options: ObjectiveOptions,
): ObjectiveSums {
  const policy = ofAnswers.coefficients.mul(terms.logProbabilities);
  // The value shown is the loss; the gradient is the coefficients'.
  return weightedSums(policy.sub(policy.detach()).add(ofAnswers.loss), ofAnswers.clipped, terms, options);
}

/** Weighted sums of a policy loss [n], and Σ w·(β·kl − η·entropy) beside it. */
function weightedSums(loss: Tensor, clipped: Tensor, terms: TokenTerms, options: ObjectiveOptions): ObjectiveSums {
  const { entropy, weights } = terms, kl = divergenceOf(terms, options);
  const parts = [
    ...kl ? [kl.mul(options.klCoefficient)] : [],
    ...entropy ? [entropy.mul(-options.entropyCoefficient)] : [],
  ];
  const policy = loss.mul(weights).sum();
  return {
    loss: parts.length === 0 ? policy : policy.add(parts.reduce((a, b) => a.add(b)).mul(weights).sum()),
    kl: kl?.detach().mul(weights).sum(),
    clipped: clipped.mul(weights).sum(),
  };
}

/** exp of a difference of log-probabilities; see {@linkcode LARGEST_DIFFERENCE}. */
function ratioOf(difference: Tensor): Tensor {
  return difference.clamp(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE).exp();
}

function divergenceOf(
  terms: Pick<TokenTerms, "logProbabilities" | "referenceLogProbabilities">,
  options: ObjectiveOptions,
): Tensor | undefined {
  if (!needsReference(options)) return undefined;
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
