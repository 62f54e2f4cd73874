/**
 * Data of the robot-video experiment: episodes, their split, training clips, evaluation clips and action bins.
 *
 * As much of a folder as is kept in memory anyway is read when it is opened, so that a bad episode ends a run before it
 * begins; what is beyond that is checked when it is read.
 */
import { join } from "node:path";
import { writeFileAtomic } from "../../io/atomic.ts";
import { breather } from "../../base/breather.ts";
import { readTextFile } from "../../io/plain_file.ts";
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import { fingerprintOf } from "../../runs/fingerprint.ts";
import { STREAM } from "../../base/streams.ts";
import {
  ActionBins,
  type ActionRanges,
  computeActionRanges,
  RT1_ACTION_RANGES,
  RT1_ACTION_WIDTH,
} from "../../worlds/robot_video/actions.ts";
import { TRAINING_COLOUR_JITTER } from "../../worlds/robot_video/augment.ts";
import { type ClipShape, EvaluationClips, TrainingClips } from "../../worlds/robot_video/clips.ts";
import type { EpisodeSource } from "../../worlds/robot_video/episode.ts";
import { openNpzEpisodes } from "../../worlds/robot_video/npz_episodes.ts";
import { splitEpisodes } from "../../worlds/robot_video/split.ts";
import { tableTopEpisodes } from "../../gyms/table_top/episodes.ts";
import type { RobotVideoConfig, RobotVideoUse } from "./config.ts";

/**
 * See the file's head.
 *
 * @internal
 */
export interface RobotVideoData {
  /** Episodes, from files or from the simulator. */
  source: EpisodeSource;
  /** Random clips of training episodes. */
  training: TrainingClips;
  /** Fixed clips of held-out episodes. */
  evaluation: EvaluationClips;
  /** Other clips of the held-out episodes: what an evaluation chooses for its baselines is chosen on them. */
  selection: EvaluationClips;
  /** Bins that make tokens of actions. */
  bins: ActionBins;
  /** Indices of the episodes in `source`. */
  split: { train: number[]; test: number[] };
  /** Hash of episodes, split and clip shape. */
  fingerprint: string;
  /** What the user should know of the data, a line each. */
  notes: string[];
}

/** Bytes of frames that are read and checked when a folder is opened. */
const CHECKED_BYTES = 512 * 2 ** 20;

/** How data are opened. */
export interface RobotVideoDataOptions {
  /**
   * Ranges that a given model was trained with: they are used where they would be computed, since a model's action tokens mean
   * nothing else.
   */
  trainedRanges?: ActionRanges;
  /** What the data are for. @default {"training"} */
  use?: RobotVideoUse;
  /** Ends the reading of episodes when aborted. */
  signal?: AbortSignal;
}

/** Seed of the first selection clip: far beyond those of any evaluation. */
const SELECTION_SEED = 1_000_000_000;

/**
 * Opens the data that a configuration names.
 *
 * @throws {UserError} When a folder or file is not what it should be, or there are too few episodes to hold one out.
 * @throws The signal's reason once it is aborted.
 */
export async function openRobotVideoData(
  config: RobotVideoConfig,
  { trainedRanges, use = "training", signal }: RobotVideoDataOptions = {},
): Promise<RobotVideoData> {
  const { data, seed } = config;
  const { height, width } = data;
  if ((height === null) !== (width === null)) {
    throw new UserError(`data.height is ${height} and data.width is ${width}: set both, or both to null`);
  }
  const source = data.folder === null
    ? tableTopEpisodes({
      episodes: data.episodes,
      length: data.episodeLength,
      height: height ?? 32,
      width: width ?? 32,
      objects: data.objects,
      behaviour: data.behaviour,
      ...(data.behaviour === "tasks" ? {} : { drawer: data.drawer, zone: data.zone }),
      slip: data.slip,
      seed: STREAM.simulator * 1_000_003 + seed,
    })
    : await openNpzEpisodes(data.folder, {
      imageKey: data.imageKey,
      actionKey: data.actionKey,
      actionRanges: data.actionRanges === "rt1" ? RT1_ACTION_RANGES : undefined,
      resolution: height === null || width === null ? undefined : { height, width },
    });
  const split = data.heldOut === "all" ? everyEpisode(source.length) : splitEpisodes(source.length, data.testEvery);
  if (split.train.length === 0 || split.test.length === 0) {
    throw new UserError(
      `${source.name} has ${source.length} episode${
        source.length === 1 ? "" : "s"
      }, too few to train on some and hold ` +
        `out others: bring at least 2` + (use === "training" ? "" : ", or evaluate all of them (data.heldOut=all)"),
    );
  }
  const shape = clipShape(data);
  const notes = await checkEpisodes(config, source, split.train, shape.segment * data.frameStep, { use, signal });
  const training = new TrainingClips(source, split.train, {
    ...shape,
    seed,
    shortEpisodes: data.shortEpisodes,
    augmentation: data.augment ? TRAINING_COLOUR_JITTER : undefined,
  });
  const { itemsPerEpisode, baselineClips } = config.evaluation;
  const clipsOf = (perEpisode: number, firstSeed: number) =>
    new EvaluationClips(source, split.test, {
      ...shape,
      itemsPerEpisode: perEpisode,
      firstSeed,
      shortEpisodes: data.shortEpisodes === "refuse" ? "refuse" : "repeat",
    });
  const evaluation = clipsOf(itemsPerEpisode, 0);
  const selection = clipsOf(Math.ceil(baselineClips / split.test.length), SELECTION_SEED);
  const ranges = await actionRanges(config, source, split.train, trainedRanges, signal);
  const bins = new ActionBins(ranges, data.actionBins);
  const { testEvery, augment, shortEpisodes } = data;
  const fingerprint = await fingerprintOf([source.fingerprint, shape, testEvery, augment, shortEpisodes]);
  return { source, training, evaluation, selection, bins, split, fingerprint, notes };
}

