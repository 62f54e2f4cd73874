/**
 * Every operator on every engine, forward and backward, against PyTorch in float64 (`fixtures/make_conformance.py`).
 *
 * Each case runs in every floating type that the engine has, and with its inputs in three layouts: contiguous; permuted (a
 * view of a tensor whose axes are reversed, made inside the recording); sliced (a view into a larger tensor, made outside
 * and differentiated by). A test lists all cases that fail, with numbers.
 */
import assert from "node:assert/strict";
import type { DType } from "../../lib/tensor/dtype.ts";
import { sizeOf } from "../../lib/tensor/dtype.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose, difference, type FixtureNumber, parseNumber } from "../support/compare.ts";
import { forEachEngine, registeredNames } from "../support/engines.ts";
import {
  type Case,
  FIXTURE,
  type FixtureArray,
  GROUPS,
  numbersOf,
  REACHES,
  type Sampled,
  TABLE,
  TESTED_ELSEWHERE,
} from "./conformance_table.ts";

const { cases, large, programs } = FIXTURE;

type Layout = "contiguous" | "permuted" | "sliced";
const LAYOUTS: Layout[] = ["contiguous", "permuted", "sliced"];
type Float = "float32" | "float64" | "bfloat16";

/**
 * Relative to an output's size. float32: 24 bits, a few roundings; bfloat16: 8 bits, one rounding is 0.004; float64: the
 * fixture's 15 digits.
 */
const TOLERANCE: Record<Float, number> = { float32: 1e-5, float64: 1e-12, bfloat16: 1e-2 };

/** A backward pass rounds to bfloat16 several times, and what it adds up is of the size of the cotangents, about 1. */
const BFLOAT16_GRADIENT = { factor: 2, smallestSize: 1 };

/** The fixed weights of the loss: the same formula as in the generator. */
function cotangent(size: number, number: number): number[] {
  return Array.from({ length: size }, (_, i) => ((i * 7 + number * 3) % 11 - 5) / 8);
}

/** Sum of tensors weighted by their cotangents, numbered from `first`. */
function weightedSum(tensors: Tensor[], first: number): Tensor {
  return tensors.map((each, k) =>
    each.mul(tensor(each.engine, cotangent(each.size, first + k), each.shape, each.dtype)).sum()
  ).reduce((sum, each) => sum.add(each));
}

/** Row-major numbers with axes reversed. */
function reversed(values: readonly number[], shape: readonly number[]): number[] {
  const out = new Array<number>(values.length), back = [...shape].reverse();
  const index = shape.map(() => 0);
  for (const value of values) {
    let at = 0;
    for (let i = 0; i < back.length; i++) at = at * back[i] + index[shape.length - 1 - i];
    out[at] = value;
    for (let i = shape.length - 1; i >= 0 && ++index[i] === shape[i]; i--) index[i] = 0;
  }
  return out;
}

/** Row-major numbers with a border of 1 around every axis. */
function bordered(values: readonly number[], shape: readonly number[]): number[] {
  const wide = shape.map((n) => n + 2), out = new Array<number>(sizeOf(wide)).fill(1);
  const index = shape.map(() => 0);
  for (const value of values) {
    let at = 0;
    for (let i = 0; i < shape.length; i++) at = at * wide[i] + index[i] + 1;
    out[at] = value;
    for (let i = shape.length - 1; i >= 0 && ++index[i] === shape[i]; i--) index[i] = 0;
  }
  return out;
}

/** An input as the layout holds it: what is differentiated by, and the view of it that the operator sees. */
function place(engine: Engine, input: FixtureArray, float: Float, layout: Layout): { leaf: Tensor; view(): Tensor } {
  const dtype: DType = input.dtype === "float" ? float : input.dtype;
  const values = numbersOf(input), { shape } = input;
  if (layout === "permuted" && shape.length >= 2) {
    const order = shape.map((_, i) => shape.length - 1 - i);
    const leaf = tensor(engine, reversed(values, shape), [...shape].reverse(), dtype);
    return { leaf, view: () => leaf.permute(order) };
  }
  if (layout === "sliced" && shape.length >= 1) {
    const whole = tensor(engine, bordered(values, shape), shape.map((n) => n + 2), dtype);
    const leaf = whole.slice(shape.map(() => 1), shape);
    return { leaf, view: () => leaf };
  }
  const leaf = tensor(engine, values, shape, dtype);
  return { leaf, view: () => leaf };
}

/** Numbers of a gradient in the order of the layout's leaf. */
function placed(values: FixtureNumber[], shape: number[], layout: Layout): number[] {
  const flat = values.map(parseNumber);
  return layout === "permuted" && shape.length >= 2 ? reversed(flat, shape) : flat;
}

