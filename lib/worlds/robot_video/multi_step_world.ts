/**
 * The robot-video world of multi-step prediction: a context frame, a start frame and its action ask; the frames that follow
 * answer, with the actions between them given.
 *
 * Frames become tokens through a frozen compressive tokenizer: the context many, every other frame a few, which say how it
 * differs from the context. An answer is decoded back to pixels and compared with the true frames, frame by frame. Clips
 * must carry a context frame. Rolling on from one's own predictions with actions that are not known yet is
 * `frame_predictor.ts`.
 *
 * Axes: B clips or answers, T frames of a clip, H height, W width, Nc tokens of a context, N tokens of another frame.
 *
 * Source: RLVR-World §6.3, Eq. 8 and 10.
 */
import type { CompressiveTokenizer } from "../../models/compressive_tokenizer.ts";
import type { ContextFeatures } from "../../models/compressive_tokenizer_context.ts";
import { tidy } from "../../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../tensor/tensor.ts";
import type { EncodedTransition, Metric, Tokens, World } from "../world.ts";
import type { ActionBins } from "./actions.ts";
import type { VideoClip } from "./clips.ts";
import type { ImageMetric } from "./metrics.ts";
import { multiStepAnswer, multiStepQuestion, sampledFramesOfMultiStepAnswer } from "./multi_step_sequences.ts";
import {
  aggregateFrames,
  type FrameAggregate,
  frameContributions,
  frameWeights,
  perCell,
  perFrame,
  repeats,
  repetitionRate,
  tokenGrid,
} from "./video_metrics.ts";
import { clampedFrame, type MultiStepVocabulary, multiStepVocabulary } from "./vocabulary.ts";
import { writePixels } from "./single_step_world.ts";

/**
 * What multi-step prediction needs of a compressive tokenizer.
 *
 * @internal
 */
export type ClipTokenizer = Pick<
  CompressiveTokenizer,
  | "engine"
  | "config"
  | "contextTokens"
  | "tokensPerFrame"
  | "contextCodebookSize"
  | "codebookSize"
  | "encode"
  | "contextFeatures"
  | "decode"
>;

/**
 * A batch of frame sequences.
 *
 * @internal
 */
export interface FrameSequences {
  /** Frames 1 … T − 1 of clips: [B, T − 1, H, W, 3] in [0, 1]. */
  frames: Tensor;
  /** Tokens of predicted frames, [B][T − 1][N]; empty where the frames are the true ones, which are not made of tokens. */
  tokens: readonly (readonly Tokens[])[];
}

/**
 * A clip in tokens, as the tokenizer gives them.
 *
 * @internal
 */
export interface ClipTokens {
  /** [Nc]. */
  context: Tokens;
  /** [T][N]: the start frame and those after it. */
  frames: Tokens[];
}

/** What the world is made of. */
export interface MultiStepWorldOptions {
  /** Makes tokens of frames; it is not trained here, and stays the caller's. */
  tokenizer: ClipTokenizer;
  /** Makes A tokens of an action: equal bins over each dimension's range. */
  bins: ActionBins;
  /** Metrics by which frames are compared. */
  metrics: readonly ImageMetric[];
  /** How the numbers of a sequence's frames become one. @default {"mean"} */
  aggregate?: FrameAggregate;
  /** What answers are credited by, where the trainer credits parts: frames, or the patch that each token stands for. */
  parts?: "frames" | "patches";
  /** Frames that are handed to the tokenizer's encoder and to a metric at once. @default {64} */
  frameBatch?: number;
  /**
   * Remember the tokens of at most so many clips by episode, start and context. Only for clips that are neither augmented
   * nor cut with a step: those have other frames under the same name. Default 0: nothing is remembered.
   */
  rememberClips?: number;
}

/**
 * Clips of each tokenizer call where tokens are remembered; the last call is filled up with black ones. As in
 * `single_step_world.ts`: one shape, so that a resumed run, which remembers nothing, finds the same tokens.
 */
const REMEMBERED_BATCH = 4;

/**
 * The world of several frames ahead: from a context frame, a first frame and actions to T − 1 frames; clips are
 * transitions, [B, T − 1, H, W, 3] the states.
 */
