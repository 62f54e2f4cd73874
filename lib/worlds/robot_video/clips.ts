/**
 * Clips: short runs of consecutive frames cut out of episodes, for training and for evaluation.
 *
 * Training draws with replacement from named random streams, so that step n sees the same clips whether or not the run
 * was interrupted. Evaluation is one fixed clip a test episode, chosen by numpy's legacy generator seeded with the
 * item's index, so that the released evaluation's clips are met seed for seed. Multi-step prediction also takes a
 * context frame from shortly before the clip: give `contextReach` (15 in the paper) to have it drawn.
 *
 * Axes: S frames of a clip, H height, W width, A action.
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import { UserError } from "../../base/user_error.ts";
import { type ColourJitterLimits, drawColourJitter, jitterColours } from "./augment.ts";
import type { Episode, EpisodeSource } from "./episode.ts";
import { NumpyRandomState } from "./numpy_random.ts";

/** A short run of frames with the action taken at each. */
export interface VideoClip {
  /** The id of the episode it was cut from. */
  readonly episode: string;
  /** The index of its first frame in the episode. */
  readonly start: number;
  /** RGB pixels, [S, H, W, 3]. */
  readonly frames: Uint8Array;
  /** [S, A], row-major: the action taken at each frame. */
  readonly actions: Float32Array;
  /** S, the frames of the clip. */
  readonly length: number;
  /** H, the rows of a frame in pixels. */
  readonly height: number;
  /** W, the columns of a frame in pixels. */
  readonly width: number;
  /** A, the dimensions of an action. */
  readonly actionWidth: number;
  /** The context frame of multi-step prediction, [H, W, 3]; only where it was asked for. */
  readonly contextFrame?: Uint8Array;
  /** The index of the context frame in the episode; only where it was asked for. */
  readonly contextIndex?: number;
}

/** How clips are cut. */
export interface ClipShape {
  /** S, frames in a clip: history and target together. */
  segment: number;
  /** Episode frames from one frame of the clip to the next. @default {1} */
  step?: number;
  /** Draw a context frame at most this many frames before the clip (0 is its first frame). Default: none. */
  contextReach?: number;
}

/**
 * How training clips are drawn.
 *
 * @internal
 */
export interface TrainingClipOptions extends ClipShape {
  /** The run's seed. */
  seed: number;
  /**
   * What to do with an episode that is too short for a clip: `"repeat"` shrinks the step to max(1, ⌊length / S⌋) and then
   * repeats the last frame and action; `"drop"` draws another episode; `"refuse"` is an error that names the episode.
   * @default {"repeat"}
   */
  shortEpisodes?: "repeat" | "drop" | "refuse";
  /** Vary the colours of each clip within these limits. Default: not at all. */
  augmentation?: ColourJitterLimits;
}

const MAX_DRAWS = 1000;

/** Draws training clips: a uniform episode with replacement, then a uniform start. */
export class TrainingClips {
  /** Where the episodes come from. */
  readonly source: EpisodeSource;
  /** How clips are drawn: segment, step, seed, what short episodes become. */
  readonly options: Readonly<TrainingClipOptions>;
  readonly #indices: readonly number[];

  /**
   * A sampler of clips from the given episodes.
   *
   * @param indices the training episodes.
   * @throws {RangeError} if an option is out of its range.
   * @throws {UserError} if there is no episode.
   */
  constructor(source: EpisodeSource, indices: readonly number[], options: TrainingClipOptions) {
    checkShape(options);
    if (indices.length === 0) throw new UserError(`${source.name} has no training episode: add episodes`);
    this.source = source;
    this.options = options;
    this.#indices = indices;
  }

  /**
   * The clip of a name; the same name always gives the same clip.
   *
   * @param name integers such as (step, item).
   * @throws {UserError} if `shortEpisodes` is `"drop"` and a thousand draws found no episode that is long enough, or it is
   *   `"refuse"` and the drawn episode is too short.
   */
  async clip(...name: number[]): Promise<VideoClip> {
    const { seed, segment, step = 1, shortEpisodes = "repeat", contextReach, augmentation } = this.options;
    const random = new Philox(seed, STREAM.clip, ...name);
    for (let draw = 0; draw < MAX_DRAWS; draw++) {
      const episode = await this.source.load(this.#indices[random.integer(0, this.#indices.length)]);
      if (shortEpisodes === "refuse") refuseShort(this.source, episode, segment * step);
      if (shortEpisodes === "drop" && episode.length < segment * step) continue;
      const stride = episode.length >= segment * step ? step : Math.max(1, Math.floor(episode.length / segment));
      const start = random.integer(0, Math.max(episode.length - segment * stride, 0) + 1);
      const context = contextReach === undefined
        ? undefined
        : random.integer(Math.max(start - contextReach, 0), start + 1);
      const clip = cutClip(episode, start, segment, stride, context);
      return augmentation === undefined ? clip : augment(clip, augmentation, random);
    }
    throw new UserError(
      `no episode of ${this.source.name} seems to have ${segment * step} frames (${MAX_DRAWS} drawn): ` +
        `shorten the clip or allow short episodes`,
    );
  }

  /** The clips of one training step: items 0 … size − 1 of `step`. */
  async batch(step: number, size: number): Promise<VideoClip[]> {
    const clips: VideoClip[] = [];
    for (let item = 0; item < size; item++) clips.push(await this.clip(step, item));
    return clips;
  }
}

/** Which clips evaluation looks at. */
export interface EvaluationClipOptions extends ClipShape {
  /**
   * Clips a test episode. 1 is the paper's protocol; more make the intervals of a small data set narrower. Item i is a
   * clip of test episode i mod n and is drawn with seed i, so that the first n items stay those of the protocol.
   */
  itemsPerEpisode?: number;
  /** Seed of item 0: clips of other seeds are others of the same episodes. @default {0} */
  firstSeed?: number;
  /** Repeat the last frame of an episode that is too short for a clip, as the protocol does, or refuse it. @default {"repeat"} */
  shortEpisodes?: "repeat" | "refuse";
}

/** The fixed clips of an evaluation, never augmented. */
export class EvaluationClips {
  /** Where the episodes come from. */
  readonly source: EpisodeSource;
  /** Which clips are looked at. */
  readonly options: Readonly<EvaluationClipOptions>;
  /** The number of clips. */
  readonly length: number;
  readonly #indices: readonly number[];

