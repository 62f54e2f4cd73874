/**
 * Goals in the table-top world and whether a state has reached them: what a policy is judged by.
 */

import { DRAWER, type TableTopState } from "./state.ts";

/** Something to achieve. Objects are named by their index in the state. */
export type TableTopTask =
  | { kind: "push-to-zone"; object: number }
  | { kind: "move-near"; object: number; target: number }
  | { kind: "lift"; object: number }
  | { kind: "open-drawer" }
  | { kind: "close-drawer" };

/** An object is lifted when its underside is this high. */
const LIFTED = 0.08;
/** Objects are near when the gap between them is at most this. */
const NEAR = 0.04;

/**
 * Whether the state has reached the goal. Tasks of pushing and moving count only once the object is let go on the table.
 *
 * @throws {RangeError} if the scene lacks what the task is about.
 */
export function taskSucceeded(state: TableTopState, task: TableTopTask): boolean {
  switch (task.kind) {
    case "push-to-zone": {
      const object = objectOf(state, task.object);
      if (state.zone === null) throw new RangeError("push-to-zone needs a scene with a zone: this one has none");
      const distance = Math.hypot(object.x - state.zone.x, object.y - state.zone.y);
      return object.z === 0 && state.held !== task.object && distance <= state.zone.radius;
    }
    case "move-near": {
      const object = objectOf(state, task.object), target = objectOf(state, task.target);
      const gap = Math.hypot(object.x - target.x, object.y - target.y) - object.radius - target.radius;
      return object.z === 0 && target.z === 0 && state.held !== task.object && gap <= NEAR;
    }
    case "lift":
      return objectOf(state, task.object).z >= LIFTED && state.held === task.object;
    case "open-drawer":
      return drawerOf(state) >= 0.8 * DRAWER.travel;
    case "close-drawer":
      return drawerOf(state) <= 0.1 * DRAWER.travel;
  }
}

/** The task as an instruction: "push the red block into the zone". */
export function describeTask(state: TableTopState, task: TableTopTask): string {
  const name = (index: number) => `the ${objectOf(state, index).colour} ${objectOf(state, index).shape}`;
  switch (task.kind) {
    case "push-to-zone":
      return `push ${name(task.object)} into the zone`;
    case "move-near":
      return `move ${name(task.object)} near ${name(task.target)}`;
    case "lift":
      return `lift ${name(task.object)}`;
    case "open-drawer":
      return "open the drawer";
    case "close-drawer":
      return "close the drawer";
  }
}

function objectOf(state: TableTopState, index: number) {
  if (!Number.isInteger(index) || index < 0 || index >= state.objects.length) {
    throw new RangeError(`the task's object must be in 0..${state.objects.length - 1}: received ${index}`);
  }
  return state.objects[index];
}

function drawerOf(state: TableTopState): number {
  if (state.drawer === null) throw new RangeError("drawer tasks need a scene with a drawer: this one has none");
  return state.drawer.opening;
}
