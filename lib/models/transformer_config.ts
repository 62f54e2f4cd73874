/**
 * Sizes and constants of a causal transformer: Llama's shape, or Qwen2's, which is Llama with biases on queries, keys and
 * values. `transformer_config_json.ts` reads and writes them as files.
 */
import { type RopeScaling, stretchedLength } from "../nn/rope_scaling.ts";
import type { Shape } from "../tensor/dtype.ts";

/** Sizes and constants of a causal transformer. */
export interface TransformerConfig {
  /** Decides names in `config.json` and where biases are. */
  architecture: "llama" | "qwen2";
  /** V: number of token ids. */
  vocabularySize: number;
  /** D: width of the residual stream. */
  hiddenSize: number;
  /** Number of transformer blocks. */
  layers: number;
  /** Attention heads of the queries; keys and values may have fewer. */
  heads: number;
  /** Key and value heads; divides `heads`. */
  keyValueHeads: number;
  /** Width of one head, even. */
  headSize: number;
  /** Inner width of the SwiGLU network. */
  feedForwardSize: number;
  /** ε of the RMS norms. */
  normEpsilon: number;
  /** Base of the rotary frequencies. */
  ropeTheta: number;
  /** How the rotary frequencies are stretched; not at all when absent. */
  ropeScaling?: RopeScaling;
  /** Longest sequence; what a stretch of frequencies adds to it is in {@linkcode longestSequence}. */
  maxPositions: number;
  /** Biases on queries, keys and values (and on the output projection in Llama's form). */
  attentionBias: boolean;
  /** Whether the output projection is the embedding table. */
  tiedEmbeddings: boolean;
  /** Standard deviation of new weights. */
  initializerRange: number;
  /** Id of the beginning, kept for the file's sake like the two below. */
  bosToken?: number;
  /** Id of the token that ends a text. */
  eosToken?: number;
  /** All ids that end a text, where the file lists several; `eosToken` is the first of them. */
  eosTokens?: readonly number[];
  /** Id of the token that fills up. */
  padToken?: number;
  /** What the folder's `generation_config.json` says, kept for the file's sake; of it only {@linkcode endTokens} are used. */
  generation?: Readonly<Record<string, unknown>>;
}

/** What must be stated; the rest has the released models' values. */
export type TransformerOptions =
  & Pick<TransformerConfig, "vocabularySize" | "hiddenSize" | "layers" | "heads" | "feedForwardSize">
  & Partial<TransformerConfig>;

/**
 * A checked configuration: the rest of the fields as in the released single-step model.
 *
 * @throws {RangeError} When a field is out of its range: names it.
 */
export function transformerConfig(options: TransformerOptions): TransformerConfig {
  const config: TransformerConfig = {
    architecture: "llama",
    keyValueHeads: options.heads,
    headSize: options.hiddenSize / options.heads,
    normEpsilon: 1e-6,
    ropeTheta: 10_000,
    maxPositions: 8192,
    attentionBias: options.architecture === "qwen2",
    tiedEmbeddings: false,
    initializerRange: 0.02,
    ...options,
  };
  checkTransformerConfig(config, (field) => field);
  return config;
}

/**
 * Ids that end a text, as transformers takes them: those of `generation_config.json` where there is such a file, and only else
 * those of `config.json`. A tokenizer may name one more.
 */
export function endTokens({ generation, eosToken, eosTokens }: TransformerConfig): readonly number[] {
  const stated = generation ? generation.eos_token_id : eosTokens ?? eosToken;
  return Array.isArray(stated) ? stated : typeof stated === "number" ? [stated] : [];
}

/** Tokens that a sequence may have. */
export function longestSequence(config: TransformerConfig): number {
  return stretchedLength(config.maxPositions, config.ropeScaling);
}

/**
 * Name and shape of every parameter, in the order of the released state dicts.
 *
 * @example The released single-step and multi-step models.
 * ```ts
 * import assert from "node:assert/strict";
 * import { parameterCount } from "../nn/parameters.ts";
 * const body = { hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072 };
 * const count = (vocabularySize: number) =>
 *   parameterCount(transformerParameterShapes(transformerConfig({ vocabularySize, ...body })));
 * assert.equal(count(4633), 120_381_696);
 * assert.equal(count(9008), 127_101_696);
 * ```
 */
