/**
 * Elementwise operators on tfjs, with the gradients that the contract asks for where tfjs' own differ.
 *
 * tfjs sends the whole gradient to one side of a tie of maximum and minimum, and −1 through |x| at 0.
 */
import type { BinaryOperator, CompareOperator, Engine, UnaryOperator } from "../engine.ts";
import { broadcastShapes } from "../dtype.ts";
import { repeated, stretched, sumTo } from "./broadcast.ts";
import { type Context, of } from "./context.ts";
import { kernels } from "./kernels.ts";
import { tf } from "./runtime.ts";
import { inGraph, operator } from "./tape.ts";

type T = tf.Tensor;

export function elementwise(c: Context) {
  return {
    unary: (name, x) => c.run(() => unary(name, of(x))),
    binary: (name, a, b) => c.run(() => binary(name, of(a), typeof b === "number" ? b : of(b))),
    compare: (name, a, b) => c.run(() => compare(name, of(a), typeof b === "number" ? b : of(b))),
    logical: (name, a, b) => c.run(() => name === "and" ? tf.logicalAnd(of(a), of(b)) : tf.logicalOr(of(a), of(b))),
    logicalNot: (x) => c.run(() => tf.logicalNot(of(x))),
    where: (condition, a, b, outShape) => c.run(() => where(of(condition), of(a), of(b), outShape)),
    clamp: (x, low, high) => c.run(() => clamp(of(x), low, high)),
    leakyRelu: (x, negativeSlope) => c.run(() => leakyRelu(of(x), negativeSlope)),
  } satisfies Partial<Engine>;
}

const UNARY: Record<UnaryOperator, (x: T) => T> = {
  neg: (x) => tf.neg(x),
  exp: (x) => tf.exp(x),
  log: (x) => tf.log(x),
  sqrt: (x) => tf.sqrt(x),
  rsqrt: (x) => tf.rsqrt(x),
  reciprocal: (x) => tf.reciprocal(x),
  abs: (x) =>
    x.dtype === "float32"
      ? operator({
        name: "abs",
        inputs: { x },
        forward: () => tf.abs(x),
        save: () => [x],
        gradient: (dy, [x]) => ({ x: tf.mul(dy, tf.sign(x)) }),
      })
      : tf.abs(x),
  square: (x) => x.dtype === "float32" ? tf.square(x) : tf.mul(x, x),
  sign: (x) => x.dtype === "float32" ? tf.sign(x) : tf.cast(tf.sign(tf.cast(x, "float32")), x.dtype),
  tanh: (x) => tf.tanh(x),
  sigmoid: (x) => tf.sigmoid(x),
  silu: (x) => tf.mul(x, tf.sigmoid(x)),
  gelu: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
  relu: (x) => tf.relu(x),
  softplus: (x) => tf.softplus(x),
  sin: (x) => tf.sin(x),
  cos: (x) => tf.cos(x),
  floor: (x) => tf.floor(x),
  round: (x) => tf.round(x),
};

/** What `kernels/elementwise.c` computes, by its numbers; the gradients of the first two are in terms of their results. */
const FUSED: UnaryOperator[] = ["exp", "sigmoid", "tanh", "silu", "gelu"];

/** An elementwise function of one operand. */
function unary(name: UnaryOperator, x: T): T {
  const fast = inGraph() ? undefined : kernels(), op = FUSED.indexOf(name);
  if (!fast || op < 0) return UNARY[name](x);
  return operator({
    name,
    inputs: { x },
    onceOnly: true,
    forward: () => {
      const out = fast.make(x.shape);
      fast.run.activate(op, x.size, fast.at(x), fast.at(out));
      return out;
    },
    save: (out) => [op < 2 ? out : x],
    gradient: (dy, [saved]) => {
      const dx = fast.make(x.shape);
      fast.run.activate_gradient(op, x.size, fast.at(saved), fast.at(dy), fast.at(dx));
      return { x: dx };
    },
  });
}

/** The larger or the smaller; a tie sends half the gradient each way, as torch does. */
function extremum(name: "maximum" | "minimum", a: T, b: T): T {
  const forward = () => name === "maximum" ? tf.maximum(a, b) : tf.minimum(a, b);
  if (a.dtype !== "float32") return forward();
  return operator({
    name,
    inputs: { a, b },
    forward,
    save: () => [a, b],
    gradient: (dy, [a, b], wanted) => {
      const first = name === "maximum" ? tf.greater(a, b) : tf.less(a, b);
      const share = tf.add(tf.cast(first, "float32"), tf.mul(tf.cast(tf.equal(a, b), "float32"), 0.5));
      const found: Record<string, T> = {};
      if (wanted.has("a")) found.a = sumTo(tf.mul(dy, share), a.shape);
      if (wanted.has("b")) found.b = sumTo(tf.mul(dy, tf.sub(1, share)), b.shape);
      return found;
    },
  });
}

const BINARY = { add: tf.add, sub: tf.sub, mul: tf.mul, div: tf.div } satisfies Record<string, (a: T, b: T) => T>;

