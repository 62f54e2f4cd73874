/**
 * The random crop of tokenizer training: a part of the frame, stretched to the whole.
 *
 * Drawn as torchvision's `RandomResizedCrop` draws and resized as it resizes 8-bit Pillow images (bilinear, averaging where it
 * shrinks), pixel for pixel. The released tokenizers were trained with areas of 0.8 to 1 and aspects of 1.0 to 1.4 on frames of
 * aspect 1.25; here the aspect is counted from the frame's own, so that frames of any shape are cropped alike.
 *
 * Sources: RLVR-World, tokenizer training scripts; torchvision `RandomResizedCrop.get_params`; Pillow `Resample.c`.
 */
import type { Philox } from "../../tensor/random.ts";

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
/** Pillow's weights are whole numbers of 2⁻²². */
const PRECISION_BITS = 22;

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
 * A crop of a frame, stretched to the frame's size.
 *
 * @param pixels RGB bytes [height, width, 3], left as they are.
 * @param crop Within the frame.
 * @returns [height, width, 3].
 */
export function resizedCrop(pixels: Uint8Array, height: number, width: number, crop: Crop): Uint8Array {
  const columns = resampling(crop.width, width), rows = resampling(crop.height, height);
  const wide = new Uint8Array(crop.height * width * 3);
  for (let y = 0; y < crop.height; y++) {
    const from = ((crop.top + y) * width + crop.left) * 3;
    blend(columns, (x) => from + 3 * x, 3, pixels, wide, y * width * 3, 3);
  }
  const result = new Uint8Array(height * width * 3);
  for (let x = 0; x < width; x++) {
    blend(rows, (y) => (y * width + x) * 3, width * 3, wide, result, x * 3, width * 3);
  }
  return result;
}

/** Of each target pixel of a line: the source pixels it is a mean of, and their weights. */
interface Resampling {
  first: Int32Array;
  weights: Int32Array[];
}

/** Pillow's bilinear weights from a line of `from` pixels to one of `to`. */
function resampling(from: number, to: number): Resampling {
  const scale = from / to, reach = Math.max(scale, 1);
  const first = new Int32Array(to), weights: Int32Array[] = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const own = Array.from(
      { length: end - start },
      (_, k) => Math.max(0, 1 - Math.abs((k + start - centre + 0.5) / reach)),
    );
    const sum = own.reduce((total, each) => total + each, 0);
    first[i] = start;
    weights.push(Int32Array.from(own, (each) => Math.trunc(0.5 + each / sum * 2 ** PRECISION_BITS)));
  }
  return { first, weights };
}

/** One line of pixels of three channels: `at` says where a source pixel begins, `between` is from one to the next. */
function blend(
  { first, weights }: Resampling,
  at: (pixel: number) => number,
  between: number,
  source: Uint8Array,
  target: Uint8Array,
  targetStart: number,
  targetBetween: number,
): void {
  for (let i = 0; i < first.length; i++) {
    const own = weights[i], start = at(first[i]);
    for (let channel = 0; channel < 3; channel++) {
      let sum = 1 << (PRECISION_BITS - 1);
      for (let k = 0; k < own.length; k++) sum += source[start + k * between + channel] * own[k];
      target[targetStart + i * targetBetween + channel] = sum >> PRECISION_BITS;
    }
  }
}
