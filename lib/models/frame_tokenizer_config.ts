/**
 * The sizes of a per-frame tokenizer: what they may be, how diffusers' `config.json` spells them, and which parameters
 * follow from them. Nothing here holds a tensor, so a model's parameters can be counted without making them.
 *
 * Fields that a released `config.json` leaves out have the released model's values. The levels of codes are `fsq_levels`, as in
 * the released class's constructor (an int of bits or a list); `vq_fsq_levels`, the compressive tokenizer's word, is read as
 * well, since folders that this project once wrote say it. Some fields are this project's own, ignored by diffusers: `height` and
 * `width`, `down_samplings`, `pixel_patch`, `norm_scope`, `background`, `mid_block_add_attention`.
 */
import { FSQ_LEVELS } from "./fsq.ts";
import { checkImageSizes, checkLevels, ConfigFields, latentGrid, levelsToJson } from "./image_tokenizer_config.ts";
import { convolutionShapes, type ShapeList } from "./vision_blocks.ts";
import { type CoderPlan, imageDecoderShapes, imageEncoderShapes } from "./vision_coders.ts";

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
  checkImageSizes(config);
  checkLevels("fsqLevels", config.fsqLevels);
  return config;
}

/** Rows and columns of a frame's tokens. */
export function tokenGrid(config: FrameTokenizerConfig): [rows: number, columns: number] {
  return latentGrid(config);
}

/**
 * Every parameter with its shape, by the released models' names: encoder, quantizer, decoder.
 */
export function frameTokenizerShapes(config: FrameTokenizerConfig): ShapeList {
  const { latentChannels, fsqLevels, pixelPatch } = config;
  const pixels = 3 * pixelPatch ** 2;
  return [
    ...imageEncoderShapes("encoder", pixels, latentChannels, encoderPlan(config)),
    ...convolutionShapes("quant_linear", latentChannels, fsqLevels.length, 1),
    ...convolutionShapes("post_quant_linear", fsqLevels.length, latentChannels, 1),
    ...imageDecoderShapes("decoder", latentChannels, pixels, decoderPlan(config)),
    ...(config.background ? [["background", [config.height, config.width, 3]] as ShapeList[number]] : []),
  ];
}

/** The encoder: the first `downsamplings` blocks halve the resolution. */
export function encoderPlan(config: FrameTokenizerConfig): CoderPlan {
  const { channels, downsamplings } = config;
  return { ...commonPlan(config), widths: channels, resamples: (block) => block < downsamplings };
}

/**
 * The decoder: each block goes over to the next higher one's channels, so that the doubling after it is computed on few of
 * them, and the last keeps its own; the last `downsamplings` blocks double the resolution.
 */
export function decoderPlan(config: FrameTokenizerConfig): CoderPlan {
  const { channels, downsamplings } = config, blocks = channels.length;
  return {
    ...commonPlan(config),
    widths: channels.map((_, block) => channels[Math.max(blocks - 2 - block, 0)]),
    resamples: (block) => block >= blocks - downsamplings,
  };
}

function commonPlan({ channels, layersPerBlock, midAttention, normGroups, normScope }: FrameTokenizerConfig) {
  return {
    middle: channels[channels.length - 1],
    layers: layersPerBlock,
    midAttention,
    norm: { groups: normGroups, scope: normScope },
  };
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
  return {
    _class_name: CLASS_NAME,
    _diffusers_version: "0.27.0",
    act_fn: "silu",
    block_out_channels: [...config.channels],
    down_block_types: config.channels.map(() => "DownEncoderBlock2D"),
    fsq_levels: levelsToJson(config.fsqLevels),
    in_channels: 3,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_add_attention: config.midAttention,
    norm_num_groups: config.normGroups,
    norm_type: "group",
    out_channels: 3,
    up_block_types: config.channels.map(() => "UpDecoderBlock2D"),
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
  const fields = new ConfigFields(json, source);
  fields.allow("per-frame", {
    _class_name: [CLASS_NAME],
    act_fn: ["silu", "swish"],
    norm_type: ["group"],
    in_channels: [3],
    out_channels: [3],
  });
  return fields.build({
    height: fields.count("height"),
    width: fields.count("width"),
    channels: fields.counts("block_out_channels"),
    layersPerBlock: fields.count("layers_per_block"),
    latentChannels: fields.count("latent_channels"),
    normGroups: fields.count("norm_num_groups"),
    fsqLevels: fields.levels("fsq_levels") ?? fields.levels("vq_fsq_levels"),
    midAttention: fields.flag("mid_block_add_attention"),
    downsamplings: fields.count("down_samplings"),
    pixelPatch: fields.count("pixel_patch"),
    normScope: fields.word("norm_scope", ["image", "position"]),
    background: fields.flag("background"),
  }, frameTokenizerConfig);
}
