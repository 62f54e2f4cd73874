/**
 * Pushing an object into the zone: above the place behind it, down, along with it, up, look, and again if it is not there.
 *
 * Every step of the push aims at the place from which the object would be shifted straight towards the zone, so an object
 * that slips aside is brought back; one that has slipped too far is approached anew. An error of aim is an error about
 * where the zone is, and about where the object is.
 */

import type { Philox } from "../../../tensor/random.ts";
import { GRIPPER, type TableTopState } from "../state.ts";
import type { Skill } from "./scripted_skill.ts";
import { type Aim, isAt, type TaskPlan, TRAVEL_Z, withinReach, WORK_Z } from "./task_plan.ts";

type Stage = "approach" | "lower" | "push" | "raise";

/** The gripper comes down this far behind the object's edge. */
const CLEARANCE = 0.035;
/** How far an object is pushed in a step. */
const PUSH = 0.05;
/** A push ends when the object's middle is this near to where it should be. */
const NEAR = 0.025;

/** A plan for "push the … into the zone"; the object is the scene's first. */
export class PushPlan implements TaskPlan {
  readonly #skill: Skill;
  readonly #random: Philox;
  #stage: Stage = "approach";
  #steps = 0;
  #error = { x: 0, y: 0, objectX: 0, objectY: 0 };

  /** A plan that has not begun. */
  constructor(skill: Skill, random: Philox) {
    this.#skill = skill;
    this.#random = random;
    this.#aimAnew();
  }

  /** Where to go now; null when the object looks to be in the zone, or is taken to. */
  next(scene: TableTopState): Aim | null {
    const { arm, zone } = scene;
    const [object] = scene.objects;
    // Until the zone has been seen there is nothing to aim at.
    if (zone === null) return { x: arm.x, y: arm.y, z: TRAVEL_Z, grip: 1 };
    const ox = object.x + this.#error.objectX, oy = object.y + this.#error.objectY;
    const goalX = zone.x + this.#error.x, goalY = zone.y + this.#error.y;
    const way = Math.hypot(goalX - ox, goalY - oy);
    const ux = (goalX - ox) / (way + 1e-9), uy = (goalY - oy) / (way + 1e-9);
    const touch = object.radius + GRIPPER.closedRadius;
    for (;;) {
      this.#steps++;
      switch (this.#stage) {
        case "approach": {
          if (this.#reached(scene)) return null;
          const back = touch + CLEARANCE;
          const [x, y] = withinReach(scene, ox - ux * back, oy - uy * back);
          if (!isAt(scene, x, y, 0.02) && this.#steps <= 20) return { x, y, z: TRAVEL_Z, grip: 1 };
          this.#enter("lower");
          break;
        }
        case "lower":
          if (arm.z > 0.03 && this.#steps <= 4) return { x: arm.x, y: arm.y, z: WORK_Z, grip: 1 };
          this.#enter("push");
          break;
        case "push": {
          const behind = ((ox - arm.x) * ux + (oy - arm.y) * uy) / (Math.hypot(ox - arm.x, oy - arm.y) + 1e-9);
          if (way > NEAR && behind > 0.6 && this.#steps <= 14) {
            const depth = touch - Math.min(PUSH, way);
            const [x, y] = withinReach(scene, ox - ux * depth, oy - uy * depth);
            return { x, y, z: WORK_Z, grip: 0 };
          }
          this.#enter("raise");
          break;
        }
        case "raise":
          if (arm.z < 0.07 && this.#steps <= 3) return { x: arm.x, y: arm.y, z: TRAVEL_Z, grip: 0 };
          if (this.#reached(scene) || this.#random.uniform() < this.#skill.credulity) return null;
          this.#aimAnew();
          this.#enter("approach");
          break;
      }
    }
  }

  #reached({ zone, objects: [object] }: TableTopState): boolean {
    return zone !== null && Math.hypot(object.x - zone.x, object.y - zone.y) < 0.7 * zone.radius;
  }

  #enter(stage: Stage): void {
    this.#stage = stage;
    this.#steps = 0;
  }

  #aimAnew(): void {
    const { aim } = this.#skill;
    this.#error = {
      x: aim * this.#random.normal(),
      y: aim * this.#random.normal(),
      objectX: 0.4 * aim * this.#random.normal(),
      objectY: 0.4 * aim * this.#random.normal(),
    };
  }
}
