/**
 * Convolution, resampling and pooling of images [B, H, W, C] on tfjs.
 *
 * tfjs' WASM backend has no filter gradient, a slow input gradient and a wrong gradient of max pooling; here a filter gradient
 * is a product of patches, an input gradient is a convolution with the turned kernel, pooling compares four strided views.
 */
import type { Conv2dOptions, Engine, Padding2d } from "../engine.ts";
import { sumTo } from "./broadcast.ts";
import { type Context, of } from "./context.ts";
import { type Kernels, kernels } from "./kernels.ts";
import { product } from "./products.ts";
import { dims, tf } from "./runtime.ts";
import { inGraph, operator } from "./tape.ts";

type T = tf.Tensor;

export function convolution(c: Context) {
  return {
    conv2d: (x, weight, bias, options, outShape) =>
      c.run(() => conv2d(of(x), of(weight), bias && of(bias), options, outShape)),
    upsampleNearest2x: (x) => c.run(() => upsampleNearest2x(of(x))),
    maxPool2x2: (x) => c.run(() => maxPool2x2(of(x))),
  } satisfies Partial<Engine>;
}

function padded(x: T, [top, bottom, left, right]: Padding2d): T {
  if (!top && !bottom && !left && !right) return x;
  return tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]]);
}

/** Every stride-th pixel from (row, column), `height` × `width` of them; differentiable. */
function strided(x: T, row: number, column: number, height: number, width: number, stride: number): T {
  const [batch, , , channels] = x.shape;
  if (stride === 1) return tf.slice(x, [0, row, column, 0], [batch, height, width, channels]);
  const missingH = Math.max(0, row + height * stride - dims(x)[1]);
  const missingW = Math.max(0, column + width * stride - dims(x)[2]);
  const whole = padded(x, [0, missingH, 0, missingW]);
  const block = tf.slice(whole, [0, row, column, 0], [batch, height * stride, width * stride, channels]);
  const split = tf.reshape(block, [batch, height, stride, width, stride * channels]);
  return tf.reshape(tf.slice(split, [0, 0, 0, 0, 0], [batch, height, 1, width, channels]), [
    batch,
    height,
    width,
    channels,
  ]);
}

/** Patches under the kernel: x [B, H, W, C] (already padded) → [B·H'·W', kH·kW·C]; differentiable. */
function patches(x: T, kernelH: number, kernelW: number, stride: number, outH: number, outW: number): T {
  const views: T[] = [];
  for (let i = 0; i < kernelH; i++) {
    for (let j = 0; j < kernelW; j++) views.push(strided(x, i, j, outH, outW, stride));
  }
  const joined = views.length === 1 ? views[0] : tf.concat(views, 3);
  return tf.reshape(joined, [dims(x)[0] * outH * outW, kernelH * kernelW * dims(x)[3]]);
}

/** Convolution of x with a PyTorch weight [O, C, kH, kW]. */
function conv2d(x: T, weight: T, bias: T | undefined, options: Conv2dOptions, outShape: readonly number[]): T {
  const fast = kernels();
  if (fast && !inGraph()) return fused(fast, x, weight, bias, options, outShape);
  const result = inGraph() ? composed(x, weight, options, outShape) : direct(x, weight, options, outShape);
  return bias ? tf.add(result, bias) : result;
}

/** On our own kernels, gradients included. */
function fused(
  fast: Kernels,
  x: T,
  weight: T,
  bias: T | undefined,
  { stride, padding }: Conv2dOptions,
  outShape: readonly number[],
): T {
  const [batch, height, width, channels] = dims(x), [out, , kernelH, kernelW] = dims(weight);
  const extents = [batch, height, width, channels, outShape[1], outShape[2], out];
  const description = [...extents, kernelH, kernelW, stride, padding[0], padding[2]];
  const bytes = 4 * description.length;
  /** Describes the convolution at the start of the room that it needs. */
  const prepare = () => {
    fast.writeIntegers(fast.room(description.length), description);
    const at = fast.room(description.length + fast.run.conv_scratch(fast.room(0)));
    fast.writeIntegers(at, description);
    return at;
  };
  return operator({
    name: "conv2d",
    inputs: bias ? { x, weight, bias } : { x, weight },
    onceOnly: true,
    forward: () => {
      const made = fast.make(outShape), at = prepare();
      fast.run.conv2d(at, fast.at(x), fast.at(weight), bias ? fast.at(bias) : 0, fast.at(made), at + bytes);
      return made;
    },
    save: () => [x, weight],
    gradient: (dy, [x, weight], wanted) => {
      const found: Record<string, T> = {};
      if (wanted.has("x")) found.x = fast.zeros(x.shape);
      if (wanted.has("weight")) found.weight = fast.make(weight.shape);
      const at = prepare(), room = at + bytes;
      if (found.x) fast.run.conv2d_input_gradient(at, fast.at(weight), fast.at(dy), fast.at(found.x), room);
      if (found.weight) fast.run.conv2d_weight_gradient(at, fast.at(x), fast.at(dy), fast.at(found.weight), room);
      if (wanted.has("bias")) found.bias = sumTo(dy, [out]);
      return found;
    },
  });
}

/** By patches and one product: differentiable to any order. */
function composed(x: T, weight: T, { stride, padding }: Conv2dOptions, outShape: readonly number[]): T {
  const [out, channels, kernelH, kernelW] = weight.shape;
  const columns = patches(padded(x, padding), kernelH, kernelW, stride, outShape[1], outShape[2]);
  const kernel = tf.reshape(tf.transpose(weight, [2, 3, 1, 0]), [kernelH * kernelW * channels, out]);
  return tf.reshape(product(columns, kernel, false, false), [...outShape]);
}