/** Runs `make` in a scope and reads what it returned. */
async function readAll(make: () => Tensor[]) {
  const made = tidy(make);
  try {
    const read = [];
    for (const each of made) read.push({ shape: each.shape, dtype: each.dtype, data: await each.data() });
    return read;
  } finally {
    for (const each of made) each.dispose();
  }
}

function apply(each: Case, inputs: Tensor[], float: Float): Tensor[] {
  const out = TABLE[each.op](inputs, each.args, float);
  return Array.isArray(out) ? out : [out];
}

type Placed = ReturnType<typeof place>;

/** The loss of a case's gradient: the weighted sum of its floating outputs. */
function lossOf(each: Case, inputs: Placed[], float: Float): Tensor {
  const out = apply(each, inputs.map((input) => input.view()), float);
  return weightedSum(out.filter((_, i) => each.outputs[i].dtype === "float"), 0);
}

function floatingOf(each: Case, inputs: Placed[]): { leaves: Tensor[]; shapes: number[][] } {
  const keep = (i: number) => each.inputs[i].dtype === "float";
  return {
    leaves: inputs.map(({ leaf }) => leaf).filter((_, i) => keep(i)),
    shapes: each.inputs.map(({ shape }) => shape).filter((_, i) => keep(i)),
  };
}

async function checkForward(engine: Engine, each: Case, float: Float, layout: Layout, tolerance: number) {
  const failures: string[] = [];
  const outputs = await readAll(() =>
    apply(each, each.inputs.map((input) => place(engine, input, float, layout).view()), float)
  );
  outputs.forEach(({ shape, dtype, data }, i) => {
    const wanted = each.outputs[i];
    assert.deepEqual([...shape], wanted.shape, "shape of the result");
    assert.equal(dtype, wanted.dtype === "float" ? float : wanted.dtype, "type of the result");
    const text = difference(data, numbersOf(wanted), wanted.dtype === "float" ? tolerance : 0);
    if (text) failures.push(`output ${i} ${text}`);
  });
  return failures;
}

async function checkGradients(engine: Engine, each: Case, float: Float, layout: Layout, tolerance: number) {
  let shapes: number[][] = [];
  const gradients = await readAll(() => {
    const inputs = each.inputs.map((input) => place(engine, input, float, layout));
    const floating = floatingOf(each, inputs);
    shapes = floating.shapes;
    return valueAndGrad(() => lossOf(each, inputs, float), floating.leaves).gradients;
  });
  return gradients.flatMap(({ data }, i) => {
    const expected = placed(each.gradients![i], shapes[i], layout);
    const text = float === "bfloat16"
      ? difference(data, expected, BFLOAT16_GRADIENT.factor * tolerance, BFLOAT16_GRADIENT.smallestSize)
      : difference(data, expected, tolerance);
    return text ? [`gradient ${i} ${text}`] : [];
  });
}

async function checkSecond(engine: Engine, each: Case, float: Float, tolerance: number) {
  const gradients = await readAll(() => {
    const inputs = each.inputs.map((input) => place(engine, input, float, "contiguous"));
    const { leaves } = floatingOf(each, inputs);
    return valueAndGrad(
      () => weightedSum(valueAndGrad(() => lossOf(each, inputs, float), leaves, { createGraph: true }).gradients, 5),
      leaves,
    ).gradients;
  });
  return gradients.flatMap(({ data }, i) => {
    const text = difference(data, each.second![i].map(parseNumber), tolerance);
    return text ? [`second derivative ${i} ${text}`] : [];
  });
}

/** Runs a check on cases in every type and layout, and fails with the list of what differs. */
async function checkCases(
  engine: Engine,
  chosen: Case[],
  floats: Float[],
  layouts: Layout[],
  check: (each: Case, float: Float, layout: Layout, tolerance: number) => Promise<string[]>,
): Promise<void> {
  const failures: string[] = [];
  const before = engine.memory().tensors;
  for (const each of chosen) {
    for (const float of floats.filter((dtype) => engine.supports(dtype))) {
      for (const layout of layouts) {
        const where = `${each.name} [${float}, ${layout}]`;
        try {
          const tolerance = TOLERANCE[float] * (each.loose?.[float]?.[0] ?? 1);
          for (const text of await check(each, float, layout, tolerance)) failures.push(`${where}: ${text}`);
        } catch (error) {
          failures.push(`${where}: ${error instanceof Error ? `${error.name}: ${error.message}` : error}`);
        }
      }
    }
  }
  if (failures.length > 0) throw new Error(`${failures.length} checks failed:\n  ${failures.join("\n  ")}`);
  assert.equal(engine.memory().tensors, before, "tensors left behind");
}

