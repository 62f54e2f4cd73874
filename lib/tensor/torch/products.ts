/** Products of matrices on LibTorch, and attention. */
import type { Engine, Operand } from "../engine.ts";
import type { Context } from "./context.ts";
import { operator } from "./dispatcher.ts";
import type { Borrowed, Owned, TorchHandle } from "./memory.ts";
import { denseStrides } from "./strides.ts";

const TRANSPOSE = operator("aten::transpose", "int");
const MATMUL = operator("aten::matmul");
const LINEAR = operator("aten::linear");
const ATTENTION = operator("aten::scaled_dot_product_attention");
const MUL = operator("aten::mul", "Tensor");
const TRIL = operator("aten::tril");
const WHERE = operator("aten::where", "self");
const SOFTMAX = operator("aten::softmax", "int");

export function products(c: Context) {
  return {
    matmul(a, b, transposeA, transposeB, outShape) {
      const left = transposeA ? transposed(c, a) : undefined;
      const right = transposeB ? transposed(c, b) : undefined;
      const call = c.call;
      if (left === undefined) call.tensor(a);
      else call.give(left);
      if (right === undefined) call.tensor(b);
      else call.give(right);
      // With fewer axes on the left it may come transposed.
      return c.ownDense(call.run(MATMUL), outShape, a.dtype, a.rank >= b.rank ? denseStrides(outShape) : undefined);
    },
    linear(x, weight, bias) {
      const shape = x.shape.with(-1, weight.shape[0]), strides = x.rank === 2 ? denseStrides(shape) : undefined;
      return c.ownDense(c.call.tensor(x).tensor(weight).optional(bias).run(LINEAR), shape, x.dtype, strides);
    },
    attention(q, k, v, causal, scale) {
      const queries = q.shape[2], keys = k.shape[2];
      // The last query sees everything.
      const masked = causal && queries > 1;
      if (c.recordingTwice > 0) return composedAttention(c, q, k, v, masked, scale);
      const mask = masked && queries < keys ? causalMask(c, queries, keys) : undefined;
      const call = c.call.tensor(q).tensor(k).tensor(v);
      if (mask === undefined) call.none();
      else call.borrow(mask).some();
      const result = call.float(0).bool(masked && queries === keys).float(scale).some().bool(false).run(ATTENTION);
      return c.ownDense(result, q.shape.with(-1, v.shape[3]), q.dtype);
    },
  } satisfies Partial<Engine>;
}

function transposed(c: Context, x: Operand): Owned {
  if (!c.viewsFreely) return c.call.tensor(x).int(-2).int(-1).run(TRANSPOSE);
  const turned = (list: readonly number[]) => [...list.slice(0, -2), list[list.length - 1], list[list.length - 2]];
  return c.madeView(x, turned(x.shape), turned(c.stridesOf(x)));
}

/** True where query i may see key j: j ≤ i + keys − queries. */
function causalMask(c: Context, queries: number, keys: number): Borrowed {
  return c.mask(queries, keys, () => {
    const all = c.full(1, [queries, keys], "bool");
    return c.call.give(all).int(keys - queries).run(TRIL);
  });
}

/** Attention of operators that can be differentiated twice, which the fused kernels cannot. */
function composedAttention(
  c: Context,
  q: Operand,
  k: Operand,
  v: Operand,
  masked: boolean,
  scale: number,
): TorchHandle {
  const factor = c.number(scale, q.dtype === "bfloat16" ? "float32" : q.dtype, true);
  const right = transposed(c, k);
  const products = c.call.tensor(q).give(right).run(MATMUL);
  let scores = c.call.give(products).borrow(factor).run(MUL);
  if (masked) {
    const mask = causalMask(c, q.shape[2], k.shape[2]);
    const never = c.number(-Infinity, q.dtype, false);
    scores = c.call.borrow(mask).give(scores).borrow(never).run(WHERE);
  }
  const weights = c.call.give(scores).int(-1).none().run(SOFTMAX);
  return c.own(c.call.give(weights).tensor(v).run(MATMUL));
}
