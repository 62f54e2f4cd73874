/**
 * PyTorch's `.pth` and `.pt` checkpoints: state dicts in the ZIP format of PyTorch 1.6 and later, and in the plain format
 * before it. What their pickles may say is decided in `unpickler.ts`; here their tensors' bytes are found and read, each storage
 * once. In a ZIP archive each has a checksum, which is checked; the plain format has none.
 *
 * Not read: whole pickled models, optimizers' objects, TorchScript, the tar format of 2016.
 */
import { BYTES_PER_ELEMENT, elementCount, type HostTensor } from "./host_tensor.ts";
import { openRandomAccess, type RandomAccessFile } from "./random_access.ts";
import {
  type PickledStorage,
  PickledTensor,
  PickleError,
  PickleTruncated,
  type PickleValue,
  unpickle,
} from "./unpickler.ts";
import { UserError } from "../base/user_error.ts";
import { ZipFile } from "./zip.ts";

/** Options of {@linkcode readPth}. */
export interface ReadPthOptions {
  /** Told of every value that is no tensor and is therefore left out: `epoch`, `a number`. */
  onSkip?: (name: string, what: string) => void;
}

/** Reads all bytes of a storage. */
type StorageReader = (storage: PickledStorage) => Promise<Uint8Array>;

/** What a pickle says, and what bounds the work for it. */
interface Checkpoint {
  value: PickleValue;
  /** Bytes of the pickle. */
  pickleSize: number;
  /** Bytes of the file. */
  fileSize: number;
  readStorage: StorageReader;
}

/** Top-level keys under which training scripts keep the state dict beside other things. */
const WRAPPERS = ["state_dict", "model"];
const MAX_DEPTH = 8;
/** Room for a quarter of a million tensors. */
const MAX_PICKLE_BYTES = 2 ** 26;
/** A pickle can make a dict contain another many times: characters of all names for each byte of it. */
const MAX_NAMES = 64;
/** Tensors may share storages: beyond each storage once, bytes of all tensors for each byte of the file. */
const MAX_SHARING = 16;
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/**
 * Reads the tensors of a checkpoint.
 *
 * A dict at the top-level key `state_dict` or else `model` is taken instead of the whole. Dicts inside dicts are joined
 * with a dot: `{encoder: {weight}}` gives `encoder.weight`. Values that are no tensors are left out, and `onSkip` is told. Strided
 * views come out contiguous.
 *
 * @throws {UserError} if the file is missing, damaged, or refers to anything that a state dict does not need (by name).
 */
export async function readPth(path: string, options: ReadPthOptions = {}): Promise<Map<string, HostTensor>> {
  using file = await openRandomAccess(path);
  const head = await file.read(0, Math.min(4, file.size));
  try {
    const isZip = head.length === 4 && new DataView(head.buffer).getUint32(0, true) === 0x04034b50;
    if (!isZip) return await readTensors(await openLegacy(file), options);
    using zip = await ZipFile.open(path);
    return await readTensors(await openZipped(zip, file.size), options);
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw new UserError(
      `${path} cannot be read as a PyTorch checkpoint: ${error.message}. ` +
        `A plain state dict can be: in Python, torch.save(model.state_dict(), "new.pth"), or save it as safetensors`,
    );
  }
}

async function openZipped(zip: ZipFile, fileSize: number): Promise<Checkpoint> {
  const pickles = [...zip.entries.keys()].filter((name) => name === "data.pkl" || name.endsWith("/data.pkl"));
  if (pickles.length !== 1) throw new PickleError(`it has ${pickles.length} entries 'data.pkl' where one is needed`);
  const prefix = pickles[0].slice(0, -"data.pkl".length);
  if (zip.entries.has(`${prefix}constants.pkl`)) throw new PickleError("it is a TorchScript model");
  if (zip.entries.has(`${prefix}byteorder`)) {
    const order = new TextDecoder().decode(await zip.head(`${prefix}byteorder`, 16));
    if (order !== "little") throw new PickleError(`its byte order is ${JSON.stringify(order)}, not "little"`);
  }
  const pickleSize = zip.entries.get(pickles[0])!.size;
  if (pickleSize > MAX_PICKLE_BYTES) throw tooLongPickle();
  const { value } = unpickle(await zip.read(pickles[0]));
  return {
    value,
    pickleSize,
    fileSize,
    readStorage: async (storage) => {
      const name = `${prefix}data/${storage.key}`, stated = byteLength(storage);
      const entry = zip.entries.get(name);
      if (entry === undefined) throw missingStorage(storage);
      if (entry.size !== stated) {
        throw new PickleError(`its storage '${storage.key}' has ${entry.size} bytes where ${stated} are stated`);
      }
      return await zip.read(name);
    },
  };
}

