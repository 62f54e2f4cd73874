/**
 * The robot-video world of single-step prediction: four past frames with their actions ask, the next frame answers.
 *
 * Frames become tokens through a frozen tokenizer, actions through bins; an answer is decoded back to pixels and compared
 * with the true frame. Fewer or more history frames are a matter of the clips.
 *
 * Source: RLVR-World §4.2, §6.1, Eq. 7.
 */
import type { FrameTokenizer } from "../../models/frame_tokenizer.ts";
import { tidy } from "../../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../tensor/tensor.ts";
import type { EncodedTransition, Metric, Tokens, World } from "../world.ts";
import type { ActionBins } from "./actions.ts";
import type { VideoClip } from "./clips.ts";
import type { ImageMetric } from "./metrics.ts";
import { frameTokensOfAnswer, singleStepAnswer, singleStepQuestion } from "./single_step_sequences.ts";
import { tokenGrid } from "./video_metrics.ts";
import { type SingleStepVocabulary, singleStepVocabulary } from "./vocabulary.ts";

/** A batch of frames, [B, H, W, 3] in [0, 1]. */
export interface FrameBatch {
  /** [B, H, W, 3], RGB in [0, 1]. */
  frames: Tensor;
}

/** What the world is made of. */
export interface RobotVideoWorldOptions {
  /** Makes tokens of frames; it is not trained here, and stays the caller's. */
  tokenizer: FrameTokenizer;
  /** Makes A tokens of an action: equal bins over each dimension's range. */
  bins: ActionBins;
  /** Metrics by which frames are compared. */
  metrics: readonly ImageMetric[];
  /** Whether answers have parts, the patch that each token stands for, which the trainer may credit. @default {false} */
  patches?: boolean;
  /** Frames that the tokenizer works on at once. @default {64} */
  frameBatch?: number;
  /**
   * Remember the tokens of frames by episode and index, at most so many frames. Only for clips that are neither augmented
   * nor cut with a step: those have other frames under the same index. Default 0: nothing is remembered.
   */
  rememberFrames?: number;
}

/**
 * Frames of each tokenizer call where tokens are remembered; the last call is filled up with black ones. Libraries choose
 * their kernels by shape and round differently with each, and which frames are missing depends on what was asked before: with
 * one shape, a resumed run, which remembers nothing, finds the same tokens.
 */
const REMEMBERED_BATCH = 16;

/**
 * The world of one frame ahead: history frames and actions ask, the next frame answers; clips are transitions, [B, H,
 * W, 3] the states.
 */
export class RobotVideoWorld implements World<VideoClip, FrameBatch> {
  /** `robot-video`, for logs and error messages. */
  readonly name = "robot-video";
  /** Makes tokens of frames and frames of tokens; frozen. */
  readonly tokenizer: FrameTokenizer;
  /** Which ids are frame codes, action bins, BOS and EOS. */
  readonly vocabulary: SingleStepVocabulary;
  /** The given image metrics over batches of frames, by name. */
  readonly metrics: Readonly<Record<string, Metric<FrameBatch>>>;
  readonly #bins: ActionBins;
  readonly #frameBatch: number;
  readonly #rememberFrames: number;
  readonly #patches: boolean;
  readonly #remembered = new Map<string, Tokens>();

  /** The tokenizer stays the caller's. */
  constructor(options: RobotVideoWorldOptions) {
    this.tokenizer = options.tokenizer;
    this.#bins = options.bins;
    this.#frameBatch = options.frameBatch ?? 64;
    this.#rememberFrames = options.rememberFrames ?? 0;
    this.vocabulary = singleStepVocabulary(options.tokenizer.codebookSize, options.bins.bins);
    this.#patches = options.patches ?? false;
    const patches = this.#patches ? this.tokenizer.tokensPerFrame : undefined;
    this.metrics = Object.fromEntries(options.metrics.map((metric) => [metric.name, batchMetric(metric, patches)]));
  }

  /** Frame tokens, action bins, BOS and EOS. */
  get vocabularySize(): number {
    return this.vocabulary.size;
  }

  /** Questions of every frame but the last; answers of the last. */
  async encode(clips: readonly VideoClip[]): Promise<EncodedTransition[]> {
    const frames = await this.frameTokens(clips);
    return clips.map((clip, i) => {
      const history = clip.length - 1, width = clip.actionWidth;
      const bins = Array.from(
        { length: history },
        (_, t) => this.#bins.encode(clip.actions.subarray(t * width, (t + 1) * width)),
      );
      const tokens = singleStepAnswer(this.vocabulary, frames[i][history]);
      return {
        question: singleStepQuestion(this.vocabulary, frames[i].slice(0, history), bins),
        answer: {
          tokens,
          sampled: new Uint8Array(tokens.length).fill(1),
          // What ends the answer belongs to the last patch.
          parts: this.#patches ? Uint16Array.from(tokens, (_, t) => Math.min(t, tokens.length - 2)) : undefined,
        },
        // The released labels train the BOS as well.
        trainedQuestionTokens: 1,
      };
    });
  }

