import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { denseStrides, reshapedStrides } from "../../../lib/tensor/torch/strides.ts";

/** Where each number lies, row-major. */
function places(shape: readonly number[], strides: readonly number[]): number[] {
  return shape.reduce<number[]>(
    (found, extent, axis) => found.flatMap((at) => Array.from({ length: extent }, (_, i) => at + i * strides[axis])),
    [0],
  );
}

/** The strides that a shape needs for numbers at these places, right or not. */
function candidate(shape: readonly number[], at: readonly number[]): number[] {
  const steps = denseStrides(shape);
  return shape.map((extent, axis) => extent === 1 ? 1 : at[steps[axis]] - at[0]);
}

Deno.test("strides of another shape are found whenever there are any, and only then", () => {
  const random = new Philox(1, 2, 3);
  const shuffled = <T>(items: T[]) => {
    for (let i = items.length - 1; i > 0; i--) {
      const j = random.integer(0, i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  };
  let views = 0, copies = 0;
  for (let round = 0; round < 3000; round++) {
    // A dense tensor, its axes in another order, one of them cut, and stretched.
    const shape = Array.from({ length: random.integer(1, 5) }, () => random.integer(1, 5)),
      strides = denseStrides(shape);
    const order = random.integer(0, 2) === 0 ? [...shape.keys()] : shuffled([...shape.keys()]);
    const axes = order.map((axis) => ({ extent: shape[axis], stride: strides[axis] }));
    const cut = axes[random.integer(0, axes.length)];
    cut.extent = random.integer(1, cut.extent + 1);
    if (random.integer(0, 4) === 0) axes.unshift({ extent: random.integer(1, 4), stride: 0 });
    const from = axes.map(({ extent }) => extent), at = places(from, axes.map(({ stride }) => stride));
    const to: number[] = [1];
    for (let left = at.length; left > 1; left /= to[to.length - 1]) {
      to.push(shuffled(Array.from({ length: left }, (_, i) => i + 1).filter((n) => n > 1 && left % n === 0))[0]);
    }
    shuffled(to);
    const found = reshapedStrides(from, axes.map(({ stride }) => stride), to);
    if (found === undefined) {
      copies++;
      assert.notDeepEqual(places(to, candidate(to, at)), at, `[${from}] as [${to}]`);
    } else {
      views++;
      assert.deepEqual(places(to, found), at, `[${from}] as [${to}]`);
    }
  }
  assert.ok(views > 500 && copies > 500, `${views} views, ${copies} copies`);
});
