/**
 * The sizes of a per-frame tokenizer: what they may be, how diffusers' `config.json` spells them, and which parameters
 * follow from them. Nothing here holds a tensor, so a model's parameters can be counted without making them.
 *
 * Fields that a released `config.json` leaves out have the released model's values. Some are this project's own, ignored
 * by diffusers: `height` and `width`, `down_samplings`, `pixel_patch`; they are written where they matter.
 */
import { UserError } from "../files/user_error.ts";
import { FSQ_LEVELS } from "./fsq.ts";
import { convolutionShapes, middleShapes, normalizationShapes, resnetShapes, type ShapeList } from "./vision_blocks.ts";

/** Sizes of a per-frame tokenizer. */
export interface FrameTokenizerConfig {
  /** Pixels of a frame from top to bottom. */
  height: number;
  /** Pixels of a frame from left to right. */
  width: number;
  /** Channels of each block, from full resolution to the lowest. */
  channels: readonly number[];
  /** Residual blocks a block, in encoder and decoder. */
  layersPerBlock: number;
  /** Channels between encoder and quantizer. */
  latentChannels: number;
  /** Groups of every group normalization; divides every block's channels. */
  normGroups: number;
  /**
   * What is normalized together: a group's channels at all positions of the image, as in released models, or at each
   * position on its own, so that a token depends on what is near it and a part that rests keeps its tokens.
   */
  normScope: "image" | "position";
  /** Values of each dimension of a code. */
  fsqLevels: readonly number[];
  /** Self-attention at the lowest resolution. */
  midAttention: boolean;
  /** How often the resolution is halved; at most once a block. One less than there are blocks when left out. */
  downsamplings: number;
  /** Side of the squares of pixels that the first convolution sees as one position: 1 in released models. */
  pixelPatch: number;
  /**
   * Tokens describe how a frame differs from a learned background image (parameter `background` [H, W, 3]): for cameras
   * that do not move. False in released models.
   */
  background: boolean;
}

/** The released tokenizer of RT-1 frames (paper table 7): 104,414,088 parameters, 320 tokens a frame. */
export const RELEASED_FRAME_TOKENIZER: FrameTokenizerConfig = Object.freeze({
  height: 256,
  width: 320,
  channels: [128, 256, 256, 512, 768],
  layersPerBlock: 2,
  latentChannels: 64,
  normGroups: 32,
  normScope: "image",
  fsqLevels: FSQ_LEVELS[12],
  midAttention: true,
  downsamplings: 4,
  pixelPatch: 1,
  background: false,
});

const CLASS_NAME = "CNNFSQModel256";

/**
 * Fills in what is left out and checks the whole.
 *
 * @param given Any part of a configuration; the rest is the released model's, `downsamplings` following `channels`.
 * @throws {RangeError} When a field has a value that no tokenizer can have.
 */
export function frameTokenizerConfig(given: Partial<FrameTokenizerConfig>): FrameTokenizerConfig {
  const channels = given.channels ?? RELEASED_FRAME_TOKENIZER.channels;
  const config = { ...RELEASED_FRAME_TOKENIZER, downsamplings: channels.length - 1, ...given, channels };
  for (const name of ["height", "width", "layersPerBlock", "latentChannels", "normGroups", "pixelPatch"] as const) {
    if (!Number.isInteger(config[name]) || config[name] < 1) {
      throw new RangeError(`${name} must be a positive integer: received ${config[name]}`);
    }
  }
  const { downsamplings, normGroups, pixelPatch } = config;
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
  if (config.fsqLevels.length === 0 || config.fsqLevels.some((level) => !Number.isInteger(level) || level < 2)) {
    throw new RangeError(`fsqLevels must be integers of at least 2: received [${config.fsqLevels.join(", ")}]`);
  }
  return config;
}

/** Rows and columns of a frame's tokens. */
export function tokenGrid(config: FrameTokenizerConfig): [rows: number, columns: number] {
  const factor = config.pixelPatch * 2 ** config.downsamplings;
  return [config.height / factor, config.width / factor];
}

/**
 * Every parameter with its shape, by the released models' names: encoder, quantizer, decoder.
 */
export function frameTokenizerShapes(config: FrameTokenizerConfig): ShapeList {
  const { channels, layersPerBlock, latentChannels, fsqLevels, midAttention, downsamplings, pixelPatch } = config;
  const pixels = 3 * pixelPatch ** 2, last = channels[channels.length - 1];
  const blocks = (name: string, widths: readonly number[], first: number): ShapeList =>
    widths.flatMap((width, block) =>
      Array.from({ length: layersPerBlock }, (_, layer) => {
        const input = layer > 0 ? width : block > 0 ? widths[block - 1] : first;
        return resnetShapes(`${name}.${block}.resnets.${layer}`, input, width);
      }).flat()
    );
  const upward = decoderWidths(config);
  return [
    ...convolutionShapes("encoder.conv_in", pixels, channels[0], 3),
    ...blocks("encoder.down_blocks", channels, channels[0]),
    ...channels.slice(0, downsamplings).flatMap((width, block) =>
      convolutionShapes(`encoder.down_blocks.${block}.downsamplers.0.conv`, width, width, 3)
    ),
    ...middleShapes("encoder.mid_block", last, midAttention),
    ...normalizationShapes("encoder.conv_norm_out", last),
    ...convolutionShapes("encoder.conv_out", last, latentChannels, 3),
    ...convolutionShapes("quant_linear", latentChannels, fsqLevels.length, 1),
    ...convolutionShapes("post_quant_linear", fsqLevels.length, latentChannels, 1),
    ...convolutionShapes("decoder.conv_in", latentChannels, last, 3),
    ...middleShapes("decoder.mid_block", last, midAttention),
    ...blocks("decoder.up_blocks", upward, last),
    ...upward.flatMap((width, block) =>
      upsamplesAfter(config, block)
        ? convolutionShapes(`decoder.up_blocks.${block}.upsamplers.0.conv`, width, width, 3)
        : []
    ),
    ...normalizationShapes("decoder.conv_norm_out", channels[0]),
    ...convolutionShapes("decoder.conv_out", channels[0], pixels, 3),
    ...(config.background ? [["background", [config.height, config.width, 3]] as ShapeList[number]] : []),
  ];
}

