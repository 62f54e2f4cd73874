/**
 * The camera of the table-top world: a parallel projection from above, tilted a little towards the viewer's side.
 *
 * The whole table is always in the picture, whatever the image's aspect; what is left over shows the floor.
 */

import { TABLE } from "./state.ts";

/** How much of a depth on the table the tilted view shows. */
const DEPTH_SCALE = 0.88;
/** How far up on the screen a height moves things. */
const HEIGHT_SCALE = 0.48;
/** What must fit around the table, in world units: to its sides, behind it and in front. */
const MARGIN = { side: 0.025, back: 0.06, front: 0.05 };

/** Where points of the world are in an image of given size. */
export class Camera {
  /** Pixels to a world unit. */
  readonly scale: number;
  readonly #left: number;
  readonly #top: number;

  /** The camera of images of the given size in pixels. */
  constructor(readonly height: number, readonly width: number) {
    const wide = TABLE.width + 2 * MARGIN.side;
    const deep = TABLE.depth * DEPTH_SCALE + MARGIN.back + MARGIN.front;
    this.scale = Math.min(width / wide, height / deep);
    this.#left = width / 2 - this.scale * TABLE.width / 2;
    // Of what is left over, more goes to the back, where the arm stands.
    this.#top = this.scale * MARGIN.back + (height - this.scale * deep) * 0.62;
  }

  /** The column of a point, in pixels. */
  x(x: number): number {
    return this.#left + this.scale * x;
  }

  /** The row of a point, in pixels. */
  y(y: number, z: number): number {
    return this.#top + this.scale * (DEPTH_SCALE * y - HEIGHT_SCALE * z);
  }

  /** The x that is shown in a column. */
  worldX(column: number): number {
    return (column - this.#left) / this.scale;
  }

  /** The y of the table's surface that is shown in a row. */
  worldY(row: number): number {
    return (row - this.#top) / (this.scale * DEPTH_SCALE);
  }

  /** A circle that lies flat has this height on the screen for a width of 1. */
  get flatness(): number {
    return DEPTH_SCALE;
  }
}
