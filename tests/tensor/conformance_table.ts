/**
 * The operators under test: what each name in `fixtures/conformance.json` calls on a tensor.
 *
 * The records are typed by the unions and methods of `Engine`, so that an operator added there without an entry here does not
 * compile; the test of coverage then sees to it that each entry has cases and reaches the engine's operator.
 */
import type { DType } from "../../lib/tensor/dtype.ts";
import type {
  BinaryOperator,
  CompareOperator,
  Engine,
  LogicalOperator,
  ReduceOperator,
  UnaryOperator,
} from "../../lib/tensor/engine.ts";
import { concat, stack, type Tensor } from "../../lib/tensor/tensor.ts";
import { type FixtureNumber, parseNumber } from "../support/compare.ts";

/** An array of a case: numbers are `values` over `scale`. */
export interface FixtureArray {
  shape: number[];
  /** `float` stands for the floating type that the test runs in. */
  dtype: "float" | "int64" | "bool";
  scale?: number;
  values: FixtureNumber[];
}

/** One line of the fixture. */
export interface Case {
  name: string;
  op: string;
  // deno-lint-ignore no-explicit-any -- each operator knows the arguments of its own cases
  args: any;
  inputs: FixtureArray[];
  outputs: FixtureArray[];
  /** One list for each floating input. */
  gradients?: FixtureNumber[][];
  second?: FixtureNumber[][];
  /** Factor on the tolerance of a type, and why. */
  loose?: Partial<Record<DType, [factor: number, reason: string]>>;
}

/** Every `step`-th number of a result. */
export interface Sampled {
  shape: number[];
  step: number;
  values: FixtureNumber[];
}

/** A case whose inputs are made by a formula, and whose results are sampled. */
export interface LargeCase {
  name: string;
  op: string;
  // deno-lint-ignore no-explicit-any -- see Case.args
  args: any;
  shapes: number[][];
  /** Shape and extent of an int64 input after the others. */
  indices?: [shape: number[], extent: number];
  outputs: Sampled[];
  gradients: Sampled[];
}

/** A program with an inner gradient: its value and gradients by each input. */
export interface Program {
  name: string;
  inputs: FixtureArray[];
  value: number;
  gradients: FixtureNumber[][];
}

/** Three AdamW updates. */
export interface AdamWFixture {
  parameters: FixtureArray[];
  gradients: FixtureArray[][];
  options: { beta1: number; beta2: number; epsilon: number; weightDecay: number };
  learningRates: number[];
  gradientScales: number[];
  states: { parameters: FixtureNumber[][]; first: FixtureNumber[][]; second: FixtureNumber[][] }[];
}

/** What PyTorch computed. */
export const FIXTURE: { cases: Case[]; large: LargeCase[]; programs: Program[]; adamW: AdamWFixture } = JSON.parse(
  Deno.readTextFileSync(new URL("./fixtures/conformance.json", import.meta.url)),
);

/** The numbers of a fixture's array. */
export function numbersOf({ values, scale = 1 }: FixtureArray): number[] {
  return values.map((value) => parseNumber(value) / scale);
}

/** Calls an operator on a case's inputs. `float` is the type that the test runs in. */
// deno-lint-ignore no-explicit-any -- see Case.args
export type Apply = (inputs: Tensor[], args: any, float: DType) => Tensor | Tensor[];

const UNARY: Record<UnaryOperator, Apply> = {
  neg: ([x]) => x.neg(),
  exp: ([x]) => x.exp(),
  log: ([x]) => x.log(),
  sqrt: ([x]) => x.sqrt(),
  rsqrt: ([x]) => x.rsqrt(),
  reciprocal: ([x]) => x.reciprocal(),
  abs: ([x]) => x.abs(),
  square: ([x]) => x.square(),
  sign: ([x]) => x.sign(),
  tanh: ([x]) => x.tanh(),
  sigmoid: ([x]) => x.sigmoid(),
  silu: ([x]) => x.silu(),
  gelu: ([x]) => x.gelu(),
  relu: ([x]) => x.relu(),
  softplus: ([x]) => x.softplus(),
  sin: ([x]) => x.sin(),
  cos: ([x]) => x.cos(),
  floor: ([x]) => x.floor(),
  round: ([x]) => x.round(),
};

const BINARY: Record<BinaryOperator, Apply> = {
  add: ([a, b], { number }) => a.add(b ?? number),
  sub: ([a, b], { number }) => a.sub(b ?? number),
  mul: ([a, b], { number }) => a.mul(b ?? number),
  div: ([a, b], { number }) => a.div(b ?? number),
  maximum: ([a, b], { number }) => a.maximum(b ?? number),
  minimum: ([a, b], { number }) => a.minimum(b ?? number),
  pow: ([a, b], { number }) => a.pow(b ?? number),
};

const COMPARE: Record<CompareOperator, Apply> = {
  equal: ([a, b], { number }) => a.equal(b ?? number),
  notEqual: ([a, b], { number }) => a.notEqual(b ?? number),
  less: ([a, b], { number }) => a.less(b ?? number),
  lessEqual: ([a, b], { number }) => a.lessEqual(b ?? number),
  greater: ([a, b], { number }) => a.greater(b ?? number),
  greaterEqual: ([a, b], { number }) => a.greaterEqual(b ?? number),
};

const LOGICAL: Record<LogicalOperator, Apply> = {
  and: ([a, b]) => a.and(b),
  or: ([a, b]) => a.or(b),
};

const REDUCE: Record<ReduceOperator, Apply> = {
  sum: ([x], { axes, keepDims }) => x.sum(axes, keepDims),
  mean: ([x], { axes, keepDims }) => x.mean(axes, keepDims),
  max: ([x], { axes, keepDims }) => x.max(axes, keepDims),
  min: ([x], { axes, keepDims }) => x.min(axes, keepDims),
  logSumExp: ([x], { axes, keepDims }) => x.logSumExp(axes, keepDims),
};

