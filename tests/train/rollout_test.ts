import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { rollout, type RolloutRequest } from "../../lib/train/rollout.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { forEachEngine } from "../support/engines.ts";
import { assertClose } from "../support/compare.ts";
import { toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

const PROMPTS = 5, GROUP = 3, LENGTH = 4;

async function request(given: number[] = [], change: Partial<RolloutRequest> = {}): Promise<RolloutRequest> {
  const encoded = await toyWorld(given).encode(toyTransitions(7, 0, PROMPTS));
  return {
    questions: encoded.map((each) => each.question),
    plans: encoded.map((each) => each.answer),
    groupSize: GROUP,
    sampling: { temperature: 1 },
    stream: [11, 6, 0],
    ...change,
  };
}

const lists = (answers: readonly Int32Array[]) => answers.map((each) => [...each]);

/** log softmax of a full forward pass: [P·G][T], for the sequences that were sampled. */
async function fullForward(model: CausalTransformer, { questions }: RolloutRequest, answers: readonly Int32Array[]) {
  const out: number[] = [];
  for (const [row, answer] of answers.entries()) {
    const sequence = Int32Array.of(...questions[Math.floor(row / GROUP)], ...answer);
    const logs = tidy(() =>
      model.logits(
        model.hidden(tensor(model.engine, sequence.subarray(0, -1), [1, sequence.length - 1], "int64"))
          .narrow(1, sequence.length - LENGTH - 1, LENGTH).reshape([LENGTH, -1]),
      ).logSoftmax()
    );
    const vocabulary = logs.shape[1], numbers = await logs.data();
    logs.dispose();
    answer.forEach((token, t) => out.push(Number(numbers[t * vocabulary + token])));
  }
  return out;
}

/** The answers drawn by hand: full forward passes, float64 sums on the host, and each sample's own stream of numbers. */
async function drawnByHand(model: CausalTransformer, { questions, stream }: RolloutRequest): Promise<number[][]> {
  const rows: number[][] = [];
  for (let row = 0; row < PROMPTS * GROUP; row++) {
    const prompt = Math.floor(row / GROUP), random = new Philox(...stream, prompt, row % GROUP);
    const sequence = [...questions[prompt]];
    for (let t = 0; t < LENGTH; t++) {
      const states = tidy(() => {
        const hidden = model.hidden(tensor(model.engine, Int32Array.from(sequence), [1, sequence.length], "int64"));
        return model.logits(hidden.narrow(1, sequence.length - 1, 1).reshape([1, -1]));
      });
      const weights = [...await states.data()].map((each) => Math.exp(Number(each)));
      states.dispose();
      let left = random.uniform() * weights.reduce((sum, each) => sum + each, 0);
      sequence.push(weights.findIndex((each) => (left -= each) < 0));
    }
    rows.push(sequence.slice(-LENGTH));
  }
  return rows;
}

forEachEngine(
  "rollout: tokens are drawn from the model's distribution with each sample's own numbers",
  async (engine) => {
    const model = toyModel(engine, 3), asked = await request();
    const drawn = lists((await rollout(model, asked)).answers);
    assert.deepEqual(drawn, await drawnByHand(model, asked));
    assert.deepEqual(drawn.slice(0, 2), [[1, 8, 0, 9], [0, 9, 9, 9]], "on every engine the same");
    const other = await rollout(model, { ...asked, stream: [12, 6, 0] });
    assert.notDeepEqual(lists(other.answers), drawn);
    model.dispose();
  },
);

forEachEngine("rollout: log-probabilities are those of a full forward pass", async (engine) => {
  const model = toyModel(engine, 3), asked = await request();
  const { answers, logProbabilities } = await rollout(model, asked);
  assertClose(logProbabilities, await fullForward(model, asked, answers), 1e-5, "log p");
  model.dispose();
});

forEachEngine("rollout: given tokens are fed, not drawn", async (engine) => {
  const model = toyModel(engine, 3), asked = await request([1, 3]);
  const { answers, logProbabilities } = await rollout(model, asked);
  const full = await fullForward(model, asked, answers);
  answers.forEach((answer, row) => {
    const truth = asked.plans[Math.floor(row / GROUP)].tokens;
    assert.deepEqual([answer[1], answer[3]], [truth[1], truth[3]]);
    assert.deepEqual([logProbabilities[row * LENGTH + 1], logProbabilities[row * LENGTH + 3]], [0, 0]);
    // Token 2 was drawn after the given token 1 had been read.
    assert.ok(Math.abs(logProbabilities[row * LENGTH + 2] - full[row * LENGTH + 2]) < 1e-4);
  });
  model.dispose();
});

forEachEngine("rollout: an answer does not depend on which others are drawn with it", async (engine) => {
  const model = toyModel(engine, 3), asked = await request();
  const whole = lists((await rollout(model, asked)).answers);
  // In pieces of at most so many rows; a group is never split.
  for (const maxRows of [1, 6, 7]) {
    assert.deepEqual(lists((await rollout(model, { ...asked, maxRows })).answers), whole, `maxRows ${maxRows}`);
  }
  // Some prompts alone, in another order, under their own numbers.
  const chosen = [4, 1];
  const some = await rollout(model, {
    ...asked,
    questions: chosen.map((p) => asked.questions[p]),
    plans: chosen.map((p) => asked.plans[p]),
    promptNumbers: chosen,
  });
  assert.deepEqual(lists(some.answers), chosen.flatMap((p) => whole.slice(p * GROUP, (p + 1) * GROUP)));
  // The third sample of each group alone, and a group that goes on after it.
  const third = await rollout(model, { ...asked, groupSize: 1, firstSample: 2 });
  assert.deepEqual(lists(third.answers), whole.filter((_, row) => row % GROUP === 2));
  const further = lists((await rollout(model, { ...asked, groupSize: 2, firstSample: GROUP })).answers);
  const larger = lists((await rollout(model, { ...asked, groupSize: GROUP + 2 })).answers);
  assert.deepEqual(further, larger.filter((_, row) => row % (GROUP + 2) >= GROUP));
  model.dispose();
});

forEachEngine("rollout: greedy answers of a group are one answer; memory is given back", async (engine) => {
  const model = toyModel(engine, 3), asked = await request([], { sampling: { temperature: 0 } });
  const { tensors } = await warm(engine, model, asked);
  const { answers, logProbabilities } = await rollout(model, asked);
  for (let row = 0; row < answers.length; row++) assert.deepEqual(answers[row], answers[row - row % GROUP]);
  assert.ok(logProbabilities.every((each) => each === 0));
  assert.equal(engine.memory().tensors, tensors);
  model.dispose();
});

async function warm(engine: Engine, model: CausalTransformer, asked: RolloutRequest) {
  await rollout(model, asked);
  return engine.memory();
}

forEachEngine("rollout: batches of unequal form are refused by name", async (engine) => {
  const model = toyModel(engine, 3), asked = await request();
  const questions = [...asked.questions.slice(0, 4), asked.questions[4].subarray(1)];
  await assert.rejects(
    rollout(model, { ...asked, questions }),
    /questions of one batch must have one length: number 4 has 5 tokens, number 0 6/,
  );
  const plans = [...asked.plans.slice(0, 4), { ...asked.plans[4], sampled: Uint8Array.of(1, 1, 1, 0) }];
  await assert.rejects(rollout(model, { ...asked, plans }), /that of number 4 differs from number 0/);
  await assert.rejects(rollout(model, { ...asked, plans: [] }), /as many questions as plans: received 5 and 0/);
  model.dispose();
});
