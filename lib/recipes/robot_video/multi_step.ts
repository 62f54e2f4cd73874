/**
 * Multi-step prediction in the experiment: a tokenizer that tells frames by how they differ from a context frame, and the
 * world in which a context, a start frame and an action ask and the frames that follow answer, the actions between them given.
 *
 * Source: RLVR-World §6.3.
 */
import { UserError } from "../../base/user_error.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { CompressiveTokenizer } from "../../models/compressive_tokenizer.ts";
import {
  type CompressiveTokenizerConfig,
  compressiveTokenizerConfig,
} from "../../models/compressive_tokenizer_config.ts";
import type { Lpips } from "../../models/lpips.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { rollout } from "../../train/rollout.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import { CompressiveTokenizerTrainer } from "../../train/compressive_tokenizer_trainer.ts";
import { STREAM } from "../../base/streams.ts";
import type { VideoClip } from "../../worlds/robot_video/clips.ts";
import type { ImageMetric } from "../../worlds/robot_video/metrics.ts";
import { multiStepLengths } from "../../worlds/robot_video/multi_step_sequences.ts";
import { type FrameSequences, MultiStepWorld } from "../../worlds/robot_video/multi_step_world.ts";
import { chooseTokenizerFrames } from "../../worlds/robot_video/tokenizer_frames.ts";
import { aggregateFrames, endsRepeating, perFrame } from "../../worlds/robot_video/video_metrics.ts";
import type { Tokens } from "../../worlds/world.ts";
import type { RobotVideoConfig } from "./config.ts";
import type { RobotVideoData } from "./data.ts";
import {
  augmentTokenizerFrames,
  imageMetrics,
  tokenizerTraining,
  type VideoKind,
  type VideoPrediction,
} from "./video_kind.ts";

/** Frames that are tokenized, decoded and compared at once. */
const FRAMES_AT_ONCE = 256;

/** A frozen compressive tokenizer and the world over it. */
export class MultiStepPrediction implements VideoPrediction {
  /** Which of the two predictions this is. */
  readonly kind: "multi-step" = "multi-step";
  /** A context, a start frame and an action ask, the frames that follow answer. */
  readonly world: MultiStepWorld;
  readonly sequenceLength: number;
  readonly lengthField = "data.frames";
  /** How often a predicted frame is the one before it; the image metrics do not tell. */
  readonly ownMetrics = ["repeatedFrames"];
  readonly shown: { frames: number; givenFrames: number; contextBefore: number };
  readonly #metrics: Readonly<Record<string, ImageMetric>>;

  /** The tokenizer stays the caller's. */
  constructor(
    readonly tokenizer: CompressiveTokenizer,
    config: RobotVideoConfig,
    data: RobotVideoData,
    lpips: Lpips | undefined,
  ) {
    const { frames, contextReach } = config.data, metrics = imageMetrics(lpips);
    this.world = new MultiStepWorld({
      tokenizer,
      bins: data.bins,
      metrics,
      aggregate: config.grpo.aggregate,
      parts: config.grpo.credit === "patch" ? "patches" : "frames",
      frameBatch: FRAMES_AT_ONCE,
    });
    this.#metrics = Object.fromEntries(metrics.map((metric) => [metric.name, metric]));
    const { contextTokens, tokensPerFrame } = tokenizer, { actionWidth } = data.source;
    this.sequenceLength = multiStepLengths({ contextTokens, tokensPerFrame, frames, actionWidth }).total;
    this.shown = { frames, givenFrames: 1, contextBefore: Math.floor(contextReach / 2) };
  }

