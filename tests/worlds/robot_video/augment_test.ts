import assert from "node:assert/strict";
import { readNpz } from "../../../lib/io/npz.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import {
  type ColourAdjustment,
  drawColourJitter,
  jitterColours,
  TRAINING_COLOUR_JITTER,
} from "../../../lib/worlds/robot_video/augment.ts";

const KINDS = ["brightness", "contrast", "saturation", "hue"] as const;

Deno.test("jitterColours changes every pixel as torchvision does with Pillow images", async () => {
  const { image, steps, results } = await readNpz(new URL("fixtures/colour_jitter.npz", import.meta.url).pathname);
  const cases = results.shape[0];
  const size = image.data.length;
  assert.ok(cases > 50);
  for (let index = 0; index < cases; index++) {
    const adjustments: ColourAdjustment[] = [];
    for (let i = 0; i < steps.shape[0]; i++) {
      const [owner, kind, amount] = (steps.data as Float64Array).subarray(3 * i, 3 * i + 3);
      if (owner === index) adjustments.push({ kind: KINDS[kind], amount });
    }
    const pixels = (image.data as Uint8Array).slice();
    jitterColours(pixels, adjustments);
    assert.deepEqual(
      pixels,
      (results.data as Uint8Array).slice(index * size, (index + 1) * size),
      `case ${index}: ${JSON.stringify(adjustments)}`,
    );
  }
});

Deno.test("drawColourJitter stays in its limits and uses every order", () => {
  const orders = new Set<string>();
  const hues: number[] = [];
  for (let draw = 0; draw < 600; draw++) {
    const adjustments = drawColourJitter(new Philox(1, draw), TRAINING_COLOUR_JITTER);
    orders.add(adjustments.map(({ kind }) => kind).join());
    for (const { kind, amount } of adjustments) {
      if (kind === "hue") hues.push(amount);
      else assert.ok(amount >= 0.9 && amount <= 1.1);
    }
  }
  assert.equal(orders.size, 24);
  assert.ok(Math.min(...hues) < -0.04 && Math.max(...hues) > 0.04 && Math.max(...hues.map(Math.abs)) <= 0.05);
});

Deno.test("drawColourJitter refuses limits that make no sense", () => {
  const draw = (change: object) => drawColourJitter(new Philox(1), { ...TRAINING_COLOUR_JITTER, ...change });
  assert.throws(() => draw({ hue: 0.6 }), /hue of the colour jitter must be in 0..0.5: received 0.6/);
  assert.throws(() => draw({ contrast: -1 }), /contrast/);
  assert.throws(() => draw({ brightness: NaN }), /brightness/);
});
