/**
 * Safetensors files as the Hugging Face libraries write and read them. Tensors are read one by one, straight from the file
 * into memory of their own; what a file's header claims is checked in `safetensors_header.ts` before anything is allocated.
 * Folders of such files are `safetensors_folder.ts`.
 */
import { writeFileAtomicWith } from "./atomic.ts";
import { checkHostTensor, type HostTensor } from "./host_tensor.ts";
import { openRandomAccess, type RandomAccessFile } from "./random_access.ts";
import { encodeSafetensorsHeader, readSafetensorsHeader, type TensorPlace } from "./safetensors_header.ts";
import { UserError } from "../base/user_error.ts";

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

/** The error of a name that is not among the tensors, with some that are. */
export function noSuchTensor(path: string, name: string, names: string[]): UserError {
  const some = names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");
  return new UserError(`${path} has no tensor '${name}': it has ${names.length} (${some})`);
}
