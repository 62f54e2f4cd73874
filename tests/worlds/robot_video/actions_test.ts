import assert from "node:assert/strict";
import { readNpz } from "../../../lib/io/npz.ts";
import {
  ActionBins,
  computeActionRanges,
  RT1_ACTION,
  RT1_ACTION_RANGES,
  RT1_ACTION_WIDTH,
} from "../../../lib/worlds/robot_video/actions.ts";
import { episodeOf, sourceOf } from "./episodes_for_tests.ts";

const fixture = new URL("fixtures/action_bins.npz", import.meta.url).pathname;

Deno.test("ActionBins gives the published bins of RT-1 actions", () => {
  const bins = new ActionBins(RT1_ACTION_RANGES);
  assert.equal(bins.encode(new Float32Array(13)).join(), "128,185,128,128,127,129,128,0,0,0,103,51,108");
  assert.equal(
    bins.encode(Float32Array.of(0, 0, 0, 1, 0.1, -0.1, 0.2, 0, 1, 0, 0.05, 0.19, -0.05)).join(),
    "128,185,128,255,136,121,144,0,255,0,105,52,106",
  );
  assert.deepEqual(bins.encode(RT1_ACTION_RANGES.min), new Int32Array(13));
  assert.deepEqual(bins.encode(RT1_ACTION_RANGES.max), new Int32Array(13).fill(255));
});

Deno.test("ActionBins agrees with float32 PyTorch, at the edges of bins and outside the ranges too", async () => {
  const { actions, bins } = await readNpz(fixture);
  assert.ok(actions.data.length > 13 * 1000);
  assert.deepEqual(new ActionBins(RT1_ACTION_RANGES).encode(actions.data as Float32Array), bins.data);
});

Deno.test("ActionBins.decodeCentre is within half a bin, and its centres keep their bins", () => {
  const bins = new ActionBins(RT1_ACTION_RANGES);
  for (let bin = 0; bin < 256; bin++) {
    const codes = new Int32Array(13).fill(bin);
    const centres = bins.decodeCentre(codes);
    assert.deepEqual(bins.encode(centres), codes);
  }
  const { min, max } = RT1_ACTION_RANGES;
  assert.ok(Math.abs(bins.decodeCentre(new Int32Array(13))[10] - (min[10] + (max[10] - min[10]) / 512)) < 1e-6);
  assert.deepEqual(bins.decodeCentre(new Int32Array(13).fill(999)), bins.decodeCentre(new Int32Array(13).fill(255)));
});

Deno.test("ActionBins with a dimension that never varies puts it into bin 0", () => {
  const bins = new ActionBins({ min: Float32Array.of(0, 2), max: Float32Array.of(1, 2) }, 4);
  assert.deepEqual(bins.encode(Float32Array.of(0.5, 2, 0.99, 2)), Int32Array.of(2, 0, 3, 0));
});

Deno.test("ActionBins refuses bad ranges, bins and actions", () => {
  const ranges = { min: Float32Array.of(0, 0), max: Float32Array.of(1, 1), names: ["x", "grip"] };
  assert.throws(() => new ActionBins(ranges, 1), /bins must be an integer of at least 2: received 1/);
  assert.throws(() => new ActionBins({ ...ranges, max: Float32Array.of(1, -1) }), /range of action grip/);
  assert.throws(() => new ActionBins({ ...ranges, max: Float32Array.of(1) }), /received 2 and 1/);
  const bins = new ActionBins(ranges);
  assert.throws(() => bins.encode(new Float32Array(3)), /2 numbers each: received 3/);
  assert.throws(() => bins.encode(Float32Array.of(0, NaN)), /action grip must be a number: received NaN/);
});

Deno.test("RT-1's table has 13 named dimensions in the order of the fields", () => {
  assert.equal(RT1_ACTION_WIDTH, 13);
  assert.deepEqual(RT1_ACTION_RANGES.names, [...RT1_ACTION_RANGES.names!].sort());
  assert.equal(RT1_ACTION_RANGES.names![RT1_ACTION.worldVector], "world_vector[0]");
  assert.equal(RT1_ACTION_RANGES.names![RT1_ACTION.gripperClosedness], "gripper_closedness_action");
  assert.equal(RT1_ACTION_RANGES.names![RT1_ACTION.terminateEpisode], "terminate_episode[0]");
  assert.equal(RT1_ACTION_RANGES.names![RT1_ACTION.rotationDelta], "rotation_delta[0]");
});

Deno.test("computeActionRanges spans the given episodes only", async () => {
  const source = sourceOf([episodeOf(3, [0, 1, 2, -3, 1, 5]), episodeOf(1, [9, 9])]);
  const ranges = await computeActionRanges(source, [0]);
  assert.deepEqual([...ranges.min, ...ranges.max], [0, -3, 2, 5]);
  await assert.rejects(computeActionRanges(source, []), /at least one episode/);
  await assert.rejects(computeActionRanges({ ...source, actionWidth: 0 }, [0]), /has no actions/);
});
