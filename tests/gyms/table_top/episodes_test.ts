import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { ActionBins, RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import { EvaluationClips, TrainingClips } from "../../../lib/worlds/robot_video/clips.ts";
import { splitEpisodes } from "../../../lib/worlds/robot_video/split.ts";
import { ScriptedBehaviour } from "../../../lib/gyms/table_top/behaviour.ts";
import { tableTopEpisodes } from "../../../lib/gyms/table_top/episodes.ts";
import { TableTop } from "../../../lib/gyms/table_top/table_top.ts";

/** Mean absolute difference of two runs of bytes, in shares of 255. */
function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length / 255;
}

Deno.test("tableTopEpisodes: the same options give the same episodes, whatever the order of loading", async () => {
  const options = { episodes: 4, length: 12, height: 24, width: 32, seed: 7 };
  const one = tableTopEpisodes(options), other = tableTopEpisodes(options);
  await other.load(3);
  assert.deepEqual(await other.load(1), await one.load(1));
  assert.equal(one.fingerprint, other.fingerprint);
  assert.notEqual(one.fingerprint, tableTopEpisodes({ ...options, seed: 8 }).fingerprint);
  assert.notDeepEqual((await one.load(1)).frames, (await tableTopEpisodes({ ...options, seed: 8 }).load(1)).frames);
  assert.notDeepEqual((await one.load(0)).frames, (await one.load(1)).frames);
});

for (const scenery of [{}, { drawer: true, zone: true }]) {
  Deno.test(`tableTopEpisodes ${JSON.stringify(scenery)}: something moves in every episode, within RT-1's ranges`, async () => {
    const source = tableTopEpisodes({ episodes: 30, length: 40, height: 32, width: 32, seed: 1, ...scenery });
    const size = 32 * 32 * 3;
    let same = 0, pairs = 0;
    for (let index = 0; index < source.length; index++) {
      const { frames, actions, actionWidth, length } = await source.load(index);
      assert.deepEqual([frames.length, actions.length, actionWidth, length], [40 * size, 40 * 13, 13, 40]);
      let change = 0;
      for (let t = 1; t < length; t++) {
        const d = difference(frames.subarray((t - 1) * size, t * size), frames.subarray(t * size, (t + 1) * size));
        same += Number(d === 0);
        pairs++;
        change += d / (length - 1);
      }
      assert.ok(change > 0.006, `episode ${index} changes by ${change} a frame`);
      for (let i = 0; i < actions.length; i++) {
        const d = i % 13;
        assert.ok(actions[i] >= RT1_ACTION_RANGES.min[d] && actions[i] <= RT1_ACTION_RANGES.max[d]);
        if (d < 3 || d === 4 || d === 5) assert.equal(actions[i], 0);
      }
      const flags = (t: number) => [...actions.subarray(13 * t + 7, 13 * t + 10)].join();
      assert.deepEqual([flags(0), flags(length - 2), flags(length - 1)], ["0,1,0", "0,1,0", "1,0,0"]);
    }
    assert.ok(same / pairs < 0.03, `${same} of ${pairs} frames are like the one before`);
  });
}

Deno.test("tableTopEpisodes: actions explain the motion better than no motion does", async () => {
  // The brightest evidence there is without a model: shift of the gripper's column against world_vector[0].
  const source = tableTopEpisodes({ episodes: 20, length: 30, height: 32, width: 32, seed: 2 });
  const products = [0, 0, 0];
  for (let index = 0; index < source.length; index++) {
    const { frames, actions } = await source.load(index);
    for (let t = 0; t + 1 < 30; t++) {
      const shift = whiteColumn(frames, t + 1) - whiteColumn(frames, t), action = actions[13 * t + 10];
      products[0] += shift * action;
      products[1] += shift * shift;
      products[2] += action * action;
    }
  }
  const correlation = products[0] / Math.sqrt(products[1] * products[2]);
  assert.ok(correlation > 0.7, `${correlation}`);
});

/** The mean column of the arm's white links in frame t of a 32 × 32 video. */
function whiteColumn(frames: Uint8Array, t: number): number {
  let weight = 0, sum = 0;
  for (let i = 0; i < 1024; i++) {
    const at = (t * 1024 + i) * 3;
    const whiteness = Math.max(0, frames[at + 2] - 180);
    weight += whiteness;
    sum += whiteness * (i % 32);
  }
  return weight === 0 ? 0 : sum / weight;
}

Deno.test("tableTopEpisodes feeds training and evaluation clips", async () => {
  const source = tableTopEpisodes({ episodes: 12, length: 10, height: 16, width: 20, seed: 3 });
  const { train, test } = splitEpisodes(source.length, 4);
  const [clip] = await new TrainingClips(source, train, { segment: 5, seed: 0 }).batch(0, 1);
  assert.deepEqual([clip.frames.length, clip.actions.length, clip.actionWidth], [5 * 16 * 20 * 3, 65, 13]);
  const evaluation = new EvaluationClips(source, test, { segment: 5, itemsPerEpisode: 2 });
  assert.equal(evaluation.length, 6);
  assert.equal((await evaluation.clip(4)).episode, "table_top_000004");
});

Deno.test("tableTopEpisodes refuses bad options", async () => {
  const options = { episodes: 2, seed: 1, length: 4, height: 16, width: 16 };
  assert.throws(() => tableTopEpisodes({ ...options, episodes: 0 }), /episodes must be .* at least 1: received 0/);
  assert.throws(() => tableTopEpisodes({ ...options, length: 1 }), /length of an episode .* received 1/);
  assert.throws(() => tableTopEpisodes({ ...options, objects: 9 }), /objects must be/);
  assert.throws(() => tableTopEpisodes({ ...options, height: 2 }), /received 2x16/);
  assert.throws(() => tableTopEpisodes({ ...options, actionNoise: -1 }), /actionNoise/);
  assert.throws(() => tableTopEpisodes({ ...options, cacheBytes: -1 }), /cacheBytes/);
  await assert.rejects(tableTopEpisodes(options).load(2), /episode index must be in 0\.\.1 of table_top: received 2/);
});

Deno.test("the binned action and the state before decide the next frame, far better than the last frame does", () => {
  const bins = new ActionBins(RT1_ACTION_RANGES);
  let copying = 0, binned = 0, ignored = 0;
  for (let seed = 0; seed < 12; seed++) {
    const world = new TableTop({ seed });
    const twin = new TableTop({ seed });
    const behaviour = new ScriptedBehaviour(new Philox(seed));
    for (let t = 0; t < 25; t++) {
      const before = world.state, last = world.render(32, 32);
      const action = behaviour.action(before);
      world.step(action);
      const next = world.render(32, 32);
      copying += difference(last, next);
      twin.setState(before);
      twin.step(bins.decodeCentre(bins.encode(action)));
      binned += difference(twin.render(32, 32), next);
      twin.setState(before);
      twin.step(new Float32Array(13));
      ignored += difference(twin.render(32, 32), next);
    }
  }
  assert.ok(binned < 0.15 * copying, `${binned / copying}`);
  assert.ok(ignored > 0.8 * copying, `${ignored / copying}`);
});
