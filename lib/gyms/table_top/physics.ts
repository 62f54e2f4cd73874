/**
 * How the table-top world moves: a quasi-static model in which the gripper pushes, straddles, grasps, lifts and drops.
 *
 * A step is cut into short parts so that nothing is jumped over. In each the gripper moves, objects that overlap it or
 * each other are moved apart, and what is pinned against an edge stops the gripper. Friction is high: a pushed object
 * glides on a little and stops. There are no forces and no stacking; an object that is dropped on another slides off it.
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import { RT1_ACTION } from "../../worlds/robot_video/actions.ts";
import {
  DRAWER,
  GRIPPER,
  leftEdge,
  OBJECT_HEIGHT,
  reachLeft,
  TABLE,
  type TableObject,
  type TableTopState,
} from "./state.ts";

/** How far the gripper moves for a `world_vector` component of 1. */
export const MOVE_SCALE = 0.05;
/** How much the gripper closes in one step for a `gripper_closedness_action` of 1. */
export const GRIP_SCALE = 0.5;
/** The gripper moves at most this far in one step along each axis. */
export const MAX_MOVE = 0.1;

const SUBSTEPS = 6;
const FALL = 0.07;
const GLIDE = 0.3;
const GRASP_AT = 0.6;
const RELEASE_AT = 0.4;
const SPIN = 0.6;

/**
 * Advances a state by one action, in place.
 *
 * @param action 13 numbers in RT-1's order; used are world_vector, rotation_delta[2] and gripper_closedness_action.
 * @param slip how strongly pushes stray and grasps fail, 0 for not at all.
 * @param seed of the slip noise; together with the state's time it names the noise of this step.
 */
export function advance(state: TableTopState, action: ArrayLike<number>, slip: number, seed: number): void {
  const noise = slip > 0 ? new Philox(seed, STREAM.tableTopSlip, state.time) : null;
  const before = state.objects.map(({ x, y }) => [x, y]);
  const { arm } = state;
  const move = [0, 1, 2].map((axis) => limit(action[RT1_ACTION.worldVector + axis] * MOVE_SCALE, -MAX_MOVE, MAX_MOVE));
  const turn = limit(action[RT1_ACTION.rotationDelta + 2], -Math.PI / 2, Math.PI / 2);
  const close = limit(action[RT1_ACTION.gripperClosedness] * GRIP_SCALE, -1, 1);

  for (const object of state.objects) {
    object.x += object.vx;
    object.y += object.vy;
  }
  for (let part = 0; part < SUBSTEPS; part++) {
    const wasClosed = arm.closedness >= GRASP_AT;
    arm.closedness = limit(arm.closedness + close / SUBSTEPS, 0, 1);
    arm.angle = wrapAngle(arm.angle + turn / SUBSTEPS);
    moveGripper(state, move[0] / SUBSTEPS, move[1] / SUBSTEPS, move[2] / SUBSTEPS);
    graspOrRelease(state, wasClosed);
    carry(state, turn / SUBSTEPS);
    separate(state, move[0] / SUBSTEPS, move[1] / SUBSTEPS);
  }
  state.objects.forEach((object, index) => {
    if (index === state.held) {
      object.vx = object.vy = 0;
      return;
    }
    object.z = Math.max(0, object.z - FALL);
    const dx = object.x - before[index][0], dy = object.y - before[index][1];
    // What merely glided slows down; what was pushed glides on by a share of its way.
    object.vx = GLIDE * dx;
    object.vy = GLIDE * dy;
    if (noise !== null) {
      const way = Math.hypot(dx, dy);
      object.x += slip * way * noise.normal();
      object.y += slip * way * noise.normal();
    }
    if (Math.hypot(object.vx, object.vy) < 1e-3) object.vx = object.vy = 0;
  });
  if (noise !== null && state.held !== null && noise.uniform() < 0.05 * slip) state.held = null;
  separate(state, 0, 0);
  state.time += 1;
}

