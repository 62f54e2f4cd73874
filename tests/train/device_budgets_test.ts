/**
 * What a step asks of an accelerator, counted on the pretended one: operators, kernels, calls of LibTorch, uploads, reads. The counts do
 * not depend on the machine or on a model's width, so they are asserted as upper budgets, and printed as a table. One that falls is
 * to be lowered here.
 *
 * Models have 12 layers and compute in bfloat16. Of sampling, a token is what one more token adds.
 */
import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { TokenizerTrainer } from "../../lib/train/frame_tokenizer_trainer.ts";
import { generate } from "../../lib/train/generation.ts";
import { GrpoTrainer } from "../../lib/train/grpo.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { rollout } from "../../lib/train/rollout.ts";
import {
  type CountingEngine,
  openCountingEngine,
  type StepCounts,
} from "../tensor/pretended_device/counting_engine.ts";
import { toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

/** Upper bounds of what each work may ask. */
const BUDGETS: Readonly<Record<string, StepCounts>> = {
  "rollout token": { operators: 350, kernels: 475, calls: 1786, uploads: 0, reads: 0 },
  "generate token": { operators: 353, kernels: 477, calls: 1801, uploads: 1 / 16, reads: 1 / 16 },
  "likelihood step": { operators: 566, kernels: 1902, calls: 3029, uploads: 3, reads: 1 },
  "GRPO update": { operators: 2340, kernels: 6469, calls: 10663, uploads: 5, reads: 1 },
  "tokenizer step": { operators: 384, kernels: 623, calls: 3001, uploads: 2, reads: 1 },
};

const LAYERS = 12, GROUP = 4;
/** Sampled tokens between two looks at them: what is counted covers whole ones. */
const TOKENS = 16;

const counting = await openCountingEngine().catch((error: Error) => error);
const measured = new Map<string, StepCounts>();

function budget(name: string, count: (engine: CountingEngine) => Promise<StepCounts>): void {
  const missing = counting instanceof Error ? counting.message.split("\n")[0] : undefined;
  Deno.test({
    name: missing === undefined ? `budget: ${name}` : `budget: ${name} (ignored: ${missing})`,
    ignore: missing !== undefined,
    sanitizeResources: false,
    async fn() {
      const counts = await count(counting as CountingEngine);
      measured.set(name, counts);
      for (const [kind, most] of Object.entries(BUDGETS[name])) {
        const number = counts[kind as keyof StepCounts];
        assert.ok(number <= most, `${name}: ${number} ${kind} are more than the budget of ${most}`);
      }
    },
  });
}

function model(engine: Engine): CausalTransformer {
  return toyModel(engine, 0, { hiddenSize: 16, layers: LAYERS, computeType: "bfloat16" });
}

/** What one more token costs: the difference of sampling many and few, divided. */
async function perToken(
  { counted }: CountingEngine,
  sample: (tokens: number) => Promise<unknown>,
): Promise<StepCounts> {
  const few = await counted(() => sample(TOKENS)), many = await counted(() => sample(3 * TOKENS));
  return Object.fromEntries(
    Object.entries(many).map(([kind, number]) => [kind, (number - few[kind as keyof StepCounts]) / (2 * TOKENS)]),
  ) as unknown as StepCounts;
}

const QUESTIONS = [Int32Array.of(1, 2, 3, 4, 8, 11), Int32Array.of(5, 6, 7, 0, 9, 11)];
const SAMPLING = { temperature: 1 };
const STREAM = [0, 0, 0] as const;

budget("rollout token", async (counting) => {
  const policy = model(counting.engine);
  const counts = await perToken(counting, (tokens) =>
    rollout(policy, {
      questions: QUESTIONS,
      plans: QUESTIONS.map(() => ({ tokens: new Int32Array(tokens), sampled: new Uint8Array(tokens).fill(1) })),
      groupSize: GROUP,
      sampling: SAMPLING,
      stream: STREAM,
    }));
  policy.dispose();
  return counts;
});

budget("generate token", async (counting) => {
  const policy = model(counting.engine);
  const counts = await perToken(counting, (maxTokens) =>
    generate(policy, {
      questions: QUESTIONS,
      groupSize: GROUP,
      maxTokens,
      // No token ends an answer.
      endTokens: [-1],
      sampling: SAMPLING,
      stream: STREAM,
    }));
  policy.dispose();
  return counts;
});

budget("likelihood step", async ({ engine, counted }) => {
  const policy = model(engine);
  const trainer = new LikelihoodTrainer(policy, {
    learningRate: 1e-3,
    warmupSteps: 0,
    weightDecay: 0.01,
    maxGradientNorm: 1,
    microBatch: 4,
    logitChunk: 64,
  });
  const batch = await toyWorld().encode(toyTransitions(1, 0, 4));
  // What is made once a model or shape is not a step's.
  await trainer.step(0, batch);
  const counts = await counted(() => trainer.step(1, batch));
  trainer.optimizer.dispose();
  policy.dispose();
  return counts;
});

budget("GRPO update", async (counting) => {
  const policy = model(counting.engine), reference = model(counting.engine);
  const world = toyWorld();
  // Rewards are there: what follows is the update.
  const error = world.metrics.error.compute;
  world.metrics.error.compute = async (predicted, truth) => {
    const scores = await error(predicted, truth);
    counting.reset();
    return scores;
  };
  const trainer = new GrpoTrainer(policy, reference, world, {
    groupSize: GROUP,
    miniBatchPrompts: 2,
    microBatchPrompts: 1,
    learningRate: 1e-3,
    logitChunk: 64,
    klCoefficient: 0.001,
    reward: [{ metric: "error", weight: 1 }],
    seed: 5,
  });
  await trainer.step(0, toyTransitions(3, 0, 2));
  const counts = await counting.counted(() => trainer.step(1, toyTransitions(3, 1, 2)));
  trainer.optimizer.dispose();
  for (const each of [policy, reference]) each.dispose();
  return counts;
});

budget("tokenizer step", async ({ engine, counted }) => {
  const tokenizer = FrameTokenizer.initialize(engine, {
    height: 16,
    width: 16,
    channels: [8, 8],
    downsamplings: 1,
    pixelPatch: 2,
    latentChannels: 4,
    normGroups: 4,
    fsqLevels: [4, 4],
  }, { seed: 0 });
  const frames = Uint8Array.from({ length: 2 * 16 * 16 * 3 }, (_, i) => (i * 37) % 251);
  const trainer = new TokenizerTrainer({
    tokenizer,
    frames: () => ({ frames, pixelWeights: new Float32Array(2 * 16 * 16).fill(1) }),
    config: { steps: 4, warmupSteps: 1, squaredErrorWeight: 0.5, latentSpreadWeight: 0.2, roundingWeight: 0.1 },
  });
  await trainer.step();
  const counts = await counted(() => trainer.step());
  trainer.dispose();
  tokenizer.dispose();
  return counts;
});

Deno.test({
  name: "every budget has been counted",
  ignore: counting instanceof Error,
  sanitizeResources: false,
  fn() {
    assert.deepEqual([...measured.keys()], Object.keys(BUDGETS));
    console.table(Object.fromEntries(measured));
  },
});
