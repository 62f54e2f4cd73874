/** Language models with this library; `reference/language.py` does the same work in PyTorch. */
import { mkdir, statfs } from "node:fs/promises";
import type { TensorStream } from "../../lib/io/safetensors_folder.ts";
import { writeWeights } from "../../lib/io/safetensors_folder.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig, transformerParameterShapes } from "../../lib/models/transformer_config.ts";
import { formatTransformerConfig } from "../../lib/models/transformer_config_json.ts";
import type { AnswerSampler } from "../../lib/train/answer_sampler.ts";
import { generate } from "../../lib/train/generation.ts";
import { GrpoTrainer } from "../../lib/train/grpo.ts";
import { type Shape, sizeOf } from "../../lib/tensor/dtype.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { hashed, hashedTokens } from "../numbers.ts";
import { hashWorld, modelSizes, sharedModel, updateOptions } from "./models.ts";
import type { Prepare } from "./work.ts";

/**
 * GRPO's work on answers that came from elsewhere, without log-probabilities: these are computed first, then the update.
 * Nothing is sampled.
 */
const languageUpdate: Prepare = async (engine, sizes, folder) => {
  const { vocabulary, answerLength } = sizes as Record<string, number>;
  const model = await sharedModel(engine, sizes, folder);
  const sampler: AnswerSampler = {
    followsPolicy: true,
    sample: ({ questions, groupSize }) => {
      const rows = Array.from({ length: questions.length * groupSize }, (_, row) => row);
      return Promise.resolve({
        answers: rows.map((row) => hashedTokens(answerLength, 500 + row, vocabulary)),
        logProbabilities: rows.map(() => undefined),
        ended: rows.map(() => true),
      });
    },
  };
  const world = { ...hashWorld(sizes), openAnswers: { endTokens: [0], maxTokens: answerLength } };
  const trainer = new GrpoTrainer(model, undefined, world, updateOptions(sizes), sampler);
  const items = Array.from({ length: sizes.prompts as number }, (_, p) => p);
  let step = 0;
  const first = await trainer.step(step++, items);
  return {
    run: async () => void await trainer.step(step++, items),
    check: () => Promise.resolve(first.gradientNorm),
    shared: { answers: first.sample.answers, advantages: first.sample.advantages },
    dispose: () => model.dispose(),
  };
};

/** Tokens of each answer that are compared: the likeliest ones. */
const CHECKED_TOKENS = 12;

/** Any of the first `ends` tokens ends an answer, so that answers of random weights have lengths like real ones. */
const generation: Prepare = async (engine, sizes, folder) => {
  const { group, maxTokens, ends, vocabulary } = sizes as Record<string, number>;
  const model = await sharedModel(engine, sizes, folder);
  const questions = (sizes.lengths as number[]).map((length, p) => hashedTokens(length, p, vocabulary));
  const endTokens = Array.from({ length: ends }, (_, token) => token);
  let step = 0;
  const sample = (groupSize: number, maxTokens: number, greedy: boolean) =>
    generate(model, {
      questions,
      groupSize,
      maxTokens,
      endTokens,
      sampling: greedy ? { greedy } : { temperature: 1 },
      stream: [0, 0, step++],
    });
  return {
    run: async () => void await sample(group, maxTokens, false),
    check: async () => {
      const { answers } = await sample(1, Math.min(maxTokens, CHECKED_TOKENS), true);
      return answers.flatMap((answer) => [...answer]).reduce((sum, token) => sum + token, 0);
    },
    dispose: () => model.dispose(),
  };
};

/** Numbers written at a time. */
const PIECE = 2 ** 20;
/** A parameter of the last layer that is compared: small, so that comparing it takes no memory to speak of. */
const COMPARED = "self_attn.k_proj.weight";

/** Loads a folder of random bfloat16 weights; as many layers as the disk has room for. */
const loading: Prepare = async (engine, sizes, folder) => {
  const place = `${folder}/loading`;
  await mkdir(place, { recursive: true });
  const { layers, bytes } = await writeRandomWeights(place, modelSizes(sizes));
  const load = () => CausalTransformer.load(engine, place, { parameterType: "bfloat16" });
  const name = `model.layers.${layers - 1}.${COMPARED}`;
  return {
    run: async () => (await load()).dispose(),
    check: async () => {
      const model = await load();
      const sum = tidy(() => model.parameters.get(name)!.cast("float32").square().sum());
      try {
        return await sum.item();
      } finally {
        sum.dispose();
        model.dispose();
      }
    },
    shared: { bytes, name },
    dispose: () => {},
  };
};

/** Streams weights to a folder: the shape's own number of layers, or half or a quarter of them on a small disk. */
async function writeRandomWeights(folder: string, sizes: ReturnType<typeof modelSizes>) {
  const { bavail, bsize } = await statfs(folder);
  for (const share of [1, 2, 4]) {
    const layers = Math.ceil(sizes.layers / share);
    const config = transformerConfig({ ...sizes, layers, tiedEmbeddings: true });
    const shapes = transformerParameterShapes(config);
    const bytes = [...shapes.values()].reduce((sum, shape) => sum + 2 * sizeOf(shape), 0);
    if (bytes * 1.1 > bavail * bsize) continue;
    const bits = randomBfloat16(PIECE);
    const streams = new Map([...shapes].map(([name, shape]) => [name, randomStream(shape, bits)]));
    await writeWeights(folder, streams, { texts: [["config.json", formatTransformerConfig(config, "bfloat16")]] });
    return { layers, bytes };
  }
  throw new UserError(`loading: ${folder} has too little room: set TMPDIR to a larger disk`);
}

/** The upper halves of random float32 numbers. */
function randomBfloat16(count: number): Uint16Array {
  // Little-endian, as files are.
  const halves = new Uint16Array(hashed(count, 0).buffer);
  return new Uint16Array(count).map((_, i) => halves[2 * i + 1]);
}

function randomStream(shape: Shape, bits: Uint16Array): TensorStream {
  return {
    dtype: "BF16",
    shape: [...shape],
    async *pieces() {
      for (let left = sizeOf(shape); left > 0; left -= bits.length) {
        yield new Uint8Array(bits.buffer, 0, 2 * Math.min(left, bits.length));
      }
    },
  };
}

/** By kind. */
export const LANGUAGE: Readonly<Record<string, Prepare>> = { languageUpdate, generation, loading };
