/**
 * How the table-top world looks: draws a state, from what lies on the table up to the arm above it.
 *
 * Everything that moves casts a soft shadow away from a light at the upper left; a shadow is farther from its thing and
 * softer the higher the thing is, which is how height shows in a view from above.
 */

import { background } from "./background.ts";
import { Camera } from "./camera.ts";
import { Canvas, type Rgb } from "./canvas.ts";
import {
  DRAWER,
  OBJECT_HEIGHT,
  type ObjectColour,
  type ObjectShape,
  type TableObject,
  type TableTopState,
} from "./state.ts";

const OBJECT_RGB: Record<ObjectColour, Rgb> = {
  red: [214, 52, 48],
  blue: [44, 104, 204],
  green: [46, 152, 82],
  yellow: [240, 196, 38],
  purple: [136, 72, 176],
  orange: [238, 126, 34],
};
const CORNERS: Record<ObjectShape, number> = { block: 4, disc: 20, triangle: 3, hexagon: 6 };
/** Corners lie a little outside the disc with which a shape collides, so that the areas are alike. */
const CORNER_REACH: Record<ObjectShape, number> = { block: 1.16, disc: 1, triangle: 1.28, hexagon: 1.07 };

const SHADOW: Rgb = [44, 28, 20];
/** How far to the right and towards the viewer a shadow falls for a height of 1. */
const SHADOW_X = 0.32, SHADOW_Y = 0.3;

const SHOULDER = { x: 0.5, y: -0.09, z: 0.16 };
const LINK = 0.62;
const WRIST_HEIGHT = 0.19;
const PALM_HEIGHT = 0.125;
const LINK_RGB: Rgb = [236, 238, 240];
const JOINT_RGB: Rgb = [58, 64, 74];
const ACCENT_RGB: Rgb = [250, 128, 40];
const FINGER_RGB: Rgb = [84, 92, 104];

/** The image of a state: RGB, [height, width, 3]. */
export function drawScene(state: TableTopState, height: number, width: number): Uint8Array {
  const camera = new Camera(height, width);
  const canvas = new Canvas(height, width, background(height, width, state.drawer !== null));
  drawZone(canvas, camera, state);
  drawDrawer(canvas, camera, state);
  for (const object of state.objects) drawObjectShadow(canvas, camera, object);
  drawArmShadow(canvas, camera, state);
  const between = state.straddled === null ? null : state.objects[state.straddled];
  const rest = state.objects.filter((object) => object !== between).sort((a, b) => a.y + a.z - b.y - b.z);
  for (const object of rest) drawObject(canvas, camera, object);
  drawGripper(canvas, camera, state, between);
  drawLinks(canvas, camera, state);
  return canvas.toBytes();
}

function shade([red, green, blue]: Rgb, factor: number): Rgb {
  return [red * factor, green * factor, blue * factor];
}

function drawZone(canvas: Canvas, camera: Camera, { zone }: TableTopState): void {
  if (zone === null) return;
  const x = camera.x(zone.x), y = camera.y(zone.y, 0), rx = zone.radius * camera.scale, ry = rx * camera.flatness;
  canvas.ellipse(x, y, rx, ry, { colour: [250, 250, 246], alpha: 0.75 });
  canvas.ellipse(x, y, rx * 0.86, ry * 0.86, { colour: [90, 178, 172], alpha: 0.8 });
}

function drawDrawer(canvas: Canvas, camera: Camera, { drawer }: TableTopState): void {
  if (drawer === null) return;
  const left = DRAWER.cabinetWidth, front = left + drawer.opening, z = OBJECT_HEIGHT;
  const box = (x0: number, y0: number, x1: number, y1: number, height: number) => {
    const top = camera.y(y0, height), bottom = camera.y(y1, height);
    return [camera.x(x0), top, camera.x(x1), top, camera.x(x1), bottom, camera.x(x0), bottom];
  };
  const s = camera.scale, middle = (DRAWER.top + DRAWER.bottom) / 2;
  canvas.polygon(box(left, DRAWER.top + 0.02, front + 0.045, DRAWER.bottom + 0.03, 0), {
    colour: SHADOW,
    alpha: 0.35,
    edge: Math.max(1, 0.04 * s),
  });
  if (drawer.opening > 0.004) {
    const bottom = camera.y(DRAWER.bottom, z), foot = camera.y(DRAWER.bottom, 0);
    canvas.polygon([camera.x(left), bottom, camera.x(front), bottom, camera.x(front), foot, camera.x(left), foot], {
      colour: [104, 116, 124],
    });
    canvas.polygon(box(left, DRAWER.top, front, DRAWER.bottom, z), { colour: [172, 184, 190] });
    const wall = 0.016;
    if (drawer.opening > 2 * wall) {
      canvas.polygon(box(left, DRAWER.top + wall, front - wall, DRAWER.bottom - wall, z), { colour: [88, 78, 70] });
      canvas.polygon(box(left, DRAWER.top + wall + 0.03, front - wall, DRAWER.bottom - wall, z), {
        colour: [118, 104, 92],
      });
    }
  }
  canvas.polygon(box(front - 0.004, DRAWER.top, front + 0.012, DRAWER.bottom, z), { colour: [70, 130, 160] });
  const handle = camera.x(front + DRAWER.handleReach);
  canvas.rod(handle, camera.y(middle - 0.05, z), 0.011 * s, handle, camera.y(middle + 0.05, z), 0.011 * s, {
    colour: [232, 206, 92],
    shading: 0.25,
  });
}

