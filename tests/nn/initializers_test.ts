import assert from "node:assert/strict";
import { constantInitial, fanIn, kaimingUniform, normalInitial } from "../../lib/nn/initializers.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { forEachEngine } from "../support/engines.ts";

function moments(values: ArrayLike<number>) {
  const mean = Array.from(values).reduce((a, b) => a + b, 0) / values.length;
  const variance = Array.from(values).reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

forEachEngine("normal, constant and Kaiming-uniform values have their moments and bounds", async (engine) => {
  const normal = normalInitial(engine, [100, 50], new Philox(3, 1));
  const { mean, deviation } = moments(await normal.data());
  assert.ok(Math.abs(mean) < 4 * 0.02 / Math.sqrt(5000), `mean ${mean}`);
  assert.ok(Math.abs(deviation - 0.02) < 0.001, `deviation ${deviation}`);
  const again = normalInitial(engine, [100, 50], new Philox(3, 1));
  assert.deepEqual(await again.data(), await normal.data());
  assert.equal(fanIn([8, 4, 3, 3]), 36);
  const { weight, bias } = kaimingUniform(engine, [64, 4, 3, 3], new Philox(3, 2));
  const values = await weight.data();
  assert.ok(values.every((each) => Math.abs(each) <= 1 / 6));
  // A uniform distribution on [−1/6, 1/6) has a deviation of 1/6 / √3.
  assert.ok(Math.abs(moments(values).deviation - 1 / 6 / Math.sqrt(3)) < 0.004);
  assert.deepEqual(bias.shape, [64]);
  assert.ok((await bias.data()).every((each) => Math.abs(each) <= 1 / 6));
  const one = constantInitial(engine, [3], 1);
  assert.deepEqual([...await one.data()], [1, 1, 1]);
  for (const each of [normal, again, weight, bias, one]) each.dispose();
});
