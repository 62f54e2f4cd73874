/** Operators on LibTorch that look at numbers differently, or move them. */
import type { DType } from "../dtype.ts";
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context } from "./context.ts";
import { operator, TORCH_DTYPE } from "./dispatcher.ts";
import type { Owned, TorchHandle } from "./memory.ts";

const RESHAPE = operator("aten::reshape");
const PERMUTE = operator("aten::permute");
const NARROW = operator("aten::narrow");
const CAT = operator("aten::cat");
const PAD = operator("aten::pad");
const EXPAND = operator("aten::expand");
const TO = operator("aten::to", "dtype");
const DETACH = operator("aten::detach");
const CLONE = operator("aten::clone");
/** A memory format, as LibTorch numbers them. */
const CONTIGUOUS = 0;

export function shapes(c: Context) {
  return {
    reshape: (x, shape) => c.ownOrView(c.call.tensor(x).ints(shape).run(RESHAPE), x),
    permute: (x, order) => c.view(c.call.tensor(x).ints(order).run(PERMUTE), x),
    slice(x, begin, size) {
      let result: Owned | undefined;
      for (let axis = 0; axis < x.rank; axis++) {
        if (size[axis] === x.shape[axis]) continue;
        const call: typeof c.call = result === undefined ? c.call.tensor(x) : c.call.give(result);
        result = call.int(axis).int(begin[axis]).int(size[axis]).run(NARROW);
      }
      return c.view(result ?? c.another(addressOf(x)), x);
    },
    concat: (xs, axis) => c.own(c.call.tensors(xs).int(axis).run(CAT)),
    pad(x, paddings, value) {
      // LibTorch counts from the last axis.
      const flat = [...paddings].reverse().flat();
      return c.own(c.call.tensor(x).ints(flat).text("constant").float(value).some().run(PAD));
    },
    broadcastTo: (x, shape) => c.view(c.call.tensor(x).ints(shape).bool(false).run(EXPAND), x),
    cast: (x, dtype) => castTo(c, x, dtype),
    detach: (x) => c.view(c.call.tensor(x).run(DETACH), x),
    clone: (x) => c.own(c.call.tensor(x).int(CONTIGUOUS).some().run(CLONE)),
  } satisfies Partial<Engine>;
}

/** The same values as another type; the operand's memory where it has that type. */
export function castTo(c: Context, x: Operand, dtype: DType): TorchHandle {
  return c.ownOrView(c.call.tensor(x).int(TORCH_DTYPE[dtype]).bool(false).bool(false).none().run(TO), x);
}
