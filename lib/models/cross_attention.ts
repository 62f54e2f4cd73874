/**
 * Attention from the positions of some frames to those of their context frame: how a compressive tokenizer's conditional
 * pair sees what the context pair saw.
 *
 * Keys and values are made from a context's feature map once and serve all frames of a clip: their queries stand one after
 * the other in one call, nothing is repeated. Positions are learned tables, one for queries and one for keys.
 *
 * Axis letters: B clips, T frames of a clip, H × W positions, C channels, A heads, D = C / A.
 *
 * Source: iVideoGPT (Wu et al. 2024), §3.1; parameter names are those of `torch.nn.MultiheadAttention` within the released
 * block.
 */
import type { Philox } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import {
  groupNormalization,
  normalizationShapes,
  type NormSettings,
  type ShapeList,
  type WeightLookup,
} from "./vision_blocks.ts";

/** PyTorch's default, unlike the other normalizations of the network. */
const EPSILON = 1e-5;

/** What all blocks of a model share. */
export interface CrossAttentionSettings {
  /** A; divides C. */
  heads: number;
  /** How activations are normalized. */
  norm: NormSettings;
  /** Only where the blocks are trained with dropout. */
  dropout?: Dropout;
}

/**
 * Zeroes a share of numbers and enlarges the others to the same mean (Srivastava et al. 2014).
 *
 * @internal
 */
export interface Dropout {
  /** Share that becomes 0, below 1. */
  rate: number;
  /** Says which. */
  random: Philox;
}

/** A context frame as attention sees it. */
export interface ContextKeys {
  /** [B, A, H·W, D]. */
  keys: Tensor;
  /** [B, A, H·W, D]. */
  values: Tensor;
}

/**
 * Keys and values of a context's feature map.
 *
 * @param map [B, H, W, C].
 */
export function contextKeys(
  map: Tensor,
  weights: WeightLookup,
  name: string,
  { heads, norm }: CrossAttentionSettings,
): ContextKeys {
  const [batch, height, width, channels] = map.shape;
  const seen = groupNormalization(map, weights, `${name}.kv_norm`, norm, EPSILON)
    .reshape([batch, height * width, channels]).add(weights(`${name}.kv_pos_emb`));
  const part = (index: number) => intoHeads(project(seen, weights, name, index), heads);
  return { keys: part(1), values: part(2) };
}

/**
 * silu(x + attention of x to the context).
 *
 * @param x [B · T, H, W, C], the frames of a clip one after the other.
 */
export function crossAttention(
  x: Tensor,
  { keys, values }: ContextKeys,
  weights: WeightLookup,
  name: string,
  { heads, norm, dropout }: CrossAttentionSettings,
): Tensor {
  const [frames, height, width, channels] = x.shape, [batch] = keys.shape;
  const positioned = groupNormalization(x, weights, `${name}.q_norm`, norm, EPSILON)
    .reshape([frames, height * width, channels]).add(weights(`${name}.q_pos_emb`))
    .reshape([batch, -1, channels]);
  const queries = intoHeads(project(positioned, weights, name, 0), heads);
  const attended = dropout === undefined
    ? queries.attention(keys, values)
    : dropped(scoresOf(queries, keys).softmax(), dropout).matmul(values);
  const merged = attended.permute([0, 2, 1, 3]).reshape(positioned.shape);
  const result = merged.linear(weights(`${name}.att.out_proj.weight`), weights(`${name}.att.out_proj.bias`));
  return x.add((dropout === undefined ? result : dropped(result, dropout)).reshape(x.shape)).silu();
}

/** Parameters of a block whose maps have so many positions and channels. */
export function crossAttentionShapes(name: string, positions: number, channels: number): ShapeList {
  return [
    [`${name}.kv_pos_emb`, [positions, channels]],
    [`${name}.q_pos_emb`, [positions, channels]],
    [`${name}.att.in_proj_weight`, [3 * channels, channels]],
    [`${name}.att.in_proj_bias`, [3 * channels]],
    [`${name}.att.out_proj.weight`, [channels, channels]],
    [`${name}.att.out_proj.bias`, [channels]],
    ...normalizationShapes(`${name}.kv_norm`, channels),
    ...normalizationShapes(`${name}.q_norm`, channels),
  ];
}

/** Part 0 of the packed projection gives queries, 1 keys, 2 values. */
function project(x: Tensor, weights: WeightLookup, name: string, part: number): Tensor {
  const channels = x.shape[x.rank - 1];
  return x.linear(
    weights(`${name}.att.in_proj_weight`).narrow(0, part * channels, channels),
    weights(`${name}.att.in_proj_bias`).narrow(0, part * channels, channels),
  );
}

/** [B, N, C] → [B, A, N, D]. */
function intoHeads(x: Tensor, heads: number): Tensor {
  const [batch, positions, channels] = x.shape;
  return x.reshape([batch, positions, heads, channels / heads]).permute([0, 2, 1, 3]);
}

function scoresOf(queries: Tensor, keys: Tensor): Tensor {
  return queries.matmul(keys, { transposeB: true }).mul(1 / Math.sqrt(queries.shape[3]));
}

function dropped(x: Tensor, { rate, random }: Dropout): Tensor {
  const mask = Float32Array.from({ length: x.size }, () => random.uniform() < rate ? 0 : 1 / (1 - rate));
  return x.mul(tensor(x.engine, mask, x.shape).cast(x.dtype));
}
