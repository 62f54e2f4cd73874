/**
 * Elementwise operators and comparisons on LibTorch.
 *
 * Operators whose usual form takes a number of schema type Scalar are written with tensors of rank 0. Such a number has
 * the operand's type, but stands in float32 beside bfloat16 of one axis or more: LibTorch then computes with the exact
 * number, as PyTorch does, and still returns bfloat16.
 */
import type { BinaryOperator, CompareOperator, Engine, LogicalOperator, Operand, UnaryOperator } from "../engine.ts";
import { type Shape, sizeOf } from "../dtype.ts";
import { addressOf, type Context, lend } from "./context.ts";
import { operator, type OperatorName } from "./dispatcher.ts";
import type { Borrowed, Owned } from "./memory.ts";

const UNARY: Readonly<Record<Exclude<UnaryOperator, "gelu" | "softplus">, OperatorName>> = {
  neg: operator("aten::neg"),
  exp: operator("aten::exp"),
  log: operator("aten::log"),
  sqrt: operator("aten::sqrt"),
  rsqrt: operator("aten::rsqrt"),
  reciprocal: operator("aten::reciprocal"),
  abs: operator("aten::abs"),
  square: operator("aten::square"),
  sign: operator("aten::sign"),
  tanh: operator("aten::tanh"),
  sigmoid: operator("aten::sigmoid"),
  silu: operator("aten::silu"),
  relu: operator("aten::relu"),
  sin: operator("aten::sin"),
  cos: operator("aten::cos"),
  floor: operator("aten::floor"),
  round: operator("aten::round"),
};
const GELU = operator("aten::gelu");
const LOG_ADD_EXP = operator("aten::logaddexp");
const BINARY: Readonly<Record<Exclude<BinaryOperator, "add" | "sub" | "mul">, OperatorName>> = {
  div: operator("aten::div", "Tensor"),
  maximum: operator("aten::maximum"),
  minimum: operator("aten::minimum"),
  pow: operator("aten::pow", "Tensor_Tensor"),
};
const COMPARE: Readonly<Record<CompareOperator, OperatorName>> = {
  equal: operator("aten::eq", "Tensor"),
  notEqual: operator("aten::ne", "Tensor"),
  less: operator("aten::lt", "Tensor"),
  lessEqual: operator("aten::le", "Tensor"),
  greater: operator("aten::gt", "Tensor"),
  greaterEqual: operator("aten::ge", "Tensor"),
};
const LOGICAL: Readonly<Record<LogicalOperator, OperatorName>> = {
  and: operator("aten::logical_and"),
  or: operator("aten::logical_or"),
};
const LOGICAL_NOT = operator("aten::logical_not");
const WHERE = operator("aten::where", "self");
const LESS = COMPARE.less, GREATER = COMPARE.greater;
const CLAMP = operator("aten::clamp", "Tensor");
const PRELU = operator("aten::prelu");

export function elementwise(c: Context) {
  return {
    unary(name, x) {
      const call = c.call.tensor(x);
      const result = name === "gelu"
        ? call.text("none").run(GELU)
        : name === "softplus"
        ? call.borrow(c.number(0, x.dtype, false)).run(LOG_ADD_EXP)
        : call.run(UNARY[name]);
      return c.ownDense(result, x.shape, x.dtype, c.stridesLike(x));
    },
    binary(name, a, b, outShape) {
      if (name === "add" || name === "sub") {
        const other = typeof b === "number" ? numberBeside(c, b, a, true) : addressOf(b);
        const result = c.sum(addressOf(a), other, name === "sub", outShape, a.dtype);
        return c.ownDense(result, outShape, a.dtype, stridesOfResult(c, a, outShape));
      }
      if (name === "mul") {
        const other = typeof b === "number" ? numberBeside(c, b, a, true) : addressOf(b);
        return c.ownDense(c.product(a, other, outShape), outShape, a.dtype, stridesOfResult(c, a, outShape));
      }
      const call = c.call.tensor(a);
      let result: Owned;
      if (typeof b !== "number") result = call.tensor(b).run(BINARY[name]);
      // Cheaper than the general power, and exact.
      else if (name === "pow" && b === 2) result = call.run(UNARY.square);
      else if (name === "pow" && b === 0.5) result = call.run(UNARY.sqrt);
      else result = call.borrow(numberBeside(c, b, a, name === "div")).run(BINARY[name]);
      return c.ownDense(result, outShape, a.dtype, stridesOfResult(c, a, outShape));
    },
    compare(name, a, b) {
      if (typeof b !== "number") return c.own(c.call.tensor(a).tensor(b).run(COMPARE[name]));
      const other = numberBeside(c, b, a, false);
      return c.own(c.call.tensor(a).borrow(other).run(COMPARE[name]));
    },
    logical: (name, a, b) => c.own(c.call.tensor(a).tensor(b).run(LOGICAL[name])),
    logicalNot: (x) => c.own(c.call.tensor(x).run(LOGICAL_NOT)),
    where: (condition, a, b) => c.own(c.call.tensor(condition).tensor(a).tensor(b).run(WHERE)),
    clamp(x, low, high) {
      // A bound at infinity is no bound, also for integers.
      const below = low === -Infinity ? undefined : c.number(low, x.dtype, false);
      const above = high === Infinity ? undefined : c.number(high, x.dtype, false);
      if (below === undefined && above === undefined) return c.view(c.another(addressOf(x)), x);
      // Versions of LibTorch differ in the gradient at a bound: all of it, or half. Comparisons give all of it.
      if (c.recording > 0) {
        const raised = below === undefined ? undefined : replacedWhere(c, LESS, addressOf(x), below);
        if (above === undefined) return c.own(raised!);
        const both = replacedWhere(c, GREATER, raised === undefined ? addressOf(x) : lend(raised), above);
        if (raised !== undefined) c.free(raised);
        return c.own(both);
      }
      const call = c.call.tensor(x);
      if (below === undefined) call.none();
      else call.borrow(below).some();
      if (above === undefined) call.none();
      else call.borrow(above).some();
      return c.own(call.run(CLAMP));
    },
    leakyRelu(x, negativeSlope) {
      const slope = c.number(negativeSlope, x.dtype, false);
      return c.own(c.call.tensor(x).borrow(slope).run(PRELU));
    },
  } satisfies Partial<Engine>;
}

/** Strides of a result of an operand and others that are stretched to its shape: the first decides. */
function stridesOfResult(c: Context, a: Operand, shape: Shape): readonly number[] | undefined {
  return a.size === sizeOf(shape) && a.rank === shape.length ? c.stridesLike(a) : undefined;
}

/** The number as an operand beside `beside`. Arithmetic takes it from the host, whatever the device. */
function numberBeside(c: Context, value: number, beside: Operand, arithmetic: boolean): Borrowed {
  const exact = beside.dtype === "bfloat16" && beside.rank > 0;
  return c.number(value, exact ? "float32" : beside.dtype, arithmetic);
}

/** x, but the bound where x is beyond it; not a number stays what it is. */
function replacedWhere(c: Context, beyond: OperatorName, x: Borrowed, bound: Borrowed): Owned {
  const mask = c.call.borrow(x).borrow(bound).run(beyond);
  return c.call.give(mask).borrow(bound).borrow(x).run(WHERE);
}
