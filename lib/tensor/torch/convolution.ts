/**
 * Convolution, resampling and pooling on LibTorch.
 *
 * Images are [B, H, W, C] in memory. LibTorch's convolutions want [B, C, H, W]; a permuted view of our memory is exactly
 * what LibTorch calls channels-last, for which it has kernels of its own, and the result permuted back is contiguous.
 */
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context, lend } from "./context.ts";
import { operator } from "./dispatcher.ts";
import type { Owned, TorchHandle } from "./memory.ts";

const PAD = operator("aten::pad");
const CONV2D = operator("aten::conv2d");
const UPSAMPLE = operator("aten::upsample_nearest2d");
const MAX_POOL = operator("aten::max_pool2d");

export function convolution(c: Context) {
  return {
    conv2d(x, weight, bias, { stride, padding: [top, bottom, left, right] }) {
      let image = channelsFirst(c, x);
      const even = top === bottom && left === right;
      if (!even) {
        image = c.call.give(image).ints([left, right, top, bottom]).text("constant").float(0).some().run(PAD);
      }
      const call = c.call.give(image).tensor(weight).optional(bias).ints([stride, stride]);
      return channelsLast(c, call.ints(even ? [top, left] : [0, 0]).ints([1, 1]).int(1).run(CONV2D));
    },
    upsampleNearest2x(x) {
      const size = [2 * x.shape[1], 2 * x.shape[2]];
      const image = channelsFirst(c, x);
      return channelsLast(c, c.call.give(image).ints(size).none().none().run(UPSAMPLE));
    },
    maxPool2x2(x) {
      const image = channelsFirst(c, x);
      const call = c.call.give(image).ints([2, 2]).ints([2, 2]);
      return channelsLast(c, call.ints([0, 0]).ints([1, 1]).bool(false).run(MAX_POOL));
    },
  } satisfies Partial<Engine>;
}

/** [B, H, W, C] as [B, C, H, W], without moving anything. */
export function channelsFirst(c: Context, x: Operand): Owned {
  if (!c.viewsFreely) return c.recordedPermute(addressOf(x), [0, 3, 1, 2]);
  const first = ([b, h, w, d]: readonly number[]) => [b, d, h, w];
  return c.madeView(x, first(x.shape), first(c.stridesOf(x)));
}
/** [B, C, H, W] as [B, H, W, C], on the books. */
export function channelsLast(c: Context, x: Owned): TorchHandle {
  const last = c.recordedPermute(lend(x), [0, 2, 3, 1]);
  c.free(x);
  return c.own(last);
}
