/**
 * Opening the drawer by its handle, and pushing it shut: above the handle, down, take hold (or not), along, up, look, and
 * again if it did not work.
 *
 * An error of aim puts the gripper beside the handle, on top of the drawer, or stops it before the end.
 */

import type { Philox } from "../../../tensor/random.ts";
import { DRAWER, GRIPPER, type TableTopState } from "../state.ts";
import type { Skill } from "./scripted_skill.ts";
import { type Aim, isAt, type TaskPlan, TRAVEL_Z, withinReach, WORK_Z } from "./task_plan.ts";

type Stage = "approach" | "lower" | "grip" | "work" | "release" | "raise";

const MIDDLE_Y = (DRAWER.top + DRAWER.bottom) / 2;
/** How far from the drawer's front the gripper is when it holds the handle. */
const GRIP_X = DRAWER.handleReach + GRIPPER.closedRadius;
/** The gripper stays this far from an open drawer's handle on its way down. */
const CLEARANCE = 0.035;

/** A plan for "open the drawer" or "close the drawer". */
export class DrawerPlan implements TaskPlan {
  readonly #opens: boolean;
  readonly #skill: Skill;
  readonly #random: Philox;
  #stage: Stage = "approach";
  #steps = 0;
  /** Errors of this attempt: of the place, and how far before the end it stops. */
  #error = { x: 0, y: 0, end: 0 };

  /** A plan that has not begun. */
  constructor(kind: "open-drawer" | "close-drawer", skill: Skill, random: Philox) {
    this.#opens = kind === "open-drawer";
    this.#skill = skill;
    this.#random = random;
    this.#aimAnew();
  }

  /** Where to go now; null when the drawer looks as it should, or is taken to. */
  next(scene: TableTopState): Aim | null {
    const { arm } = scene;
    for (;;) {
      this.#steps++;
      switch (this.#stage) {
        case "approach": {
          if (this.#reached(scene)) return null;
          const [x, y] = this.#start(scene);
          if (!isAt(scene, x, y, 0.02) && this.#steps <= 20) return { x, y, z: TRAVEL_Z, grip: this.#opens ? -1 : 1 };
          this.#enter("lower");
          break;
        }
        case "lower":
          if (arm.z > 0.03 && this.#steps <= 4) return { x: arm.x, y: arm.y, z: WORK_Z, grip: this.#opens ? -1 : 1 };
          this.#enter(this.#opens ? "grip" : "work");
          break;
        case "grip":
          if (arm.closedness < 0.99 && this.#steps <= 3) return { x: arm.x, y: arm.y, z: WORK_Z, grip: 1 };
          this.#enter("work");
          break;
        case "work": {
          const x = this.#end();
          const left = this.#opens ? x - arm.x : arm.x - x;
          if (left > 0.012 && this.#steps <= 7) return { x, y: arm.y, z: WORK_Z, grip: 0 };
          this.#enter(this.#opens ? "release" : "raise");
          break;
        }
        case "release":
          if (arm.closedness > 0.3 && this.#steps <= 2) return { x: arm.x, y: arm.y, z: WORK_Z, grip: -1 };
          this.#enter("raise");
          break;
        case "raise":
          if (arm.z < 0.07 && this.#steps <= 3) return { x: arm.x, y: arm.y, z: TRAVEL_Z, grip: 0 };
          if (this.#reached(scene) || this.#random.uniform() < this.#skill.credulity) return null;
          this.#aimAnew();
          this.#enter("approach");
          break;
      }
    }
  }

  #start(scene: TableTopState): [x: number, y: number] {
    const handle = DRAWER.cabinetWidth + (scene.drawer?.opening ?? 0) + GRIP_X;
    return withinReach(scene, handle + (this.#opens ? 0 : CLEARANCE) + this.#error.x, MIDDLE_Y + this.#error.y);
  }

  #end(): number {
    return this.#opens
      ? DRAWER.cabinetWidth + DRAWER.travel + GRIP_X + 0.015 - this.#error.end
      : DRAWER.cabinetWidth + GRIPPER.closedRadius - 0.01 + this.#error.end;
  }

  #reached({ drawer }: TableTopState): boolean {
    const opening = drawer?.opening ?? 0;
    return this.#opens ? opening > 0.88 * DRAWER.travel : opening < 0.06 * DRAWER.travel;
  }

  #enter(stage: Stage): void {
    this.#stage = stage;
    this.#steps = 0;
  }

  #aimAnew(): void {
    const aim = this.#skill.aim;
    this.#error = {
      x: 0.6 * aim * this.#random.normal(),
      // A front is easier to hit than a handle.
      y: (this.#opens ? 1 : 1.6) * aim * this.#random.normal(),
      end: (this.#opens ? 0.5 : 0.7) * aim * Math.abs(this.#random.normal()),
    };
  }
}
