/**
 * One block of the causal transformer over a flat list of tokens, and the weights it needs.
 *
 * Everything but attention treats tokens one by one, so the block sees them as rows [N, D] whatever sequences they belong
 * to: a batch, prompts with their answers, or one new token a sample. What attends to what is the caller's function.
 *
 * Axis letters: N tokens, D hidden width, H query heads, K key and value heads, d head width, F inner width.
 */
import type { LoraAdapters, LowRank } from "../nn/lora.ts";
import { rotate, type Rotation } from "../nn/rope.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { DType } from "../tensor/dtype.ts";
import { keep } from "../tensor/scope.ts";
import { concat, type Tensor, zeros } from "../tensor/tensor.ts";
import type { TransformerConfig } from "./transformer_config.ts";

/** A linear layer. */
export interface Projection {
  /** [out, in], or [in, out] where `turned`. */
  weight: Tensor;
  /** [out]. */
  bias?: Tensor;
  /** Whether the weight, and those of the adapter, are stored [in, out]. */
  turned: boolean;
  /** What LoRA adds. */
  adapter?: LowRank;
}

/** Weights of a block, those of products in the compute type. */
export interface BlockWeights {
  /** Before attention: [D]. */
  inputNorm: Tensor;
  /** Queries, keys and values in one: out is (H + 2K) · d. */
  qkv: Projection;
  /** From the heads back to D. */
  output: Projection;
  /** Before the SwiGLU network: [D]. */
  innerNorm: Tensor;
  /** Gate and up, or both in one. */
  gateUp: [Projection, Projection] | [Projection];
  /** From F back to D. */
  down: Projection;
}

/** Mixes values over tokens: q [N, H, d], k and v [N, K, d] → [M, H · d]; M is N, or fewer rows if only those go on. */
export type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/**
 * The weights of block `index`, to be differentiated through or used once. Those that need no cast or concatenation are
 * the parameters themselves.
 *
 * @param computeType Of products; the residual stream and the norms keep the parameters' type.
 * @param adapters Their low-rank parts go beside the weights.
 */
export function blockWeights(
  parameters: Parameters,
  index: number,
  computeType: DType,
  adapters?: LoraAdapters,
): BlockWeights {
  const { get, cast, qkv, beside } = readers(parameters, index, computeType, adapters);
  const projection = (name: string): Projection => ({
    weight: cast(`${name}.weight`)!,
    bias: cast(`${name}.bias`),
    turned: false,
    adapter: beside(name),
  });
  const biases = qkv("bias");
  return {
    inputNorm: get("input_layernorm.weight"),
    qkv: {
      weight: concat(qkv("weight")),
      bias: biases.length > 0 ? concat(biases) : undefined,
      turned: false,
      adapter: beside(...QKV),
    },
    output: projection("self_attn.o_proj"),
    innerNorm: get("post_attention_layernorm.weight"),
    gateUp: [projection("mlp.gate_proj"), projection("mlp.up_proj")],
    down: projection("mlp.down_proj"),
  };
}

/**
 * The weights of block `index` as decoding reads them many times: fused and turned to [in, out], which on CPUs is up to
 * a third faster for the few rows of a decoding step. All kept, and copies of the parameters.
 *
 * @param adapters Added into the copies; in bfloat16, which would round most of them away, they go beside the weights.
 */
export function decodingWeights(
  parameters: Parameters,
  index: number,
  computeType: DType,
  adapters?: LoraAdapters,
): BlockWeights {
  const isMerged = computeType !== "bfloat16";
  const { get, cast, qkv, beside } = readers(parameters, index, computeType, adapters, isMerged);
  const adapter = (...names: string[]) => isMerged ? undefined : beside(...names);
  const one = (name: string) => turned([cast(`${name}.weight`)!], [cast(`${name}.bias`)], adapter(name));
  const [gate, up] = ["mlp.gate_proj", "mlp.up_proj"];
  return {
    inputNorm: keep(get("input_layernorm.weight").clone()),
    qkv: turned(qkv("weight"), qkv("bias"), adapter(...QKV)),
    output: one("self_attn.o_proj"),
    innerNorm: keep(get("post_attention_layernorm.weight").clone()),
    gateUp: [turned([cast(`${gate}.weight`)!, cast(`${up}.weight`)!], [], adapter(gate, up))],
    down: one("mlp.down_proj"),
  };
}

