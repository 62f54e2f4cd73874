/**
 * Operators on LibTorch that move numbers or look at them differently: shape, indexing, and writing in place.
 */
import type { Shape } from "../dtype.ts";
import type { Operand } from "../engine.ts";
import { addressOf, type Context, lend } from "./context.ts";
import { operator } from "./dispatcher.ts";
import type { Owned, TorchHandle } from "./memory.ts";

const RESHAPE = operator("aten::reshape");
const PERMUTE = operator("aten::permute");
const NARROW = operator("aten::narrow");
const CAT = operator("aten::cat");
const PAD = operator("aten::pad");
const EXPAND = operator("aten::expand");
const DETACH = operator("aten::detach");
const CLONE = operator("aten::clone");
const EMBEDDING = operator("aten::embedding");
const INDEX_SELECT = operator("aten::index_select");
const GATHER = operator("aten::gather");
const COPY = operator("aten::copy_");

export function reshape(c: Context, x: Operand, shape: Shape): TorchHandle {
  return c.ownOrView(c.call.tensor(x).ints(shape).run(RESHAPE), x);
}

export function permute(c: Context, x: Operand, order: readonly number[]): TorchHandle {
  return c.view(c.call.tensor(x).ints(order).run(PERMUTE), x);
}

export function slice(c: Context, x: Operand, begin: readonly number[], size: readonly number[]): TorchHandle {
  let result: Owned | undefined;
  for (let axis = 0; axis < x.rank; axis++) {
    if (size[axis] === x.shape[axis]) continue;
    const call: typeof c.call = result === undefined ? c.call.tensor(x) : c.call.give(result);
    result = call.int(axis).int(begin[axis]).int(size[axis]).run(NARROW);
  }
  return c.view(result ?? c.another(addressOf(x)), x);
}

export function concat(c: Context, xs: readonly Operand[], axis: number): TorchHandle {
  return c.own(c.call.tensors(xs).int(axis).run(CAT));
}

export function pad(
  c: Context,
  x: Operand,
  paddings: readonly (readonly [before: number, after: number])[],
  value: number,
): TorchHandle {
  // LibTorch counts from the last axis.
  const flat = [...paddings].reverse().flat();
  return c.own(c.call.tensor(x).ints(flat).text("constant").float(value).some().run(PAD));
}

export function broadcastTo(c: Context, x: Operand, shape: Shape): TorchHandle {
  return c.view(c.call.tensor(x).ints(shape).bool(false).run(EXPAND), x);
}

export function detach(c: Context, x: Operand): TorchHandle {
  return c.view(c.call.tensor(x).run(DETACH), x);
}

export function clone(c: Context, x: Operand): TorchHandle {
  return c.own(c.call.tensor(x).int(CONTIGUOUS).some().run(CLONE));
}
const CONTIGUOUS = 0;

export function gather(c: Context, x: Operand, indices: Operand, axis: number): TorchHandle {
  // Rows of a matrix: the embedding's backward is faster than that of a general selection, and repeatable on CUDA.
  if (axis === 0 && x.rank === 2) {
    return c.own(c.call.tensor(x).tensor(indices).int(-1).bool(false).bool(false).run(EMBEDDING));
  }
  return c.own(c.call.tensor(x).int(axis).tensor(indices).run(INDEX_SELECT));
}

export function takeAlong(c: Context, x: Operand, indices: Operand, axis: number): TorchHandle {
  return c.own(c.call.tensor(x).int(axis).tensor(indices).bool(false).run(GATHER));
}

export function assign(c: Context, target: Operand, value: Operand): void {
  checkOutside(c, "assign");
  c.free(c.call.tensor(target).tensor(value).bool(false).run(COPY));
}

export function assignSlice(c: Context, target: Operand, value: Operand, axis: number, start: number): void {
  checkOutside(c, "assignSlice");
  const block = c.call.tensor(target).int(axis).int(start).int(value.shape[axis]).run(NARROW);
  try {
    c.free(c.call.borrow(lend(block)).tensor(value).bool(false).run(COPY));
  } finally {
    c.free(block);
  }
}

export function checkOutside(c: Context, name: string): void {
  if (c.recording > 0) {
    throw new Error(`${name}: overwrites numbers, which a running valueAndGrad may need: call it outside`);
  }
}
