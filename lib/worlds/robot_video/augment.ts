/**
 * The colour variation of training clips, pixel for pixel what torchvision's `ColorJitter` does to 8-bit Pillow images.
 *
 * The released training varies brightness, contrast, saturation and hue of a clip in a random order, the same for all
 * of its frames. Each step works on 8-bit values and rounds (mostly truncates) as Pillow does, so that pixels stay
 * multiples of 1/255. Evaluation uses none of this. The released crop is the full frame and is not repeated here.
 *
 * Sources: torchvision `transforms/_functional_pil.py` (the four adjustments), Pillow `Blend.c` and `Convert.c` (the
 * arithmetic, down to which values are float32).
 */

import type { Philox } from "../../tensor/random.ts";

/** How far each property may vary: factors in [1 − x, 1 + x], the hue's shift in [−x, x] of a full turn. */
export interface ColourJitterLimits {
  /** 0 … 1. */
  brightness: number;
  /** 0 … 1. */
  contrast: number;
  /** 0 … 1. */
  saturation: number;
  /** 0 … 0.5. */
  hue: number;
}

/** The limits of RLVR-World's training. */
export const TRAINING_COLOUR_JITTER: ColourJitterLimits = {
  brightness: 0.1,
  contrast: 0.1,
  saturation: 0.1,
  hue: 0.05,
};

/** One of the four adjustments: a factor, or for the hue a shift in turns. */
export interface ColourAdjustment {
  /** What is adjusted. */
  kind: "brightness" | "contrast" | "saturation" | "hue";
  /** 1 leaves a factor's property as it is, 0 the hue. */
  amount: number;
}

/**
 * Draws the four adjustments in random order.
 *
 * @throws {RangeError} if a limit is outside [0, 1], or the hue's outside [0, 0.5].
 */
export function drawColourJitter(random: Philox, limits: ColourJitterLimits): ColourAdjustment[] {
  const kinds = ["brightness", "contrast", "saturation", "hue"] as const;
  const adjustments = kinds.map((kind): ColourAdjustment => {
    const limit = limits[kind];
    const most = kind === "hue" ? 0.5 : 1;
    if (!(limit >= 0 && limit <= most)) {
      throw new RangeError(`${kind} of the colour jitter must be in 0..${most}: received ${limit}`);
    }
    const deviation = (2 * random.uniform() - 1) * limit;
    return { kind, amount: kind === "hue" ? deviation : 1 + deviation };
  });
  for (let i = adjustments.length - 1; i > 0; i--) {
    const j = random.integer(0, i + 1);
    [adjustments[i], adjustments[j]] = [adjustments[j], adjustments[i]];
  }
  return adjustments;
}

/**
 * Applies adjustments, in their order, to one image in place.
 *
 * @param pixels RGB, [H, W, 3] or any number of pixels of ONE image: contrast refers to the mean of all of them.
 */
export function jitterColours(pixels: Uint8Array, adjustments: readonly ColourAdjustment[]): void {
  for (const { kind, amount } of adjustments) {
    if (kind === "brightness") blendWithConstant(pixels, 0, amount);
    else if (kind === "contrast") blendWithConstant(pixels, Math.floor(meanLuma(pixels) + 0.5), amount);
    else if (kind === "saturation") blendWithLuma(pixels, amount);
    else shiftHue(pixels, amount);
  }
}

/** Pillow's blend of one value: base + factor · (value − base) in float32, then clipped and truncated. */
function blend(base: number, value: number, factor: number): number {
  const mixed = Math.fround(base + Math.fround(factor * (value - base)));
  return mixed <= 0 ? 0 : mixed >= 255 ? 255 : Math.trunc(mixed);
}

function blendWithConstant(pixels: Uint8Array, base: number, amount: number): void {
  const factor = Math.fround(amount);
  const table = Uint8Array.from({ length: 256 }, (_, value) => blend(base, value, factor));
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[pixels[i]];
}

function blendWithLuma(pixels: Uint8Array, amount: number): void {
  const factor = Math.fround(amount);
  for (let i = 0; i < pixels.length; i += 3) {
    const base = luma(pixels[i], pixels[i + 1], pixels[i + 2]);
    for (let c = i; c < i + 3; c++) pixels[c] = blend(base, pixels[c], factor);
  }
}

/** ITU-R 601 luma in 16-bit fixed point, as Pillow converts RGB to L. */
function luma(red: number, green: number, blue: number): number {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function meanLuma(pixels: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) sum += luma(pixels[i], pixels[i + 1], pixels[i + 2]);
  return sum / (pixels.length / 3);
}

/** Shifts the hue by a share of a turn, through Pillow's 8-bit HSV; torchvision truncates the shift to whole 1/255. */
function shiftHue(pixels: Uint8Array, turns: number): void {
  const shift = Math.trunc(turns * 255);
  for (let i = 0; i < pixels.length; i += 3) {
    const red = pixels[i], green = pixels[i + 1], blue = pixels[i + 2];
    const largest = red > green ? (red > blue ? red : blue) : green > blue ? green : blue;
    const smallest = red < green ? (red < blue ? red : blue) : green < blue ? green : blue;
    if (largest === smallest) continue; // Grey has no hue.
    const span = largest - smallest;
    const saturation = Math.trunc(Math.fround(Math.fround(span / largest) * 255));
    if (saturation === 0) {
      pixels.fill(largest, i, i + 3);
      continue;
    }
    writeHsv(pixels, i, (hueOf(red, green, blue, largest, span) + shift) & 0xff, saturation, largest);
  }
}

function hueOf(red: number, green: number, blue: number, largest: number, span: number): number {
  const r = Math.fround((largest - red) / span);
  const g = Math.fround((largest - green) / span);
  const b = Math.fround((largest - blue) / span);
  let sixths: number;
  if (red === largest) sixths = Math.fround(b - g);
  else if (green === largest) sixths = Math.fround(2 + r - b);
  else sixths = Math.fround(4 + g - r);
  const turns = Math.fround((sixths / 6 + 1) % 1);
  return Math.trunc(turns * 255);
}

function writeHsv(pixels: Uint8Array, at: number, hue: number, saturation: number, value: number): void {
  const sector = Math.floor(hue * 6 / 255);
  const fraction = Math.fround(hue * 6 / 255 - sector);
  const strength = Math.fround(saturation / 255);
  const p = Math.round(value * (1 - strength));
  const q = Math.round(value * (1 - strength * fraction));
  const t = Math.round(value * (1 - strength * (1 - fraction)));
  // One sixth of the colour circle each; which of the three values each channel takes.
  const sixth = sector % 6;
  pixels[at] = sixth === 0 || sixth === 5 ? value : sixth === 1 ? q : sixth === 4 ? t : p;
  pixels[at + 1] = sixth === 1 || sixth === 2 ? value : sixth === 3 ? q : sixth === 0 ? t : p;
  pixels[at + 2] = sixth === 3 || sixth === 4 ? value : sixth === 5 ? q : sixth === 2 ? t : p;
}
