import assert from "node:assert/strict";
import { TRAINING_COLOUR_JITTER } from "../../../lib/worlds/robot_video/augment.ts";
import {
  chooseEvaluationClip,
  cutClip,
  EvaluationClips,
  TrainingClips,
} from "../../../lib/worlds/robot_video/clips.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { counting, sourceOf } from "./episodes_for_tests.ts";

interface Choice {
  length: number;
  segment: number;
  starts: number[];
  contexts: number[];
}

const { choices } = JSON.parse(await Deno.readTextFile(new URL("fixtures/clip_choice.json", import.meta.url))) as {
  choices: Choice[];
};

Deno.test("chooseEvaluationClip gives the published clips", () => {
  const published: [item: number, length: number, start: number, context: number][] = [
    [0, 30, 12, 5],
    [0, 120, 44, 44],
    [1, 30, 5, 3],
    [1, 120, 37, 33],
    [2, 30, 8, 8],
    [2, 120, 40, 40],
    [3, 30, 10, 8],
    [3, 120, 106, 99],
    [10, 30, 9, 4],
    [10, 120, 9, 4],
    [100, 30, 8, 8],
    [100, 120, 8, 8],
    [872, 30, 5, 4],
    [872, 120, 57, 47],
  ];
  for (const [item, length, start, context] of published) {
    assert.deepEqual(chooseEvaluationClip(item, length, 8, 15), { start, context });
    assert.deepEqual(chooseEvaluationClip(item, length, 8), { start });
  }
});

for (const { length, segment, starts, contexts } of choices) {
  Deno.test(`chooseEvaluationClip agrees with numpy for 873 items of length ${length}, segment ${segment}`, () => {
    const ours = starts.map((_, item) => chooseEvaluationClip(item, length, segment, 15));
    assert.deepEqual(ours, starts.map((start, item) => ({ start, context: contexts[item] })));
  });
}

Deno.test("cutClip copies frames and actions, and repeats the last ones past the end", () => {
  const episode = counting(5);
  const clip = cutClip(episode, 3, 4);
  assert.deepEqual([...clip.actions], [3, 4, 4, 4]);
  assert.deepEqual([0, 18, 36, 54].map((at) => clip.frames[at]), [30, 40, 40, 40]);
  assert.deepEqual([...cutClip(episode, 0, 3, 2).actions], [0, 2, 4]);
  clip.frames.fill(255);
  assert.equal(episode.frames[3 * 18], 30);
  assert.throws(() => cutClip(episode, 5, 2), /must start in 0..4: received 5/);
});

Deno.test("TrainingClips reaches every episode and start, and nothing else", async () => {
  const source = sourceOf([counting(7, 1), counting(6, 2), counting(9, 3)]);
  const clips = new TrainingClips(source, [0, 2], { segment: 5, seed: 4 });
  const seen = new Set<string>();
  for (let step = 0; step < 40; step++) {
    for (const clip of await clips.batch(step, 4)) {
      seen.add(`${clip.episode}@${clip.start}`);
      assert.deepEqual([...clip.actions], [0, 1, 2, 3, 4].map((t) => clip.start + t));
    }
  }
  const all = [0, 1, 2].map((s) => `hand_7_1@${s}`).concat([0, 1, 2, 3, 4].map((s) => `hand_9_3@${s}`));
  assert.deepEqual([...seen].sort(), all.sort());
});

Deno.test("TrainingClips gives the same clip for the same name, in any order, and others for other seeds", async () => {
  const source = sourceOf(Array.from({ length: 20 }, (_, i) => counting(30, i)));
  const indices = Array.from({ length: 20 }, (_, i) => i);
  const options = { segment: 5, contextReach: 3, augmentation: TRAINING_COLOUR_JITTER };
  const first = new TrainingClips(source, indices, { ...options, seed: 1 });
  const again = new TrainingClips(source, indices, { ...options, seed: 1 });
  await again.batch(0, 3);
  assert.deepEqual(await first.batch(7, 3), await again.batch(7, 3));
  assert.deepEqual((await first.batch(7, 3))[2], await again.clip(7, 2));
  const other = new TrainingClips(source, indices, { ...options, seed: 2 });
  assert.notDeepEqual(await first.batch(7, 3), await other.batch(7, 3));
});

Deno.test("TrainingClips draws contexts from the frames before the clip", async () => {
  const clips = new TrainingClips(sourceOf([counting(12)]), [0], { segment: 3, seed: 1, contextReach: 4 });
  const distances = new Set<number>();
  for (let item = 0; item < 300; item++) {
    const clip = await clips.clip(item);
    assert.equal(clip.contextFrame![0], 10 * clip.contextIndex!);
    distances.add(clip.start - clip.contextIndex!);
  }
  assert.deepEqual([...distances].sort(), [0, 1, 2, 3, 4]);
});