for (const [group, operators] of Object.entries(GROUPS)) {
  const chosen = cases.filter((each) => operators.includes(each.op));
  forEachEngine(group, (engine) =>
    checkCases(
      engine,
      chosen,
      ["float32", "float64", "bfloat16"],
      LAYOUTS,
      (each, float, layout, tolerance) => checkForward(engine, each, float, layout, tolerance),
    ));
  forEachEngine(`gradients of ${group}`, (engine) =>
    checkCases(
      engine,
      chosen.filter((each) => each.gradients),
      ["float32", "float64", "bfloat16"],
      LAYOUTS,
      (each, float, layout, tolerance) => checkGradients(engine, each, float, layout, tolerance),
    ));
}

forEachEngine("second derivatives", (engine) =>
  checkCases(
    engine,
    cases.filter((each) => each.second),
    ["float32", "float64"],
    ["contiguous"],
    (each, float, _layout, tolerance) => checkSecond(engine, each, float, tolerance),
  ));

/** The numbers of a large case's input: the same formula as in the generator. */
function generated(engine: Engine, shape: number[], number: number, float: Float): Tensor {
  const values = Float32Array.from(
    { length: sizeOf(shape) },
    (_, i) => ((i * 7919 + number * 104729) % 4001 - 2000) / 1024,
  );
  return tensor(engine, values, shape, float);
}

function checkSampled(
  received: { shape: readonly number[]; data: ArrayLike<number> },
  expected: Sampled,
  tolerance: number,
) {
  assert.deepEqual([...received.shape], expected.shape, "shape of the result");
  const sampled = Array.from({ length: expected.values.length }, (_, i) => received.data[i * expected.step]);
  return difference(sampled, expected.values.map(parseNumber), tolerance);
}

forEachEngine("large shapes", async (engine) => {
  const failures: string[] = [];
  for (const each of large) {
    for (const float of ["float32", "float64"] as const) {
      if (!engine.supports(float)) continue;
      const results = await readAll(() => {
        const leaves = each.shapes.map((shape, number) => generated(engine, shape, number, float));
        const inputs = [...leaves];
        if (each.indices) {
          const [shape, extent] = each.indices;
          inputs.push(tensor(engine, Int32Array.from({ length: sizeOf(shape) }, (_, i) => i * 31 % extent), shape));
        }
        const call = () => [TABLE[each.op](inputs, each.args, float)].flat();
        const loss = () => weightedSum(call().filter(({ dtype }) => dtype === float), 0);
        return [...call(), ...valueAndGrad(loss, leaves).gradients];
      });
      [...each.outputs, ...each.gradients].forEach((expected, i) => {
        const text = checkSampled(results[i], expected, TOLERANCE[float]);
        const which = i < each.outputs.length ? `output ${i}` : `gradient ${i - each.outputs.length}`;
        if (text) failures.push(`${each.name} [${float}]: ${which} ${text}`);
      });
    }
  }
  if (failures.length > 0) throw new Error(`${failures.length} checks failed:\n  ${failures.join("\n  ")}`);
});

forEachEngine("sums of many numbers stay accurate", async (engine) => {
  // Like the differences of two images. Added up one after the other in float32 they are off by 3e-3.
  const rows = 640, columns = 480;
  const values = Float32Array.from({ length: rows * columns }, (_, i) => (13 + i % 3) / 255);
  const total = values.reduce((sum, value) => sum + value, 0);
  const columnSums = Array.from({ length: columns }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += values[i * columns + j];
    return sum;
  });
  const x = tensor(engine, values, [rows, columns]), bias = tensor(engine, new Float32Array(columns));
  const tall = Array.from({ length: 3 }, (_, j) => {
    let sum = 0;
    for (let i = j; i < values.length; i += 3) sum += values[i];
    return sum;
  });
  const [sum, mean, first, flat, gradient, long] = await readAll(() => [
    x.sum(),
    x.mean(),
    x.sum(0),
    x.reshape([1, rows * columns]).mean(1),
    valueAndGrad(() => bias.add(x).square().sum(), [bias]).gradients[0],
    x.reshape([-1, 3]).sum(0),
  ]);
  const tolerance = 1e-6;
  assertClose(sum.data, [total], tolerance, "sum");
  assertClose(mean.data, [total / values.length], tolerance, "mean");
  assertClose(first.data, columnSums, tolerance, "sum of the first axis");
  assertClose(flat.data, [total / values.length], tolerance, "mean of the last axis");
  assertClose(gradient.data, columnSums.map((each) => 2 * each), tolerance, "gradient of a broadcast operand");
  assertClose(long.data, tall, tolerance, "sum of a long first axis");
  x.dispose();
  bias.dispose();
});

