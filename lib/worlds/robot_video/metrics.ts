/**
 * Metrics of predicted frames: how far, or how close, an image is to the true one.
 *
 * Each takes two batches of images and gives one number an image, on the engine that holds them, in float32 whatever the
 * images' type. They serve as rewards and as the tables of an evaluation. Averages over frames and clips are the
 * caller's, and so is the perceptual network behind LPIPS (`lib/models/lpips.ts`).
 *
 * Axes: B images, H height, W width, C channels. Pixels lie in [0, 1].
 */
import { concat, type Tensor, tensor } from "../../tensor/tensor.ts";
import { isFloating, sameShape, shapeText } from "../../tensor/dtype.ts";
import type { Engine } from "../../tensor/engine.ts";
import { tidy } from "../../tensor/scope.ts";

/**
 * A comparison of images.
 *
 * @internal
 */
export interface ImageMetric {
  /** How tables and configurations call it. */
  readonly name: string;
  /** Which direction is good. */
  readonly better: "lower" | "higher";
  /**
   * Compares image by image.
   *
   * @param predicted [B, H, W, C] in [0, 1].
   * @param target The same shape.
   * @returns [B], float32.
   * @throws {RangeError} When the shapes differ, are not those of images, or are too small for the metric.
   * @throws {TypeError} When the pixels are not floating numbers.
   */
  compute(predicted: Tensor, target: Tensor): Tensor;
  /**
   * Where an image's number is a mean over its pixels: the number, and what each cell of a grid adds to it.
   *
   * @param grid Its rows divide H, its columns W.
   * @returns `values` [B] as `compute` gives them and `cells` [B, rows · columns], float32; an image's cells add up to its number.
   * @throws {RangeError} As `compute`, and when the grid does not divide the images.
   */
  computeCells?(
    predicted: Tensor,
    target: Tensor,
    grid: { rows: number; columns: number },
  ): { values: Tensor; cells: Tensor };
}

/** Mean absolute error of pixels in [0, 1], over the frame; lower is better. */
export const mae: ImageMetric = pixelMetric("mae", (a, b) => a.sub(b).abs());

/** Mean squared error of pixels in [0, 1], over the frame; lower is better. */
export const mse: ImageMetric = pixelMetric("mse", (a, b) => a.sub(b).square());

/** Added to the mean squared error under PSNR's logarithm, so that equal images get 80 dB and not infinity (piqa's value). */
const PSNR_EPSILON = 1e-8;

/** Peak signal-to-noise ratio in dB: 10 · log₁₀(1 / (mse + 10⁻⁸)). */
export const psnr: ImageMetric = metric(
  "psnr",
  "higher",
  (a, b) => overPixels(a.sub(b).square()).add(PSNR_EPSILON).log().mul(-10 / Math.LN10),
);

/** Extent of SSIM's window in pixels. */
const WINDOW = 11;
/** Standard deviation of SSIM's window in pixels. */
const SIGMA = 1.5;
/** (k₁ · range)² and (k₂ · range)², with k₁ = 0.01, k₂ = 0.03 and range 1. */
const C1 = 0.01 ** 2, C2 = 0.03 ** 2;
/** Pixels whose statistics are held at once: bounds memory for large batches of large images. */
const PIXELS_AT_ONCE = 1 << 20;

/**
 * Structural similarity (Wang et al. 2004), mean over positions and channels: an 11 × 11 Gaussian window with σ = 1.5, only
 * where it lies within the image, as in piqa. Images smaller than the window are refused: with another window it would be
 * another metric.
 */
export const ssim: ImageMetric = metric("ssim", "higher", (a, b) => {
  const [batch, height, width, channels] = a.shape;
  if (height < WINDOW || width < WINDOW) {
    throw new RangeError(`ssim: needs images of at least ${WINDOW} × ${WINDOW} pixels: received ${height} × ${width}`);
  }
  const step = Math.max(1, Math.floor(PIXELS_AT_ONCE / (height * width * channels)));
  const parts: Tensor[] = [];
  for (let start = 0; start < batch; start += step) {
    const count = Math.min(step, batch - start);
    parts.push(tidy(() => similarity(a.narrow(0, start, count), b.narrow(0, start, count))));
  }
  return parts.length === 1 ? parts[0] : concat(parts);
});

/**
 * LPIPS as a metric: distance of VGG features; lower is better.
 *
 * @param distance The perceptual network: two batches [B, H, W, 3] in [0, 1] to [B].
 */
export function lpipsMetric(distance: (predicted: Tensor, target: Tensor) => Tensor): ImageMetric {
  return metric("lpips", "lower", distance);
}

/**
 * Whether a predicted frame repeats the last frame of its history: every token is the same (the rule by
 * which the released evaluation rejects samples).
 *
 * @param predicted Tokens of the predicted frame.
 * @param last Tokens of the last history frame.
 * @throws {RangeError} When the frames have different numbers of tokens, or none.
 */
