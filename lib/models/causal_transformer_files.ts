/**
 * A causal transformer's folder: `config.json` and safetensors, read and written as Hugging Face's transformers does,
 * piece by piece, so that a checkpoint is never twice in memory.
 */
import { openWeights } from "../files/safetensors.ts";
import { writeWeights } from "../files/safetensors_folder.ts";
import { UserError } from "../files/user_error.ts";
import { disposeParameters, loadInto, type Parameters, parameterStreams, zeroParameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { checkSupported } from "../tensor/tensor.ts";
import { type TransformerConfig, transformerParameterShapes } from "./transformer_config.ts";
import { formatTransformerConfig, parseTransformerConfig } from "./transformer_config_json.ts";

/** Type that parameters are held in. */
export type ParameterType = "float32" | "bfloat16";

/** Options of `CausalTransformer.save`. */
export interface SaveOptions {
  /** Type in the file: the parameters' own when left out. */
  dtype?: ParameterType;
  /** Bytes of a shard at most (a larger tensor has one of its own). One file when left out. */
  shardBytes?: number;
}

/** Reads a folder's `config.json`. @throws {UserError} When it is missing, damaged or asks for what we lack. */
export async function readTransformerConfig(folder: string): Promise<TransformerConfig> {
  const path = `${folder}/config.json`;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "no such file" : (error as Error).message;
    throw new UserError(`${path} cannot be read (${reason}): a model folder needs it`);
  }
  return parseTransformerConfig(text, path);
}

/**
 * Reads configuration and parameters of a folder.
 *
 * @throws {UserError} When a file is missing, damaged, or of another shape than the configuration.
 * @throws {TypeError} When the engine lacks the type.
 */
export async function loadTransformer(
  engine: Engine,
  folder: string,
  parameterType: ParameterType = "float32",
): Promise<{ config: TransformerConfig; parameters: Parameters }> {
  const config = await readTransformerConfig(folder);
  checkSupported(engine, parameterType, "CausalTransformer.load");
  using weights = await openWeights(folder);
  const embedding = "model.embed_tokens.weight";
  if (weights.names.includes(embedding)) {
    const [rows] = weights.info(embedding).shape;
    if (rows !== config.vocabularySize) {
      throw new UserError(
        `${folder}: config.json states vocab_size ${config.vocabularySize}, the embedding '${embedding}' has ` +
          `${rows} rows: they belong to different models`,
      );
    }
  }
  const parameters = zeroParameters(engine, transformerParameterShapes(config), parameterType);
  try {
    await loadInto(parameters, weights, {
      source: folder,
      // Written by older versions; computed here. Tied heads are written twice by some.
      ignore: (name) => name.endsWith(".rotary_emb.inv_freq") || (config.tiedEmbeddings && name === "lm_head.weight"),
    });
  } catch (error) {
    disposeParameters(parameters);
    throw error;
  }
  return { config, parameters };
}

/** Writes `config.json` and safetensors that Hugging Face's transformers loads. Replaces an earlier save as a whole. */
export async function saveTransformer(
  folder: string,
  config: TransformerConfig,
  parameters: Parameters,
  { dtype, shardBytes }: SaveOptions = {},
): Promise<void> {
  const streams = parameterStreams(parameters, dtype);
  const isHalf = [...streams.values()].every((each) => each.dtype === "BF16");
  const text = formatTransformerConfig(config, isHalf ? "bfloat16" : "float32");
  await writeWeights(folder, streams, { shardBytes, texts: [["config.json", text]] });
}
