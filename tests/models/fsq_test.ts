import assert from "node:assert/strict";
import { FiniteScalarQuantizer, FSQ_LEVELS } from "../../lib/models/fsq.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

/** Made by fixtures/make_fsq.py. */
interface Case {
  levels: number[];
  z: number[];
  norm: number[];
  index: number[];
  weight: number[];
  gradient: number[];
}
const CASES: Case[] = JSON.parse(await Deno.readTextFile(new URL("fixtures/fsq.json", import.meta.url)));

/** The golden vectors of the specification: values, levels, index. */
const GOLDEN: [number[], number[], number][] = [
  [[0, 0, 0, 0, 0], [3, 2, 2, 2, 2], 2187],
  [[10, 10, 10, 10, 10], [6, 4, 4, 4, 4], 4374],
  [[-10, -10, -10, -10, -10], [0, 0, 0, 0, 0], 0],
  [[0.5, -0.5, 1, -1, 0.2], [4, 1, 4, 0, 2], 1901],
  [[-0.3, 0.8, -0.27, 0.25, 1.3], [2, 3, 1, 2, 4], 3908],
];

Deno.test("host codes are the golden ones", () => {
  const fsq = new FiniteScalarQuantizer(FSQ_LEVELS[12]);
  assert.equal(fsq.codebookSize, 4375);
  assert.deepEqual(fsq.basis, [1, 7, 35, 175, 875]);
  for (const [z, levels, index] of GOLDEN) {
    assert.equal(fsq.indexOf(z), index);
    assert.deepEqual(fsq.levelsOf(index), levels);
  }
  assert.deepEqual(fsq.levelsOf(1), [1, 0, 0, 0, 0]);
  assert.deepEqual(fsq.levelsOf(7), [0, 1, 0, 0, 0]);
  assert.deepEqual(fsq.levelsOf(1234), [2, 1, 0, 2, 1]);
  assert.deepEqual(fsq.levelsOf(1234 + 4375), [2, 1, 0, 2, 1]);
  assert.deepEqual(fsq.codeOf(4374), [1, 1, 1, 1, 1]);
  assert.deepEqual(Object.values(FSQ_LEVELS).map((levels) => new FiniteScalarQuantizer(levels).codebookSize), [
    240,
    1000,
    4375,
    15360,
    64000,
  ]);
});

Deno.test("senseless levels and vectors are refused", () => {
  assert.throws(() => new FiniteScalarQuantizer([]), /fsqLevels must be integers of at least 2: received \[\]/);
  assert.throws(() => new FiniteScalarQuantizer([7, 1]), /received \[7, 1\]/);
  assert.throws(() => new FiniteScalarQuantizer([2 ** 12, 2 ** 12]), RangeError);
  assert.throws(() => new FiniteScalarQuantizer([7, 5]).indexOf([0]), /2 numbers: received 1/);
});

forEachEngine("fsq: golden codes and their way back", async (engine) => {
  const fsq = new FiniteScalarQuantizer(FSQ_LEVELS[12]);
  const z = tensor(engine, GOLDEN.flatMap(([each]) => each), [GOLDEN.length, 5], "float32");
  const indices = tidy(() => fsq.codesToIndices(fsq.quantize(z)));
  assert.deepEqual([...await indices.data()], GOLDEN.map(([, , index]) => index));
  const all = tensor(engine, Int32Array.from({ length: 2 * 4375 }, (_, i) => i));
  const codes = tidy(() => fsq.indicesToCodes(all));
  assert.deepEqual(codes.shape, [8750, 5]);
  assertClose(await codes.data(), Array.from({ length: 8750 }, (_, i) => fsq.codeOf(i)).flat(), 1e-7, "codes");
  const back = tidy(() => fsq.codesToIndices(codes));
  assert.deepEqual([...await back.data()], Array.from({ length: 8750 }, (_, i) => i % 4375));
  for (const each of [z, indices, all, codes, back]) each.dispose();
});

forEachEngine("fsq: every index of the largest table survives", async (engine) => {
  const fsq = new FiniteScalarQuantizer(FSQ_LEVELS[16]);
  const all = tensor(engine, Int32Array.from({ length: 64000 }, (_, i) => i));
  const back = tidy(() => fsq.codesToIndices(fsq.indicesToCodes(all)));
  assert.deepEqual(await back.data(), await all.data());
  all.dispose();
  back.dispose();
});

forEachEngine("fsq: values and straight-through gradient are PyTorch's", async (engine) => {
  for (const { levels, z, norm, index, weight, gradient } of CASES) {
    const fsq = new FiniteScalarQuantizer(levels);
    const shape = [index.length, levels.length];
    const leaf = tensor(engine, z, shape, "float32"), scale = tensor(engine, weight, shape, "float32");
    const { gradients, aux } = valueAndGrad(() => {
      const codes = fsq.quantize(leaf);
      return { loss: codes.mul(scale).sum(), aux: { codes, indices: fsq.codesToIndices(codes.detach()) } };
    }, [leaf]);
    assertClose(await aux.codes.data(), norm, 1e-6, "codes");
    assert.deepEqual([...await aux.indices.data()], index);
    assertClose(await gradients[0].data(), gradient, 1e-5, "gradient");
    for (let row = 0; row < index.length; row++) {
      assert.equal(fsq.indexOf(z.slice(row * levels.length, (row + 1) * levels.length)), index[row]);
    }
    for (const each of [leaf, scale, aux.codes, aux.indices, gradients[0]]) each.dispose();
  }
});

forEachEngine("fsq: nothing is left behind, and a wrong type is told", (engine) => {
  const fsq = new FiniteScalarQuantizer([8, 6, 5]);
  const z = tensor(engine, new Float32Array(6), [2, 3]), wrong = tensor(engine, new Float32Array(4), [2, 2]);
  const before = engine.memory().tensors;
  const kept = [fsq.quantize(z), fsq.codesToIndices(z)];
  assert.equal(engine.memory().tensors - before, 2);
  assert.throws(() => fsq.quantize(wrong), /needs float32 \[.., 3\]: received float32 \[2, 2\]/);
  for (const each of [z, wrong, ...kept]) each.dispose();
});
