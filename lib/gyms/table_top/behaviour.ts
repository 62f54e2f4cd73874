/**
 * A scripted robot that keeps busy: it pushes things, picks them up and puts them elsewhere, works the drawer, or wanders.
 *
 * It looks at the true state and answers with an action in RT-1's order and ranges. Its only purpose is to make episodes
 * in which actions matter; it is no policy to be judged.
 */

import type { Philox } from "../../tensor/random.ts";
import { RT1_ACTION, RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import { GRIP_SCALE, MOVE_SCALE } from "./physics.ts";
import { DRAWER, GRIPPER, leftEdge, reachLeft, type TableTopState } from "./state.ts";

/** A place to go to, and what the gripper does on the way. */
interface Waypoint {
  /** Where; asked again at every step, since things move. */
  at: (state: TableTopState) => [x: number, y: number, z: number];
  /** −1 opens, 1 closes, 0 leaves the gripper as it is. */
  grip: -1 | 0 | 1;
  /** Stay until the gripper is fully open or closed. */
  waitForGrip?: boolean;
  /** Give up after so many steps. */
  patience: number;
}

/** Height at which the gripper passes over everything, and at which it works. */
const TRAVEL_Z = 0.1, WORK_Z = 0.008;
const ARRIVED = 0.02;

/** Where a waypoint is, or the nearest place that the gripper reaches. */
function target(waypoint: Waypoint, state: TableTopState): [x: number, y: number, z: number] {
  const [x, y, z] = waypoint.at(state);
  return [
    Math.min(Math.max(x, reachLeft(state)), GRIPPER.maxX),
    Math.min(Math.max(y, GRIPPER.minY), GRIPPER.maxY),
    Math.min(Math.max(z, 0), GRIPPER.maxZ),
  ];
}

/** A scripted robot; the same stream and the same states give the same actions. */
export class ScriptedBehaviour {
  readonly #random: Philox;
  readonly #noise: number;
  #plan: Waypoint[] = [];
  #patience = 0;
  #speed = 0.06;
  #angle = 0;
  /** Where the arm was a step ago, and for how many steps it has hardly moved. */
  #last: TableTopState["arm"] | null = null;
  #stuck = 0;

  /**
   * A robot that has done nothing yet.
   *
   * @param random decides what is done, and the noise.
   * @param noise standard deviation of what is added to `world_vector`.
   */
  constructor(random: Philox, noise = 0.08) {
    this.#random = random;
    this.#noise = noise;
  }

  /** The next action, 13 numbers: `terminate_episode` says to go on. */
  action(state: TableTopState): Float32Array {
    const { arm } = state;
    this.#watch(arm);
    const waypoint = this.#waypoint(state);
    const [x, y, z] = target(waypoint, state);
    const action = new Float32Array(RT1_ACTION_WIDTH);
    const way = Math.hypot(x - arm.x, y - arm.y);
    const share = Math.min(1, this.#speed / Math.max(way, 1e-9));
    const moves = [(x - arm.x) * share, (y - arm.y) * share, Math.min(Math.max(z - arm.z, -0.06), 0.06)];
    for (let axis = 0; axis < 3; axis++) {
      this.#set(action, RT1_ACTION.worldVector + axis, moves[axis] / MOVE_SCALE + this.#noise * this.#random.normal());
    }
    this.#set(action, RT1_ACTION.rotationDelta + 2, Math.min(Math.max(this.#angle - arm.angle, -0.2), 0.2));
    const room = waypoint.grip > 0 ? 1 - arm.closedness : arm.closedness;
    this.#set(action, RT1_ACTION.gripperClosedness, waypoint.grip * Math.min(1, room / GRIP_SCALE));
    action[RT1_ACTION.terminateEpisode + 1] = 1;
    return action;
  }

  #set(action: Float32Array, dimension: number, value: number): void {
    const { min, max } = RT1_ACTION_RANGES;
    action[dimension] = Math.min(Math.max(value, min[dimension]), max[dimension]);
  }

  /** Gives up a plan in which nothing moves any more: something is in the way. */
  #watch(arm: TableTopState["arm"]): void {
    const last = this.#last;
    this.#last = { ...arm };
    if (last === null) return;
    const moved = Math.hypot(arm.x - last.x, arm.y - last.y, arm.z - last.z) > 0.012 ||
      arm.closedness !== last.closedness;
    this.#stuck = moved ? 0 : this.#stuck + 1;
    if (this.#stuck < 2) return;
    this.#stuck = 0;
    this.#plan = [{ at: ({ arm }) => [arm.x, arm.y, TRAVEL_Z], grip: arm.closedness < 1 ? -1 : 0, patience: 3 }];
    this.#patience = 3;
  }

  /** The waypoint to head for now; makes a new plan when the old one is done. */
  #waypoint(state: TableTopState): Waypoint {
    for (;;) {
      if (this.#plan.length === 0) {
        this.#plan = this.#newPlan(state);
        this.#speed = this.#between(0.05, 0.085);
        this.#angle = this.#between(-0.7, 0.7);
        this.#patience = this.#plan[0].patience;
      }
      const waypoint = this.#plan[0];
      const [x, y, z] = target(waypoint, state);
      const { arm } = state;
      const there = Math.hypot(x - arm.x, y - arm.y) < ARRIVED && Math.abs(z - arm.z) < ARRIVED;
      const gripped = waypoint.grip === 0 || !waypoint.waitForGrip || arm.closedness === (waypoint.grip > 0 ? 1 : 0);
      if (!(there && gripped) && this.#patience-- > 0) return waypoint;
      this.#plan.shift();
      if (this.#plan.length > 0) this.#patience = this.#plan[0].patience;
    }
  }

  #newPlan(state: TableTopState): Waypoint[] {
    const dice = this.#random.uniform();
    if (state.drawer !== null && dice > 0.7) return this.#workDrawer(state);
    if (dice < 0.38) return this.#push(state) ?? this.#wander(state);
    if (dice < 0.82) return this.#pickAndPlace(state);
    return this.#wander(state);
  }

  /** Goes behind an object, comes down with closed fingers and pushes it along a line that stays on the table. */
  #push(state: TableTopState): Waypoint[] | null {
    const object = state.objects[this.#random.integer(0, state.objects.length)];
    for (let attempt = 0; attempt < 20; attempt++) {
      const direction = this.#between(-Math.PI, Math.PI), length = this.#between(0.15, 0.4);
      const ux = Math.cos(direction), uy = Math.sin(direction);
      const touch = object.radius + GRIPPER.closedRadius;
      const start = [object.x - ux * (touch + 0.03), object.y - uy * (touch + 0.03)] as const;
      const end = [object.x + ux * (length - touch), object.y + uy * (length - touch)] as const;
      const goal = [object.x + ux * length, object.y + uy * length] as const;
      if (![start, end, goal].every(([x, y]) => this.#inReach(state, x, y))) continue;
      return [
        { at: () => [start[0], start[1], TRAVEL_Z], grip: 1, patience: 25 },
        { at: () => [start[0], start[1], WORK_Z], grip: 1, patience: 5 },
        { at: () => [end[0], end[1], WORK_Z], grip: 0, patience: 14 },
        { at: (now) => [now.arm.x, now.arm.y, TRAVEL_Z], grip: 0, patience: 3 },
      ];
    }
    return null;
  }

  #pickAndPlace(state: TableTopState): Waypoint[] {
    const index = this.#random.integer(0, state.objects.length);
    const [x, y] = this.#somewhere(state);
    const lift = this.#between(0.12, 0.22);
    const above = (z: number) => (now: TableTopState): [number, number, number] => {
      const object = now.objects[index];
      return [object.x, object.y, z];
    };
    return [
      { at: above(TRAVEL_Z), grip: -1, patience: 25 },
      { at: above(WORK_Z), grip: -1, patience: 5 },
      { at: (now) => [now.arm.x, now.arm.y, WORK_Z], grip: 1, waitForGrip: true, patience: 4 },
      { at: (now) => [now.arm.x, now.arm.y, lift], grip: 0, patience: 4 },
      { at: () => [x, y, lift], grip: 0, patience: 20 },
      { at: () => [x, y, WORK_Z], grip: 0, patience: 5 },
      { at: () => [x, y, WORK_Z], grip: -1, waitForGrip: true, patience: 4 },
      { at: () => [x, y, TRAVEL_Z], grip: 0, patience: 4 },
    ];
  }

  /** Pulls a closed drawer open by its handle, or pushes an open one shut. */
  #workDrawer(state: TableTopState): Waypoint[] {
    const middle = (DRAWER.top + DRAWER.bottom) / 2;
    const front = DRAWER.cabinetWidth + state.drawer!.opening;
    const open = state.drawer!.opening < DRAWER.travel / 2;
    const grip = DRAWER.handleReach + GRIPPER.closedRadius;
    const handle = front + grip;
    if (open) {
      return [
        { at: () => [handle, middle, TRAVEL_Z], grip: -1, patience: 25 },
        { at: () => [handle, middle, WORK_Z], grip: 0, patience: 5 },
        { at: (now) => [handle, middle, now.arm.z], grip: 1, waitForGrip: true, patience: 4 },
        { at: (now) => [DRAWER.cabinetWidth + DRAWER.travel + grip, middle, now.arm.z], grip: 0, patience: 8 },
        { at: (now) => [now.arm.x, middle, now.arm.z], grip: -1, waitForGrip: true, patience: 4 },
        { at: (now) => [now.arm.x, middle, TRAVEL_Z], grip: 0, patience: 4 },
      ];
    }
    const shut = DRAWER.cabinetWidth + GRIPPER.closedRadius;
    return [
      { at: () => [handle + 0.03, middle, TRAVEL_Z], grip: 1, patience: 25 },
      { at: () => [handle + 0.03, middle, WORK_Z], grip: 1, waitForGrip: true, patience: 5 },
      { at: () => [shut, middle, WORK_Z], grip: 0, patience: 10 },
      { at: (now) => [now.arm.x, middle, TRAVEL_Z], grip: 0, patience: 3 },
    ];
  }

  #wander(state: TableTopState): Waypoint[] {
    return Array.from({ length: this.#random.integer(1, 4) }, (): Waypoint => {
      const [x, y] = this.#somewhere(state);
      const z = this.#between(0.07, 0.2);
      return { at: () => [x, y, z], grip: ([-1, 0, 1] as const)[this.#random.integer(0, 3)], patience: 20 };
    });
  }

  #somewhere(state: TableTopState): [number, number] {
    const left = leftEdge(state) + (state.drawer === null ? 0 : DRAWER.travel);
    return [this.#between(left + 0.1, 0.9), this.#between(0.12, 0.68)];
  }

  #inReach(state: TableTopState, x: number, y: number): boolean {
    return x > reachLeft(state) && x < GRIPPER.maxX && y > GRIPPER.minY && y < GRIPPER.maxY;
  }

  #between(low: number, high: number): number {
    return low + (high - low) * this.#random.uniform();
  }
}