/**
 * Channels after each decoder block, from the lowest resolution: each block goes over to the next higher one's channels,
 * so that the doubling after it is computed on few of them; the last keeps its own.
 */
export function decoderWidths({ channels }: FrameTokenizerConfig): number[] {
  return channels.map((_, block) => channels[Math.max(channels.length - 2 - block, 0)]);
}

/** Whether a decoder block, counted from the lowest resolution, ends by doubling it: the last `downsamplings` do. */
export function upsamplesAfter(config: FrameTokenizerConfig, block: number): boolean {
  return block >= config.channels.length - config.downsamplings;
}

/** Number of parameters of a configuration. */
export function countFrameTokenizerParameters(config: FrameTokenizerConfig): number {
  return frameTokenizerShapes(config).reduce(
    (total, [, shape]) => total + shape.reduce((product, extent) => product * extent, 1),
    0,
  );
}

/** The content of `config.json`: diffusers' fields and this project's. */
export function frameTokenizerConfigToJson(config: FrameTokenizerConfig): Record<string, unknown> {
  const key = Object.keys(FSQ_LEVELS).find((each) => `${FSQ_LEVELS[Number(each)]}` === `${config.fsqLevels}`);
  return {
    _class_name: CLASS_NAME,
    _diffusers_version: "0.27.0",
    act_fn: "silu",
    block_out_channels: [...config.channels],
    down_block_types: config.channels.map(() => "DownEncoderBlock2D"),
    in_channels: 3,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_add_attention: config.midAttention,
    norm_num_groups: config.normGroups,
    norm_type: "group",
    out_channels: 3,
    up_block_types: config.channels.map(() => "UpDecoderBlock2D"),
    vq_fsq_levels: key === undefined ? [...config.fsqLevels] : Number(key),
    height: config.height,
    width: config.width,
    down_samplings: config.downsamplings,
    pixel_patch: config.pixelPatch,
    background: config.background,
    norm_scope: config.normScope,
  };
}

/**
 * Reads the content of a `config.json`; fields that it leaves out have the released model's values.
 *
 * @param json The parsed file.
 * @param source The file's path, for messages.
 * @throws {UserError} When it describes another kind of model, or a field has no sense; names the file and the field.
 */
export function frameTokenizerConfigFromJson(json: unknown, source: string): FrameTokenizerConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${source}: must hold a JSON object with the tokenizer's sizes`);
  }
  const fields = json as Record<string, unknown>;
  const fixed: Record<string, unknown[]> = {
    _class_name: [CLASS_NAME],
    act_fn: ["silu", "swish"],
    norm_type: ["group"],
    in_channels: [3],
    out_channels: [3],
  };
  for (const [name, allowed] of Object.entries(fixed)) {
    if (fields[name] !== undefined && !allowed.includes(fields[name])) {
      throw new UserError(
        `${source}: ${name} must be ${allowed.map((each) => JSON.stringify(each)).join(" or ")} for a per-frame ` +
          `tokenizer: received ${JSON.stringify(fields[name])}`,
      );
    }
  }
  const read = <T>(name: string, fits: (value: unknown) => boolean, kind: string): T | undefined => {
    const value = fields[name];
    if (value === undefined || value === null) return undefined;
    if (!fits(value)) throw new UserError(`${source}: ${name} must be ${kind}: received ${JSON.stringify(value)}`);
    return value as T;
  };
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  const count = (name: string) => read<number>(name, isCount, "a whole number");
  const counts = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isCount);
  const levels = read<number | number[]>(
    "vq_fsq_levels",
    (value) => counts(value) || (typeof value === "number" && Object.hasOwn(FSQ_LEVELS, value)),
    `a list of levels or one of ${Object.keys(FSQ_LEVELS).join(", ")}`,
  );
  const given = {
    height: count("height"),
    width: count("width"),
    channels: read<number[]>("block_out_channels", counts, "a list of whole numbers"),
    layersPerBlock: count("layers_per_block"),
    latentChannels: count("latent_channels"),
    normGroups: count("norm_num_groups"),
    fsqLevels: typeof levels === "number" ? FSQ_LEVELS[levels] : levels,
    midAttention: read<boolean>("mid_block_add_attention", (value) => typeof value === "boolean", "true or false"),
    downsamplings: count("down_samplings"),
    pixelPatch: count("pixel_patch"),
    normScope: read<"image" | "position">(
      "norm_scope",
      (value) => value === "image" || value === "position",
      '"image" or "position"',
    ),
    background: read<boolean>("background", (value) => typeof value === "boolean", "true or false"),
  };
  try {
    return frameTokenizerConfig(
      Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    );
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`${source}: ${error.message}`);
    throw error;
  }
}
