/**
 * What the trainers give to whom, where `grpo_steps_test.ts` does not see it: adapters' reference, rate, temperature, what is
 * reported, types of products. Each is told by a number that is another where it is not given.
 */
import assert from "node:assert/strict";
import { toFloat32 } from "../../lib/io/safetensors.ts";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { toHost } from "../../lib/nn/parameters.ts";
import type { AnswerSampler } from "../../lib/train/answer_sampler.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import type { World } from "../../lib/worlds/world.ts";
import { replace } from "../support/config_fields.ts";
import { forEachEngine, onOneEngine } from "../support/engines.ts";
import {
  openToyWorld,
  TOY_GRPO,
  toyModel,
  type ToyTransition,
  toyTransitions,
  toyWorld,
} from "../support/toy_world.ts";

async function weightsOf(model: CausalTransformer): Promise<number[]> {
  return [...(await toHost(model.trainable)).values()].flatMap((each) => [...toFloat32(each)]);
}

forEachEngine("GrpoTrainer: with adapters the reference is the model without them, not the policy", async (engine) => {
  const divergences = async (reference: "without-adapters" | CausalTransformer) => {
    const policy = toyModel(engine);
    policy.attachAdapters({ rank: 4, alpha: 16, targets: "all-linear", seed: 3 });
    const trainer = new GrpoTrainer(policy, reference, toyWorld(), {
      ...TOY_GRPO,
      klCoefficient: 0.1,
      learningRate: 1e-2,
    });
    const kl: number[] = [];
    for (let step = 0; step < 3; step++) kl.push((await trainer.step(step, toyTransitions(3, step, 8))).kl!);
    trainer.optimizer.dispose();
    policy.dispose();
    return kl;
  };
  const base = toyModel(engine);
  const expected = await divergences(base), found = await divergences("without-adapters");
  assert.ok(expected[0] < 1e-6 && expected[2] > 1e-3, `it moves away from where it began: ${expected}`);
  found.forEach((kl, step) => assert.ok(Math.abs(kl - expected[step]) < 1e-5, `step ${step}: ${kl} ${expected[step]}`));
  base.dispose();
});

onOneEngine("GrpoTrainer: the rate stays and then falls linearly over the last steps", async (engine) => {
  const trained = async (step: number, change: Partial<GrpoOptions>) => {
    const model = toyModel(engine), trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...TOY_GRPO, ...change });
    await trainer.step(step, toyTransitions(3, step, 8));
    const weights = await weightsOf(model);
    trainer.optimizer.dispose();
    model.dispose();
    return weights;
  };
  // Over the last four of ten steps: 1, ¾, ½, ¼.
  for (const [step, share] of [[0, 1], [5, 1], [6, 1], [7, 0.75], [8, 0.5], [9, 0.25]]) {
    const found = await trained(step, { decaySteps: 4, steps: 10 });
    const expected = await trained(step, { learningRate: share * TOY_GRPO.learningRate });
    const difference = found.reduce((most, each, i) => Math.max(most, Math.abs(each - expected[i])), 0);
    assert.ok(difference < 1e-7, `step ${step}: ${difference}`);
  }
});

/** The answers 1 2 … n and the token that ends them, whatever is asked, of lengths that differ within a group. */
const countingAnswers: AnswerSampler = {
  followsPolicy: true,
  sample({ questions, groupSize }) {
    const answers = questions.flatMap(() =>
      Array.from(
        { length: groupSize },
        (_, g) => Int32Array.from({ length: 2 + g % 3 }, (_, t) => t < 1 + g % 3 ? t : 11),
      )
    );
    const logProbabilities = answers.map(() => undefined);
    return Promise.resolve({ answers, logProbabilities, ended: answers.map(() => true) });
  },
};

onOneEngine("GrpoTrainer: answers are drawn at the temperature at which the update knows them", async (engine) => {
  const step = async (temperature: number) => {
    const model = toyModel(engine),
      trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...TOY_GRPO, temperature });
    const metrics = await trainer.step(0, toyTransitions(3, 0, 8));
    trainer.optimizer.dispose();
    model.dispose();
    return metrics;
  };
  const warm = await step(1), cold = await step(0.1);
  assert.ok(cold.entropy < warm.entropy - 0.1, `${cold.entropy} at 0.1, ${warm.entropy} at 1`);
  assert.ok(cold.samplerMismatch < 1e-5, `${cold.samplerMismatch}`);
});

