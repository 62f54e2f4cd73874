/**
 * Episodes from a folder of .npz files, as the released data converter writes them: one file an episode, with the video
 * under one key and the actions under another.
 *
 * Any resolution and any action width will do, as long as all files agree. Files are read when they are needed and kept
 * in memory up to a limit, the least recently used going first. What a clip or an action range is, is not decided here.
 */

import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { npzKeys, npzShapes, readNpz } from "../../files/npz.ts";
import type { NdArray } from "../../files/npy.ts";
import { UserError } from "../../files/user_error.ts";
import type { ActionRanges } from "./actions.ts";
import { checkEpisodeIndex, type Episode, type EpisodeSource } from "./episode.ts";
import { EpisodeCache } from "./episode_cache.ts";

/** How to read a folder of episodes. */
export interface NpzEpisodeOptions {
  /** The key of the video: uint8 [T, H, W, 3], or float32/float64 in [0, 1]. Default `"image"`. */
  imageKey?: string;
  /** The key of the actions: float32 or float64 [T, A]; null for data without actions. Default `"action"`. */
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
 * that sub-folder, since the released layout is `{folder}/fractal20220817_data/*.npz`.
 *
 * @throws {UserError} if there is no such folder, it has no .npz file, or a checked file has a wrong key, shape or dtype.
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
  return new NpzEpisodes(folder, files, first, options);
}

const FLOATS = ["float32", "float64"];

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

  constructor(folder: string, files: readonly NpzFile[], header: EpisodeHeader, options: NpzEpisodeOptions) {
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
    const hash = createHash("sha256").update(JSON.stringify([imageKey, actionKey, this.height, this.width]));
    for (const { path, bytes } of files) hash.update(`\n${basename(path)}\t${bytes}`);
    this.fingerprint = hash.digest("hex");
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
    for await (const entry of Deno.readDir(folder)) {
      if (entry.name.endsWith(".npz") && !entry.isDirectory) names.push(entry.name);
      else if (entry.isDirectory) folders.push(entry.name);
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
  return await Promise.all(names.map(async (name) => {
    const path = join(folder, name);
    return { path, bytes: (await Deno.stat(path)).size };
  }));
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
  if (!["uint8", ...FLOATS].includes(image.dtype)) {
    throw new UserError(`"${imageKey}" of ${path} must be uint8, or float32 or float64 in 0..1: it is ${image.dtype}`);
  }
  if (action === null) return { length, height, width, actionWidth: 0 };
  if (action.shape.length !== 2 || action.shape[1] < 1) {
    throw new UserError(`"${actionKey}" of ${path} must have the shape [T, A]: it has [${action.shape.join(", ")}]`);
  }
  if (!FLOATS.includes(action.dtype)) {
    throw new UserError(`"${actionKey}" of ${path} must be float32 or float64: it is ${action.dtype}`);
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
  const pixels = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i]);
    // The negated comparison also catches NaN.
    if (!(value >= 0 && value <= 1)) {
      throw new UserError(`${what} must be in 0..1 where it is ${dtype}: value ${i} is ${value}`);
    }
    pixels[i] = Math.round(value * 255);
  }
  return pixels;
}

function toActions(what: string, { data, shape }: NdArray, ranges?: ActionRanges): Float32Array {
  const width = shape[1];
  if (ranges !== undefined && ranges.min.length !== width) {
    throw new UserError(`${what} has ${width} numbers an action, the given ranges are for ${ranges.min.length}`);
  }
  const actions = Float32Array.from(data as Float32Array | Float64Array);
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
