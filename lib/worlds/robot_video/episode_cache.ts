/**
 * Keeps loaded episodes in memory up to a limit of bytes; the least recently used go first. Two loads of one episode at
 * the same time share the work.
 */

import type { Episode } from "./episode.ts";

/** The default limit: 512 MiB. */
export const DEFAULT_CACHE_BYTES = 512 * 2 ** 20;

/** A cache in front of a function that makes episodes. */
export class EpisodeCache {
  /** Insertion order is the order of use: the first entry is the least recently used. */
  readonly #kept = new Map<number, Episode>();
  readonly #loading = new Map<number, Promise<Episode>>();
  readonly #make: (index: number) => Promise<Episode>;
  readonly #limit: number;
  #bytes = 0;

  /**
   * An empty cache.
   *
   * @param make loads or makes an episode.
   * @param limit in bytes.
   * @throws {RangeError} if the limit is negative or not a number.
   */
  constructor(make: (index: number) => Promise<Episode>, limit: number = DEFAULT_CACHE_BYTES) {
    if (!(limit >= 0)) throw new RangeError(`cacheBytes must be at least 0: received ${limit}`);
    this.#make = make;
    this.#limit = limit;
  }

  /** The bytes of the episodes in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The episode, from memory or made anew. An episode that alone is over the limit is returned but not kept. */
  async load(index: number): Promise<Episode> {
    const kept = this.#kept.get(index);
    if (kept !== undefined) {
      this.#kept.delete(index);
      this.#kept.set(index, kept);
      return kept;
    }
    let loading = this.#loading.get(index);
    if (loading === undefined) {
      loading = this.#keep(index).finally(() => this.#loading.delete(index));
      this.#loading.set(index, loading);
    }
    return await loading;
  }

  async #keep(index: number): Promise<Episode> {
    const episode = await this.#make(index);
    this.#kept.set(index, episode);
    this.#bytes += sizeOf(episode);
    for (const [oldest, other] of this.#kept) {
      if (this.#bytes <= this.#limit) break;
      this.#kept.delete(oldest);
      this.#bytes -= sizeOf(other);
    }
    return episode;
  }
}

function sizeOf(episode: Episode): number {
  return episode.frames.byteLength + episode.actions.byteLength;
}
