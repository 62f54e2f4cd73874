/**
 * One block of the causal transformer over a flat list of tokens, and the weights it needs.
 *
 * Everything but attention treats tokens one by one, so the block sees them as rows [N, D] whatever sequences they belong
 * to: a batch, prompts with their answers, or one new token a sample. What attends to what is the caller's function.
 *
 * Axis letters: N tokens, D hidden width, H query heads, K key and value heads, d head width, F inner width.
 */
import { rotate, type Rotation } from "../nn/rope.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { DType } from "../tensor/dtype.ts";
import { concat, type Tensor } from "../tensor/tensor.ts";
import type { TransformerConfig } from "./transformer_config.ts";

/** Weights of a block, those of products in the compute type. */
export interface BlockWeights {
  inputNorm: Tensor;
  /** Queries, keys and values in one: [(H + 2K) · d, D]. */
  qkv: Tensor;
  qkvBias?: Tensor;
  output: Tensor;
  outputBias?: Tensor;
  innerNorm: Tensor;
  gate: Tensor;
  up: Tensor;
  down: Tensor;
}

/** Mixes values over tokens: q [N, H, d], k and v [N, K, d] → [M, H · d]; M is N, or fewer rows if only those go on. */
export type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/**
 * The weights of block `index`. Tensors that need no cast or concatenation are the parameters themselves.
 *
 * @param computeType Of products; the residual stream and the norms keep the parameters' type.
 */
export function blockWeights(parameters: Parameters, index: number, computeType: DType): BlockWeights {
  const get = (name: string) => parameters.get(`model.layers.${index}.${name}`);
  const cast = (name: string) => as(get(name)!, computeType);
  const fused = (kind: string) => concat(["q", "k", "v"].map((role) => cast(`self_attn.${role}_proj.${kind}`)));
  return {
    inputNorm: get("input_layernorm.weight")!,
    qkv: fused("weight"),
    qkvBias: get("self_attn.q_proj.bias") && fused("bias"),
    output: cast("self_attn.o_proj.weight"),
    outputBias: get("self_attn.o_proj.bias") && cast("self_attn.o_proj.bias"),
    innerNorm: get("post_attention_layernorm.weight")!,
    gate: cast("mlp.gate_proj.weight"),
    up: cast("mlp.up_proj.weight"),
    down: cast("mlp.down_proj.weight"),
  };
}

/**
 * Runs a block.
 *
 * @param x Residual stream [N, D].
 * @param select Picks the rows of x [N, D] that belong to attend's result, where that has fewer.
 * @returns [M, D].
 */
export function runBlock(
  config: TransformerConfig,
  weights: BlockWeights,
  x: Tensor,
  rotation: Rotation,
  attend: Attend,
  select: (x: Tensor) => Tensor = (x) => x,
): Tensor {
  const { heads, keyValueHeads, headSize, normEpsilon } = config;
  const computeType = weights.qkv.dtype, count = x.shape[0], turned = heads + keyValueHeads;
  const qkv = as(x.rmsNorm(weights.inputNorm, normEpsilon), computeType).linear(weights.qkv, weights.qkvBias);
  const rotated = rotate(qkv.narrow(-1, 0, turned * headSize).reshape([count, turned, headSize]), rotation);
  const values = qkv.narrow(-1, turned * headSize, keyValueHeads * headSize).reshape([count, keyValueHeads, headSize]);
  const mixed = attend(rotated.narrow(1, 0, heads), rotated.narrow(1, heads, keyValueHeads), values);
  const residual = select(x).add(as(mixed.linear(weights.output, weights.outputBias), x.dtype));
  const inner = as(residual.rmsNorm(weights.innerNorm, normEpsilon), computeType);
  const network = inner.linear(weights.gate).silu().mul(inner.linear(weights.up)).linear(weights.down);
  return residual.add(as(network, x.dtype));
}

/** `x` itself where it has this type. */
export function as(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : x.cast(dtype);
}
