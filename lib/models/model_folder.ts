/**
 * What a folder that is named as a language model holds: a model, or an adapter (LoRA, as PEFT saves it) that belongs to a model
 * elsewhere.
 *
 * The model of an adapter is where `base_model_name_or_path` says: a folder, or a name on the hub that the cache has a complete
 * copy of. Nothing is fetched on the word of a file.
 */
import { join } from "node:path";
import { parseHubName } from "../io/hub_name.ts";
import { HubCache } from "../io/hub_cache.ts";
import { cannotRead } from "../io/random_access.ts";
import { UserError } from "../base/user_error.ts";
import { openTransformer } from "./causal_transformer_files.ts";
import { ADAPTER_CONFIG, readAdapterConfig } from "./lora_files.ts";

/** Where the parts of a language model lie. */
export interface ModelFolder {
  /** Configuration and weights. */
  readonly model: string;
  /** An adapter over them; undefined where there is none. */
  readonly adapter?: string;
  /** The tokenizer: an adapter's own where it has one. */
  readonly tokenizer: string;
}

/**
 * Where the parts of a language model lie, by the folder that it is named by.
 *
 * @param environment Looks up environment variables: those of the process when left out.
 * @throws {UserError} When the folder cannot be read, or it is an adapter's and its model is not there: says what to do.
 */
export async function findModelFolder(
  folder: string,
  environment: (name: string) => string | undefined = (name) => Deno.env.get(name),
): Promise<ModelFolder> {
  const names = await namesOf(folder);
  if (!isAdapter(names)) return { model: folder, tokenizer: folder };
  const model = await baseOf(folder, environment);
  if (isAdapter(await namesOf(model))) {
    throw new UserError(`${folder} is an adapter over ${model}, which is one itself: merge that into its model first`);
  }
  return { model, adapter: folder, tokenizer: names.has("tokenizer.json") ? folder : model };
}

/**
 * Sees that a folder's parts are there and belong together; no weight is read.
 *
 * @throws {UserError} When they do not.
 */
export async function checkModelFolder(folder: string): Promise<void> {
  using _opened = await openTransformer((await findModelFolder(folder)).model);
}

async function namesOf(folder: string): Promise<Set<string>> {
  try {
    return new Set((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name));
  } catch (error) {
    throw cannotRead(folder, error);
  }
}

/** Some trainers put an adapter's files beside a whole model's, which then is what is meant. */
function isAdapter(names: ReadonlySet<string>): boolean {
  return names.has(ADAPTER_CONFIG) && !names.has("model.safetensors") && !names.has("model.safetensors.index.json");
}

async function baseOf(folder: string, environment: (name: string) => string | undefined): Promise<string> {
  const { base_model_name_or_path: base, revision } = await readAdapterConfig(folder);
  const what = `${folder} is an adapter (PEFT), not a whole model`, path = join(folder, ADAPTER_CONFIG);
  if (typeof base !== "string" || base === "") {
    throw new UserError(`${what}: name the folder of its base model as base_model_name_or_path in ${path}`);
  }
  for (const place of [base, join(folder, base)]) {
    if (await Deno.stat(place).then((stat) => stat.isDirectory, () => false)) return place;
  }
  const name = `hub:${base}${typeof revision === "string" && revision !== "" ? `@${revision}` : ""}`;
  const cache = hubCache(name, environment), found = await cache?.snapshot(parseHubName(name).revision);
  if (found !== undefined && await cache!.isComplete(found)) return found;
  throw new UserError(
    `${what}: its base model ${JSON.stringify(base)} is no folder here` +
      (cache ? `, and the hub's cache ${cache.root} has no complete copy: fetch it (hf download ${base}), or ` : `: `) +
      `name its folder as base_model_name_or_path in ${path}`,
  );
}

/** The cache of a name's repository; undefined where it is no name on the hub. */
function hubCache(name: string, environment: (name: string) => string | undefined): HubCache | undefined {
  try {
    return new HubCache(parseHubName(name), environment);
  } catch {
    return undefined;
  }
}
