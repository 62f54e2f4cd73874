/**
 * Where everything is in the table-top world, as far as pictures show it: an estimate of the scene that is carried from
 * frame to frame.
 *
 * Each step first predicts what the last action should have done (the rules of the world are known, its true state is
 * not), then draws the predicted scene and corrects gripper, objects and drawer until the drawing is like the picture:
 * Gauss–Newton on the difference of pixels, with the prediction as prior. Pixels that fit nothing count little, so blur,
 * noise and arm-shaped smears of a learned model do no harm. The picture has the last word: what the prediction moved and
 * the picture did not, has not moved.
 */

import { drawScene } from "../scene.ts";
import { advance } from "../physics.ts";
import { DRAWER, GRIPPER, leftEdge, type ObjectColour, type ObjectShape, TABLE } from "../state.ts";
import type { TableTopState } from "../state.ts";
import type { PolicyFrame } from "../../../worlds/robot_video/policy.ts";
import { difference, reduced, softened, type SoftFrame } from "./soft_frame.ts";
import { findObject, findZone, hasCabinet } from "./scene_colours.ts";

/** Differences of a pixel beyond this count less and less, 0 … 255. */
const OUTLIER = 45;
/** How far a pixel may be off without meaning anything, 0 … 255. */
const NOISE = 16;
/** How far the gripper may be from where its commands should have brought it, in a step. */
const ARM = 0.01;
/** Radius that is assumed for objects: the middle of what there is. */
const RADIUS = 0.054;
/** Radius of zones. */
const ZONE_RADIUS = 0.1;
/** A patch of colour of more pixels than this is no accident. */
const SURE = 4;
/** An object that is seen this far from where it is believed to be has been lost. */
const LOST = 0.1;

/** An object that the tracker should follow. */
export interface TrackedObject {
  colour: ObjectColour;
  /** Its shape. */
  shape: ObjectShape;
}

/** A number of the scene that is estimated. */
interface Unknown {
  get(state: TableTopState): number;
  set(state: TableTopState, value: number): void;
  /** How far it may be from what was predicted: a standard deviation. */
  spread: number;
}

/** Follows a scene over the frames of one episode. */
export class SceneTracker {
  readonly #objects: readonly TrackedObject[];
  /** For how many frames in a row each object has been seen elsewhere than it is believed to be. */
  readonly #lost: number[];
  #state: TableTopState | null = null;

  /** A tracker that has seen nothing yet. */
  constructor(objects: readonly TrackedObject[]) {
    this.#objects = objects;
    this.#lost = objects.map(() => 0);
  }

