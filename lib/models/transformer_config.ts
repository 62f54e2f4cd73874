/**
 * Sizes and constants of a causal transformer, and their `config.json` in the Hugging Face form.
 *
 * Two architectures are read: `LlamaForCausalLM` and `Qwen2ForCausalLM`, which is Llama with biases on queries, keys and
 * values. What a file asks for beyond these is refused by name rather than ignored.
 */
import { UserError } from "../files/user_error.ts";
import type { Shape } from "../tensor/dtype.ts";

/** Sizes and constants of a causal transformer. */
export interface TransformerConfig {
  /** Decides names in `config.json` and where biases are. */
  architecture: "llama" | "qwen2";
  /** V: number of token ids. */
  vocabularySize: number;
  /** D: width of the residual stream. */
  hiddenSize: number;
  /** Number of blocks. */
  layers: number;
  /** Query heads. */
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
  /** Longest sequence. */
  maxPositions: number;
  /** Biases on queries, keys and values (and on the output projection in Llama's form). */
  attentionBias: boolean;
  /** Whether the output projection is the embedding table. */
  tiedEmbeddings: boolean;
  /** Standard deviation of new weights. */
  initializerRange: number;
  /** Id of the beginning, kept for the file's sake like the two below. */
  bosToken?: number;
  /** Id of the end. */
  eosToken?: number;
  /** Id that fills up. */
  padToken?: number;
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
  check(config, (field) => field);
  return config;
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

const ARCHITECTURES = { LlamaForCausalLM: "llama", Qwen2ForCausalLM: "qwen2" } as const;

/** Fields of `config.json` by ours, for messages and for the writer. */
const JSON_NAMES: Partial<Record<keyof TransformerConfig, string>> = {
  vocabularySize: "vocab_size",
  hiddenSize: "hidden_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
  keyValueHeads: "num_key_value_heads",
  headSize: "head_dim",
  feedForwardSize: "intermediate_size",
  normEpsilon: "rms_norm_eps",
  ropeTheta: "rope_theta",
  maxPositions: "max_position_embeddings",
  attentionBias: "attention_bias",
  tiedEmbeddings: "tie_word_embeddings",
  initializerRange: "initializer_range",
};

/**
 * Reads the text of a `config.json` of Hugging Face's transformers (version 4 or 5).
 *
 * @param path Of the file, for messages.
 * @throws {UserError} When it is not JSON, a field is missing or out of its range, or something is asked for that this
 * model does not have (architecture, rope type, activation, MLP biases, sliding windows): names it.
 */
export function parseTransformerConfig(text: string, path: string): TransformerConfig {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not JSON: ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${path} must hold a JSON object with the model's sizes`);
  }
  const architecture = readArchitecture(json, path);
  refuseUnknown(json, path);
  const number = (name: string, fallback?: number): number => {
    const value = json[name] ?? fallback;
    if (typeof value !== "number") {
      throw new UserError(
        `${path}: ${name} must be a number: received ${value === undefined ? "none" : JSON.stringify(value)}`,
      );
    }
    return value;
  };
  const rope = (json.rope_parameters ?? {}) as Record<string, unknown>;
  const hiddenSize = number("hidden_size"), heads = number("num_attention_heads");
  const token = (field: "bosToken" | "eosToken" | "padToken", name: string) =>
    typeof json[name] === "number" ? { [field]: json[name] } : {};
  const config: TransformerConfig = {
    architecture,
    vocabularySize: number("vocab_size"),
    hiddenSize,
    layers: number("num_hidden_layers"),
    heads,
    keyValueHeads: number("num_key_value_heads", heads),
    headSize: number("head_dim", hiddenSize / heads),
    feedForwardSize: number("intermediate_size"),
    normEpsilon: number("rms_norm_eps", 1e-6),
    ropeTheta: typeof rope.rope_theta === "number" ? rope.rope_theta : number("rope_theta", 10_000),
    maxPositions: number("max_position_embeddings", 2048),
    attentionBias: architecture === "qwen2" || json.attention_bias === true,
    tiedEmbeddings: json.tie_word_embeddings === true,
    initializerRange: number("initializer_range", 0.02),
    ...token("bosToken", "bos_token_id"),
    ...token("eosToken", "eos_token_id"),
    ...token("padToken", "pad_token_id"),
  };
  try {
    check(config, (field) => JSON_NAMES[field] ?? field);
  } catch (error) {
    throw new UserError(`${path}: ${(error as Error).message}`);
  }
  return config;
}

/** The text of a `config.json` that Hugging Face's transformers loads. */
export function formatTransformerConfig(config: TransformerConfig): string {
  const json: Record<string, unknown> = {
    architectures: [Object.entries(ARCHITECTURES).find(([, name]) => name === config.architecture)![0]],
    model_type: config.architecture,
    hidden_act: "silu",
    attention_dropout: 0,
    rope_scaling: null,
    torch_dtype: "float32",
    use_cache: true,
  };
  if (config.architecture === "llama") json.mlp_bias = false;
  else json.use_sliding_window = false;
  for (const [field, name] of Object.entries(JSON_NAMES)) json[name] = config[field as keyof TransformerConfig];
  if (config.bosToken !== undefined) json.bos_token_id = config.bosToken;
  if (config.eosToken !== undefined) json.eos_token_id = config.eosToken;
  if (config.padToken !== undefined) json.pad_token_id = config.padToken;
  const sorted = Object.fromEntries(Object.entries(json).sort(([a], [b]) => a < b ? -1 : 1));
  return JSON.stringify(sorted, null, 2) + "\n";
}

function readArchitecture(json: Record<string, unknown>, path: string): TransformerConfig["architecture"] {
  const stated = Array.isArray(json.architectures) && json.architectures.length > 0
    ? json.architectures[0]
    : Object.entries(ARCHITECTURES).find(([, type]) => type === json.model_type)?.[0] ?? json.model_type;
  if (typeof stated !== "string" || !Object.hasOwn(ARCHITECTURES, stated)) {
    throw new UserError(
      `${path}: architecture ${JSON.stringify(stated) ?? "none"} is not supported: use one of ` +
        Object.keys(ARCHITECTURES).join(", "),
    );
  }
  return ARCHITECTURES[stated as keyof typeof ARCHITECTURES];
}

function refuseUnknown(json: Record<string, unknown>, path: string): void {
  for (const field of ["rope_scaling", "rope_parameters"]) {
    const rope = json[field] as Record<string, unknown> | null | undefined;
    const type = rope?.rope_type ?? rope?.type ?? "default";
    if (type !== "default") {
      throw new UserError(`${path}: ${field} of type ${JSON.stringify(type)} is not supported: only "default" is`);
    }
  }
  if ((json.hidden_act ?? "silu") !== "silu") {
    throw new UserError(`${path}: hidden_act ${JSON.stringify(json.hidden_act)} is not supported: only "silu" is`);
  }
  if (json.mlp_bias === true) throw new UserError(`${path}: mlp_bias true is not supported`);
  if (json.use_sliding_window === true) throw new UserError(`${path}: use_sliding_window true is not supported`);
  if (json.quantization_config) {
    throw new UserError(`${path}: quantization_config is not supported: use unquantized weights`);
  }
}

/** @throws {RangeError} */
function check(config: TransformerConfig, nameOf: (field: keyof TransformerConfig) => string): void {
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
}
