/** Training and sampling a transformer with this library; `reference/models.py` does the same work in PyTorch. */
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { type TransformerConfig, transformerConfig } from "../../lib/models/transformer_config.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import { RELEASED_OBJECTIVE } from "../../lib/train/objective.ts";
import { rollout } from "../../lib/train/rollout.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import type { EncodedTransition, Tokens, World } from "../../lib/worlds/world.ts";
import type { CaseSizes } from "../case.ts";
import { hashedTokens } from "../numbers.ts";
import { seconds } from "./clock.ts";
import type { Prepare } from "./work.ts";

/** Tokens whose logits exist at once. */
const LOGIT_CHUNK = 512;
/** Small enough that the loss stays where it is; its size changes nothing in the work. */
const LEARNING_RATE = 1e-5;

/** The sizes of a case as the transformer's configuration names them. */
export function modelSizes(sizes: CaseSizes) {
  const { vocabulary, width, layers, heads, keyValueHeads = heads, inner } = sizes as Record<string, number>;
  return {
    architecture: (sizes.architecture ?? "llama") as TransformerConfig["architecture"],
    vocabularySize: vocabulary,
    hiddenSize: width,
    layers,
    heads,
    keyValueHeads,
    feedForwardSize: inner,
  };
}

/** Makes the model and writes it where the other side loads it from. */
export async function sharedModel(engine: Engine, sizes: CaseSizes, folder: string): Promise<CausalTransformer> {
  const model = CausalTransformer.initialize(engine, transformerConfig(modelSizes(sizes)), { seed: 0 });
  await model.save(folder);
  return model;
}

function encoded(question: Tokens, answer: Tokens): EncodedTransition {
  return {
    question,
    answer: { tokens: answer, sampled: new Uint8Array(answer.length).fill(1) },
    trainedQuestionTokens: 0,
  };
}

/** Every token but the first is trained. */
const likelihood: Prepare = async (engine, sizes, folder) => {
  const { rows, length, vocabulary } = sizes as Record<string, number>;
  const model = await sharedModel(engine, sizes, folder);
  const trainer = new LikelihoodTrainer(model, {
    learningRate: LEARNING_RATE,
    warmupSteps: 0,
    weightDecay: 0,
    maxGradientNorm: 1,
    microBatch: rows,
    logitChunk: LOGIT_CHUNK,
  });
  const batch = Array.from({ length: rows }, (_, row) => {
    const sequence = hashedTokens(length + 1, row, vocabulary);
    return encoded(sequence.slice(0, 1), sequence.slice(1));
  });
  let step = 0;
  const first = await trainer.step(step++, batch);
  return {
    run: async () => void await trainer.step(step++, batch),
    check: () => Promise.resolve(first.gradientNorm),
    dispose: () => model.dispose(),
  };
};

/**
 * A world without pixels: prompts are hashes, and the reward is the mean of the answer's tokens.
 *
 * @param onReward Called when rewards are asked for: between a step's rollout and its update.
 */
export function hashWorld(sizes: CaseSizes, onReward: () => void = () => {}): World<number, readonly Tokens[]> {
  const { promptLength, answerLength, vocabulary } = sizes as Record<string, number>;
  return {
    name: "hash",
    vocabularySize: vocabulary,
    metrics: {
      mean: {
        better: "higher",
        compute: (answers) => {
          onReward();
          return Promise.resolve(
            Float32Array.from(answers, (each) => each.reduce((sum, x) => sum + x, 0) / each.length),
          );
        },
      },
    },
    encode: (prompts) =>
      Promise.resolve(
        prompts.map((p) =>
          encoded(hashedTokens(promptLength, p, vocabulary), hashedTokens(answerLength, 1000 + p, vocabulary))
        ),
      ),
    decode: (answers) => Promise.resolve(answers),
    truth: (prompts) => Promise.resolve(prompts.map(() => new Int32Array(answerLength))),
    select: (states, places) => places.map((i) => states[i]),
  };
}

/** One update a step, without a reference. */
export function updateOptions(sizes: CaseSizes): GrpoOptions {
  const prompts = sizes.prompts as number, groupSize = sizes.group as number;
  return {
    groupSize,
    miniBatchPrompts: prompts,
    microBatchPrompts: prompts,
    epochs: 1,
    learningRate: LEARNING_RATE,
    weightDecay: 0,
    maxGradientNorm: 1,
    ...RELEASED_OBJECTIVE,
    kl: "none",
    klCoefficient: 0,
    advantageScale: "group-std",
    dropEqualGroups: false,
    reward: [{ metric: "mean", weight: 1 }],
    alsoMeasured: [],
    temperature: 1,
    sharePrompt: sizes.sharePrompt as boolean,
    logitChunk: LOGIT_CHUNK,
    rolloutRows: prompts * groupSize,
    scoreRows: prompts * groupSize,
    seed: 0,
  };
}

/** A GRPO step from its rewards on, the update; the rollout before it is not counted. */
const update: Prepare = async (engine, sizes, folder) => {
  const model = await sharedModel(engine, sizes, folder);
  let rewarded = 0;
  const world = hashWorld(sizes, () => rewarded = seconds());
  const trainer = new GrpoTrainer(model, undefined, world, updateOptions(sizes));
  const items = Array.from({ length: sizes.prompts as number }, (_, p) => p);
  let step = 0;
  const first = await trainer.step(step++, items);
  return {
    run: async () => {
      await trainer.step(step++, items);
      return seconds() - rewarded;
    },
    check: () => Promise.resolve(first.gradientNorm),
    shared: { answers: first.sample.answers, advantages: first.sample.advantages },
    dispose: () => model.dispose(),
  };
};

const rollouts: Prepare = async (engine, sizes, folder) => {
  const { prompts, group } = sizes as Record<string, number>;
  const model = await sharedModel(engine, sizes, folder);
  const transitions = await hashWorld(sizes).encode(Array.from({ length: prompts }, (_, p) => p));
  let step = 0;
  return {
    run: async () => {
      await rollout(model, {
        questions: transitions.map((each) => each.question),
        plans: transitions.map((each) => each.answer),
        groupSize: group,
        sampling: { temperature: 1 },
        stream: [0, 0, step++],
      });
    },
    check: () => Promise.resolve(undefined),
    dispose: () => model.dispose(),
  };
};

/** By kind. */
export const MODELS: Readonly<Record<string, Prepare>> = { likelihood, update, rollout: rollouts };