Deno.test("TrainingClips augments the frames of a clip alike and leaves the episode alone", async () => {
  const source = sourceOf([counting(8, 60)]);
  const before = (await source.load(0)).frames.slice();
  const options = { segment: 2, seed: 5, contextReach: 0 };
  const plain = await new TrainingClips(source, [0], options).clip(3);
  const varied = await new TrainingClips(source, [0], { ...options, augmentation: TRAINING_COLOUR_JITTER }).clip(3);
  assert.equal(varied.start, plain.start);
  assert.notDeepEqual(varied.frames, plain.frames);
  assert.deepEqual(varied.contextFrame, varied.frames.slice(0, 18));
  assert.deepEqual((await source.load(0)).frames, before);
});

Deno.test("TrainingClips with short episodes: repeat shrinks the step first, drop looks for others", async () => {
  const short = sourceOf([counting(4), counting(9)]);
  const repeat = new TrainingClips(short, [0], { segment: 6, seed: 1 });
  assert.deepEqual([...(await repeat.clip(0)).actions], [0, 1, 2, 3, 3, 3]);
  const shrunk = new TrainingClips(short, [1], { segment: 4, step: 3, seed: 1 });
  const { actions, start } = await shrunk.clip(0);
  assert.deepEqual([...actions], [0, 2, 4, 6].map((t) => start + t));
  const drop = new TrainingClips(short, [0, 1], { segment: 6, seed: 1, shortEpisodes: "drop" });
  for (const clip of await drop.batch(0, 20)) assert.equal(clip.episode, "hand_9_0");
  const none = new TrainingClips(short, [0], { segment: 6, seed: 1, shortEpisodes: "drop" });
  await assert.rejects(
    none.clip(0),
    (error) => error instanceof UserError && /no episode of hand-made/.test(error.message),
  );
});

Deno.test("EvaluationClips keeps the protocol's clips when more are asked for", async () => {
  const source = sourceOf(Array.from({ length: 6 }, (_, i) => counting(30, i)));
  const one = new EvaluationClips(source, [1, 4], { segment: 8, contextReach: 15 });
  const three = new EvaluationClips(source, [1, 4], { segment: 8, contextReach: 15, itemsPerEpisode: 3 });
  assert.equal(one.length, 2);
  assert.equal(three.length, 6);
  const starts: number[] = [];
  for (let item = 0; item < 6; item++) {
    const clip = await three.clip(item);
    if (item < 2) assert.deepEqual(clip, await one.clip(item));
    assert.equal(clip.episode, `hand_30_${[1, 4][item % 2]}`);
    assert.deepEqual({ start: clip.start, context: clip.contextIndex }, chooseEvaluationClip(item, 30, 8, 15));
    starts.push(clip.start);
  }
  assert.ok(new Set(starts).size > 3);
  await assert.rejects(three.clip(6), /evaluation item must be in 0..5: received 6/);
});

Deno.test("clips refuse short episodes by name where that is asked for", async () => {
  const source = sourceOf([counting(4)]);
  const options = { segment: 5, seed: 1, shortEpisodes: "refuse" as const };
  for (const clips of [new TrainingClips(source, [0], options), new EvaluationClips(source, [0], options)]) {
    await assert.rejects(clips.clip(0), (error) => {
      return error instanceof UserError && /hand_4_0 of hand-made .* has 4 frames, a clip spans 5/.test(error.message);
    });
  }
  await new TrainingClips(source, [0], { ...options, segment: 4 }).clip(0);
});

Deno.test("EvaluationClips of a short episode repeats its last frame", async () => {
  const clip = await new EvaluationClips(sourceOf([counting(3)]), [0], { segment: 5 }).clip(0);
  assert.deepEqual([...clip.actions], [0, 1, 2, 2, 2]);
});

Deno.test("clips refuse bad options and empty splits", () => {
  const source = sourceOf([counting(9)]);
  assert.throws(
    () => new TrainingClips(source, [0], { segment: 1, seed: 0 }),
    /segment must be .* at least 2: received 1/,
  );
  assert.throws(() => new TrainingClips(source, [0], { segment: 4, step: 0, seed: 0 }), /step/);
  assert.throws(() => new TrainingClips(source, [], { segment: 4, seed: 0 }), UserError);
  assert.throws(() => new EvaluationClips(source, [], { segment: 4 }), UserError);
  assert.throws(() => new EvaluationClips(source, [0], { segment: 4, itemsPerEpisode: 0 }), /itemsPerEpisode/);
  assert.throws(() => new EvaluationClips(source, [0], { segment: 4, contextReach: -1 }), /contextReach/);
});
