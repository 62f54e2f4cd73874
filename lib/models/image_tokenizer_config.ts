/**
 * What the sizes of all image tokenizers have in common: which values have sense, and how fields of a diffusers
 * `config.json` are read and refused by name. Nothing here holds a tensor.
 */
import { UserError } from "../base/user_error.ts";
import { FSQ_LEVELS } from "./fsq.ts";

/** Sizes that every image tokenizer has; see `FrameTokenizerConfig`. */
export interface ImageSizes {
  height: number;
  width: number;
  /** One a block. */
  channels: readonly number[];
  /** Residual blocks a block. */
  layersPerBlock: number;
  /** Between encoder and quantizer. */
  latentChannels: number;
  /** Groups of channels. */
  normGroups: number;
  /** Halvings of the resolution. */
  downsamplings: number;
  /** Side of the squares of pixels that are one position. */
  pixelPatch: number;
}

/**
 * Checks sizes.
 *
 * @throws {RangeError} When a field has a value that no tokenizer can have.
 */
export function checkImageSizes(config: ImageSizes): void {
  for (const name of ["height", "width", "layersPerBlock", "latentChannels", "normGroups", "pixelPatch"] as const) {
    checkPositive(name, config[name]);
  }
  const { channels, downsamplings, normGroups, pixelPatch } = config;
  if (channels.length === 0 || channels.some((width) => !Number.isInteger(width) || width < 1)) {
    throw new RangeError(`channels must be positive integers, one a block: received [${channels.join(", ")}]`);
  }
  const uneven = channels.find((width) => width % normGroups !== 0);
  if (uneven !== undefined) {
    throw new RangeError(`normGroups must divide every block's channels: received ${normGroups} for ${uneven}`);
  }
  if (!Number.isInteger(downsamplings) || downsamplings < 0 || downsamplings > channels.length) {
    throw new RangeError(`downsamplings must be from 0 to ${channels.length}, the blocks: received ${downsamplings}`);
  }
  const factor = pixelPatch * 2 ** downsamplings;
  if (config.height % factor !== 0 || config.width % factor !== 0) {
    throw new RangeError(
      `height and width must be multiples of ${factor} (pixelPatch × 2^downsamplings): received ` +
        `${config.height} × ${config.width}`,
    );
  }
}

/**
 * Checks one size.
 *
 * @throws {RangeError} When `value` is no positive integer.
 */
export function checkPositive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name} must be a positive integer: received ${value}`);
  }
}

/**
 * Checks the levels of a quantizer.
 *
 * @throws {RangeError} When no quantizer has these.
 */
export function checkLevels(name: string, levels: readonly number[]): void {
  if (levels.length === 0 || levels.some((level) => !Number.isInteger(level) || level < 2)) {
    throw new RangeError(`${name} must be integers of at least 2: received [${levels.join(", ")}]`);
  }
}

/** Rows and columns at the lowest resolution. */
export function latentGrid({ height, width, pixelPatch, downsamplings }: ImageSizes): [rows: number, columns: number] {
  const factor = pixelPatch * 2 ** downsamplings;
  return [height / factor, width / factor];
}

/** How a file spells levels: by the codebook's bits where the released code has a name for them. */
export function levelsToJson(levels: readonly number[]): number | number[] {
  const key = Object.keys(FSQ_LEVELS).find((each) => `${FSQ_LEVELS[Number(each)]}` === `${levels}`);
  return key === undefined ? [...levels] : Number(key);
}

/** Fields of a `config.json`: each getter gives undefined where the file is silent, and refuses what has no sense. */
export class ConfigFields {
  readonly #fields: Record<string, unknown>;
  readonly #source: string;

  /**
   * The fields of a parsed file.
   *
   * @param source The file's path, for messages.
   * @throws {UserError} When it is no object.
   */
  constructor(json: unknown, source: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new UserError(`${source}: must hold a JSON object with the tokenizer's sizes`);
    }
    this.#fields = json as Record<string, unknown>;
    this.#source = source;
  }

  /** Refuses values other than the allowed ones; `kind` of tokenizer is named. */
  allow(kind: string, allowed: Record<string, readonly unknown[]>): void {
    for (const [name, values] of Object.entries(allowed)) {
      if (this.#fields[name] === undefined || values.includes(this.#fields[name])) continue;
      throw new UserError(
        `${this.#source}: ${name} must be ${values.map((each) => JSON.stringify(each)).join(" or ")} for a ${kind} ` +
          `tokenizer: received ${JSON.stringify(this.#fields[name])}`,
      );
    }
  }

  /** A whole number. */
  count(name: string): number | undefined {
    return this.#read<number>(name, isCount, "a whole number");
  }

  /** A list of whole numbers. */
  counts(name: string): number[] | undefined {
    return this.#read<number[]>(name, areCounts, "a list of whole numbers");
  }

  /** True or false. */
  flag(name: string): boolean | undefined {
    return this.#read<boolean>(name, (value) => typeof value === "boolean", "true or false");
  }

  /** One of some words. */
  word<W extends string>(name: string, words: readonly W[]): W | undefined {
    const kind = words.map((each) => `"${each}"`).join(" or ");
    return this.#read<W>(name, (value) => words.includes(value as W), kind);
  }

  /** A quantizer's levels, or the released code's name of some. */
  levels(name: string): readonly number[] | undefined {
    const found = this.#read<number | number[]>(
      name,
      (value) => areCounts(value) || (typeof value === "number" && Object.hasOwn(FSQ_LEVELS, value)),
      `a list of levels or one of ${Object.keys(FSQ_LEVELS).join(", ")}`,
    );
    return typeof found === "number" ? FSQ_LEVELS[found] : found;
  }

  /**
   * What `build` makes of the fields that are there.
   *
   * @throws {UserError} Instead of the RangeErrors of `build`, naming the file.
   */
  build<C>(given: Partial<C>, build: (given: Partial<C>) => C): C {
    try {
      return build(
        Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<C>,
      );
    } catch (error) {
      if (error instanceof RangeError) throw new UserError(`${this.#source}: ${error.message}`);
      throw error;
    }
  }

  #read<T>(name: string, fits: (value: unknown) => boolean, kind: string): T | undefined {
    const value = this.#fields[name];
    if (value === undefined || value === null) return undefined;
    if (!fits(value)) {
      throw new UserError(`${this.#source}: ${name} must be ${kind}: received ${JSON.stringify(value)}`);
    }
    return value as T;
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function areCounts(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isCount);
}
