/**
 * Who attends to whom: whole sequences, answers that share a prompt (differentiable), and new tokens over a cache.
 *
 * All take the block's flat heads q [N, H, d], k and v [N, K, d] and give back rows [M, H · d]. Grouped heads (K < H): key
 * head k serves the query heads k · H/K … (k + 1) · H/K − 1.
 *
 * Axis letters: P prompts, G answers a prompt, Tp and Ta tokens of prompt and answer, H query heads, K key heads, R = H/K,
 * d head width, n new tokens a sample.
 */
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";
import type { SharedCache } from "./causal_transformer_cache.ts";

/** Finite, so that a row of them alone would still have a softmax; far below any score. */
const MASKED = -1e9;

/**
 * Causal attention within each of B sequences of T tokens.
 *
 * @param onlyLast Only the last token of each sequence asks: the result has B rows.
 */
export function attendSequences(q: Tensor, k: Tensor, v: Tensor, batch: number, onlyLast = false): Tensor {
  const [count, heads, width] = q.shape;
  const length = count / batch;
  let queries = q.reshape([batch, length, heads, width]);
  if (onlyLast) queries = queries.narrow(1, length - 1, 1);
  const keys = headsFirst(k.reshape([batch, length, -1, width]), heads);
  const values = headsFirst(v.reshape([batch, length, -1, width]), heads);
  const mixed = queries.permute([0, 2, 1, 3]).attention(keys, values, { causal: true });
  return mixed.permute([0, 2, 1, 3]).reshape([-1, heads * width]);
}

/** Sizes of prompts with their answers; their tokens lie flat, all prompts first. */
export interface SharedSizes {
  /** P. */
  prompts: number;
  /** G. */
  group: number;
  /** Tp. */
  promptLength: number;
  /** Ta. */
  answerLength: number;
}

/**
 * Prompts attend to themselves, each answer to its prompt and causally to itself.
 *
 * Keys of the prompt are laid out once a sample here: the fused kernel then holds no scores, which for training are
 * larger than the copied keys by the ratio of tokens to head width.
 *
 * @param q, k, v Rows: P · Tp of the prompts, then P · G · Ta of the answers.
 * @param onlyLast Of the prompts only the last token asks: the result has P + P · G · Ta rows.
 */
export function attendShared(q: Tensor, k: Tensor, v: Tensor, sizes: SharedSizes, onlyLast = false): Tensor {
  const { prompts, group, promptLength, answerLength } = sizes;
  const heads = q.shape[1], width = q.shape[2];
  const promptRows = prompts * promptLength, answers = prompts * group;
  const ofPrompts = (x: Tensor) => x.narrow(0, 0, promptRows);
  const ofAnswers = (x: Tensor) => x.narrow(0, promptRows, answers * answerLength);
  const joined = (x: Tensor) => {
    const keyHeads = x.shape[1];
    const shared = ofPrompts(x).reshape([prompts, 1, promptLength, keyHeads, width])
      .broadcastTo([prompts, group, promptLength, keyHeads, width]);
    const own = ofAnswers(x).reshape([prompts, group, answerLength, keyHeads, width]);
    return headsFirst(
      concat([shared, own], 2).reshape([answers, promptLength + answerLength, keyHeads, width]),
      heads,
    );
  };
  const mixedPrompts = attendSequences(ofPrompts(q), ofPrompts(k), ofPrompts(v), prompts, onlyLast);
  const queries = ofAnswers(q).reshape([answers, answerLength, heads, width]).permute([0, 2, 1, 3]);
  const mixedAnswers = queries.attention(joined(k), joined(v), { causal: true })
    .permute([0, 2, 1, 3]).reshape([-1, heads * width]);
  return concat([mixedPrompts, mixedAnswers]);
}

/**
 * New tokens attend to their prompt's cached keys, to the tokens their sample has made before, and causally to themselves;
 * their own keys and values are appended to the cache of `layer`.
 *
 * The queries of all samples of a prompt are folded into one product with the prompt's keys, which are read once a prompt,
 * not once a sample. Both parts share one softmax.
 *
 * @param q, k, v P · G · n rows.
 */
