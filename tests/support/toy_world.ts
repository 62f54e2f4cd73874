/**
 * A world that learns in seconds: an answer is L numbers, the truth is the question's numbers shifted by its action, and the
 * metrics compare answers with it. No network, no decoder; for tests of the training loops.
 */
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig } from "../../lib/models/transformer_config.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { Philox } from "../../lib/tensor/random.ts";
import type { GrpoOptions } from "../../lib/train/grpo_options.ts";
import { RELEASED_OBJECTIVE } from "../../lib/train/objective.ts";
import type { EncodedTransition, Metric, Tokens, World } from "../../lib/worlds/world.ts";

/** Numbers 0 … 7 before, and how far they are shifted. */
export interface ToyTransition {
  before: number[];
  shift: number;
}

const NUMBERS = 8, SHIFTS = 3, BEGIN = NUMBERS + SHIFTS;
const VOCABULARY = BEGIN + 1;

function shifted({ before, shift }: ToyTransition): number[] {
  return before.map((x) => (x + shift) % NUMBERS);
}

const metric = (better: "lower" | "higher", of: (p: number[], t: number[]) => number): Metric<number[][]> => ({
  better,
  compute: (predicted, truth) => Promise.resolve(Float32Array.from(predicted, (each, i) => of(each, truth[i]))),
});

/** @param given Positions of the answer that are given, not sampled. */
export function toyWorld(given: readonly number[] = []): World<ToyTransition, number[][]> {
  return {
    name: "toy",
    vocabularySize: VOCABULARY,
    metrics: {
      error: metric("lower", (p, t) => t.reduce((sum, x, i) => sum + (x === p[i] ? 0 : 1), 0) / t.length),
      distance: metric("lower", (p, t) => p.reduce((sum, x, i) => sum + Math.abs(x - t[i]), 0) / t.length),
      exact: metric("higher", (p, t) => p.every((x, i) => x === t[i]) ? 1 : 0),
    },
    encode: (transitions) =>
      Promise.resolve(transitions.map((each): EncodedTransition => {
        const tokens = Int32Array.from(shifted(each));
        const sampled = Uint8Array.from(tokens, (_, i) => given.includes(i) ? 0 : 1);
        return {
          question: Int32Array.of(...each.before, NUMBERS + each.shift, BEGIN),
          answer: { tokens, sampled },
          trainedQuestionTokens: 0,
        };
      })),
    decode: (answers: readonly Tokens[]) => Promise.resolve(answers.map((answer) => [...answer])),
    truth: (transitions) => Promise.resolve(transitions.map(shifted)),
    select: (states, places) => places.map((i) => states[i]),
  };
}

/** The toy world with answers as long as their questions, which end when the model says so. */
export function openToyWorld(): World<ToyTransition, number[][]> {
  const closed = toyWorld();
  return {
    ...closed,
    openAnswers: { endTokens: [BEGIN], maxTokens: 9 },
    async encode(transitions) {
      return (await closed.encode(transitions)).map(({ question, answer }) => {
        const tokens = Int32Array.of(...answer.tokens, BEGIN);
        return {
          question,
          answer: { tokens, sampled: new Uint8Array(tokens.length).fill(1) },
          trainedQuestionTokens: 0,
        };
      });
    },
    decode: (answers) => Promise.resolve(answers.map((answer) => [...answer].filter((token) => token !== BEGIN))),
  };
}

/** Transitions of a step. */
export function toyTransitions(
  seed: number,
  step: number,
  count: number,
  length: number | ((i: number) => number) = 4,
): ToyTransition[] {
  const random = new Philox(seed, 99, step);
  return Array.from({ length: count }, (_, i) => ({
    before: Array.from({ length: typeof length === "number" ? length : length(i) }, () => random.integer(0, NUMBERS)),
    shift: random.integer(0, SHIFTS),
  }));
}

/** A tiny transformer for the toy world. */
export function toyModel(
  engine: Engine,
  seed = 0,
  { computeType, ...size }: { hiddenSize?: number; layers?: number; computeType?: "float32" | "bfloat16" } = {},
): CausalTransformer {
  const config = transformerConfig({
    vocabularySize: VOCABULARY,
    hiddenSize: size.hiddenSize ?? 32,
    layers: size.layers ?? 2,
    heads: 2,
    feedForwardSize: 64,
    initializerRange: 0.08,
  });
  return CausalTransformer.initialize(engine, config, { seed, computeType });
}

/** A step of GRPO on eight prompts in one update, without a reference. */
export const TOY_GRPO = {
  groupSize: 8,
  miniBatchPrompts: 8,
  microBatchPrompts: 8,
  learningRate: 1e-3,
  weightDecay: 0,
  maxGradientNorm: 1,
  ...RELEASED_OBJECTIVE,
  klCoefficient: 0,
  reward: [{ metric: "error", weight: 1 }],
  logitChunk: 64,
  rolloutRows: 1024,
  scoreRows: 1024,
  seed: 5,
} satisfies GrpoOptions;
