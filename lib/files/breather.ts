/**
 * Work that never waits for anything outside (pages in memory, models on a CPU) never lets the event loop turn, and what comes
 * from outside, such as a request to stop, is only seen when it does.
 */

/** Milliseconds of work before the event loop gets a turn. */
const EVERY = 50;

/**
 * @param signal Asks the work to stop.
 * @returns A function to await now and then: it lets events and timers have their turn if that is due, and throws the signal's
 *   reason once it is aborted.
 */
export function breather(signal?: AbortSignal): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last >= EVERY) {
      await new Promise((resolve) => setTimeout(resolve));
      last = performance.now();
    }
    signal?.throwIfAborted();
  };
}
