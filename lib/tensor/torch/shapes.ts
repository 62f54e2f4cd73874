/** Operators on LibTorch that look at numbers differently, or move them. */
import type { DType, Shape } from "../dtype.ts";
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context, handleOf, lend } from "./context.ts";
import { operator, TORCH_DTYPE } from "./dispatcher.ts";
import type { Owned, TorchHandle } from "./memory.ts";
import { denseStrides, reshapedStrides } from "./strides.ts";

const RESHAPE = operator("aten::reshape");
const PAD = operator("aten::pad");
const TO = operator("aten::to", "dtype");
const DETACH = operator("aten::detach");
const CLONE = operator("aten::clone");
const CONTIGUOUS = operator("aten::contiguous");
/** A memory format, as LibTorch numbers them. */
const CONTIGUOUS_FORMAT = 0;

export function shapes(c: Context) {
  return {
    reshape(x, shape) {
      const copy = () => c.call.tensor(x).ints(shape).run(RESHAPE);
      if (x.size === 0) return c.ownOrView(copy(), x);
      const strides = reshapedStrides(x.shape, c.stridesOf(x), shape);
      if (c.viewsFreely) return strides === undefined ? copied(c, x, shape) : c.viewed(x, shape, strides);
      return strides === undefined
        ? c.ownDense(copy(), shape, x.dtype, denseStrides(shape))
        : c.view(c.recordedReshape(addressOf(x), shape), x, strides);
    },
    permute(x, order) {
      const before = c.stridesOf(x), strides = order.map((axis) => before[axis]);
      if (c.viewsFreely) return c.viewed(x, order.map((axis) => x.shape[axis]), strides);
      return c.view(c.recordedPermute(addressOf(x), order), x, strides);
    },
    slice(x, begin, size) {
      const strides = c.stridesOf(x);
      if (c.viewsFreely) {
        return c.viewed(x, size, strides, begin.reduce((sum, first, axis) => sum + first * strides[axis], 0));
      }
      let result: Owned | undefined;
      for (let axis = 0; axis < x.rank; axis++) {
        if (size[axis] === x.shape[axis]) continue;
        const next = c.recordedNarrow(
          result === undefined ? addressOf(x) : lend(result),
          axis,
          begin[axis],
          size[axis],
        );
        if (result !== undefined) c.free(result);
        result = next;
      }
      return c.view(result ?? c.another(addressOf(x)), x, strides);
    },
    concat(xs, axis) {
      const shape = xs[0].shape.with(axis, xs.reduce((sum, x) => sum + x.shape[axis], 0));
      // Of four axes it may come in another order of memory.
      const strides = shape.length < 4 ? denseStrides(shape) : undefined;
      return c.ownDense(c.joined(xs, axis, shape), shape, xs[0].dtype, strides);
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
      return c.view(c.recordedExpand(addressOf(x), shape), x, strides);
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
  return dtype === x.dtype ? c.ownOrView(result, x) : c.ownDense(result, x.shape, dtype, c.stridesLike(x));
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
