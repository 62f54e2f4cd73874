/**
 * The sizes of a compressive tokenizer: what they may be, how diffusers' `config.json` spells them, and which grids, places of
 * attention and parameters follow. The released code writes many sizes as numbers (32 × 40 positions, 8 × 10 patches, tables
 * of 1280 rows); here all follow from height, width, halvings and patch. Nothing here holds a tensor.
 *
 * Fields that a released `config.json` leaves out have the released model's values. This project's own are ignored by
 * diffusers: `height`, `width`, `down_samplings`, `pixel_patch`, `norm_scope`, `background`, `attention_heads`,
 * `cond_mid_block_add_attention`.
 */
import { crossAttentionShapes } from "./cross_attention.ts";
import { FSQ_LEVELS } from "./fsq.ts";
import {
  checkImageSizes,
  checkLevels,
  checkPositive,
  ConfigFields,
  latentGrid,
  levelsToJson,
} from "./image_tokenizer_config.ts";
import { convolutionShapes, type ShapeList } from "./vision_blocks.ts";
import { type CoderPlan, imageDecoderShapes, imageEncoderShapes } from "./vision_coders.ts";

/** Sizes of a compressive tokenizer. */
export interface CompressiveTokenizerConfig {
  /** Pixels of a frame from top to bottom. */
  height: number;
  /** Pixels of a frame from left to right. */
  width: number;
  /** Channels of each block, from full resolution to the lowest; of both pairs. */
  channels: readonly number[];
  /** Residual blocks a block of the encoders; the decoders have one more. */
  layersPerBlock: number;
  /** Channels between encoder and quantizer. */
  latentChannels: number;
  /** Groups of every group normalization; divides every block's channels. */
  normGroups: number;
  /**
   * What is normalized together: a group's channels at all positions of the image, as in released models, or at each
   * position on its own.
   */
  normScope: "image" | "position";
  /** Values of each dimension of a context frame's codes. */
  contextLevels: readonly number[];
  /** Values of each dimension of the other frames' codes. */
  fsqLevels: readonly number[];
  /** Self-attention at the lowest resolution of the context pair: none in released models. */
  contextMidAttention: boolean;
  /** Self-attention at the lowest resolution of the conditional pair. */
  midAttention: boolean;
  /** How often the resolution is halved; at most once a block. One less than there are blocks when left out. */
  downsamplings: number;
  /** Side of the squares of pixels that the first convolution sees as one position: 1 in released models. */
  pixelPatch: number;
  /** Side of the squares of latent positions that are one token of a frame other than the context. */
  patchSize: number;
  /** Feature maps of at most so many rows see those of the context frame. */
  maxAttentionResolution: number;
  /** Heads of the attention to the context frame: 4 in released models. */
  attentionHeads: number;
  /**
   * Tokens describe how a frame differs from a learned background image (parameter `background` [H, W, 3]): for cameras
   * that do not move. False in released models.
   */
  background: boolean;
}

/** The released tokenizer of RT-1 clips (paper table 7): 129,448,016 parameters, 1280 context tokens, 80 a later frame. */
export const RELEASED_COMPRESSIVE_TOKENIZER: CompressiveTokenizerConfig = Object.freeze({
  height: 256,
  width: 320,
  channels: [128, 256, 256, 512],
  layersPerBlock: 2,
  latentChannels: 64,
  normGroups: 32,
  normScope: "image",
  contextLevels: FSQ_LEVELS[12],
  fsqLevels: FSQ_LEVELS[12],
  contextMidAttention: false,
  midAttention: true,
  downsamplings: 3,
  pixelPatch: 1,
  patchSize: 4,
  maxAttentionResolution: 32,
  attentionHeads: 4,
  background: false,
});

const CLASS_NAME = "CompressiveVQModelFSQ";

/**
 * Fills in what is left out and checks the whole.
 *
 * @param given Any part of a configuration; the rest is the released model's, `downsamplings` following `channels`.
 * @throws {RangeError} When a field has a value that no tokenizer can have.
 */
export function compressiveTokenizerConfig(given: Partial<CompressiveTokenizerConfig>): CompressiveTokenizerConfig {
  const channels = given.channels ?? RELEASED_COMPRESSIVE_TOKENIZER.channels;
  const config = { ...RELEASED_COMPRESSIVE_TOKENIZER, downsamplings: channels.length - 1, ...given, channels };
  checkImageSizes(config);
  checkLevels("contextLevels", config.contextLevels);
  checkLevels("fsqLevels", config.fsqLevels);
  for (const name of ["patchSize", "maxAttentionResolution", "attentionHeads"] as const) {
    checkPositive(name, config[name]);
  }
  const [rows, columns] = latentGrid(config), { patchSize, attentionHeads } = config;
  if (rows % patchSize !== 0 || columns % patchSize !== 0) {
    throw new RangeError(`patchSize must divide the ${rows} × ${columns} positions of a frame: received ${patchSize}`);
  }
  const places = [...encoderAttention(config), ...decoderAttention(config)];
  const uneven = places.find(({ channels }) => channels % attentionHeads !== 0);
  if (uneven) {
    throw new RangeError(
      `attentionHeads must divide the channels where there is attention: received ${attentionHeads} for ${uneven.channels}`,
    );
  }
  return config;
}

