/**
 * Episodes from a folder of .npz files, as the released data converter writes them: one file an episode, with the video
 * under one key and the actions under another.
 *
 * Any resolution and any action width will do, as long as all files agree. Files are read when they are needed and kept
 * in memory up to a limit, the least recently used going first. What a clip or an action range is, is not decided here.
 */

import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { hashContent } from "../../io/content_hash.ts";
import { npzKeys, npzShapes, readNpz } from "../../io/npz.ts";
import type { NdArray } from "../../io/npy.ts";
import { UserError } from "../../base/user_error.ts";
import type { ActionRanges } from "./actions.ts";
import { checkEpisodeIndex, type Episode, type EpisodeSource } from "./episode.ts";
import { EpisodeCache } from "./episode_cache.ts";

/**
 * How to read a folder of episodes.
 *
 * @internal
 */
export interface NpzEpisodeOptions {
  /**
   * The key of the video, [T, H, W, 3]: uint8, wider integers in 0 … 255, or floats (of 16, 32 or 64 bits) in [0, 1]; floats in
   * 0 … 255 are refused, since a dark frame of theirs would be taken for a bright one. @default {"image"}
   */
  imageKey?: string;
  /** The key of the actions, [T, A] of any number type; null for data without actions. @default {"action"} */
  actionKey?: string | null;
  /** Resize frames to this many pixels. Default: as they are. */
  resolution?: { height: number; width: number };
  /** Refuse actions outside these ranges. Default: any finite action. */
  actionRanges?: ActionRanges;
  /** How many bytes of episodes to keep in memory. Default 512 MiB. */
  cacheBytes?: number;
}

/** Up to this many files have their headers checked when the folder is opened; of larger folders, the first so many. */
const HEADERS_CHECKED_AT_OPEN = 200;
/** How far, relative to the width of a range, an action may be outside: the rounding of float64 to float32. */
const RANGE_TOLERANCE = 1e-6;

/**
 * Opens a folder of episodes, sorted by name. A folder without .npz files but with exactly one sub-folder stands for
 * that sub-folder, since the released layout is `{folder}/fractal20220817_data/*.npz`. Hidden entries, such as the `._name.npz`
 * that macOS leaves beside files, are not looked at.
 *
 * @throws {UserError} if there is no such folder, it has no .npz file, something named .npz is no file that can be read (a link
 *   to nowhere, a folder, a pipe), or a checked file has a wrong key, shape or dtype.
 */
export async function openNpzEpisodes(folder: string, options: NpzEpisodeOptions = {}): Promise<EpisodeSource> {
  const resolution = options.resolution;
  for (const size of resolution === undefined ? [] : [resolution.height, resolution.width]) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(
        `resolution must be positive whole pixels: received ${resolution?.height}x${resolution?.width}`,
      );
    }
  }
  const files = await listNpz(folder);
  const first = await readHeader(files[0].path, options);
  for (const { path } of files.slice(1, HEADERS_CHECKED_AT_OPEN)) {
    checkSameSize(path, await readHeader(path, options), files[0].path, first);
  }
  return new NpzEpisodes(folder, files, first, options, await contentHash(files));
}

const FLOATS = ["float16", "float32", "float64"];
/** Integers that may hold 0 … 255: int8 cannot, and what bool pixels mean nobody knows. */
const INTEGERS = ["uint8", "int16", "uint16", "int32", "uint32", "int64"];

/** What an array's own header says. */
interface ArrayHeader {
  dtype: string;
  shape: readonly number[];
}

interface NpzFile {
  path: string;
  bytes: number;
}

/** What the headers of a file say. */
interface EpisodeHeader {
  length: number;
  height: number;
  width: number;
  actionWidth: number;
}

class NpzEpisodes implements EpisodeSource {
  readonly name: string;
  readonly length: number;
  readonly height: number;
  readonly width: number;
  readonly actionWidth: number;
  readonly fingerprint: string;
  readonly #files: readonly NpzFile[];
  readonly #header: EpisodeHeader;
  readonly #options: NpzEpisodeOptions;
  readonly #cache: EpisodeCache;

  constructor(
    folder: string,
    files: readonly NpzFile[],
    header: EpisodeHeader,
    options: NpzEpisodeOptions,
    content: string,
  ) {
    this.name = basename(folder);
    this.length = files.length;
    this.height = options.resolution?.height ?? header.height;
    this.width = options.resolution?.width ?? header.width;
    this.actionWidth = header.actionWidth;
    this.#files = files;
    this.#header = header;
    this.#options = options;
    this.#cache = new EpisodeCache((index) => this.#read(index), options.cacheBytes);
    const { imageKey = "image", actionKey = "action" } = options;
    const read = JSON.stringify([imageKey, actionKey, this.height, this.width, content]);
    this.fingerprint = createHash("sha256").update(read).digest("hex");
  }

