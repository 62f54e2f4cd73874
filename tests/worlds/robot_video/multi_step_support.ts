/** A tiny multi-step setting: 16 × 16 frames, 16 context tokens, 4 tokens a frame, actions of 2 numbers in 3 bins. */
import { CompressiveTokenizer } from "../../../lib/models/compressive_tokenizer.ts";
import { FrameTokenizer } from "../../../lib/models/frame_tokenizer.ts";
import type { CausalTransformer } from "../../../lib/models/causal_transformer.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { keep } from "../../../lib/tensor/scope.ts";
import type { Tensor } from "../../../lib/tensor/tensor.ts";
import { ActionBins } from "../../../lib/worlds/robot_video/actions.ts";
import { cutClip, type VideoClip } from "../../../lib/worlds/robot_video/clips.ts";
import type { ClipTokenizer } from "../../../lib/worlds/robot_video/multi_step_world.ts";
import { multiStepVocabulary } from "../../../lib/worlds/robot_video/vocabulary.ts";
import { smallModel } from "../../support/small_transformer.ts";

export const SIDE = 16;
export const BINS = new ActionBins({
  min: Float32Array.of(-1, 0),
  max: Float32Array.of(1, 2),
  names: ["push", "lift"],
}, 3);
/** 9 dynamics codes, 6 context codes, 3 bins, 2 specials. */
export const VOCABULARY = multiStepVocabulary(9, 6, 3);

/** Codes differ between frames from the start, and what a frame decodes to depends on its context. */
export function tinyTokenizer(engine: Engine): CompressiveTokenizer {
  return CompressiveTokenizer.initialize(engine, {
    height: SIDE,
    width: SIDE,
    channels: [8],
    layersPerBlock: 1,
    latentChannels: 4,
    normGroups: 4,
    pixelPatch: 4,
    patchSize: 2,
    fsqLevels: [3, 3],
    contextLevels: [3, 2],
  }, { seed: 3, codeGain: 8 });
}

/** The single-step counterpart: 4 tokens a frame. */
export function tinyFrameTokenizer(engine: Engine): FrameTokenizer {
  return FrameTokenizer.initialize(engine, {
    height: SIDE,
    width: SIDE,
    channels: [8, 8],
    layersPerBlock: 1,
    latentChannels: 4,
    normGroups: 4,
    pixelPatch: 4,
    fsqLevels: [3, 3],
  }, { seed: 3, codeGain: 8 });
}

export function tinyTransformer(engine: Engine, maxPositions = 128): CausalTransformer {
  return smallModel(engine, { vocabularySize: VOCABULARY.size, maxPositions });
}

/** What a tokenizer was asked for. */
export interface Asked {
  /** Rows of each call of `encode`. */
  encoded: number[];
  /** Contexts of each call of `contextFeatures`. */
  contexts: number[];
  /** Copies of the tokens of each call of `decode`. */
  decoded: Tensor[];
}

/** The same tokenizer, which notes what it is asked for. */
export function noting(tokenizer: CompressiveTokenizer): { tokenizer: ClipTokenizer; asked: Asked } {
  const asked: Asked = { encoded: [], contexts: [], decoded: [] };
  const { engine, config, contextTokens, tokensPerFrame, contextCodebookSize, codebookSize } = tokenizer;
  return {
    asked,
    tokenizer: {
      engine,
      config,
      contextTokens,
      tokensPerFrame,
      contextCodebookSize,
      codebookSize,
      encode(context, frames) {
        asked.encoded.push(context.shape[0]);
        return tokenizer.encode(context, frames);
      },
      contextFeatures(context) {
        asked.contexts.push(context.shape[0]);
        return tokenizer.contextFeatures(context);
      },
      decode(context, frames, options) {
        asked.decoded.push(keep(frames.clone()));
        return tokenizer.decode(context, frames, options);
      },
    },
  };
}

/** A picture of a few coloured squares. */
export function picture(seed: number): Uint8Array {
  const random = new Philox(seed, 77), colours = random.fillUniform(new Float32Array(48), 0, 256);
  return Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
    const channel = i % 3, x = Math.floor(i / 3) % SIDE, y = Math.floor(i / 3 / SIDE);
    return Math.floor(colours[3 * (4 * Math.floor(y / 4) + Math.floor(x / 4)) + channel]);
  });
}

/** A clip of T frames of an episode of its own, with its context two frames before its start. */
export function tinyClip(seed: number, frames = 4): VideoClip {
  const length = frames + 3, pixels = new Uint8Array(length * SIDE * SIDE * 3), random = new Philox(seed, 78);
  for (let t = 0; t < length; t++) pixels.set(picture(100 * seed + t), t * SIDE * SIDE * 3);
  const episode = {
    id: `tiny_${seed}`,
    frames: pixels,
    length,
    height: SIDE,
    width: SIDE,
    actions: Float32Array.from({ length: 2 * length }, (_, i) => i % 2 + random.uniform() * 2 - 1),
    actionWidth: 2,
  };
  return cutClip(episode, 2, frames, 1, 0);
}
