import assert from "node:assert/strict";
import {
  frameTokensOfAnswer,
  singleStepAnswer,
  singleStepLengths,
  singleStepQuestion,
} from "../../../lib/worlds/robot_video/single_step_sequences.ts";
import { singleStepVocabulary } from "../../../lib/worlds/robot_video/vocabulary.ts";

const rt1 = singleStepVocabulary(4375);

Deno.test("singleStepLengths gives the paper's arithmetic: 1333 + 321 = 1654", () => {
  const lengths = singleStepLengths({ tokensPerFrame: 320, history: 4, actionWidth: 13 });
  assert.deepEqual(lengths, { question: 1333, answer: 321, total: 1654 });
  assert.throws(
    () => singleStepLengths({ tokensPerFrame: 0, history: 4, actionWidth: 13 }),
    /tokensPerFrame.*received 0/,
  );
});

Deno.test("singleStepQuestion places frames, actions and BOS where the released code does", () => {
  const frames = Array.from({ length: 4 }, (_, i) => new Int32Array(320).fill(1000 + i));
  const actions = Array.from({ length: 4 }, (_, i) => new Int32Array(13).fill(100 + i));
  const question = singleStepQuestion(rt1, frames, actions);
  assert.equal(question.length, 1333);
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(question.slice(333 * i, 333 * i + 320), frames[i]);
    assert.deepEqual(question.slice(333 * i + 320, 333 * (i + 1)), new Int32Array(13).fill(4375 + 100 + i));
  }
  assert.equal(question[1332], 4631);
});

Deno.test("singleStepAnswer ends with EOS, and frameTokensOfAnswer takes it back", () => {
  const tokens = Int32Array.from({ length: 320 }, (_, i) => i);
  const answer = singleStepAnswer(rt1, tokens);
  assert.equal(answer.length, 321);
  assert.equal(answer[320], 4632);
  assert.deepEqual(frameTokensOfAnswer(rt1, answer, 320), tokens);
});

Deno.test("frameTokensOfAnswer never throws on what a model may say", () => {
  assert.deepEqual(frameTokensOfAnswer(rt1, [4632, -1, 4375, 5], 3), Int32Array.of(4374, 0, 4374));
  assert.deepEqual(frameTokensOfAnswer(rt1, [7], 3), Int32Array.of(7, 0, 0));
  assert.deepEqual(frameTokensOfAnswer(rt1, [], 2), Int32Array.of(0, 0));
});

Deno.test("sequences refuse tokens outside the vocabulary and uneven parts", () => {
  const frame = Int32Array.of(1, 2), action = Int32Array.of(3);
  assert.throws(() => singleStepQuestion(rt1, [frame], []), /1 frames and 0 actions/);
  assert.throws(() => singleStepQuestion(rt1, [], []), RangeError);
  assert.throws(() => singleStepQuestion(rt1, [frame, frame.slice(1)], [action, action]), /frame 1 must have 2 tokens/);
  assert.throws(() => singleStepQuestion(rt1, [Int32Array.of(4375, 0)], [action]), /frame token 0 must be in 0..4374/);
  assert.throws(() => singleStepQuestion(rt1, [frame], [Int32Array.of(256)]), /action bin 0 must be in 0..255/);
  assert.throws(() => singleStepAnswer(rt1, new Int32Array(0)), /at least one frame token/);
});
