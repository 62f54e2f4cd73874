/**
 * Where episodes of a task begin: scenes in which the task is to be done, can be done in few steps, and everything that
 * matters is in sight in the first frame.
 *
 * A scene is named by a seed and comes from `TableTop`, so a list of them is small and can be made again anywhere. All
 * have a drawer and a zone, whatever the task: one world model then serves every task.
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import { Camera } from "./camera.ts";
import { DRAWER, GRIPPER, OBJECT_HEIGHT, reachLeft, type TableTopState } from "./state.ts";
import { TableTop } from "./table_top.ts";
import { describeTask, type TableTopTask, taskSucceeded } from "./tasks.ts";

/** The kinds of tasks that episodes can be started for: those that scripted policies know. */
export const START_TASKS = ["open-drawer", "close-drawer", "push-to-zone"] as const;
/**
 * A kind of task.
 *
 * @internal
 */
export type StartTask = typeof START_TASKS[number];

/** A generous number of steps for any of the tasks; longer episodes seldom end better. */
export const START_TASK_STEPS = 28;

/** The beginning of an episode. */
export interface StartState {
  /** What is to be done. */
  task: TableTopTask;
  /** The same in words. */
  instruction: string;
  /** Names the scene: `new TableTop({ seed, objects, drawer: true, zone: true })`. */
  seed: number;
  /** How many objects the scene has. */
  objects: number;
  /** The true state: plain data, for `TableTop.setState` and `taskSucceeded`. */
  state: TableTopState;
}

/** What start states to make. */
export interface StartStateOptions {
  /** Objects in each scene, 1 … 4. Default 1. */
  objects?: number;
}

/** Of about so many candidates none fits only if the conditions contradict each other. */
const MAX_CANDIDATES = 20000;

/**
 * The first scenes of a stream that suit a task. The first n of m > n are the same as n alone.
 *
 * @param kind which task; in `push-to-zone` the object is the scene's first.
 * @param seed a non-negative integer.
 * @throws {RangeError} if an argument is out of its range.
 */
export function startStates(
  kind: StartTask,
  count: number,
  seed: number,
  { objects = 1 }: StartStateOptions = {},
): StartState[] {
  if (!START_TASKS.includes(kind)) {
    throw new RangeError(`the task must be one of ${START_TASKS.join(", ")}: received ${JSON.stringify(kind)}`);
  }
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`count must be an integer of at least 1: received ${count}`);
  }
  const random = new Philox(seed, STREAM.tableTopStart, START_TASKS.indexOf(kind));
  const task: TableTopTask = kind === "push-to-zone" ? { kind, object: 0 } : { kind };
  const starts: StartState[] = [];
  for (let candidate = 0; starts.length < count; candidate++) {
    if (candidate === count * MAX_CANDIDATES) throw new RangeError(`no scene with ${objects} objects suits ${kind}`);
    const sceneSeed = random.uint32();
    const { state } = startWorld({ seed: sceneSeed, objects });
    if (suits(state, task)) {
      starts.push({ task, instruction: describeTask(state, task), seed: sceneSeed, objects, state });
    }
  }
  return starts;
}

/** A world with a start state's scene. */
export function startWorld(start: Pick<StartState, "seed" | "objects">): TableTop {
  return new TableTop({ seed: start.seed, objects: start.objects, drawer: true, zone: true });
}

/** Whether a scene is one to start a task in. */
function suits(state: TableTopState, task: TableTopTask): boolean {
  const { arm, drawer, zone, objects } = state;
  if (drawer === null || zone === null || taskSucceeded(state, task)) return false;
  // The fingers are orange: at a low resolution an orange object is mistaken for them.
  if (objects.some(({ colour }) => colour === "orange")) return false;
  const handleX = DRAWER.cabinetWidth + drawer.opening + DRAWER.handleReach, handleY = (DRAWER.top + DRAWER.bottom) / 2;
  const things: [x: number, y: number][] = [[zone.x, zone.y], [handleX, handleY]];
  for (const { x, y } of objects) things.push([x, y]);
  if (things.some(([x, y]) => isHidden(arm, x, y))) return false;
  if (objects.some(({ x, y }) => Math.hypot(x - zone.x, y - zone.y) < 0.13)) return false;
  if (task.kind !== "push-to-zone") return true;
  const object = objects[task.object];
  const way = Math.hypot(zone.x - object.x, zone.y - object.y);
  if (way > 0.36) return false;
  // There must be room for the gripper behind the object.
  const back = object.radius + GRIPPER.closedRadius + 0.04;
  const x = object.x - (zone.x - object.x) / way * back, y = object.y - (zone.y - object.y) / way * back;
  const blocked = objects.some((other) =>
    other !== object &&
    (Math.hypot(other.x - x, other.y - y) < other.radius + 0.06 || isBetween(other, object, zone, object.radius))
  );
  return !blocked && x > reachLeft(state) + DRAWER.travel && x < GRIPPER.maxX && y > GRIPPER.minY && y < GRIPPER.maxY;
}

/** Whether the arm or the gripper covers a place on the table in the picture. */
function isHidden({ x: armX, y: armY, z }: TableTopState["arm"], x: number, y: number): boolean {
  const camera = new Camera(100, 100);
  const column = camera.x(x), row = camera.y(y, OBJECT_HEIGHT / 2), margin = 0.07 * camera.scale;
  const tipColumn = camera.x(armX), tipRow = camera.y(armY, z), wristRow = camera.y(armY, z + 0.19);
  // From the shoulder at the top, the links come down to the wrist; the gripper hangs below it.
  const shoulderColumn = camera.x(0.5), shoulderRow = camera.y(-0.09, 0.16);
  return toSegment(column, row, tipColumn, tipRow, tipColumn, wristRow) < margin * 1.4 ||
    toSegment(column, row, shoulderColumn, shoulderRow, tipColumn, wristRow) < margin * 1.2;
}

function isBetween(
  { x, y, radius }: { x: number; y: number; radius: number },
  from: { x: number; y: number },
  to: { x: number; y: number },
  clearance: number,
): boolean {
  return toSegment(x, y, from.x, from.y, to.x, to.y) < radius + clearance + 0.02;
}

/** The distance of a point to a line between two points. */
function toSegment(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax, dy = by - ay;
  const along = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1e-9), 0), 1);
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