export function transformerParameterShapes(config: TransformerConfig): Map<string, Shape> {
  const { vocabularySize, hiddenSize: width, headSize, feedForwardSize: inner } = config;
  const queries = config.heads * headSize, keys = config.keyValueHeads * headSize;
  const shapes = new Map<string, Shape>([["model.embed_tokens.weight", [vocabularySize, width]]]);
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    for (const [role, rows] of [["q", queries], ["k", keys], ["v", keys]] as const) {
      shapes.set(`${layer}.self_attn.${role}_proj.weight`, [rows, width]);
      if (config.attentionBias) shapes.set(`${layer}.self_attn.${role}_proj.bias`, [rows]);
    }
    shapes.set(`${layer}.self_attn.o_proj.weight`, [width, queries]);
    if (config.attentionBias && config.architecture === "llama") shapes.set(`${layer}.self_attn.o_proj.bias`, [width]);
    shapes.set(`${layer}.mlp.gate_proj.weight`, [inner, width]);
    shapes.set(`${layer}.mlp.up_proj.weight`, [inner, width]);
    shapes.set(`${layer}.mlp.down_proj.weight`, [width, inner]);
    shapes.set(`${layer}.input_layernorm.weight`, [width]);
    shapes.set(`${layer}.post_attention_layernorm.weight`, [width]);
  }
  shapes.set("model.norm.weight", [width]);
  if (!config.tiedEmbeddings) shapes.set("lm_head.weight", [vocabularySize, width]);
  return shapes;
}

/**
 * Checks every size and constant.
 *
 * @param nameOf How messages call a field.
 * @throws {RangeError} naming the field that is out of its range.
 */
export function checkTransformerConfig(
  config: TransformerConfig,
  nameOf: (field: keyof TransformerConfig) => string,
): void {
  const sizes = [
    "vocabularySize",
    "hiddenSize",
    "layers",
    "heads",
    "keyValueHeads",
    "headSize",
    "feedForwardSize",
    "maxPositions",
  ] as const;
  for (const field of sizes) {
    if (!(Number.isSafeInteger(config[field]) && config[field] >= 1)) {
      throw new RangeError(`${nameOf(field)} must be a whole number of at least 1: received ${config[field]}`);
    }
  }
  if (config.heads % config.keyValueHeads !== 0) {
    throw new RangeError(
      `${nameOf("keyValueHeads")} must divide ${nameOf("heads")} ${config.heads}: received ${config.keyValueHeads}`,
    );
  }
  if (config.headSize % 2 !== 0) {
    throw new RangeError(`${nameOf("headSize")} must be even: received ${config.headSize}`);
  }
  for (const field of ["normEpsilon", "ropeTheta", "initializerRange"] as const) {
    if (!(Number.isFinite(config[field]) && config[field] > 0)) {
      throw new RangeError(`${nameOf(field)} must be above 0: received ${config[field]}`);
    }
  }
  for (const [field, value] of Object.entries(config.ropeScaling ?? {})) {
    // The two below may be anything; all other numbers are divisors or logarithms' arguments.
    if (typeof value === "number" && !(Number.isFinite(value) && value > 0) && !field.startsWith("mscale")) {
      throw new RangeError(`${nameOf("ropeScaling")}: ${field} must be above 0: received ${value}`);
    }
  }
  const scaling = config.ropeScaling;
  if (scaling && scaling.factor < 1) {
    throw new RangeError(`${nameOf("ropeScaling")}: factor must be at least 1: received ${scaling.factor}`);
  }
  if (scaling?.type === "llama3" && scaling.highFrequencyFactor <= scaling.lowFrequencyFactor) {
    throw new RangeError(
      `${nameOf("ropeScaling")}: highFrequencyFactor must be above lowFrequencyFactor ${scaling.lowFrequencyFactor}: ` +
        `received ${scaling.highFrequencyFactor}`,
    );
  }
}
