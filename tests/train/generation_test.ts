import assert from "node:assert/strict";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig } from "../../lib/models/transformer_config.ts";
import { tokenLogProbabilities } from "../../lib/nn/log_probabilities.ts";
import type { SamplingOptions } from "../../lib/nn/sampling.ts";
import { generate, type GenerationRequest } from "../../lib/train/generation.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

const VOCABULARY = 11, END = 4;
const QUESTIONS = [[1, 2, 3, 5, 6], [7], [8, 9, 1, 0, 2, 5, 3]].map((each) => Int32Array.from(each));

const model = (engine: Engine) =>
  CausalTransformer.initialize(
    engine,
    transformerConfig({
      vocabularySize: VOCABULARY,
      hiddenSize: 16,
      layers: 2,
      heads: 2,
      feedForwardSize: 32,
      initializerRange: 0.25,
    }),
    { seed: 1 },
  );

const REQUEST: GenerationRequest = {
  questions: QUESTIONS,
  groupSize: 4,
  endTokens: [END],
  maxTokens: 40,
  sampling: {},
  stream: [7, 1, 0],
};

/** log p of an answer's tokens, one whole sequence at a time, under the tempered, unfiltered distribution. */
function logProbabilities(network: CausalTransformer, question: Int32Array, answer: Int32Array, temperature = 1) {
  return tidy(() => {
    const whole = Int32Array.of(...question, ...answer.subarray(0, answer.length - 1));
    const hidden = network.hidden(tensor(network.engine, whole, [1, whole.length]))
      .narrow(1, question.length - 1, answer.length).reshape([answer.length, -1]);
    return tokenLogProbabilities(hidden, network.head, tensor(network.engine, answer), { temperature })
      .logProbabilities;
  });
}

forEachEngine("generate: answers end, log-probabilities are the model's, all engines alike", async (engine) => {
  const network = model(engine);
  const { answers, logProbabilities: drawn, ended } = await generate(network, REQUEST);
  assert.equal(answers.length, 12);
  assert.ok(new Set(answers.map((each) => each.length)).size > 4, "lengths differ, so samples left the batch");
  for (const [row, answer] of answers.entries()) {
    assert.equal(answer.indexOf(END), ended[row] ? answer.length - 1 : -1);
    assert.ok(ended[row] || answer.length === 40);
    const wanted = logProbabilities(network, QUESTIONS[Math.floor(row / 4)], answer);
    assertClose(drawn[row], await wanted.data(), 1e-4, `answer ${row}`);
    wanted.dispose();
  }
  assert.equal(answers.slice(0, 6).map((each) => each.join(" ")).join(" | "), GOLDEN);
  network.dispose();
});

forEachEngine("generate: an answer does not depend on what else is sampled", async (engine) => {
  const network = model(engine);
  const together = await generate(network, REQUEST);
  const inPieces = await generate(network, { ...REQUEST, maxRows: 4 });
  assert.deepEqual(inPieces.answers, together.answers);
  const alone = await generate(network, {
    ...REQUEST,
    questions: [QUESTIONS[2]],
    promptNumbers: [2],
    groupSize: 1,
    firstSample: 3,
  });
  assert.deepEqual(alone.answers[0], together.answers[11]);
  network.dispose();
});

forEachEngine("generate: greedy takes the likeliest token each time; memory comes back", async (engine) => {
  const network = model(engine), before = engine.memory().tensors;
  const { answers } = await generate(network, { ...REQUEST, groupSize: 1, sampling: { greedy: true }, maxTokens: 12 });
  assert.equal(engine.memory().tensors, before);
  for (const [p, answer] of answers.entries()) {
    const tokens = [...QUESTIONS[p]];
    for (const token of answer) {
      const likeliest = tidy(() => {
        const hidden = network.hidden(tensor(engine, Int32Array.from(tokens), [1, tokens.length]));
        return network.logits(hidden.narrow(1, tokens.length - 1, 1).reshape([1, -1])).argmax(-1);
      });
      assert.equal(token, Number((await likeliest.data())[0]));
      likeliest.dispose();
      tokens.push(token);
    }
  }
  network.dispose();
});

forEachEngine("generate: a repetition penalty, as transformers' processor computes it", async (engine) => {
  const network = model(engine);
  const sampling: SamplingOptions = { greedy: true, repetitionPenalty: 1.8 };
  const { answers } = await generate(network, { ...REQUEST, groupSize: 1, sampling, maxTokens: 9, endTokens: [99] });
  const repeats = (tokens: Int32Array) => tokens.length - new Set(tokens).size;
  const plain = await generate(network, {
    ...REQUEST,
    groupSize: 1,
    sampling: { greedy: true },
    maxTokens: 9,
    endTokens: [99],
  });
  const count = (all: Int32Array[]) => all.reduce((sum, each) => sum + repeats(each), 0);
  assert.ok(count(answers) < count(plain.answers), `${count(answers)} < ${count(plain.answers)}`);
  for (const [p, answer] of answers.entries()) {
    const tokens = [...QUESTIONS[p]];
    for (const token of answer) {
      const raw = tidy(() => {
        const hidden = network.hidden(tensor(engine, Int32Array.from(tokens), [1, tokens.length]));
        return network.logits(hidden.narrow(1, tokens.length - 1, 1).reshape([1, -1]));
      });
      const logits = [...await raw.data() as Float32Array];
      raw.dispose();
      for (const seen of new Set(tokens)) logits[seen] = logits[seen] > 0 ? logits[seen] / 1.8 : logits[seen] * 1.8;
      assert.equal(token, logits.indexOf(Math.max(...logits)));
      tokens.push(token);
    }
  }
  network.dispose();
});

Deno.test("generate: bad input", async () => {
  const { openEngine } = await import("../../lib/tensor/registry.ts");
  const { engine } = await openEngine({ engine: "wasm" });
  const network = model(engine);
  const bad = (change: Partial<GenerationRequest>) => generate(network, { ...REQUEST, ...change });
  await assert.rejects(() => bad({ questions: [] }), /at least one question/);
  await assert.rejects(() => bad({ groupSize: 0 }), /groupSize must be at least 1: received 0/);
  await assert.rejects(() => bad({ maxTokens: 1.5 }), /maxTokens must be at least 1: received 1.5/);
  await assert.rejects(() => bad({ endTokens: [] }), /endTokens/);
  await assert.rejects(
    () => bad({ sampling: { repetitionPenalty: 0 } }),
    /repetitionPenalty must be above 0: received 0/,
  );
  await assert.rejects(() => bad({ questions: [new Int32Array(8192)] }), /8192 tokens leaves no room/);
  network.dispose();
  engine.close();
});

// What every engine drew when this was written.
const GOLDEN =
  "6 10 9 2 6 9 0 8 7 4 | 0 2 8 5 4 | 6 0 6 6 8 6 4 | 2 9 7 5 2 2 5 0 4 | 1 0 2 5 2 2 4 | 10 8 1 8 9 1 6 9 1 10 2 8 8 0 8 10 5 0 4";
