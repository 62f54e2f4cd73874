/** Picking rows and numbers on LibTorch. */
import type { Engine } from "../engine.ts";
import type { Context } from "./context.ts";
import { operator } from "./dispatcher.ts";
import { denseStrides } from "./strides.ts";

const EMBEDDING = operator("aten::embedding");
const INDEX_SELECT = operator("aten::index_select");
const GATHER = operator("aten::gather");

export function indexing(c: Context) {
  return {
    gather(x, indices, axis) {
      // Rows of a matrix: the embedding's backward is faster than that of a general selection, and repeatable on CUDA.
      if (axis === 0 && x.rank === 2) {
        const result = c.call.tensor(x).tensor(indices).int(-1).bool(false).bool(false).run(EMBEDDING);
        const shape = [indices.size, x.shape[1]];
        return c.ownDense(result, shape, x.dtype, denseStrides(shape));
      }
      return c.own(c.call.tensor(x).int(axis).tensor(indices).run(INDEX_SELECT));
    },
    takeAlong: (x, indices, axis) => c.own(c.call.tensor(x).int(axis).tensor(indices).bool(false).run(GATHER)),
  } satisfies Partial<Engine>;
}
