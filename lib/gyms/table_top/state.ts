/**
 * The state of the table-top world: what there is, in which units, and how a new scene is laid out.
 *
 * The state is plain data: it can be written as JSON, cloned and put back. How it changes is in `physics.ts`, how it
 * looks in `scene.ts`.
 *
 * Units: the table is 1 wide (x, to the right) and 0.8 deep (y, towards the viewer); z is the height above it. Angles
 * are in radians.
 */

import type { Philox } from "../../tensor/random.ts";

/** The shapes of objects. All collide as discs of their radius; shape decides the look. */
export const OBJECT_SHAPES = ["block", "disc", "triangle", "hexagon"] as const;
/** A shape of an object. */
export type ObjectShape = typeof OBJECT_SHAPES[number];

/** The colours of objects. */
export const OBJECT_COLOURS = ["red", "blue", "green", "yellow", "purple", "orange"] as const;
/** A colour of an object. */
export type ObjectColour = typeof OBJECT_COLOURS[number];

/** The end of the arm. */
export interface ArmState {
  /** To the right. */
  x: number;
  /** Towards the viewer. */
  y: number;
  /** Height of the fingertips. */
  z: number;
  /** Rotation of the gripper about the vertical. */
  angle: number;
  /** 0 open, 1 closed. */
  closedness: number;
}

/** An object on the table, or in the gripper. */
export interface TableObject {
  /** What it looks like from above. */
  shape: ObjectShape;
  colour: ObjectColour;
  /** Of the disc with which it collides. */
  radius: number;
  /** Its middle, to the right. */
  x: number;
  /** Its middle, towards the viewer. */
  y: number;
  /** Height of its underside. */
  z: number;
  /** Rotation about the vertical. */
  angle: number;
  /** How far it will glide along x in the next step. */
  vx: number;
  /** How far it will glide along y in the next step. */
  vy: number;
}

/** A drawer in the cabinet along the left edge of the table. */
export interface DrawerState {
  /** How far it is out, 0 … {@link DRAWER}.travel. */
  opening: number;
  /** Whether the gripper holds its handle. */
  held: boolean;
}

/** A round zone painted on the table: a place to push things to. */
export interface Zone {
  /** Its middle, to the right. */
  x: number;
  /** Its middle, towards the viewer. */
  y: number;
  /** How far it goes around its middle. */
  radius: number;
}

/**
 * Everything there is.
 *
 * @internal
 */
export interface TableTopState {
  /** Steps taken since the reset. */
  time: number;
  /** The end of the arm. */
  arm: ArmState;
  /** What lies on the table or is held. */
  objects: TableObject[];
  /** The index of the object in the closed gripper. */
  held: number | null;
  /** The index of the object between the fingers of the lowered gripper, held or not. */
  straddled: number | null;
  /** The drawer, where there is one. */
  drawer: DrawerState | null;
  /** The painted zone, where there is one. */
  zone: Zone | null;
}

/** The table's size; y runs from the arm's side to the viewer's. */
export const TABLE = { width: 1, depth: 0.8 } as const;

/** The gripper's limits and sizes. */
export const GRIPPER = {
  /** How far the arm reaches. */
  minX: 0.065,
  maxX: 0.935,
  minY: 0.065,
  maxY: 0.735,
  maxZ: 0.28,
  /** Below this height of the fingertips, that of the objects, the gripper touches them. */
  contactHeight: 0.06,
  /** An object this near to the middle of the open gripper fits between its fingers. */
  capture: 0.034,
  /** The radius with which it pushes, closed and open. */
  closedRadius: 0.03,
  openRadius: 0.055,
} as const;

/** Height of every object. */
export const OBJECT_HEIGHT = 0.06;

/** The drawer's place. The cabinet takes the table's left edge over its whole depth. */
export const DRAWER = { cabinetWidth: 0.13, top: 0.27, bottom: 0.53, travel: 0.17, handleReach: 0.022 } as const;

/** What a new scene has. */
export interface SceneOptions {
  /** How many objects, 1 … 4. */
  objects: number;
  /** Whether there is a drawer. */
  drawer: boolean;
  /** Whether there is a zone. */
  zone: boolean;
}

/** The smallest x that an object's edge or the gripper's may reach. */
export function leftEdge(state: Pick<TableTopState, "drawer">): number {
  return state.drawer === null ? 0 : DRAWER.cabinetWidth;
}

/** The smallest x of the gripper's middle. */
export function reachLeft(state: Pick<TableTopState, "drawer">): number {
  return Math.max(GRIPPER.minX, leftEdge(state) + GRIPPER.closedRadius);
}

/** A new scene: objects apart from each other, the arm raised and open above a random place. */
export function layOut(random: Philox, options: SceneOptions): TableTopState {
  const drawer = options.drawer
    ? { opening: random.uniform() < 0.5 ? 0 : DRAWER.travel * (0.5 + 0.5 * random.uniform()), held: false }
    : null;
  const left = leftEdge({ drawer });
  const shapes = random.permutation(OBJECT_SHAPES.length), colours = random.permutation(OBJECT_COLOURS.length);
  const objects: TableObject[] = [];
  while (objects.length < options.objects) {
    const index = objects.length;
    const radius = 0.048 + 0.012 * random.uniform();
    const margin = radius + 0.06;
    const object: TableObject = {
      shape: OBJECT_SHAPES[shapes[index]],
      colour: OBJECT_COLOURS[colours[index]],
      radius,
      x: left + (drawer === null ? 0 : DRAWER.travel) + margin +
        random.uniform() * (TABLE.width - left - (drawer === null ? 0 : DRAWER.travel) - 2 * margin),
      y: margin + random.uniform() * (TABLE.depth - 2 * margin),
      z: 0,
      angle: 2 * Math.PI * random.uniform(),
      vx: 0,
      vy: 0,
    };
    const apart = objects.every((other) =>
      Math.hypot(other.x - object.x, other.y - object.y) > other.radius + object.radius + 0.03
    );
    if (apart) objects.push(object);
  }
  const zone = options.zone
    ? { x: left + 0.3 + 0.4 * random.uniform(), y: 0.2 + 0.4 * random.uniform(), radius: 0.1 }
    : null;
  const arm: ArmState = {
    x: left + 0.15 + (0.7 - left) * random.uniform(),
    y: 0.15 + 0.5 * random.uniform(),
    z: 0.1 + 0.08 * random.uniform(),
    angle: 0.6 * (random.uniform() - 0.5),
    closedness: 0,
  };
  return { time: 0, arm, objects, held: null, straddled: null, drawer, zone };
}
