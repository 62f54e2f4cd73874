/**
 * Where single-step and multi-step prediction differ: what the stages of the robot-video experiment ask of either.
 *
 * A kind makes, loads and trains its tokenizer; a prediction is a frozen tokenizer with the world over it, and what an
 * evaluation needs beyond the world. One file each: `single_step.ts`, `multi_step.ts`. The stages
 * themselves know neither.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Discriminator } from "../../models/discriminator.ts";
import type { Lpips } from "../../models/lpips.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import type { Parameters } from "../../nn/parameters.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { STREAM } from "../../base/streams.ts";
import type { TokenizerTrainerState, TokenizerTrainingConfig } from "../../train/frame_tokenizer_trainer.ts";
import { drawColourJitter, TRAINING_COLOUR_JITTER } from "../../worlds/robot_video/augment.ts";
import type { VideoClip } from "../../worlds/robot_video/clips.ts";
import { type ImageMetric, lpipsMetric, mae, mse, psnr, ssim } from "../../worlds/robot_video/metrics.ts";
import { cropAndJitter, drawCrop, TOKENIZER_CROP } from "../../worlds/robot_video/random_crop.ts";
import type { SingleStepVocabulary } from "../../worlds/robot_video/vocabulary.ts";
import type { Tokens, World } from "../../worlds/world.ts";
import type { RobotVideoConfig } from "./config.ts";
import type { RobotVideoData } from "./data.ts";

/** What the stages ask of a tokenizer of either kind. */
export interface VideoTokenizer {
  /** By the names of released state dicts. */
  readonly parameters: Parameters;
  /** Writes a folder that the same kind loads. */
  save(folder: string): Promise<void>;
  /** Frees the parameters. */
  dispose(): void;
}

/** What the tokenizer stage asks of a trainer of either kind. */
export interface VideoTokenizerTrainer {
  /** One update; returns what is logged. */
  step(): Promise<object>;
  /** Everything that a later trainer needs to go on. */
  stateToHost(): Promise<TokenizerTrainerState>;
  /** Goes on where another trainer stopped. */
  loadState(state: TokenizerTrainerState, source?: string): Promise<void>;
  /** Frees the optimizers' moments. */
  dispose(): void;
}

/** What a trainer is made of beside the tokenizer and its clips. */
export interface TrainerParts {
  /** The configuration, every value filled in. */
  config: RobotVideoConfig;
  /** Episodes and the clips cut from them. */
  data: RobotVideoData;
  /** Without it there is no perceptual loss. */
  perceptual?: Lpips;
  /** Without it there is no adversarial loss. */
  discriminator?: Discriminator;
}

/** A world of robot video, whatever it predicts. */
export type VideoWorld = World<VideoClip, unknown> & { readonly vocabulary: SingleStepVocabulary };

/** A frozen tokenizer and the world over it. */
export interface VideoPrediction {
  /** Clips to sequences, answers to frames. */
  readonly world: VideoWorld;
  /** Tokens of a clip's question and answer together. */
  readonly sequenceLength: number;
  /** The field of the configuration to lower where a sequence is too long. */
  readonly lengthField: string;
  /** Metrics that are always measured, beside those that the configuration names. */
  readonly ownMetrics: readonly string[];
  /**
   * A metric of some answers.
   *
   * @returns One number an answer, and one an answer and frame [B, T] where several frames are predicted.
   */
  measure(name: string, predicted: unknown, truth: unknown): Promise<{ values: Float32Array; byFrame?: Float32Array }>;
  /** Which way a metric improves. */
  better(name: string): "lower" | "higher";
  /** Whether an answer to clip i repeats the frame before, by the rule of the released evaluation. */
  repetitionRule(clips: readonly VideoClip[]): Promise<(clip: number, answer: Tokens) => boolean>;
  /** Clips to show: how many frames, how many of them given, and how long before them the context frame lies, if there is one. */
  readonly shown: { frames: number; givenFrames: number; contextBefore?: number };
  /** Clips as the model sees them coming, uint8 [S, H, W, 3] each: the given frames as they were, then the predicted ones. */
  imagine(
    model: CausalTransformer,
    clips: readonly VideoClip[],
    options: { sampling: SamplingOptions; stream: readonly [seed: number, purpose: number, first: number] },
  ): Promise<Uint8Array[]>;
}

