/** Decoding and predicting frames with this library; `reference/video.py` decodes with the same networks in PyTorch. */
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { CompressiveTokenizer } from "../../lib/models/compressive_tokenizer.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import { transformerConfig } from "../../lib/models/transformer_config.ts";
import type { Parameters } from "../../lib/nn/parameters.ts";
import type { SamplingOptions } from "../../lib/nn/sampling.ts";
import { sizeOf } from "../../lib/tensor/dtype.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { ActionBins } from "../../lib/worlds/robot_video/actions.ts";
import type { FramePredictor } from "../../lib/worlds/robot_video/frame_predictor.ts";
import { multiStepPredictor } from "../../lib/worlds/robot_video/multi_step_predictor.ts";
import { multiStepVocabulary } from "../../lib/worlds/robot_video/vocabulary.ts";
import type { CaseSizes } from "../case.ts";
import { hashed, hashedTokens } from "../numbers.ts";
import type { Prepare, Work } from "./work.ts";

/** Names the numbers with which frames are judged, so many in a row. */
const DIRECTION = 7, PIECE = 512;

/** What both tokenizers' configurations take from a case. */
function tokenizerSizes(sizes: CaseSizes) {
  const { height, width, layers, latent, groups } = sizes as Record<string, number>;
  return {
    height,
    width,
    channels: sizes.channels as readonly number[],
    layersPerBlock: layers,
    latentChannels: latent,
    normGroups: groups,
    fsqLevels: sizes.levels as readonly number[],
    midAttention: sizes.midAttention as boolean,
  };
}

function compressiveTokenizer(engine: Engine, sizes: CaseSizes): CompressiveTokenizer {
  const { patch, maxAttentionRows, attentionHeads } = sizes as Record<string, number>;
  const tokenizer = CompressiveTokenizer.initialize(engine, {
    ...tokenizerSizes(sizes),
    contextLevels: sizes.levels as readonly number[],
    patchSize: patch,
    maxAttentionResolution: maxAttentionRows,
    attentionHeads,
  }, { seed: 0 });
  fill(tokenizer.parameters);
  return tokenizer;
}

/** Puts numbers into parameters that keep activations at their size; `filled` in `reference/video.py` is its twin. */
function fill(parameters: Parameters): void {
  [...parameters.values()].forEach((parameter, i) => {
    const { shape } = parameter, numbers = hashed(parameter.size, i);
    const fanIn = sizeOf(shape) / shape[0];
    const isScale = shape.length === 1 && [...parameters.keys()][i].endsWith(".weight");
    const factor = shape.length > 1 ? Math.fround(Math.sqrt(12 / fanIn)) : 1;
    const values = numbers.map((x) => isScale ? 1 + x : x * factor);
    tidy(() => parameter.assign(tensor(parameter.engine, values, shape)));
  });
}

/** Work that decodes frames, which are judged as a whole. */
function decoding(decode: () => Tensor, parameters: Parameters, dispose: () => void): Work {
  return {
    run: () => tidy(() => void decode()),
    check: async () => {
      const frames = tidy(decode);
      try {
        return judged(await frames.data());
      } finally {
        frames.dispose();
      }
    },
    shared: { names: [...parameters.keys()] },
    dispose,
  };
}

/** Sum of squares of each piece's product with random numbers: misplaced pixels change it, rounding hardly. */
function judged(numbers: ArrayLike<number>): number {
  const products = new Float64Array(numbers.length / PIECE);
  hashed(numbers.length, DIRECTION).forEach((x, i) => products[Math.floor(i / PIECE)] += x * numbers[i]);
  return products.reduce((sum, each) => sum + each ** 2, 0);
}

