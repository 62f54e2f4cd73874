/**
 * `config.json` and `generation_config.json` in the form of Hugging Face's transformers, version 4 or 5.
 *
 * Two architectures are read: `LlamaForCausalLM` and `Qwen2ForCausalLM`, also where a file calls them `LlamaModel` and
 * `Qwen2Model`: the same without the projection to the vocabulary. What a file asks for beyond these is refused by name rather
 * than ignored.
 */
import { UserError } from "../base/user_error.ts";
import type { RopeScaling } from "../nn/rope_scaling.ts";
import { checkTransformerConfig, type TransformerConfig } from "./transformer_config.ts";

/** The first name of each is the one that is written. */
const ARCHITECTURES = {
  LlamaForCausalLM: "llama",
  Qwen2ForCausalLM: "qwen2",
  LlamaModel: "llama",
  Qwen2Model: "qwen2",
} as const;

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
  ropeScaling: "rope_scaling",
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
  const json = parseObject(text, path, "with the model's sizes");
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
  const rope = readRope(json, path);
  const hiddenSize = number("hidden_size"), heads = number("num_attention_heads");
  const token = (field: "bosToken" | "padToken", name: string) =>
    typeof json[name] === "number" ? { [field]: json[name] } : {};
  const ends = readEnds(json, path);
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
    ropeTheta: rope.theta ?? number("rope_theta", 10_000),
    ...(rope.scaling ? { ropeScaling: rope.scaling } : {}),
    maxPositions: number("max_position_embeddings", 2048),
    attentionBias: architecture === "qwen2" || json.attention_bias === true,
    tiedEmbeddings: json.tie_word_embeddings === true,
    initializerRange: number("initializer_range", 0.02),
    ...token("bosToken", "bos_token_id"),
    ...(Array.isArray(ends) ? { eosToken: ends[0], eosTokens: ends } : ends === undefined ? {} : { eosToken: ends }),
    ...token("padToken", "pad_token_id"),
  };
  try {
    checkTransformerConfig(config, (field) => JSON_NAMES[field] ?? field);
  } catch (error) {
    throw new UserError(`${path}: ${(error as Error).message}`);
  }
  return config;
}

/**
 * Reads the text of a `generation_config.json`.
 *
 * @param path Of the file, for messages.
 * @throws {UserError} When it is no JSON object, or `eos_token_id` is neither an id nor a list of ids.
 */
export function parseGenerationConfig(text: string, path: string): Record<string, unknown> {
  const json = parseObject(text, path, "with settings of generation");
  readEnds(json, path);
  return json;
}

/**
 * The text of a `config.json` that Hugging Face's transformers loads.
 *
 * @param dtype Type of the weights beside it.
 */
export function formatTransformerConfig(
  config: TransformerConfig,
  dtype: "float32" | "bfloat16" = "float32",
): string {
  const json: Record<string, unknown> = {
    architectures: [Object.entries(ARCHITECTURES).find(([, name]) => name === config.architecture)![0]],
    model_type: config.architecture,
    hidden_act: "silu",
    attention_dropout: 0,
    torch_dtype: dtype,
    use_cache: true,
  };
  if (config.architecture === "llama") json.mlp_bias = false;
  else json.use_sliding_window = false;
  for (const [field, name] of Object.entries(JSON_NAMES)) json[name] = config[field as keyof TransformerConfig];
  json.rope_scaling = config.ropeScaling ? formatRopeScaling(config.ropeScaling) : null;
  if (config.bosToken !== undefined) json.bos_token_id = config.bosToken;
  if (config.eosToken !== undefined) json.eos_token_id = config.eosTokens ?? config.eosToken;
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
  if ((json.hidden_act ?? "silu") !== "silu") {
    throw new UserError(`${path}: hidden_act ${JSON.stringify(json.hidden_act)} is not supported: only "silu" is`);
  }
  if (json.mlp_bias === true) throw new UserError(`${path}: mlp_bias true is not supported`);
  if (json.use_sliding_window === true) throw new UserError(`${path}: use_sliding_window true is not supported`);
  if (Array.isArray(json.layer_types) && json.layer_types.some((type) => type !== "full_attention")) {
    throw new UserError(`${path}: layer_types other than "full_attention" are not supported`);
  }
  if (json.quantization_config) {
    throw new UserError(`${path}: quantization_config is not supported: use unquantized weights`);
  }
}

