import assert from "node:assert/strict";
import {
  type Divergence,
  likelihoodDivergence,
  StageHistory,
  tokenizerDivergence,
  watchBatches,
} from "../../lib/runs/stage_history.ts";

type Step = Record<string, unknown>;

/** What a rule says first of a log, as [step, since]. */
function firstFound(rule: (history: StageHistory) => Divergence | undefined, steps: readonly Step[]) {
  const history = new StageHistory();
  for (const [step, entry] of steps.entries()) {
    history.add({ ...entry, stage: "some", step });
    const found = rule(history);
    if (found) return [step, found.since];
  }
  return undefined;
}

const steps = <T>(count: number, of: (step: number) => T) => Array.from({ length: count }, (_, step) => of(step));

Deno.test("StageHistory: the watched number is averaged over 20 steps, or is the newest step's where it is held out", () => {
  const batches = new StageHistory(watchBatches("reward", "higher"));
  const heldOut = new StageHistory({ ...watchBatches("reward", "higher"), heldOut: true });
  const seen = steps(25, (step) => {
    // The discriminator's steps have none.
    const entry = { stage: "some", step, ...step % 2 === 0 ? { reward: step } : {} };
    batches.add(entry);
    heldOut.add(entry);
    return [batches.watched, heldOut.watched];
  });
  assert.deepEqual(seen[18], [undefined, 18]);
  assert.deepEqual(seen[19], [9, undefined]);
  assert.deepEqual(seen[24], [15, 24]);
  assert.equal(new StageHistory().watched, undefined);
});

Deno.test("StageHistory: both ends of the log are kept", () => {
  const history = new StageHistory();
  for (let step = 0; step < 100; step++) history.add({ stage: "some", step });
  assert.deepEqual([history.first.length, history.first[19].step], [20, 19]);
  assert.deepEqual([history.last.length, history.last[0].step], [20, 80]);
});

Deno.test("likelihoodDivergence: a loss far above the first for 20 steps; not warm-up, a spike, or a fitted model's noise", () => {
  const loss = (count: number, of: (step: number) => number) => steps(count, (step) => ({ loss: of(step) }));
  assert.deepEqual(firstFound(likelihoodDivergence, loss(60, (step) => step < 10 ? 5.6 : 17)), [29, 10]);
  assert.deepEqual(firstFound(likelihoodDivergence, loss(60, (step) => step === 0 ? 5.6 : 1e9)), [20, 1]);
  for (
    const of of [
      (step: number) => 5.6 * Math.exp(-step / 50),
      (step: number) => step > 10 && step < 25 ? 40 : 5.6,
      (step: number) => step === 0 ? 0.01 : 0.03,
      (step: number) => step === 0 ? 5.6 : 6.5,
      () => 12,
    ]
  ) assert.equal(firstFound(likelihoodDivergence, loss(200, of)), undefined);
});

Deno.test("tokenizerDivergence: 10 updates further from the images than black from white, between those of a discriminator", () => {
  const log = (of: (step: number) => number) =>
    steps(60, (step) => step % 2 === 1 ? { updated: "discriminator" } : { absoluteError: of(step) });
  assert.deepEqual(firstFound(tokenizerDivergence, log((step) => step < 20 ? 0.1 : 7)), [38, 20]);
  assert.equal(firstFound(tokenizerDivergence, log((step) => step < 18 ? 7 : 0.9)), undefined);
  assert.equal(firstFound(tokenizerDivergence, log(() => 0.99)), undefined);
});