/** Methods of `Engine` that compute something; those with a union of operators are above. */
type Method = { [K in keyof Engine]: Engine[K] extends (...args: never[]) => unknown ? K : never }[keyof Engine];

/** Methods that move data, change numbers in place, or belong to the engine's own life: each names its test. */
export const TESTED_ELSEWHERE = {
  supports: "data goes in and comes out",
  fromHost: "data goes in and comes out",
  full: "data goes in and comes out",
  read: "data goes in and comes out",
  assign: "assign overwrites numbers and shares none",
  assignSlice: "assignSlice overwrites a block",
  adamW: "adamW: three updates",
  addAll: "addAll adds in place, and squaredNorm is of all numbers",
  squaredNorm: "addAll adds in place, and squaredNorm is of all numbers",
  gradients: "gradients of elementwise operators",
  release: "the engine counts tensors and bytes",
  memory: "the engine counts tensors and bytes",
  resetPeak: "the engine counts tensors and bytes",
  synchronize: "synchronize waits",
  close: "a closed engine refuses, its tensors too",
} as const satisfies Partial<Record<Method, string>>;

type WithUnion = "unary" | "binary" | "compare" | "logical" | "reduce";

const METHODS: Record<Exclude<Method, WithUnion | keyof typeof TESTED_ELSEWHERE>, Apply> = {
  logicalNot: ([x]) => x.not(),
  where: ([condition, a, b]) => condition.where(a, b),
  clamp: ([x], { low, high }) => x.clamp(low, high),
  leakyRelu: ([x], { slope }) => x.leakyRelu(slope),
  argmax: ([x], { axis }) => x.argmax(axis),
  cumsum: ([x], { axis }) => x.cumsum(axis),
  topK: ([x], { k }) => {
    const { values, indices } = x.topK(k);
    return [values, indices];
  },
  reshape: ([x], { shape }) => x.reshape(shape),
  permute: ([x], { order }) => x.permute(order),
  slice: ([x], { begin, size }) => x.slice(begin, size),
  concat: (xs, { axis }) => concat(xs, axis),
  pad: ([x], { paddings, value }) => x.pad(paddings, value),
  broadcastTo: ([x], { shape }) => x.broadcastTo(shape),
  cast: ([x], { dtype }, float) => x.cast(dtype === "float" ? float : dtype),
  detach: ([x]) => x.detach().mul(x),
  clone: ([x]) => x.clone(),
  gather: ([x, indices], { axis }) => x.gather(indices, axis),
  takeAlong: ([x, indices], { axis }) => x.takeAlong(indices, axis),
  matmul: ([a, b], { transposeA, transposeB }) => a.matmul(b, { transposeA, transposeB }),
  linear: ([x, weight, bias]) => x.linear(weight, bias),
  conv2d: ([x, weight, bias], { stride, padding }) => x.conv2d(weight, bias, { stride, padding }),
  upsampleNearest2x: ([x]) => x.upsampleNearest2x(),
  maxPool2x2: ([x]) => x.maxPool2x2(),
  softmax: ([x]) => x.softmax(),
  logSoftmax: ([x]) => x.logSoftmax(),
  rmsNorm: ([x, weight], { epsilon }) => x.rmsNorm(weight, epsilon),
  layerNorm: ([x, weight, bias], { epsilon }) => x.layerNorm(weight, bias, epsilon),
  groupNorm: ([x, weight, bias], { groups, epsilon }) => x.groupNorm(groups, weight, bias, epsilon),
  attention: ([q, k, v], { causal, scale }) => q.attention(k, v, { causal, scale }),
};

const ELEMENTWISE = { ...UNARY, ...BINARY, ...COMPARE, ...LOGICAL };

/** Every entry and the call on the engine that it must lead to: `method` or `method operator`. */
export const REACHES: ReadonlyMap<string, string> = new Map([
  ...Object.keys(UNARY).map((op) => [op, `unary ${op}`] as const),
  ...Object.keys(BINARY).map((op) => [op, `binary ${op}`] as const),
  ...Object.keys(COMPARE).map((op) => [op, `compare ${op}`] as const),
  ...Object.keys(LOGICAL).map((op) => [op, `logical ${op}`] as const),
  ...Object.keys(REDUCE).map((op) => [op, `reduce ${op}`] as const),
  ...Object.keys(METHODS).map((method) => [method === "logicalNot" ? "not" : method, method] as const),
]);

/** What each `op` of a case calls: the engine's operators, and the few compositions that `Tensor` offers. */
export const TABLE: Readonly<Record<string, Apply>> = {
  ...ELEMENTWISE,
  ...REDUCE,
  ...METHODS,
  not: METHODS.logicalNot,
  transpose: ([x], { a, b }) => x.transpose(a, b),
  narrow: ([x], { axis, start, length }) => x.narrow(axis, start, length),
  stack: (xs, { axis }) => stack(xs, axis),
};

/** Headings under which operators are tested. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  "elementwise operators": [...Object.keys(ELEMENTWISE), "not", "where", "clamp", "leakyRelu"],
  "reductions and searches": [...Object.keys(REDUCE), "argmax", "cumsum", "topK"],
  "shapes": ["reshape", "permute", "transpose", "slice", "narrow", "concat", "stack", "pad", "broadcastTo", "cast"],
  "copies": ["detach", "clone"],
  "indexing": ["gather", "takeAlong"],
  "products": ["matmul", "linear", "conv2d", "upsampleNearest2x", "maxPool2x2"],
  "layers": ["softmax", "logSoftmax", "rmsNorm", "layerNorm", "groupNorm", "attention"],
};
