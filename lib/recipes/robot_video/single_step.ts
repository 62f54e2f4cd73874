/**
 * Single-step prediction in the experiment: a tokenizer of single frames, and the world in which some frames and actions ask
 * and the next frame answers.
 *
 * Source: RLVR-World §6.1.
 */
import { UserError } from "../../base/user_error.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { FrameTokenizer } from "../../models/frame_tokenizer.ts";
import { type FrameTokenizerConfig, frameTokenizerConfig } from "../../models/frame_tokenizer_config.ts";
import type { Lpips } from "../../models/lpips.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import { STREAM } from "../../base/streams.ts";
import { TokenizerTrainer } from "../../train/frame_tokenizer_trainer.ts";
import type { VideoClip } from "../../worlds/robot_video/clips.ts";
import { repetition } from "../../worlds/robot_video/metrics.ts";
import { singleStepLengths } from "../../worlds/robot_video/single_step_sequences.ts";
import { type FrameBatch, RobotVideoWorld } from "../../worlds/robot_video/single_step_world.ts";
import type { Tokens } from "../../worlds/world.ts";
import type { RobotVideoConfig } from "./config.ts";
import type { RobotVideoData } from "./data.ts";
import { imagine } from "./imagine.ts";
import {
  augmentTokenizerFrames,
  imageMetrics,
  tokenizerTraining,
  type VideoKind,
  type VideoPrediction,
} from "./video_kind.ts";

/** Frames whose tokens are remembered, so that each is computed once. */
const REMEMBERED_FRAMES = 200_000;

/** A frozen tokenizer of single frames and the world over it. */
export class SingleStepPrediction implements VideoPrediction {
  /** Which of the two predictions this is. */
  readonly kind: "single-step" = "single-step";
  /** Some frames and actions ask, the next frame answers. */
  readonly world: RobotVideoWorld;
  readonly sequenceLength: number;
  readonly lengthField = "data.history";
  readonly ownMetrics: readonly string[] = [];
  readonly shown: { frames: number; givenFrames: number };
  readonly #bins: RobotVideoData["bins"];
  readonly #history: number;

  /** The tokenizer stays the caller's. */
  constructor(
    readonly tokenizer: FrameTokenizer,
    config: RobotVideoConfig,
    data: RobotVideoData,
    lpips: Lpips | undefined,
  ) {
    const { history, augment, frameStep } = config.data;
    this.world = new RobotVideoWorld({
      tokenizer,
      bins: data.bins,
      metrics: imageMetrics(lpips),
      patches: config.grpo.credit === "patch",
      rememberFrames: augment || frameStep !== 1 ? 0 : REMEMBERED_FRAMES,
    });
    const { tokensPerFrame } = tokenizer, { actionWidth } = data.source;
    this.sequenceLength = singleStepLengths({ tokensPerFrame, history, actionWidth }).total;
    this.shown = { frames: history + config.evaluation.gifFrames, givenFrames: history };
    this.#bins = data.bins;
    this.#history = history;
  }

  /** A metric's number of each answer, from the world. */
  async measure(name: string, predicted: FrameBatch, truth: FrameBatch): Promise<{ values: Float32Array }> {
    return { values: await this.world.metrics[name].compute(predicted, truth) };
  }

  /** As the world's metric says. */
  better(name: string): "lower" | "higher" {
    return this.world.metrics[name].better;
  }

  /** Whether all tokens are those of the last history frame. */
  async repetitionRule(clips: readonly VideoClip[]): Promise<(clip: number, answer: Tokens) => boolean> {
    const last = (await this.world.frameTokens(clips)).map((frames) => frames[frames.length - 2]);
    return (clip, answer) => repetition(answer.subarray(0, last[clip].length), last[clip]);
  }

  /** Frame after frame from the model's own predictions and the actions that were really taken. */
  imagine(
    model: CausalTransformer,
    clips: readonly VideoClip[],
    options: { sampling: SamplingOptions; stream: readonly [seed: number, purpose: number, first: number] },
  ): Promise<Uint8Array[]> {
    return imagine(model, this.world, this.#bins, clips, this.#history, options);
  }
}

/** Prediction of one frame after some. */
export const SINGLE_STEP: VideoKind<FrameTokenizer> = {
  checkSizes: (config, data) => void tokenizerSizes(config, data),
  newTokenizer(engine: Engine, config, data) {
    const { seed, model: { computeType }, tokenizer: { codeGain } } = config;
    return FrameTokenizer.initialize(engine, tokenizerSizes(config, data), { seed, codeGain, computeType });
  },
  loadTokenizer(engine, folder, config, { source: { height, width } }) {
    return FrameTokenizer.load(engine, folder, { height, width, computeType: config.model.computeType });
  },
  trainer: (tokenizer, { config, data, perceptual, discriminator }) =>
    new TokenizerTrainer({
      tokenizer,
      config: tokenizerTraining(config),
      frames: async (step) => ({ frames: await randomFrames(config, data, step) }),
      perceptual,
      discriminator,
    }),
  prediction: (tokenizer, config, data, lpips) => new SingleStepPrediction(tokenizer, config, data, lpips),
};

/** Frames for a tokenizer step: single frames of random training episodes. */
async function randomFrames(config: RobotVideoConfig, { source, split }: RobotVideoData, step: number) {
  const { seed, tokenizer: { batch } } = config;
  const random = new Philox(seed, STREAM.tokenizerBatch, step);
  const size = source.height * source.width * 3;
  const frames = new Uint8Array(batch * size);
  for (let i = 0; i < batch; i++) {
    const episode = await source.load(split.train[random.integer(0, split.train.length)]);
    const at = random.integer(0, episode.length);
    frames.set(episode.frames.subarray(at * size, (at + 1) * size), i * size);
    augmentTokenizerFrames(config, source, [frames.subarray(i * size, (i + 1) * size)], step, i);
  }
  return frames;
}

/**
 * The sizes of a tokenizer that is to be trained.
 *
 * @throws {UserError} When no tokenizer can have them.
 */
export function tokenizerSizes(config: RobotVideoConfig, data: RobotVideoData): FrameTokenizerConfig {
  const { tokenizer } = config, { height, width } = data.source;
  const { channels, layersPerBlock, latentChannels, normGroups, fsqLevels } = tokenizer;
  const { midAttention, downsamplings, pixelPatch, background, normScope } = tokenizer;
  try {
    return frameTokenizerConfig({
      height,
      width,
      channels,
      layersPerBlock,
      latentChannels,
      normGroups,
      fsqLevels,
      midAttention,
      downsamplings,
      pixelPatch,
      background,
      normScope,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`the tokenizer's sizes: ${error.message}`);
    throw error;
  }
}