  /** Tokens of every frame of some clips. */
  async frameTokens(clips: readonly VideoClip[]): Promise<Tokens[][]> {
    const found = clips.map((clip) => new Array<Tokens | undefined>(clip.length));
    const missing: { clip: number; frame: number; key: string }[] = [];
    clips.forEach((clip, i) => {
      for (let frame = 0; frame < clip.length; frame++) {
        const key = `${clip.episode}/${clip.start + frame}`;
        found[i][frame] = this.#remembered.get(key);
        if (!found[i][frame]) missing.push({ clip: i, frame, key });
      }
    });
    const isRemembering = this.#rememberFrames > 0;
    const atOnce = isRemembering ? REMEMBERED_BATCH : this.#frameBatch;
    for (let from = 0; from < missing.length; from += atOnce) {
      const some = missing.slice(from, from + atOnce);
      const rows = isRemembering ? atOnce : some.length;
      const { height, width } = clips[some[0].clip], size = height * width * 3;
      const pixels = new Float32Array(rows * size);
      some.forEach(({ clip, frame }, i) => {
        writePixels(clips[clip].frames.subarray(frame * size, (frame + 1) * size), pixels, i * size);
      });
      const tokens = tidy(() => this.tokenizer.encode(tensor(this.tokenizer.engine, pixels, [rows, height, width, 3])));
      const numbers = await tokens.data() as Int32Array;
      tokens.dispose();
      const perFrame = this.tokenizer.tokensPerFrame;
      some.forEach(({ clip, frame, key }, i) => {
        const own = numbers.slice(i * perFrame, (i + 1) * perFrame);
        found[clip][frame] = own;
        if (this.#remembered.size < this.#rememberFrames) this.#remembered.set(key, own);
      });
    }
    return found as Tokens[][];
  }

  /** Decodes answers to frames in [0, 1]. Tokens outside the codebook are clamped into it, as released. */
  decode(answers: readonly Tokens[]): Promise<FrameBatch> {
    const perFrame = this.tokenizer.tokensPerFrame;
    return Promise.resolve(tidy(() => {
      const parts: Tensor[] = [];
      for (let from = 0; from < answers.length; from += this.#frameBatch) {
        const some = answers.slice(from, from + this.#frameBatch);
        const tokens = new Int32Array(some.length * perFrame);
        some.forEach((answer, i) => tokens.set(frameTokensOfAnswer(this.vocabulary, answer, perFrame), i * perFrame));
        parts.push(tidy(() => {
          const ids = tensor(this.tokenizer.engine, tokens, [some.length, perFrame], "int64");
          return this.tokenizer.decode(ids).clamp(0, 1);
        }));
      }
      return { frames: concat(parts) };
    }));
  }

  /** The last frame of each clip. */
  truth(clips: readonly VideoClip[]): Promise<FrameBatch> {
    return Promise.resolve(lastFrames(this.tokenizer.engine, clips));
  }

  /** Frames by their places. */
  select({ frames }: FrameBatch, places: readonly number[]): FrameBatch {
    return { frames: tidy(() => frames.gather(tensor(frames.engine, Int32Array.from(places)))) };
  }

  /** Frees the frames. */
  release(states: FrameBatch): void {
    states.frames.dispose();
  }
}

/** The last frames of some clips as a tensor. */
export function lastFrames(engine: FrameTokenizer["engine"], clips: readonly VideoClip[]): FrameBatch {
  const { height, width } = clips[0], size = height * width * 3;
  const pixels = new Float32Array(clips.length * size);
  clips.forEach((clip, i) => {
    writePixels(clip.frames.subarray((clip.length - 1) * size, clip.length * size), pixels, i * size);
  });
  return { frames: tensor(engine, pixels, [clips.length, height, width, 3]) };
}

/** Bytes to numbers in [0, 1]. */
export function writePixels(bytes: Uint8Array, target: Float32Array, at: number): void {
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i] / 255;
}

/** @param patches Where it is wanted what each of so many patches adds. */
function batchMetric({ better, compute, computeCells }: ImageMetric, patches?: number): Metric<FrameBatch> {
  const read = async (values: Tensor) => {
    const numbers = await values.data() as Float32Array;
    values.dispose();
    return numbers;
  };
  const computeParts: Metric<FrameBatch>["computeParts"] = async (predicted, truth) => {
    const [, height, width] = predicted.frames.shape;
    const { values, cells } = computeCells!(predicted.frames, truth.frames, tokenGrid(patches!, height, width));
    return { values: await read(values), contributions: await read(cells) };
  };
  return {
    better,
    compute: (predicted, truth) => read(compute(predicted.frames, truth.frames)),
    ...patches !== undefined && computeCells ? { computeParts } : {},
  };
}
