/** Softmax and normalizations on LibTorch. */
import type { Engine } from "../engine.ts";
import { type Context, CPU } from "./context.ts";
import { channelsFirst, channelsLast } from "./convolution.ts";
import { operator } from "./dispatcher.ts";
import type { Owned } from "./memory.ts";

const SOFTMAX = operator("aten::softmax", "int");
const LOG_SOFTMAX = operator("aten::log_softmax", "int");
const RMS_NORM = operator("aten::rms_norm");
const LAYER_NORM = operator("aten::layer_norm");
const GROUP_NORM = operator("aten::group_norm");
const RESHAPE = operator("aten::reshape");
const PERMUTE = operator("aten::permute");
const CONTIGUOUS = operator("aten::contiguous");
/** A memory format, as LibTorch numbers them. */
const CHANNELS_LAST = 2;

export function normalization(c: Context) {
  return {
    softmax: (x) => c.ownDense(c.call.tensor(x).int(-1).none().run(SOFTMAX), x.shape, x.dtype, c.stridesLike(x)),
    logSoftmax: (x) => c.ownDense(c.call.tensor(x).int(-1).none().run(LOG_SOFTMAX), x.shape, x.dtype, c.stridesLike(x)),
    rmsNorm(x, weight, epsilon) {
      const width = [x.shape[x.rank - 1]];
      const call = c.call.tensor(x).ints(width).tensor(weight).some();
      return c.ownDense(call.float(epsilon).some().run(RMS_NORM), x.shape, x.dtype, c.stridesLike(x));
    },
    layerNorm(x, weight, bias, epsilon) {
      const width = [x.shape[x.rank - 1]];
      const call = c.call.tensor(x).ints(width).tensor(weight).some().tensor(bias).some();
      return c.ownDense(call.float(epsilon).bool(true).run(LAYER_NORM), x.shape, x.dtype);
    },
    groupNorm(x, groups, weight, bias, epsilon) {
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
    },
  } satisfies Partial<Engine>;
}

/** [B, C, H, W] stored as [B, H, W, C]; itself where it is. */
function inChannelsLast(c: Context, x: Owned): Owned {
  return c.call.give(x).int(CHANNELS_LAST).run(CONTIGUOUS);
}
