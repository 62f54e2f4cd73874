/**
 * An image encoder and an image decoder put together from the blocks of `vision_blocks.ts`, with diffusers' names: `conv_in`,
 * `down_blocks` or `up_blocks`, `mid_block`, `conv_norm_out`, `conv_out`. Both tokenizers are made of these.
 *
 * A visitor sees the feature map after every block and may put another in its place: that is how the compressive tokenizer
 * collects the maps of a context frame and how it conditions on them. No state and no initialization here.
 */
import type { Tensor } from "../tensor/tensor.ts";
import {
  convolution,
  convolutionShapes,
  downsample,
  groupNormalization,
  middleBlock,
  middleShapes,
  normalizationShapes,
  type NormSettings,
  resnetBlock,
  resnetShapes,
  type ShapeList,
  upsample,
  type WeightLookup,
} from "./vision_blocks.ts";

/** Sizes of one encoder or decoder. */
export interface CoderPlan {
  /** Channels after each block, in the order in which they are computed. */
  widths: readonly number[];
  /** Channels of the middle block: after the down blocks, before the up blocks. */
  middle: number;
  /** Residual blocks a block. */
  layers: number;
  /** Whether a block ends by halving (encoder) or doubling (decoder) the resolution. */
  resamples: (block: number) => boolean;
  /** Self-attention in the middle block. */
  midAttention: boolean;
  /** How activations are normalized. */
  norm: NormSettings;
}

/**
 * Called with each feature map; computation goes on with what it returns.
 *
 * @param place In an encoder the block that made the map, from 0; in a decoder 0 for the middle block, 1 + i for block i.
 */
export type MapVisitor = (map: Tensor, place: number) => Tensor;

const pass: MapVisitor = (map) => map;

/** [B, H, W, C] → latents at the lowest resolution. */
export function imageEncoder(
  x: Tensor,
  weights: WeightLookup,
  name: string,
  plan: CoderPlan,
  visit: MapVisitor = pass,
): Tensor {
  let h = convolution(x, weights, `${name}.conv_in`);
  plan.widths.forEach((width, block) => {
    h = resnets(h, weights, `${name}.down_blocks.${block}`, plan, width);
    if (plan.resamples(block)) h = downsample(h, weights, `${name}.down_blocks.${block}.downsamplers.0`);
    h = visit(h, block);
  });
  h = middleBlock(h, weights, `${name}.mid_block`, plan.norm, plan.midAttention);
  return outOf(h, weights, name, plan);
}

/** Latents at the lowest resolution → [B, H, W, C]. */
export function imageDecoder(
  latents: Tensor,
  weights: WeightLookup,
  name: string,
  plan: CoderPlan,
  visit: MapVisitor = pass,
): Tensor {
  return outOf(decoderMap(latents, weights, name, plan, plan.widths.length, visit), weights, name, plan);
}

/** What {@linkcode imageDecoder} has computed at a place, for callers that need no image. */
export function decoderMap(
  latents: Tensor,
  weights: WeightLookup,
  name: string,
  plan: CoderPlan,
  place: number,
  visit: MapVisitor = pass,
): Tensor {
  let h = convolution(latents, weights, `${name}.conv_in`);
  h = visit(middleBlock(h, weights, `${name}.mid_block`, plan.norm, plan.midAttention), 0);
  plan.widths.slice(0, place).forEach((width, block) => {
    h = resnets(h, weights, `${name}.up_blocks.${block}`, plan, width);
    if (plan.resamples(block)) h = upsample(h, weights, `${name}.up_blocks.${block}.upsamplers.0`);
    h = visit(h, block + 1);
  });
  return h;
}

/** Parameters of {@linkcode imageEncoder} from `input` to `output` channels. */
export function imageEncoderShapes(name: string, input: number, output: number, plan: CoderPlan): ShapeList {
  return [
    ...convolutionShapes(`${name}.conv_in`, input, plan.widths[0], 3),
    ...blockShapes(`${name}.down_blocks`, "downsamplers", plan.widths[0], plan),
    ...middleShapes(`${name}.mid_block`, plan.middle, plan.midAttention),
    ...normalizationShapes(`${name}.conv_norm_out`, plan.middle),
    ...convolutionShapes(`${name}.conv_out`, plan.middle, output, 3),
  ];
}

/** Parameters of {@linkcode imageDecoder} from `input` to `output` channels. */
export function imageDecoderShapes(name: string, input: number, output: number, plan: CoderPlan): ShapeList {
  const last = plan.widths[plan.widths.length - 1];
  return [
    ...convolutionShapes(`${name}.conv_in`, input, plan.middle, 3),
    ...middleShapes(`${name}.mid_block`, plan.middle, plan.midAttention),
    ...blockShapes(`${name}.up_blocks`, "upsamplers", plan.middle, plan),
    ...normalizationShapes(`${name}.conv_norm_out`, last),
    ...convolutionShapes(`${name}.conv_out`, last, output, 3),
  ];
}

function resnets(x: Tensor, weights: WeightLookup, name: string, plan: CoderPlan, width: number): Tensor {
  let h = x;
  for (let layer = 0; layer < plan.layers; layer++) {
    h = resnetBlock(h, weights, `${name}.resnets.${layer}`, plan.norm, h.shape[3] !== width);
  }
  return h;
}

function outOf(h: Tensor, weights: WeightLookup, name: string, plan: CoderPlan): Tensor {
  const normalized = groupNormalization(h, weights, `${name}.conv_norm_out`, plan.norm).silu();
  return convolution(normalized, weights, `${name}.conv_out`);
}

/** Residual blocks of all blocks, then what changes the resolution: first weights are drawn in this order. */
function blockShapes(name: string, sampler: string, first: number, plan: CoderPlan): ShapeList {
  const { widths, layers, resamples } = plan;
  return [
    ...widths.flatMap((width, block) =>
      Array.from({ length: layers }, (_, layer) => {
        const input = layer > 0 ? width : block > 0 ? widths[block - 1] : first;
        return resnetShapes(`${name}.${block}.resnets.${layer}`, input, width);
      }).flat()
    ),
    ...widths.flatMap((width, block) =>
      resamples(block) ? convolutionShapes(`${name}.${block}.${sampler}.0.conv`, width, width, 3) : []
    ),
  ];
}
