/** Metrics of frame sequences, against numbers worked out by hand and against the image metrics frame by frame. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";
import { mae, psnr } from "../../../lib/worlds/robot_video/metrics.ts";
import {
  aggregateFrames,
  endsRepeating,
  frameContributions,
  frameWeights,
  perFrame,
  repeats,
  repetitionRate,
  tokenGrid,
} from "../../../lib/worlds/robot_video/video_metrics.ts";
import { assertClose } from "../../support/compare.ts";
import { forEachEngine } from "../../support/engines.ts";

Deno.test("frameWeights: mean, last and 0.9^t, normalised", () => {
  assertClose([...frameWeights(4, "mean")], [0.25, 0.25, 0.25, 0.25], 1e-12, "mean");
  assert.deepEqual([...frameWeights(3, "last")], [0, 0, 1]);
  // 0.9^t / Σ 0.9^t with Σ = (1 − 0.9^7) / 0.1 = 5.217031.
  const discount = [0.1916799, 0.1725119, 0.1552607, 0.1397347, 0.1257612, 0.1131851, 0.1018666];
  assertClose([...frameWeights(7, "discount")], discount, 1e-6, "discount");
  assert.throws(() => frameWeights(0, "mean"), /frames must be an integer of at least 1: received 0/);
});

Deno.test("tokenGrid: square patches, row by row", () => {
  assert.deepEqual(tokenGrid(64, 32, 32), { rows: 8, columns: 8 });
  assert.deepEqual(tokenGrid(80, 256, 320), { rows: 8, columns: 10 });
  assert.throws(() => tokenGrid(5, 32, 32), /5 tokens are no grid of square patches of a frame of 32 × 32 pixels/);
  assert.throws(() => tokenGrid(2, 32, 32), /2 tokens are no grid/);
});

Deno.test("frameContributions, repeats: what each frame adds", () => {
  const values = Float32Array.of(1, 2, 3, 10, 20, 60);
  assert.deepEqual([...frameContributions(values, 3, "last")], [0, 0, 3, 0, 0, 60]);
  assertClose([...frameContributions(values, 3, "mean")], [1 / 3, 2 / 3, 1, 10 / 3, 20 / 3, 20], 1e-12, "mean");
  assert.throws(() => frameContributions(values, 4, "mean"), /6 values are not those of sequences of 4 frames/);
  assert.deepEqual(repeats([[1, 2], [1, 2], [1, 3]]), [0, 0.5, 0]);
  assert.deepEqual(repeats([[1, 2]]), [0]);
});

Deno.test("aggregateFrames: one number a sequence", () => {
  const values = Float32Array.of(1, 2, 3, 10, 20, 60);
  assert.deepEqual([...aggregateFrames(values, 3, "mean")], [2, 30]);
  assert.deepEqual([...aggregateFrames(values, 3, "last")], [3, 60]);
  // (1 + 0.9 · 2 + 0.81 · 3) / 2.71 and (10 + 18 + 48.6) / 2.71.
  assertClose([...aggregateFrames(values, 3, "discount")], [5.23 / 2.71, 76.6 / 2.71], 1e-6, "discount");
  assert.throws(() => aggregateFrames(values, 4, "mean"), /6 values are not those of sequences of 4 frames/);
});

Deno.test("repetitionRate counts equal neighbours, endsRepeating looks at the last two", () => {
  const a = [1, 2], b = [1, 3];
  assert.equal(repetitionRate([a, a, b, b, [...b], a, b]), 3 / 6);
  assert.equal(repetitionRate([a, b, a]), 0);
  assert.equal(repetitionRate([a, [...a], a]), 1);
  assert.equal(repetitionRate([a]), 0);
  assert.equal(repetitionRate([]), 0);
  assert.equal(endsRepeating([a, b, [...b]]), true);
  assert.equal(endsRepeating([a, a, b]), false);
  assert.equal(endsRepeating([a]), false);
  assert.equal(endsRepeating([a], [...a]), true);
  assert.equal(endsRepeating([b], a), false);
});

forEachEngine("perFrame: every frame as the image metric sees it, however many at once", async (engine) => {
  const shape = [2, 3, 4, 5, 3], size = 2 * 3 * 60;
  const numbers = [1, 2].map((seed) => new Philox(seed).fillUniform(new Float32Array(size)));
  const [a, b] = numbers.map((each) => tensor(engine, each, shape));
  const before = engine.memory().tensors;
  const errors = Array.from({ length: 6 }, (_, frame) => {
    let sum = 0, squares = 0;
    for (let i = frame * 60; i < (frame + 1) * 60; i++) {
      sum += Math.abs(numbers[0][i] - numbers[1][i]) / 60;
      squares += (numbers[0][i] - numbers[1][i]) ** 2 / 60;
    }
    return [sum, -10 * Math.log10(squares + 1e-8)];
  });
  for (const atOnce of [1, 4, 64]) {
    assertClose(await perFrame(mae, a, b, atOnce), errors.map(([each]) => each), 1e-5, `mae, ${atOnce} at once`);
    assertClose(await perFrame(psnr, a, b, atOnce), errors.map(([, each]) => each), 1e-5, `psnr, ${atOnce} at once`);
  }
  const wrong = tensor(engine, new Float32Array(60), [1, 1, 4, 5, 3]);
  await assert.rejects(perFrame(mae, a, wrong), RangeError);
  await assert.rejects(perFrame(mae, a, tensor(engine, new Float32Array(60), [1, 4, 5, 3])), /frame sequences/);
  assert.equal(engine.memory().tensors, before + 2, "tensors left behind");
});
