/**
 * What the trainer gives to whom: reference, rate, denominator, old log-probabilities. Each is told by a number that is another where
 * it is not given.
 */
import assert from "node:assert/strict";
import { toFloat32 } from "../../lib/files/safetensors.ts";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { toHost } from "../../lib/nn/parameters.ts";
import type { AnswerSampler } from "../../lib/rl/answer_sampler.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/rl/grpo.ts";
import { RELEASED_OBJECTIVE } from "../../lib/rl/objective.ts";
import { type AnswerGroup, spokenWeights } from "../../lib/rl/policy_loss.ts";
import type { World } from "../../lib/worlds/world.ts";
import { forEachEngine } from "../support/engines.ts";
import { openToyWorld, toyModel, type ToyTransition, toyTransitions, toyWorld } from "../support/toy_world.ts";

const OPTIONS: GrpoOptions = {
  groupSize: 8,
  miniBatchPrompts: 8,
  microBatchPrompts: 8,
  epochs: 1,
  learningRate: 1e-3,
  weightDecay: 0,
  maxGradientNorm: 1,
  objective: { ...RELEASED_OBJECTIVE, klCoefficient: 0 },
  advantageScale: "group-std",
  dropEqualGroups: false,
  reward: [{ metric: "error", weight: 1 }],
  alsoMeasured: [],
  temperature: 1,
  sharePrompt: true,
  logitChunk: 64,
  rolloutRows: 1024,
  scoreRows: 1024,
  seed: 5,
};

async function weightsOf(model: CausalTransformer): Promise<number[]> {
  return [...(await toHost(model.trainable)).values()].flatMap((each) => [...toFloat32(each)]);
}

forEachEngine("GrpoTrainer: with adapters the reference is the model without them, not the policy", async (engine) => {
  const objective = { ...OPTIONS.objective, klCoefficient: 0.1 };
  const divergences = async (reference: "without-adapters" | CausalTransformer) => {
    const policy = toyModel(engine);
    policy.attachAdapters({ rank: 4, alpha: 16, targets: "all-linear", seed: 3 });
    const trainer = new GrpoTrainer(policy, reference, toyWorld(), { ...OPTIONS, objective, learningRate: 1e-2 });
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

forEachEngine("GrpoTrainer: the rate stays and then falls linearly over the last steps", async (engine) => {
  const trained = async (step: number, change: Partial<GrpoOptions>) => {
    const model = toyModel(engine), trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...OPTIONS, ...change });
    await trainer.step(step, toyTransitions(3, step, 8));
    const weights = await weightsOf(model);
    trainer.optimizer.dispose();
    model.dispose();
    return weights;
  };
  // Over the last four of ten steps: 1, ¾, ½, ¼.
  for (const [step, share] of [[0, 1], [5, 1], [6, 1], [7, 0.75], [8, 0.5], [9, 0.25]]) {
    const found = await trained(step, { decay: { steps: 4, totalSteps: 10 } });
    const expected = await trained(step, { learningRate: share * OPTIONS.learningRate });
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

forEachEngine(
  "GrpoTrainer: a fixed length is the longest that an answer may be, not the longest that was given",
  async (engine) => {
    const step = async (maxTokens: number, denominator: "fixed-length" | "token-mean") => {
      const model = toyModel(engine), open = openToyWorld();
      const world: World<ToyTransition, number[][]> = {
        ...open,
        openAnswers: { ...open.openAnswers!, maxTokens },
        metrics: {
          length: {
            better: "higher",
            compute: (states) => Promise.resolve(Float32Array.from(states, (s) => s.length)),
          },
        },
      };
      const trainer = new GrpoTrainer(model, undefined, world, {
        ...OPTIONS,
        objective: { ...OPTIONS.objective, denominator },
        reward: [{ metric: "length", weight: 1 }],
      }, countingAnswers);
      const { gradientNorm } = await trainer.step(0, toyTransitions(3, 0, 8));
      trainer.optimizer.dispose();
      model.dispose();
      return gradientNorm;
    };
    const once = await step(9, "fixed-length"), twice = await step(18, "fixed-length");
    assert.ok(Math.abs(once / twice - 2) < 1e-4, `${once} ${twice}`);
    assert.equal(await step(9, "token-mean"), await step(18, "token-mean"));
  },
);

Deno.test("spokenWeights: the fixed length divides, where it is longer than every answer", () => {
  const group: AnswerGroup = {
    question: Int32Array.of(0),
    answers: [Int32Array.of(1, 2), Int32Array.of(1, 2, 3)],
    advantages: Float64Array.of(1, -1),
    sampler: [],
  };
  const all = (weight: number) => new Array<number>(5).fill(Math.fround(weight));
  assert.deepEqual([...spokenWeights([group], "fixed-length", 10)], all(1 / 20));
  assert.deepEqual([...spokenWeights([group], "fixed-length")], all(1 / 6));
  assert.deepEqual([...spokenWeights([{ ...group, counts: [1, 3] }], "fixed-length", 10)].map((x) => x.toFixed(6)), [
    ...[1 / 40, 1 / 40, 3 / 40, 3 / 40, 3 / 40].map((x) => x.toFixed(6)),
  ]);
});

forEachEngine(
  "GrpoTrainer: the ratio of a second update is to what was sampled, however few updates there are",
  async (engine) => {
    const step = async (change: Partial<GrpoOptions>) => {
      const model = toyModel(engine);
      const trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...OPTIONS, learningRate: 3e-2, ...change });
      const { clipShare, loss } = await trainer.step(0, toyTransitions(3, 0, 8));
      trainer.optimizer.dispose();
      model.dispose();
      return { clipShare, loss };
    };
    assert.equal((await step({})).clipShare, 0, "one update is of what was sampled");
    for (const change of [{ miniBatchPrompts: 4 }, { epochs: 2 }, { epochs: 3 }, { miniBatchPrompts: 4, epochs: 2 }]) {
      const { clipShare, loss } = await step(change);
      assert.ok(clipShare > 0.05 && Math.abs(loss) > 1e-3, `${JSON.stringify(change)}: ${clipShare} ${loss}`);
    }
  },
);