/** The corners of an object, x and y in turn, around its middle. */
function corners({ shape, radius, x, y, angle }: TableObject, size = 1): number[] {
  const count = CORNERS[shape];
  const reach = radius * CORNER_REACH[shape] * size;
  const points: number[] = [];
  for (let i = 0; i < count; i++) {
    const turn = angle + 2 * Math.PI * i / count;
    points.push(x + reach * Math.cos(turn), y + reach * Math.sin(turn));
  }
  return points;
}

function project(camera: Camera, points: readonly number[], z: number): number[] {
  return points.map((value, i) => i % 2 === 0 ? camera.x(value) : camera.y(value, z));
}

function drawObjectShadow(canvas: Canvas, camera: Camera, object: TableObject): void {
  const reach = object.z + OBJECT_HEIGHT * 0.6;
  const moved = { ...object, x: object.x + SHADOW_X * reach, y: object.y + SHADOW_Y * reach };
  canvas.polygon(project(camera, corners(moved, 1.04), 0), {
    colour: SHADOW,
    alpha: 0.5 - 0.8 * Math.min(object.z, 0.3),
    edge: Math.max(1, (0.025 + 0.16 * object.z) * camera.scale),
  });
}

function drawObject(canvas: Canvas, camera: Camera, object: TableObject): void {
  const colour = OBJECT_RGB[object.colour];
  const outline = corners(object);
  const top = object.z + OBJECT_HEIGHT;
  const count = outline.length / 2;
  for (let i = 0; i < count; i++) {
    const j = (i + 1) % count;
    const middle = 2 * Math.PI * (i + 0.5) / count + object.angle;
    const nx = Math.cos(middle), ny = Math.sin(middle);
    if (ny <= 0) continue;
    const face = [outline[2 * i], outline[2 * i + 1], outline[2 * j], outline[2 * j + 1]];
    const high = project(camera, face, top), low = project(camera, face, object.z);
    canvas.polygon([high[0], high[1], high[2], high[3], low[2], low[3], low[0], low[1]], {
      colour: shade(colour, 0.58 - 0.16 * nx),
      edge: 1.2,
    });
  }
  canvas.polygon(project(camera, outline, top), { colour: shade(colour, 0.9) });
  canvas.polygon(project(camera, corners(object, 0.8), top), { colour: lighten(colour, 0.14) });
}

function lighten([red, green, blue]: Rgb, share: number): Rgb {
  return [red + (255 - red) * share, green + (255 - green) * share, blue + (255 - blue) * share];
}

/** Where the arm's joints are: shoulder, elbow, wrist. The elbow is in the upright plane through the other two. */
function joints({ arm }: TableTopState): [number, number, number][] {
  const wrist: [number, number, number] = [arm.x, arm.y, arm.z + WRIST_HEIGHT];
  const dx = wrist[0] - SHOULDER.x, dy = wrist[1] - SHOULDER.y, dz = wrist[2] - SHOULDER.z;
  const flat = Math.hypot(dx, dy), distance = Math.hypot(flat, dz);
  const rise = Math.sqrt(Math.max(0, LINK * LINK - distance * distance / 4));
  // The upward normal of the line from shoulder to wrist, in their upright plane.
  const lean = -dz / distance, up = flat / distance;
  const elbow: [number, number, number] = [
    SHOULDER.x + dx / 2 + rise * lean * dx / flat,
    SHOULDER.y + dy / 2 + rise * lean * dy / flat,
    SHOULDER.z + dz / 2 + rise * up,
  ];
  return [[SHOULDER.x, SHOULDER.y, SHOULDER.z], elbow, wrist];
}

