/**
 * Anti-aliased drawing of a few shapes into an RGB image: convex polygons, tapered rods and ellipses.
 *
 * Coverage comes from the distance to the shape's edge, so a shape moves smoothly by parts of a pixel at any
 * resolution, and a wide edge is a soft shadow. Coordinates are in pixels; (0, 0) is the image's upper left corner and
 * a pixel's middle is at (0.5, 0.5). Colours are 0 … 255 and are rounded only at the end.
 */

/** Red, green and blue, 0 … 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** How a shape is painted. */
export interface Paint {
  /** What to paint with. */
  colour: Rgb;
  /** Opacity, default 1. */
  alpha?: number;
  /** Width of the edge in pixels, default 1; more makes it soft. */
  edge?: number;
  /** How much lighter the side towards the light is than the other, default 0. */
  shading?: number;
}

/** The direction to the light on the screen: upper left. */
const LIGHT_X = -0.6, LIGHT_Y = -0.8;

/** An RGB image to draw on. */
export class Canvas {
  /** [H, W, 3]. */
  readonly pixels: Float32Array;

  /**
   * An image of the given size in pixels.
   *
   * @param background [H, W, 3], copied; black without it.
   */
  constructor(readonly height: number, readonly width: number, background?: Float32Array) {
    this.pixels = background === undefined ? new Float32Array(height * width * 3) : background.slice();
  }

  /** The image, rounded: [H, W, 3]. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.pixels.length);
    for (let i = 0; i < bytes.length; i++) {
      const value = this.pixels[i] + 0.5;
      bytes[i] = value <= 0 ? 0 : value >= 255 ? 255 : value;
    }
    return bytes;
  }

  /** Fills a convex polygon, given as x, y, x, y, … in either direction. */
  polygon(points: readonly number[], { colour, alpha = 1, edge = 1 }: Paint): void {
    const count = points.length / 2;
    let area = 0, left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
    for (let i = 0; i < count; i++) {
      const j = (i + 1) % count;
      area += points[2 * i] * points[2 * j + 1] - points[2 * j] * points[2 * i + 1];
      left = Math.min(left, points[2 * i]);
      right = Math.max(right, points[2 * i]);
      top = Math.min(top, points[2 * i + 1]);
      bottom = Math.max(bottom, points[2 * i + 1]);
    }
    if (area === 0) return;
    // Each edge as a line a·x + b·y + c that is negative inside.
    const lines = new Float64Array(3 * count);
    const sign = Math.sign(area);
    for (let i = 0; i < count; i++) {
      const j = (i + 1) % count;
      const dx = points[2 * j] - points[2 * i], dy = points[2 * j + 1] - points[2 * i + 1];
      const length = Math.hypot(dx, dy) || 1;
      lines[3 * i] = sign * dy / length;
      lines[3 * i + 1] = -sign * dx / length;
      lines[3 * i + 2] = -(lines[3 * i] * points[2 * i] + lines[3 * i + 1] * points[2 * i + 1]);
    }
    this.#paint(
      left,
      right,
      top,
      bottom,
      edge,
      (x, y) => {
        let distance = -Infinity;
        for (let i = 0; i < lines.length; i += 3) {
          const d = lines[i] * x + lines[i + 1] * y + lines[i + 2];
          if (d > distance) distance = d;
        }
        return distance;
      },
      colour,
      alpha,
    );
  }

  /** A rod with round ends, whose radius goes from `ra` at (ax, ay) to `rb` at (bx, by). */
  rod(ax: number, ay: number, ra: number, bx: number, by: number, rb: number, paint: Paint): void {
    const dx = bx - ax, dy = by - ay;
    const squared = dx * dx + dy * dy || 1e-9;
    const most = Math.max(ra, rb);
    let shade = 0;
    this.#paint(
      Math.min(ax, bx) - most,
      Math.max(ax, bx) + most,
      Math.min(ay, by) - most,
      Math.max(ay, by) + most,
      paint.edge ?? 1,
      (x, y) => {
        const along = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / squared, 0), 1);
        const ox = x - ax - along * dx, oy = y - ay - along * dy;
        const radius = ra + along * (rb - ra);
        shade = (ox * LIGHT_X + oy * LIGHT_Y) / radius;
        return Math.sqrt(ox * ox + oy * oy) - radius;
      },
      paint.colour,
      paint.alpha ?? 1,
      paint.shading === undefined ? undefined : () => 1 + paint.shading! * shade,
    );
  }

  /** An upright ellipse. */
  ellipse(x0: number, y0: number, rx: number, ry: number, paint: Paint): void {
    let shade = 0;
    const thin = Math.min(rx, ry);
    this.#paint(
      x0 - rx,
      x0 + rx,
      y0 - ry,
      y0 + ry,
      paint.edge ?? 1,
      (x, y) => {
        const u = (x - x0) / rx, v = (y - y0) / ry;
        shade = u * LIGHT_X + v * LIGHT_Y;
        return (Math.sqrt(u * u + v * v) - 1) * thin;
      },
      paint.colour,
      paint.alpha ?? 1,
      paint.shading === undefined ? undefined : () => 1 + paint.shading! * shade,
    );
  }

  /** Paints a box of pixels by the signed distance to a shape; `light` is asked after `distance`, for the same pixel. */
  #paint(
    left: number,
    right: number,
    top: number,
    bottom: number,
    edge: number,
    distance: (x: number, y: number) => number,
    colour: Rgb,
    alpha: number,
    light?: () => number,
  ): void {
    const x0 = Math.max(0, Math.floor(left - edge)), x1 = Math.min(this.width, Math.ceil(right + edge));
    const y0 = Math.max(0, Math.floor(top - edge)), y1 = Math.min(this.height, Math.ceil(bottom + edge));
    const [red, green, blue] = colour;
    const { pixels } = this;
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        let cover = 0.5 - distance(x + 0.5, y + 0.5) / edge;
        if (cover <= 0) continue;
        if (cover > 1) cover = 1;
        // A soft edge fades smoothly at both of its ends.
        if (edge > 1) cover = cover * cover * (3 - 2 * cover);
        cover *= alpha;
        const factor = light === undefined ? 1 : light();
        const i = (y * this.width + x) * 3;
        pixels[i] += cover * (red * factor - pixels[i]);
        pixels[i + 1] += cover * (green * factor - pixels[i + 1]);
        pixels[i + 2] += cover * (blue * factor - pixels[i + 2]);
      }
    }
  }
}
