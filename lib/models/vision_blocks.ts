/**
 * The blocks of convolutional autoencoders, as functions of an image and of weights that are found by name.
 *
 * Names and arithmetic are those of diffusers' `ResnetBlock2D`, `Downsample2D`, `Upsample2D` and `Attention`, so that
 * released weights fit; images are channels-last [B, H, W, C] and convolution weights stay [O, C, kH, kW]. For every
 * block there is a function that computes and one that lists the parameters it needs. No state and no initialization here.
 */
import type { Tensor } from "../tensor/tensor.ts";

/** Finds a parameter by its full name. */
export type WeightLookup = (name: string) => Tensor;

/** Parameter names with their shapes, in a model's own order. */
export type ShapeList = [name: string, shape: number[]][];

const EPSILON = 1e-6;

/** How activations are normalized. */
export interface NormSettings {
  /** Groups of channels. */
  groups: number;
  /** Over all positions of an image, as in released models, or at each position on its own. */
  scope: "image" | "position";
}

// --- What the blocks compute ---

/** Convolution with bias: `kernel` pixels wide, stride 1, same size. */
export function convolution(x: Tensor, weights: WeightLookup, name: string): Tensor {
  const weight = weights(`${name}.weight`);
  const border = (weight.shape[2] - 1) / 2;
  return x.conv2d(weight, weights(`${name}.bias`), { stride: 1, padding: [border, border, border, border] });
}

/** Group normalization; ε is diffusers' when left out. */
export function groupNormalization(
  x: Tensor,
  weights: WeightLookup,
  name: string,
  norm: NormSettings,
  epsilon: number = EPSILON,
): Tensor {
  const samples = norm.scope === "image" ? x : x.reshape([-1, x.shape[x.rank - 1]]);
  return samples.groupNorm(norm.groups, weights(`${name}.weight`), weights(`${name}.bias`), epsilon).reshape(x.shape);
}

/** x + conv2(silu(norm2(conv1(silu(norm1(x)))))), with a 1 × 1 shortcut where `changesWidth`. */
export function resnetBlock(
  x: Tensor,
  weights: WeightLookup,
  name: string,
  norm: NormSettings,
  changesWidth: boolean,
): Tensor {
  let h = convolution(groupNormalization(x, weights, `${name}.norm1`, norm).silu(), weights, `${name}.conv1`);
  h = convolution(groupNormalization(h, weights, `${name}.norm2`, norm).silu(), weights, `${name}.conv2`);
  return (changesWidth ? convolution(x, weights, `${name}.conv_shortcut`) : x).add(h);
}

/** Half the resolution: a 3 × 3 convolution of stride 2 with zeros at the right and the bottom only. */
export function downsample(x: Tensor, weights: WeightLookup, name: string): Tensor {
  return x.conv2d(weights(`${name}.conv.weight`), weights(`${name}.conv.bias`), { stride: 2, padding: [0, 1, 0, 1] });
}

/** Twice the resolution: nearest neighbour, then a 3 × 3 convolution. */
export function upsample(x: Tensor, weights: WeightLookup, name: string): Tensor {
  return convolution(x.upsampleNearest2x(), weights, `${name}.conv`);
}

/** Self-attention over all positions with one head, added to its input. */
export function imageAttention(x: Tensor, weights: WeightLookup, name: string, norm: NormSettings): Tensor {
  const [batch, height, width, channels] = x.shape;
  const tokens = groupNormalization(x, weights, `${name}.group_norm`, norm).reshape([batch, -1, channels]);
  const project = (of: Tensor, part: string) =>
    of.linear(weights(`${name}.${part}.weight`), weights(`${name}.${part}.bias`));
  const [queries, keys, values] = ["to_q", "to_k", "to_v"].map((part) =>
    project(tokens, part).reshape([batch, 1, height * width, channels])
  );
  const attended = queries.attention(keys, values).reshape([batch, height * width, channels]);
  return x.add(project(attended, "to_out.0").reshape(x.shape));
}

/** resnet, attention (optional), resnet. */
export function middleBlock(
  x: Tensor,
  weights: WeightLookup,
  name: string,
  norm: NormSettings,
  withAttention: boolean,
): Tensor {
  let h = resnetBlock(x, weights, `${name}.resnets.0`, norm, false);
  if (withAttention) h = imageAttention(h, weights, `${name}.attentions.0`, norm);
  return resnetBlock(h, weights, `${name}.resnets.1`, norm, false);
}

/** [B, H, W, C] → [B, H/p, W/p, p²·C]: each square of p × p pixels becomes one position. */
export function spaceToDepth(x: Tensor, patch: number): Tensor {
  if (patch === 1) return x;
  const [batch, height, width, channels] = x.shape;
  return x.reshape([batch * height / patch, patch, width / patch, patch * channels])
    .permute([0, 2, 1, 3])
    .reshape([batch, height / patch, width / patch, patch * patch * channels]);
}

/** The inverse of {@linkcode spaceToDepth}. */
export function depthToSpace(x: Tensor, patch: number): Tensor {
  if (patch === 1) return x;
  const [batch, height, width, channels] = x.shape;
  return x.reshape([batch * height, width, patch, channels / patch])
    .permute([0, 2, 1, 3])
    .reshape([batch, height * patch, width * patch, channels / (patch * patch)]);
}

// --- What they need ---

/** Parameters of a convolution. */
export function convolutionShapes(name: string, input: number, output: number, kernel: number): ShapeList {
  return [[`${name}.weight`, [output, input, kernel, kernel]], [`${name}.bias`, [output]]];
}

/** Parameters of a normalization. */
export function normalizationShapes(name: string, channels: number): ShapeList {
  return [[`${name}.weight`, [channels]], [`${name}.bias`, [channels]]];
}

/** Parameters of {@linkcode resnetBlock}; a shortcut only where the width changes. */
export function resnetShapes(name: string, input: number, output: number): ShapeList {
  return [
    ...normalizationShapes(`${name}.norm1`, input),
    ...convolutionShapes(`${name}.conv1`, input, output, 3),
    ...normalizationShapes(`${name}.norm2`, output),
    ...convolutionShapes(`${name}.conv2`, output, output, 3),
    ...(input === output ? [] : convolutionShapes(`${name}.conv_shortcut`, input, output, 1)),
  ];
}

/** Parameters of {@linkcode middleBlock}. */
export function middleShapes(name: string, channels: number, withAttention: boolean): ShapeList {
  const linear = (part: string): ShapeList => [
    [`${name}.attentions.0.${part}.weight`, [channels, channels]],
    [`${name}.attentions.0.${part}.bias`, [channels]],
  ];
  const attention = [
    ...normalizationShapes(`${name}.attentions.0.group_norm`, channels),
    ...["to_q", "to_k", "to_v", "to_out.0"].flatMap(linear),
  ];
  return [
    ...(withAttention ? attention : []),
    ...resnetShapes(`${name}.resnets.0`, channels, channels),
    ...resnetShapes(`${name}.resnets.1`, channels, channels),
  ];
}
