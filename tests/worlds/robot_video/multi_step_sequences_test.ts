import assert from "node:assert/strict";
import { EvaluationClips } from "../../../lib/worlds/robot_video/clips.ts";
import {
  frameTokensOfMultiStepAnswer,
  multiStepAnswer,
  multiStepLengths,
  multiStepQuestion,
} from "../../../lib/worlds/robot_video/multi_step_sequences.ts";
import { multiStepVocabulary } from "../../../lib/worlds/robot_video/vocabulary.ts";
import { episodeOf, sourceOf } from "./episodes_for_tests.ts";

const rt1 = multiStepVocabulary(4375);
const RT1_SIZES = { contextTokens: 1280, tokensPerFrame: 80, frames: 8, actionWidth: 13 };

Deno.test("multiStepLengths gives the paper's arithmetic: 1373 + 651 = 2024, 560 of them trained", () => {
  assert.deepEqual(multiStepLengths(RT1_SIZES), { question: 1373, answer: 651, total: 2024, sampled: 560 });
  assert.equal(rt1.size, 9008);
  assert.throws(() => multiStepLengths({ ...RT1_SIZES, frames: 1 }), /frames must be .* at least 2: received 1/);
  assert.throws(() => multiStepLengths({ ...RT1_SIZES, contextTokens: 0 }), /contextTokens.*received 0/);
});

Deno.test("context, frames and actions lie where the released code has them", () => {
  const context = Int32Array.from({ length: 1280 }, (_, i) => (i * 7) % 4375);
  const frames = Array.from({ length: 8 }, (_, t) => new Int32Array(80).fill(1000 + t));
  const actions = Array.from({ length: 8 }, (_, t) => new Int32Array(13).fill(100 + t));
  const question = multiStepQuestion(rt1, context, frames[0], actions[0]);
  const { tokens, sampled } = multiStepAnswer(rt1, frames.slice(1), actions.slice(1));
  const whole = Int32Array.of(...question, ...tokens), trained = Int32Array.of(...question.fill(0), ...sampled);
  assert.equal(whole.length, 2024);
  assert.deepEqual(whole.slice(0, 1280), context.map((token) => token + 4375));
  for (let t = 0; t < 8; t++) {
    const at = 1280 + 93 * t;
    assert.deepEqual(whole.slice(at, at + 80), frames[t]);
    assert.deepEqual(whole.slice(at + 80, at + 93), new Int32Array(13).fill(8750 + 100 + t));
    assert.deepEqual(trained.slice(at, at + 80), new Int32Array(80).fill(t === 0 ? 0 : 1));
    assert.ok(!trained.slice(at + 80, at + 93).includes(1));
  }
  assert.equal(trained.reduce((sum, each) => sum + each, 0), 560);
  const taken = frameTokensOfMultiStepAnswer(rt1, tokens, RT1_SIZES);
  assert.deepEqual(taken, frames.slice(1));
});

Deno.test("parts of an answer are frames, or each token with its patch; actions belong to what is before them", () => {
  const frames = [1, 2].map((token) => new Int32Array(3).fill(token)), actions = [0, 1].map(() => new Int32Array(2));
  assert.deepEqual([...multiStepAnswer(rt1, frames, actions).parts!], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
  assert.deepEqual([...multiStepAnswer(rt1, frames, actions, 3).parts!], [0, 1, 2, 2, 2, 3, 4, 5, 5, 5]);
});

Deno.test("frameTokensOfMultiStepAnswer never throws on what a model may say", () => {
  const sizes = { tokensPerFrame: 2, frames: 3, actionWidth: 1 };
  assert.deepEqual(frameTokensOfMultiStepAnswer(rt1, [9007, -1, 8760, 4375, 5, 8760], sizes), [
    Int32Array.of(4374, 0),
    Int32Array.of(4374, 5),
  ]);
  assert.deepEqual(frameTokensOfMultiStepAnswer(rt1, [7], sizes), [Int32Array.of(7, 0), Int32Array.of(0, 0)]);
  assert.deepEqual(frameTokensOfMultiStepAnswer(rt1, [], sizes), [Int32Array.of(0, 0), Int32Array.of(0, 0)]);
});

Deno.test("multi-step sequences refuse tokens outside their codebook and uneven parts", () => {
  const small = multiStepVocabulary(4, 3, 2), frame = Int32Array.of(1, 3), action = Int32Array.of(1);
  assert.throws(() => multiStepQuestion(small, Int32Array.of(3), frame, action), /context token 0 must be in 0..2/);
  assert.throws(() => multiStepQuestion(small, Int32Array.of(), frame, action), /context needs at least one token/);
  assert.throws(() => multiStepQuestion(small, action, Int32Array.of(0, 4), action), /frame token 1 must be in 0..3/);
  assert.throws(() => multiStepQuestion(small, action, frame, Int32Array.of(2)), /action bin 0 must be in 0..1/);
  assert.throws(() => multiStepAnswer(small, [frame], []), /1 frames and 0 actions/);
  assert.throws(() => multiStepAnswer(small, [frame, action], [action, action]), /frame 1 must have 2 tokens/);
  assert.throws(() => multiStepAnswer(small, [frame, frame], [action, frame]), /action 1 must have 1 tokens/);
});

Deno.test("EvaluationClips cut the published clips: start, and context at most 15 frames before", async () => {
  // Item, start and context frame for episodes of 30 and of 120 frames.
  const published = [[0, 12, 5, 44, 44], [1, 5, 3, 37, 33], [2, 8, 8, 40, 40], [3, 10, 8, 106, 99], [10, 9, 4, 9, 4]]
    .concat([[100, 8, 8, 8, 8], [872, 5, 4, 57, 47]]);
  for (const [length, column] of [[30, 1], [120, 3]]) {
    const episode = episodeOf(length, Array.from({ length }, (_, t) => t));
    // Frames say their number, which episodes of over 25 frames need all of a byte for.
    for (let t = 0; t < length; t++) episode.frames.fill(t, t * 18, (t + 1) * 18);
    const clips = new EvaluationClips(sourceOf([episode]), [0], { segment: 8, contextReach: 15, itemsPerEpisode: 873 });
    for (const row of published) {
      const clip = await clips.clip(row[0]);
      assert.deepEqual([clip.start, clip.contextIndex], [row[column], row[column + 1]], `item ${row[0]}`);
      assert.equal(clip.contextFrame![0], row[column + 1]);
      assert.deepEqual([clip.frames[0], clip.frames[7 * 18]], [clip.start, clip.start + 7]);
    }
  }
});
