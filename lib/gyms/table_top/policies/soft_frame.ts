/**
 * Pictures as the scene tracker compares them: small, and softened so that blur and shifts of a pixel matter little.
 */

import type { PolicyFrame } from "../../../worlds/robot_video/policy.ts";

/** Pictures are reduced to about so many pixels a side before they are looked at. */
const LOOK_SIDE = 32;

/** A picture after {@linkcode softened}. */
export interface SoftFrame {
  /** [H, W, 3], 0 … 255. */
  pixels: Float32Array;
  /** H. */
  height: number;
  /** W. */
  width: number;
}

/** A smaller picture, each pixel the mean of a square. */
export function reduced(frame: PolicyFrame): PolicyFrame {
  const factor = Math.floor(Math.min(frame.height, frame.width) / LOOK_SIDE);
  if (factor < 2) return frame;
  const height = Math.floor(frame.height / factor), width = Math.floor(frame.width / factor);
  const pixels = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = 0; i < factor * factor; i++) {
          const r = row * factor + Math.floor(i / factor), k = column * factor + i % factor;
          sum += frame.pixels[(r * frame.width + k) * 3 + c];
        }
        pixels[(row * width + column) * 3 + c] = Math.round(sum / (factor * factor));
      }
    }
  }
  return { pixels, height, width };
}

/**
 * A picture in which each pixel is mixed with its neighbours (1 2 1 in both directions), both what is seen and what is
 * drawn: a learned model's blur then changes little, and what is a pixel off still overlaps.
 */
export function softened(pixels: Uint8Array, height: number, width: number): Float32Array {
  const stride = 3 * width;
  const rows = new Float32Array(pixels.length), both = new Float32Array(pixels.length);
  for (let row = 0; row < height; row++) {
    const start = row * stride, end = start + stride;
    for (let i = start; i < end; i++) {
      const left = i - 3 < start ? i : i - 3, right = i + 3 >= end ? i : i + 3;
      rows[i] = 0.25 * pixels[left] + 0.5 * pixels[i] + 0.25 * pixels[right];
    }
  }
  for (let i = 0; i < rows.length; i++) {
    const up = i < stride ? i : i - stride, down = i + stride >= rows.length ? i : i + stride;
    both[i] = 0.25 * rows[up] + 0.5 * rows[i] + 0.25 * rows[down];
  }
  return both;
}

/** How much two pictures differ, with large differences of a pixel cut off. */
export function difference(drawn: Float32Array, seen: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < drawn.length; i++) {
    const d = drawn[i] - seen[i];
    sum += Math.min(d * d, 80 * 80);
  }
  return sum;
}