/** What is computed of the context is there before: a clip's frames are decoded with it. */
const decodeClip: Prepare = (engine, sizes) => {
  const count = sizes.frames as number;
  const tokenizer = compressiveTokenizer(engine, sizes);
  const { contextTokens, tokensPerFrame, contextCodebookSize, codebookSize } = tokenizer;
  const context = tidy(() =>
    tokenizer.contextFeatures(
      tensor(engine, hashedTokens(contextTokens, 1, contextCodebookSize), [1, contextTokens], "int64"),
    )
  );
  const ids = hashedTokens(count * tokensPerFrame, 2, codebookSize);
  const tokens = tensor(engine, ids, [1, count, tokensPerFrame], "int64");
  return decoding(() => tokenizer.decode(context, tokens), tokenizer.parameters, () => {
    tokens.dispose();
    context.dispose();
    tokenizer.dispose();
  });
};

const decodeFrames: Prepare = (engine, sizes) => {
  const count = sizes.frames as number;
  const tokenizer = FrameTokenizer.initialize(engine, tokenizerSizes(sizes), { seed: 0 });
  fill(tokenizer.parameters);
  const { tokensPerFrame, codebookSize } = tokenizer;
  const ids = hashedTokens(count * tokensPerFrame, 2, codebookSize);
  const tokens = tensor(engine, ids, [count, tokensPerFrame], "int64");
  return decoding(() => tokenizer.decode(tokens), tokenizer.parameters, () => {
    tokens.dispose();
    tokenizer.dispose();
  });
};

/** Frames of each rollout that are compared: the likeliest ones. */
const CHECKED_FRAMES = 2;

/**
 * Rollouts from the start frame to the horizon, the reading of the start frame included. Without sharing, the start
 * frames differ by one bit of one number: for the predictor they are different ones with a context each, and yet the
 * same frames follow.
 */
const interactive: Prepare = (engine, sizes) => {
  const { height, width, rollouts, frames, actionWidth, actionBins } = sizes as Record<string, number>;
  const { transformerWidth, transformerLayers, transformerHeads, inner } = sizes as Record<string, number>;
  const tokenizer = compressiveTokenizer(engine, sizes);
  const vocabulary = multiStepVocabulary(tokenizer.codebookSize, tokenizer.contextCodebookSize, actionBins);
  const config = transformerConfig({
    vocabularySize: vocabulary.size,
    hiddenSize: transformerWidth,
    layers: transformerLayers,
    heads: transformerHeads,
    keyValueHeads: transformerHeads,
    feedForwardSize: inner,
  });
  const model = CausalTransformer.initialize(engine, config, { seed: 0 });
  const limit = new Float32Array(actionWidth).fill(1);
  const bins = new ActionBins({ min: limit.map((x) => -x), max: limit }, actionBins);
  const start = Uint8Array.from(hashed(height * width * 3, 3), (x) => Math.floor(256 * (x + 0.5)));
  const starts = Array.from({ length: rollouts }, (_, rollout) => {
    const frame = start.slice();
    if (!sizes.shared) frame[rollout] ^= 1;
    return frame;
  });
  const predictorOf = (sampling: SamplingOptions) =>
    multiStepPredictor({ model, tokenizer, bins, horizon: frames, sampling });
  const predictor = predictorOf({ temperature: 1 });
  const predict = async (predictor: FramePredictor, count: number, seed: number) => {
    let shown = await predictor.reset(starts, seed);
    for (let step = 0; step < count; step++) {
      shown = await predictor.step(shown.map((_, rollout) => hashed(actionWidth, 100 * step + rollout)));
    }
    return shown;
  };
  let seed = 0;
  return {
    run: async () => void await predict(predictor, frames, seed++),
    check: async () => {
      const likeliest = predictorOf({ greedy: true });
      try {
        const shown = await predict(likeliest, CHECKED_FRAMES, 0);
        return judged(shown.flatMap((frame) => [...frame]));
      } finally {
        likeliest.dispose();
      }
    },
    dispose: () => {
      predictor.dispose();
      model.dispose();
      tokenizer.dispose();
    },
  };
};

/** By kind. */
export const VIDEO: Readonly<Record<string, Prepare>> = { decodeClip, decodeFrames, interactive };
