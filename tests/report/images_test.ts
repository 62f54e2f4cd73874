import assert from "node:assert/strict";
import sharp from "sharp";
import {
  errorMap,
  frameClip,
  pickFrames,
  type ShownClip,
  shrink,
  sideBySide,
  strip,
  toBytes,
  upscale,
} from "../../lib/report/frames.ts";
import { encodeGif } from "../../lib/report/gif.ts";
import { dataUri, encodePng } from "../../lib/report/png.ts";
import { Philox } from "../../lib/tensor/random.ts";

/** A square that moves one pixel a frame over a plain ground: few colours, so a GIF holds them exactly. */
function moving(t: number, h: number, w: number, color = [200, 40, 40]): ShownClip {
  const frames = new Uint8Array(t * h * w * 3).fill(128);
  for (let i = 0; i < t; i++) {
    for (let y = 2; y < 5; y++) for (let x = i; x < i + 3; x++) frames.set(color, ((i * h + y) * w + x) * 3);
  }
  return frameClip(frames, t, h, w);
}

/** Decodes every frame of a file with an independent decoder: [T, H, W, 3]. */
async function decode(bytes: Uint8Array) {
  const image = sharp(bytes, { animated: true });
  const { pages = 1, delay, loop, pageHeight } = await image.metadata();
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), t: pages, h: pageHeight ?? info.height, w: info.width, delay, loop };
}

Deno.test("a PNG is decoded to the same bytes", async () => {
  const random = new Philox(3);
  const pixels = Uint8Array.from({ length: 17 * 23 * 3 }, () => random.integer(0, 256));
  const { data, h, w } = await decode(encodePng(pixels, 17, 23));
  assert.deepEqual([h, w], [17, 23]);
  assert.deepEqual(data, pixels);
  assert.throws(() => encodePng(pixels, 23, 18), /RangeError: pixels must be \[23, 18, 3\] bytes: received 1173/);
});

Deno.test("a GIF holds every frame, its time, and loops", async () => {
  const { frames, t, h, w } = moving(6, 8, 12);
  const gif = await decode(encodeGif(frames, t, h, w, { delayMs: 120, scale: 2, pauseMs: 500 }));
  assert.deepEqual([gif.t, gif.h, gif.w, gif.loop], [6, 16, 24, 0]);
  assert.deepEqual(gif.delay, [120, 120, 120, 120, 120, 620]);
  const expected = upscale({ frames, t, h, w }, 2).frames;
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - gif.data[i])), 0);
  assert.ok(worst <= 4, `a colour is off by ${worst}`);
});

Deno.test("a GIF of photographs-like noise keeps its frames apart and close to the truth", async () => {
  const random = new Philox(5), t = 4, h = 32, w = 32;
  const frames = Uint8Array.from({ length: t * h * w * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % w, frame = Math.floor(i / (h * w * 3));
    return Math.min(255, 40 * frame + 3 * x + random.integer(0, 20));
  });
  const gif = await decode(encodeGif(frames, t, h, w));
  assert.equal(gif.t, t);
  const mean = frames.reduce((sum, value, i) => sum + Math.abs(value - gif.data[i]), 0) / frames.length;
  assert.ok(mean < 8, `mean error ${mean}`);
});

Deno.test("GIF options out of range are refused", () => {
  const { frames, t, h, w } = moving(2, 8, 8);
  assert.throws(() => encodeGif(frames, t, h, w, { delayMs: 0 }), /delayMs must lie between 20 and 60000: received 0/);
  assert.throws(() => encodeGif(frames, t, h, w, { scale: 1.5 }), /scale must be a positive integer: received 1.5/);
  assert.throws(() => encodeGif(frames, 3, h, w), /frames must be \[3, 8, 8, 3\] bytes: received 384/);
});

Deno.test("clips stand side by side with a white gap", () => {
  const one = frameClip(Uint8Array.of(1, 2, 3, 4, 5, 6), 2, 1, 1),
    two = frameClip(Uint8Array.of(7, 8, 9, 10, 11, 12), 2, 1, 1);
  const joined = sideBySide([one, two], 1);
  assert.deepEqual([joined.t, joined.h, joined.w], [2, 1, 3]);
  assert.deepEqual([...joined.frames], [1, 2, 3, 255, 255, 255, 7, 8, 9, 4, 5, 6, 255, 255, 255, 10, 11, 12]);
  assert.throws(() => sideBySide([]), /at least one clip/);
  assert.throws(() => sideBySide([one, moving(2, 8, 8)]), /clip 0 is \[2, 1, 1\], clip 1 is \[2, 8, 8\]/);
});

Deno.test("a strip is the frames from left to right", () => {
  const row = strip(frameClip(Uint8Array.of(1, 2, 3, 4, 5, 6), 2, 1, 1), 0);
  assert.deepEqual([row.t, row.h, row.w, ...row.frames], [1, 1, 2, 1, 2, 3, 4, 5, 6]);
});

Deno.test("picking frames keeps the first and the last", () => {
  const ten = frameClip(Uint8Array.from({ length: 30 }, (_, i) => Math.floor(i / 3)), 10, 1, 1);
  const first = (source: ShownClip) => Array.from({ length: source.t }, (_, i) => source.frames[3 * i]);
  assert.deepEqual(first(pickFrames(ten, 4)), [0, 3, 6, 9]);
  assert.deepEqual(first(pickFrames(ten, 1)), [0]);
  assert.equal(pickFrames(ten, 10), ten);
});

Deno.test("scaling up repeats pixels, scaling down averages them: there and back is the same", () => {
  const source = moving(2, 6, 8);
  const large = upscale(source, 3);
  assert.deepEqual([large.t, large.h, large.w], [2, 18, 24]);
  assert.deepEqual(shrink(large, 8), source);
  assert.equal(shrink(source, 8), source);
  const mixed = shrink(frameClip(Uint8Array.of(0, 0, 0, 100, 50, 10, 50, 50, 50, 50, 0, 0), 1, 2, 2), 1);
  assert.deepEqual([...mixed.frames], [50, 25, 15]);
});

Deno.test("an error map is white where nothing is off and darkens with the error", () => {
  const truth = frameClip(new Uint8Array(9).fill(100), 1, 1, 3);
  const prediction = frameClip(Uint8Array.of(100, 100, 100, 110, 110, 110, 200, 200, 200), 1, 1, 3);
  const { frames } = errorMap(prediction, truth);
  assert.deepEqual([...frames.subarray(0, 3)], [255, 255, 255]);
  const sums = [0, 1, 2].map((i) => frames[3 * i] + frames[3 * i + 1] + frames[3 * i + 2]);
  assert.ok(sums[0] > sums[1] && sums[1] > sums[2], String(sums));
  assert.throws(() => errorMap(truth, moving(1, 8, 8)), /one size: received \[1, 1, 3\] and \[1, 8, 8\]/);
});

Deno.test("floats become bytes: clipped, rounded, NaN black", () => {
  assert.deepEqual([...toBytes([0, 0.5, 1, -1, 2, NaN])], [0, 128, 255, 0, 255, 0]);
});

Deno.test("a data address holds the bytes of a view, not of the buffer behind it", () => {
  assert.equal(dataUri("image/png", new Uint8Array([0, 1, 2, 3]).subarray(1, 3)), "data:image/png;base64,AQI=");
});
