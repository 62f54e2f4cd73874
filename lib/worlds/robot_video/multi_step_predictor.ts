/**
 * Interactive prediction with a multi-step model: keys and values of everything so far stay cached, so that a frame costs
 * its own tokens and its action's.
 *
 *     context = start frame | z_0 b_0 → z_1, b_1 → z_2, … b_{h−1} → z_h | the window slides: context, z_h as z_0, …
 *
 * After `horizon` frames the history is dropped. The context's keys and values stay: its positions are the same in every
 * window. Rollouts of one start frame share them, and what the decoder makes of the context is computed once for each start
 * frame.
 *
 * Source: RLVR-World §6.4 and its code's `eval_runenv.py`, which reads the whole sequence again for every frame.
 */
import type { SharedCache } from "../../models/causal_transformer_cache.ts";
import type { ContextFeatures } from "../../models/compressive_tokenizer_context.ts";
import { longestSequence } from "../../models/transformer_config.ts";
import { tidy } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Tokens } from "../world.ts";
import type { FramePredictor, PredictorOptions } from "./frame_predictor.ts";
import { actionIds, contextIds } from "./multi_step_sequences.ts";
import type { ClipTokenizer } from "./multi_step_world.ts";
import { checkPredictor, checkStartFrames, distinctFrames, drawFrame, toBytes } from "./predicted_frames.ts";
import { RolloutStates } from "./rollout_states.ts";
import { clampedFrame, type MultiStepVocabulary, multiStepVocabulary } from "./vocabulary.ts";
import { writePixels } from "./single_step_world.ts";

/**
 * What {@linkcode multiStepPredictor} is made of.
 *
 * @internal
 */
export interface MultiStepPredictorOptions extends PredictorOptions {
  /** Frames ↔ tokens. */
  tokenizer: ClipTokenizer;
  /** See {@linkcode FramePredictor.horizon}; 7 for the released models, which were trained on one frame and 7 that follow. */
  horizon: number;
}

/**
 * Prediction with a multi-step model. The start frame is its own context frame; after `horizon` frames the last one becomes
 * the start and the context stays (a sliding window). Rollouts of one start frame share what is computed of it.
 *
 * @throws {RangeError} When an option is out of its range, the horizon does not fit into the model's positions, or model,
 *   tokenizer and bins do not belong together.
 */
export function multiStepPredictor(options: MultiStepPredictorOptions): FramePredictor {
  return new MultiStepPredictor(options);
}

/** One rollout that runs: a row of its batch's cache. */
interface Row {
  /** Its number. */
  rollout: number;
  /** Ids of its context. */
  context: Tokens;
  /** Its last frame as it was drawn. */
  last: Tokens;
  /** Tokens that are to be fed before the next action. */
  waiting: Tokens;
  /** Everything in the window, in any order: for the repetition penalty, and empty without one. */
  said: number[];
}

/** Rollouts that are computed together. */
interface Batch {
  cache: SharedCache;
  /** One entry a prompt of the cache. */
  features: ContextFeatures;
  rows: Row[];
}

class MultiStepPredictor implements FramePredictor {
  /** H. */
  readonly height: number;
  /** W. */
  readonly width: number;
  /** A. */
  readonly actionWidth: number;
  /** Frames of a window. */
  readonly horizon: number;
  readonly #options: MultiStepPredictorOptions;
  readonly #vocabulary: MultiStepVocabulary;
  readonly #penalizes: boolean;
  /** The most frames that the model's positions have room for. */
  readonly #mostFrames: number;
  readonly #states: RolloutStates;
  #batches: Batch[] = [];
  /** Frames predicted in this window. */
  #inWindow = 0;

