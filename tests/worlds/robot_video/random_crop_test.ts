import assert from "node:assert/strict";
import { readNpz } from "../../../lib/io/npz.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { cropAndJitter, drawCrop, TOKENIZER_CROP } from "../../../lib/worlds/robot_video/random_crop.ts";

const KINDS = ["brightness", "contrast", "saturation", "hue"] as const;

Deno.test("cropAndJitter varies frames as the released data loader does, byte for byte", async () => {
  const path = new URL("fixtures/tokenizer_augmentation.npz", import.meta.url).pathname;
  const { frames, crops, orders, amounts, results } = await readNpz(path), [, height, width] = frames.shape;
  const size = height * width * 3, before = frames.data as Uint8Array;
  const row = <T extends { subarray(a: number, b: number): T }>({ data }: { data: unknown }, i: number) =>
    (data as T).subarray(4 * i, 4 * i + 4);
  let cropped = 0;
  for (let i = 0; i < crops.shape[0]; i++) {
    const [top, left, h, w] = row<Int32Array>(crops, i), order = row<Int32Array>(orders, i);
    const steps = order[0] < 0
      ? []
      : Array.from(order, (k) => ({ kind: KINDS[k], amount: row<Float64Array>(amounts, i)[k] }));
    if (steps.length === 0) cropped++;
    for (let frame = 0; frame < 2; frame++) {
      const pixels = before.slice(frame * size, (frame + 1) * size), at = (2 * i + frame) * size;
      cropAndJitter(pixels, height, width, { top, left, height: h, width: w }, steps);
      assert.deepEqual(pixels, (results.data as Uint8Array).slice(at, at + size), `case ${i}, frame ${frame}`);
    }
  }
  assert.deepEqual([crops.shape[0], cropped], [18, 9], "each crop alone, and with colours");
});

Deno.test("drawCrop stays within the frame, the areas and the aspects, and reaches all of them", () => {
  const height = 64, width = 80, areas: number[] = [], aspects: number[] = [], tops = new Set<number>();
  for (let draw = 0; draw < 2000; draw++) {
    const { top, left, height: h, width: w } = drawCrop(new Philox(3, draw), height, width, TOKENIZER_CROP);
    assert.ok(top >= 0 && left >= 0 && top + h <= height && left + w <= width);
    areas.push(h * w / (height * width));
    aspects.push(w / h);
    tops.add(top);
  }
  // Sides are whole pixels: half a pixel of 60 to 80 moves an area or an aspect by a hundredth or two.
  assert.ok(Math.min(...areas) > 0.78 && Math.min(...areas) < 0.82 && Math.max(...areas) > 0.95);
  assert.ok(Math.min(...aspects) > 0.97 && Math.min(...aspects) < 1.05, `${Math.min(...aspects)}`);
  assert.ok(Math.max(...aspects) < 1.43 && Math.max(...aspects) > 1.35, `${Math.max(...aspects)}`);
  assert.ok(tops.size > 8);
});

Deno.test("drawCrop takes the middle where no crop of the limits fits", () => {
  const whole = { scale: [1, 1], aspect: [1.5, 2] } as const;
  assert.deepEqual(drawCrop(new Philox(0), 30, 40, whole), { top: 5, left: 0, height: 20, width: 40 });
  const narrow = { scale: [1, 1], aspect: [0.25, 0.5] } as const;
  assert.deepEqual(drawCrop(new Philox(0), 30, 40, narrow), { top: 0, left: 10, height: 30, width: 20 });
});

Deno.test("drawCrop refuses limits that make no sense", () => {
  const draw = (change: object) => drawCrop(new Philox(1), 8, 8, { ...TOKENIZER_CROP, ...change });
  assert.throws(() => draw({ scale: [0, 1] }), /scale must be two ascending numbers in \(0, 1\]: received \[0,1\]/);
  assert.throws(() => draw({ scale: [0.9, 0.8] }), /scale/);
  assert.throws(() => draw({ scale: [0.9, 1.1] }), /scale/);
  assert.throws(() => draw({ aspect: [1, 0.9] }), /aspect must be two ascending positive numbers: received \[1,0.9\]/);
  assert.throws(() => draw({ aspect: [1, NaN] }), /aspect/);
});