export function attendCached(q: Tensor, k: Tensor, v: Tensor, cache: SharedCache, layer: number): Tensor {
  const { prompts, group, promptLength } = cache;
  const [count, heads, width] = q.shape, keyHeads = k.shape[1], repeats = heads / keyHeads;
  const added = count / (prompts * group), own = cache.length + added;
  const samples = prompts * keyHeads * group, rows = added * repeats;
  // [P, G, n, K, …] as [P, K, G, n, …]: the order in which both products are batched.
  const append = (target: Tensor, x: Tensor) =>
    target.assignSlice(x.reshape([prompts, group, added, keyHeads, width]).permute([0, 3, 1, 2, 4]), 3, cache.length);
  const { promptKeys, promptValues, ownKeys, ownValues } = cache.layers[layer];
  append(ownKeys, k);
  append(ownValues, v);
  const ofOwn = (x: Tensor) => x.narrow(3, 0, own).reshape([samples, own, width]);

  const queries = q.reshape([prompts, group, added, keyHeads, repeats, width]).permute([0, 3, 1, 2, 4, 5])
    .reshape([prompts * keyHeads, group * rows, width]).mul(1 / Math.sqrt(width));
  let sharedScores = queries.matmul(promptKeys, { transposeB: true });
  if (cache.promptMask) {
    sharedScores = sharedScores.reshape([prompts, keyHeads * group * rows, promptLength]).add(cache.promptMask);
  }
  sharedScores = sharedScores.reshape([samples, rows, promptLength]);
  let ownScores = queries.reshape([samples, rows, width]).matmul(ofOwn(ownKeys), { transposeB: true });
  if (added > 1) ownScores = ownScores.add(causalMask(ownScores, added, repeats));
  const weights = concat([sharedScores, ownScores], -1).softmax();
  const mixedShared = weights.narrow(-1, 0, promptLength)
    .reshape([prompts * keyHeads, group * rows, promptLength]).matmul(promptValues);
  const mixedOwn = weights.narrow(-1, promptLength, own).matmul(ofOwn(ownValues));
  return mixedShared.reshape([samples, rows, width]).add(mixedOwn)
    .reshape([prompts, keyHeads, group, added, repeats, width]).permute([0, 2, 3, 1, 4, 5])
    .reshape([count, heads * width]);
}

/** [B, T, K, d] → [B, H, T, d], each key head repeated H/K times. */
export function headsFirst(x: Tensor, heads: number): Tensor {
  const [batch, length, keyHeads, width] = x.shape, repeats = heads / keyHeads;
  const first = x.permute([0, 2, 1, 3]);
  if (repeats === 1) return first;
  return first.reshape([batch, keyHeads, 1, length, width])
    .broadcastTo([batch, keyHeads, repeats, length, width]).reshape([batch, heads, length, width]);
}

/** Added to scores [.., n · R, t] of the n newest tokens: 0 where query i may see key j ≤ t − n + i. */
function causalMask(scores: Tensor, added: number, repeats: number): Tensor {
  const keys = scores.shape[scores.rank - 1], rows = added * repeats;
  const mask = new Float32Array(rows * keys);
  for (let row = 0; row < rows; row++) {
    const visible = keys - added + Math.floor(row / repeats) + 1;
    mask.fill(MASKED, row * keys + visible, (row + 1) * keys);
  }
  const values = tensor(scores.engine, mask, [rows, keys]);
  return values.dtype === scores.dtype ? values : values.cast(scores.dtype);
}

/** The last row of each of the first `count` runs of `length` rows: [≥ count · length, D] → [count, D]. */
export function lastOf(x: Tensor, count: number, length: number): Tensor {
  const width = x.shape[1];
  return x.narrow(0, 0, count * length).reshape([count, length, width]).narrow(1, length - 1, 1)
    .reshape([count, width]);
}
