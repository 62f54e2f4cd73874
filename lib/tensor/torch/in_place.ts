/** Writing over numbers on LibTorch: blocks, and the optimizer's update. Never while a gradient may need them. */
import { BYTES_PER_ELEMENT } from "../dtype.ts";
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context, lend } from "./context.ts";
import { operator } from "./dispatcher.ts";
import type { Borrowed, Owned } from "./memory.ts";

const COPY = operator("aten::copy_");
const FUSED_ADAMW = operator("aten::_fused_adamw_");
const FOREACH_MUL = operator("aten::_foreach_mul", "Tensor");

/** Gradients are scaled in groups of about so many bytes, so that a second copy of all of them never exists. */
const SCALED_GROUP_BYTES = 64 << 20;

export function inPlace(c: Context) {
  return {
    assign(target, value) {
      checkOutside(c, "assign");
      c.free(c.call.tensor(target).tensor(value).bool(false).run(COPY));
    },
    assignSlice(target, value, axis, start) {
      checkOutside(c, "assignSlice");
      const strides = c.stridesOf(target), shape = target.shape.with(axis, value.shape[axis]);
      const block = c.viewedOf(addressOf(target), shape, strides, start * strides[axis]);
      try {
        c.free(c.call.borrow(lend(block)).tensor(value).bool(false).run(COPY));
      } finally {
        c.free(block);
      }
    },
    adamW(parameters, gradients, first, second, options) {
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
    },
  } satisfies Partial<Engine>;
}

function checkOutside(c: Context, name: string): void {
  if (c.recording > 0) {
    throw new Error(`${name}: overwrites numbers, which a running valueAndGrad may need: call it outside`);
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
