/**
 * How image tokenizers are trained: the numbers of a recipe, the released one, and which have sense.
 */

/** How a tokenizer is trained; the released values are `RELEASED_TOKENIZER_TRAINING`. */
export interface TokenizerTrainingConfig {
  /** Updates of the whole run, the discriminator's included. The tokenizer's cosine ends after so many of its own. */
  steps: number;
  /** Highest learning rate, of both. */
  learningRate: number;
  /** Updates over which each rate rises. */
  warmupSteps: number;
  /** Decay of AdamW's first moment. */
  beta1: number;
  /** Decay of AdamW's second moment. */
  beta2: number;
  /** AdamW's ε, added to the root of the second moment. */
  epsilon: number;
  /** AdamW's decoupled weight decay. */
  weightDecay: number;
  /** Gradients are scaled down to this global norm. */
  maxGradientNorm: number;
  /** Weight of the mean absolute error of pixels. */
  absoluteErrorWeight: number;
  /** Weight of the mean squared error of pixels: 0 in the released recipe. */
  squaredErrorWeight: number;
  /**
   * Weight of `latentSpread`, which keeps a tokenizer that is trained for minutes from giving every place one code: 0 in
   * the released recipe.
   */
  latentSpreadWeight: number;
  /**
   * Weight of `roundingError`, which keeps what is quantized away from the borders between codes, where the slightest
   * change of a frame changes its tokens: 0 in the released recipe.
   */
  roundingWeight: number;
  /** Weight of LPIPS, where its weights are given. */
  perceptualWeight: number;
  /** Weight of the generator's loss, where there is a discriminator. */
  adversarialWeight: number;
  /** Step from which the discriminator takes part. */
  adversarialStart: number;
  /** Weight of the discriminator's gradient penalty. */
  gradientPenaltyWeight: number;
}

/** The released recipe (paper table 7; per-frame script). */
export const RELEASED_TOKENIZER_TRAINING: TokenizerTrainingConfig = Object.freeze({
  steps: 600_000,
  learningRate: 5e-4,
  warmupSteps: 5000,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 1,
  absoluteErrorWeight: 1,
  squaredErrorWeight: 0,
  latentSpreadWeight: 0,
  roundingWeight: 0,
  perceptualWeight: 1,
  adversarialWeight: 0.1,
  adversarialStart: 10_000,
  gradientPenaltyWeight: 10,
});

/**
 * Checks a recipe.
 *
 * @throws {RangeError} When a value is out of its range.
 */
export function checkTokenizerTraining(config: TokenizerTrainingConfig): void {
  for (const [name, value] of Object.entries(config)) {
    if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`${name} must be at least 0: received ${value}`);
  }
  if (!(config.maxGradientNorm > 0)) {
    throw new RangeError(`maxGradientNorm must be above 0: received ${config.maxGradientNorm}`);
  }
}
