/**
 * Safetensors files, and folders of them, as the Hugging Face libraries write and read them. Tensors are read one by
 * one, straight from the file into memory of their own; what a file's header claims is checked in
 * `safetensors_header.ts` before anything is allocated.
 */
import { join } from "node:path";
import { writeFileAtomicWith } from "./atomic.ts";
import { checkHostTensor, type HostTensor } from "./host_tensor.ts";
import { readTextFile } from "./plain_file.ts";
import { cannotRead, openRandomAccess, type RandomAccessFile } from "./random_access.ts";
import {
  encodeSafetensorsHeader,
  MAX_HEADER_BYTES,
  readSafetensorsHeader,
  type TensorPlace,
} from "./safetensors_header.ts";
import { parseStrictJson, type StrictJson } from "./strict_json.ts";
import { UserError } from "../base/user_error.ts";
import { plainName, renamed } from "./weight_names.ts";

export { fromFloat32, fromInt64, type HostDtype, type HostTensor, toFloat32, toInt64 } from "./host_tensor.ts";

/** Named tensors on disk, from one file or from several. */
export interface WeightsReader extends Disposable {
  /** Of all tensors, in the order of the file's header. */
  readonly names: string[];
  /** The texts that the file says about itself. */
  readonly metadata: Record<string, string>;
  /** Element type and shape of a tensor, without reading it. @throws {UserError} if there is none of this name. */
  info(name: string): { dtype: HostTensor["dtype"]; shape: number[] };
  /** Reads one tensor. @throws {UserError} if there is none of this name. */
  read(name: string): Promise<HostTensor>;
  /**
   * Reads rows `start` … `start + count − 1` of a tensor's first axis.
   *
   * @param memory Holds the result's bytes, for callers who read piece by piece; at least as large.
   * @throws {UserError} if there is no tensor of this name.
   */
  readRows(name: string, start: number, count: number, memory?: Uint8Array): Promise<HostTensor>;
  /** Closes the files. */
  close(): void;
}

/** An open safetensors file. Close it when done, or hold it with `using`. */
export class SafetensorsFile implements WeightsReader {
  /** The file. */
  readonly path: string;
  /** Of all tensors, in the order of the header. */
  readonly names: string[];
  /** The texts that the file says about itself. */
  readonly metadata: Record<string, string>;
  readonly #file: RandomAccessFile;
  readonly #tensors: Map<string, TensorPlace>;

  private constructor(file: RandomAccessFile, tensors: Map<string, TensorPlace>, metadata: Record<string, string>) {
    this.#file = file;
    this.#tensors = tensors;
    this.path = file.path;
    this.names = [...tensors.keys()];
    this.metadata = metadata;
  }

  /** Opens a file and checks its header. @throws {UserError} if it is missing or not sound, saying why. */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await openRandomAccess(path);
    try {
      const { tensors, metadata } = await readSafetensorsHeader(file);
      return new SafetensorsFile(file, tensors, metadata);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Element type and shape of a tensor, without reading it. @throws {UserError} if there is none of this name. */
  info(name: string): { dtype: HostTensor["dtype"]; shape: number[] } {
    const { dtype, shape } = this.#place(name);
    return { dtype, shape: [...shape] };
  }

  /** Reads one tensor. @throws {UserError} if there is none of this name. */
  async read(name: string): Promise<HostTensor> {
    const { dtype, shape, offset, byteLength } = this.#place(name);
    return { dtype, shape: [...shape], data: await this.#file.read(offset, byteLength) };
  }

  /** Reads rows `start` … `start + count − 1` of a tensor's first axis, into `memory` where it is given. */
  async readRows(name: string, start: number, count: number, memory?: Uint8Array): Promise<HostTensor> {
    const { dtype, shape, offset, byteLength } = this.#place(name);
    if (shape.length === 0 || start < 0 || count < 1 || start + count > shape[0]) {
      throw new RangeError(`tensor '${name}' [${shape}] has no rows ${start} to ${start + count - 1}`);
    }
    const rowBytes = byteLength / shape[0];
    const data = memory?.subarray(0, rowBytes * count) ?? new Uint8Array(rowBytes * count);
    await this.#file.readInto(offset + start * rowBytes, data);
    return { dtype, shape: [count, ...shape.slice(1)], data };
  }

  /** Closes the file; reading from it then is an error. */
  close(): void {
    this.#file.close();
  }

  /** Same as {@linkcode SafetensorsFile.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #place(name: string): TensorPlace {
    const place = this.#tensors.get(name);
    if (place === undefined) throw noSuchTensor(this.path, name, this.names);
    return place;
  }
}

/** Reads every tensor of a file. @throws {UserError} if it is missing or not sound. */
export async function readSafetensors(path: string): Promise<Map<string, HostTensor>> {
  using file = await SafetensorsFile.open(path);
  const tensors = new Map<string, HostTensor>();
  for (const name of file.names) tensors.set(name, await file.read(name));
  return tensors;
}

/**
 * Writes tensors to a file, atomically: it is written aside, synced and renamed.
 *
 * @throws {RangeError} if a tensor's bytes do not fit its shape, or a name is there twice; nothing is written then.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<[string, HostTensor]>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const chunks = safetensorsChunks(tensors, metadata);
  await writeFileAtomicWith(path, async (sink) => {
    for (const chunk of chunks) await sink.write(chunk);
  });
}

/**
 * The bytes of a safetensors file, in pieces that share the tensors' memory.
 *
 * @throws {RangeError} as {@linkcode writeSafetensors} does.
 */
export function safetensorsChunks(
  tensors: Iterable<[string, HostTensor]>,
  metadata: Record<string, string> = {},
): Uint8Array[] {
  const entries = [...tensors];
  const names = new Set<string>();
  for (const [name, tensor] of entries) {
    if (name === "__metadata__") throw new RangeError("a tensor cannot be named '__metadata__'");
    if (names.has(name)) throw new RangeError(`tensor '${name}' is there twice`);
    names.add(name);
    checkHostTensor(name, tensor);
  }
  const { header, ordered } = encodeSafetensorsHeader(entries, metadata);
  return [header, ...ordered.map(([, tensor]) => tensor.data)];
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

function noSuchTensor(path: string, name: string, names: string[]): UserError {
  const some = names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");
  return new UserError(`${path} has no tensor '${name}': it has ${names.length} (${some})`);
}
