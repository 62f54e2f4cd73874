/**
 * What scripted policies can be told to do, and what a plan for it is. The plans themselves are in `drawer_plan.ts` and
 * `push_plan.ts`; the hand that carries them out is in `scripted_policy.ts`.
 */

import { UserError } from "../../../base/user_error.ts";
import {
  GRIPPER,
  OBJECT_COLOURS,
  OBJECT_SHAPES,
  type ObjectColour,
  type ObjectShape,
  reachLeft,
  type TableTopState,
} from "../state.ts";

/** An instruction that scripted policies understand. */
export type ScriptedGoal =
  | { kind: "open-drawer" }
  | { kind: "close-drawer" }
  | { kind: "push-to-zone"; colour: ObjectColour; shape: ObjectShape };

/** Where the gripper should go next. */
export interface Aim {
  /** To the right. */
  x: number;
  /** Towards the viewer. */
  y: number;
  /** Height of the fingertips. */
  z: number;
  /** −1 opens, 1 closes, 0 leaves the gripper as it is. */
  grip: -1 | 0 | 1;
}

/** A plan for one episode. It decides by the estimated scene alone. */
export interface TaskPlan {
  /** Where to go now; null when the plan believes that it is done. */
  next(scene: TableTopState): Aim | null;
}

/** Heights at which the gripper passes over everything, and at which it works. */
export const TRAVEL_Z = 0.1, WORK_Z = 0.008;

/**
 * Reads an instruction, in the words of `describeTask`.
 *
 * @throws {UserError} if it is none of those that scripted policies know.
 */
export function parseInstruction(instruction: string): ScriptedGoal {
  if (instruction === "open the drawer") return { kind: "open-drawer" };
  if (instruction === "close the drawer") return { kind: "close-drawer" };
  const [, first, second] = /^push the (\w+) (\w+) into the zone$/.exec(instruction) ?? [];
  const colour = OBJECT_COLOURS.find((one) => one === first), shape = OBJECT_SHAPES.find((one) => one === second);
  if (colour !== undefined && shape !== undefined) return { kind: "push-to-zone", colour, shape };
  throw new UserError(
    `scripted policies do not know the instruction ${JSON.stringify(instruction)}: they know "open the drawer", ` +
      `"close the drawer" and such as "push the red block into the zone"`,
  );
}

/** Whether the gripper is this near to a place. */
export function isAt({ arm }: TableTopState, x: number, y: number, tolerance: number): boolean {
  return Math.hypot(x - arm.x, y - arm.y) < tolerance;
}

/** The nearest place that the gripper reaches. */
export function withinReach(scene: TableTopState, x: number, y: number): [x: number, y: number] {
  return [
    Math.min(Math.max(x, reachLeft(scene)), GRIPPER.maxX),
    Math.min(Math.max(y, GRIPPER.minY), GRIPPER.maxY),
  ];
}
