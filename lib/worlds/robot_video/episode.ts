/**
 * What a robot episode is and where episodes come from.
 *
 * An episode is a video with the action taken at each of its frames. A source is an ordered list of episodes that are
 * loaded one at a time: a folder of files ({@link openNpzEpisodes}) or the built-in simulator (`tableTopEpisodes`). This
 * file says nothing of clips, splits or tokens.
 *
 * Axes: T time, H height, W width, A action.
 */

/** A video and the action taken at each of its frames. */
export interface Episode {
  /** A name that is unique in its source: a file's name without its ending, or the simulator's episode number. */
  readonly id: string;
  /** RGB pixels, [T, H, W, 3]. */
  readonly frames: Uint8Array;
  /** T, the number of frames (and of actions). */
  readonly length: number;
  /** H, the rows of a frame in pixels. */
  readonly height: number;
  /** W, the columns of a frame in pixels. */
  readonly width: number;
  /** The action taken at each frame, [T, A]; row t leads from frame t to frame t + 1. */
  readonly actions: Float32Array;
  /** A; 0 where the source has no actions. */
  readonly actionWidth: number;
}

/** An ordered list of episodes of one size, loaded one at a time. */
export interface EpisodeSource {
  /** What to call the source in logs and reports. */
  readonly name: string;
  /** How many episodes there are. */
  readonly length: number;
  /** H of every frame, in pixels. */
  readonly height: number;
  /** W of every frame, in pixels. */
  readonly width: number;
  /** A of every action; 0 where there are none. */
  readonly actionWidth: number;
  /** A hash that changes when the data do: a checkpoint keeps it, so that a run is not resumed on other data. */
  readonly fingerprint: string;
  /**
   * Loads an episode by its number, 0 … length − 1.
   *
   * @throws {RangeError} if there is no episode of that index.
   * @throws {UserError} if a file cannot be read or does not hold what it should.
   */
  load(index: number): Promise<Episode>;
}

/**
 * Checks an index into a source.
 *
 * @throws {RangeError} if there is no such episode.
 */
export function checkEpisodeIndex(source: { name: string; length: number }, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= source.length) {
    throw new RangeError(`episode index must be in 0..${source.length - 1} of ${source.name}: received ${index}`);
  }
}
