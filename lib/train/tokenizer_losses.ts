/**
 * What a tokenizer's reconstruction of some images is judged by: pixels, LPIPS, and how the quantizer is used. Sums over
 * kinds of images (the frames of a clip, its context) and the discriminator are the trainer's affair.
 *
 * Axis letters: B images, H and W pixels, L dimensions of a code.
 */
import type { FiniteScalarQuantizer } from "../models/fsq.ts";
import type { Lpips } from "../models/lpips.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TokenizerTrainingConfig } from "./tokenizer_training_config.ts";

/** Images of one kind and what a tokenizer made of them. */
export interface ReconstructedImages {
  /** Before the names of their metrics: "" for frames, "context" for context frames. */
  kind: "" | "context";
  /** What went in, float32 [B, H, W, 3] in [0, 1]. */
  target: Tensor;
  /** What came out, unclamped, of the same shape. */
  reconstruction: Tensor;
  /** Weights of pixels with mean 1, [B, H, W, 1]. */
  weights?: Tensor;
  /** What was quantized, float32 [B, rows, columns, L]. */
  latents: Tensor;
  /** The quantizer that rounds them. */
  quantizer: FiniteScalarQuantizer;
  /** The tokens, int64 of any shape. */
  indices: Tensor;
}

/**
 * The weighted sum of the terms that a recipe asks for, and each of them by its metric's name.
 *
 * @param perceptual Without it there is no LPIPS.
 */
export function reconstructionLoss(
  { kind, target, reconstruction, weights, latents, quantizer }: ReconstructedImages,
  config: TokenizerTrainingConfig,
  perceptual: Lpips | undefined,
): { loss: Tensor; terms: Record<string, Tensor> } {
  const { absoluteErrorWeight, squaredErrorWeight, latentSpreadWeight, roundingWeight, perceptualWeight } = config;
  const error = reconstruction.sub(target);
  const average = (x: Tensor) => weights === undefined ? x.mean() : x.mul(weights).mean();
  const terms: Record<string, Tensor> = {};
  const add = (name: string, term: Tensor, weight: number) => {
    terms[metricName(kind, name)] = term;
    return term.mul(weight);
  };
  let loss = add("absoluteError", average(error.abs()), absoluteErrorWeight);
  const squared = add("squaredError", average(error.square()), squaredErrorWeight);
  if (squaredErrorWeight > 0) loss = loss.add(squared);
  if (latentSpreadWeight > 0) loss = loss.add(add("latentSpread", latentSpread(latents), latentSpreadWeight));
  if (roundingWeight > 0) loss = loss.add(add("roundingError", roundingError(quantizer, latents), roundingWeight));
  if (perceptual && perceptualWeight > 0) {
    loss = loss.add(add("perceptual", perceptual.distance(reconstruction, target).mean(), perceptualWeight));
  }
  return { loss, terms };
}

/** `absoluteError` of frames, `contextAbsoluteError` of context frames. */
export function metricName(kind: ReconstructedImages["kind"], name: string): string {
  return kind === "" ? name : kind + name[0].toUpperCase() + name.slice(1);
}

/**
 * Weights of pixels as the losses take them.
 *
 * @param expected How many there must be.
 * @param form Their shape, for messages.
 * @returns The same with mean 1, which keeps the loss comparable between batches.
 * @throws {RangeError} When there are not so many.
 */
export function normalizedWeights(pixelWeights: Float32Array, expected: number, form: readonly number[]): Float32Array {
  if (pixelWeights.length !== expected) {
    throw new RangeError(
      `tokenizer training: pixelWeights must be [${form.join(", ")}]: received ${pixelWeights.length} numbers`,
    );
  }
  const mean = pixelWeights.reduce((sum, weight) => sum + weight, 0) / pixelWeights.length;
  return pixelWeights.map((weight) => weight / mean);
}

/**
 * How far the numbers that are quantized are from mean 0 and standard deviation 1 over the frames of a batch: mean(m² +
 * (s − 1)²), m and s at each place and dimension. At 0 they reach every level, saturate none, and tell frames apart
 * instead of places.
 *
 * @param latents float32 [B, rows, columns, L].
 */
export function latentSpread(latents: Tensor): Tensor {
  const mean = latents.mean(0);
  // The small number keeps the root differentiable where all frames are equal.
  const deviation = latents.sub(mean).square().mean(0).add(1e-6).sqrt();
  return mean.square().add(deviation.sub(1).square()).mean();
}

/**
 * How far the bounded latents lie from the levels that they are rounded to: the mean square, at most ¼. The commitment term
 * of VQ-VAE (van den Oord et al. 2017) for a quantizer without a codebook.
 *
 * @param latents float32 [B, rows, columns, L].
 */
export function roundingError(quantizer: FiniteScalarQuantizer, latents: Tensor): Tensor {
  const bounded = quantizer.bound(latents);
  return bounded.sub(bounded.detach().round()).square().mean();
}
