/** A group's equal answers are computed once, counted as often as they were given: the same loss, divergence and gradient. */
import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { hiddenValueAndGrad } from "../../lib/models/checkpointed_gradient.ts";
import { type ObjectiveOptions, RELEASED_OBJECTIVE, tokenWeights } from "../../lib/train/objective.ts";
import { type AnswerGroup, countSpoken, mergeEqualAnswers, spokenWeights } from "../../lib/train/answer_groups.ts";
import { frozenLogProbabilities, predictingStates } from "../../lib/train/answer_states.ts";
import { policyLoss } from "../../lib/train/policy_loss.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { smallModel, take } from "../models/causal_transformer_support.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { trainedGroups } from "../support/trained_groups.ts";

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

async function lossAndGradients(model: CausalTransformer, some: AnswerGroup[], objective: ObjectiveOptions) {
  const options = { groupSize: 5, sharePrompt: true, ...objective, logitChunk: 7, temperature: 0.9 };
  const reference = smallModel(model.engine, {}, { seed: 6 });
  const trained = trainedGroups(some, spokenWeights(some, objective.denominator, 8), (group) => ({
    old_n: tidy(() => frozenLogProbabilities(reference, group, options).add(0.05)),
    reference_n: frozenLogProbabilities(reference, group, options),
  }));
  const { value, gradients, aux } = hiddenValueAndGrad(
    model,
    () => predictingStates(model, trained, options),
    (hidden) => policyLoss(model, hidden, trained, options),
  );
  const sums = await Promise.all([value, aux.kl, aux.clipped, aux.mismatch].map(async (each) => (await take(each))[0]));
  const read = await Promise.all(gradients.map(take));
  for (const { old_n, reference_n } of trained) [old_n!, reference_n!].forEach((numbers) => numbers.dispose());
  reference.dispose();
  return { sums: sums.map(Number), gradients: read };
}

forEachEngine("equal answers merged: the same loss, divergence, clip share, mismatch and gradient", async (engine) => {
  const model = smallModel(engine);
  for (const denominator of ["token-mean", "sequence-mean", "fixed-length"] as const) {
    for (const loss of ["dual-clip", "gspo", "cispo"]) {
      const objective = { ...RELEASED_OBJECTIVE, klCoefficient: 0.1, entropyCoefficient: 0.01, denominator, loss };
      const whole = await lossAndGradients(model, groups(), objective);
      const merged = await lossAndGradients(model, groups().map(mergeEqualAnswers), objective);
      assertClose(merged.sums, whole.sums, 1e-5, `${denominator} ${loss}: sums`);
      whole.gradients.forEach((each, i) =>
        assertClose(merged.gradients[i], each, 1e-5, `${denominator} ${loss}: gradient ${i}`)
      );
      assert.ok(whole.gradients.some((each) => each.some((x) => Math.abs(Number(x)) > 1e-3)), "no gradient at all");
    }
  }
  model.dispose();
});

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
