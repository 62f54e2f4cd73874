/**
 * What each token id means to the transformer. The two layouts are the paper's: single-step prediction, where every
 * frame is tokenized alike, and multi-step prediction, where one context frame has codes of its own.
 */

/**
 * Ids of single-step prediction: frame tokens, then action bins, then the two specials.
 *
 * @internal
 */
export interface SingleStepVocabulary {
  /** Ids 0 … frameTokens − 1: the codebook of the frame tokenizer. */
  readonly frameTokens: number;
  /** How many bins an action has; all its dimensions share them. */
  readonly actionBins: number;
  /** The id of bin 0. */
  readonly actionOffset: number;
  /** Begins the answer (last token of the question). */
  readonly bos: number;
  /** Ends the answer; also used for padding. */
  readonly eos: number;
  /** The number of ids. */
  readonly size: number;
}

/**
 * Ids of multi-step prediction: dynamics tokens, context tokens, action bins, and two specials that no sequence has.
 *
 * @internal
 */
export interface MultiStepVocabulary extends SingleStepVocabulary {
  /** The id of context code 0; there are as many context codes as `contextTokens`. */
  readonly contextOffset: number;
  /** The codebook of the context frame. */
  readonly contextTokens: number;
}

/**
 * The single-step layout; 4,633 ids for a codebook of 4,375 and 256 bins (paper table 8).
 *
 * @throws {RangeError} if a count is not a positive integer.
 */
export function singleStepVocabulary(frameTokens: number, actionBins = 256): SingleStepVocabulary {
  checkCount("frameTokens", frameTokens);
  checkCount("actionBins", actionBins);
  const actionOffset = frameTokens;
  const bos = actionOffset + actionBins;
  return { frameTokens, actionBins, actionOffset, bos, eos: bos + 1, size: bos + 2 };
}

/**
 * The multi-step layout; 9,008 ids for two codebooks of 4,375 and 256 bins (paper table 8).
 *
 * @throws {RangeError} if a count is not a positive integer.
 */
export function multiStepVocabulary(
  frameTokens: number,
  contextTokens = frameTokens,
  actionBins = 256,
): MultiStepVocabulary {
  checkCount("frameTokens", frameTokens);
  checkCount("contextTokens", contextTokens);
  checkCount("actionBins", actionBins);
  const actionOffset = frameTokens + contextTokens;
  const bos = actionOffset + actionBins;
  return {
    frameTokens,
    contextTokens,
    contextOffset: frameTokens,
    actionBins,
    actionOffset,
    bos,
    eos: bos + 1,
    size: bos + 2,
  };
}

function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name} must be an integer of at least 1: received ${value}`);
  }
}

/** Sampled tokens of one frame, each clamped into the codebook of frames. */
export function clampedFrame(vocabulary: { frameTokens: number }, tokens: ArrayLike<number>): Int32Array {
  return Int32Array.from(tokens, (token) => Math.min(Math.max(token, 0), vocabulary.frameTokens - 1));
}
