/** What changes numbers in place: assignments, which share nothing, and AdamW against PyTorch in float64. */
import assert from "node:assert/strict";
import { sizeOf } from "../../lib/tensor/dtype.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { adamW, addAll, squaredNorm, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose, parseNumber } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { FIXTURE, type FixtureArray, numbersOf } from "./conformance_table.ts";

const adamWFixture = FIXTURE.adamW;

forEachEngine("adamW: three updates", async (engine) => {
  const { options, learningRates, gradientScales, states } = adamWFixture;
  const make = (input: FixtureArray) => tensor(engine, numbersOf(input), input.shape);
  const parameters = adamWFixture.parameters.map(make);
  const zeros = () =>
    adamWFixture.parameters.map(({ shape }) => tensor(engine, new Float32Array(sizeOf(shape)), shape));
  const first = zeros(), second = zeros();
  for (const [i, state] of states.entries()) {
    const gradients = adamWFixture.gradients[i].map(make);
    adamW(parameters, gradients, first, second, {
      ...options,
      learningRate: learningRates[i],
      gradientScale: gradientScales[i],
      step: i + 1,
    });
    for (const gradient of gradients) gradient.dispose();
    for (const [name, tensors] of Object.entries({ parameters, first, second })) {
      for (const [k, each] of tensors.entries()) {
        const wanted = state[name as keyof typeof state][k].map(parseNumber);
        assertClose(await each.data(), wanted, 1e-5, `step ${i + 1} ${name} ${k}`);
      }
    }
  }
  for (const each of [...parameters, ...first, ...second]) each.dispose();
});

forEachEngine("addAll adds in place, and squaredNorm is of all numbers", async (engine) => {
  const make = (...rows: number[][]) => rows.map((row) => tensor(engine, row));
  const targets = make([1, 2, 3], [4], []), values = make([10, 20, 30], [40], []), before = engine.memory().tensors;
  addAll(targets, values);
  const read = await Promise.all([...targets, ...values].map(async (each) => [...await each.data()]));
  assert.deepEqual(read, [[11, 22, 33], [44], [], [10, 20, 30], [40], []]);
  const norm = squaredNorm(targets), ofOne = squaredNorm([targets[0]]);
  assert.equal(await norm.item(), 11 ** 2 + 22 ** 2 + 33 ** 2 + 44 ** 2);
  assert.equal(await ofOne.item(), 11 ** 2 + 22 ** 2 + 33 ** 2);
  for (const each of [norm, ofOne]) each.dispose();
  assert.equal(engine.memory().tensors, before);
  assert.throws(
    () => addAll(targets, values.slice(1)),
    /3 targets and 2 values do not match: shapes 0 are \[3\] and \[1\]/,
  );
  for (const each of [...targets, ...values]) each.dispose();
});

forEachEngine("adamW takes gradients as they come", async (engine) => {
  // The gradient of a transposed operand may be a view; so may what was sliced or permuted.
  const x = tensor(engine, [1, -2, 3, 0.5, 0.25, -1], [2, 3]), shape = [4, 3];
  const start = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((k) => k / 8);
  const options = { ...adamWFixture.options, learningRate: 0.1, gradientScale: 1, step: 1 };
  const updated = async (own: boolean) => {
    const w = tensor(engine, start, shape), first = tensor(engine, new Float32Array(12), shape), second = first.clone();
    const { value, gradients: [gradient] } = valueAndGrad(() => x.matmul(w, { transposeB: true }).square().sum(), [w]);
    const given = own ? tensor(engine, await gradient.data() as Float32Array, shape) : gradient.clone();
    adamW([w], [own ? given : gradient], [first], [second], options);
    const read = [await w.data(), await first.data(), await second.data()].map((each) => [...each]);
    for (const each of [w, first, second, value, gradient, given]) each.dispose();
    return read;
  };
  assert.deepEqual(await updated(false), await updated(true));
  x.dispose();
});

forEachEngine("assign overwrites numbers and shares none", async (engine) => {
  for (const dtype of ["float32", "int64", "bool"] as const) {
    const [a, b, c] = [[1, 0, 1], [0, 1, 1], [0, 0, 0]];
    const target = tensor(engine, a, [3], dtype),
      value = tensor(engine, b, [3], dtype),
      other = tensor(engine, c, [3], dtype);
    const copy = target.clone(), view = value.reshape([1, 3]);
    target.assign(value);
    assert.deepEqual([...await target.data()], b, `${dtype}: overwritten`);
    assert.deepEqual([...await copy.data()], a, `${dtype}: a clone keeps its numbers`);
    value.assign(other);
    assert.deepEqual([...await target.data()], b, `${dtype}: the target has numbers of its own`);
    other.dispose();
    value.dispose();
    assert.deepEqual([...await target.data()], b, `${dtype}: and outlives its source`);
    for (const each of [target, copy, view]) each.dispose();
  }
  const x = tensor(engine, [1, 2, 3, 4], [2, 2]), step = x.mul(2).add(1), turned = x.transpose();
  x.assign(step);
  assert.deepEqual([...await x.data()], [3, 5, 7, 9], "a value computed from the target");
  const permuted = step.transpose();
  x.assign(permuted);
  assert.deepEqual([...await x.data()], [3, 7, 5, 9], "a value that is not contiguous");
  const { value, gradients: [gradient] } = valueAndGrad(() => x.square().sum(), [x]);
  assert.equal(await value.item(), 9 + 49 + 25 + 81, "the new numbers are computed with");
  assert.deepEqual([...await gradient.data()], [6, 14, 10, 18], "and differentiated by");
  for (const each of [x, step, turned, permuted, value, gradient]) each.dispose();
});

forEachEngine("assignSlice overwrites a block", async (engine) => {
  const cache = tensor(engine, new Float32Array(2 * 4 * 2), [2, 4, 2]);
  const one = tensor(engine, [1, 2, 3, 4], [2, 1, 2]), two = tensor(engine, [5, 6, 7, 8, 9, 10, 11, 12], [2, 2, 2]);
  cache.assignSlice(one, 1, 3);
  cache.assignSlice(two, -2, 1);
  assert.deepEqual([...await cache.data()], [0, 0, 5, 6, 7, 8, 1, 2, 0, 0, 9, 10, 11, 12, 3, 4]);
  const filled = cache.clone();
  cache.assignSlice(two, 1, 2);
  assert.deepEqual(
    [...await filled.data()],
    [0, 0, 5, 6, 7, 8, 1, 2, 0, 0, 9, 10, 11, 12, 3, 4],
    "a clone does not see it",
  );
  assert.deepEqual([...await cache.data()], [0, 0, 5, 6, 5, 6, 7, 8, 0, 0, 9, 10, 9, 10, 11, 12]);
  const row = tensor(engine, [1, 1, 1, 1, 1, 1, 1, 1], [1, 4, 2]);
  cache.assignSlice(row, 0, 0);
  assert.deepEqual([...await cache.data()].slice(0, 8), [1, 1, 1, 1, 1, 1, 1, 1], "first axis");
  const ids = tensor(engine, new Int32Array(4), [4]), id = tensor(engine, Int32Array.of(9), [1]);
  ids.assignSlice(id, 0, 2);
  assert.deepEqual([...await ids.data()], [0, 0, 9, 0]);
  for (const each of [cache, one, two, filled, row, ids, id]) each.dispose();
});
