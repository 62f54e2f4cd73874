import assert from "node:assert/strict";
import { workAtOnce, workBreathing } from "../../lib/base/breather.ts";

function* counting(until: number): Generator<void, number> {
  let n = 0;
  while (n < until) {
    n++;
    yield;
  }
  return n;
}

Deno.test("work that pauses: the same at once and with turns for events in between", async () => {
  assert.equal(workAtOnce(counting(1000)), 1000);
  assert.equal(await workBreathing(counting(1000)), 1000);
  assert.throws(() => workAtOnce(failing()), /in the middle/);
  await assert.rejects(workBreathing(failing()), /in the middle/);

  function* failing(): Generator<void, void> {
    yield;
    throw new Error("in the middle");
  }
});

Deno.test("work that pauses: a signal ends it with its reason, although the work never ends by itself", async () => {
  const stop = new AbortController(), reason = new Error("asked to stop");
  setTimeout(() => stop.abort(reason), 1);
  await assert.rejects(workBreathing(counting(Infinity), stop.signal), reason);
});