  /**
   * Looks at the next frame.
   *
   * @param action what was done since the last frame; null at the first.
   * @returns the estimate; it belongs to the tracker and is changed by the next call.
   */
  look(frame: PolicyFrame, action: Float32Array | null): TableTopState {
    const small = reduced(frame);
    const seen = { ...small, pixels: softened(small.pixels, small.height, small.width) };
    if (this.#state === null || action === null) {
      this.#state = this.#firstLook(small, seen);
    } else {
      const before = structuredClone(this.#state);
      advance(this.#state, action, 0, 0);
      correct(this.#state, seen, this.#unknowns(before, this.#state), 2);
      letGo(this.#state);
      this.#lookAgain(this.#state, small);
    }
    return this.#state;
  }

  /** Finds by colour what was overlooked or has been lost: a learned model may let things jump. */
  #lookAgain(state: TableTopState, sharp: PolicyFrame): void {
    if (state.zone === null) {
      const zone = findZone(sharp);
      if (zone !== null && zone.size > SURE) state.zone = { x: zone.x, y: zone.y, radius: ZONE_RADIUS };
    }
    state.objects.forEach((object, index) => {
      const found = findObject(sharp, object.colour);
      const isLost = found !== null && found.size > SURE && found.x > leftEdge(state) + object.radius &&
        Math.hypot(found.x - object.x, found.y - object.y) > LOST &&
        Math.hypot(found.x - state.arm.x, found.y - state.arm.y) > LOST;
      this.#lost[index] = isLost ? this.#lost[index] + 1 : 0;
      if (found === null || this.#lost[index] < 3) return;
      Object.assign(object, { x: found.x, y: found.y, vx: 0, vy: 0 });
      if (state.straddled === index) state.held = state.straddled = null;
      this.#lost[index] = 0;
    });
  }

  #firstLook(sharp: PolicyFrame, frame: SoftFrame): TableTopState {
    const zone = findZone(sharp);
    const state: TableTopState = {
      time: 0,
      arm: { x: 0.5, y: 0.4, z: 0.13, angle: 0, closedness: 0 },
      objects: this.#objects.map(({ colour, shape }) => {
        const { x, y } = findObject(sharp, colour) ?? { x: 0.6, y: 0.4 };
        return { colour, shape, radius: RADIUS, x, y, z: 0, angle: 0, vx: 0, vy: 0 };
      }),
      held: null,
      straddled: null,
      drawer: hasCabinet(sharp) ? { opening: 0, held: false } : null,
      zone: zone === null ? null : { x: zone.x, y: zone.y, radius: ZONE_RADIUS },
    };
    if (state.drawer !== null) {
      choose(state, frame, [0, 0.085, 0.11, 0.14, 0.17].map((opening) => () => state.drawer!.opening = opening));
    }
    const places: [x: number, y: number, z: number][] = [];
    for (let x = leftEdge(state) + 0.1; x <= 0.95; x += 0.1) {
      for (let y = 0.1; y <= 0.72; y += 0.1) places.push([x, y, 0.14]);
    }
    chooseArm(state, frame, places);
    const { x, y } = state.arm;
    const near = [-0.05, 0, 0.05];
    chooseArm(state, frame, near.flatMap((dx) => near.flatMap((dy) => near.map((dz) => [x + dx, y + dy, 0.14 + dz]))));
    // The arm may have hidden the drawer's end.
    if (state.drawer !== null) {
      choose(state, frame, [0, 0.085, 0.11, 0.14, 0.17].map((opening) => () => state.drawer!.opening = opening));
    }
    const unknowns = this.#unknowns(null, state);
    if (state.zone !== null) {
      const { zone } = state;
      unknowns.push(
        { get: () => zone.x, set: (_, value) => zone.x = value, spread: 0.02 },
        { get: () => zone.y, set: (_, value) => zone.y = value, spread: 0.02 },
      );
    }
    for (let i = 0; i < 2; i++) correct(state, frame, unknowns, 3);
    return state;
  }

  /** What is estimated. What is far from the gripper is not expected to move. */
  #unknowns(before: TableTopState | null, now: TableTopState): Unknown[] {
    const first = before === null;
    const { arm, drawer } = now;
    const unknowns: Unknown[] = [
      { get: (s) => s.arm.x, set: (s, value) => s.arm.x = value, spread: first ? 0.05 : ARM },
      { get: (s) => s.arm.y, set: (s, value) => s.arm.y = value, spread: first ? 0.05 : ARM },
      { get: (s) => s.arm.z, set: (s, value) => s.arm.z = value, spread: first ? 0.04 : ARM },
    ];
    now.objects.forEach((object, index) => {
      const gap = Math.hypot(object.x - arm.x, object.y - arm.y) - object.radius;
      const spread = first ? 0.03 : gap < 0.12 ? 0.03 : 0.008;
      unknowns.push(
        { get: (s) => s.objects[index].x, set: (s, value) => s.objects[index].x = value, spread },
        { get: (s) => s.objects[index].y, set: (s, value) => s.objects[index].y = value, spread },
      );
    });
    if (drawer !== null) {
      const near = Math.abs(arm.x - DRAWER.cabinetWidth - drawer.opening) < 0.15;
      unknowns.push({
        get: (s) => s.drawer!.opening,
        set: (s, value) => s.drawer!.opening = value,
        spread: first ? 0.02 : near ? 0.04 : 0.01,
      });
    }
    return unknowns;
  }
}

/** The drawing of a state, softened as the picture is. */
function drawn(state: TableTopState, { height, width }: SoftFrame): Float32Array {
  return softened(drawScene(state, height, width), height, width);
}

/** Takes the change after which the drawing is most like the picture. */
function choose(state: TableTopState, frame: SoftFrame, changes: readonly (() => void)[]): void {
  let best = 0, least = Infinity;
  changes.forEach((change, i) => {
    change();
    const cost = difference(drawn(state, frame), frame.pixels);
    if (cost < least) [best, least] = [i, cost];
  });
  changes[best]();
}

/** The same for places of the arm. */
function chooseArm(state: TableTopState, frame: SoftFrame, places: readonly number[][]): void {
  choose(state, frame, places.map(([x, y, z]) => () => Object.assign(state.arm, { x, y, z })));
}

