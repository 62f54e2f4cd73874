import assert from "node:assert/strict";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  stableSchedule,
} from "../../lib/nn/schedules.ts";
import { assertClose } from "../support/compare.ts";
import { expected } from "./nn_fixture.ts";

const { rate, warmupSteps, totalSteps, ...wanted } = expected.schedules;

/** Hugging Face's rates, but for the warm-up, which there begins with an update of rate 0. */
function shifted(rates: number[]): number[] {
  return rates.map((each, i) => i < warmupSteps ? rates[i + 1] : each);
}

const schedules: Record<"constant" | "linear" | "cosine" | "stable", Schedule> = {
  constant: constantSchedule(rate, { warmupSteps }),
  linear: linearSchedule(rate, { warmupSteps, totalSteps }),
  cosine: cosineSchedule(rate, { warmupSteps, totalSteps }),
  stable: stableSchedule(rate, { warmupSteps, totalSteps, decaySteps: 5 }),
};

for (const [name, schedule] of Object.entries(schedules)) {
  Deno.test(`${name} schedule equals Hugging Face's from the end of the warm-up on`, () => {
    // After totalSteps Hugging Face's cosine rises again; ours stays.
    const count = name === "constant" ? 30 : totalSteps + 1;
    const rates = Array.from({ length: count }, (_, step) => schedule(step));
    assertClose(rates, shifted(wanted[name as keyof typeof wanted]).slice(0, count), 1e-12, name);
  });
}

Deno.test("schedules end at their final rate and name bad numbers", () => {
  const schedule = cosineSchedule(1, { totalSteps: 10, finalRate: 0.1 });
  assert.equal(schedule(0), 1);
  assert.equal(schedule(10), 0.1);
  assert.equal(schedule(1000), 0.1);
  assert.throws(() => constantSchedule(-1), /learning rate must be at least 0: received -1/);
  assert.throws(() => constantSchedule(1, { warmupSteps: 1.5 }), /warmupSteps .*: received 1.5/);
  assert.throws(() => stableSchedule(1, { totalSteps: 5, decaySteps: 6 }), /must not exceed totalSteps 5: received 6/);
  assert.throws(() => linearSchedule(1, { warmupSteps: 5, totalSteps: 5 }), /must exceed warmupSteps 5: received 5/);
});
