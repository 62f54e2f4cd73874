/** `tokenizer.augment`: which frames are varied, which alike, and that episodes stay what they are. */
import assert from "node:assert/strict";
import { openRobotVideoData } from "../../../lib/recipes/robot_video/data.ts";
import { videoKind } from "../../../lib/recipes/robot_video/kinds.ts";
import { augmentTokenizerFrames } from "../../../lib/recipes/robot_video/video_kind.ts";
import { robotVideoConfig } from "../../../lib/recipes/robot_video/config.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { MULTI_STEP, tinyConfig } from "../../support/tiny_run.ts";

const SIZE = { height: 16, width: 20 };

function frames(count: number, value = (i: number) => (i * 37) % 251): Uint8Array {
  const one = Uint8Array.from({ length: 16 * 20 * 3 }, (_, i) => value(i)), all = new Uint8Array(count * one.length);
  for (let i = 0; i < count; i++) all.set(one, i * one.length);
  return all;
}

function augmented(change: Parameters<typeof tinyConfig>[0], step = 3, item = 0): Uint8Array[] {
  const all = [frames(1), frames(2)];
  augmentTokenizerFrames(tinyConfig(change), SIZE, all, step, item);
  return [all[0], all[1].subarray(0, all[0].length), all[1].subarray(all[0].length)];
}

Deno.test("frames of one item are varied alike, others otherwise, by step, item and seed", () => {
  const on = { tokenizer: { augment: true } };
  const [context, first, second] = augmented(on);
  assert.notDeepEqual(context, frames(1));
  assert.deepEqual(first, context);
  assert.deepEqual(second, context);
  assert.deepEqual(augmented(on)[0], context, "the same again");
  for (const other of [augmented(on, 4), augmented(on, 3, 1), augmented({ ...on, seed: 8 })]) {
    assert.notDeepEqual(other[0], context);
  }
  assert.deepEqual(augmented({})[0], frames(1), "off unless asked for");
});

Deno.test("a grey frame keeps being grey and one, and may get darker or brighter", () => {
  const config = tinyConfig({ tokenizer: { augment: true } }), means = new Set<number>();
  for (let item = 0; item < 20; item++) {
    const grey = frames(1, () => 128);
    augmentTokenizerFrames(config, SIZE, [grey], 0, item);
    assert.ok(grey.every((each) => each === grey[0]) && Math.abs(grey[0] - 128) <= 14, `${grey[0]}`);
    means.add(grey[0]);
  }
  assert.ok(means.size > 5);
});

Deno.test("a tokenizer step sees varied frames, and episodes stay as they are", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  for (const kind of [{}, MULTI_STEP]) {
    const losses: number[] = [];
    for (const augment of [false, true]) {
      const config = tinyConfig(mergeSettings(kind, { tokenizer: { augment } }));
      const data = await openRobotVideoData(config), { load } = data.source;
      const before = await Promise.all(
        data.split.train.map(async (i) => (await load.call(data.source, i)).frames.slice()),
      );
      const tokenizer = videoKind(config).newTokenizer(engine, config, data);
      const trainer = videoKind(config).trainer(tokenizer, { config, data });
      losses.push((await trainer.step() as { loss: number }).loss);
      for (const [at, i] of data.split.train.entries()) {
        assert.deepEqual((await data.source.load(i)).frames, before[at]);
      }
      trainer.dispose();
      tokenizer.dispose();
    }
    assert.notEqual(losses[0], losses[1]);
  }
});

Deno.test("the paper's presets train their tokenizers on varied frames, the demos do not", () => {
  const weights = { lpips: { vgg: "vgg.pth", linear: "linear.pth" } };
  for (const name of ["rt1-single-step", "rt1-multi-step"]) {
    assert.ok(robotVideoConfig(name, weights).tokenizer.augment);
  }
  for (const name of ["demo", "demo-multi-step"]) assert.ok(!robotVideoConfig(name).tokenizer.augment);
});
