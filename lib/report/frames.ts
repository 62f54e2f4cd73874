/**
 * Frames laid out for the eye: clips side by side, a clip as a strip, upscaling without blur, errors as a heat map.
 *
 * Text is not drawn into pixels: the pages that show these images put labels above them in HTML, where they stay sharp.
 *
 * Axis legend: T time, H height, W width; three channels last, bytes.
 */

/**
 * A clip of raw frames: uint8 [T, H, W, 3].
 *
 * @internal
 */
export interface ShownClip {
  /** Pixels, frame after frame, row after row. */
  frames: Uint8Array;
  /** Number of frames. */
  t: number;
  /** Height in pixels. */
  h: number;
  /** Width in pixels. */
  w: number;
}

/** White, the colour of the page behind. */
const GAP_COLOR = 255;

/**
 * Makes a clip and checks its size.
 *
 * @throws {RangeError} when the bytes are not [T, H, W, 3].
 */
export function frameClip(frames: Uint8Array, t: number, h: number, w: number): ShownClip {
  if (!(t > 0 && h > 0 && w > 0) || frames.length !== t * h * w * 3) {
    throw new RangeError(`frames must be [${t}, ${h}, ${w}, 3] bytes: received ${frames.length}`);
  }
  return { frames, t, h, w };
}

/** Bytes of float frames in [0, 1]; values outside are clipped, NaN becomes 0. */
export function toBytes(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    { length: values.length },
    (_, i) => Math.round(255 * Math.min(1, Math.max(0, values[i] || 0))),
  );
}

/**
 * Clips of one size next to each other, `gap` white pixels between them: [T, H, n·W + (n − 1)·gap, 3].
 *
 * @throws {RangeError} when there is no clip or the sizes differ.
 */
export function sideBySide(clips: readonly ShownClip[], gap = 2): ShownClip {
  if (clips.length === 0) throw new RangeError("clips must hold at least one clip: received none");
  const [{ t, h, w }] = clips;
  clips.forEach((one, i) => {
    if (one.t !== t || one.h !== h || one.w !== w) {
      throw new RangeError(
        `clips must have one size: clip 0 is [${t}, ${h}, ${w}], clip ${i} is [${one.t}, ${one.h}, ${one.w}]`,
      );
    }
  });
  const width = clips.length * w + (clips.length - 1) * gap;
  const frames = new Uint8Array(t * h * width * 3).fill(GAP_COLOR);
  for (let row = 0; row < t * h; row++) {
    clips.forEach((one, i) => {
      frames.set(one.frames.subarray(row * w * 3, (row + 1) * w * 3), (row * width + i * (w + gap)) * 3);
    });
  }
  return { frames, t, h, w: width };
}

/** The frames of a clip in one row, first on the left: one image [1, H, T·W + (T − 1)·gap, 3]. */
export function strip(source: ShownClip, gap = 2): ShownClip {
  const { frames, t, h, w } = source;
  const size = h * w * 3;
  return sideBySide(
    Array.from({ length: t }, (_, i) => frameClip(frames.subarray(i * size, (i + 1) * size), 1, h, w)),
    gap,
  );
}

/** Every `stride`-th frame, at most `count`: what fits into a strip. */
export function pickFrames(source: ShownClip, count: number): ShownClip {
  const { frames, t, h, w } = source;
  if (t <= count) return source;
  const size = h * w * 3, picked = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) {
    const index = count === 1 ? 0 : Math.round(i * (t - 1) / (count - 1));
    picked.set(frames.subarray(index * size, (index + 1) * size), i * size);
  }
  return { frames: picked, t: count, h, w };
}

/**
 * Every pixel as a square of `scale` × `scale` (nearest neighbour).
 *
 * @throws {RangeError} when `scale` is not a positive integer.
 */
export function upscale(source: ShownClip, scale: number): ShownClip {
  if (!Number.isInteger(scale) || scale < 1) {
    throw new RangeError(`scale must be a positive integer: received ${scale}`);
  }
  if (scale === 1) return source;
  const { frames, t, h, w } = source;
  const stride = w * scale * 3, large = new Uint8Array(t * h * scale * stride);
  for (let row = 0; row < t * h; row++) {
    const to = row * scale * stride;
    for (let column = 0; column < w; column++) {
      const from = (row * w + column) * 3;
      for (let k = 0; k < scale; k++) {
        large.set(frames.subarray(from, from + 3), to + (column * scale + k) * 3);
      }
    }
    for (let k = 1; k < scale; k++) large.copyWithin(to + k * stride, to, to + stride);
  }
  return { frames: large, t, h: h * scale, w: w * scale };
}

/** The clip at 1/k of its size, k the smallest whole number that brings the width to `maxWidth` or less; pixels are averaged. */
export function shrink(source: ShownClip, maxWidth: number): ShownClip {
  const k = Math.ceil(source.w / maxWidth);
  if (k <= 1) return source;
  const { frames, t } = source, h = Math.max(1, Math.floor(source.h / k)), w = Math.max(1, Math.floor(source.w / k));
  const rows = Math.min(k, source.h), small = new Uint8Array(t * h * w * 3);
  for (let i = 0, to = 0; i < t; i++) {
    for (let row = 0; row < h; row++) {
      for (let column = 0; column < w; column++) {
        for (let c = 0; c < 3; c++) {
          let total = 0;
          for (let y = 0; y < rows; y++) {
            const from = (i * source.h + row * k + y) * source.w + column * k;
            for (let x = 0; x < k; x++) total += frames[(from + x) * 3 + c];
          }
          small[to++] = Math.round(total / (rows * k));
        }
      }
    }
  }
  return { frames: small, t, h, w };
}

/**
 * Where a prediction is off: the mean absolute difference of the three channels, white for none, over orange to dark red
 * for `full` (of 255) and more.
 *
 * @throws {RangeError} when the two clips differ in size.
 */
export function errorMap(prediction: ShownClip, truth: ShownClip, full = 64): ShownClip {
  const { t, h, w } = truth;
  if (prediction.t !== t || prediction.h !== h || prediction.w !== w) {
    throw new RangeError(
      `prediction and truth must have one size: received [${prediction.t}, ${prediction.h}, ${prediction.w}] and [${t}, ${h}, ${w}]`,
    );
  }
  const frames = new Uint8Array(truth.frames.length);
  for (let i = 0; i < frames.length; i += 3) {
    let difference = 0;
    for (let c = 0; c < 3; c++) difference += Math.abs(prediction.frames[i + c] - truth.frames[i + c]);
    const heat = Math.min(1, difference / 3 / full);
    // White → orange in the first half, orange → dark red in the second.
    const first = Math.min(1, 2 * heat), second = Math.max(0, 2 * heat - 1);
    frames[i] = 255 - first * 13 - second * 120;
    frames[i + 1] = 255 - first * 120 - second * 117;
    frames[i + 2] = 255 - first * 205 - second * 32;
  }
  return { frames, t, h, w };
}