/** Magic number, protocol, machine, value and storage keys as pickles; then each storage's element count and bytes. */
async function openLegacy(file: RandomAccessFile): Promise<Checkpoint> {
  const { value, keys, end } = await readLegacyPickles(file);
  const storages = new Map<string, PickledStorage>();
  collectStorages(value, storages);
  const starts = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined) throw new PickleError(`its storage '${key}' belongs to no tensor`);
    const elements = new DataView((await file.read(at, 8)).buffer).getBigInt64(0, true);
    if (elements !== BigInt(storage.elements)) {
      throw new PickleError(`its storage '${key}' has ${elements} elements where ${storage.elements} are stated`);
    }
    starts.set(key, at + 8);
    at += 8 + byteLength(storage);
    if (at > file.size) throw new PickleError(`truncated: ${at} bytes are needed, the file has ${file.size}`);
  }
  return {
    value,
    pickleSize: end,
    fileSize: file.size,
    readStorage: async (storage) => {
      const start = starts.get(storage.key);
      if (start === undefined) throw missingStorage(storage);
      return await file.read(start, byteLength(storage));
    },
  };
}

async function readLegacyPickles(file: RandomAccessFile): Promise<{ value: PickleValue; keys: string[]; end: number }> {
  const limit = Math.min(file.size, MAX_PICKLE_BYTES);
  // The pickles' size is stated nowhere: read a larger beginning until they fit.
  for (let size = Math.min(limit, 1 << 20);; size = Math.min(limit, size * 4)) {
    const bytes = await file.read(0, size);
    try {
      const magic = unpickle(bytes);
      if (magic.value !== LEGACY_MAGIC) throw new PickleError("it does not start with PyTorch's magic number");
      const protocol = unpickle(bytes, magic.end);
      if (protocol.value !== LEGACY_PROTOCOL) throw new PickleError("its protocol version is unknown");
      const machine = unpickle(bytes, protocol.end);
      if (!(machine.value instanceof Map) || machine.value.get("little_endian") !== true) {
        throw new PickleError("it was not written on a little-endian machine");
      }
      const main = unpickle(bytes, machine.end);
      const keys = unpickle(bytes, main.end);
      if (!Array.isArray(keys.value) || !keys.value.every((key) => typeof key === "string")) {
        throw new PickleError("its list of storages is malformed");
      }
      return { value: main.value, keys: keys.value as string[], end: keys.end };
    } catch (error) {
      if (!(error instanceof PickleTruncated)) throw error;
      if (size === limit) throw limit === file.size ? error : tooLongPickle();
    }
  }
}

function collectStorages(value: PickleValue, storages: Map<string, PickledStorage>): void {
  const seen = new Set<PickleValue>();
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop()!;
    if (next instanceof PickledTensor) register(next.storage, storages);
    if (!(next instanceof Map || Array.isArray(next)) || seen.has(next)) continue;
    seen.add(next);
    for (const inner of next.values()) pending.push(inner);
  }
}

/** Notes a storage by its key. @throws {PickleError} if another tensor says something else of it. */
function register(storage: PickledStorage, storages: Map<string, PickledStorage>): void {
  const { key, dtype, elements } = storages.get(storage.key) ?? storage;
  if (dtype !== storage.dtype || elements !== storage.elements) {
    throw new PickleError(
      `its storage '${key}' is of ${elements} ${dtype} to one tensor and of ${storage.elements} ${storage.dtype} to another`,
    );
  }
  storages.set(key, storage);
}

async function readTensors(checkpoint: Checkpoint, options: ReadPthOptions): Promise<Map<string, HostTensor>> {
  const named = findTensors(checkpoint, options);
  const storages = new Map<string, PickledStorage>();
  const users = new Map<string, string[]>();
  let total = 0, limit = MAX_SHARING * checkpoint.fileSize;
  for (const [name, { storage, shape }] of named) {
    if (!storages.has(storage.key)) limit += byteLength(storage);
    register(storage, storages);
    const names = users.get(storage.key);
    if (names) names.push(name);
    else users.set(storage.key, [name]);
    total += elementCount(shape) * BYTES_PER_ELEMENT[storage.dtype];
  }
  if (total > limit) throw new PickleError(`its tensors claim more than ${limit} bytes of a much smaller file`);
  for (const [name, tensor] of named) checkView(name, tensor);

  // In the order of the names, whatever order the storages come in.
  const tensors = new Map<string, HostTensor>([...named.keys()].map((name) => [name, NOTHING]));
  for (const [key, names] of users) {
    const bytes = await checkpoint.readStorage(storages.get(key)!);
    for (const name of names) tensors.set(name, cut(bytes, named.get(name)!));
  }
  return tensors;
}