/** Linear layers over the same input side by side, turned: a kept copy. */
export function turned(weights: Tensor[], biases: (Tensor | undefined)[] = [], adapter?: LowRank): Projection {
  const { engine, dtype, shape: [, width] } = weights[0];
  const weight = keep(zeros(engine, [width, weights.reduce((sum, each) => sum + each.shape[0], 0)], dtype));
  let column = 0;
  for (const each of weights) {
    weight.assignSlice(each.transpose(), 1, column);
    column += each.shape[0];
  }
  const present = biases.filter((each) => each !== undefined);
  return {
    weight,
    bias: present.length > 0 ? keep(concat(present).clone()) : undefined,
    turned: true,
    adapter: adapter && { down: turned([adapter.down]).weight, up: turned([adapter.up]).weight },
  };
}

/** All tensors of a block's weights. */
export function tensorsOf(weights: BlockWeights): Tensor[] {
  const projections = [weights.qkv, weights.output, ...weights.gateUp, weights.down];
  return [
    weights.inputNorm,
    weights.innerNorm,
    ...projections.flatMap(({ weight, bias, adapter }) => [
      weight,
      ...bias ? [bias] : [],
      ...adapter ? [adapter.down, adapter.up] : [],
    ]),
  ];
}

/** Layers that one product computes. */
const QKV = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];

function readers(
  parameters: Parameters,
  index: number,
  computeType: DType,
  adapters?: LoraAdapters,
  isMerged = false,
) {
  const full = (name: string) => `model.layers.${index}.${name}`;
  const find = (name: string) => {
    const found = parameters.get(full(name));
    return isMerged && found && adapters && name.endsWith(".weight")
      ? adapters.added(full(name.slice(0, -".weight".length)), found, computeType)
      : found;
  };
  const cast = (name: string) => {
    const found = find(name);
    return found && as(found, computeType);
  };
  return {
    get: (name: string) => find(name)!,
    cast,
    qkv: (kind: "weight" | "bias") => QKV.map((name) => cast(`${name}.${kind}`)).filter((each) => each !== undefined),
    beside: (...names: string[]) =>
      adapters?.beside(names.map((name) => [full(name), find(`${name}.weight`)!.shape[0]] as const), computeType),
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
  const computeType = weights.qkv.weight.dtype, count = x.shape[0], turned = heads + keyValueHeads;
  const qkv = project(as(x.rmsNorm(weights.inputNorm, normEpsilon), computeType), weights.qkv);
  const rotated = rotate(qkv.narrow(-1, 0, turned * headSize).reshape([count, turned, headSize]), rotation);
  const values = qkv.narrow(-1, turned * headSize, keyValueHeads * headSize).reshape([count, keyValueHeads, headSize]);
  const mixed = attend(rotated.narrow(1, 0, heads), rotated.narrow(1, heads, keyValueHeads), values);
  const residual = plus(select(x), project(mixed, weights.output));
  const inner = as(residual.rmsNorm(weights.innerNorm, normEpsilon), computeType);
  const wide = weights.gateUp.map((each) => project(inner, each));
  const [gate, up] = wide.length === 2 ? wide : halves(wide[0]);
  return plus(residual, project(gate.silu().mul(up), weights.down));
}

/** A linear layer's result. */
export function project(x: Tensor, { weight, bias, turned, adapter }: Projection): Tensor {
  const times = (x: Tensor, matrix: Tensor) => turned ? x.matmul(matrix) : x.linear(matrix);
  const product = !turned ? x.linear(weight, bias) : bias ? x.matmul(weight).add(bias) : x.matmul(weight);
  return adapter ? product.add(times(times(x, adapter.down), adapter.up)) : product;
}

/** Adds to the residual stream: to float32 what products made in bfloat16 as it is. */
function plus(residual: Tensor, x: Tensor): Tensor {
  return residual.add(residual.dtype === "float32" ? x : as(x, residual.dtype));
}

function halves(x: Tensor): [Tensor, Tensor] {
  const width = x.shape[1] / 2;
  return [x.narrow(1, 0, width), x.narrow(1, width, width)];
}

/** `x` itself where it has this type. */
export function as(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : x.cast(dtype);
}
