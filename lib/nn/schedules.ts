/**
 * Learning rates over the updates of a run. A schedule is a function of the update's number, so that a resumed run needs
 * no state of it.
 */

/** The learning rate of update `step` (0 for the first). */
export type Schedule = (step: number) => number;

/** Options of the schedules that end. */
export interface DecayScheduleOptions {
  /** Updates over which the rate rises from 0 linearly; the first update already has 1 / warmupSteps of it. @default {0} */
  warmupSteps?: number;
  /** Updates of the whole run, warm-up included; later ones keep the final rate. */
  totalSteps: number;
  /** Rate at the end. @default {0} */
  finalRate?: number;
}

/**
 * The same rate for every update, after a linear warm-up.
 *
 * @throws {RangeError} When a number is out of its range.
 */
export function constantSchedule(rate: number, { warmupSteps = 0 }: {
  /** Updates over which the rate rises from 0 linearly; the first update already has 1 / warmupSteps of it. @default {0} */
  warmupSteps?: number;
} = {}): (step: number) => number {
  checkRate("learning rate", rate);
  checkSteps("warmupSteps", warmupSteps);
  return (step) => rate * warmUp(step, warmupSteps);
}

/**
 * Linear warm-up, then linear decay.
 *
 * @throws {RangeError} When a number is out of its range.
 */
export function linearSchedule(rate: number, options: DecayScheduleOptions): Schedule {
  return decay(rate, options, (progress) => 1 - progress);
}

/**
 * Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, without restarts).
 *
 * @throws {RangeError} When a number is out of its range.
 */
export function cosineSchedule(rate: number, options: DecayScheduleOptions): Schedule {
  return decay(rate, options, (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/**
 * Linear warm-up, a constant rate, and a linear fall at the end ("warm-up, stable, decay", Hu et al. 2024). Unlike the
 * other schedules that end, a longer run shares all of a shorter one but its fall.
 *
 * @throws {RangeError} When a number is out of its range.
 */
export function stableSchedule(rate: number, { warmupSteps = 0, totalSteps, decaySteps, finalRate = 0 }: {
  /** Updates over which the rate rises from 0 linearly; the first update already has 1 / warmupSteps of it. @default {0} */
  warmupSteps?: number;
  /** Updates of the whole run, warm-up and fall included; later ones keep the final rate. */
  totalSteps: number;
  /** Last updates of the run, over which the rate falls linearly. */
  decaySteps: number;
  /** Rate at the end. @default {0} */
  finalRate?: number;
}): (step: number) => number {
  checkSteps("decaySteps", decaySteps);
  const fallsFrom = totalSteps - decaySteps;
  if (fallsFrom < 0) {
    throw new RangeError(`decaySteps must not exceed totalSteps ${totalSteps}: received ${decaySteps}`);
  }
  const rising = constantSchedule(rate, { warmupSteps });
  checkRate("finalRate", finalRate);
  checkSteps("totalSteps", totalSteps);
  return (step) => {
    if (step < fallsFrom) return rising(step);
    const left = Math.max(0, totalSteps - step) / Math.max(1, decaySteps);
    return finalRate + (rising(step) - finalRate) * left;
  };
}

function decay(
  rate: number,
  { warmupSteps = 0, totalSteps, finalRate = 0 }: DecayScheduleOptions,
  shape: (progress: number) => number,
): Schedule {
  checkRate("learning rate", rate);
  checkRate("finalRate", finalRate);
  checkSteps("warmupSteps", warmupSteps);
  checkSteps("totalSteps", totalSteps);
  if (totalSteps <= warmupSteps) {
    throw new RangeError(`totalSteps must exceed warmupSteps ${warmupSteps}: received ${totalSteps}`);
  }
  return (step) => {
    if (step < warmupSteps) return rate * warmUp(step, warmupSteps);
    const progress = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
    return finalRate + (rate - finalRate) * shape(progress);
  };
}

/** Fraction of the rate: 1 / n for the first update of n, 1 from the n-th on. */
function warmUp(step: number, warmupSteps: number): number {
  return warmupSteps === 0 ? 1 : Math.min(1, (step + 1) / warmupSteps);
}

function checkRate(name: string, value: number): void {
  if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`${name} must be at least 0: received ${value}`);
}

function checkSteps(name: string, value: number): void {
  if (!(Number.isInteger(value) && value >= 0)) {
    throw new RangeError(`${name} must be a whole number of at least 0: received ${value}`);
  }
}