  constructor(options: MultiStepPredictorOptions) {
    const { model, tokenizer, bins, horizon, sampling } = options;
    this.height = tokenizer.config.height;
    this.width = tokenizer.config.width;
    this.actionWidth = bins.width;
    this.horizon = horizon;
    this.#options = options;
    this.#vocabulary = multiStepVocabulary(tokenizer.codebookSize, tokenizer.contextCodebookSize, bins.bins);
    checkPredictor(options, this.#vocabulary.size);
    this.#penalizes = (sampling.repetitionPenalty ?? 1) !== 1;
    this.#states = new RolloutStates(bins);
    if (!(horizon === Infinity || (Number.isInteger(horizon) && horizon >= 1))) {
      throw new RangeError(`horizon must be an integer of at least 1, or Infinity: received ${horizon}`);
    }
    // The last token of the last frame is drawn but not fed.
    const { contextTokens, tokensPerFrame } = tokenizer, positions = longestSequence(model.config);
    this.#mostFrames = Math.floor((positions - contextTokens - tokensPerFrame + 1) / (tokensPerFrame + bins.width));
    if (this.#mostFrames < (horizon === Infinity ? 1 : horizon)) {
      throw new RangeError(
        `horizon ${horizon} does not fit into the model's ${positions} positions: they hold ` +
          `${Math.max(0, this.#mostFrames)} predicted frames`,
      );
    }
  }

  async reset(frames: readonly Uint8Array[], seed: number): Promise<Uint8Array[]> {
    checkStartFrames(frames, this.height, this.width);
    return await this.#states.exclusively("reset", async () => {
      this.#clear();
      const shown = new Array<Uint8Array>(frames.length);
      // Equal start frames lie side by side.
      const { of } = distinctFrames(frames), order = [...frames.keys()].sort((a, b) => of[a] - of[b] || a - b);
      const atOnce = this.#options.maxRows ?? order.length;
      await this.#orClear(async () => {
        for (let from = 0; from < order.length; from += atOnce) {
          const rollouts = order.slice(from, from + atOnce);
          const batch = await this.#begin(rollouts, rollouts.map((rollout) => frames[rollout]));
          this.#batches.push(batch);
          const decoded = await this.#decode(batch);
          rollouts.forEach((rollout, row) => shown[rollout] = decoded[row]);
        }
      });
      return this.#states.begin(shown, seed);
    });
  }

  async step(actions: readonly (Float32Array | null)[]): Promise<Uint8Array[]> {
    return await this.#states.exclusively("step", async () => {
      const running = new Set(this.#states.check(actions));
      this.#batches = this.#batches.filter((batch) => keepRows(batch, running));
      if (this.#inWindow === this.horizon) this.#slide();
      if (running.size > 0 && this.#inWindow === this.#mostFrames) {
        throw new RangeError(
          `step: the model's positions hold ${this.#mostFrames} predicted frames: give the predictor a horizon of at ` +
            `most that, so that the window slides`,
        );
      }
      const shown = new Map<number, Uint8Array>();
      await this.#orClear(async () => {
        for (const batch of this.#batches) {
          await this.#predict(batch, batch.rows.map(({ rollout }) => actions[rollout]!));
          const decoded = await this.#decode(batch);
          batch.rows.forEach(({ rollout }, row) => shown.set(rollout, decoded[row]));
        }
      });
      this.#inWindow++;
      return this.#states.advance(shown);
    });
  }

  dispose(): void {
    this.#clear();
  }

  /** Work that leaves rollouts half a step further when it fails, out of memory: they are then all dropped. */
  async #orClear(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#clear();
      throw error;
    }
  }

  #clear(): void {
    for (const batch of this.#batches) disposeBatch(batch);
    this.#batches = [];
    this.#inWindow = 0;
    this.#states.forget();
  }

  /** Reads the start frames of some rollouts, equal ones side by side. */
  async #begin(rollouts: readonly number[], frames: readonly Uint8Array[]): Promise<Batch> {
    const { model, tokenizer } = this.#options, { engine, contextTokens, tokensPerFrame } = tokenizer;
    const { distinct, of } = distinctFrames(frames);
    const { contexts, starts } = await this.#tokenize(distinct);
    const shape = [distinct.length, contextTokens];
    const ids = contexts.map((each) => contextIds(this.#vocabulary, each));
    // Rows of one prompt must be equally many for each; where they are not, every row gets its own copy of the keys.
    const group = frames.length / distinct.length;
    const isEven = Number.isInteger(group) && of.every((each, row) => each === Math.floor(row / group));
    const room = Math.min(this.horizon, this.#mostFrames) * (tokensPerFrame + this.actionWidth) + tokensPerFrame - 1;
    const cache = tidy(() =>
      model.prefill(tensor(engine, flatten(ids), shape, "int64"), { group: isEven ? group : 1, maxNewTokens: room })
        .cache
    );
    try {
      let features = tidy(() => tokenizer.contextFeatures(tensor(engine, flatten(contexts), shape, "int64")));
      if (!isEven) {
        cache.select(of.map((prompt) => ({ prompt, samples: [0] })));
        features = selected(features, of);
      }
      const rows = rollouts.map((rollout, row): Row => {
        const context = ids[of[row]], last = starts[of[row]];
        return { rollout, context, last, waiting: last, said: this.#penalizes ? [...context] : [] };
      });
      return { cache, features, rows };
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  /** Tokens of frames that are their own contexts. */
  async #tokenize(frames: readonly Uint8Array[]): Promise<{ contexts: Tokens[]; starts: Tokens[] }> {
    const { tokenizer } = this.#options, { height, width } = this, count = frames.length;
    const pixels = new Float32Array(count * height * width * 3);
    frames.forEach((frame, i) => writePixels(frame, pixels, i * frame.length));
    const tokens = tidy(() => {
      const contexts = tensor(tokenizer.engine, pixels, [count, height, width, 3]);
      return tokenizer.encode(contexts, contexts.reshape([count, 1, height, width, 3]));
    });
    const read = async (x: Tensor) => {
      const numbers = await x.data() as Int32Array, each = x.size / count;
      x.dispose();
      return frames.map((_, i) => numbers.slice(i * each, (i + 1) * each));
    };
    return { contexts: await read(tokens.context), starts: await read(tokens.frames) };
  }

  /** Draws the next frame of every row. */
  async #predict({ cache, rows }: Batch, actions: readonly Float32Array[]): Promise<void> {
    const { model, tokenizer, bins, sampling } = this.#options, count = tokenizer.tokensPerFrame;
    const given = rows.map(({ waiting }, row) =>
      Int32Array.of(...waiting, ...actionIds(this.#vocabulary, bins.encode(actions[row])))
    );
    if (this.#penalizes) rows.forEach(({ said }, row) => said.push(...given[row]));
    const hidden = tidy(() =>
      model.decode(cache, tensor(model.engine, flatten(given), [rows.length, given[0].length], "int64"))
    );
    const drawn = await drawFrame(model, cache, {
      hidden,
      tokens: count,
      sampling,
      stream: this.#states.stream,
      rollouts: rows.map(({ rollout }) => rollout),
      before: rows.map(({ said }) => said),
    });
    rows.forEach((row, i) => {
      row.last = drawn[i];
      row.waiting = drawn[i].subarray(count - 1);
      if (this.#penalizes) row.said.push(...drawn[i]);
    });
  }

  /** Drops the history: context and last frame are what remains. */
  #slide(): void {
    for (const { cache, rows } of this.#batches) {
      cache.rewind();
      for (const row of rows) {
        row.waiting = row.last;
        if (this.#penalizes) row.said = [...row.context];
      }
    }
    this.#inWindow = 0;
  }

  /** The last frame of every row, as pixels. */
  #decode({ cache, features, rows }: Batch): Promise<Uint8Array[]> {
    const { tokenizer } = this.#options, shape = [cache.prompts, cache.group, tokenizer.tokensPerFrame];
    const ids = flatten(rows.map(({ last }) => clampedFrame(this.#vocabulary, last)));
    return toBytes(tidy(() => {
      const frames = tokenizer.decode(features, tensor(tokenizer.engine, ids, shape, "int64"));
      return frames.reshape([rows.length, this.height, this.width, 3]);
    }));
  }
}

/**
 * Keeps the rows of the rollouts that run.
 *
 * @returns Whether there are any; otherwise the batch has been given back.
 */
function keepRows(batch: Batch, running: ReadonlySet<number>): boolean {
  const { cache, rows } = batch, { group } = cache;
  const kept = [...rows.keys()].filter((row) => running.has(rows[row].rollout));
  if (kept.length === rows.length) return true;
  if (kept.length === 0) {
    disposeBatch(batch);
    return false;
  }
  const byPrompt = Map.groupBy(kept, (row) => Math.floor(row / group));
  const isEven = new Set([...byPrompt.values()].map((each) => each.length)).size === 1;
  const prompts = isEven
    ? [...byPrompt].map(([prompt, own]) => ({ prompt, samples: own.map((row) => row % group) }))
    : kept.map((row) => ({ prompt: Math.floor(row / group), samples: [row % group] }));
  cache.select(prompts);
  batch.features = selected(batch.features, prompts.map(({ prompt }) => prompt));
  batch.rows = kept.map((row) => rows[row]);
  return true;
}

/** Some of the entries, in the place of all. */
function selected(features: ContextFeatures, entries: readonly number[]): ContextFeatures {
  try {
    return features.select(entries);
  } finally {
    features.dispose();
  }
}

function disposeBatch({ cache, features }: Batch): void {
  cache.dispose();
  features.dispose();
}

function flatten(tokens: readonly Tokens[]): Int32Array {
  return Int32Array.from(tokens.flatMap((each) => [...each]));
}
