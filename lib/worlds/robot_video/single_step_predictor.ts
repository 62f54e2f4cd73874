/**
 * Interactive prediction with a single-step model: every frame is asked for anew, from the K frames before it and the actions
 * taken at them. Nothing is cached from frame to frame: as the history moves on, every position changes.
 */
import type { FrameTokenizer } from "../../models/frame_tokenizer.ts";
import { longestSequence } from "../../models/transformer_config.ts";
import { tidy } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Tokens } from "../world.ts";
import type { FramePredictor, PredictorOptions } from "./frame_predictor.ts";
import { checkPredictor, checkStartFrames, drawFrame, toBytes } from "./predicted_frames.ts";
import { RolloutStates } from "./rollout_states.ts";
import { singleStepLengths, singleStepQuestion } from "./single_step_sequences.ts";
import { clampedFrame, type SingleStepVocabulary, singleStepVocabulary } from "./vocabulary.ts";
import { writePixels } from "./single_step_world.ts";

/**
 * What {@linkcode singleStepPredictor} is made of.
 *
 * @internal
 */
export interface SingleStepPredictorOptions extends PredictorOptions {
  /** Frames ↔ tokens. */
  tokenizer: FrameTokenizer;
  /** K, the history frames that the model was trained on. */
  history: number;
  /** [A]: the action that stands between the repeated start frames of the first history. Zeros when left out. */
  restAction?: Float32Array;
}

/**
 * Prediction with a single-step model: each frame from the K before it. The first history is the start frame, repeated.
 *
 * @throws {RangeError} When an option is out of its range, or model, tokenizer and bins do not belong together.
 */
export function singleStepPredictor(options: SingleStepPredictorOptions): FramePredictor {
  return new SingleStepPredictor(options);
}

/** Rollouts computed at once where the caller says nothing. */
const MAX_ROWS = 64;

/** What a rollout remembers. */
interface History {
  /** [K][P], oldest first. */
  frames: Tokens[];
  /** [K − 1][A]: the bins of the actions taken at all of them but the last. */
  actions: Int32Array[];
}

class SingleStepPredictor implements FramePredictor {
  /** H. */
  readonly height: number;
  /** W. */
  readonly width: number;
  /** A. */
  readonly actionWidth: number;
  /** Infinity: the history is always the last K frames. */
  readonly horizon: number = Infinity;
  readonly #options: SingleStepPredictorOptions;
  readonly #vocabulary: SingleStepVocabulary;
  readonly #rest: Int32Array;
  readonly #states: RolloutStates;
  #histories: History[] = [];

  constructor(options: SingleStepPredictorOptions) {
    const { model, tokenizer, bins, history, restAction = new Float32Array(bins.width) } = options;
    this.height = tokenizer.config.height;
    this.width = tokenizer.config.width;
    this.actionWidth = bins.width;
    this.#options = options;
    this.#vocabulary = singleStepVocabulary(tokenizer.codebookSize, bins.bins);
    checkPredictor(options, this.#vocabulary.size);
    const sizes = { tokensPerFrame: tokenizer.tokensPerFrame, history, actionWidth: bins.width };
    const { total } = singleStepLengths(sizes), positions = longestSequence(model.config);
    if (total > positions) {
      throw new RangeError(`history ${history} needs ${total} positions: the model has ${positions}`);
    }
    if (restAction.length !== bins.width) {
      throw new RangeError(`restAction must have ${bins.width} numbers: received ${restAction.length}`);
    }
    this.#rest = bins.encode(restAction);
    this.#states = new RolloutStates(bins);
  }

  async reset(frames: readonly Uint8Array[], seed: number): Promise<Uint8Array[]> {
    checkStartFrames(frames, this.height, this.width);
    return await this.#states.exclusively("reset", async () => {
      this.dispose();
      const { tokenizer, history } = this.#options, { height, width } = this;
      const tokens: Tokens[] = [];
      for (const some of this.#portions([...frames])) {
        const pixels = new Float32Array(some.length * height * width * 3);
        some.forEach((frame, i) => writePixels(frame, pixels, i * frame.length));
        const encoded = tidy(() => tokenizer.encode(tensor(tokenizer.engine, pixels, [some.length, height, width, 3])));
        const numbers = await encoded.data() as Int32Array, size = tokenizer.tokensPerFrame;
        encoded.dispose();
        tokens.push(...some.map((_, i) => numbers.slice(i * size, (i + 1) * size)));
      }
      this.#histories = tokens.map((frame) => ({
        frames: new Array<Tokens>(history).fill(frame),
        actions: new Array<Int32Array>(history - 1).fill(this.#rest),
      }));
      return this.#states.begin(await this.#decode(tokens), seed);
    });
  }

  async step(actions: readonly (Float32Array | null)[]): Promise<Uint8Array[]> {
    return await this.#states.exclusively("step", async () => {
      const running = this.#states.check(actions), drawn: Tokens[] = [];
      try {
        for (const some of this.#portions(running)) {
          drawn.push(...await this.#predict(some, some.map((rollout) => actions[rollout]!)));
        }
        const decoded = await this.#decode(drawn);
        return this.#states.advance(new Map(running.map((rollout, i) => [rollout, decoded[i]])));
      } catch (error) {
        // Some rollouts may be a frame further than others.
        this.dispose();
        throw error;
      }
    });
  }

  dispose(): void {
    this.#histories = [];
    this.#states.forget();
  }

  /** The next frames of some rollouts, which then belong to their histories. */
  async #predict(rollouts: readonly number[], actions: readonly Float32Array[]): Promise<Tokens[]> {
    const { model, tokenizer, bins, sampling } = this.#options;
    const taken = actions.map((action) => bins.encode(action));
    const questions = rollouts.map((rollout, i) => {
      const { frames, actions } = this.#histories[rollout];
      return singleStepQuestion(this.#vocabulary, frames, [...actions, taken[i]]);
    });
    const ids = Int32Array.from(questions.flatMap((each) => [...each]));
    const { cache, hidden } = tidy(() =>
      model.prefill(tensor(model.engine, ids, [questions.length, questions[0].length], "int64"), {
        group: 1,
        maxNewTokens: tokenizer.tokensPerFrame,
      })
    );
    try {
      const drawn = await drawFrame(model, cache, {
        hidden,
        tokens: tokenizer.tokensPerFrame,
        sampling,
        stream: this.#states.stream,
        rollouts,
        before: questions,
      });
      return drawn.map((tokens, i) => {
        const frame = clampedFrame(this.#vocabulary, tokens), history = this.#histories[rollouts[i]];
        history.frames = [...history.frames.slice(1), frame];
        history.actions = [...history.actions, taken[i]].slice(1);
        return frame;
      });
    } finally {
      cache.dispose();
    }
  }

  async #decode(frames: readonly Tokens[]): Promise<Uint8Array[]> {
    const { tokenizer } = this.#options, decoded: Uint8Array[] = [];
    for (const some of this.#portions(frames)) {
      const ids = Int32Array.from(some.flatMap((each) => [...each]));
      const pixels: Tensor = tidy(() =>
        tokenizer.decode(tensor(tokenizer.engine, ids, [some.length, tokenizer.tokensPerFrame], "int64"))
      );
      decoded.push(...await toBytes(pixels));
    }
    return decoded;
  }

  #portions<T>(items: readonly T[]): T[][] {
    const atOnce = this.#options.maxRows ?? MAX_ROWS, portions: T[][] = [];
    for (let from = 0; from < items.length; from += atOnce) portions.push(items.slice(from, from + atOnce));
    return portions;
  }
}
