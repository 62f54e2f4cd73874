/**
 * LoRA adapters as PEFT keeps them: a folder with `adapter_config.json` and `adapter_model.safetensors`, read and written.
 *
 * What a configuration asks for beyond plain LoRA (DoRA, biases, ranks that differ by layer, modules saved whole, weights
 * that change the base model) is refused by name. Dropout has no effect here, in outputs or in further training.
 *
 * Models are known by what is asked of them: the transformer itself loads adapters.
 */
import { writeFileAtomic } from "../io/atomic.ts";
import { readTextFile } from "../io/plain_file.ts";
import { readSafetensors, writeSafetensors } from "../io/safetensors.ts";
import { UserError } from "../base/user_error.ts";
import { plainName, renamedMap } from "../io/weight_names.ts";
import { type LoraAdapters, type LoraOptions, loraShapes, matchTargets } from "../nn/lora.ts";
import { checkWeights, loadInto, toHost } from "../nn/parameters.ts";
import type { Shape } from "../tensor/dtype.ts";

/** The file that makes a folder an adapter's. */
export const ADAPTER_CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
/** What PEFT puts before the model's own names. */
const PREFIX = "base_model.model.";

/**
 * Writes a model's adapters as PEFT does, so that PEFT and vLLM load them.
 *
 * @param model A `CausalTransformer`.
 * @param options.baseModel Name or folder of the model that they belong to, for the configuration.
 * @throws {Error} When the model has no adapters.
 */
export async function saveAdapters(
  model: { readonly adapters: LoraAdapters | undefined; readonly linearLayers: ReadonlyMap<string, Shape> },
  folder: string,
  { baseModel }: { baseModel?: string } = {},
): Promise<void> {
  const { adapters } = model;
  if (!adapters) throw new Error("saveAdapters: the model has no adapters: call attachAdapters first");
  const host = await toHost(adapters.parameters);
  const named = new Map([...host].map(([name, each]) => [`${PREFIX}${name}`, each] as const));
  await Deno.mkdir(folder, { recursive: true });
  await writeSafetensors(`${folder}/${WEIGHTS}`, named, { format: "pt" });
  const { rank, alpha, rsLora = false } = adapters.options;
  const config = {
    alpha_pattern: {},
    base_model_name_or_path: baseModel ?? null,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: {},
    target_modules: shortTargets([...model.linearLayers.keys()], adapters),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: rsLora,
  };
  await writeFileAtomic(`${folder}/${ADAPTER_CONFIG}`, JSON.stringify(config, null, 2) + "\n");
}

/**
 * Attaches the adapters of a folder that PEFT or {@linkcode saveAdapters} wrote.
 *
 * @param model A `CausalTransformer`.
 * @throws {UserError} When a file is missing or damaged, asks for more than plain LoRA, or belongs to another model.
 * @throws {Error} When the model has adapters already.
 */
export async function loadAdapters(
  model: {
    readonly linearLayers: ReadonlyMap<string, Shape>;
    attachAdapters(options: LoraOptions): LoraAdapters;
    detachAdapters(): void;
  },
  folder: string,
): Promise<LoraAdapters> {
  const path = `${folder}/${ADAPTER_CONFIG}`;
  const options = loraOptions(await readAdapterConfig(folder), path, [...model.linearLayers.keys()]);
  const source = `${folder}/${WEIGHTS}`;
  const own = (name: string) => name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  const weights = renamedMap(await readSafetensors(source), (name) => own(plainName(name)), source);
  // First, so that a rank that only the configuration claims is never made.
  checkWeights(asUser(path, () => loraShapes(model.linearLayers, options)), weights, { source });
  const adapters = asUser(path, () => model.attachAdapters(options));
  try {
    await loadInto(adapters.parameters, weights, { source });
  } catch (error) {
    model.detachAdapters();
    throw error;
  }
  return adapters;
}

/** What `fn` finds out of range is the file's fault. */
function asUser<Value>(path: string, fn: () => Value): Value {
  try {
    return fn();
  } catch (error) {
    throw error instanceof RangeError ? new UserError(`${path}: ${error.message}`) : error;
  }
}

/** Fields that plain LoRA leaves at these values. */
const PLAIN: Record<string, unknown> = {
  bias: "none",
  fan_in_fan_out: false,
  use_dora: false,
  use_qalora: false,
  use_bdlora: null,
  lora_bias: false,
  rank_pattern: {},
  alpha_pattern: {},
  modules_to_save: null,
  layers_to_transform: null,
  layer_replication: null,
  exclude_modules: null,
  target_parameters: null,
  trainable_token_indices: null,
  alora_invocation_tokens: null,
};
/** First values that leave the base model's weights alone. */
const INITIAL: readonly unknown[] = [undefined, null, true, false, "gaussian", "orthogonal", "eva"];

/** What a folder's `adapter_config.json` holds. @throws {UserError} When it cannot be read, or is no JSON object. */
export async function readAdapterConfig(folder: string): Promise<Record<string, unknown>> {
  const path = `${folder}/${ADAPTER_CONFIG}`;
  let text: string, json: Record<string, unknown>;
  try {
    text = await readTextFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read (${(error as Error).message}): an adapter's folder needs it`);
  }
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not JSON: ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${path} must hold a JSON object`);
  }
  return json;
}

/** What an `adapter_config.json` asks for. */
function loraOptions(json: Record<string, unknown>, path: string, layers: readonly string[]): LoraOptions {
  if (json.peft_type !== "LORA") {
    throw new UserError(`${path}: peft_type ${show(json.peft_type)} is not supported: only "LORA" is`);
  }
  for (const [field, plain] of Object.entries(PLAIN)) {
    const value = json[field] ?? plain;
    const isEmpty = value === false || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
    if (value !== plain && !(isEmpty && plain !== "none")) {
      throw new UserError(`${path}: ${field} ${show(value)} is not supported: only ${show(plain)} is`);
    }
  }
  if (!INITIAL.includes(json.init_lora_weights)) {
    throw new UserError(
      `${path}: init_lora_weights ${show(json.init_lora_weights)} changes the base model's weights: ` +
        `save the adapter converted to plain LoRA`,
    );
  }
  const number = (field: string): number => {
    const value = json[field];
    if (typeof value !== "number") throw new UserError(`${path}: ${field} must be a number: received ${show(value)}`);
    return value;
  };
  return {
    rank: number("r"),
    alpha: number("lora_alpha"),
    targets: readTargets(json.target_modules, path, layers),
    rsLora: json.use_rslora === true,
    seed: 0, // A and B are read
  };
}

/** A list, "all-linear", or a regular expression that whole names must match. */
function readTargets(value: unknown, path: string, layers: readonly string[]): LoraOptions["targets"] {
  if (value === "all-linear") return value;
  if (typeof value === "string") {
    let pattern: RegExp;
    try {
      pattern = new RegExp(`^(?:${value})$`);
    } catch {
      throw new UserError(
        `${path}: target_modules ${show(value)} is not read as a pattern here: list the layers' names`,
      );
    }
    return layers.filter((layer) => pattern.test(layer));
  }
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw new UserError(`${path}: target_modules must be a list of names or "all-linear": received ${show(value)}`);
}

/** The shortest names that mean the adapted layers: their last parts, or else their full names. */
function shortTargets(linearLayers: readonly string[], adapters: LoraAdapters): string[] {
  const last = [...new Set(adapters.layers.map((layer) => layer.slice(layer.lastIndexOf(".") + 1)))];
  const meant = matchTargets(linearLayers, last);
  return meant.length === adapters.layers.length ? last : [...adapters.layers];
}

function show(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value);
}
