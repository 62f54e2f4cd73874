/**
 * `tf.image.resize_with_pad` as RT-1's inference code uses it: bilinear, without anti-aliasing, black bars, cut off to
 * whole numbers. Computed in float32 in TensorFlow's order, so that a policy sees the very pixels it was evaluated with.
 */

import type { PolicyFrame } from "../../worlds/robot_video/policy.ts";

/** The picture at another size with its aspect kept: RGB, [height, width, 3]. */
export function resizeWithPad(frame: PolicyFrame, height: number, width: number): Uint8Array<ArrayBuffer> {
  const f = Math.fround;
  const ratio = f(Math.max(f(frame.width / width), f(frame.height / height)));
  const exactHeight = f(frame.height / ratio), exactWidth = f(frame.width / ratio);
  const innerHeight = Math.floor(exactHeight), innerWidth = Math.floor(exactWidth);
  const top = Math.max(0, Math.floor(f((height - exactHeight) / 2)));
  const left = Math.max(0, Math.floor(f((width - exactWidth) / 2)));
  const rows = samples(frame.height, innerHeight), columns = samples(frame.width, innerWidth);
  const out = new Uint8Array(height * width * 3);
  const { pixels } = frame;
  for (let row = 0; row < innerHeight && top + row < height; row++) {
    const { low: y0, high: y1, share: v } = rows[row];
    for (let column = 0; column < innerWidth && left + column < width; column++) {
      const { low: x0, high: x1, share: u } = columns[column];
      for (let c = 0; c < 3; c++) {
        const at = (y: number, x: number) => pixels[(y * frame.width + x) * 3 + c];
        const upper = f(at(y0, x0) + f((at(y0, x1) - at(y0, x0)) * u));
        const lower = f(at(y1, x0) + f((at(y1, x1) - at(y1, x0)) * u));
        out[((top + row) * width + left + column) * 3 + c] = Math.floor(f(upper + f(f(lower - upper) * v)));
      }
    }
  }
  return out;
}

/** For each of `to` places along an axis: the two pixels of `from` that it lies between, and the second one's share. */
function samples(from: number, to: number): { low: number; high: number; share: number }[] {
  const scale = Math.fround(from / to);
  return Array.from({ length: to }, (_, i) => {
    const place = Math.fround(Math.fround(Math.fround(i + 0.5) * scale) - 0.5);
    const floor = Math.floor(place);
    const low = Math.min(Math.max(floor, 0), from - 1), high = Math.min(Math.max(floor + 1, 0), from - 1);
    return { low, high, share: Math.fround(place - floor) };
  });
}
