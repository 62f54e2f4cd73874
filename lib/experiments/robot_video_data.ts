/** Data of the robot-video experiment: episodes, their split, training clips and evaluation clips. */
import { createHash } from "node:crypto";
import { UserError } from "../files/user_error.ts";
import { STREAM } from "../training/streams.ts";
import {
  ActionBins,
  type ActionRanges,
  computeActionRanges,
  RT1_ACTION_RANGES,
  RT1_ACTION_WIDTH,
} from "../worlds/robot_video/actions.ts";
import { TRAINING_COLOUR_JITTER } from "../worlds/robot_video/augment.ts";
import { EvaluationClips, TrainingClips } from "../worlds/robot_video/clips.ts";
import type { EpisodeSource } from "../worlds/robot_video/episode.ts";
import { openNpzEpisodes } from "../worlds/robot_video/npz_episodes.ts";
import { splitEpisodes } from "../worlds/robot_video/split.ts";
import { tableTopEpisodes } from "../worlds/robot_video/table_top/episodes.ts";
import type { RobotVideoConfig } from "./robot_video_config.ts";

/** See the file's head. */
export interface RobotVideoData {
  source: EpisodeSource;
  training: TrainingClips;
  evaluation: EvaluationClips;
  bins: ActionBins;
  /** Indices of the episodes in `source`. */
  split: { train: number[]; test: number[] };
  /** Hash of episodes, split and clip shape. */
  fingerprint: string;
}

/**
 * Opens the data that a configuration names.
 *
 * @throws {UserError} When a folder or file is not what it should be, or there are too few episodes to hold one out.
 */
export async function openRobotVideoData(config: RobotVideoConfig): Promise<RobotVideoData> {
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
      slip: data.slip,
      seed: STREAM.simulator * 1_000_003 + seed,
    })
    : await openNpzEpisodes(data.folder, {
      imageKey: data.imageKey,
      actionKey: data.actionKey,
      resolution: height === null || width === null ? undefined : { height, width },
    });
  const split = splitEpisodes(source.length, data.testEvery);
  if (split.train.length === 0 || split.test.length === 0) {
    throw new UserError(
      `${source.name} has ${source.length} episode${
        source.length === 1 ? "" : "s"
      }, too few to train on some and hold ` +
        `out others: bring at least 2`,
    );
  }
  const shape = { segment: data.history + 1, step: data.frameStep };
  const training = new TrainingClips(source, split.train, {
    ...shape,
    seed,
    shortEpisodes: data.shortEpisodes,
    augmentation: data.augment ? TRAINING_COLOUR_JITTER : undefined,
  });
  const evaluation = new EvaluationClips(source, split.test, {
    ...shape,
    itemsPerEpisode: config.evaluation.itemsPerEpisode,
  });
  const bins = new ActionBins(await actionRanges(config, source, split.train), data.actionBins);
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([source.fingerprint, shape, data.testEvery, data.augment, data.shortEpisodes]))
    .digest("hex").slice(0, 16);
  return { source, training, evaluation, bins, split, fingerprint };
}

async function actionRanges(config: RobotVideoConfig, source: EpisodeSource, train: number[]): Promise<ActionRanges> {
  if (config.data.actionRanges === "computed") return await computeActionRanges(source, train);
  if (source.actionWidth !== RT1_ACTION_WIDTH) {
    throw new UserError(
      `${source.name} has actions of ${source.actionWidth} numbers, RT-1's ranges are for ${RT1_ACTION_WIDTH}: compute ` +
        `the ranges from the data with --set data.actionRanges=computed`,
    );
  }
  return RT1_ACTION_RANGES;
}
