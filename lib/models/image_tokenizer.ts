/**
 * What the image tokenizers do alike with their tensors and folders: first weights, parameters in the type that is computed
 * in, frames in chunks, and a `config.json` read as JSON.
 *
 * Not here: sizes (`image_tokenizer_config.ts`) and networks.
 */
import { STREAM } from "../base/streams.ts";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { readTextFile } from "../io/plain_file.ts";
import { writeSafetensors } from "../io/safetensors.ts";
import { UserError } from "../base/user_error.ts";
import { uniformInitial } from "../nn/initializers.ts";
import { type Parameters, toHost } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { checkSupported, concat, ones, type Tensor, zeros } from "../tensor/tensor.ts";
import type { ShapeList, WeightLookup } from "./vision_blocks.ts";

/** Type that convolutions compute in; parameters, pixels and the quantizer stay float32. */
export type ComputeType = "float32" | "bfloat16";

const ACTIVATION_BYTES = 256 * 2 ** 20;

/** How first weights differ from PyTorch's defaults. */
export interface InitialWeights {
  /** Names the random numbers. */
  seed: number;
  /** Parameters that start at 0. */
  zero: (name: string) => boolean;
  /** By how much a parameter is larger than PyTorch's; 1 for most. */
  gain: (name: string) => number;
}

/** Kept first weights as PyTorch draws them: uniform within 1 / √fanIn, normalizations 1 and 0. */
export function initialParameters(engine: Engine, shapes: ShapeList, { seed, zero, gain }: InitialWeights): Parameters {
  let bound = 0;
  return new Map(shapes.map(([name, shape], i) => {
    if (zero(name)) return [name, keep(zeros(engine, shape))];
    if (/norm/.test(name)) return [name, keep((name.endsWith(".weight") ? ones : zeros)(engine, shape))];
    // A bias follows its weight and shares its bound.
    if (shape.length > 1) bound = 1 / Math.sqrt(shape.slice(1).reduce((product, extent) => product * extent, 1));
    return [name, uniformInitial(engine, shape, new Philox(seed, STREAM.tokenizerWeights, i), gain(name) * bound)];
  }));
}

/** Parameters by name in the compute type; each is cast once a lookup. */
export function weightLookup(parameters: Parameters, computeType: ComputeType): WeightLookup {
  const cast = new Map<string, Tensor>();
  return (name) => {
    const parameter = parameters.get(name)!;
    if (computeType === "float32") return parameter;
    const known = cast.get(name) ?? parameter.cast(computeType);
    cast.set(name, known);
    return known;
  };
}

/**
 * Checks what every tokenizer is given.
 *
 * @throws {RangeError} For a number of frames that is none.
 * @throws {TypeError} For a type that the engine lacks.
 */
export function checkOptions(engine: Engine, computeType: ComputeType, framesPerChunk: number | undefined): void {
  if (framesPerChunk !== undefined && !(Number.isInteger(framesPerChunk) && framesPerChunk >= 1)) {
    throw new RangeError(`framesPerChunk must be a positive integer: received ${framesPerChunk}`);
  }
  checkSupported(engine, computeType, "computeType");
}

/** Frames whose largest activation takes about 256 MiB. */
export function usualFramesPerChunk(
  { height, width, channels, pixelPatch }: {
    height: number;
    width: number;
    channels: readonly number[];
    pixelPatch: number;
  },
): number {
  return Math.max(1, Math.floor(ACTIVATION_BYTES / (4 * height * width * channels[0] / pixelPatch ** 2)));
}

/** Computes along the first axis, at most `size` rows at a time. */
export function inChunks(all: Tensor, size: number, compute: (chunk: Tensor, start: number) => Tensor): Tensor {
  const count = all.shape[0];
  return tidy(() => {
    const parts: Tensor[] = [];
    for (let start = 0; start < count; start += size) {
      parts.push(tidy(() => compute(all.narrow(0, start, Math.min(size, count - start)), start)));
    }
    return concat(parts);
  });
}

/** Writes `config.json` and the weights; makes the folder where it does not exist. */
export async function saveTokenizer(
  folder: string,
  parameters: Parameters,
  config: Record<string, unknown>,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const weights = await toHost(parameters);
  await writeSafetensors(join(folder, "diffusion_pytorch_model.safetensors"), weights, { format: "pt" });
  await writeFileAtomic(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/**
 * Reads a tokenizer's `config.json`.
 *
 * @throws {UserError} When it cannot be read or does not hold an object.
 */
export async function readTokenizerJson(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    throw new UserError(
      `${path} cannot be read (${(error as Error).message}): a tokenizer's folder holds config.json and ` +
        `diffusion_pytorch_model.safetensors`,
    );
  }
  try {
    const json = JSON.parse(text);
    if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  } catch {
    // Told below, in the same words as a list or a number.
  }
  throw new UserError(`${path}: must hold a JSON object with the tokenizer's sizes`);
}
