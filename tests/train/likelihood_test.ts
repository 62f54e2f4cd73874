import assert from "node:assert/strict";
import { toFloat32 } from "../../lib/io/safetensors.ts";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { toHost } from "../../lib/nn/parameters.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { full } from "../../lib/tensor/tensor.ts";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import { type LikelihoodOptions, LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

const OPTIONS: LikelihoodOptions = {
  learningRate: 1e-3,
  warmupSteps: 4,
  weightDecay: 0,
  maxGradientNorm: 1,
  microBatch: 16,
  logitChunk: 64,
};

const batch = async (step = 0, given: number[] = []) => await toyWorld(given).encode(toyTransitions(1, step, 16));

async function weights(model: CausalTransformer): Promise<Map<string, Float32Array>> {
  return new Map([...await toHost(model.parameters)].map(([name, each]) => [name, toFloat32(each)]));
}

forEachEngine(
  "LikelihoodTrainer: 1 × 16 = 4 × 4 micro-batches, and uneven ones, whatever the chunk",
  async (engine) => {
    const run = async (change: Partial<LikelihoodOptions>) => {
      const model = toyModel(engine), trainer = new LikelihoodTrainer(model, { ...OPTIONS, ...change });
      const { loss, gradientNorm } = await trainer.step(0, await batch());
      trainer.optimizer.dispose();
      model.dispose();
      return { loss, gradientNorm };
    };
    const whole = await run({});
    for (const change of [{ microBatch: 4 }, { microBatch: 5 }, { microBatch: 4, logitChunk: 3 }]) {
      const { loss, gradientNorm } = await run(change), text = JSON.stringify(change);
      assert.ok(Math.abs(loss - whole.loss) < 1e-6 * whole.loss, `${text}: loss ${loss}, ${whole.loss}`);
      assert.ok(
        Math.abs(gradientNorm - whole.gradientNorm) < 1e-5 * whole.gradientNorm,
        `${text}: norm ${gradientNorm}, ${whole.gradientNorm}`,
      );
    }
  },
);

forEachEngine("LikelihoodTrainer: warm-up, tokens, and the loss of an evaluation", async (engine) => {
  const model = toyModel(engine), trainer = new LikelihoodTrainer(model, OPTIONS);
  const rates: number[] = [];
  for (let step = 0; step < 6; step++) {
    const before = await trainer.evaluate(await batch(step));
    const { loss, learningRate, tokens } = await trainer.step(step, await batch(step));
    assert.ok(Math.abs(before - loss) < 1e-6 * loss, `${before} ${loss}`);
    assert.equal(tokens, 16 * (6 + 4));
    rates.push(learningRate);
  }
  assert.deepEqual(rates, [0.00025, 0.0005, 0.00075, 0.001, 0.001, 0.001]);
  trainer.optimizer.dispose();
  model.dispose();
});

forEachEngine("LikelihoodTrainer: given tokens are not trained, a question's trained end is", async (engine) => {
  const model = toyModel(engine), trainer = new LikelihoodTrainer(model, OPTIONS);
  const all = await batch(), some = await batch(0, [1, 2]);
  const longer = all.map((each) => ({ ...each, trainedQuestionTokens: 1 }));
  // The mean over 4 tokens is made of that over 2 of them and that over the other 2.
  const rest = await batch(0, [0, 3]);
  const [whole, first, second] = [
    await trainer.evaluate(all),
    await trainer.evaluate(some),
    await trainer.evaluate(rest),
  ];
  assert.ok(Math.abs(whole - (first + second) / 2) < 1e-5, `${whole} ${first} ${second}`);
  const ofFive = await trainer.evaluate(longer), question = 5 * ofFive - 4 * whole;
  assert.ok(Number.isFinite(question) && Math.abs(ofFive - whole) > 1e-4, "the question's last token counts");
  trainer.optimizer.dispose();
  model.dispose();
});

forEachEngine("LikelihoodTrainer: a poisoned weight stops it, and nothing is changed or kept", async (engine) => {
  const model = toyModel(engine), trainer = new LikelihoodTrainer(model, OPTIONS);
  await trainer.step(0, await batch());
  const bad = model.parameters.get("model.norm.weight")!;
  tidy(() => bad.assign(full(engine, bad.shape, NaN)));
  const before = await weights(model), { tensors } = engine.memory();
  await assert.rejects(
    async () => await trainer.step(1, await batch(1)),
    (error: Error) =>
      error instanceof TrainingDivergedError && error.step === 1 &&
      /^the likelihood loss is NaN at step 1: training stopped and the last checkpoint was kept/.test(error.message),
  );
  assert.deepEqual(await weights(model), before);
  assert.equal(trainer.optimizer.stepCount, 1);
  assert.equal(engine.memory().tensors, tensors);
  trainer.optimizer.dispose();
  model.dispose();
});

forEachEngine(
  "LikelihoodTrainer: a gradient that is exactly 0 ends it while there is something to learn",
  async (engine) => {
    const model = toyModel(engine), trainer = new LikelihoodTrainer(model, OPTIONS);
    for (const name of ["model.norm.weight", "lm_head.weight"]) {
      const parameter = model.parameters.get(name)!;
      tidy(() => parameter.assign(full(engine, parameter.shape, 0)));
    }
    await assert.rejects(
      async () => await trainer.step(4, await batch(1)),
      /^TrainingDivergedError: the gradient norm is 0 at step 4: training stopped and the last checkpoint was kept/,
    );
    assert.equal(trainer.optimizer.stepCount, 0);
    trainer.optimizer.dispose();
    model.dispose();
  },
);

forEachEngine(
  "LikelihoodTrainer: sequences of several lengths count by their tokens; checkpointing changes nothing",
  async (engine) => {
    const sequences = await batch();
    for (const [i, cut] of [[3, 1], [7, 3], [9, 2]]) {
      const { question, answer } = sequences[i];
      sequences[i] = {
        ...sequences[i],
        question: question.subarray(cut),
        answer: { tokens: answer.tokens.subarray(0, 4 - cut), sampled: answer.sampled.subarray(0, 4 - cut) },
      };
    }
    const model = toyModel(engine), reader = new LikelihoodTrainer(model, OPTIONS);
    let sum = 0, tokens = 0;
    for (const each of sequences) {
      sum += await reader.evaluate([each]) * each.answer.tokens.length;
      tokens += each.answer.tokens.length;
    }
    reader.optimizer.dispose();
    model.dispose();
    const run = async (change: Partial<LikelihoodOptions>) => {
      const model = toyModel(engine), trainer = new LikelihoodTrainer(model, { ...OPTIONS, ...change });
      const metrics = await trainer.step(0, sequences);
      const result = { metrics, weights: await weights(model) };
      trainer.optimizer.dispose();
      model.dispose();
      return result;
    };
    const plain = await run({});
    assert.ok(Math.abs(plain.metrics.loss - sum / tokens) < 1e-5, `${plain.metrics.loss} ${sum / tokens}`);
    for (const change of [{ microBatch: 5 }, { checkpointing: true }]) {
      const { metrics, weights: changed } = await run(change);
      assert.ok(Math.abs(metrics.gradientNorm - plain.metrics.gradientNorm) < 1e-5 * plain.metrics.gradientNorm);
      for (const [name, numbers] of changed) assertClose(numbers, plain.weights.get(name)!, 1e-4, name);
    }
  },
);
