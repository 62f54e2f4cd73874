/**
 * Products, convolutions, normalizations, attention and the optimizer's update on LibTorch.
 *
 * Images are [B, H, W, C] in memory. LibTorch's convolutions want [B, C, H, W]; a permuted view of our memory is exactly
 * what LibTorch calls channels-last, for which it has kernels of its own, and the result permuted back is contiguous.
 */
import type { AdamWOptions, Conv2dOptions, Operand } from "../engine.ts";
import { BYTES_PER_ELEMENT } from "../dtype.ts";
import { addressOf, type Context, CPU, lend } from "./context.ts";
import { operator } from "./dispatcher.ts";
import type { Borrowed, Owned, TorchHandle } from "./memory.ts";
import { checkOutside } from "./shaping.ts";

const TRANSPOSE = operator("aten::transpose", "int");
const PERMUTE = operator("aten::permute");
const RESHAPE = operator("aten::reshape");
const MATMUL = operator("aten::matmul");
const LINEAR = operator("aten::linear");
const PAD = operator("aten::pad");
const CONV2D = operator("aten::conv2d");
const UPSAMPLE = operator("aten::upsample_nearest2d");
const MAX_POOL = operator("aten::max_pool2d");
const SOFTMAX = operator("aten::softmax", "int");
const LOG_SOFTMAX = operator("aten::log_softmax", "int");
const RMS_NORM = operator("aten::rms_norm");
const LAYER_NORM = operator("aten::layer_norm");
const GROUP_NORM = operator("aten::group_norm");
const ATTENTION = operator("aten::scaled_dot_product_attention");
const CONTIGUOUS = operator("aten::contiguous");
/** A memory format, as LibTorch numbers them. */
const CHANNELS_LAST = 2;
const MUL = operator("aten::mul", "Tensor");
const TRIL = operator("aten::tril");
const WHERE = operator("aten::where", "self");
const FUSED_ADAMW = operator("aten::_fused_adamw_");
const FOREACH_MUL = operator("aten::_foreach_mul", "Tensor");

/** Gradients are scaled in groups of about so many bytes, so that a second copy of all of them never exists. */
const SCALED_GROUP_BYTES = 64 << 20;

export function matmul(c: Context, a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): TorchHandle {
  const left = transposeA ? transposed(c, addressOf(a)) : undefined;
  const right = transposeB ? transposed(c, addressOf(b)) : undefined;
  const call = c.call;
  if (left === undefined) call.tensor(a);
  else call.give(left);
  if (right === undefined) call.tensor(b);
  else call.give(right);
  return c.own(call.run(MATMUL));
}

function transposed(c: Context, x: Borrowed): Owned {
  return c.call.borrow(x).int(-2).int(-1).run(TRANSPOSE);
}

export function linear(c: Context, x: Operand, weight: Operand, bias: Operand | undefined): TorchHandle {
  const call = c.call.tensor(x).tensor(weight);
  return c.own(optional(call, bias).run(LINEAR));
}

function optional(call: Context["call"], x: Operand | undefined): Context["call"] {
  return x === undefined ? call.none() : call.tensor(x).some();
}

/** [B, H, W, C] as [B, C, H, W], without moving anything. */
function channelsFirst(c: Context, x: Operand): Owned {
  return c.call.tensor(x).ints([0, 3, 1, 2]).run(PERMUTE);
}
/** [B, C, H, W] as [B, H, W, C], on the books. */
function channelsLast(c: Context, x: Owned): TorchHandle {
  return c.own(c.call.give(x).ints([0, 2, 3, 1]).run(PERMUTE));
}

/** [B, C, H, W] stored as [B, H, W, C]; itself where it is. */
export function inChannelsLast(c: Context, x: Owned): Owned {
  return c.call.give(x).int(CHANNELS_LAST).run(CONTIGUOUS);
}

export function conv2d(
  c: Context,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  { stride, padding: [top, bottom, left, right] }: Conv2dOptions,
): TorchHandle {
  let image = channelsFirst(c, x);
  const even = top === bottom && left === right;
  if (!even) {
    image = c.call.give(image).ints([left, right, top, bottom]).text("constant").float(0).some().run(PAD);
  }
  const call = optional(c.call.give(image).tensor(weight), bias);
  return channelsLast(
    c,
    call.ints([stride, stride]).ints(even ? [top, left] : [0, 0]).ints([1, 1]).int(1).run(CONV2D),
  );
}

export function upsampleNearest2x(c: Context, x: Operand): TorchHandle {
  const size = [2 * x.shape[1], 2 * x.shape[2]];
  const image = channelsFirst(c, x);
  return channelsLast(c, c.call.give(image).ints(size).none().none().run(UPSAMPLE));
}

export function maxPool2x2(c: Context, x: Operand): TorchHandle {
  const image = channelsFirst(c, x);
  return channelsLast(
    c,
    c.call.give(image).ints([2, 2]).ints([2, 2]).ints([0, 0]).ints([1, 1]).bool(false).run(MAX_POOL),
  );
}

export function softmax(c: Context, x: Operand): TorchHandle {
  return c.own(c.call.tensor(x).int(-1).none().run(SOFTMAX));
}

export function logSoftmax(c: Context, x: Operand): TorchHandle {
  return c.own(c.call.tensor(x).int(-1).none().run(LOG_SOFTMAX));
}

export function rmsNorm(c: Context, x: Operand, weight: Operand, epsilon: number): TorchHandle {
  const width = [x.shape[x.rank - 1]];
  return c.own(c.call.tensor(x).ints(width).tensor(weight).some().float(epsilon).some().run(RMS_NORM));
}