/** By the backend's convolution, with a gradient that can be taken once. */
function direct(x: T, weight: T, options: Conv2dOptions, outShape: readonly number[]): T {
  const { stride, padding: [top, bottom, left, right] } = options;
  const kernel = (w: T) => tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D;
  return operator({
    name: "conv2d",
    inputs: { x, weight },
    onceOnly: true,
    forward: () => tf.conv2d(x as tf.Tensor4D, kernel(weight), stride, [[0, 0], [top, bottom], [left, right], [0, 0]]),
    save: () => [x, weight],
    gradient: (dy, [x, weight], wanted) => {
      const found: Record<string, T> = {};
      if (wanted.has("x")) found.x = inputGradient(dy, weight, options, x.shape);
      if (wanted.has("weight")) found.weight = filterGradient(dy, x, weight.shape, options, outShape);
      return found;
    },
  });
}

function inputGradient(dy: T, weight: T, { stride, padding }: Conv2dOptions, shape: readonly number[]): T {
  const [, , kernelH, kernelW] = weight.shape;
  const [batch, outH, outW, out] = dy.shape;
  let spread = dy;
  if (stride > 1) {
    const cells = tf.pad(tf.reshape(dy, [batch, outH, 1, outW, out]), [[0, 0], [0, 0], [0, stride - 1], [0, 0], [
      0,
      (stride - 1) * out,
    ]]);
    spread = tf.reshape(cells, [batch, outH * stride, outW * stride, out]);
  }
  const [top, , left] = padding;
  // Position p of x meets output p + top − i; trailing zeros (or cuts) make the extents come out.
  const before = [kernelH - 1 - top, kernelW - 1 - left];
  const after = [
    shape[1]! - (dims(spread)[1] + before[0] - kernelH + 1),
    shape[2]! - (dims(spread)[2] + before[1] - kernelW + 1),
  ];
  const turned = tf.transpose(tf.reverse(weight, [2, 3]), [2, 3, 0, 1]) as tf.Tensor4D;
  const cut = (n: number) => Math.max(0, -n), more = (n: number) => Math.max(0, n);
  const inner = tf.slice(spread, [0, cut(before[0]), cut(before[1]), 0], [
    batch,
    dims(spread)[1] - cut(before[0]) - cut(after[0]),
    dims(spread)[2] - cut(before[1]) - cut(after[1]),
    out,
  ]);
  return tf.conv2d(inner as tf.Tensor4D, turned, 1, [
    [0, 0],
    [more(before[0]), more(after[0])],
    [more(before[1]), more(after[1])],
    [0, 0],
  ]);
}

function filterGradient(
  dy: T,
  x: T,
  shape: readonly number[],
  { stride, padding }: Conv2dOptions,
  outShape: readonly number[],
): T {
  const [out, channels, kernelH, kernelW] = shape;
  const columns = patches(padded(x, padding), kernelH, kernelW, stride, outShape[1], outShape[2]);
  const rows = tf.reshape(dy, [-1, out]);
  const product = tf.matMul(tf.transpose(columns) as tf.Tensor2D, rows as tf.Tensor2D);
  return tf.transpose(tf.reshape(product, [kernelH, kernelW, channels, out]), [3, 2, 0, 1]);
}

/** Each pixel twice in both directions. */
function upsampleNearest2x(x: T): T {
  const [, height, width] = x.shape;
  return operator({
    name: "upsampleNearest2x",
    inputs: { x },
    forward: () => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [2 * height, 2 * width]),
    gradient: (dy) => ({ x: sumPool2x2(dy) }),
  });
}

/** Sum of windows of 2 × 2 (even extents): the transpose of upsampling. */
function sumPool2x2(x: T): T {
  return operator({
    name: "sumPool2x2",
    inputs: { x },
    forward: () => tf.mul(tf.avgPool(x as tf.Tensor4D, 2, 2, "valid"), 4),
    gradient: (dy) => ({ x: upsampleNearest2x(dy) }),
  });
}

/** Maximum of windows of 2 × 2; the first of equals gets the gradient. */
function maxPool2x2(x: T): T {
  const [batch, height, width, channels] = x.shape;
  const h = Math.floor(height / 2), w = Math.floor(width / 2);
  const even = height === 2 * h && width === 2 * w ? x : tf.slice(x, [0, 0, 0, 0], [batch, 2 * h, 2 * w, channels]);
  return operator({
    name: "maxPool2x2",
    inputs: { x: even },
    forward: () => tf.maxPool(even as tf.Tensor4D, 2, 2, "valid"),
    save: (out) => [even, out],
    gradient: (dy, [x, out]) => ({ x: tf.mul(upsampleNearest2x(dy), winners(x, out)) }),
  });
}

/** 1 at the first maximum of each window, 0 elsewhere; a constant to gradients. */
function winners(x: T, out: T): T {
  const [batch, h, w, channels] = out.shape;
  return operator({
    name: "winners",
    inputs: {},
    forward: () => {
      let free = tf.onesLike(out);
      const marks: T[] = [];
      for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
        const mark = tf.mul(free, tf.cast(tf.equal(strided(x, i, j, h, w, 2), out), "float32"));
        free = tf.sub(free, mark);
        marks.push(mark);
      }
      const cell = (a: T, b: T) => tf.reshape(tf.stack([a, b], 3), [batch, h, 1, w * 2, channels]);
      return tf.reshape(tf.concat([cell(marks[0], marks[1]), cell(marks[2], marks[3])], 2), [
        batch,
        2 * h,
        2 * w,
        channels,
      ]);
    },
    gradient: () => ({}),
  });
}
