/**
 * Rotary frequencies, and the ways in which released models stretch them to read longer sequences than they were
 * pre-trained on: the types `linear`, `dynamic`, `llama3` and `yarn` of Hugging Face's transformers, by its formulas.
 *
 * Numbers are rounded to float32 where PyTorch rounds them, since a large position multiplies the error of its frequency.
 */

/** Positions divided by `factor` (position interpolation, Chen et al. 2023). */
export interface LinearRopeScaling {
  /** Name of this scaling in `config.json`. */
  type: "linear";
  /** How many times longer sequences become. */
  factor: number;
}

/**
 * A base that grows with the sequence once that exceeds the model's longest. Up to there, and further this project does
 * not go, it changes nothing: kept for the sake of the file.
 */
export interface DynamicRopeScaling {
  /** Name of this scaling in `config.json`. */
  type: "dynamic";
  /** How fast the base grows. */
  factor: number;
}

/** Llama 3.1's: low frequencies divided by `factor`, high ones kept, a ramp between. */
export interface Llama3RopeScaling {
  /** Name of this scaling in `config.json`. */
  type: "llama3";
  /** What low frequencies are divided by. */
  factor: number;
  /** Turns within the original length below which a frequency is low. */
  lowFrequencyFactor: number;
  /** Turns within the original length above which a frequency is high. */
  highFrequencyFactor: number;
  /** Tokens of the longest sequence of pre-training. */
  originalMaxPositions: number;
}

/** YaRN (Peng et al. 2023): a ramp over the dimensions, and a temperature of attention. */
export interface YarnRopeScaling {
  /** Name of this scaling in `config.json`. */
  type: "yarn";
  /** What low frequencies are divided by. */
  factor: number;
  /** Tokens of the longest sequence of pre-training. */
  originalMaxPositions: number;
  /** What cosines and sines are multiplied by; found from `factor` (and the `mscale`s) when left out. */
  attentionFactor?: number;
  /** Turns within the original length above which a frequency is kept. @default {32} */
  betaFast?: number;
  /** Turns within the original length below which a frequency is divided. @default {1} */
  betaSlow?: number;
  /** With `mscaleAllDim`: numerator of the attention factor. */
  mscale?: number;
  /** With `mscale`: denominator of the attention factor. */
  mscaleAllDim?: number;
  /** Whether the ramp begins and ends at whole dimensions. @default {true} */
  truncate?: boolean;
}

/**
 * How rotary frequencies are stretched; absent is not at all.
 *
 * @internal
 */
export type RopeScaling = LinearRopeScaling | DynamicRopeScaling | Llama3RopeScaling | YarnRopeScaling;

const f32 = Math.fround;

/**
 * Frequencies of a head's pairs, and the factor of cosines and sines.
 *
 * @param headSize D, even.
 * @param theta Base of the frequencies.
 * @returns frequencies [D/2], radians a position.
 */
export function ropeFrequencies(
  headSize: number,
  theta: number,
  scaling?: RopeScaling,
): { frequencies: Float32Array; attentionFactor: number } {
  const powers = Float32Array.from({ length: headSize / 2 }, (_, i) => theta ** f32(2 * i / headSize));
  const plain = powers.map((power) => 1 / power);
  switch (scaling?.type) {
    case undefined:
    case "dynamic":
      return { frequencies: plain, attentionFactor: 1 };
    case "linear":
      return { frequencies: plain.map((frequency) => frequency / scaling.factor), attentionFactor: 1 };
    case "llama3":
      return { frequencies: plain.map((frequency) => llama3(frequency, scaling)), attentionFactor: 1 };
    case "yarn":
      return { frequencies: yarn(powers, headSize, theta, scaling), attentionFactor: yarnAttentionFactor(scaling) };
  }
}

function llama3(frequency: number, scaling: Llama3RopeScaling): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: original } = scaling;
  const wavelength = f32(f32(2 * Math.PI) / frequency);
  if (wavelength < f32(original / high)) return frequency;
  if (wavelength > f32(original / low)) return frequency / factor;
  const smooth = f32(f32(f32(original / wavelength) - low) / (high - low));
  return f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency);
}

/** Frequencies whose number of turns lies between `betaSlow` and `betaFast` go from divided to kept along a ramp. */
function yarn(powers: Float32Array, headSize: number, theta: number, scaling: YarnRopeScaling): Float32Array {
  const { factor, originalMaxPositions, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  const dimensionOf = (turns: number) =>
    headSize * Math.log(originalMaxPositions / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const first = dimensionOf(betaFast), last = dimensionOf(betaSlow);
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, headSize - 1);
  const width = f32(low === high ? 0.001 : high - low);
  return powers.map((power, i) => {
    const kept = f32(1 - Math.min(Math.max(f32(f32(i - low) / width), 0), 1));
    const divided = f32(1 / f32(factor * power));
    return f32(divided * f32(1 - kept)) + f32(f32(1 / power) * kept);
  });
}

function yarnAttentionFactor({ factor, attentionFactor, mscale, mscaleAllDim }: YarnRopeScaling): number {
  const scale = (m: number) => factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
  return attentionFactor ?? (mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1));
}

/**
 * The longest sequence that scaled frequencies are made for: files give `max_position_embeddings` with or without the
 * stretch, so the larger of both is meant.
 */
export function stretchedLength(maxPositions: number, scaling?: RopeScaling): number {
  switch (scaling?.type) {
    case "linear":
      return Math.ceil(maxPositions * scaling.factor);
    case "yarn":
      return Math.max(maxPositions, Math.ceil(scaling.originalMaxPositions * scaling.factor));
    default:
      return maxPositions;
  }
}
