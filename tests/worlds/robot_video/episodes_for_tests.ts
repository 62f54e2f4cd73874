/** Small episodes made by hand, for the tests of this folder. */

import type { Episode, EpisodeSource } from "../../../lib/worlds/robot_video/episode.ts";

/** An episode of 2 × 3 pixels in which every value of frame t is 10 · t + `offset`. */
export function episodeOf(length: number, actions: number[], offset = 0): Episode {
  const frames = Uint8Array.from({ length: length * 18 }, (_, i) => 10 * Math.floor(i / 18) + offset);
  const actionWidth = actions.length / length;
  const id = `hand_${length}_${offset}`;
  return { id, frames, length, height: 2, width: 3, actions: Float32Array.from(actions), actionWidth };
}

/** An episode whose action at frame t is [t]. */
export function counting(length: number, offset = 0): Episode {
  return episodeOf(length, Array.from({ length }, (_, t) => t), offset);
}

/** A source of episodes that are in memory. */
export function sourceOf(episodes: Episode[]): EpisodeSource {
  const { height, width, actionWidth } = episodes[0];
  return {
    name: "hand-made",
    length: episodes.length,
    height,
    width,
    actionWidth,
    fingerprint: "",
    load: (index) => Promise.resolve(episodes[index]),
  };
}
