import assert from "node:assert/strict";
import { splitEpisodes } from "../../../lib/worlds/robot_video/split.ts";

Deno.test("splitEpisodes holds out every hundredth of RT-1's episodes: 873 of 87,212", () => {
  const { train, test } = splitEpisodes(87212);
  assert.equal(test.length, 873);
  assert.equal(train.length, 87212 - 873);
  assert.deepEqual([...train, ...test].sort((a, b) => a - b), Array.from({ length: 87212 }, (_, i) => i));
});

Deno.test("splitEpisodes of a small set", () => {
  assert.deepEqual(splitEpisodes(7, 3), { train: [1, 2, 4, 5], test: [0, 3, 6] });
  assert.deepEqual(splitEpisodes(0), { train: [], test: [] });
});

Deno.test("splitEpisodes refuses what is no count", () => {
  assert.throws(() => splitEpisodes(-1), /at least 0: received -1/);
  assert.throws(() => splitEpisodes(5, 1), /testEvery must be an integer of at least 2: received 1/);
  assert.throws(() => splitEpisodes(5, 2.5), RangeError);
});
