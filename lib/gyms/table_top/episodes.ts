/**
 * Episodes of the table-top world: the built-in data. Each is simulated and rendered when it is asked for, and is the
 * same every time for the same options and index.
 */

import { STREAM } from "../../base/streams.ts";
import { createHash } from "node:crypto";
import { Philox } from "../../tensor/random.ts";
import { RT1_ACTION, RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import { checkEpisodeIndex, type Episode, type EpisodeSource } from "../../worlds/robot_video/episode.ts";
import { EpisodeCache } from "../../worlds/robot_video/episode_cache.ts";
import { ScriptedBehaviour } from "./behaviour.ts";
import { TableTop } from "./table_top.ts";
import { TaskBehaviour, taskScene } from "./task_behaviour.ts";

/**
 * What the robot does: "busy" pushes, picks up and wanders; "tasks" attempts the tasks that policies are judged by, at every
 * level of skill and with every kind of failure, and in between moves at random or keeps busy.
 */
export type TableTopBehaviour = "busy" | "tasks";

/**
 * What episodes to make.
 *
 * @internal
 */
export interface TableTopEpisodeOptions {
  episodes: number;
  /** Frames of each; at least 2. Default 40. */
  length?: number;
  /** Pixels. Default 64. */
  height?: number;
  /** Pixels. Default 64. */
  width?: number;
  /** Decides everything; a non-negative integer. */
  seed: number;
  /**
   * What the robot does. Default "busy". For a world model in which policies are rolled out: "tasks", with scenes as
   * `startStates` makes them.
   */
  behaviour?: TableTopBehaviour;
  /** Objects in each scene, 1 … 4. Default: 2 or 3, by chance; for "tasks" 1. */
  objects?: number;
  /** Whether scenes have a drawer. Default false; for "tasks" always. */
  drawer?: boolean;
  /** Whether scenes have a painted zone. Default false; for "tasks" always. */
  zone?: boolean;
  /** See `TableTopConfig`. Default 0. */
  slip?: number;
  /** Standard deviation of the noise on the script's `world_vector`. Default 0.08, which is 0.004 table widths. */
  actionNoise?: number;
  /** How many bytes of episodes to keep in memory. Default 512 MiB. */
  cacheBytes?: number;
}

/** Raise this when the simulator changes what an episode looks like: it is part of the fingerprint. */
const SIMULATOR_VERSION = 1;

/**
 * A source of simulated episodes with 13-dimensional actions in RT-1's order.
 *
 * @throws {RangeError} if an option is out of its range.
 */
export function tableTopEpisodes(options: TableTopEpisodeOptions): EpisodeSource {
  const { episodes, length = 40, height = 64, width = 64, seed, cacheBytes, actionNoise = 0.08 } = options;
  if (!Number.isInteger(episodes) || episodes < 1) {
    throw new RangeError(`episodes must be an integer of at least 1: received ${episodes}`);
  }
  if (!Number.isInteger(length) || length < 2) {
    throw new RangeError(`the length of an episode must be an integer of at least 2: received ${length}`);
  }
  if (!(actionNoise >= 0 && actionNoise <= 1)) {
    throw new RangeError(`actionNoise must be in 0..1: received ${actionNoise}`);
  }
  const { behaviour: kind = "busy", slip = 0 } = options;
  if (kind !== "busy" && kind !== "tasks") {
    throw new RangeError(`behaviour must be "busy" or "tasks": received ${JSON.stringify(kind)}`);
  }
  const tasks = kind === "tasks";
  const { objects = tasks ? 1 : undefined, drawer = tasks, zone = tasks } = options;
  if (tasks && !(drawer && zone)) throw new RangeError(`behaviour "tasks" needs scenes with a drawer and a zone`);
  // Made only to have the options checked before the first episode is asked for.
  new TableTop({ seed, objects: objects ?? 3, drawer, zone, slip }).render(height, width);

  const make = (index: number): Promise<Episode> => {
    const random = new Philox(seed, STREAM.tableTopEpisode, index);
    const count = objects ?? random.integer(2, 4);
    const scene = tasks ? taskScene(random, count) : { seed: random.uint32(), firstTask: null };
    const world = new TableTop({ seed: scene.seed, objects: count, drawer, zone, slip });
    const behaviour = tasks
      ? new TaskBehaviour(random, actionNoise, scene.firstTask)
      : new ScriptedBehaviour(random, actionNoise);
    const frames = new Uint8Array(length * height * width * 3);
    const actions = new Float32Array(length * RT1_ACTION_WIDTH);
    for (let t = 0; t < length; t++) {
      frames.set(world.render(height, width), t * height * width * 3);
      const action = behaviour.action(world.state);
      if (t === length - 1) {
        action[RT1_ACTION.terminateEpisode] = 1;
        action[RT1_ACTION.terminateEpisode + 1] = 0;
      }
      actions.set(action, t * RT1_ACTION_WIDTH);
      world.step(action);
    }
    const id = `table_top_${String(index).padStart(6, "0")}`;
    return Promise.resolve({ id, frames, length, height, width, actions, actionWidth: RT1_ACTION_WIDTH });
  };

  const cache = new EpisodeCache(make, cacheBytes);
  const identity = [
    SIMULATOR_VERSION,
    episodes,
    length,
    height,
    width,
    seed,
    objects ?? null,
    drawer,
    zone,
    slip,
    actionNoise,
    // What was not there from the start is left out where it is at its default: older runs can be resumed.
    ...(tasks ? [kind] : []),
  ];
  return {
    name: "table_top",
    length: episodes,
    height,
    width,
    actionWidth: RT1_ACTION_WIDTH,
    fingerprint: createHash("sha256").update(JSON.stringify(identity)).digest("hex"),
    load(index: number): Promise<Episode> {
      try {
        checkEpisodeIndex(this, index);
      } catch (error) {
        return Promise.reject(error);
      }
      return cache.load(index);
    },
  };
}
