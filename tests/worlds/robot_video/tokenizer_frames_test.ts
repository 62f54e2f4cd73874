import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { chooseTokenizerFrames } from "../../../lib/worlds/robot_video/tokenizer_frames.ts";

Deno.test("contiguous frames follow their context, from every start alike", () => {
  const starts = new Map<number, number>();
  for (let i = 0; i < 600; i++) {
    const { context, frames } = chooseTokenizerFrames(
      "contiguous",
      { length: 10, frames: 7, horizon: 32 },
      new Philox(1, i),
    );
    assert.deepEqual(frames, Array.from({ length: 7 }, (_, t) => context + 1 + t));
    starts.set(context, (starts.get(context) ?? 0) + 1);
  }
  assert.deepEqual([...starts.keys()].sort(), [0, 1, 2]);
  for (const count of starts.values()) assert.ok(count > 150 && count < 250, `${count} of 600 starts`);
});

Deno.test("random frames are different, in order, within the horizon, and each as likely", () => {
  const offsets = new Uint32Array(32);
  for (let i = 0; i < 1000; i++) {
    const { context, frames } = chooseTokenizerFrames(
      "random",
      { length: 40, frames: 7, horizon: 32 },
      new Philox(2, i),
    );
    assert.ok(context >= 0 && context <= 8);
    assert.equal(new Set(frames).size, 7);
    assert.deepEqual(frames, frames.toSorted((a, b) => a - b));
    for (const frame of frames) offsets[frame - context]++;
  }
  assert.equal(offsets[0], 0, "the context is not among them");
  // 7000 frames over 31 offsets: 226 each.
  for (const count of offsets.subarray(1)) assert.ok(count > 170 && count < 285, `${count} of an offset`);
});

Deno.test("the same stream gives the same frames; short episodes repeat their last", () => {
  const options = { length: 40, frames: 7, horizon: 32 };
  assert.deepEqual(
    chooseTokenizerFrames("random", options, new Philox(3, 4)),
    chooseTokenizerFrames("random", options, new Philox(3, 4)),
  );
  for (const choice of ["contiguous", "random"] as const) {
    const short = chooseTokenizerFrames(choice, { length: 4, frames: 7, horizon: 32 }, new Philox(5));
    assert.deepEqual(short, { context: 0, frames: [1, 2, 3, 3, 3, 3, 3] });
    assert.deepEqual(chooseTokenizerFrames(choice, { length: 1, frames: 2, horizon: 32 }, new Philox(5)), {
      context: 0,
      frames: [0, 0],
    });
  }
});

Deno.test("nothing to choose from is refused", () => {
  const choose = (options: Record<string, number>) => () =>
    chooseTokenizerFrames("random", { length: 40, frames: 7, horizon: 32, ...options }, new Philox(0));
  assert.throws(choose({ length: 0 }), /length must be an integer of at least 1: received 0/);
  assert.throws(choose({ frames: 1.5 }), /frames must be an integer of at least 1: received 1.5/);
  assert.throws(choose({ horizon: 7 }), /horizon must exceed the 7 frames beside the context: received 7/);
});
