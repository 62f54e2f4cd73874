/**
 * Finding things of the table-top world by their colours in one picture: is there a cabinet, where is the zone, where is
 * an object of a given colour. A first guess for `scene_tracker.ts`, which makes it exact; nothing is followed here.
 */

import { background } from "../background.ts";
import { Camera } from "../camera.ts";
import type { Rgb } from "../canvas.ts";
import { DRAWER, OBJECT_COLOURS, OBJECT_HEIGHT, type ObjectColour, TABLE } from "../state.ts";
import type { PolicyFrame } from "../../../worlds/robot_video/policy.ts";

/** Something of a colour. */
export interface Blob {
  /** Its middle, to the right on the table. */
  x: number;
  /** Its middle, towards the viewer, if it lies on the table. */
  y: number;
  /** How many pixels it covers. */
  size: number;
}

/** The upper sides of objects as they are drawn (`gyms/table_top/scene.ts` draws them a little lighter than their colour). */
const TOP_RGB: Record<ObjectColour, Rgb> = {
  red: [214, 72, 68],
  blue: [62, 116, 206],
  green: [68, 160, 100],
  yellow: [240, 200, 64],
  purple: [148, 90, 184],
  orange: [238, 140, 60],
};
/** What is painted on the table, seen through its paint. */
const ZONE_RGB: Rgb = [116, 182, 170];
const WOOD_RGB: Rgb = [212, 175, 132];
/** All that a pixel may be a mixture of wood with: objects, zone, drawer, the arm's links and joints, shadow. */
const COLOURS: readonly Rgb[] = [
  ...OBJECT_COLOURS.map((colour) => TOP_RGB[colour]),
  ZONE_RGB,
  [172, 184, 190],
  [118, 104, 92],
  [70, 130, 160],
  [236, 238, 240],
  [58, 64, 74],
  [44, 28, 20],
];

/** Whether a cabinet stands at the left: the picture is more like a background with one than like one without. */
export function hasCabinet(frame: PolicyFrame): boolean {
  const { pixels, height, width } = frame;
  const camera = new Camera(height, width);
  const right = Math.max(1, Math.floor(camera.x(DRAWER.cabinetWidth)));
  const differences = [true, false].map((cabinet) => {
    const other = background(height, width, cabinet);
    let sum = 0;
    for (let row = 0; row < height; row++) {
      for (let i = row * width * 3; i < (row * width + right) * 3; i++) sum += Math.abs(pixels[i] - other[i]);
    }
    return sum;
  });
  return differences[0] < differences[1];
}

/** Where the painted zone is; null if there is none. */
export function findZone(frame: PolicyFrame): Blob | null {
  return largest(frame, (pixel) => share(pixel, ZONE_RGB), 0, 2.5);
}

/** Where the object of a colour is; null if none is seen. */
export function findObject(frame: PolicyFrame, colour: ObjectColour): Blob | null {
  return largest(frame, (pixel) => share(pixel, TOP_RGB[colour]), OBJECT_HEIGHT, 1);
}

/**
 * How much of a colour is in a pixel that is a mixture of it and wood, 0 … 1; 0 if another mixture explains the pixel
 * better. A blurred edge is such a mixture.
 */
function share(pixel: Rgb, colour: Rgb): number {
  const [part, rest] = mixture(pixel, colour);
  if (part < 0.3 || rest > 60) return 0;
  for (const other of COLOURS) {
    if (other === colour) continue;
    const [otherPart, otherRest] = mixture(pixel, other);
    if (otherPart > 0.2 && otherRest < rest) return 0;
  }
  return Math.min(part, 1);
}

/** A pixel as wood and a part of a colour, and how far it is from the nearest such mixture. */
function mixture(pixel: Rgb, colour: Rgb): [part: number, rest: number] {
  let along = 0, length = 0;
  for (let c = 0; c < 3; c++) {
    const way = colour[c] - WOOD_RGB[c];
    along += (pixel[c] - WOOD_RGB[c]) * way;
    length += way * way;
  }
  const part = along / length;
  const clipped = Math.min(Math.max(part, 0), 1.15);
  let rest = 0;
  for (let c = 0; c < 3; c++) rest += (pixel[c] - WOOD_RGB[c] - clipped * (colour[c] - WOOD_RGB[c])) ** 2;
  return [part, Math.sqrt(rest)];
}

/** The largest connected patch of pixels that are likely enough, on the table; its middle at a height above it. */
function largest(frame: PolicyFrame, score: (pixel: Rgb) => number, z: number, least: number): Blob | null {
  const { pixels, height, width } = frame;
  const camera = new Camera(height, width);
  const scores = new Float64Array(height * width);
  for (let i = 0; i < scores.length; i++) {
    const row = Math.floor(i / width), column = i % width;
    const x = camera.worldX(column + 0.5);
    if (x < 0 || x > TABLE.width || row + 0.5 < camera.y(0, z) || row + 0.5 > camera.y(TABLE.depth, 0)) continue;
    scores[i] = score([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]]);
  }
  const seen = new Uint8Array(scores.length);
  let best: Blob | null = null;
  for (let start = 0; start < scores.length; start++) {
    if (seen[start] || scores[start] === 0) continue;
    const stack = [start];
    let weight = 0, rows = 0, columns = 0;
    seen[start] = 1;
    while (stack.length > 0) {
      const i = stack.pop()!;
      const row = Math.floor(i / width), column = i % width;
      weight += scores[i];
      rows += scores[i] * (row + 0.5);
      columns += scores[i] * (column + 0.5);
      for (const [r, c] of [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1]]) {
        const j = r * width + c;
        if (r < 0 || c < 0 || r >= height || c >= width || seen[j] || scores[j] === 0) continue;
        seen[j] = 1;
        stack.push(j);
      }
    }
    if (weight >= least && (best === null || weight > best.size)) {
      const up = camera.y(0, 0) - camera.y(0, z);
      best = { x: camera.worldX(columns / weight), y: camera.worldY(rows / weight + up), size: weight };
    }
  }
  return best;
}