/** Holds a place in a map. */
const NOTHING: HostTensor = { dtype: "U8", shape: [0], data: new Uint8Array(0) };

/** The tensors of the dict, or of the one that it wraps, by their names. */
function findTensors({ value, pickleSize }: Checkpoint, options: ReadPthOptions): Map<string, PickledTensor> {
  if (!(value instanceof Map)) throw new PickleError("it holds no dict of tensors");
  const wrapper = WRAPPERS.find((key) => value.get(key) instanceof Map);
  if (wrapper !== undefined) {
    for (const key of value.keys()) if (key !== wrapper) options.onSkip?.(String(key), `beside '${wrapper}'`);
  }
  const named = new Map<string, PickledTensor>();
  let characters = 0;
  const visit = (name: string) => {
    characters += name.length + 1;
    if (characters > MAX_NAMES * pickleSize) {
      throw new PickleError("its dicts contain one another more often than a state dict's do");
    }
  };
  flatten(wrapper === undefined ? value : value.get(wrapper) as typeof value, "", 0, named, options, visit);
  if (named.size === 0) throw new PickleError("it holds no tensors");
  return named;
}

function flatten(
  dict: Map<PickleValue, PickleValue>,
  prefix: string,
  depth: number,
  named: Map<string, PickledTensor>,
  options: ReadPthOptions,
  visit: (name: string) => void,
): void {
  if (depth > MAX_DEPTH) throw new PickleError(`its dicts nest deeper than ${MAX_DEPTH} levels`);
  for (const [key, value] of dict) {
    if (typeof key !== "string" && typeof key !== "number") {
      throw new PickleError("a dict in it has a key that is no text");
    }
    const name = prefix + key;
    visit(name);
    if (value instanceof PickledTensor) {
      if (named.has(name)) throw new PickleError(`it has two tensors named '${name}'`);
      named.set(name, value);
    } else if (value instanceof Map) {
      flatten(value, `${name}.`, depth + 1, named, options, visit);
    } else {
      options.onSkip?.(name, kindOf(value));
    }
  }
}

function kindOf(value: PickleValue): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function byteLength({ elements, dtype }: PickledStorage): number {
  return elements * BYTES_PER_ELEMENT[dtype];
}

function missingStorage({ key }: PickledStorage): PickleError {
  return new PickleError(`its storage '${key}' is missing`);
}

function tooLongPickle(): PickleError {
  return new PickleError(`its pickle has more than the ${MAX_PICKLE_BYTES} bytes that are read`);
}

/** Elements from the first to the last that a view touches. */
function spanOf({ shape, strides }: PickledTensor): number {
  return shape.reduce((last, size, axis) => last + (size - 1) * strides[axis], 0) + 1;
}

function checkView(name: string, tensor: PickledTensor): void {
  const { storage, offset, shape } = tensor, count = elementCount(shape);
  if (count > 0 && (offset + spanOf(tensor) > storage.elements || count > storage.elements)) {
    throw new PickleError(
      `tensor '${name}' [${shape}] needs more than the ${storage.elements} elements of its storage`,
    );
  }
}

/** A tensor out of its storage's bytes: they themselves where it is all of them, a copy where it is a part. */
function cut(bytes: Uint8Array, tensor: PickledTensor): HostTensor {
  const { storage: { dtype }, offset, shape, strides } = tensor;
  const width = BYTES_PER_ELEMENT[dtype];
  if (elementCount(shape) === 0) return { dtype, shape, data: new Uint8Array(0) };
  const part = bytes.subarray(offset * width, (offset + spanOf(tensor)) * width);
  if (!isContiguous(shape, strides)) return { dtype, shape, data: gather(part, shape, strides, width) };
  return { dtype, shape, data: part.length === bytes.length ? bytes : part.slice() };
}

function isContiguous(shape: number[], strides: number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

/** Copies a strided view into C order. */
function gather(bytes: Uint8Array, shape: number[], strides: number[], width: number): Uint8Array {
  const result = new Uint8Array(elementCount(shape) * width);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < result.length; to += width) {
    for (let i = 0; i < width; i++) result[to + i] = bytes[from * width + i];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}
