/** Writing over numbers on LibTorch: blocks, and the optimizer's update. Never while a gradient may need them. */
import type { Engine } from "../engine.ts";
import { type Context, handleOf, lend } from "./context.ts";
import { operator, permanent } from "./dispatcher.ts";
import { type Borrowed, implementationOf } from "./memory.ts";
import { denseStrides, isDense } from "./strides.ts";
import { FUSED_ADAMW } from "./symbols.ts";

const COPY = operator("aten::copy_");
const ADAMW = operator("aten::_fused_adamw_");

export function inPlace(c: Context) {
  return {
    assign(target, value) {
      checkOutside(c, "assign");
      c.free(c.call.tensor(target).tensor(value).bool(false).run(COPY));
    },
    assignSlice(target, value, axis, start) {
      checkOutside(c, "assignSlice");
      const strides = c.stridesOf(target), shape = target.shape.with(axis, value.shape[axis]);
      const block = c.madeView(target, shape, strides, start * strides[axis]);
      try {
        c.free(c.call.borrow(lend(block)).tensor(value).bool(false).run(COPY));
      } finally {
        c.free(block);
      }
    },
    addAll(targets, values) {
      checkOutside(c, "addAll");
      c.addAll(targets, values);
    },
    adamW(parameters, gradients, first, second, options) {
      checkOutside(c, "adamW");
      const { learningRate, beta1, beta2, weightDecay, epsilon, gradientScale } = options;
      const step = c.ownDense(c.full(options.step, [], "float32"), [], "float32", denseStrides([]));
      // LibTorch divides by it, and leaves the quotient in the gradient's place.
      const divisor = gradientScale === 1 ? undefined : c.number(1 / gradientScale, "float32", false);
      const lists = [parameters, gradients, first, second];
      const rates = [learningRate, beta1, beta2, weightDecay, epsilon] as const;
      const fused = c.library.torch[FUSED_ADAMW];
      try {
        // An error of the direct call would end the process: what it might refuse goes through the dispatcher.
        if (fused && lists.every((list) => list.every((x) => isDense(x.shape, c.stridesOf(x))))) {
          const handles = [...lists.map((list) => list.map(handleOf)), [], parameters.map(() => step)];
          const [p, g, m, v, none, steps] = handles.map((list, i) => c.lists[i].write(list));
          fused(
            ...[p.address, p.length, g.address, g.length, m.address, m.length, v.address, v.length] as const,
            ...[none.address, none.length, steps.address, steps.length, ...rates, false, false] as const,
            ...[optional(divisor), optional(undefined)] as const,
          );
          return;
        }
        const call = c.call;
        for (const list of lists) call.tensors(list);
        call.borrowAll([]).borrowAll(parameters.map(() => lend(step.address)));
        for (const rate of rates) call.float(rate);
        call.bool(false).bool(false);
        if (divisor === undefined) call.none();
        else call.borrow(divisor).some();
        call.none().runVoid(ADAMW);
      } finally {
        c.release(step);
      }
    },
  } satisfies Partial<Engine>;
}

function checkOutside(c: Context, name: string): void {
  if (c.recording > 0) {
    throw new Error(`${name}: overwrites numbers, which a running valueAndGrad may need: call it outside`);
  }
}

// A `std::optional<at::Tensor>` that C++ only looks at: the tensor's pointer, and whether there is one.
const OPTIONALS = [true, false].map((isThere) => {
  const words = new BigUint64Array(new ArrayBuffer(64));
  words[1] = isThere ? 1n : 0n;
  return { words, address: permanent(new Uint8Array(words.buffer)) };
});

function optional(x: Borrowed | undefined): bigint {
  const [there, missing] = OPTIONALS;
  if (x === undefined) return missing.address;
  there.words[0] = implementationOf(x);
  return there.address;
}
