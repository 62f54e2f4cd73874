/** Reductions and searches on LibTorch. */
import type { Engine, Operand } from "../engine.ts";
import { addressOf, type Context, lend } from "./context.ts";
import { operator, TORCH_DTYPE } from "./dispatcher.ts";
import type { Owned } from "./memory.ts";
import { castTo } from "./shapes.ts";

const SUM = operator("aten::sum", "dim_IntList");
const MEAN = operator("aten::mean", "dim");
const SQUARE = operator("aten::square");
const SUM_ALL = operator("aten::sum"), MEAN_ALL = operator("aten::mean");
const MAX = operator("aten::amax"), MIN = operator("aten::amin");
const LOG_SUM_EXP = operator("aten::logsumexp");
const ARGMAX = operator("aten::argmax");
const CUMSUM = operator("aten::cumsum");
const TOP_K = operator("aten::topk");

/** Numbers that are laid one after the other at once: 64 MiB in float32. */
const FLAT_NUMBERS = 1 << 24;

export function reduction(c: Context) {
  return {
    reduce(name, x, axes, keepDims) {
      // LibTorch reads an empty list as all axes.
      if (axes.length === 0 && x.rank > 0) {
        return x.dtype === "bool" && name === "sum" ? castTo(c, x, "int64") : c.view(c.another(addressOf(x)), x);
      }
      if (axes.length === x.rank && !keepDims) {
        if (name === "sum") return c.own(c.call.tensor(x).none().run(SUM_ALL));
        if (name === "mean") return c.own(c.call.tensor(x).none().run(MEAN_ALL));
      }
      const call = c.call.tensor(x).ints(axes);
      switch (name) {
        case "sum":
          return c.own(call.some().bool(keepDims).none().run(SUM));
        case "mean":
          return c.own(call.some().bool(keepDims).none().run(MEAN));
        case "max":
          return c.own(call.bool(keepDims).run(MAX));
        case "min":
          return c.own(call.bool(keepDims).run(MIN));
        case "logSumExp":
          return c.own(call.bool(keepDims).run(LOG_SUM_EXP));
      }
    },
    argmax: (x, axis) => c.own(c.call.tensor(x).int(axis).some().bool(false).run(ARGMAX)),
    cumsum: (x, axis) => c.own(c.call.tensor(x).int(axis).int(TORCH_DTYPE[x.dtype]).some().run(CUMSUM)),
    topK(x, k) {
      const [values, indices] = c.call.tensor(x).int(k).int(-1).bool(true).bool(true).runPair(TOP_K);
      return { values: c.own(values), indices: c.own(indices) };
    },
    squaredNorm(xs) {
      let total: Owned | undefined;
      for (const run of runsOf(xs)) {
        const squares = c.call.give(c.flattened(run)).run(SQUARE);
        const sum = c.call.give(squares).none().run(SUM_ALL), before = total;
        total = before === undefined ? sum : c.sum(lend(before), lend(sum), false, [], xs[0].dtype);
        if (before !== undefined) [before, sum].forEach((each) => c.free(each));
      }
      return c.ownDense(total!, [], xs[0].dtype, []);
    },
  } satisfies Partial<Engine>;
}

/** Runs of tensors with about so many numbers together. */
function runsOf(xs: readonly Operand[]): Operand[][] {
  const runs: Operand[][] = [[]];
  let size = 0;
  for (const x of xs) {
    if (size > 0 && size + x.size > FLAT_NUMBERS) {
      runs.push([]);
      size = 0;
    }
    runs[runs.length - 1].push(x);
    size += x.size;
  }
  return runs;
}