/** mean((‖∂score/∂x‖ − 1)²) over samples, the inner gradient kept differentiable. */
function gradientNormPenalty(score: () => Tensor, x: Tensor): Tensor {
  const { gradients: [gradient] } = valueAndGrad(score, [x], { createGraph: true });
  const norms = gradient.reshape([x.shape[0], -1]).square().sum(-1).add(1e-12).sqrt();
  return norms.sub(1).square().mean();
}

const PROGRAMS: Record<string, (inputs: Tensor[]) => Tensor> = {
  "gradient penalty of a tanh layer": ([x, w, v]) => gradientNormPenalty(() => x.matmul(w).tanh().matmul(v).sum(), x),
  "gradient penalty of a convolutional critic": ([x, w1, b1, scale, shift, w2, b2]) =>
    gradientNormPenalty(
      () =>
        x.conv2d(w1, b1, { stride: 2, padding: [1, 1, 1, 1] }).leakyRelu(0.2)
          .groupNorm(2, scale, shift, 1e-5)
          .conv2d(w2, b2, { stride: 1, padding: [0, 0, 0, 0] }).sum(),
      x,
    ),
};

for (const program of programs) {
  forEachEngine(program.name, async (engine) => {
    for (const float of ["float32", "float64"] as const) {
      if (!engine.supports(float)) continue;
      const [value, ...gradients] = await readAll(() => {
        const inputs = program.inputs.map((input) => place(engine, input, float, "contiguous").leaf);
        const result = valueAndGrad(() => PROGRAMS[program.name](inputs), inputs);
        return [result.value, ...result.gradients];
      });
      // A dozen operators, twice differentiated: roundings add up.
      const tolerance = 10 * TOLERANCE[float];
      assertClose(value.data, [program.value], tolerance, `${float} value`);
      gradients.forEach(({ data }, i) =>
        assertClose(data, program.gradients[i].map(parseNumber), tolerance, `${float} gradient ${i}`)
      );
    }
  });
}

Deno.test("the table covers every operator and method of Engine, and the fixture every entry of the table", () => {
  const reached = new Set<string>();
  const recorder = new Proxy({ name: "recorder", closed: false, supports: () => true } as unknown as Engine, {
    get: (target, key: keyof Engine) =>
      key in target ? target[key] : (operator: unknown) => {
        reached.add(["unary", "binary", "compare", "logical", "reduce"].includes(key) ? `${key} ${operator}` : key);
        return key === "topK" ? { values: {}, indices: {} } : {};
      },
  });
  for (const [op, call] of REACHES) {
    reached.clear();
    const withOp = cases.filter((each) => each.op === op);
    assert.ok(withOp.length > 0, `${op} has no case`);
    for (const each of withOp) {
      apply(
        each,
        each.inputs.map(({ shape, dtype }) => new Tensor(recorder, {}, shape, dtype === "float" ? "float32" : dtype)),
        "float32",
      );
    }
    assert.ok(reached.has(call), `the cases of ${op} never call ${call}`);
  }
  const grouped = Object.values(GROUPS).flat();
  for (const each of cases) assert.ok(grouped.includes(each.op), `${each.op} is in no group: its cases do not run`);
});

const ALWAYS_ZERO_OR_NO_GRADIENT = [
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "greater",
  "greaterEqual",
  "and",
  "or",
  "not",
  "argmax",
];

Deno.test("every differentiable operator has cases with a gradient and with a second derivative", () => {
  for (const op of REACHES.keys()) {
    if (ALWAYS_ZERO_OR_NO_GRADIENT.includes(op)) continue;
    const withOp = cases.filter((each) => each.op === op);
    assert.ok(withOp.some((each) => each.gradients), `${op} has no case with a gradient`);
    assert.ok(withOp.some((each) => each.second), `${op} has no case with a second derivative`);
  }
});

Deno.test("what the table leaves to other tests has those tests", () => {
  const others = ["in_place_test.ts", "tensor_test.ts", "memory_test.ts"].map((file) =>
    Deno.readTextFileSync(new URL(file, import.meta.url))
  ).join();
  for (const [method, name] of Object.entries(TESTED_ELSEWHERE)) {
    const exists = registeredNames().has(name) || others.includes(`forEachEngine("${name}"`);
    assert.ok(exists, `${method} should be tested by "${name}", which does not exist`);
  }
});
