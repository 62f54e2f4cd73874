/** Animated GIFs of raw frames, for reports and notebooks. */
import { applyPalette, GIFEncoder, quantize } from "./gifenc.ts";
import { frameClip, upscale } from "./frames.ts";

/** Options of {@link encodeGif}. */
export interface GifOptions {
  /** Time a frame stays, in milliseconds; rounded to 10 by the format. 200 unless told. */
  delayMs?: number;
  /** Every pixel becomes a square of this many pixels a side; 1 unless told. */
  scale?: number;
  /** Extra time on the last frame in milliseconds, so that the eye sees where the loop ends; 600 unless told. */
  pauseMs?: number;
}

/** Pixels that the palette is made from: more change nothing that is seen. */
const PALETTE_PIXELS = 1 << 17;

/**
 * Encodes frames as an endlessly looping GIF. All frames share one palette of 256 colours, so that what does not move does
 * not flicker.
 *
 * @param frames uint8 [T, H, W, 3].
 * @throws {RangeError} when the bytes are not [T, H, W, 3], or an option is out of range.
 */
export function encodeGif(frames: Uint8Array, t: number, h: number, w: number, options: GifOptions = {}): Uint8Array {
  const { delayMs = 200, scale = 1, pauseMs = 600 } = options;
  // Players read 0 and 10 ms as "no value" and play at a speed of their own.
  if (!(delayMs >= 20 && delayMs <= 60_000)) {
    throw new RangeError(`delayMs must lie between 20 and 60000: received ${delayMs}`);
  }
  const large = upscale(frameClip(frames, t, h, w), scale);
  // An odd stride does not keep to some columns of the image only.
  const palette = quantize(withAlpha(frames, Math.ceil(t * h * w / PALETTE_PIXELS) | 1), 256);
  const rgba = withAlpha(large.frames, 1);
  const gif = GIFEncoder();
  const size = large.h * large.w * 4;
  for (let i = 0; i < t; i++) {
    // A copy: the encoder reads the whole buffer behind a view, not the view.
    const indexed = applyPalette(rgba.slice(i * size, (i + 1) * size), palette);
    gif.writeFrame(indexed, large.w, large.h, {
      palette: i === 0 ? palette : undefined,
      delay: delayMs + (i === t - 1 && t > 1 ? pauseMs : 0),
    });
  }
  gif.finish();
  return gif.bytes();
}

/** Every `stride`-th pixel of RGB bytes as opaque RGBA, which is what the encoder reads. */
function withAlpha(rgb: Uint8Array, stride: number): Uint8ClampedArray {
  const count = Math.ceil(rgb.length / 3 / stride), rgba = new Uint8ClampedArray(count * 4);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) rgba[i * 4 + c] = rgb[i * stride * 3 + c];
    rgba[i * 4 + 3] = 255;
  }
  return rgba;
}