/** Rows and columns of a context frame's tokens: one a position of the lowest resolution. */
export function contextGrid(config: CompressiveTokenizerConfig): [rows: number, columns: number] {
  return latentGrid(config);
}

/** Rows and columns of another frame's tokens: one a square of `patchSize` positions. */
export function frameGrid(config: CompressiveTokenizerConfig): [rows: number, columns: number] {
  const [rows, columns] = latentGrid(config);
  return [rows / config.patchSize, columns / config.patchSize];
}

// --- The network ---

/** Which of the two encoder-decoder pairs: that of the context frame, or that of the others. */
export type Pair = "context" | "conditional";

/** Both encoders: the first `downsamplings` blocks halve the resolution. */
export function pairEncoderPlan(config: CompressiveTokenizerConfig, pair: Pair): CoderPlan {
  const { channels, downsamplings, layersPerBlock } = config;
  return {
    ...commonPlan(config, pair),
    widths: channels,
    layers: layersPerBlock,
    resamples: (block) => block < downsamplings,
  };
}

/**
 * Both decoders, diffusers' way: the encoder's channels backwards, one residual block more in each, and the last block
 * doubles nothing (unless every block of the encoder halves).
 */
export function pairDecoderPlan(config: CompressiveTokenizerConfig, pair: Pair): CoderPlan {
  const { channels, downsamplings, layersPerBlock } = config, blocks = channels.length;
  const last = downsamplings === blocks ? blocks - 1 : blocks - 2;
  return {
    ...commonPlan(config, pair),
    widths: channels.toReversed(),
    layers: layersPerBlock + 1,
    resamples: (block) => block > last - downsamplings && block <= last,
  };
}

/** Where a conditional feature map sees the context's. */
export interface AttentionPlace {
  /** As `MapVisitor` counts. */
  place: number;
  /** Name within the encoder or decoder. */
  name: string;
  /** Of the map. */
  positions: number;
  /** Of the map. */
  channels: number;
}

/** After every down block whose map has at most `maxAttentionResolution` rows. */
export function encoderAttention(config: CompressiveTokenizerConfig): AttentionPlace[] {
  const { widths, resamples } = pairEncoderPlan(config, "conditional");
  let rows = config.height / config.pixelPatch, columns = config.width / config.pixelPatch;
  const maps = widths.map((channels, place) => {
    if (resamples(place)) [rows, columns] = [rows / 2, columns / 2];
    return { place, rows, columns, channels };
  });
  return numbered(maps.filter((map) => map.rows <= config.maxAttentionResolution));
}

/** After the middle block, and after every up block whose map has at most `maxAttentionResolution` rows. */
export function decoderAttention(config: CompressiveTokenizerConfig): AttentionPlace[] {
  const { middle, widths, resamples } = pairDecoderPlan(config, "conditional");
  let [rows, columns] = latentGrid(config);
  const lowest = { place: 0, rows, columns, channels: middle };
  const maps = widths.map((channels, block) => {
    if (resamples(block)) [rows, columns] = [2 * rows, 2 * columns];
    return { place: block + 1, rows, columns, channels };
  });
  return numbered([lowest, ...maps.filter((map) => map.rows <= config.maxAttentionResolution)]);
}

/** Every parameter with its shape, by the released models' names. */
export function compressiveTokenizerShapes(config: CompressiveTokenizerConfig): ShapeList {
  const { latentChannels, contextLevels, fsqLevels, pixelPatch, patchSize, background, height, width } = config;
  const pixels = 3 * pixelPatch ** 2, patch = latentChannels * patchSize ** 2;
  const attention = (name: string, places: AttentionPlace[]) =>
    places.flatMap((each) => crossAttentionShapes(`${name}.${each.name}`, each.positions, each.channels));
  return [
    ...imageEncoderShapes("encoder", pixels, latentChannels, pairEncoderPlan(config, "context")),
    ...convolutionShapes("quant_conv", latentChannels, contextLevels.length, 1),
    ...convolutionShapes("post_quant_conv", contextLevels.length, latentChannels, 1),
    ...imageDecoderShapes("decoder", latentChannels, pixels, pairDecoderPlan(config, "context")),
    ...imageEncoderShapes("cond_encoder", pixels, latentChannels, pairEncoderPlan(config, "conditional")),
    ...attention("cond_encoder", encoderAttention(config)),
    ["quant_linear.weight", [fsqLevels.length, patch]],
    ["quant_linear.bias", [fsqLevels.length]],
    ["post_quant_linear.weight", [patch, fsqLevels.length]],
    ["post_quant_linear.bias", [patch]],
    ...imageDecoderShapes("cond_decoder", latentChannels, pixels, pairDecoderPlan(config, "conditional")),
    ...attention("cond_decoder", decoderAttention(config)),
    ...(background ? [["background", [height, width, 3]] as ShapeList[number]] : []),
  ];
}

