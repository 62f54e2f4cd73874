/** What groups of answers count, and equal answers that are computed once: the step with them is PyTorch's in `grpo_steps_test.ts`. */
import assert from "node:assert/strict";
import { type AnswerGroup, countSpoken, mergeEqualAnswers, spokenWeights } from "../../lib/train/answer_groups.ts";
import { tokenWeights } from "../../lib/train/objective.ts";

const A = Int32Array.of(5, 9, 2, 1), B = Int32Array.of(7, 1), C = Int32Array.of(5, 9, 3, 3, 1);

function group(answers: Int32Array[], advantages: number[], question: number[]): AnswerGroup {
  return {
    question: Int32Array.from(question),
    answers_G: answers,
    advantages_GK: Float64Array.from(advantages),
    sampler_GT: answers.map((answer) => new Float32Array(answer.length).fill(-1)),
  };
}

/** Two groups of five; the second one's answers are all equal, as those of a model that is sure. */
function groups(): AnswerGroup[] {
  return [
    group([A, B, A, C, B], [0.7, -1.2, 0.7, 1, -1.2], [3, 4, 5, 6, 8, 2]),
    group([B, B, B, B, B], [0.3, 0.3, 0.3, 0.3, 0.3], [9, 4, 11]),
  ];
}

Deno.test("mergeEqualAnswers keeps the first of each, counts them, and leaves a group without any as it is", () => {
  const [mixed, equal] = groups();
  const merged = mergeEqualAnswers(mixed);
  assert.deepEqual(merged.answers_G, [A, B, C]);
  assert.deepEqual(merged.counts_G, [2, 2, 1]);
  assert.deepEqual([...merged.advantages_GK], [0.7, -1.2, 1]);
  assert.equal(merged.sampler_GT.length, 3);
  assert.equal(countSpoken(merged), 11);
  assert.deepEqual(mergeEqualAnswers(equal).counts_G, [5]);
  const different = group([A, B, C], [1, 2, 3], [1]);
  assert.equal(mergeEqualAnswers(different), different);
});

Deno.test("mergeEqualAnswers keeps apart what is credited differently, by answer or by part", () => {
  assert.equal(mergeEqualAnswers(group([A, A], [1, 2], [1])).counts_G, undefined);
  const parts = [Uint16Array.of(0, 0, 1, 1), Uint16Array.of(0, 0, 1, 1), Uint16Array.of(0, 0, 1, 1)];
  const credited = { ...group([A, A, A], [1, 2, 1, 2, 1, 3], [1]), parts_GT: parts };
  const merged = mergeEqualAnswers(credited);
  assert.deepEqual(merged.counts_G, [2, 1]);
  assert.deepEqual([...merged.advantages_GK], [1, 2, 1, 3]);
  assert.equal(merged.parts_GT!.length, 2);
});

Deno.test("tokenWeights: a row that stands for several answers weighs as much as they would", () => {
  const sampled = Uint8Array.of(1, 1, 0, 1, 0, 0), thrice = Uint8Array.of(1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0);
  for (const denominator of ["token-mean", "sequence-mean", "fixed-length"] as const) {
    const whole = tokenWeights(thrice, 4, denominator), merged = tokenWeights(sampled, 2, denominator, [1, 3]);
    assert.deepEqual([...merged.subarray(0, 3)], [...whole.subarray(0, 3)]);
    assert.ok(Math.abs(merged[3] - 3 * whole[3]) < 1e-7, denominator);
  }
});

Deno.test("spokenWeights: the fixed length divides, where it is longer than every answer", () => {
  const group: AnswerGroup = {
    question: Int32Array.of(0),
    answers_G: [Int32Array.of(1, 2), Int32Array.of(1, 2, 3)],
    advantages_GK: Float64Array.of(1, -1),
    sampler_GT: [],
  };
  const all = (weight: number) => new Array<number>(5).fill(Math.fround(weight));
  assert.deepEqual([...spokenWeights([group], "fixed-length", 10)[0]], all(1 / 20));
  assert.deepEqual([...spokenWeights([group], "fixed-length")[0]], all(1 / 6));
  const [merged] = spokenWeights([{ ...group, counts_G: [1, 3] }], "fixed-length", 10);
  assert.deepEqual(
    Array.from(merged, (x) => x.toFixed(6)),
    [1 / 40, 1 / 40, 3 / 40, 3 / 40, 3 / 40].map((x) => x.toFixed(6)),
  );
});
