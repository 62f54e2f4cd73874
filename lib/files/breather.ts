/**
 * Work that never waits for anything outside (pages in memory, small models) never lets the event loop turn, and Ctrl-C is only
 * seen when it does.
 */

/** Milliseconds of work before the event loop gets a turn. */
const EVERY = 50;

/** @returns A function to await now and then: it lets signals and timers have their turn if that is due. */
export function breather(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < EVERY) return;
    await new Promise((resolve) => setTimeout(resolve));
    last = performance.now();
  };
}