/** What an answer earns is how many numbers it has, and half as much counts against it: all of it at its end, not by its first token. */
function countingWorld(): World<ToyTransition, number[][]> {
  const open = openToyWorld(), parts = 2;
  const numbers = (factor: number) => (states: number[][]) =>
    Promise.resolve(Float32Array.from(states, (each) => factor * each.length));
  const atTheEnd = (factor: number) => async (states: number[][]) => ({
    values: await numbers(factor)(states),
    contributions: Float32Array.from(states.flatMap(({ length }) => [0, factor * length])),
  });
  return {
    ...open,
    answerParts: { count: parts, of: (answer) => Uint16Array.from(answer, (_, t) => Math.min(t, parts - 1)) },
    metrics: {
      numbers: { better: "higher", compute: numbers(1), computeParts: atTheEnd(1) },
      halves: { better: "lower", compute: numbers(0.5), computeParts: atTheEnd(0.5) },
    },
  };
}

onOneEngine(
  "GrpoTrainer: rewards, their parts and scales are what was chosen, and so is what it says of them",
  async (engine) => {
    // Eight answers of 1, 2, 3, 1, … numbers earn 3 · n − 2 · n / 2.
    const earned = Array.from({ length: 8 }, (_, g) => 2 * (1 + g % 3)), mean = 3.75;
    const std = Math.sqrt(earned.reduce((sum, each) => sum + (each - mean) ** 2, 0) / 7);
    const transitions = toyTransitions(3, 0, 2);
    for (const credit of ["answer", "part"] as const) {
      for (const [advantageScale, scale] of [["none", 1], ["group-std", std + 1e-6]] as const) {
        const model = toyModel(engine);
        const trainer = new GrpoTrainer(model, undefined, countingWorld(), {
          ...TOY_GRPO,
          reward: [{ metric: "numbers", weight: 3 }, { metric: "halves", weight: 2 }],
          ...{ credit, advantageScale },
        }, countingAnswers);
        const { sample, ...step } = await trainer.step(0, transitions), name = `${credit}, ${advantageScale}`;
        assert.ok(Math.abs(step.largestAdvantage - (6 - mean) / scale) < 1e-9, `${name}: ${step.largestAdvantage}`);
        assert.deepEqual([step.reward, step.bestReward], [mean, 6], name);
        assert.deepEqual(step.metrics, { numbers: 1.875, halves: 0.9375 }, name);
        const [{ before, shift }] = transitions;
        assert.deepEqual(sample.truth, [...before.map((x) => (x + shift) % 8), 11]);
        assert.deepEqual([sample.rewards, sample.answers.map(({ length }) => 2 * (length - 1))], [earned, earned]);
        sample.advantages.forEach((each, g) => assert.ok(Math.abs(each - (earned[g] - mean) / scale) < 1e-9, name));
        trainer.optimizer.dispose();
        model.dispose();
      }
    }
  },
);

forEachEngine(
  "trainers: every product is of the model's type, and checkpointing runs each block twice",
  async (engine) => {
    /** Types of the products of a step with a layer's weights, and of the head. */
    const productsOf = async (
      trains: "likelihood" | "grpo",
      computeType: "float32" | "bfloat16",
      checkpointing: boolean,
    ) => {
      const model = toyModel(engine, 0, { computeType }), world = toyWorld(), transitions = toyTransitions(3, 0, 8);
      const types: string[] = [], linear = engine.linear;
      using _ = replace(engine, "linear", (x, weight, bias) => {
        types.push(x.dtype);
        return linear.call(engine, x, weight, bias);
      });
      const trainer = trains === "likelihood"
        ? new LikelihoodTrainer(model, { ...TOY_GRPO, warmupSteps: 0, microBatch: 8, checkpointing })
        : new GrpoTrainer(model, undefined, world, { ...TOY_GRPO, checkpointing });
      if (trainer instanceof LikelihoodTrainer) await trainer.step(0, await world.encode(transitions));
      else await trainer.step(0, transitions);
      trainer.optimizer.dispose();
      model.dispose();
      return types;
    };
    for (const trains of ["likelihood", "grpo"] as const) {
      const once = await productsOf(trains, "float32", false), twice = await productsOf(trains, "float32", true);
      // Five products in each of two blocks: queries, keys and values are one.
      assert.equal(
        twice.length - once.length,
        10,
        `${trains}: ${once.length} products, ${twice.length} with checkpointing`,
      );
      if (!engine.supports("bfloat16")) continue;
      assert.deepEqual([...new Set(await productsOf(trains, "bfloat16", false))], ["bfloat16"], trains);
    }
  },
);
