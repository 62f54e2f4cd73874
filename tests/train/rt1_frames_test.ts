/** A short training on real RT-1 frames: what the tokenizer gives back resembles them far more than at its start. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readNpz } from "../../lib/io/npz.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import { frameTokenizerConfig } from "../../lib/models/frame_tokenizer_config.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { TokenizerTrainer } from "../../lib/train/frame_tokenizer_trainer.ts";

const sharedData = Deno.env.get("RLVR_SHARED_DATA") ?? new URL("../../../shared/data", import.meta.url).pathname;
const path = join(sharedData, "rt1_frames_22.npz");
const isThere = await Deno.stat(path).then(() => true, () => false);

Deno.test({
  name: isThere
    ? "RT-1 frames: 120 steps bring the reconstruction's error below a third"
    : "RT-1 frames (ignored: no rt1_frames_22.npz in the shared data)",
  ignore: !isThere,
  fn: async () => {
    const { image } = await readNpz(path);
    const [count, height, width] = image.shape, every = 4, bytes = image.data as Uint8Array;
    const size = [height / every, width / every], pixels = size[0] * size[1] * 3;
    const frames = Array.from({ length: count }, (_, frame) =>
      Uint8Array.from({ length: pixels }, (_, i) => {
        const channel = i % 3, x = Math.floor(i / 3) % size[1], y = Math.floor(i / 3 / size[1]);
        return bytes[((frame * height + y * every) * width + x * every) * 3 + channel];
      }));
    const { engine } = await openEngine({});
    const tokenizer = FrameTokenizer.initialize(
      engine,
      frameTokenizerConfig({
        height: size[0],
        width: size[1],
        channels: [64],
        layersPerBlock: 1,
        latentChannels: 32,
        normGroups: 8,
        fsqLevels: [7, 5, 5, 5, 5],
        midAttention: false,
        downsamplings: 0,
        pixelPatch: 4,
        normScope: "position",
      }),
      { seed: 0, codeGain: 4 },
    );
    const trainer = new TokenizerTrainer({
      tokenizer,
      config: {
        steps: 120,
        warmupSteps: 10,
        learningRate: 4e-3,
        beta2: 0.99,
        roundingWeight: 0.02,
        squaredErrorWeight: 10,
      },
      frames: (step) => {
        const random = new Philox(0, 3, step), batch = new Uint8Array(4 * pixels);
        for (let i = 0; i < 4; i++) batch.set(frames[random.integer(0, count)], i * pixels);
        return Promise.resolve({ frames: batch });
      },
    });
    const errors: number[] = [];
    for (let step = 0; step < 120; step++) errors.push((await trainer.step()).absoluteError!);
    const mean = (values: number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;
    const first = errors[0], last = mean(errors.slice(-10));
    assert.ok(last < first / 3, `mean absolute error ${first} at the start, ${last} at the end`);
    trainer.dispose();
    tokenizer.dispose();
    engine.close();
  },
});
