/**
 * PyTorch's `.pth` and `.pt` checkpoints: state dicts in the ZIP format of PyTorch 1.6 and later, and in the plain format
 * before it. What their pickles may say is decided in `unpickler.ts`; here their tensors' bytes are found and read by
 * range, so that the file is never in memory as a whole.
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
import { UserError } from "./user_error.ts";
import { ZipFile } from "./zip.ts";

/** Options of {@linkcode readPth}. */
export interface ReadPthOptions {
  /** Told of every value that is no tensor and is therefore left out: `epoch`, `a number`. */
  onSkip?: (name: string, what: string) => void;
}

/** Reads bytes [offset, offset + length) of a storage. */
type StorageReader = (storage: PickledStorage, offset: number, length: number) => Promise<Uint8Array>;

/** Top-level keys under which training scripts keep the state dict beside other things. */
const WRAPPERS = ["state_dict", "model"];
const MAX_DEPTH = 8;
/** Items of all dicts together; a pickle can make a dict contain another many times. */
const MAX_ITEMS = 1_000_000;
/** Tensors may share storages; together they may be this many times larger than the file before it counts as hostile. */
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
    return isZip ? await readZipped(path, options) : await readLegacy(file, options);
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw new UserError(
      `${path} cannot be read as a PyTorch checkpoint: ${error.message}. ` +
        `A plain state dict can be: in Python, torch.save(model.state_dict(), "new.pth"), or save it as safetensors`,
    );
  }
}

async function readZipped(path: string, options: ReadPthOptions): Promise<Map<string, HostTensor>> {
  using zip = await ZipFile.open(path);
  const pickles = [...zip.entries.keys()].filter((name) => name === "data.pkl" || name.endsWith("/data.pkl"));
  if (pickles.length !== 1) throw new PickleError(`it has ${pickles.length} entries 'data.pkl' where one is needed`);
  const prefix = pickles[0].slice(0, -"data.pkl".length);
  if (zip.entries.has(`${prefix}constants.pkl`)) throw new PickleError("it is a TorchScript model");
  if (zip.entries.has(`${prefix}byteorder`)) {
    const order = new TextDecoder().decode(await zip.read(`${prefix}byteorder`));
    if (order !== "little") throw new PickleError(`its byte order is ${JSON.stringify(order)}, not "little"`);
  }
  const { value } = unpickle(await zip.read(pickles[0]));
  const limit = totalSize(zip) * MAX_SHARING;
  return await readTensors(value, limit, options, async (storage, offset, length) => {
    const name = `${prefix}data/${storage.key}`;
    const entry = zip.entries.get(name);
    if (entry === undefined) throw new PickleError(`its storage '${storage.key}' is missing`);
    const stated = storage.elements * BYTES_PER_ELEMENT[storage.dtype];
    if (entry.size !== stated) {
      throw new PickleError(`its storage '${storage.key}' has ${entry.size} bytes where ${stated} are stated`);
    }
    if (entry.method === 0) return await zip.readStoredRange(name, offset, length);
    return (await zip.read(name)).slice(offset, offset + length);
  });
}

function totalSize(zip: ZipFile): number {
  return [...zip.entries.values()].reduce((sum, entry) => sum + entry.size, 0);
}

/** Magic number, protocol, machine, value and storage keys as pickles; then each storage's element count and bytes. */
async function readLegacy(file: RandomAccessFile, options: ReadPthOptions): Promise<Map<string, HostTensor>> {
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
    at += 8 + storage.elements * BYTES_PER_ELEMENT[storage.dtype];
    if (at > file.size) throw new PickleError(`truncated: ${at} bytes are needed, the file has ${file.size}`);
  }
  return await readTensors(value, file.size * MAX_SHARING, options, async (storage, offset, length) => {
    const start = starts.get(storage.key);
    if (start === undefined) throw new PickleError(`its storage '${storage.key}' is missing`);
    return await file.read(start + offset, length);
  });
}

async function readLegacyPickles(file: RandomAccessFile): Promise<{ value: PickleValue; keys: string[]; end: number }> {
  // The pickles' size is stated nowhere: read a larger beginning until they fit.
  for (let size = Math.min(file.size, 1 << 20);; size = Math.min(file.size, size * 4)) {
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
      if (!(error instanceof PickleTruncated) || size === file.size) throw error;
    }
  }
}

function collectStorages(value: PickleValue, storages: Map<string, PickledStorage>): void {
  const seen = new Set<PickleValue>();
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop()!;
    if (next instanceof PickledTensor) storages.set(next.storage.key, next.storage);
    if (!(next instanceof Map || Array.isArray(next)) || seen.has(next)) continue;
    seen.add(next);
    for (const inner of next.values()) pending.push(inner);
  }
}

async function readTensors(
  top: PickleValue,
  limit: number,
  options: ReadPthOptions,
  read: StorageReader,
): Promise<Map<string, HostTensor>> {
  if (!(top instanceof Map)) throw new PickleError("it holds no dict of tensors");
  const wrapper = WRAPPERS.find((key) => top.get(key) instanceof Map);
  if (wrapper !== undefined) {
    for (const key of top.keys()) if (key !== wrapper) options.onSkip?.(String(key), `beside '${wrapper}'`);
  }
  const named = new Map<string, PickledTensor>();
  let items = 0;
  const visit = () => {
    if (++items > MAX_ITEMS) throw new PickleError(`its dicts have more than ${MAX_ITEMS} items`);
  };
  flatten(
    wrapper === undefined ? top : top.get(wrapper) as Map<PickleValue, PickleValue>,
    "",
    0,
    named,
    options,
    visit,
  );
  if (named.size === 0) throw new PickleError("it holds no tensors");
  const tensors = new Map<string, HostTensor>();
  let total = 0;
  for (const [name, tensor] of named) {
    total += elementCount(tensor.shape) * BYTES_PER_ELEMENT[tensor.storage.dtype];
    if (total > limit) throw new PickleError(`its tensors claim more than ${limit} bytes of a much smaller file`);
    tensors.set(name, await readTensor(name, tensor, read));
  }
  return tensors;
}

function flatten(
  dict: Map<PickleValue, PickleValue>,
  prefix: string,
  depth: number,
  named: Map<string, PickledTensor>,
  options: ReadPthOptions,
  visit: () => void,
): void {
  if (depth > MAX_DEPTH) throw new PickleError(`its dicts nest deeper than ${MAX_DEPTH} levels`);
  for (const [key, value] of dict) {
    visit();
    if (typeof key !== "string" && typeof key !== "number") {
      throw new PickleError("a dict in it has a key that is no text");
    }
    const name = prefix + key;
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

async function readTensor(name: string, tensor: PickledTensor, read: StorageReader): Promise<HostTensor> {
  const { storage, offset, shape, strides } = tensor;
  const { dtype } = storage;
  const width = BYTES_PER_ELEMENT[dtype];
  const count = elementCount(shape);
  if (count === 0) return { dtype, shape, data: new Uint8Array(0) };
  // Elements from the first to the last that the view touches.
  const span = shape.reduce((last, size, axis) => last + (size - 1) * strides[axis], 0) + 1;
  if (offset + span > storage.elements || count > storage.elements) {
    throw new PickleError(
      `tensor '${name}' [${shape}] needs more than the ${storage.elements} elements of its storage`,
    );
  }
  const bytes = await read(storage, offset * width, span * width);
  return { dtype, shape, data: isContiguous(shape, strides) ? bytes : gather(bytes, shape, strides, width) };
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
