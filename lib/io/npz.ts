/**
 * NumPy's `.npz` archives: named arrays. Only what is asked for is read and expanded. Shared by the episode loader and
 * the commands that export numbers; the arrays' own format is `npy.ts`, the container's is `zip.ts`.
 */
import { decodeNpy, decodeNpyHeader, encodeNpy, type NdArray, type NdArrayInfo, NPY_HEAD_BYTES } from "./npy.ts";
import { UserError } from "../base/user_error.ts";
import { writeZip, ZipFile } from "./zip.ts";

/**
 * The names of an archive's arrays, in its order.
 *
 * @throws {UserError} if it is missing or is not a sound archive.
 */
export async function npzKeys(path: string): Promise<string[]> {
  using zip = await ZipFile.open(path);
  return keysOf(zip);
}

/**
 * Element type and shape of arrays, from the arrays' headers alone.
 *
 * @param keys the arrays wanted; all without it. Others may be of any type, and those not in the archive are left out.
 * @throws {UserError} as {@linkcode readNpz} does.
 */
export async function npzShapes(path: string, keys?: string[]): Promise<Record<string, NdArrayInfo>> {
  using zip = await ZipFile.open(path);
  const shapes: Record<string, NdArrayInfo> = Object.create(null);
  for (const key of keysOf(zip).filter((key) => keys === undefined || keys.includes(key))) {
    shapes[key] = await readHeader(zip, key);
  }
  return shapes;
}

/**
 * Reads arrays from an archive.
 *
 * @param keys the arrays wanted; all without it. Only these are expanded.
 * @returns a record without a prototype, so that any name is safe.
 * @throws {UserError} if the archive is missing or damaged, has no such array, or holds an unsupported type.
 */
export async function readNpz(path: string, keys?: string[]): Promise<Record<string, NdArray>> {
  using zip = await ZipFile.open(path);
  const there = keysOf(zip);
  const arrays: Record<string, NdArray> = Object.create(null);
  for (const key of keys ?? there) {
    if (!there.includes(key)) {
      throw new UserError(`${path} has no array '${key}': it has ${there.join(", ") || "none"}`);
    }
    await readHeader(zip, key);
    arrays[key] = decodeNpy(await zip.read(`${key}.npy`), `${path}: ${key}`);
  }
  return arrays;
}

/** Writes arrays to an archive, compressed, as `numpy.savez_compressed` does; atomically. */
export async function writeNpz(path: string, arrays: Record<string, NdArray>): Promise<void> {
  function* entries(): Generator<[string, Uint8Array]> {
    for (const [key, array] of Object.entries(arrays)) yield [`${key}.npy`, encodeNpy(array)];
  }
  await writeZip(path, entries(), { compress: true });
}

/** An array's header, from the entry's beginning; the entry must have the bytes that it needs before they are expanded. */
async function readHeader(zip: ZipFile, key: string): Promise<NdArrayInfo> {
  const name = `${key}.npy`, source = `${zip.path}: ${key}`;
  const { info, fileSize } = decodeNpyHeader(await zip.head(name, NPY_HEAD_BYTES), source);
  const { size } = zip.entries.get(name)!;
  if (size !== fileSize) {
    throw new UserError(
      `${source} cannot be read as a NumPy array: ${info.dtype} [${info.shape}] needs ${fileSize} bytes with its header, the ` +
        `archive states ${size}`,
    );
  }
  return info;
}

function keysOf(zip: ZipFile): string[] {
  return [...zip.entries.keys()].filter((name) => name.endsWith(".npy")).map((name) => name.slice(0, -4));
}