/** Moves the unknowns until the drawing is like the picture, held back towards where they are now. */
function correct(state: TableTopState, frame: SoftFrame, unknowns: readonly Unknown[], rounds: number): void {
  const { pixels } = frame;
  const prior = unknowns.map((unknown) => unknown.get(state));
  const count = unknowns.length, step = 0.012;
  const draw = () => drawn(state, frame);
  // How the drawing changes is found once: it changes little on the way.
  let now = draw();
  const slopes = unknowns.map((unknown) => {
    const value = unknown.get(state);
    unknown.set(state, value + step);
    const moved = draw();
    unknown.set(state, value);
    return moved.map((pixel, i) => (pixel - now[i]) / step);
  });
  for (let round = 0; round < rounds; round++) {
    if (round > 0) now = draw();
    const matrix = Array.from({ length: count }, () => new Float64Array(count));
    const right = new Float64Array(count);
    unknowns.forEach((unknown, a) => {
      const weight = 1 / (unknown.spread * unknown.spread);
      matrix[a][a] += weight;
      right[a] += weight * (prior[a] - unknown.get(state));
    });
    const slope = new Float64Array(count);
    for (let i = 0; i < now.length; i++) {
      let flat = true;
      for (let a = 0; a < count; a++) {
        slope[a] = slopes[a][i];
        if (slope[a] !== 0) flat = false;
      }
      if (flat) continue;
      const off = pixels[i] - now[i];
      // Neighbouring pixels and colours err together: each tells about a sixth of what it would alone.
      const weight = 1 / (1 + (off / OUTLIER) ** 2) / (6 * NOISE * NOISE);
      for (let a = 0; a < count; a++) {
        if (slope[a] === 0) continue;
        right[a] += weight * slope[a] * off;
        for (let b = 0; b <= a; b++) matrix[a][b] += weight * slope[a] * slope[b];
      }
    }
    const move = solve(matrix, right);
    unknowns.forEach((unknown, a) => {
      unknown.set(state, unknown.get(state) + Math.min(Math.max(move[a], -0.04), 0.04));
    });
    keepPossible(state);
  }
}

/** Solves a positive definite system, given the lower triangle of its matrix (Cholesky), in place. */
function solve(matrix: Float64Array[], right: Float64Array): Float64Array {
  const n = right.length;
  for (let a = 0; a < n; a++) {
    for (let b = 0; b <= a; b++) {
      let sum = matrix[a][b];
      for (let k = 0; k < b; k++) sum -= matrix[a][k] * matrix[b][k];
      matrix[a][b] = a === b ? Math.sqrt(Math.max(sum, 1e-9)) : sum / matrix[b][b];
    }
  }
  for (let a = 0; a < n; a++) {
    for (let k = 0; k < a; k++) right[a] -= matrix[a][k] * right[k];
    right[a] /= matrix[a][a];
  }
  for (let a = n - 1; a >= 0; a--) {
    for (let k = a + 1; k < n; k++) right[a] -= matrix[k][a] * right[k];
    right[a] /= matrix[a][a];
  }
  return right;
}

/** Moves estimates back to where things can be. */
function keepPossible(state: TableTopState): void {
  const { arm, drawer, objects } = state;
  arm.x = clamp(arm.x, GRIPPER.minX, GRIPPER.maxX);
  arm.y = clamp(arm.y, GRIPPER.minY, GRIPPER.maxY);
  arm.z = clamp(arm.z, 0, GRIPPER.maxZ);
  if (drawer !== null) drawer.opening = clamp(drawer.opening, 0, DRAWER.travel);
  for (const object of objects) {
    object.x = clamp(object.x, leftEdge(state), TABLE.width);
    object.y = clamp(object.y, 0, TABLE.depth);
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Gives up the belief that something is held when the picture shows it elsewhere. */
function letGo(state: TableTopState): void {
  const { arm, drawer, objects } = state;
  if (drawer?.held) {
    const handle = DRAWER.cabinetWidth + drawer.opening + DRAWER.handleReach + GRIPPER.closedRadius;
    if (Math.abs(handle - arm.x) > 0.05) drawer.held = false;
  }
  if (state.straddled !== null) {
    const object = objects[state.straddled];
    if (Math.hypot(object.x - arm.x, object.y - arm.y) > 0.06) state.held = state.straddled = null;
  }
}