/** Single-step or multi-step prediction: its tokenizer and its world. */
export interface VideoKind<T extends VideoTokenizer = VideoTokenizer> {
  /**
   * Checks the sizes of a tokenizer that is to be trained.
   *
   * @throws {UserError} When no tokenizer can have them.
   */
  checkSizes(config: RobotVideoConfig, data: RobotVideoData): void;
  /** A tokenizer to be trained. */
  newTokenizer(engine: Engine, config: RobotVideoConfig, data: RobotVideoData): T;
  /**
   * A trained tokenizer.
   *
   * @throws {UserError} When the folder is not what it should be.
   */
  loadTokenizer(engine: Engine, folder: string, config: RobotVideoConfig, data: RobotVideoData): Promise<T>;
  /** Trains a tokenizer; step n sees the same whether or not the run was interrupted. */
  trainer(tokenizer: T, parts: TrainerParts): VideoTokenizerTrainer;
  /** What is predicted with a trained tokenizer, which stays the caller's. */
  prediction(tokenizer: T, config: RobotVideoConfig, data: RobotVideoData, lpips: Lpips | undefined): VideoPrediction;
}

/** Fields of the configuration in the trainer's words. */
export function tokenizerTraining({ tokenizer }: RobotVideoConfig): Partial<TokenizerTrainingConfig> {
  return {
    steps: tokenizer.steps,
    learningRate: tokenizer.learningRate,
    warmupSteps: tokenizer.warmupSteps,
    maxGradientNorm: tokenizer.maxGradientNorm,
    beta2: tokenizer.beta2,
    squaredErrorWeight: tokenizer.mseWeight,
    roundingWeight: tokenizer.roundingWeight,
    latentSpreadWeight: tokenizer.latentSpreadWeight,
    perceptualWeight: tokenizer.lpipsWeight,
    adversarialWeight: tokenizer.adversarialWeight,
    adversarialStart: tokenizer.adversarialStart,
  };
}

/**
 * Varies frames of one place and time, in place and all alike: crop and colours, as the released tokenizers were trained with.
 * Does nothing unless `tokenizer.augment` asks for it.
 *
 * @param frames RGB bytes, each [any number, height, width, 3].
 * @param step,item The tokenizer's step and the place in its batch: they name the random stream.
 */
export function augmentTokenizerFrames(
  { seed, tokenizer }: RobotVideoConfig,
  { height, width }: { height: number; width: number },
  frames: readonly Uint8Array[],
  step: number,
  item: number,
): void {
  if (!tokenizer.augment) return;
  const random = new Philox(seed, STREAM.tokenizerAugmentation, step, item);
  const crop = drawCrop(random, height, width, TOKENIZER_CROP);
  const colours = drawColourJitter(random, TRAINING_COLOUR_JITTER);
  const size = height * width * 3;
  for (const sequence of frames) {
    for (let at = 0; at < sequence.length; at += size) {
      cropAndJitter(sequence.subarray(at, at + size), height, width, crop, colours);
    }
  }
}

/** The image metrics that predictions are compared by; LPIPS where there are weights for it. */
export function imageMetrics(lpips: Lpips | undefined): ImageMetric[] {
  const ofPixels = [mae, mse, psnr, ssim];
  return lpips ? [...ofPixels, lpipsMetric((predicted, target) => lpips.distance(predicted, target))] : ofPixels;
}

/** Frames whose mean is a tokenizer's background. */
const BACKGROUND_FRAMES = 512;

/** The mean of some training frames becomes a tokenizer's background. */
export async function setBackground(
  engine: Engine,
  { parameters }: VideoTokenizer,
  { source, split }: RobotVideoData,
  seed: number,
): Promise<void> {
  const size = source.height * source.width * 3, mean = new Float32Array(size);
  const random = new Philox(seed, STREAM.tokenizerBatch, BACKGROUND_FRAMES);
  for (let i = 0; i < BACKGROUND_FRAMES; i++) {
    const episode = await source.load(split.train[random.integer(0, split.train.length)]);
    const at = random.integer(0, episode.length) * size;
    for (let p = 0; p < size; p++) mean[p] += episode.frames[at + p] / (255 * BACKGROUND_FRAMES);
  }
  const background = parameters.get("background")!;
  const value = tensor(engine, mean, background.shape);
  background.assign(value);
  value.dispose();
}
