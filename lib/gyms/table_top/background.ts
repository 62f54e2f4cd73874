/**
 * What never moves in the table-top world: floor, table with its wood, cabinet. Drawn once a resolution and kept.
 */

import { Camera } from "./camera.ts";
import { Canvas } from "./canvas.ts";
import { DRAWER, TABLE } from "./state.ts";

const kept = new Map<string, Float32Array>();
const MAX_KEPT = 16;
/** Samples a pixel and axis: wood is finer than pixels. */
const SAMPLES = 3;

/** The background of an image, [H, W, 3], 0 … 255; shared, so copy before drawing on it. */
export function background(height: number, width: number, cabinet: boolean): Float32Array {
  const key = `${height}x${width}${cabinet ? "c" : ""}`;
  let image = kept.get(key);
  if (image === undefined) {
    image = drawBackground(height, width, cabinet);
    if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!);
    kept.set(key, image);
  }
  return image;
}

function drawBackground(height: number, width: number, cabinet: boolean): Float32Array {
  const camera = new Camera(height, width);
  const canvas = new Canvas(height, width);
  const { pixels } = canvas;
  const colour = [0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const i = (row * width + column) * 3;
      for (let sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        const x = camera.worldX(column + (sample % SAMPLES + 0.5) / SAMPLES);
        const y = camera.worldY(row + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES);
        floor(x, y, colour);
        for (let c = 0; c < 3; c++) pixels[i + c] += colour[c] / (SAMPLES * SAMPLES);
      }
    }
  }
  drawTable(canvas, camera);
  if (cabinet) drawCabinet(canvas, camera);
  return pixels;
}

function drawTable(canvas: Canvas, camera: Camera): void {
  const s = camera.scale;
  const left = camera.x(0), right = camera.x(TABLE.width), top = camera.y(0, 0), bottom = camera.y(TABLE.depth, 0);
  const rectangle = (x0: number, y0: number, x1: number, y1: number) => [x0, y0, x1, y0, x1, y1, x0, y1];
  const lip = 0.018 * s, front = 0.035 * s;
  canvas.polygon(rectangle(left, top + 0.03 * s, right + 0.03 * s, bottom + front + 0.03 * s), {
    colour: [10, 14, 20],
    alpha: 0.45,
    edge: Math.max(1, 0.06 * s),
  });
  canvas.polygon(rectangle(left - lip, bottom, right + lip, bottom + front), { colour: [112, 76, 46] });
  canvas.polygon(rectangle(left - lip, top - lip, right + lip, bottom + lip), { colour: [150, 105, 66] });
  const surface = new Canvas(canvas.height, canvas.width);
  const colour = [0, 0, 0];
  for (let row = Math.max(0, Math.floor(top)); row < Math.min(canvas.height, Math.ceil(bottom)); row++) {
    for (let column = Math.max(0, Math.floor(left)); column < Math.min(canvas.width, Math.ceil(right)); column++) {
      const i = (row * canvas.width + column) * 3;
      for (let sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        const px = column + (sample % SAMPLES + 0.5) / SAMPLES,
          py = row + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES;
        if (px < left || px > right || py < top || py > bottom) {
          for (let c = 0; c < 3; c++) surface.pixels[i + c] += canvas.pixels[i + c] / (SAMPLES * SAMPLES);
          continue;
        }
        wood(camera.worldX(px), camera.worldY(py), colour);
        for (let c = 0; c < 3; c++) surface.pixels[i + c] += colour[c] / (SAMPLES * SAMPLES);
      }
      for (let c = 0; c < 3; c++) canvas.pixels[i + c] = surface.pixels[i + c];
    }
  }
}

function drawCabinet(canvas: Canvas, camera: Camera): void {
  const z = 0.1;
  const left = camera.x(-0.02), right = camera.x(DRAWER.cabinetWidth);
  const top = camera.y(0, z), bottom = camera.y(TABLE.depth, z), foot = camera.y(TABLE.depth, 0);
  const s = camera.scale;
  canvas.polygon([
    left,
    camera.y(0.02, 0),
    camera.x(DRAWER.cabinetWidth + 0.05),
    camera.y(0.05, 0),
    camera.x(DRAWER.cabinetWidth + 0.05),
    camera.y(TABLE.depth, 0),
    left,
    foot,
  ], {
    colour: [40, 26, 14],
    alpha: 0.4,
    edge: Math.max(1, 0.05 * s),
  });
  canvas.polygon([left, bottom, right, bottom, right, foot, left, foot], { colour: [96, 108, 116] });
  canvas.polygon([left, top, right, top, right, bottom, left, bottom], { colour: [150, 163, 170] });
  const inset = 0.014 * s;
  canvas.polygon([
    left + inset,
    top + inset,
    right - inset,
    top + inset,
    right - inset,
    bottom - inset,
    left + inset,
    bottom - inset,
  ], {
    colour: [164, 177, 184],
  });
}

/** Dark tiles, a little lighter towards the upper left. */
function floor(x: number, y: number, out: number[]): void {
  const tile = 0.22;
  const u = x / tile - Math.floor(x / tile), v = y / tile - Math.floor(y / tile);
  const joint = u < 0.03 || v < 0.03 ? 0.86 : 1;
  const speckle = 0.97 + 0.06 * valueNoise(x * 60, y * 60);
  const light = joint * speckle * (1.08 - 0.12 * x - 0.14 * y);
  out[0] = 66 * light;
  out[1] = 76 * light;
  out[2] = 88 * light;
}

/** Planks along x, each of its own tone and grain. */
function wood(x: number, y: number, out: number[]): void {
  const plank = TABLE.depth / 5;
  const index = Math.floor(y / plank);
  const across = y / plank - index;
  const shift = hash(index, 7) * 20;
  const warp = valueNoise(x * 3 + shift, y * 9 + shift);
  const grain = valueNoise(x * 5 + shift, y * 110 + warp * 7);
  const fine = valueNoise(x * 16 + shift, y * 320);
  const rings = 0.5 + 0.5 * Math.sin((y * 42 + warp * 5 + x * 1.5) * 2);
  let light = 0.92 + 0.07 * (hash(index, 3) - 0.5) + 0.07 * grain + 0.035 * fine + 0.035 * rings;
  if (across < 0.02 || across > 0.98) light *= 0.84;
  light *= 1.07 - 0.1 * x - 0.08 * y;
  out[0] = 222 * light;
  out[1] = 184 * light;
  out[2] = 139 * light;
}

function hash(a: number, b: number): number {
  let h = Math.imul(a | 0, 0x9e3779b1) ^ Math.imul(b | 0, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return ((h ^ (h >>> 15)) >>> 0) / 0x100000000;
}

/** Smooth noise in 0 … 1 with a lattice of whole numbers. */
function valueNoise(x: number, y: number): number {
  const ix = Math.floor(x), iy = Math.floor(y);
  const fx = x - ix, fy = y - iy;
  const u = fx * fx * (3 - 2 * fx), v = fy * fy * (3 - 2 * fy);
  const a = hash(ix, iy), b = hash(ix + 1, iy), c = hash(ix, iy + 1), d = hash(ix + 1, iy + 1);
  return a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v;
}