/** Of operands of two shapes: tfjs' own gradients add up what was stretched with its inaccurate sum. */
function broadcasting(name: keyof typeof BINARY, a: T, b: T): T {
  return operator({
    name,
    inputs: { a, b },
    forward: () => BINARY[name](a, b),
    save: () => name === "add" || name === "sub" ? [] : [a, b],
    gradient: (dy, saved, wanted) => {
      const towards = {
        add: { a: () => dy, b: () => dy },
        sub: { a: () => dy, b: () => tf.neg(dy) },
        mul: { a: () => binary("mul", dy, saved[1]), b: () => binary("mul", dy, saved[0]) },
        div: {
          a: () => binary("div", dy, saved[1]),
          b: () => tf.neg(binary("mul", dy, binary("div", saved[0], tf.mul(saved[1], saved[1])))),
        },
      }[name];
      const found: Record<string, T> = {};
      if (wanted.has("a")) found.a = sumTo(towards.a(), a.shape);
      if (wanted.has("b")) found.b = sumTo(towards.b(), b.shape);
      return found;
    },
  });
}

/** An elementwise function of two operands; a number takes the type of `a`. */
function binary(name: BinaryOperator, a: T, b: T | number): T {
  const other = typeof b === "number" ? tf.scalar(b, a.dtype as "float32" | "int32") : b;
  switch (name) {
    case "maximum":
    case "minimum":
      return extremum(name, a, other);
    case "pow":
      // 0 · x⁻¹ would make the gradient of x⁰ not a number at 0.
      return b === 0 ? tf.add(tf.mul(a, 0), 1) : tf.pow(a, other);
    default:
      if (a.dtype !== "float32" || a.shape.join() === other.shape.join()) return BINARY[name](a, other);
      return broadcasting(name, a, other);
  }
}

const COMPARE = {
  equal: tf.equal,
  notEqual: tf.notEqual,
  less: tf.less,
  lessEqual: tf.lessEqual,
  greater: tf.greater,
  greaterEqual: tf.greaterEqual,
} satisfies Record<CompareOperator, (a: T, b: T) => T>;

/** A comparison. */
function compare(name: CompareOperator, a: T, b: T | number): T {
  // Not every backend compares booleans.
  const plain = (x: T) => x.dtype === "bool" ? tf.cast(x, "int32") : x;
  const left = plain(a);
  const right = typeof b === "number" ? tf.scalar(b, left.dtype as "float32" | "int32") : plain(b);
  if (left.dtype !== "float32" || left.shape.join() === right.shape.join()) return COMPARE[name](left, right);
  // tfjs' comparison of different shapes works out an index for every number: stretching first is ten times faster.
  const shape = broadcastShapes(left.shape, right.shape, name);
  const wide = (x: T) => x.shape.join() === shape.join() ? x : repeated(x, shape) ?? x;
  return COMPARE[name](wide(left), wide(right));
}

/** `condition ? a : b`, broadcast. */
function where(condition: T, a: T, b: T, shape: readonly number[]): T {
  const stretch = (x: T): T => x.shape.join() === shape.join() ? x : stretched(x, shape);
  const [c, x, y] = [stretch(condition), stretch(a), stretch(b)];
  if (x.dtype !== "float32") {
    const mask = tf.cast(c, "int32"), xi = tf.cast(x, "int32"), yi = tf.cast(y, "int32");
    return tf.cast(tf.add(tf.mul(mask, xi), tf.mul(tf.sub(tf.scalar(1, "int32"), mask), yi)), x.dtype);
  }
  return operator({
    name: "where",
    inputs: { x, y },
    forward: () => tf.where(c, x, y),
    save: () => [c],
    gradient: (dy, [c], wanted) => {
      const found: Record<string, T> = {};
      if (wanted.has("x")) found.x = masked(c, dy, true);
      if (wanted.has("y")) found.y = masked(c, dy, false);
      return found;
    },
  });
}

/** dy where the condition has this value, 0 elsewhere; differentiable in dy. */
function masked(condition: T, dy: T, value: boolean): T {
  return operator({
    name: "masked",
    inputs: { dy },
    forward: () => value ? tf.where(condition, dy, tf.zerosLike(dy)) : tf.where(condition, tf.zerosLike(dy), dy),
    save: () => [condition],
    gradient: (d, [condition]) => ({ dy: masked(condition, d, value) }),
  });
}

/** Limits to [low, high]. */
function clamp(x: T, low: number, high: number): T {
  if (x.dtype !== "float32") {
    const type = x.dtype as "int32";
    return tf.minimum(
      tf.maximum(x, tf.scalar(Math.max(low, -(2 ** 31)), type)),
      tf.scalar(Math.min(high, 2 ** 31 - 1), type),
    );
  }
  return operator({
    name: "clamp",
    inputs: { x },
    forward: () => tf.clipByValue(x, low, high),
    save: () => [x],
    gradient: (dy, [x]) => ({
      x: masked(tf.logicalAnd(tf.greaterEqual(x, low), tf.lessEqual(x, high)), dy, true),
    }),
  });
}

/** x where positive, slope · x elsewhere. */
function leakyRelu(x: T, slope: number): T {
  return operator({
    name: "leakyRelu",
    inputs: { x },
    forward: () => tf.leakyRelu(x, slope),
    save: () => [x],
    gradient: (dy, [x]) => ({ x: tf.mul(dy, tf.add(tf.mul(tf.cast(tf.greater(x, 0), "float32"), 1 - slope), slope)) }),
  });
}