export function repetition(predicted: ArrayLike<number>, last: ArrayLike<number>): boolean {
  if (predicted.length !== last.length || last.length === 0) {
    throw new RangeError(
      `repetition: needs two frames of equally many tokens: received ${predicted.length} and ${last.length}`,
    );
  }
  for (let i = 0; i < last.length; i++) {
    if (predicted[i] !== last[i]) return false;
  }
  return true;
}

/** A metric that is the mean of an error of every pixel. */
function pixelMetric(name: string, error: (predicted: Tensor, target: Tensor) => Tensor): ImageMetric {
  return {
    ...metric(name, "lower", (a, b) => overPixels(error(a, b))),
    computeCells: (predicted, target, { rows, columns }) =>
      compared(name, predicted, target, (a, b) => {
        const [batch, height, width, channels] = a.shape;
        if (height % rows !== 0 || width % columns !== 0) {
          throw new RangeError(
            `${name}: a grid of ${rows} × ${columns} cells does not divide images of ${height} × ${width}`,
          );
        }
        const errors = error(a, b), count = rows * columns;
        const cells = errors.reshape([batch, rows, height / rows, columns, width / columns, channels]).mean([2, 4, 5]);
        return { values: overPixels(errors), cells: cells.mul(1 / count).reshape([batch, count]) };
      }),
  };
}

function metric(
  name: string,
  better: "lower" | "higher",
  compare: (predicted: Tensor, target: Tensor) => Tensor,
): ImageMetric {
  return { name, better, compute: (predicted, target) => compared(name, predicted, target, compare) };
}

/** What a comparison says of two batches that it can compare, in float32; what it makes on the way is freed. */
function compared<Result extends Tensor | Record<string, Tensor>>(
  name: string,
  predicted: Tensor,
  target: Tensor,
  compare: (predicted: Tensor, target: Tensor) => Result,
): Result {
  const [height, width, channels] = predicted.shape.slice(1);
  if (predicted.rank !== 4 || !sameShape(predicted.shape, target.shape) || height * width * channels === 0) {
    throw new RangeError(
      `${name}: needs two batches of images [B, H, W, C] of one shape: received ${shapeText(predicted.shape)} and ` +
        shapeText(target.shape),
    );
  }
  for (const { dtype } of [predicted, target]) {
    if (!isFloating(dtype)) {
      throw new TypeError(`${name}: needs floating pixels in [0, 1]: received ${dtype}: cast and divide by 255`);
    }
  }
  return tidy(() => compare(predicted.cast("float32"), target.cast("float32")));
}

/** [B, H, W, C] → [B]. */
function overPixels(x: Tensor): Tensor {
  return x.mean([1, 2, 3]);
}

/** SSIM of images that are all held at once: [B, H, W, C] → [B]. */
function similarity(a: Tensor, b: Tensor): Tensor {
  const [batch, height, width, channels] = a.shape;
  // Every channel is an image of its own, and the five statistics are smoothed in one go.
  const planes = (x: Tensor) => x.permute([0, 3, 1, 2]).reshape([batch * channels, height, width]);
  const x = planes(a), y = planes(b), count = batch * channels;
  const smoothed = smooth(concat([x, y, x.square(), y.square(), x.mul(y)]));
  const [meanX, meanY, squareX, squareY, product] = [0, 1, 2, 3, 4].map((i) => smoothed.narrow(0, i * count, count));
  const meanXX = meanX.square(), meanYY = meanY.square(), meanXY = meanX.mul(meanY);
  const contrast = product.sub(meanXY).mul(2).add(C2).div(squareX.sub(meanXX).add(squareY.sub(meanYY)).add(C2));
  const luminance = meanXY.mul(2).add(C1).div(meanXX.add(meanYY).add(C1));
  return contrast.mul(luminance).reshape([batch, -1]).mean(1);
}

/**
 * The Gaussian window over [N, H, W], where it fits: [N, H − 10, W − 10]. One direction after the other, each a product with
 * a banded matrix: faster than convolutions of one channel, which no engine is made for.
 */
function smooth(x: Tensor): Tensor {
  const [, height, width] = x.shape;
  return windows(x.engine, height).matmul(x).matmul(windows(x.engine, width), { transposeB: true });
}

/** Row i holds the window's weights from column i on: [n − 10, n]. */
function windows(engine: Engine, n: number): Tensor {
  const weights = Array.from({ length: WINDOW }, (_, i) => Math.exp(-((i - (WINDOW - 1) / 2) ** 2) / (2 * SIGMA ** 2)));
  const total = weights.reduce((sum, each) => sum + each);
  const rows = n - WINDOW + 1, matrix = new Float32Array(rows * n);
  for (let i = 0; i < rows; i++) weights.forEach((weight, k) => matrix[i * n + i + k] = weight / total);
  return tensor(engine, matrix, [rows, n]);
}
