/** Operators on LibTorch that look at numbers differently, or move them. */
import type { DType, Shape } from "../dtype.ts";
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context, handleOf, lend } from "./context.ts";
import { operator, TORCH_DTYPE } from "./dispatcher.ts";
import type { Owned, TorchHandle } from "./memory.ts";
import { denseStrides, reshapedStrides } from "./strides.ts";

const RESHAPE = operator("aten::reshape");
const PERMUTE = operator("aten::permute");
const NARROW = operator("aten::narrow");
const CAT = operator("aten::cat");
const PAD = operator("aten::pad");
const EXPAND = operator("aten::expand");
const TO = operator("aten::to", "dtype");
const DETACH = operator("aten::detach");
const CLONE = operator("aten::clone");
const CONTIGUOUS = operator("aten::contiguous");
/** A memory format, as LibTorch numbers them. */
const CONTIGUOUS_FORMAT = 0;

export function shapes(c: Context) {
  return {
    reshape(x, shape) {
      const operator = () => c.call.tensor(x).ints(shape).run(RESHAPE);
      if (x.size === 0) return c.ownOrView(operator(), x);
      const strides = reshapedStrides(x.shape, c.stridesOf(x), shape);
      if (c.viewsFreely) return strides === undefined ? copied(c, x, shape) : c.viewed(x, shape, strides);
      return strides === undefined ? c.ownDense(operator(), shape, x.dtype) : c.view(operator(), x, strides);
    },
    permute(x, order) {
      const before = c.stridesOf(x), strides = order.map((axis) => before[axis]);
      if (c.viewsFreely) return c.viewed(x, order.map((axis) => x.shape[axis]), strides);
      return c.view(c.call.tensor(x).ints(order).run(PERMUTE), x, strides);
    },
    slice(x, begin, size) {
      const strides = c.stridesOf(x);
      if (c.viewsFreely) {
        return c.viewed(x, size, strides, begin.reduce((sum, first, axis) => sum + first * strides[axis], 0));
      }
      let result: Owned | undefined;
      for (let axis = 0; axis < x.rank; axis++) {
        if (size[axis] === x.shape[axis]) continue;
        const call: typeof c.call = result === undefined ? c.call.tensor(x) : c.call.give(result);
        result = call.int(axis).int(begin[axis]).int(size[axis]).run(NARROW);
      }
      return c.view(result ?? c.another(addressOf(x)), x, strides);
    },
    concat(xs, axis) {
      const shape = xs[0].shape.with(axis, xs.reduce((sum, x) => sum + x.shape[axis], 0));
      return c.ownDense(c.call.tensors(xs).int(axis).run(CAT), shape, xs[0].dtype);
    },
    pad(x, paddings, value) {
      // LibTorch counts from the last axis.
      const flat = [...paddings].reverse().flat();
      return c.own(c.call.tensor(x).ints(flat).text("constant").float(value).some().run(PAD));
    },
    broadcastTo(x, shape) {
      const before = c.stridesOf(x), added = shape.length - x.rank;
      const strides = shape.map((extent, axis) =>
        axis < added || x.shape[axis - added] !== extent ? 0 : before[axis - added]
      );
      if (c.viewsFreely) return c.viewed(x, shape, strides);
      return c.view(c.call.tensor(x).ints(shape).bool(false).run(EXPAND), x, strides);
    },
    cast: (x, dtype) => castTo(c, x, dtype),
    detach(x) {
      if (c.viewsFreely) return c.viewed(x, x.shape, c.stridesOf(x));
      return c.view(c.call.tensor(x).run(DETACH), x, handleOf(x).strides);
    },
    clone: (x) => c.own(c.call.tensor(x).int(CONTIGUOUS_FORMAT).some().run(CLONE)),
  } satisfies Partial<Engine>;
}

/** The same values as another type; the operand's memory where it has that type. */
export function castTo(c: Context, x: Operand, dtype: DType): TorchHandle {
  const result = c.call.tensor(x).int(TORCH_DTYPE[dtype]).bool(false).bool(false).none().run(TO);
  return dtype === x.dtype ? c.ownOrView(result, x) : c.ownDense(result, x.shape, dtype);
}

/** The numbers written out in their order, in another shape. */
function copied(c: Context, x: Operand, shape: Shape): TorchHandle {
  const copy = c.call.tensor(x).int(CONTIGUOUS_FORMAT).run(CONTIGUOUS), strides = denseStrides(shape);
  try {
    return c.ownDense(c.viewedOf(lend(copy), shape, strides), shape, x.dtype, strides);
  } finally {
    c.free(copy);
  }
}