/** Number of parameters of a configuration. */
export function countCompressiveTokenizerParameters(config: CompressiveTokenizerConfig): number {
  return compressiveTokenizerShapes(config).reduce(
    (total, [, shape]) => total + shape.reduce((product, extent) => product * extent, 1),
    0,
  );
}

function commonPlan(config: CompressiveTokenizerConfig, pair: Pair) {
  const { channels, contextMidAttention, midAttention, normGroups, normScope } = config;
  return {
    middle: channels[channels.length - 1],
    midAttention: pair === "context" ? contextMidAttention : midAttention,
    norm: { groups: normGroups, scope: normScope },
  };
}

function numbered(maps: { place: number; rows: number; columns: number; channels: number }[]): AttentionPlace[] {
  return maps.map(({ place, rows, columns, channels }, i) => ({
    place,
    name: `cross_att_blocks.${i}`,
    positions: rows * columns,
    channels,
  }));
}

// --- The file ---

/** The content of `config.json`: diffusers' fields and this project's. */
export function compressiveTokenizerConfigToJson(config: CompressiveTokenizerConfig): Record<string, unknown> {
  return {
    _class_name: CLASS_NAME,
    _diffusers_version: "0.27.0",
    act_fn: "silu",
    block_out_channels: [...config.channels],
    context_length: 1,
    down_block_types: config.channels.map(() => "DownEncoderBlock2D"),
    dyn_fsq_levels: levelsToJson(config.fsqLevels),
    in_channels: 3,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    max_att_resolution: config.maxAttentionResolution,
    mid_block_add_attention: config.contextMidAttention,
    norm_num_groups: config.normGroups,
    norm_type: "group",
    out_channels: 3,
    patch_size: config.patchSize,
    resolution: config.height,
    up_block_types: config.channels.map(() => "UpDecoderBlock2D"),
    vq_fsq_levels: levelsToJson(config.contextLevels),
    height: config.height,
    width: config.width,
    down_samplings: config.downsamplings,
    pixel_patch: config.pixelPatch,
    norm_scope: config.normScope,
    background: config.background,
    attention_heads: config.attentionHeads,
    cond_mid_block_add_attention: config.midAttention,
  };
}

/**
 * Reads the content of a `config.json`; fields that it leaves out have the released model's values. A file that states only
 * `resolution` means frames of that height and 5/4 of it in width, as the released code does.
 *
 * @param json The parsed file.
 * @param source The file's path, for messages.
 * @throws {UserError} When it describes another kind of model, or a field has no sense; names the file and the field.
 */
export function compressiveTokenizerConfigFromJson(json: unknown, source: string): CompressiveTokenizerConfig {
  const fields = new ConfigFields(json, source);
  fields.allow("compressive", {
    _class_name: [CLASS_NAME],
    act_fn: ["silu", "swish"],
    norm_type: ["group"],
    in_channels: [3],
    out_channels: [3],
    context_length: [1],
  });
  const height = fields.count("height"), resolution = fields.count("resolution");
  return fields.build({
    height: height ?? resolution,
    width: fields.count("width") ?? (height === undefined && resolution !== undefined ? resolution / 4 * 5 : undefined),
    channels: fields.counts("block_out_channels"),
    layersPerBlock: fields.count("layers_per_block"),
    latentChannels: fields.count("latent_channels"),
    normGroups: fields.count("norm_num_groups"),
    normScope: fields.word("norm_scope", ["image", "position"]),
    contextLevels: fields.levels("vq_fsq_levels"),
    fsqLevels: fields.levels("dyn_fsq_levels"),
    contextMidAttention: fields.flag("mid_block_add_attention"),
    midAttention: fields.flag("cond_mid_block_add_attention"),
    downsamplings: fields.count("down_samplings"),
    pixelPatch: fields.count("pixel_patch"),
    patchSize: fields.count("patch_size"),
    maxAttentionResolution: fields.count("max_att_resolution"),
    attentionHeads: fields.count("attention_heads"),
    background: fields.flag("background"),
  }, compressiveTokenizerConfig);
}