function parseObject(text: string, path: string, what: string): Record<string, unknown> {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not JSON: ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${path} must hold a JSON object ${what}`);
  }
  return json;
}

/** One id that ends a text, or several; undefined where the file names none. */
function readEnds(json: Record<string, unknown>, path: string): number | number[] | undefined {
  const value = json.eos_token_id ?? undefined;
  if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined;
  if (Array.isArray(value) && value.every((id) => Number.isSafeInteger(id))) {
    return value.length > 0 ? value : undefined;
  }
  throw new UserError(`${path}: eos_token_id must be an id or a list of ids: received ${JSON.stringify(value)}`);
}

/** Our fields of each type of scaling by their names in files; the first list must be there. */
const ROPE_FIELDS = {
  linear: [{ factor: "factor" }, {}],
  dynamic: [{ factor: "factor" }, {}],
  llama3: [{ factor: "factor", lowFrequencyFactor: "low_freq_factor", highFrequencyFactor: "high_freq_factor" }, {}],
  yarn: [{ factor: "factor" }, {
    attentionFactor: "attention_factor",
    betaFast: "beta_fast",
    betaSlow: "beta_slow",
    mscale: "mscale",
    mscaleAllDim: "mscale_all_dim",
  }],
} as const satisfies Record<RopeScaling["type"], [Record<string, string>, Record<string, string>]>;

const ORIGINAL = "original_max_position_embeddings";

/**
 * The base and the stretch of rotary frequencies. Version 4 has `rope_theta` and `rope_scaling`, version 5
 * `rope_parameters` with both; where a file has the two, transformers takes `rope_scaling`, and so do we.
 */
function readRope(json: Record<string, unknown>, path: string): { theta?: number; scaling?: RopeScaling } {
  const field = json.rope_scaling ? "rope_scaling" : "rope_parameters";
  const rope = json[field] ?? {};
  const fail = (reason: string) => new UserError(`${path}: ${field} ${reason}`);
  if (typeof rope !== "object" || Array.isArray(rope)) {
    throw fail(`must be an object: received ${JSON.stringify(rope)}`);
  }
  const values = rope as Record<string, unknown>;
  const type = values.rope_type ?? values.type ?? "default";
  if (type !== "default" && (typeof type !== "string" || !Object.hasOwn(ROPE_FIELDS, type))) {
    const known = ["default", ...Object.keys(ROPE_FIELDS)].join(", ");
    throw fail(`of type ${JSON.stringify(type)} is not supported: use one of ${known}`);
  }
  const rotated = values.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (rotated !== 1) throw new UserError(`${path}: partial_rotary_factor ${JSON.stringify(rotated)} is not supported`);
  const read = (name: string, value: unknown, isNeeded: boolean): number | undefined => {
    if (typeof value === "number") return value;
    if (value === null || value === undefined) {
      if (!isNeeded) return undefined;
      throw fail(`of type "${type}" needs ${name}`);
    }
    throw fail(`must have a number as ${name}: received ${JSON.stringify(value)}`);
  };
  const theta = read("rope_theta", values.rope_theta, false);
  if (type === "default") return { theta };
  const [needed, optional] = ROPE_FIELDS[type as RopeScaling["type"]];
  const scaling: Record<string, unknown> = { type };
  for (const [list, isNeeded] of [[needed, true], [optional, false]] as const) {
    for (const [ours, name] of Object.entries(list)) {
      const value = read(name, values[name], isNeeded);
      if (value !== undefined) scaling[ours] = value;
    }
  }
  if (type === "llama3" || type === "yarn") {
    const original = json[ORIGINAL] ?? values[ORIGINAL] ?? json.max_position_embeddings ?? 2048;
    scaling.originalMaxPositions = read(ORIGINAL, original, true);
  }
  if (type === "yarn" && values.truncate === false) scaling.truncate = false;
  return { theta, scaling: scaling as unknown as RopeScaling };
}

function formatRopeScaling(scaling: RopeScaling): Record<string, unknown> {
  const [needed, optional] = ROPE_FIELDS[scaling.type];
  const values = scaling as unknown as Record<string, unknown>;
  const json: Record<string, unknown> = { rope_type: scaling.type };
  for (
    const [ours, name] of Object.entries({
      ...needed,
      ...optional,
      originalMaxPositions: ORIGINAL,
      truncate: "truncate",
    })
  ) {
    if (values[ours] !== undefined) json[name] = values[ours];
  }
  return json;
}
