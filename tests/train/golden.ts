/** The trainings whose losses are golden: a tiny model on the toy world, three steps each. */
import { join } from "node:path";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { type GrpoMetrics, type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { type LikelihoodMetrics, LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { toyTransitions, toyWorld } from "../support/toy_world.ts";

export const FIXTURES = join(import.meta.dirname!, "fixtures");
export const STEPS = 3;

export const LIKELIHOOD = {
  learningRate: 3e-3,
  warmupSteps: 2,
  weightDecay: 0.1,
  maxGradientNorm: 0.5,
  microBatch: 4,
  logitChunk: 13,
};

export const GRPO: GrpoOptions = {
  groupSize: 4,
  miniBatchPrompts: 2,
  microBatchPrompts: 2,
  epochs: 2,
  learningRate: 1e-2,
  weightDecay: 0.01,
  maxGradientNorm: 0.5,
  loss: "dual-clip",
  clipLow: 0.1,
  clipHigh: 0.2,
  dualClip: 1.1,
  kl: "k3",
  klCoefficient: 0.1,
  entropyCoefficient: 0.01,
  denominator: "token-mean",
  advantageScale: "group-std",
  dropEqualGroups: false,
  reward: [{ metric: "error", weight: 1 }],
  alsoMeasured: [],
  temperature: 1,
  sharePrompt: true,
  logitChunk: 13,
  rolloutRows: 1024,
  scoreRows: 1024,
  seed: 5,
};

const LIKELIHOOD_BATCH = 10, PROMPTS = 4;

/** Question, then answer, of each sequence of each step. */
export async function likelihoodBatches() {
  const world = toyWorld();
  return await Promise.all(
    Array.from({ length: STEPS }, (_, step) => world.encode(toyTransitions(1, step, LIKELIHOOD_BATCH))),
  );
}

export async function trainLikelihood(model: CausalTransformer): Promise<LikelihoodMetrics[]> {
  const trainer = new LikelihoodTrainer(model, LIKELIHOOD), metrics: LikelihoodMetrics[] = [];
  for (const [step, batch] of (await likelihoodBatches()).entries()) metrics.push(await trainer.step(step, batch));
  trainer.optimizer.dispose();
  return metrics;
}

/** What the answers of each step were, beside what the trainer says. */
export async function trainGrpo(
  model: CausalTransformer,
  reference: CausalTransformer,
  change: Partial<GrpoOptions> = {},
): Promise<{ metrics: GrpoMetrics[]; answers: number[][][] }> {
  const plain = toyWorld(), answers: number[][][] = [], metrics: GrpoMetrics[] = [];
  const world: typeof plain = {
    ...plain,
    decode: (some, transitions) => {
      answers.push(some.map((each) => [...each]));
      return plain.decode(some, transitions);
    },
  };
  const trainer = new GrpoTrainer(model, reference, world, { ...GRPO, ...change });
  for (let step = 0; step < STEPS; step++) {
    metrics.push(await trainer.step(step, toyTransitions(2, step, PROMPTS)));
  }
  trainer.optimizer.dispose();
  return { metrics, answers };
}

/** The questions and true answers of each GRPO step. */
export async function grpoPrompts() {
  const world = toyWorld();
  return await Promise.all(Array.from({ length: STEPS }, (_, step) => world.encode(toyTransitions(2, step, PROMPTS))));
}

export async function goldenModel(engine: Engine, name: "policy" | "reference"): Promise<CausalTransformer> {
  return await CausalTransformer.load(engine, join(FIXTURES, `golden_${name}`));
}
