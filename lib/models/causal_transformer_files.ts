/**
 * A causal transformer's folder: `config.json` and safetensors, read and written as Hugging Face's transformers does,
 * piece by piece, so that a checkpoint is never twice in memory.
 */
import { readTextFile } from "../io/plain_file.ts";
import type { WeightsReader } from "../io/safetensors.ts";
import { openWeights, writeWeights } from "../io/safetensors_folder.ts";
import { UserError } from "../base/user_error.ts";
import { renamed } from "../io/weight_names.ts";
import {
  checkLayerCount,
  checkWeights,
  type LoadOptions,
  loadParameters,
  type Parameters,
  parameterStreams,
} from "../nn/parameters.ts";
import type { Shape } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { checkSupported } from "../tensor/tensor.ts";
import { initialParameters } from "./initial_parameters.ts";
import { type TransformerConfig, transformerParameterShapes } from "./transformer_config.ts";
import { formatTransformerConfig, parseGenerationConfig, parseTransformerConfig } from "./transformer_config_json.ts";

/** Type that parameters are held in. */
export type ParameterType = "float32" | "bfloat16";

/**
 * Options of `CausalTransformer.save`.
 *
 * @internal
 */
export interface SaveOptions {
  /** Type in the file: the parameters' own when left out. */
  dtype?: ParameterType;
  /** Bytes of a shard at most (a larger tensor has one of its own). One file when left out. */
  shardBytes?: number;
}

const GENERATION = "generation_config.json";
const EMBEDDING = "model.embed_tokens.weight", HEAD = "lm_head.weight";

/**
 * Reads a folder's `config.json`, and its `generation_config.json` where there is one.
 *
 * @throws {UserError} When the first is missing, or one is damaged or asks for what we lack.
 */
export async function readTransformerConfig(folder: string): Promise<TransformerConfig> {
  const path = `${folder}/config.json`, generationPath = `${folder}/${GENERATION}`;
  const config = parseTransformerConfig(
    await readText(path, (reason) => `${path} cannot be read (${reason}): a model folder needs it`),
    path,
  );
  if (!await isThere(generationPath)) return config;
  const text = await readText(generationPath, (reason) => `${generationPath} cannot be read (${reason})`);
  return { ...config, generation: parseGenerationConfig(text, generationPath) };
}

async function readText(path: string, message: (reason: string) => string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (error) {
    throw new UserError(message(error instanceof Deno.errors.NotFound ? "no such file" : (error as Error).message));
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/** A model's folder whose configuration and weights have been found to belong together; no weight has been read. */
export interface OpenedTransformer extends Disposable {
  /** What the folder says of the model. */
  readonly config: TransformerConfig;
  /** Its weights, by the names that this project has. */
  readonly weights: WeightsReader;
  /** Whether the folder lacks the projection to the vocabulary, as a base model's without tied embeddings does. */
  readonly lacksHead: boolean;
}

/**
 * Opens a folder and compares what its `config.json` states with the weights that are there, by name and shape.
 *
 * A base model's (`LlamaModel`) are taken as transformers takes them: their names get `model.` in front.
 *
 * @throws {UserError} When a file is missing, damaged, or of another shape than the configuration.
 */
export async function openTransformer(folder: string): Promise<OpenedTransformer> {
  const config = await readTransformerConfig(folder);
  const read = await openWeights(folder);
  try {
    checkLayerCount(read, "num_hidden_layers", config.layers, folder);
    const shapes = transformerParameterShapes(config);
    const isBase = !read.names.some((name) => name.startsWith("model."));
    const weights = renamed(read, (name) => isBase && shapes.has(`model.${name}`) ? `model.${name}` : name, folder);
    if (weights.names.includes(EMBEDDING)) {
      const [rows] = weights.info(EMBEDDING).shape;
      if (rows !== config.vocabularySize) {
        throw new UserError(
          `${folder}: config.json states vocab_size ${config.vocabularySize}, the embedding '${EMBEDDING}' has ` +
            `${rows} rows: they belong to different models`,
        );
      }
    }
    const lacksHead = isBase && shapes.has(HEAD) && !weights.names.includes(HEAD);
    checkWeights(shapesOfFile({ config, lacksHead }), weights, loadOptions(folder, config));
    return { config, weights, lacksHead, [Symbol.dispose]: () => weights.close() };
  } catch (error) {
    read.close();
    throw error;
  }
}

function shapesOfFile({ config, lacksHead }: Pick<OpenedTransformer, "config" | "lacksHead">): Map<string, Shape> {
  const shapes = transformerParameterShapes(config);
  if (lacksHead) shapes.delete(HEAD);
  return shapes;
}

function loadOptions(folder: string, { tiedEmbeddings }: TransformerConfig): LoadOptions {
  return {
    source: folder,
    // Written by older versions; computed here. Tied heads are written twice by some.
    ignore: (name) => name.endsWith("rotary_emb.inv_freq") || (tiedEmbeddings && name === HEAD),
  };
}

/**
 * Reads configuration and parameters of a folder. Where it lacks the projection to the vocabulary (a base model's), a new one is
 * drawn, as transformers does.
 *
 * @throws {UserError} As {@linkcode openTransformer} does.
 * @throws {TypeError} When the engine lacks the type.
 */
export async function loadTransformer(
  engine: Engine,
  folder: string,
  parameterType: ParameterType = "float32",
): Promise<{ config: TransformerConfig; parameters: Parameters }> {
  using opened = await openTransformer(folder);
  checkSupported(engine, parameterType, "CausalTransformer.load");
  const { config, weights, lacksHead } = opened;
  const parameters = await loadParameters(engine, shapesOfFile(opened), weights, {
    ...loadOptions(folder, config),
    dtype: parameterType,
  });
  if (!lacksHead) return { config, parameters };
  const head = initialParameters(engine, config, 0, (name) => name === HEAD).get(HEAD)!;
  parameters.set(HEAD, parameterType === "float32" ? head : keep(tidy(() => head.cast(parameterType))));
  if (parameterType !== "float32") head.dispose();
  return { config, parameters };
}

/**
 * Writes `config.json`, `generation_config.json` where the model has one, and safetensors that Hugging Face's transformers
 * loads. Replaces an earlier save as a whole.
 */
export async function saveTransformer(
  folder: string,
  config: TransformerConfig,
  parameters: Parameters,
  { dtype, shardBytes }: SaveOptions = {},
): Promise<void> {
  const streams = parameterStreams(parameters, dtype);
  const isHalf = [...streams.values()].every((each) => each.dtype === "BF16");
  const text = formatTransformerConfig(config, isHalf ? "bfloat16" : "float32");
  const texts: [string, string][] = [["config.json", text]];
  if (config.generation) texts.push([GENERATION, JSON.stringify(config.generation, null, 2) + "\n"]);
  await writeWeights(folder, streams, { shardBytes, texts });
  // An earlier save's would name ends that are not this model's.
  if (!config.generation) await Deno.remove(`${folder}/${GENERATION}`).catch(() => {});
}
