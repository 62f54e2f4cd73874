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

/**
 * Does work that is written as a generator, which pauses every few milliseconds, without letting anything else have its turn.
 *
 * @returns What the generator returns.
 */
export function workAtOnce<Result>(work: Generator<void, Result>): Result {
  for (let step = work.next();; step = work.next()) if (step.done) return step.value;
}

/** The same, letting events have their turn at its pauses. @throws The signal's reason once it is aborted. */
export async function workBreathing<Result>(work: Generator<void, Result>, signal?: AbortSignal): Promise<Result> {
  const breathe = breather(signal);
  for (let step = work.next();; step = work.next()) {
    if (step.done) return step.value;
    await breathe();
  }
}
