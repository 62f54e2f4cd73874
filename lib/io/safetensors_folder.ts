/**
 * A model's weights as a folder holds them: one safetensors file, or shards with an index.
 *
 * Writing never has more than a piece of a tensor in memory. All files are written aside first and renamed when the last one
 * is on the disk; what an earlier save left under other names is removed after that.
 */
import { readTextFile } from "./plain_file.ts";
import { join } from "node:path";
import { claimAside, removeLeftovers, syncFolder, writeFileSynced } from "./atomic.ts";
import { cannotWrite } from "../base/disk_error.ts";
import { makeFolder } from "./folders.ts";
import { BYTES_PER_ELEMENT, elementCount, type HostDtype } from "./host_tensor.ts";
import { cannotRead } from "./random_access.ts";
import { noSuchTensor, SafetensorsFile, type WeightsReader } from "./safetensors.ts";
import { encodeSafetensorsHeader, MAX_HEADER_BYTES } from "./safetensors_header.ts";
import { parseStrictJson, type StrictJson } from "./strict_json.ts";
import { UserError } from "../base/user_error.ts";
import { plainName, renamed } from "./weight_names.ts";

/** A tensor that gives its bytes when they are to be written. */
export interface TensorStream {
  /** Element type. */
  dtype: HostDtype;
  /** Sizes of the axes. */
  shape: number[];
  /** Its bytes in C order, piece by piece. A piece is written before the next is asked for: memory may be used again. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** Options of {@linkcode writeWeights}. */
export interface WriteWeightsOptions {
  /** Bytes of tensors that a shard has at most (a larger tensor has one of its own). One file when left out. */
  shardBytes?: number;
  /** Files to be replaced in the same moment, `config.json` among them: name and text. */
  texts?: Iterable<[name: string, text: string]>;
  /** First part of the files' names: `model` when left out. */
  base?: string;
}

/**
 * Writes weights to a folder in the Hugging Face form: `model.safetensors`, or `model-00001-of-0000n.safetensors` and
 * `model.safetensors.index.json`.
 *
 * @throws {RangeError} if `shardBytes` is below 1, or a tensor gives more or fewer bytes than its shape needs.
 */
export async function writeWeights(
  folder: string,
  tensors: ReadonlyMap<string, TensorStream>,
  { shardBytes, texts = [], base = "model" }: WriteWeightsOptions = {},
): Promise<void> {
  if (shardBytes !== undefined && !(shardBytes >= 1)) {
    throw new RangeError(`shardBytes must be at least 1: received ${shardBytes}`);
  }
  await makeFolder(folder);
  const shards = split(tensors, shardBytes ?? Infinity);
  const files = new Map<string, (path: string) => Promise<void>>();
  if (shards.length === 1) {
    files.set(`${base}.safetensors`, (path) => writeShard(path, shards[0]));
  } else {
    const map: Record<string, string> = Object.create(null);
    const number = (i: number) => String(i).padStart(5, "0");
    shards.forEach((shard, i) => {
      const name = `${base}-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
      for (const [tensor] of shard) map[tensor] = name;
      files.set(name, (path) => writeShard(path, shard));
    });
    let total = 0;
    for (const tensor of tensors.values()) total += byteLength(tensor);
    const index = JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2) + "\n";
    files.set(`${base}.safetensors.index.json`, (path) => writeText(path, index));
  }
  for (const [name, text] of texts) files.set(name, (path) => writeText(path, text));

  const isOurs = (name: string) => files.has(name) || isWeights(name, base);
  await removeLeftovers(folder, isOurs);
  const asides = [...files.keys()].map((name) => ({ name, claim: claimAside(join(folder, name)) }));
  try {
    for (const { name, claim } of asides) await files.get(name)!(claim.path);
    for (const { name, claim } of asides) await Deno.rename(claim.path, join(folder, name));
  } catch (error) {
    for (const { claim } of asides) await Deno.remove(claim.path).catch(() => {});
    throw cannotWrite(folder, error);
  } finally {
    for (const { claim } of asides) claim[Symbol.dispose]();
  }
  for await (const { name } of Deno.readDir(folder)) {
    if (isWeights(name, base) && !files.has(name)) await Deno.remove(join(folder, name));
  }
  await syncFolder(folder);
}

/** Whether a file is of a model's weights: the one, a shard, or the index. */
function isWeights(name: string, base: string): boolean {
  if (!name.startsWith(base)) return false;
  return /^(-\d{5}-of-\d{5})?\.safetensors$|^\.safetensors\.index\.json$/.test(name.slice(base.length));
}

function split(tensors: ReadonlyMap<string, TensorStream>, limit: number): [string, TensorStream][][] {
  const shards: [string, TensorStream][][] = [[]];
  let size = 0;
  for (const each of tensors) {
    const bytes = byteLength(each[1]);
    if (size > 0 && size + bytes > limit) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(each);
    size += bytes;
  }
  return shards;
}

async function writeShard(path: string, tensors: [string, TensorStream][]): Promise<void> {
  // "pt" is what transformers asks for: the tensors are laid out as PyTorch's.
  const { header, ordered } = encodeSafetensorsHeader(tensors, { format: "pt" });
  await writeFileSynced(path, async (sink) => {
    await sink.write(header);
    for (const [name, tensor] of ordered) {
      const start = sink.size, needed = byteLength(tensor);
      for await (const piece of tensor.pieces()) await sink.write(piece);
      if (sink.size - start !== needed) {
        throw new RangeError(
          `tensor '${name}' ${tensor.dtype} [${tensor.shape}] needs ${needed} bytes: received ${sink.size - start}`,
        );
      }
    }
  });
}

async function writeText(path: string, text: string): Promise<void> {
  await writeFileSynced(path, (sink) => sink.write(new TextEncoder().encode(text)));
}

function byteLength({ dtype, shape }: TensorStream): number {
  return elementCount(shape) * BYTES_PER_ELEMENT[dtype];
}

const BASES = ["model", "diffusion_pytorch_model"];

/**
 * Opens the weights of a model's folder: `BASE.safetensors`, or the shards that `BASE.safetensors.index.json` lists. Names are
 * the model's own, without what compiling and parallel training have put into them (`plainName`).
 *
 * @param path the folder, or one safetensors file.
 * @param base name of the files; without it `model`, then `diffusion_pytorch_model` (diffusers' name) is tried.
 * @throws {UserError} if there are no weights, or a shard is missing, damaged or disagrees with the index.
 */
export async function openWeights(path: string, base?: string): Promise<WeightsReader> {
  const weights = await openAsNamed(path, base);
  try {
    return renamed(weights, plainName, path);
  } catch (error) {
    weights.close();
    throw error;
  }
}

async function openAsNamed(path: string, base?: string): Promise<WeightsReader> {
  let entries: Set<string>;
  try {
    if ((await Deno.stat(path)).isFile) return await SafetensorsFile.open(path);
    entries = new Set((await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name));
  } catch (error) {
    throw error instanceof UserError ? error : cannotRead(path, error);
  }
  for (const name of base === undefined ? BASES : [base]) {
    const single = `${name}.safetensors`;
    if (entries.has(single)) return await SafetensorsFile.open(join(path, single));
    const index = `${single}.index.json`;
    if (entries.has(index)) return await openShards(path, index, entries);
  }
  const wanted = (base === undefined ? BASES : [base]).map((name) => `${name}.safetensors`).join(" or ");
  const others = [...entries].filter((name) => /\.(safetensors|bin|pth?|ckpt)$/.test(name)).sort().slice(0, 5);
  const found = others.length > 0 ? `; found ${others.join(", ")}` : "";
  throw new UserError(`${path} holds no weights: ${wanted} (or its .index.json with shards) is needed${found}`);
}

async function openShards(folder: string, index: string, entries: Set<string>): Promise<WeightsReader> {
  const shardOf = await readIndex(join(folder, index));
  const shardNames = [...new Set(shardOf.values())];
  const missing = shardNames.filter((name) => !entries.has(name));
  if (missing.length > 0) {
    throw new UserError(
      `${folder} lacks ${missing.length} of ${shardNames.length} shards that ${index} lists: ${missing.join(", ")}`,
    );
  }
  const shards = new Map<string, SafetensorsFile>();
  const close = () => shards.forEach((shard) => shard.close());
  const metadata: Record<string, string> = Object.create(null);
  try {
    for (const name of shardNames) {
      const shard = await SafetensorsFile.open(join(folder, name));
      shards.set(name, shard);
      Object.assign(metadata, shard.metadata);
      const unlisted = shard.names.find((tensor) => shardOf.get(tensor) !== name);
      if (unlisted !== undefined) {
        throw new UserError(`${shard.path} holds tensor '${unlisted}', which ${index} does not list there`);
      }
    }
    for (const [tensor, name] of shardOf) shards.get(name)!.info(tensor);
  } catch (error) {
    close();
    throw error;
  }
  const names = [...shardOf.keys()];
  const shard = (tensor: string): SafetensorsFile => {
    const name = shardOf.get(tensor);
    if (name === undefined) throw noSuchTensor(folder, tensor, names);
    return shards.get(name)!;
  };
  return {
    names,
    metadata,
    info: (name) => shard(name).info(name),
    read: async (name) => await shard(name).read(name),
    readRows: async (name, start, count, memory) => await shard(name).readRows(name, start, count, memory),
    close,
    [Symbol.dispose]: close,
  };
}

/** Tensor name → shard file name. */
async function readIndex(path: string): Promise<Map<string, string>> {
  let json: StrictJson;
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_HEADER_BYTES) {
      throw new UserError(
        `${path} is not a valid index: it has ${size} bytes, more than the allowed ${MAX_HEADER_BYTES}`,
      );
    }
    json = parseStrictJson(await readTextFile(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${path} is not a valid index: ${error.message}`);
    throw error instanceof UserError ? error : cannotRead(path, error);
  }
  const map = json instanceof Map ? json.get("weight_map") : undefined;
  if (!(map instanceof Map)) throw new UserError(`${path} is not a valid index: it has no 'weight_map'`);
  for (const [tensor, file] of map) {
    // A name that leads out of the folder would read what the user did not point at.
    if (typeof file !== "string" || !/^[^/\\]+\.safetensors$/.test(file)) {
      throw new UserError(`${path} is not a valid index: tensor '${tensor}' is in ${JSON.stringify(file)}`);
    }
  }
  return map as Map<string, string>;
}