/** What clips are cut to. */
export function clipShape(data: RobotVideoConfig["data"]): ClipShape {
  const { prediction, history, frames, frameStep, contextReach } = data;
  if (prediction === "multi-step") return { segment: frames, step: frameStep, contextReach };
  return { segment: history + 1, step: frameStep };
}

/** For data that the model was not trained on: there is nothing to hold out. */
function everyEpisode(count: number): { train: number[]; test: number[] } {
  const all = Array.from({ length: count }, (_, i) => i);
  return { train: all, test: all };
}

/** Reads episodes, so that a bad one is named now, and says what becomes of short ones. */
async function checkEpisodes(
  config: RobotVideoConfig,
  source: EpisodeSource,
  train: readonly number[],
  span: number,
  { use, signal }: { use: RobotVideoUse; signal?: AbortSignal },
) {
  const { folder, actionRanges, prediction } = config.data;
  // Only training leaves episodes out; evaluation has one clip of each, repeating its last frame.
  const shortEpisodes = use !== "training" && config.data.shortEpisodes === "drop"
    ? "repeat"
    : config.data.shortEpisodes;
  if (folder !== null && actionRanges === "rt1" && source.actionWidth !== RT1_ACTION_WIDTH) {
    throw new UserError(
      `${source.name} has actions of ${source.actionWidth} numbers, RT-1's ranges are for ${RT1_ACTION_WIDTH}: compute ` +
        `the ranges from the data with --set data.actionRanges=computed`,
    );
  }
  // Episodes of the simulator are sound and of one length; making them all takes longer than reading files.
  const last = folder === null ? 1 : source.length;
  const short: { id: string; length: number }[] = [];
  const breathe = breather(signal);
  let bytes = 0, read = 0, longTraining = 0;
  for (; read < last && bytes < CHECKED_BYTES; read++) {
    const { id, length, frames } = await source.load(read);
    await breathe();
    bytes += frames.length;
    if (length < span) short.push({ id, length });
    else if (train.includes(read)) longTraining++;
  }
  if (short.length === 0) return [];
  const one = `${short[0].id} has ${short[0].length} frames, a clip spans ${span}`;
  if (shortEpisodes === "refuse" || (shortEpisodes === "drop" && longTraining === 0)) {
    throw new UserError(
      `${
        shortEpisodes === "refuse" ? "an episode" : "every training episode"
      } of ${source.name} is shorter than a clip: ${one}: ` +
        `remove it, lower ${prediction === "multi-step" ? "data.frames" : "data.history"} or data.frameStep, or set ` +
        `data.shortEpisodes=repeat`,
    );
  }
  const fate = shortEpisodes === "repeat" ? "the last frame is repeated" : "not used for training";
  return [
    `${short.length} of ${read} episodes ${short.length === 1 ? "is" : "are"} shorter than a clip (${one}): ${fate} ` +
    `(data.shortEpisodes)`,
  ];
}

async function actionRanges(
  config: RobotVideoConfig,
  source: EpisodeSource,
  train: readonly number[],
  trained: ActionRanges | undefined,
  signal?: AbortSignal,
): Promise<ActionRanges> {
  if (config.data.actionRanges === "rt1") return RT1_ACTION_RANGES;
  if (trained === undefined) return await computeActionRanges(source, train, signal);
  if (trained.min.length !== source.actionWidth) {
    throw new UserError(
      `${source.name} has actions of ${source.actionWidth} numbers, the model was trained with ${trained.min.length}: ` +
        `give episodes of the robot that it was trained on`,
    );
  }
  return trained;
}

const RANGES_FILE = "action_ranges.json";

/** Writes the ranges of a model's action bins beside its weights: without them its tokens cannot be read. */
export async function writeActionRanges(folder: string, { min, max }: ActionRanges): Promise<void> {
  await writeFileAtomic(join(folder, RANGES_FILE), JSON.stringify({ min: [...min], max: [...max] }, null, 1) + "\n");
}

/**
 * Reads what `writeActionRanges` wrote; undefined where there is nothing, as in a released model's folder.
 *
 * @throws {UserError} When the file is damaged.
 */
export async function readActionRanges(folder: string): Promise<ActionRanges | undefined> {
  const path = join(folder, RANGES_FILE);
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw cannotRead(path, error);
  }
  try {
    const { min, max } = JSON.parse(text) as { min: number[]; max: number[] };
    const isSound = min.length > 0 && min.length === max.length && min.every((low, d) => low <= max[d]);
    if (isSound) return { min: Float32Array.from(min), max: Float32Array.from(max) };
  } catch { /* said below */ }
  throw new UserError(`${path} is damaged: it must hold two lists of numbers, min and max`);
}