function limit(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function wrapAngle(angle: number): number {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

/** The radius with which the fingers push. */
function fingerRadius({ arm }: TableTopState): number {
  const { closedRadius, openRadius } = GRIPPER;
  return openRadius + (closedRadius - openRadius) * arm.closedness;
}

/** A disc that pushes. */
interface Pusher {
  x: number;
  y: number;
  radius: number;
}

/** What pushes: the fingers and what is between them. */
function pushers(state: TableTopState): Pusher[] {
  const fingers = { x: state.arm.x, y: state.arm.y, radius: fingerRadius(state) };
  return state.straddled === null ? [fingers] : [fingers, state.objects[state.straddled]];
}

/** Whether an object is low enough to be in the way of others and of the lowered gripper. */
function isLow(object: TableObject): boolean {
  return object.z < OBJECT_HEIGHT;
}

function moveGripper(state: TableTopState, dx: number, dy: number, dz: number): void {
  const { arm, drawer } = state;
  arm.x = limit(arm.x + dx, reachLeft(state), GRIPPER.maxX);
  arm.y = limit(arm.y + dy, GRIPPER.minY, GRIPPER.maxY);
  if (drawer?.held) {
    arm.x = limit(arm.x, handleX(0), handleX(DRAWER.travel));
    drawer.opening = arm.x - handleX(0);
    arm.y = (DRAWER.top + DRAWER.bottom) / 2;
    return;
  }
  const wasAbove = arm.z >= GRIPPER.contactHeight;
  arm.z = limit(arm.z + dz, 0, GRIPPER.maxZ);
  const isAbove = arm.z >= GRIPPER.contactHeight;
  if (isAbove && state.held === null) state.straddled = null;
  if (wasAbove && !isAbove) comeDown(state);
}

/** The gripper's way down: around an object that fits between the open fingers, stopped by any other that is under it. */
function comeDown(state: TableTopState): void {
  const { arm, drawer } = state;
  const radius = Math.max(...pushers(state).map((pusher) => pusher.radius));
  for (let index = 0; index < state.objects.length; index++) {
    const object = state.objects[index];
    if (index === state.held || !isLow(object)) continue;
    const distance = Math.hypot(object.x - arm.x, object.y - arm.y);
    if (state.held === null && state.straddled === null && arm.closedness < 0.5 && distance < GRIPPER.capture) {
      state.straddled = index;
    } else if (distance < (object.radius + radius) * 0.8) {
      arm.z = GRIPPER.contactHeight;
    }
  }
  if (drawer !== null && isOverDrawer(state)) arm.z = GRIPPER.contactHeight;
  if (arm.z >= GRIPPER.contactHeight && state.held === null) state.straddled = null;
}

function isOverDrawer({ arm, drawer }: TableTopState): boolean {
  return drawer !== null && arm.x < DRAWER.cabinetWidth + drawer.opening && arm.y > DRAWER.top && arm.y < DRAWER.bottom;
}

/** Where the gripper is when it holds the handle of the drawer. */
function handleX(opening: number): number {
  return DRAWER.cabinetWidth + opening + DRAWER.handleReach + GRIPPER.closedRadius;
}

/** Fingers that close take hold of what is between them; closed ones that come near a handle do not. */
function graspOrRelease(state: TableTopState, wasClosed: boolean): void {
  const { arm, drawer } = state;
  if (arm.closedness >= GRASP_AT && state.held === null) {
    if (state.straddled !== null) state.held = state.straddled;
    else if (drawer !== null && !wasClosed && arm.z < GRIPPER.contactHeight) {
      const dx = arm.x - handleX(drawer.opening), dy = arm.y - (DRAWER.top + DRAWER.bottom) / 2;
      drawer.held = Math.abs(dx) < 0.045 && Math.abs(dy) < 0.05;
    }
  }
  if (arm.closedness <= RELEASE_AT) {
    if (drawer !== null) drawer.held = false;
    if (state.held !== null && arm.z >= GRIPPER.contactHeight) state.straddled = null;
    state.held = null;
  }
}

/** Moves what is between the fingers along: loosely while they are open, firmly once they hold it. */
function carry(state: TableTopState, turn: number): void {
  if (state.straddled === null) return;
  const { arm } = state;
  const object = state.objects[state.straddled];
  const dx = object.x - arm.x, dy = object.y - arm.y;
  const distance = Math.hypot(dx, dy);
  const play = GRIPPER.capture * Math.max(0, 1 - arm.closedness / GRASP_AT);
  if (distance > play) {
    object.x = arm.x + dx * play / distance;
    object.y = arm.y + dy * play / distance;
  }
  if (state.held === null) return;
  object.z = arm.z;
  object.angle = wrapAngle(object.angle + turn);
}

/**
 * Moves apart what overlaps. First everything gives way to the gripper; then whatever is pinned keeps its place and the
 * gripper is moved back.
 */
function separate(state: TableTopState, dx: number, dy: number): void {
  const { arm } = state;
  const pushes = arm.z < GRIPPER.contactHeight;
  if (pushes) pushDrawer(state);
  if (state.straddled !== null && state.held === null) keepOnTable(state, state.objects[state.straddled]);
  const low = state.objects.filter((object, index) => index !== state.straddled && isLow(object));
  for (let round = 0; round < 40; round++) {
    let moved = false;
    for (const object of low) {
      if (pushes) { for (const pusher of pushers(state)) moved = pushAway(object, pusher, dx, dy) || moved; }
      moved = keepOnTable(state, object) || moved;
    }
    if (!(moveApart(low) || moved)) return;
  }
  for (let round = 0; round < 200; round++) {
    const apart = !moveApart(low);
    const kept = low.map((object) => keepOnTable(state, object)).every((moved) => !moved);
    if (apart && kept) break;
  }
  for (let round = 0; pushes && round < 40; round++) {
    if (!low.map((object) => moveGripperBack(state, object)).some((moved) => moved)) break;
  }
}

/** Moves the gripper, and what is between its fingers, off an object that cannot give way. */
function moveGripperBack(state: TableTopState, object: TableObject): boolean {
  const { arm } = state;
  let moved = false;
  for (let which = 0; which < pushers(state).length; which++) {
    const pusher = pushers(state)[which];
    const dx = pusher.x - object.x, dy = pusher.y - object.y;
    const distance = Math.hypot(dx, dy) || 1e-9;
    const overlap = pusher.radius + object.radius - distance;
    if (overlap <= 1e-6) continue;
    const oldX = arm.x, oldY = arm.y;
    arm.x = limit(arm.x + dx / distance * overlap, reachLeft(state), GRIPPER.maxX);
    arm.y = limit(arm.y + dy / distance * overlap, GRIPPER.minY, GRIPPER.maxY);
    if (state.straddled !== null) {
      state.objects[state.straddled].x += arm.x - oldX;
      state.objects[state.straddled].y += arm.y - oldY;
    }
    moved = true;
  }
  return moved;
}

function pushAway(object: TableObject, pusher: Pusher, dx: number, dy: number): boolean {
  const ox = object.x - pusher.x, oy = object.y - pusher.y;
  const distance = Math.hypot(ox, oy) || 1e-9;
  const overlap = pusher.radius + object.radius - distance;
  if (overlap <= 1e-6) return false;
  const nx = ox / distance, ny = oy / distance;
  object.x += nx * overlap;
  object.y += ny * overlap;
  // A push past the middle turns what it pushes.
  object.angle = wrapAngle(object.angle + SPIN * limit((nx * dy - ny * dx) / object.radius, -0.1, 0.1));
  return true;
}

function moveApart(objects: readonly TableObject[]): boolean {
  let moved = false;
  for (let i = 0; i < objects.length; i++) {
    for (let j = i + 1; j < objects.length; j++) {
      const a = objects[i], b = objects[j];
      const dx = b.x - a.x, dy = b.y - a.y;
      const distance = Math.hypot(dx, dy);
      const overlap = a.radius + b.radius - distance;
      if (overlap <= 1e-6) continue;
      const nx = distance > 0 ? dx / distance : 1, ny = distance > 0 ? dy / distance : 0;
      a.x -= nx * overlap / 2;
      a.y -= ny * overlap / 2;
      b.x += nx * overlap / 2;
      b.y += ny * overlap / 2;
      moved = true;
    }
  }
  return moved;
}

/** Keeps an object off the edges and out of the drawer; says whether it had to be moved. */
function keepOnTable(state: TableTopState, object: TableObject): boolean {
  const { radius } = object;
  const oldX = object.x, oldY = object.y;
  object.x = limit(object.x, leftEdge(state) + radius, TABLE.width - radius);
  object.y = limit(object.y, radius, TABLE.depth - radius);
  const { drawer } = state;
  if (drawer !== null && drawer.opening > 0) {
    const front = DRAWER.cabinetWidth + drawer.opening;
    // The nearest point of the drawer; an object whose middle is inside goes out by the front.
    const nearX = Math.min(object.x, front), nearY = limit(object.y, DRAWER.top, DRAWER.bottom);
    const dx = object.x - nearX, dy = object.y - nearY;
    const distance = Math.hypot(dx, dy);
    if (distance === 0) object.x = front + radius;
    else if (distance < radius) {
      object.x = nearX + dx * radius / distance;
      object.y = nearY + dy * radius / distance;
    }
  }
  return Math.abs(object.x - oldX) > 1e-6 || Math.abs(object.y - oldY) > 1e-6;
}

/** The lowered gripper closes the drawer that it runs into; from the side it is stopped by it. */
function pushDrawer(state: TableTopState): void {
  const { arm, drawer } = state;
  if (drawer === null || drawer.held || drawer.opening <= 0) return;
  const radius = fingerRadius(state);
  const front = DRAWER.cabinetWidth + drawer.opening;
  const nearY = limit(arm.y, DRAWER.top, DRAWER.bottom);
  const dy = arm.y - nearY;
  if (Math.abs(dy) >= radius || arm.x - radius >= front) return;
  if (arm.x > front - 0.05 && dy === 0) {
    drawer.opening = Math.max(0, arm.x - radius - DRAWER.cabinetWidth);
  } else if (dy !== 0) {
    arm.y = limit(nearY + Math.sign(dy) * radius, GRIPPER.minY, GRIPPER.maxY);
  }
  carry(state, 0);
}
