import assert from "node:assert/strict";
import { groupAdvantages, partAdvantages } from "../../lib/train/advantage.ts";
import { Philox } from "../../lib/tensor/random.ts";
import fixture from "./fixtures/part_advantages.json" with { type: "json" };

const near = (actual: ArrayLike<number>, expected: number[], tolerance = 5e-7) =>
  expected.forEach((value, i) =>
    assert.ok(Math.abs(actual[i] - value) <= tolerance, `${i}: ${actual[i]} is not ${value}`)
  );

// Values that the released trainer gives.
Deno.test("groupAdvantages: the released formula", () => {
  near(groupAdvantages([1, 0, 0, 1, 0], 5).advantages, [1.095443, -0.730295, -0.730295, 1.095443, -0.730295]);
  near(groupAdvantages([0.7], 1).advantages, [0.699999]);
  near(groupAdvantages([0.5, 0.5, 0.5], 3).advantages, [0, 0, 0], 0);
  near(groupAdvantages([-0.20, -0.25, -0.18, -0.30], 4).advantages, [0.604368, -0.325429, 0.976286, -1.255225]);
});

Deno.test("groupAdvantages: groups do not see each other", () => {
  const both = groupAdvantages([1, 0, 0, 1, 0, 5, 5, 5, 5, 5], 5);
  near(both.advantages, [1.095443, -0.730295, -0.730295, 1.095443, -0.730295, 0, 0, 0, 0, 0]);
  assert.equal(both.equalGroups, 0.5);
  assert.deepEqual(both.equal, [false, true]);
});

Deno.test("groupAdvantages: equal continuous rewards are exactly zero, whatever their mean rounds to", () => {
  const rewards = new Array(7).fill(-0.1234567);
  near(groupAdvantages(rewards, 7).advantages, new Array(7).fill(0), 0);
});

Deno.test("groupAdvantages: variants of the scale", () => {
  near(groupAdvantages([1, 3, 0, 8], 2, "none").advantages, [-1, 1, -4, 4], 0);
  const { advantages, meanStd } = groupAdvantages([1, 3, 0, 8], 2, "uniform-std");
  const scale = (Math.SQRT2 + 8 / Math.SQRT2) / 2;
  assert.ok(Math.abs(meanStd - scale) < 1e-12);
  near(advantages, [-1 / scale, 1 / scale, -4 / scale, 4 / scale], 1e-5);
});

Deno.test("partAdvantages: a part is credited with what it and those after it earn, in the whole answer's scale", () => {
  // Two answers of three parts: totals 6 and 12, deviations ±3 of a standard deviation of √18.
  const contributions = Float64Array.of(1, 2, 3, 2, 4, 6), scale = Math.sqrt(18);
  near(partAdvantages(contributions, 2, 3), [-3, -2.5, -1.5, 3, 2.5, 1.5].map((each) => each / scale), 1e-5);
  near(partAdvantages(contributions, 2, 3, "none"), [-3, -2.5, -1.5, 3, 2.5, 1.5], 0);
  // The first part's are the whole answers'.
  const whole = groupAdvantages([6, 12], 2).advantages;
  near([partAdvantages(contributions, 2, 3)[0], partAdvantages(contributions, 2, 3)[3]], [...whole], 0);
});

Deno.test("partAdvantages: with a discount, later parts count less; the scale stays the reward's where that is the largest", () => {
  const contributions = Float64Array.of(1, 2, 3, 2, 4, 6), scale = Math.sqrt(18);
  // Earned: 1 + (2 + 3/2)/2 = 2.75, 3.5, 3 against twice as much.
  near(
    partAdvantages(contributions, 2, 3, "group-std", 0.5),
    [-1.375, -1.75, -1.5, 1.375, 1.75, 1.5].map((each) => each / scale),
    1e-5,
  );
});

Deno.test("partAdvantages: one part is the whole answer, and equal tails are exactly zero", () => {
  const rewards = [-0.2, -0.25, -0.18, -0.3];
  near(partAdvantages(Float64Array.from(rewards), 4, 1), [...groupAdvantages(rewards, 4).advantages], 0);
  const tails = partAdvantages(Float64Array.of(1, -0.1234567, 2, -0.1234567, 5, -0.1234567), 3, 2);
  near([tails[1], tails[3], tails[5]], [0, 0, 0], 0);
});

Deno.test("partAdvantages: as numpy computes them", () => {
  for (const { groupSize, parts, scale, discount, contributions, advantages } of fixture.cases) {
    const own = partAdvantages(
      Float64Array.from(contributions),
      groupSize,
      parts,
      scale as "group-std",
      discount,
    );
    near(own, advantages, 1e-12);
  }
});

Deno.test("partAdvantages: answers that earn (nearly) the same by parts in another order have advantages within the bound", () => {
  const random = new Philox(1, 2, 3);
  let largest = 0;
  for (let round = 0; round < 600; round++) {
    const groupSize = random.integer(2, 9), parts = random.integer(1, 12);
    const discount = [1, 0.7, 0.1][round % 3], difference = [0, 1e-3, 1e-5, 1e-7, 1e-9][round % 5];
    // What one answer's parts add to its F1; the others have the same parts in another order, and one earns a little more.
    const earned = Array.from({ length: parts }, () => random.uniform() < 0.3 ? 0 : random.uniform() - 0.3);
    const contributions = Float64Array.from(Array.from({ length: groupSize }, () => shuffled(earned, random)).flat());
    contributions[random.integer(0, contributions.length)] += difference;
    const bound = (groupSize - 1) / Math.sqrt(groupSize);
    const advantages = partAdvantages(contributions, groupSize, parts, "group-std", discount);
    for (const each of advantages) {
      assert.ok(Math.abs(each) <= bound, `${each} of ${groupSize} answers of ${parts} parts`);
      largest = Math.max(largest, Math.abs(each) / bound);
    }
    // One positive number a group is all that the scale changes.
    const plain = partAdvantages(contributions, groupSize, parts, "none", discount);
    const at = plain.reduce((most, each, i) => Math.abs(each) > Math.abs(plain[most]) ? i : most, 0);
    const factor = advantages[at] / plain[at];
    if (plain[at] === 0) continue;
    assert.ok(factor > 0);
    advantages.forEach((each, i) => assert.ok(Math.abs(each - factor * plain[i]) < 1e-12, `${each} ${plain[i]}`));
  }
  assert.ok(largest > 0.95, `the bound is reached: ${largest}`);
});

Deno.test("partAdvantages: a common scale is the mean of the groups'", () => {
  // The rewards of the first group are equal, its parts' returns are not.
  const contributions = Float64Array.of(1, 0, 0, 1, /**/ 4, 2, 1, 1);
  const scale = (Math.SQRT1_2 + 4 / Math.SQRT2) / 2;
  near(
    partAdvantages(contributions, 2, 2, "uniform-std"),
    [0, -0.5, 0, 0.5, 2, 0.5, -2, -0.5].map((each) => each / (scale + 1e-6)),
    1e-12,
  );
});

function shuffled(values: readonly number[], random: Philox): number[] {
  const out = [...values];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.integer(0, i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

Deno.test("groupAdvantages: bad input", () => {
  assert.throws(() => groupAdvantages([1, 2, 3], 2), /3 of them do not divide into groups of 2/);
  assert.throws(() => groupAdvantages([1, NaN], 2), /number 1 is not finite: received NaN/);
  assert.throws(() => groupAdvantages([1], 0), /groupSize must be at least 1: received 0/);
});