  /**
   * The evaluation of the given episodes.
   *
   * @param indices the test episodes.
   * @throws {RangeError} if an option is out of its range.
   * @throws {UserError} if there is no episode.
   */
  constructor(source: EpisodeSource, indices: readonly number[], options: EvaluationClipOptions) {
    checkShape(options);
    const { itemsPerEpisode = 1 } = options;
    checkInteger("itemsPerEpisode", itemsPerEpisode, 1);
    if (indices.length === 0) throw new UserError(`${source.name} has no test episode: add episodes`);
    this.source = source;
    this.options = options;
    this.length = indices.length * itemsPerEpisode;
    this.#indices = indices;
  }

  /** The index, in the source, of the episode that an item is cut from. */
  episodeIndex(item: number): number {
    if (!Number.isInteger(item) || item < 0 || item >= this.length) {
      throw new RangeError(`evaluation item must be in 0..${this.length - 1}: received ${item}`);
    }
    return this.#indices[item % this.#indices.length];
  }

  /**
   * The clip of an item.
   *
   * @throws {RangeError} if there is no such item.
   * @throws {UserError} if the episode is too short and `shortEpisodes` is `"refuse"`.
   */
  async clip(item: number): Promise<VideoClip> {
    const episode = await this.source.load(this.episodeIndex(item));
    const { segment, step = 1, contextReach, shortEpisodes = "repeat", firstSeed = 0 } = this.options;
    if (shortEpisodes === "refuse") refuseShort(this.source, episode, segment * step);
    const choice = chooseEvaluationClip(firstSeed + item, episode.length, segment * step, contextReach);
    const stride = episode.length >= segment * step ? step : Math.max(1, Math.floor(episode.length / segment));
    return cutClip(episode, choice.start, segment, stride, choice.context);
  }
}

/**
 * The evaluation's choice in one episode: numpy's `RandomState(item)` draws the start, then the context frame.
 *
 * @param frames how many episode frames a clip spans.
 * @param contextReach see {@link ClipShape}; without it no context is drawn.
 */
export function chooseEvaluationClip(
  item: number,
  episodeLength: number,
  frames: number,
  contextReach?: number,
): { start: number; context?: number } {
  const random = new NumpyRandomState(item);
  const start = random.randint(0, Math.max(episodeLength - frames + 1, 1));
  if (contextReach === undefined) return { start };
  return { start, context: random.randint(Math.max(start - contextReach, 0), start + 1) };
}

/**
 * Cuts frames start, start + step, … out of an episode; past its end the last frame and action are repeated.
 *
 * @throws {RangeError} if the start is outside the episode.
 */
export function cutClip(episode: Episode, start: number, segment: number, step = 1, context?: number): VideoClip {
  const { height, width, actionWidth } = episode;
  if (!Number.isInteger(start) || start < 0 || start >= episode.length) {
    throw new RangeError(`a clip of ${episode.id} must start in 0..${episode.length - 1}: received ${start}`);
  }
  const frameSize = height * width * 3;
  const frames = new Uint8Array(segment * frameSize);
  const actions = new Float32Array(segment * actionWidth);
  for (let i = 0; i < segment; i++) {
    const t = Math.min(start + i * step, episode.length - 1);
    frames.set(episode.frames.subarray(t * frameSize, (t + 1) * frameSize), i * frameSize);
    actions.set(episode.actions.subarray(t * actionWidth, (t + 1) * actionWidth), i * actionWidth);
  }
  const clip: VideoClip = { episode: episode.id, start, frames, actions, length: segment, height, width, actionWidth };
  if (context === undefined) return clip;
  const contextFrame = episode.frames.slice(context * frameSize, (context + 1) * frameSize);
  return { ...clip, contextFrame, contextIndex: context };
}

function refuseShort(source: EpisodeSource, episode: Episode, frames: number): void {
  if (episode.length >= frames) return;
  throw new UserError(
    `episode ${episode.id} of ${source.name} is shorter than a clip: it has ${episode.length} frames, a clip spans ${frames}; ` +
      `remove it, or shorten the clip`,
  );
}

/** One draw for the whole clip: history, target and context frame change alike. */
function augment(clip: VideoClip, limits: ColourJitterLimits, random: Philox): VideoClip {
  const jitter = drawColourJitter(random, limits);
  const frameSize = clip.height * clip.width * 3;
  for (let i = 0; i < clip.length; i++) {
    jitterColours(clip.frames.subarray(i * frameSize, (i + 1) * frameSize), jitter);
  }
  if (clip.contextFrame !== undefined) jitterColours(clip.contextFrame, jitter);
  return clip;
}

function checkShape({ segment, step = 1, contextReach = 0 }: ClipShape): void {
  checkInteger("segment", segment, 2);
  checkInteger("step", step, 1);
  checkInteger("contextReach", contextReach, 0);
}

function checkInteger(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new RangeError(`${name} must be an integer of at least ${least}: received ${value}`);
  }
}