export class MultiStepWorld implements World<VideoClip, FrameSequences> {
  /** `robot-video-multi-step`, for logs and error messages. */
  readonly name = "robot-video-multi-step";
  /** Makes tokens of frames and frames of tokens; frozen. */
  readonly tokenizer: ClipTokenizer;
  /** Which ids are context codes, frame codes, action bins, BOS and EOS. */
  readonly vocabulary: MultiStepVocabulary;
  /** The image metrics by name, and `repetition`: the rate of standing still, see `repetitionRate`. */
  readonly metrics: Readonly<Record<string, Metric<FrameSequences>>>;
  readonly #bins: ActionBins;
  readonly #frameBatch: number;
  readonly #rememberClips: number;
  /** Parts of a frame. */
  readonly #parts: number;
  readonly #remembered = new Map<string, ClipTokens>();
  /** Decoding asks for the contexts of the clips that were encoded a moment before. */
  readonly #ofClip = new WeakMap<VideoClip, ClipTokens>();

  /** The tokenizer stays the caller's. */
  constructor(options: MultiStepWorldOptions) {
    const { tokenizer, bins, aggregate = "mean" } = options;
    this.tokenizer = tokenizer;
    this.#bins = bins;
    this.#frameBatch = options.frameBatch ?? 64;
    this.#rememberClips = options.rememberClips ?? 0;
    this.#parts = options.parts === "patches" ? tokenizer.tokensPerFrame : 1;
    this.vocabulary = multiStepVocabulary(tokenizer.codebookSize, tokenizer.contextCodebookSize, bins.bins);
    this.metrics = {
      ...Object.fromEntries(options.metrics.map((metric) => [metric.name, this.#sequenceMetric(metric, aggregate)])),
      repetition: {
        better: "lower",
        compute: ({ tokens }) => Promise.resolve(Float32Array.from(tokens, repetitionRate)),
        computeParts: ({ tokens }) => {
          // What a frame adds is known when its last token is.
          const none = Array<number>(this.#parts - 1).fill(0);
          return Promise.resolve({
            values: Float32Array.from(tokens, repetitionRate),
            contributions: Float32Array.from(tokens.flatMap(repeats).flatMap((share) => [...none, share])),
          });
        },
      },
    };
  }

  /** Frame tokens, context tokens, action bins, and the two specials that no sequence has. */
  get vocabularySize(): number {
    return this.vocabulary.size;
  }

  /**
   * Questions of context, start frame and first action; answers of the frames that follow and their actions.
   *
   * @throws {RangeError} if a clip has no context frame, or clips differ in size.
   */
  async encode(clips: readonly VideoClip[]): Promise<EncodedTransition[]> {
    const tokens = await this.clipTokens(clips);
    return clips.map((clip, i) => {
      const { context, frames } = tokens[i], width = clip.actionWidth;
      const bins = Array.from(
        { length: clip.length },
        (_, t) => this.#bins.encode(clip.actions.subarray(t * width, (t + 1) * width)),
      );
      return {
        question: multiStepQuestion(this.vocabulary, context, frames[0], bins[0]),
        answer: multiStepAnswer(this.vocabulary, frames.slice(1), bins.slice(1), this.#parts),
        trainedQuestionTokens: 0,
      };
    });
  }

  /**
   * Tokens of the context frame and of every frame of each clip.
   *
   * @throws {RangeError} if a clip has no context frame, or clips differ in size.
   */
  async clipTokens(clips: readonly VideoClip[]): Promise<ClipTokens[]> {
    checkClips(clips);
    const key = ({ episode, start, contextIndex }: VideoClip) => `${episode}/${start}/${contextIndex}`;
    const found = clips.map((clip) => this.#ofClip.get(clip) ?? this.#remembered.get(key(clip)));
    const missing = [...clips.keys()].filter((i) => !found[i]);
    const isRemembering = this.#rememberClips > 0;
    const atOnce = isRemembering
      ? REMEMBERED_BATCH
      : Math.max(1, Math.floor(this.#frameBatch / ((clips[0]?.length ?? 0) + 1)));
    for (let from = 0; from < missing.length; from += atOnce) {
      const some = missing.slice(from, from + atOnce);
      const tokens = await this.#tokenize(some.map((i) => clips[i]), isRemembering ? atOnce : some.length);
      some.forEach((i, row) => {
        found[i] = tokens[row];
        this.#ofClip.set(clips[i], tokens[row]);
        if (this.#remembered.size < this.#rememberClips) this.#remembered.set(key(clips[i]), tokens[row]);
      });
    }
    return found as ClipTokens[];
  }

  /** Tokens of at most `rows` clips in one call of that many. */
  async #tokenize(clips: readonly VideoClip[], rows: number): Promise<ClipTokens[]> {
    const { tokenizer } = this, { height, width, length } = clips[0], size = height * width * 3;
    const contexts = new Float32Array(rows * size), frames = new Float32Array(rows * length * size);
    clips.forEach((clip, i) => {
      writePixels(clip.contextFrame!, contexts, i * size);
      writePixels(clip.frames, frames, i * length * size);
    });
    const tokens = tidy(() =>
      tokenizer.encode(
        tensor(tokenizer.engine, contexts, [rows, height, width, 3]),
        tensor(tokenizer.engine, frames, [rows, length, height, width, 3]),
      )
    );
    const [ofContexts, ofFrames] = [await tokens.context.data(), await tokens.frames.data()] as Int32Array[];
    tokens.context.dispose();
    tokens.frames.dispose();
    const { contextTokens: nc, tokensPerFrame: n } = tokenizer;
    return clips.map((_, i) => ({
      context: ofContexts.slice(i * nc, (i + 1) * nc),
      frames: Array.from(
        { length },
        (_, t) => ofFrames.slice((i * length + t) * n, (i * length + t + 1) * n),
      ),
    }));
  }

  /** The frames of an answer to a clip as they were sampled, whatever ids they have: [T − 1][N]. */
  sampledFrames(answer: Tokens, { length, actionWidth }: VideoClip): Tokens[] {
    const sizes = { tokensPerFrame: this.tokenizer.tokensPerFrame, frames: length, actionWidth };
    return sampledFramesOfMultiStepAnswer(answer, sizes);
  }

  /** Tokens of the frames that an answer to a clip describes, clamped into the codebook, as released: [T − 1][N]. */
  answerTokens(answer: Tokens, clip: VideoClip): Tokens[] {
    return this.sampledFrames(answer, clip).map((frame) => clampedFrame(this.vocabulary, frame));
  }

  /** Decodes answers to frames in [0, 1]. What is made of a clip's context is made once, however many answers it has. */
  async decode(answers: readonly Tokens[], clips: readonly VideoClip[]): Promise<FrameSequences> {
    const tokens = answers.map((answer, i) => this.answerTokens(answer, clips[i]));
    return { frames: await this.decodeTokens(tokens, clips), tokens };
  }

  /**
   * Frames that tokens stand for.
   *
   * @param tokens [B][T'][N], in the codebook; as many frames for each.
   * @param clips [B], whose contexts they belong to.
   * @returns [B, T', H, W, 3] in [0, 1].
   */
  async decodeTokens(tokens: readonly (readonly Tokens[])[], clips: readonly VideoClip[]): Promise<Tensor> {
    const { tokenizer } = this, { engine, contextTokens } = tokenizer;
    // Answers of one clip side by side: the decoder computes what they share once.
    const byClip = Map.groupBy(tokens.keys(), (i) => clips[i]), groups = [...byClip.values()], order = groups.flat();
    const contexts = flatten((await this.clipTokens([...byClip.keys()])).map(({ context }) => context));
    const isEven = groups.every(({ length }) => length === groups[0].length);
    return tidy(() => {
      const features = tokenizer.contextFeatures(tensor(engine, contexts, [groups.length, contextTokens], "int64"));
      try {
        const decode = (of: ContextFeatures, rows: readonly number[]) =>
          this.#decodeRows(of, rows.map((i) => tokens[i]));
        const frames = isEven ? decode(features, order) : concat(groups.map((own, clip) => {
          const one = features.select([clip]);
          try {
            return decode(one, own);
          } finally {
            one.dispose();
          }
        }));
        if (order.every((answer, place) => answer === place)) return frames;
        const places = new Int32Array(order.length);
        order.forEach((answer, place) => places[answer] = place);
        return frames.gather(tensor(engine, places));
      } finally {
        features.dispose();
      }
    });
  }

  /** Frames [B, T', H, W, 3] of sequences that lie side by side, as many of each context. */
  #decodeRows(contexts: ContextFeatures, sequences: readonly (readonly Tokens[])[]): Tensor {
    const { engine, tokensPerFrame } = this.tokenizer, frames = sequences[0].length;
    const shape = [contexts.batch, sequences.length / contexts.batch * frames, tokensPerFrame];
    const decoded = this.tokenizer.decode(contexts, tensor(engine, flatten(sequences.flat()), shape, "int64"));
    return decoded.reshape([sequences.length, frames, ...decoded.shape.slice(2)]);
  }

  /**
   * The frames after the start frame of each clip.
   *
   * @throws {RangeError} if clips differ in size.
   */
  truth(clips: readonly VideoClip[]): Promise<FrameSequences> {
    checkClips(clips);
    const { height, width, length } = clips[0], size = height * width * 3;
    const pixels = new Float32Array(clips.length * (length - 1) * size);
    clips.forEach((clip, i) => writePixels(clip.frames.subarray(size), pixels, i * (length - 1) * size));
    const frames = tensor(this.tokenizer.engine, pixels, [clips.length, length - 1, height, width, 3]);
    return Promise.resolve({ frames, tokens: [] });
  }

  /** Sequences by their places. */
  select({ frames, tokens }: FrameSequences, places: readonly number[]): FrameSequences {
    return {
      frames: tidy(() => frames.gather(tensor(frames.engine, Int32Array.from(places)))),
      tokens: tokens.length === 0 ? tokens : places.map((i) => tokens[i]),
    };
  }

  /** Frees the frames. */
  release(states: FrameSequences): void {
    states.frames.dispose();
  }

  #sequenceMetric(metric: ImageMetric, aggregate: FrameAggregate): Metric<FrameSequences> {
    const parts = this.#parts, framesAtOnce = this.#frameBatch;
    /** A metric's numbers of frames [B, T − 1], as many as there are sequences of, and how long those are. */
    const ofFrames = async (predicted: FrameSequences, truth: FrameSequences) => ({
      values: await perFrame(metric, predicted.frames, truth.frames, framesAtOnce),
      length: predicted.frames.shape[1],
    });
    const byFrame: Metric<FrameSequences>["computeParts"] = async (predicted, truth) => {
      const { values, length } = await ofFrames(predicted, truth);
      return {
        values: aggregateFrames(values, length, aggregate),
        contributions: Float32Array.from(frameContributions(values, length, aggregate)),
      };
    };
    const byPatch: Metric<FrameSequences>["computeParts"] = async (predicted, truth) => {
      const [, length, height, width] = predicted.frames.shape, weights = frameWeights(length, aggregate);
      const grid = tokenGrid(parts, height, width);
      const { values, cells } = await perCell(metric, predicted.frames, truth.frames, grid, framesAtOnce);
      return {
        values: aggregateFrames(values, length, aggregate),
        contributions: cells.map((cell, i) => cell * weights[Math.floor(i / parts) % length]),
      };
    };
    const computeParts = parts === 1 ? byFrame : metric.computeCells ? byPatch : undefined;
    return {
      better: metric.better,
      async compute(predicted, truth) {
        const { values, length } = await ofFrames(predicted, truth);
        return aggregateFrames(values, length, aggregate);
      },
      ...computeParts ? { computeParts } : {},
    };
  }
}

function flatten(tokens: readonly Tokens[]): Int32Array {
  return Int32Array.from(tokens.flatMap((each) => [...each]));
}

function checkClips(clips: readonly VideoClip[]): void {
  for (const clip of clips) {
    const { episode, start, length, height, width } = clip;
    if (clip.contextFrame === undefined) {
      throw new RangeError(`the clip of ${episode} at ${start} has no context frame: draw clips with contextReach`);
    }
    if (length !== clips[0].length || height !== clips[0].height || width !== clips[0].width) {
      throw new RangeError(
        `clips of one batch must have one size: that of ${episode} at ${start} has ${length} frames of ${height} × ` +
          `${width}, the first ${clips[0].length} of ${clips[0].height} × ${clips[0].width}`,
      );
    }
  }
}
