import assert from "node:assert/strict";
import { NumpyRandomState } from "../../../lib/worlds/robot_video/numpy_random.ts";

interface Stream {
  seed: number;
  small: number[];
  wide: number[];
}

const { streams } = JSON.parse(await Deno.readTextFile(new URL("fixtures/clip_choice.json", import.meta.url))) as {
  streams: Stream[];
};

for (const { seed, small, wide } of streams) {
  Deno.test(`NumpyRandomState(${seed}) draws numpy's integers`, () => {
    const random = new NumpyRandomState(seed);
    assert.deepEqual(small.map(() => random.randint(0, 10)), small);
    assert.deepEqual(wide.map(() => random.randint(-5, 2 ** 31 - 6)), wide);
  });
}

Deno.test("NumpyRandomState draws nothing for a range of one value", () => {
  const random = new NumpyRandomState(3), other = new NumpyRandomState(3);
  assert.equal(random.randint(7, 8), 7);
  assert.equal(random.word(), other.word());
});

Deno.test("NumpyRandomState refuses bad seeds and ranges", () => {
  for (const seed of [-1, 1.5, 2 ** 32, NaN]) {
    assert.throws(() => new NumpyRandomState(seed), /seed must be an integer/);
  }
  assert.throws(() => new NumpyRandomState(0).randint(3, 3), /low < high.*3, 3/);
});