  async load(index: number): Promise<Episode> {
    checkEpisodeIndex(this, index);
    return await this.#cache.load(index);
  }

  #read(index: number): Promise<Episode> {
    const { path } = this.#files[index];
    return readEpisode(path, this.#options, (header) => {
      checkSameSize(path, header, this.#files[0].path, this.#header);
    });
  }
}

async function listNpz(folder: string): Promise<NpzFile[]> {
  const names: string[] = [];
  const folders: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (name.startsWith(".") || name === "__MACOSX") continue;
      if (name.endsWith(".npz")) names.push(name);
      else if (isDirectory) folders.push(name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UserError(`no such folder of episodes: ${folder}`);
    if (
      error instanceof Deno.errors.NotADirectory ||
      (error instanceof Error && /ENOTDIR|os error 20/.test(error.message))
    ) {
      throw new UserError(`episodes must be a folder of .npz files: ${folder} is a file`);
    }
    throw new UserError(
      `the folder of episodes ${folder} cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (names.length === 0 && folders.length === 1) return await listNpz(join(folder, folders[0]));
  if (names.length === 0) {
    const hint = folders.length > 1 ? `: give one of its sub-folders (${folders.sort().slice(0, 5).join(", ")})` : "";
    throw new UserError(`no .npz file in ${folder}${hint}`);
  }
  names.sort();
  return await Promise.all(names.map((name) => npzFile(join(folder, name))));
}

/** @throws {UserError} if it is no file: a pipe, for one, would be waited for when it is opened. */
async function npzFile(path: string): Promise<NpzFile> {
  let stat: Deno.FileInfo;
  try {
    stat = await Deno.stat(path);
  } catch (error) {
    const target = await Deno.readLink(path).catch(() => undefined);
    throw new UserError(
      target === undefined
        ? `the episode ${path} cannot be read: ${error instanceof Error ? error.message : error}`
        : `the episode ${path} is a link to ${target}, which cannot be read: mend the link or remove it`,
    );
  }
  if (stat.isFile) return { path, bytes: stat.size };
  throw new UserError(`${path} is ${stat.isDirectory ? "a folder" : "no file"}, not an episode: rename or remove it`);
}

/** Of names, sizes, and what the files hold. */
async function contentHash(files: readonly NpzFile[]): Promise<string> {
  const hash = createHash("sha256");
  for (const { path, bytes } of files) hash.update(`${basename(path)}\t${bytes}\n`);
  await hashContent(hash, files.map(({ path }) => path));
  return hash.digest("hex");
}

async function readHeader(path: string, options: NpzEpisodeOptions): Promise<EpisodeHeader> {
  const { imageKey = "image", actionKey = "action" } = options;
  const keys = actionKey === null ? [imageKey] : [imageKey, actionKey];
  const headers = await npzShapes(path, keys);
  for (const key of keys) {
    if (Object.hasOwn(headers, key)) continue;
    const there = (await npzKeys(path)).sort().join(", ");
    throw new UserError(`${path} has no array "${key}": it has ${there || "none"}; name the right key`);
  }
  return checkHeaders(path, imageKey, headers[imageKey], actionKey, actionKey === null ? null : headers[actionKey]);
}

function checkHeaders(
  path: string,
  imageKey: string,
  image: ArrayHeader,
  actionKey: string | null,
  action: ArrayHeader | null,
): EpisodeHeader {
  const [length, height, width, channels] = image.shape;
  if (image.shape.length !== 4 || channels !== 3 || length < 1 || height < 1 || width < 1) {
    throw new UserError(
      `"${imageKey}" of ${path} must have the shape [T, H, W, 3]: it has [${image.shape.join(", ")}]`,
    );
  }
  if (![...INTEGERS, ...FLOATS].includes(image.dtype)) {
    throw new UserError(
      `"${imageKey}" of ${path} must be uint8 (or another integer type in 0..255), or floats in 0..1: it is ${image.dtype}`,
    );
  }
  if (action === null) return { length, height, width, actionWidth: 0 };
  if (action.shape.length !== 2 || action.shape[1] < 1) {
    throw new UserError(`"${actionKey}" of ${path} must have the shape [T, A]: it has [${action.shape.join(", ")}]`);
  }
  if (action.shape[0] !== length) {
    throw new UserError(`${path} must have one action a frame: it has ${length} frames and ${action.shape[0]} actions`);
  }
  return { length, height, width, actionWidth: action.shape[1] };
}

function checkSameSize(path: string, header: EpisodeHeader, firstPath: string, first: EpisodeHeader): void {
  if (header.height !== first.height || header.width !== first.width) {
    throw new UserError(
      `all episodes must have frames of one size: ${path} has ${header.height}x${header.width}, ` +
        `${firstPath} has ${first.height}x${first.width}`,
    );
  }
  if (header.actionWidth !== first.actionWidth) {
    throw new UserError(
      `all episodes must have actions of one width: ${path} has ${header.actionWidth}, ${firstPath} has ${first.actionWidth}`,
    );
  }
}

async function readEpisode(
  path: string,
  options: NpzEpisodeOptions,
  check: (header: EpisodeHeader) => void,
): Promise<Episode> {
  const { imageKey = "image", actionKey = "action" } = options;
  const header = await readHeader(path, options);
  check(header);
  const arrays = await readNpz(path, actionKey === null ? [imageKey] : [imageKey, actionKey]);
  const { length, actionWidth } = header;
  const actions = actionKey === null
    ? new Float32Array(0)
    : toActions(`"${actionKey}" of ${path}`, arrays[actionKey], options.actionRanges);
  const { height, width } = options.resolution ?? header;
  const frames = await resizeFrames(toPixels(`"${imageKey}" of ${path}`, arrays[imageKey]), header, height, width);
  return { id: basename(path, ".npz"), frames, length, height, width, actions, actionWidth };
}

function toPixels(what: string, { dtype, data }: NdArray): Uint8Array {
  if (data instanceof Uint8Array) return data;
  const isFloat = FLOATS.includes(dtype), scale = isFloat ? 255 : 1;
  const pixels = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    // Rounded before it is compared: what resizing leaves just above 1 is 1. The negated comparison also catches NaN.
    const pixel = Math.round(Number(data[i]) * scale);
    if (!(pixel >= 0 && pixel <= 255)) {
      throw new UserError(
        `${what} must be in ${isFloat ? "0..1" : "0..255"} where it is ${dtype}: value ${i} is ${data[i]}` +
          (isFloat && data[i] > 1 ? "; save frames of 0..255 as uint8, or divide them by 255" : ""),
      );
    }
    pixels[i] = pixel;
  }
  return pixels;
}

function toActions(what: string, { data, shape }: NdArray, ranges?: ActionRanges): Float32Array {
  const width = shape[1];
  if (ranges !== undefined && ranges.min.length !== width) {
    throw new UserError(`${what} has ${width} numbers an action, the given ranges are for ${ranges.min.length}`);
  }
  // 64-bit integers come as BigInt.
  const actions = Float32Array.from(data as ArrayLike<number | bigint>, Number);
  for (let i = 0; i < actions.length; i++) {
    const row = Math.floor(i / width), column = i % width;
    if (!Number.isFinite(actions[i])) {
      throw new UserError(`${what} must be finite: row ${row}, column ${column} is ${data[i]}`);
    }
    if (ranges === undefined) continue;
    const min = ranges.min[column], max = ranges.max[column];
    const slack = RANGE_TOLERANCE * (max - min);
    if (actions[i] < min - slack || actions[i] > max + slack) {
      throw new UserError(
        `${what} must be in its range: row ${row}, ${ranges.names?.[column] ?? `column ${column}`} is ${actions[i]}, ` +
          `outside ${min}..${max}; check the order of the fields, or compute the ranges from the data`,
      );
    }
  }
  return actions;
}

/** Resizes each frame, filling the new size (the aspect may change), with a bilinear filter that averages when shrinking. */
async function resizeFrames(
  pixels: Uint8Array,
  header: EpisodeHeader,
  height: number,
  width: number,
): Promise<Uint8Array> {
  if (header.height === height && header.width === width) return pixels;
  const { default: sharp } = await import("sharp");
  const sourceSize = header.height * header.width * 3, targetSize = height * width * 3;
  const resized = new Uint8Array(header.length * targetSize);
  for (let t = 0; t < header.length; t++) {
    const frame = pixels.subarray(t * sourceSize, (t + 1) * sourceSize);
    const raw = { width: header.width, height: header.height, channels: 3 as const };
    resized.set(
      await sharp(frame, { raw }).resize(width, height, { fit: "fill", kernel: "linear" }).raw().toBuffer(),
      t * targetSize,
    );
  }
  return resized;
}
