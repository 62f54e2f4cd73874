/**
 * The multi-step sequence: a clip as a question and an answer in which frames and actions take turns (paper eq. 8).
 *
 *     question  c z_0 b_0                          the context frame, the start frame, the action taken at it
 *     answer    z_1 b_1 z_2 b_2 … z_{T−1} b_{T−1}  the frames that follow, which are sampled, and their actions, which are given
 *
 * c are the Nc tokens of the context frame, with ids of their own, z_t the N tokens of frame t, b_t the A action tokens at
 * frame t. There is neither BOS nor EOS. The last action is a placeholder, as released: nothing is predicted from it.
 * Tokens come from a compressive tokenizer and from `ActionBins`; this file only lays them out.
 */
import type { AnswerPlan } from "../world.ts";
import { checkLength, checkSize, checkTokens } from "./single_step_sequences.ts";
import { clampedFrame, type MultiStepVocabulary } from "./vocabulary.ts";

/**
 * The sizes that decide a multi-step sequence's length.
 *
 * @internal
 */
export interface MultiStepSizes {
  /** Nc, tokens of the context frame. */
  contextTokens: number;
  /** N, tokens of every other frame. */
  tokensPerFrame: number;
  /** T, frames of a clip: the start frame and those that are predicted. */
  frames: number;
  /** A, action tokens a frame. */
  actionWidth: number;
}

/**
 * The lengths of a multi-step sequence; 1373, 651, 2024 and 560 tokens for RT-1 (1280 of the context, 80 a frame, 8 frames,
 * 13 actions).
 *
 * @throws {RangeError} if a size is not an integer in its range.
 */
export function multiStepLengths(
  { contextTokens, tokensPerFrame, frames, actionWidth }: MultiStepSizes,
): {
  /** Nc + N + A. */
  question: number;
  /** (T − 1) · (N + A). */
  answer: number;
  /** Both together. */
  total: number;
  /** (T − 1) · N: the tokens of the answer that are sampled and trained. */
  sampled: number;
} {
  checkSize("contextTokens", contextTokens, 1);
  checkSize("tokensPerFrame", tokensPerFrame, 1);
  checkSize("frames", frames, 2);
  checkSize("actionWidth", actionWidth, 0);
  const question = contextTokens + tokensPerFrame + actionWidth;
  const answer = (frames - 1) * (tokensPerFrame + actionWidth);
  return { question, answer, total: question + answer, sampled: (frames - 1) * tokensPerFrame };
}

/**
 * The context frame's tokens under the ids that they have in sequences.
 *
 * @param tokens [Nc], as the tokenizer gives them.
 * @throws {RangeError} if there is none, or one is outside the context codebook.
 */
export function contextIds(vocabulary: MultiStepVocabulary, tokens: Int32Array): Int32Array {
  if (tokens.length === 0) throw new RangeError("a context needs at least one token: received none");
  checkTokens("context token", tokens, vocabulary.contextTokens);
  return tokens.map((token) => vocabulary.contextOffset + token);
}

/**
 * An action's bins under the ids that they have in sequences.
 *
 * @param bins [A], before the vocabulary's offset.
 * @throws {RangeError} if one is no bin.
 */
export function actionIds(vocabulary: MultiStepVocabulary, bins: Int32Array): Int32Array {
  checkTokens("action bin", bins, vocabulary.actionBins);
  return bins.map((bin) => vocabulary.actionOffset + bin);
}

/**
 * The question of a clip.
 *
 * @param contextTokens [Nc], as the tokenizer gives them.
 * @param startTokens [N], the tokens of frame 0.
 * @param actionBins [A], the bins of the action taken at frame 0.
 * @throws {RangeError} if there are no tokens, or one is outside the vocabulary.
 */
export function multiStepQuestion(
  vocabulary: MultiStepVocabulary,
  contextTokens: Int32Array,
  startTokens: Int32Array,
  actionBins: Int32Array,
): Int32Array {
  checkFrame(vocabulary, startTokens);
  return Int32Array.of(
    ...contextIds(vocabulary, contextTokens),
    ...startTokens,
    ...actionIds(vocabulary, actionBins),
  );
}

/**
 * The true answer of a clip: frames are sampled, actions given.
 *
 * @param frameTokens the tokens of frames 1 … T − 1, [T − 1][N].
 * @param actionBins the bins of the actions taken at them, [T − 1][A].
 * @param partsPerFrame parts that a frame's tokens fall into: 1, or one each.
 * @throws {RangeError} if the counts do not fit or a token is outside the vocabulary.
 */
export function multiStepAnswer(
  vocabulary: MultiStepVocabulary,
  frameTokens: readonly Int32Array[],
  actionBins: readonly Int32Array[],
  partsPerFrame = 1,
): AnswerPlan {
  if (frameTokens.length === 0 || frameTokens.length !== actionBins.length) {
    throw new RangeError(
      `an answer needs one action a frame: received ${frameTokens.length} frames and ${actionBins.length} actions`,
    );
  }
  const perFrame = frameTokens[0].length, width = actionBins[0].length;
  const tokens = new Int32Array(frameTokens.length * (perFrame + width));
  const sampled = new Uint8Array(tokens.length), parts = new Uint16Array(tokens.length);
  frameTokens.forEach((frame, t) => {
    const at = t * (perFrame + width);
    checkLength("frame", t, frame.length, perFrame);
    checkLength("action", t, actionBins[t].length, width);
    checkFrame(vocabulary, frame);
    tokens.set(frame, at);
    tokens.set(actionIds(vocabulary, actionBins[t]), at + perFrame);
    sampled.fill(1, at, at + perFrame);
    for (let i = 0; i < perFrame + width; i++) parts[at + i] = t * partsPerFrame + Math.min(i, partsPerFrame - 1);
  });
  return { tokens, sampled, parts };
}

/**
 * The frames of a sampled answer as the model said them: their tokens may be any ids. What is missing of a too short answer is
 * token 0. By these the released evaluation tells whether an answer repeats; two frames of different ids may look the same.
 *
 * @param answer sampled and given tokens, usually (T − 1) · (N + A).
 * @returns [T − 1][N].
 */
export function sampledFramesOfMultiStepAnswer(
  answer: ArrayLike<number>,
  { tokensPerFrame, frames, actionWidth }: Omit<MultiStepSizes, "contextTokens">,
): Int32Array[] {
  return Array.from({ length: frames - 1 }, (_, t) => {
    const at = t * (tokensPerFrame + actionWidth);
    return Int32Array.from({ length: tokensPerFrame }, (_, i) => answer[at + i] ?? 0);
  });
}

/**
 * The frames that a sampled answer describes, each token clamped into the codebook, since nothing keeps a model from
 * sampling an action or a context token there. What is missing of a too short answer is token 0. Never throws on what a model
 * may say.
 *
 * @param answer sampled and given tokens, usually (T − 1) · (N + A).
 * @returns [T − 1][N].
 */
export function frameTokensOfMultiStepAnswer(
  vocabulary: MultiStepVocabulary,
  answer: ArrayLike<number>,
  sizes: Omit<MultiStepSizes, "contextTokens">,
): Int32Array[] {
  return sampledFramesOfMultiStepAnswer(answer, sizes).map((frame) => clampedFrame(vocabulary, frame));
}

function checkFrame(vocabulary: MultiStepVocabulary, tokens: Int32Array): void {
  if (tokens.length === 0) throw new RangeError("a frame needs at least one token: received none");
  checkTokens("frame token", tokens, vocabulary.frameTokens);
}
