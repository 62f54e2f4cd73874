/**
 * What the frame predictors share: checks of what they are given, drawing the tokens of a frame, and pixels as bytes.
 */
import { STREAM } from "../../base/streams.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SharedCache } from "../../models/causal_transformer_cache.ts";
import {
  checkSamplingOptions,
  sampleTokens,
  type SamplingOptions,
  seenTokens,
  withSeenTokens,
} from "../../nn/sampling.ts";
import { Philox } from "../../tensor/random.ts";
import { tidy } from "../../tensor/scope.ts";
import { stack, type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Tokens } from "../world.ts";
import type { ActionBins } from "./actions.ts";
import type { PredictorOptions } from "./frame_predictor.ts";

/**
 * Checks what every predictor is made of.
 *
 * @param vocabularySize Ids that tokenizer and bins need.
 * @throws {RangeError} When an option is out of its range or the model has another vocabulary.
 */
export function checkPredictor({ model, sampling, maxRows }: PredictorOptions, vocabularySize: number): void {
  checkSamplingOptions(sampling);
  if (maxRows !== undefined && !(Number.isInteger(maxRows) && maxRows >= 1)) {
    throw new RangeError(`maxRows must be an integer of at least 1: received ${maxRows}`);
  }
  if (model.config.vocabularySize !== vocabularySize) {
    throw new RangeError(
      `the transformer has ${model.config.vocabularySize} ids, tokenizer and action bins make ${vocabularySize}: ` +
        `take those that it was trained with`,
    );
  }
}

/**
 * Checks the start frames of some rollouts.
 *
 * @throws {RangeError} When there is none, or one is of another size.
 */
export function checkStartFrames(frames: readonly Uint8Array[], height: number, width: number): void {
  if (frames.length === 0) throw new RangeError("reset: needs at least one start frame: received none");
  frames.forEach((frame, i) => {
    if (frame.length !== height * width * 3) {
      throw new RangeError(
        `start frame ${i} must have ${height} × ${width} × 3 = ${height * width * 3} bytes: received ${frame.length}`,
      );
    }
  });
}

/**
 * Checks an action that a model is to follow. Unlike in training, where actions outside the ranges are clipped into the
 * outermost bins, nothing is made to fit: a policy that asks for more than the data had would be judged by another action.
 *
 * @throws {RangeError} Naming rollout, dimension, number and range.
 */
export function checkAction(action: Float32Array, rollout: number, { width, ranges: { min, max, names } }: ActionBins) {
  if (action.length !== width) {
    throw new RangeError(`the action of rollout ${rollout} must have ${width} numbers: received ${action.length}`);
  }
  for (let d = 0; d < width; d++) {
    if (!(action[d] >= min[d] && action[d] <= max[d])) {
      throw new RangeError(
        `the action of rollout ${rollout}: ${names?.[d] ?? `dimension ${d}`} must be in ${min[d]}..${max[d]}: ` +
          `received ${action[d]}`,
      );
    }
  }
}

/** A frame to draw, for each row of a cache. */
export interface FrameDraw {
  /** [rows, D], that predict the frame's first token; owned from now on. */
  hidden: Tensor;
  /** N, tokens of a frame. */
  tokens: number;
  /** How tokens are drawn. */
  sampling: SamplingOptions;
  /** (seed, step): the leading part of the random streams' names. */
  stream: readonly [seed: number, step: number];
  /** The number of each row's rollout, which completes its stream's name. */
  rollouts: readonly number[];
  /** The tokens that each row has so far, in any order; looked at where there is a repetition penalty. */
  before: readonly ArrayLike<number>[];
}

/** Draws the tokens of one frame for every row: [rows][N]. All but the last are then in the cache. */
export async function drawFrame(model: CausalTransformer, cache: SharedCache, draw: FrameDraw): Promise<Tokens[]> {
  const { engine } = model, { sampling, rollouts } = draw;
  const streams = rollouts.map((rollout) =>
    new Philox(draw.stream[0], STREAM.predictedFrame, draw.stream[1], rollout, 0)
  );
  const uniforms = Array.from({ length: draw.tokens }, () => Float32Array.from(streams, (each) => each.uniform()));
  const drawn = tidy(() => {
    let hidden: Tensor | undefined = draw.hidden;
    let seen = (sampling.repetitionPenalty ?? 1) === 1
      ? undefined
      : seenTokens(engine, draw.before, model.config.vocabularySize);
    const tokens = uniforms.map((numbers, i) => {
      const next: { token: Tensor; seen?: Tensor; hidden?: Tensor } = tidy(() => {
        const token = sampleTokens(model.logits(hidden!, cache), tensor(engine, numbers), sampling, seen).tokens;
        if (i === uniforms.length - 1) return { token };
        return { token, seen: seen && withSeenTokens(seen, token), hidden: model.decode(cache, token) };
      });
      hidden?.dispose();
      seen?.dispose();
      ({ hidden, seen } = next);
      return next.token;
    });
    return stack(tokens, 1);
  });
  try {
    const numbers = await drawn.data() as Int32Array;
    return rollouts.map((_, row) => numbers.slice(row * draw.tokens, (row + 1) * draw.tokens));
  } finally {
    drawn.dispose();
  }
}

/** Pixels [rows, …] in [0, 1] as bytes, one array a row. Frees them. */
export async function toBytes(pixels: Tensor): Promise<Uint8Array[]> {
  const rows = pixels.shape[0], size = pixels.size / rows;
  try {
    const numbers = await pixels.data();
    return Array.from(
      { length: rows },
      (_, row) => Uint8Array.from(numbers.subarray(row * size, (row + 1) * size), (each) => Math.round(255 * each)),
    );
  } finally {
    pixels.dispose();
  }
}

/** Groups equal start frames: for each frame the number of the first that equals it, among the distinct ones in order. */
export function distinctFrames(frames: readonly Uint8Array[]): { distinct: Uint8Array[]; of: number[] } {
  const distinct: Uint8Array[] = [], numbers = new Map<string, number>();
  const text = new TextDecoder("latin1");
  const of = frames.map((frame) => {
    const key = text.decode(frame);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, distinct.length);
    return distinct.push(frame) - 1;
  });
  return { distinct, of };
}