function drawArmShadow(canvas: Canvas, camera: Camera, state: TableTopState): void {
  const s = camera.scale;
  const [shoulder, elbow, wrist] = joints(state).map(([x, y, z]) => [
    camera.x(x + SHADOW_X * z),
    camera.y(y + SHADOW_Y * z, 0),
  ]);
  const paint = { colour: SHADOW, alpha: 0.22, edge: Math.max(1.5, 0.07 * s) };
  canvas.rod(shoulder[0], shoulder[1], 0.05 * s, elbow[0], elbow[1], 0.04 * s, paint);
  canvas.rod(elbow[0], elbow[1], 0.04 * s, wrist[0], wrist[1], 0.03 * s, paint);
  const { arm } = state;
  const reach = 0.075 - 0.035 * arm.closedness;
  const cx = arm.x + SHADOW_X * arm.z, cy = arm.y + SHADOW_Y * arm.z;
  const ux = Math.cos(arm.angle) * reach, uy = Math.sin(arm.angle) * reach;
  canvas.rod(camera.x(cx - ux), camera.y(cy - uy, 0), 0.026 * s, camera.x(cx + ux), camera.y(cy + uy, 0), 0.026 * s, {
    colour: SHADOW,
    alpha: 0.42 - 0.7 * arm.z,
    edge: Math.max(1, (0.025 + 0.16 * arm.z) * s),
  });
}

/** Two fingers, what is between them, and the palm above. */
function drawGripper(canvas: Canvas, camera: Camera, state: TableTopState, between: TableObject | null): void {
  const { arm } = state;
  const s = camera.scale;
  // The fingers close onto what they hold.
  const inner = between === null ? 0.012 : between.radius * 0.92;
  const gap = Math.max(inner, 0.064 - 0.052 * arm.closedness);
  const ux = Math.cos(arm.angle), uy = Math.sin(arm.angle);
  const finger = (side: number) => {
    const x = arm.x + side * ux * gap, y = arm.y + side * uy * gap;
    const column = camera.x(x), tip = camera.y(y, arm.z + 0.012), knuckle = camera.y(y, arm.z + PALM_HEIGHT);
    canvas.rod(column, knuckle, 0.02 * s, column, tip, 0.017 * s, { colour: FINGER_RGB, shading: 0.5 });
    canvas.rod(column, tip + (knuckle - tip) * 0.3, 0.016 * s, column, tip, 0.015 * s, {
      colour: ACCENT_RGB,
      shading: 0.25,
    });
  };
  const far = uy > 0 ? -1 : 1;
  finger(far);
  if (between !== null) drawObject(canvas, camera, between);
  finger(-far);
  const bar = Math.max(0.03, gap);
  const z = arm.z + PALM_HEIGHT;
  canvas.rod(
    camera.x(arm.x - ux * bar),
    camera.y(arm.y - uy * bar, z),
    0.018 * s,
    camera.x(arm.x + ux * bar),
    camera.y(arm.y + uy * bar, z),
    0.018 * s,
    { colour: JOINT_RGB, shading: 0.45 },
  );
  const column = camera.x(arm.x);
  canvas.rod(column, camera.y(arm.y, z), 0.026 * s, column, camera.y(arm.y, arm.z + WRIST_HEIGHT), 0.03 * s, {
    colour: JOINT_RGB,
    shading: 0.4,
  });
}

function drawLinks(canvas: Canvas, camera: Camera, state: TableTopState): void {
  const s = camera.scale;
  const [shoulder, elbow, wrist] = joints(state).map(([x, y, z]) => [camera.x(x), camera.y(y, z)]);
  const base = camera.x(SHOULDER.x);
  canvas.rod(base, camera.y(SHOULDER.y, 0), 0.085 * s, shoulder[0], shoulder[1], 0.07 * s, {
    colour: JOINT_RGB,
    shading: 0.3,
  });
  const link = (from: number[], r0: number, to: number[], r1: number) => {
    canvas.rod(from[0], from[1], (r0 + 0.006) * s, to[0], to[1], (r1 + 0.006) * s, { colour: [112, 118, 126] });
    canvas.rod(from[0], from[1], r0 * s, to[0], to[1], r1 * s, { colour: LINK_RGB, shading: 0.14 });
  };
  const joint = ([x, y]: number[], radius: number) => {
    canvas.ellipse(x, y, radius * s, radius * s, { colour: JOINT_RGB, shading: 0.35 });
    canvas.ellipse(x, y, radius * 0.55 * s, radius * 0.55 * s, { colour: ACCENT_RGB, shading: 0.2 });
  };
  link(wrist, 0.028, elbow, 0.038);
  joint(wrist, 0.032);
  link(shoulder, 0.05, elbow, 0.044);
  joint(shoulder, 0.052);
  joint(elbow, 0.05);
}
