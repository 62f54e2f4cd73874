/**
 * How much of a codebook is in use, and which pixels a tokenizer should look at twice: plain arithmetic on the host that
 * tokenizer training reports and takes.
 */

/** Use of a codebook by some tokens. */
export interface CodeUsage {
  /** Number of different codes among the tokens. */
  used: number;
  /** exp of the entropy of the codes' frequencies: how many codes would give the same entropy if used evenly. */
  perplexity: number;
}

/**
 * Counts the codes in tokens.
 *
 * @param tokens Each 0 … codebookSize − 1.
 * @throws {RangeError} When a token lies outside.
 */
export function codeUsage(tokens: ArrayLike<number>, codebookSize: number): CodeUsage {
  const counts = new Uint32Array(codebookSize);
  for (let i = 0; i < tokens.length; i++) {
    if (!(tokens[i] >= 0 && tokens[i] < codebookSize)) {
      throw new RangeError(`a token must be from 0 to ${codebookSize - 1}: received ${tokens[i]}`);
    }
    counts[tokens[i]]++;
  }
  let used = 0, entropy = 0;
  for (const count of counts) {
    if (count === 0) continue;
    used++;
    entropy -= count / tokens.length * Math.log(count / tokens.length);
  }
  return { used, perplexity: tokens.length === 0 ? 0 : Math.exp(entropy) };
}

/**
 * Weights for pixels of frames: 1, and more where a frame differs from another of its episode (the one before it, or the
 * first), which is where things move. Backgrounds would otherwise be nearly all of the loss.
 *
 * @param frames uint8 [B, H, W, 3].
 * @param references What each is compared with, of the same shape.
 * @param options.weight What is added where a pixel changed.
 * @param options.threshold Largest difference of a channel, of 255, that is still no change. @default {12}
 * @returns [B, H, W].
 */
export function changeWeights(
  frames: Uint8Array,
  references: Uint8Array,
  { weight, threshold = 12 }: { weight: number; threshold?: number },
): Float32Array {
  if (frames.length !== references.length || frames.length % 3 !== 0) {
    throw new RangeError(
      `changeWeights: frames and references must be [B, H, W, 3] of one shape: received ${frames.length} and ` +
        `${references.length} bytes`,
    );
  }
  return Float32Array.from({ length: frames.length / 3 }, (_, pixel) => {
    let largest = 0;
    for (let i = 3 * pixel; i < 3 * pixel + 3; i++) largest = Math.max(largest, Math.abs(frames[i] - references[i]));
    return largest > threshold ? 1 + weight : 1;
  });
}