  /** The mean over the predicted frames (whatever the reward makes of them), and the value of each. */
  async measure(
    name: string,
    predicted: FrameSequences,
    truth: FrameSequences,
  ): Promise<{ values: Float32Array; byFrame?: Float32Array }> {
    if (name === "repeatedFrames") return { values: await this.world.metrics.repetition.compute(predicted, truth) };
    const byFrame = await perFrame(this.#metrics[name], predicted.frames, truth.frames, FRAMES_AT_ONCE);
    return { values: aggregateFrames(byFrame, predicted.frames.shape[1], "mean"), byFrame };
  }

  /** As the world's metric says. */
  better(name: string): "lower" | "higher" {
    return name === "repeatedFrames" ? "lower" : this.world.metrics[name].better;
  }

  /** Whether the last two frames were sampled alike; a single predicted frame is compared with the start frame. */
  async repetitionRule(clips: readonly VideoClip[]): Promise<(clip: number, answer: Tokens) => boolean> {
    const starts = (await this.world.clipTokens(clips)).map(({ frames }) => frames[0]);
    return (clip, answer) => endsRepeating(this.world.sampledFrames(answer, clips[clip]), starts[clip]);
  }

  /** The frames after the first of each clip, predicted together. */
  async imagine(
    model: CausalTransformer,
    clips: readonly VideoClip[],
    options: { sampling: SamplingOptions; stream: readonly [seed: number, purpose: number, first: number] },
  ): Promise<Uint8Array[]> {
    const encoded = await this.world.encode(clips);
    const { answers } = await rollout(model, {
      questions: encoded.map(({ question }) => question),
      plans: encoded.map(({ answer }) => answer),
      groupSize: 1,
      sampling: options.sampling,
      stream: options.stream,
    });
    const decoded = await this.world.decode(answers, clips);
    const pixels = await decoded.frames.data();
    this.world.release(decoded);
    const { height, width } = clips[0], size = height * width * 3, answerSize = (clips[0].length - 1) * size;
    return clips.map((clip, i) => {
      const shown = clip.frames.slice();
      for (let p = 0; p < answerSize; p++) shown[size + p] = Math.round(255 * pixels[i * answerSize + p]);
      return shown;
    });
  }
}

/** Prediction of several frames after one, with the actions between. */
export const MULTI_STEP: VideoKind<CompressiveTokenizer> = {
  checkSizes: (config, data) => void tokenizerSizes(config, data),
  newTokenizer(engine: Engine, config, data) {
    const { seed, model: { computeType }, tokenizer: { codeGain } } = config;
    return CompressiveTokenizer.initialize(engine, tokenizerSizes(config, data), { seed, codeGain, computeType });
  },
  loadTokenizer(engine, folder, config, { source: { height, width } }) {
    return CompressiveTokenizer.load(engine, folder, { height, width, computeType: config.model.computeType });
  },
  trainer: (tokenizer, { config, data, perceptual, discriminator }) =>
    new CompressiveTokenizerTrainer({
      tokenizer,
      config: { ...tokenizerTraining(config), attentionDropout: config.tokenizer.attentionDropout },
      clips: (step) => tokenizerClips(config, data, step),
      seed: config.seed,
      perceptual,
      discriminator,
    }),
  prediction: (tokenizer, config, data, lpips) => new MultiStepPrediction(tokenizer, config, data, lpips),
};

/** Clips for a tokenizer step: a context frame and some later ones of random training episodes. */
async function tokenizerClips(config: RobotVideoConfig, { source, split }: RobotVideoData, step: number) {
  const { seed, tokenizer: { batch, laterFrames, frameChoice, horizon } } = config;
  const random = new Philox(seed, STREAM.tokenizerBatch, step);
  const size = source.height * source.width * 3;
  const context = new Uint8Array(batch * size), frames = new Uint8Array(batch * laterFrames * size);
  for (let i = 0; i < batch; i++) {
    const episode = await source.load(split.train[random.integer(0, split.train.length)]);
    const chosen = chooseTokenizerFrames(frameChoice, { length: episode.length, frames: laterFrames, horizon }, random);
    const frame = (t: number) => episode.frames.subarray(t * size, (t + 1) * size);
    context.set(frame(chosen.context), i * size);
    chosen.frames.forEach((t, at) => frames.set(frame(t), (i * laterFrames + at) * size));
    const ofSequence = (all: Uint8Array, count: number) => all.subarray(i * count * size, (i + 1) * count * size);
    augmentTokenizerFrames(config, source, [ofSequence(context, 1), ofSequence(frames, laterFrames)], step, i);
  }
  return { context, frames };
}

/**
 * The sizes of a tokenizer that is to be trained.
 *
 * @throws {UserError} When no tokenizer can have them.
 */
function tokenizerSizes(config: RobotVideoConfig, data: RobotVideoData): CompressiveTokenizerConfig {
  const { tokenizer } = config, { height, width } = data.source;
  const { channels, layersPerBlock, latentChannels, normGroups, contextLevels, fsqLevels } = tokenizer;
  const { contextMidAttention, midAttention, downsamplings, pixelPatch, patchSize, background, normScope } = tokenizer;
  const { maxAttentionResolution, attentionHeads } = tokenizer;
  try {
    return compressiveTokenizerConfig({
      height,
      width,
      channels,
      layersPerBlock,
      latentChannels,
      normGroups,
      normScope,
      contextLevels,
      fsqLevels,
      contextMidAttention,
      midAttention,
      downsamplings,
      pixelPatch,
      patchSize,
      maxAttentionResolution,
      attentionHeads,
      background,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`the tokenizer's sizes: ${error.message}`);
    throw error;
  }
}
