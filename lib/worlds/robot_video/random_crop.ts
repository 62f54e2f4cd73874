/**
 * The variation of tokenizer training: a random part of the frame, stretched to the whole, and then the colours.
 *
 * The part is drawn as torchvision's `RandomResizedCrop` draws. It is stretched as torchvision resizes float tensors (bilinear,
 * averaging where it shrinks, along rows and then across them, product and sum fused) and truncated to bytes; only then come the 8-bit
 * colours of `augment.ts`: all as in the released code, byte for byte. The released tokenizers were trained with areas of 0.8 to 1
 * and aspects of 1.0 to 1.4 on frames of aspect 1.25; here the aspect is counted from the frame's own, so that frames of any shape
 * are cropped alike.
 *
 * Sources: RLVR-World, tokenizer training and data loader; torchvision `RandomResizedCrop.get_params`, `ToPILImage`; ATen
 * `UpSampleKernel.cpp` (antialiased bilinear interpolation, AVX2).
 */
import type { Philox } from "../../tensor/random.ts";
import { type ColourAdjustment, jitterColours } from "./augment.ts";

/** How much a crop may take, and how much it may be stretched. */
export interface CropLimits {
  /** Of the frame's area, 0 … 1, ascending. */
  scale: readonly [least: number, most: number];
  /** Width over height of the crop, over that of the frame; ascending. */
  aspect: readonly [least: number, most: number];
}

/** The limits of RLVR-World's tokenizer training. */
export const TOKENIZER_CROP: CropLimits = { scale: [0.8, 1], aspect: [1.0 / 1.25, 1.4 / 1.25] };

/** A part of a frame, in pixels. */
export interface Crop {
  /** First row. */
  top: number;
  /** First column. */
  left: number;
  /** Rows. */
  height: number;
  /** Columns. */
  width: number;
}

/** Draws that must fail before the largest crop of an allowed aspect is taken from the middle. */
const ATTEMPTS = 10;
const { fround } = Math;

/**
 * Draws a crop of a frame of `height` × `width` pixels.
 *
 * @throws {RangeError} if a limit makes no sense.
 */
export function drawCrop(random: Philox, height: number, width: number, { scale, aspect }: CropLimits): Crop {
  if (!(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1)) {
    throw new RangeError(`a crop's scale must be two ascending numbers in (0, 1]: received [${scale}]`);
  }
  if (!(aspect[0] > 0 && aspect[0] <= aspect[1] && Number.isFinite(aspect[1]))) {
    throw new RangeError(`a crop's aspect must be two ascending positive numbers: received [${aspect}]`);
  }
  const own = width / height, between = ([a, b]: readonly [number, number]) => a + (b - a) * random.uniform();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const area = height * width * between(scale);
    const ratio = own * Math.exp(between([Math.log(aspect[0]), Math.log(aspect[1])]));
    const w = Math.round(Math.sqrt(area * ratio)), h = Math.round(Math.sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { top: random.integer(0, height - h + 1), left: random.integer(0, width - w + 1), height: h, width: w };
  }
  const h = aspect[0] > 1 ? Math.max(1, Math.round(height / aspect[0])) : height;
  const w = aspect[1] < 1 ? Math.max(1, Math.round(width * aspect[1])) : width;
  return { top: Math.floor((height - h) / 2), left: Math.floor((width - w) / 2), height: h, width: w };
}

/**
 * Varies a frame in place: the crop, then the colours.
 *
 * @param pixels RGB bytes [height, width, 3].
 * @param crop Within the frame.
 */
export function cropAndJitter(
  pixels: Uint8Array,
  height: number,
  width: number,
  crop: Crop,
  adjustments: readonly ColourAdjustment[],
): void {
  pixels.set(resizedCrop(pixels, height, width, crop));
  jitterColours(pixels, adjustments);
}

/**
 * A crop of a frame, stretched to the frame's size.
 *
 * @param pixels RGB bytes [height, width, 3], left as they are.
 * @param crop Within the frame.
 * @returns [height, width, 3].
 */
export function resizedCrop(pixels: Uint8Array, height: number, width: number, crop: Crop): Uint8Array {
  const columns = resampling(crop.width, width), rows = resampling(crop.height, height), row = width * 3;
  const wide = new Float32Array(crop.height * row), high = new Float32Array(row), result = new Uint8Array(height * row);
  for (let y = 0; y < crop.height; y++) {
    stretchRow(columns, pixels, ((crop.top + y) * width + crop.left) * 3, wide, y * row);
  }
  for (let y = 0; y < height; y++) {
    meanOfRows(rows[y], wide, high);
    for (let i = 0; i < row; i++) result[y * row + i] = Math.trunc(fround(fround(high[i] / 255) * 255));
  }
  return result;
}

/** What a target pixel of a line is a mean of: the source pixels from `first` on, and their weights. */
interface Taps {
  first: number;
  weights: Float32Array;
}

/** The bilinear weights from a line of `from` pixels to one of `to`, every step in float32. */
function resampling(from: number, to: number): Taps[] {
  const scale = fround(from / to), reach = Math.max(scale, 1), inverse = fround(1 / reach);
  return Array.from({ length: to }, (_, i) => {
    const centre = fround(scale * (i + 0.5));
    const first = Math.max(0, Math.trunc(fround(fround(centre - reach) + 0.5)));
    const end = Math.min(from, Math.trunc(fround(fround(centre + reach) + 0.5)));
    const weights = new Float32Array(end - first);
    let sum = 0;
    for (let k = 0; k < weights.length; k++) {
      const distance = Math.abs(fround(fround(fround(k + first - centre) + 0.5) * inverse));
      weights[k] = Math.max(0, 1 - distance);
      sum = fround(sum + weights[k]);
    }
    return { first, weights: weights.map((each) => each / sum) };
  });
}

// The product of two float32 numbers is exact here, so that a sum is rounded once, as a fused multiply and add is.

/** A row of RGB bytes that begins at `from`, stretched. */
function stretchRow(
  columns: readonly Taps[],
  source: Uint8Array,
  from: number,
  target: Float32Array,
  at: number,
): void {
  for (const { first, weights } of columns) {
    for (let channel = 0; channel < 3; channel++) {
      let i = from + 3 * first + channel, sum = fround(source[i] * weights[0]);
      for (let k = 1; k < weights.length; k++) sum = fround(sum + source[i += 3] * weights[k]);
      target[at++] = sum;
    }
  }
}

/** The mean of some rows of `source`, each as long as `target`. */
function meanOfRows({ first, weights }: Taps, source: Float32Array, target: Float32Array): void {
  const { length } = target;
  for (let i = 0; i < length; i++) target[i] = source[first * length + i] * weights[0];
  for (let k = 1; k < weights.length; k++) {
    const weight = weights[k], start = (first + k) * length;
    for (let i = 0; i < length; i++) target[i] += source[start + i] * weight;
  }
}