export function layerNorm(c: Context, x: Operand, weight: Operand, bias: Operand, epsilon: number): TorchHandle {
  const width = [x.shape[x.rank - 1]];
  const call = c.call.tensor(x).ints(width).tensor(weight).some().tensor(bias).some();
  return c.own(call.float(epsilon).bool(true).run(LAYER_NORM));
}

export function groupNorm(
  c: Context,
  x: Operand,
  groups: number,
  weight: Operand,
  bias: Operand,
  epsilon: number,
): TorchHandle {
  // Positions need no order here: any number of axes between batch and channels becomes one.
  const image = x.rank === 4;
  const [batch, channels] = [x.shape[0], x.shape[x.rank - 1]];
  const positions = x.shape.slice(1, -1).reduce((product, n) => product * n, 1);
  const flat = image ? undefined : c.call.tensor(x).ints([batch, positions, channels]).run(RESHAPE);
  const first = flat === undefined ? channelsFirst(c, x) : c.call.give(flat).ints([0, 2, 1]).run(PERMUTE);
  const call = c.call.give(first).int(groups).tensor(weight).some().tensor(bias).some();
  const normal = call.float(epsilon).bool(true).run(GROUP_NORM);
  // On CUDA the result comes as [B, C, H, W] in memory, where a convolution after it would be slow.
  if (image) return channelsLast(c, c.deviceType === CPU ? normal : inChannelsLast(c, normal));
  const last = c.call.give(normal).ints([0, 2, 1]).run(PERMUTE);
  return c.own(c.call.give(last).ints(x.shape).run(RESHAPE));
}

export function attention(
  c: Context,
  q: Operand,
  k: Operand,
  v: Operand,
  causal: boolean,
  scale: number,
): TorchHandle {
  const queries = q.shape[2], keys = k.shape[2];
  // The last query sees everything.
  const masked = causal && queries > 1;
  if (c.recordingTwice > 0) return composedAttention(c, q, k, v, masked, scale);
  const mask = masked && queries < keys ? causalMask(c, queries, keys) : undefined;
  const call = c.call.tensor(q).tensor(k).tensor(v);
  if (mask === undefined) call.none();
  else call.give(mask).some();
  return c.own(call.float(0).bool(masked && queries === keys).float(scale).some().bool(false).run(ATTENTION));
}

/** True where query i may see key j: j ≤ i + keys − queries. */
function causalMask(c: Context, queries: number, keys: number): Owned {
  const all = c.full(1, [queries, keys], "bool");
  return c.call.give(all).int(keys - queries).run(TRIL);
}

/** Attention of operators that can be differentiated twice, which the fused kernels cannot. */
function composedAttention(
  c: Context,
  q: Operand,
  k: Operand,
  v: Operand,
  masked: boolean,
  scale: number,
): TorchHandle {
  const factor = c.number(scale, q.dtype === "bfloat16" ? "float32" : q.dtype, true);
  const right = transposed(c, addressOf(k));
  const products = c.call.tensor(q).give(right).run(MATMUL);
  let scores = c.call.give(products).borrow(factor).run(MUL);
  if (masked) {
    const mask = causalMask(c, q.shape[2], k.shape[2]);
    const never = c.number(-Infinity, q.dtype, false);
    scores = c.call.give(mask).give(scores).borrow(never).run(WHERE);
  }
  const weights = c.call.give(scores).int(-1).none().run(SOFTMAX);
  return c.own(c.call.give(weights).tensor(v).run(MATMUL));
}

export function adamW(
  c: Context,
  parameters: Operand[],
  gradients: Operand[],
  first: Operand[],
  second: Operand[],
  options: AdamWOptions,
): void {
  checkOutside(c, "adamW");
  const step = c.full(options.step, [], "float32");
  const factor = options.gradientScale === 1 ? undefined : c.number(options.gradientScale, "float32", false);
  try {
    for (const [from, to] of factor === undefined ? [[0, parameters.length]] : groupsOf(gradients)) {
      const part = <T>(list: T[]) => list.slice(from, to);
      let scaled: Owned[] = [];
      if (factor !== undefined) {
        scaled = c.call.tensors(part(gradients)).borrow(factor).runList(FOREACH_MUL, to - from);
      }
      try {
        const call = c.call.tensors(part(parameters));
        if (factor === undefined) call.tensors(gradients);
        else call.borrowAll(scaled.map(lend));
        call.tensors(part(first)).tensors(part(second)).borrowAll([]);
        call.borrowAll(new Array<Borrowed>(to - from).fill(lend(step)));
        call.float(options.learningRate).float(options.beta1).float(options.beta2).float(options.weightDecay);
        call.float(options.epsilon).bool(false).bool(false).none().none().runVoid(FUSED_ADAMW);
      } finally {
        scaled.forEach((each) => c.free(each));
      }
    }
  } finally {
    c.free(step);
  }
}

/** Consecutive runs of tensors of about `SCALED_GROUP_BYTES`. */
function groupsOf(tensors: Operand[]): [number, number][] {
  const groups: [number, number][] = [];
  let from = 0, bytes = 0;
  tensors.forEach((each, i) => {
    bytes += each.size * BYTES_PER_ELEMENT[each.dtype];
    if (bytes >= SCALED_GROUP_BYTES || i === tensors.length - 1) {
      groups.push([from, i + 1]);
      [from, bytes] = [i + 1, 0];
    }
  });
  return groups;
}
