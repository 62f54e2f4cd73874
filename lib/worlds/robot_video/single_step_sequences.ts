/**
 * The single-step sequence: a transition as a question and an answer (paper eq. 7).
 *
 *     question  z_0 b_0 z_1 b_1 … z_{K−1} b_{K−1} BOS        K history frames, each with the action taken at it
 *     answer    z_K EOS                                      the target frame
 *
 * z_i are the P tokens of frame i, b_i the A action tokens at frame i. The target frame's own action is not used.
 * Tokens come from a frame tokenizer and from `ActionBins`; this file only lays them out. Multi-step sequences
 * interleave given and sampled tokens: `multi_step_sequences.ts`.
 */

import type { SingleStepVocabulary } from "./vocabulary.ts";

/**
 * The lengths of a single-step sequence; 1333, 321 and 1654 tokens for RT-1 (320 tokens a frame, 4 frames, 13 actions).
 *
 * @throws {RangeError} if a size is not an integer in its range.
 */
export function singleStepLengths({ tokensPerFrame, history, actionWidth }: {
  /** P, tokens a frame. */
  tokensPerFrame: number;
  /** K, history frames. */
  history: number;
  /** A, action tokens a frame. */
  actionWidth: number;
}): {
  /** K · (P + A) + 1; the BOS is the last of them. */
  question: number;
  /** P + 1; the EOS is the last of them. */
  answer: number;
  /** Both together. */
  total: number;
} {
  checkSize("tokensPerFrame", tokensPerFrame, 1);
  checkSize("history", history, 1);
  checkSize("actionWidth", actionWidth, 0);
  const question = history * (tokensPerFrame + actionWidth) + 1;
  const answer = tokensPerFrame + 1;
  return { question, answer, total: question + answer };
}

/**
 * The question of a transition.
 *
 * @param frameTokens the tokens of each history frame, [K][P], as the tokenizer gives them.
 * @param actionBins the bins of the action taken at each history frame, [K][A], before the vocabulary's offset.
 * @throws {RangeError} if the counts do not fit or a token is outside the vocabulary.
 */
export function singleStepQuestion(
  vocabulary: SingleStepVocabulary,
  frameTokens: readonly Int32Array[],
  actionBins: readonly Int32Array[],
): Int32Array {
  if (frameTokens.length === 0 || frameTokens.length !== actionBins.length) {
    throw new RangeError(
      `a question needs one action a history frame: received ${frameTokens.length} frames and ${actionBins.length} actions`,
    );
  }
  const sizes = {
    tokensPerFrame: frameTokens[0].length,
    history: frameTokens.length,
    actionWidth: actionBins[0].length,
  };
  const question = new Int32Array(singleStepLengths(sizes).question);
  let position = 0;
  for (let frame = 0; frame < frameTokens.length; frame++) {
    checkLength("frame", frame, frameTokens[frame].length, sizes.tokensPerFrame);
    checkLength("action", frame, actionBins[frame].length, sizes.actionWidth);
    checkTokens("frame token", frameTokens[frame], vocabulary.frameTokens);
    checkTokens("action bin", actionBins[frame], vocabulary.actionBins);
    question.set(frameTokens[frame], position);
    position += sizes.tokensPerFrame;
    for (const bin of actionBins[frame]) question[position++] = vocabulary.actionOffset + bin;
  }
  question[position] = vocabulary.bos;
  return question;
}

/**
 * The true answer of a transition: the target frame's tokens and EOS.
 *
 * @param frameTokens [P].
 * @throws {RangeError} if there is none, or one is outside the vocabulary.
 */
export function singleStepAnswer(vocabulary: SingleStepVocabulary, frameTokens: Int32Array): Int32Array {
  if (frameTokens.length === 0) throw new RangeError("an answer needs at least one frame token: received none");
  checkTokens("frame token", frameTokens, vocabulary.frameTokens);
  const answer = new Int32Array(frameTokens.length + 1);
  answer.set(frameTokens);
  answer[frameTokens.length] = vocabulary.eos;
  return answer;
}

/**
 * The frame that a sampled answer describes: its first P tokens, each clamped into the codebook, since nothing keeps a
 * model from sampling an action or a special there. An answer that is too short is filled up with token 0. Never throws
 * on what a model may say.
 *
 * @param answer sampled tokens, usually P + 1 with the EOS slot.
 * @returns [P].
 */
export function frameTokensOfAnswer(
  vocabulary: SingleStepVocabulary,
  answer: ArrayLike<number>,
  tokensPerFrame: number,
): Int32Array {
  const tokens = new Int32Array(tokensPerFrame);
  for (let i = 0; i < Math.min(tokensPerFrame, answer.length); i++) {
    tokens[i] = Math.min(Math.max(answer[i], 0), vocabulary.frameTokens - 1);
  }
  return tokens;
}

/** Checks a size: an integer of at least `least`. */
export function checkSize(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new RangeError(`${name} must be an integer of at least ${least}: received ${value}`);
  }
}

/** Checks that the part number `index` has as many tokens as part 0. */
export function checkLength(what: string, index: number, length: number, expected: number): void {
  if (length !== expected) {
    throw new RangeError(`${what} ${index} must have ${expected} tokens, as ${what} 0 has: received ${length}`);
  }
}

/** Checks that tokens are in 0 … count − 1. */
export function checkTokens(what: string, tokens: Int32Array, count: number): void {
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i] < 0 || tokens[i] >= count) {
      throw new RangeError(`${what} ${i} must be in 0..${count - 1}: received ${tokens[i]}`);
    }
  }
}
