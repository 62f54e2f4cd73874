/**
 * What is read before and after a run: the wall clock, or the time that this process's threads have computed, which other
 * programs on a busy machine do not change.
 */
import process from "node:process";

/** `wall` or `cpu`. */
export type ClockName = "wall" | "cpu";

const CLOCKS: Readonly<Record<ClockName, () => number>> = {
  wall: () => performance.now() / 1000,
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
};

let chosen: ClockName = "wall";

/** Which clock `seconds` reads from now on. */
export function chooseClock(name: ClockName): void {
  chosen = name;
}

/** Seconds since some moment. */
export function seconds(): number {
  return CLOCKS[chosen]();
}
