import assert from "node:assert/strict";
import { multiStepVocabulary, singleStepVocabulary } from "../../../lib/worlds/robot_video/vocabulary.ts";

Deno.test("singleStepVocabulary is the paper's for RT-1: 4633 ids", () => {
  assert.deepEqual(singleStepVocabulary(4375), {
    frameTokens: 4375,
    actionBins: 256,
    actionOffset: 4375,
    bos: 4631,
    eos: 4632,
    size: 4633,
  });
});

Deno.test("multiStepVocabulary is the paper's for RT-1: 9008 ids", () => {
  const vocabulary = multiStepVocabulary(4375);
  assert.equal(vocabulary.contextOffset, 4375);
  assert.equal(vocabulary.actionOffset, 8750);
  assert.deepEqual([vocabulary.bos, vocabulary.eos, vocabulary.size], [9006, 9007, 9008]);
  assert.equal(multiStepVocabulary(10, 20, 4).size, 36);
});

Deno.test("vocabularies refuse empty codebooks", () => {
  assert.throws(() => singleStepVocabulary(0), /frameTokens must be an integer of at least 1: received 0/);
  assert.throws(() => singleStepVocabulary(10, 1.5), /actionBins/);
  assert.throws(() => multiStepVocabulary(10, -1), /contextTokens/);
});
