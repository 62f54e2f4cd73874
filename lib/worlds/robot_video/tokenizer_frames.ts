/**
 * Which frames of an episode a compressive tokenizer is trained on: a context frame and some later ones.
 *
 * The released script takes a contiguous clip; the paper takes random later frames of a longer one, so that frames far from
 * their context are seen as well. Numbers only: no pixels here.
 *
 * Source: RLVR-World (Wu et al. 2025), appendix A.4.1.
 */
import type { Philox } from "../../tensor/random.ts";

/** `contiguous` is the released script's way, `random` the paper's. */
export type TokenizerFrameChoice = "contiguous" | "random";

/** Indices within an episode. */
export interface TokenizerFrames {
  /** Of the context frame. */
  context: number;
  /** Of the others, all at or after the context, in order of time. */
  frames: number[];
}

/** From what is chosen. */
export interface TokenizerFrameOptions {
  /** Frames of the episode. */
  length: number;
  /** How many frames beside the context: 7 in the released recipe. */
  frames: number;
  /** Frames that a random choice spans, the context included: 32 in the paper. Not used by a contiguous one. */
  horizon: number;
}

/**
 * Draws a context frame and later ones.
 *
 * Contiguous: the frames right after the context. Random: different frames of the `horizon` that begins with the context,
 * each as likely. Where an episode has too few, its last frame is repeated.
 *
 * @throws {RangeError} When there is nothing to choose from.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { Philox } from "../../tensor/random.ts";
 * const all = { length: 8, frames: 7, horizon: 8 };
 * assert.deepEqual(chooseTokenizerFrames("contiguous", all, new Philox(0)), { context: 0, frames: [1, 2, 3, 4, 5, 6, 7] });
 * assert.deepEqual(chooseTokenizerFrames("random", all, new Philox(0)), { context: 0, frames: [1, 2, 3, 4, 5, 6, 7] });
 * ```
 */
export function chooseTokenizerFrames(
  choice: TokenizerFrameChoice,
  { length, frames, horizon }: TokenizerFrameOptions,
  random: Philox,
): TokenizerFrames {
  for (const [name, value, least] of [["length", length, 1], ["frames", frames, 1], ["horizon", horizon, 2]] as const) {
    if (!Number.isInteger(value) || value < least) {
      throw new RangeError(`tokenizer frames: ${name} must be an integer of at least ${least}: received ${value}`);
    }
  }
  if (choice === "random" && frames >= horizon) {
    throw new RangeError(
      `tokenizer frames: horizon must exceed the ${frames} frames beside the context: received ${horizon}`,
    );
  }
  const span = Math.min(choice === "contiguous" ? frames + 1 : horizon, length);
  const context = random.integer(0, length - span + 1);
  const offsets = choice === "contiguous"
    ? Array.from({ length: span - 1 }, (_, i) => i + 1)
    : Array.from(random.permutation(span - 1).slice(0, frames), (i) => i + 1).sort((a, b) => a - b);
  return {
    context,
    frames: Array.from({ length: frames }, (_, i) => i < offsets.length ? context + offsets[i] : length - 1),
  };
}
