/**
 * Where in memory the numbers of a tensor lie: strides, one an axis, in elements. Views are arithmetic on them; with that known
 * here, LibTorch need not be asked for each.
 */
import type { Shape } from "../dtype.ts";

/** Strides of numbers that lie one after the other, row-major. */
export function denseStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(shape[axis], 1);
  }
  return strides;
}

/** Whether numbers of these strides lie one after the other, row-major. */
export function isDense(shape: Shape, strides: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis];
  }
  return true;
}

/** Whether numbers are row-major, with or without gaps. */
export function isOrdered(shape: Shape, strides: readonly number[]): boolean {
  let next = 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (strides[axis] <= next) return false;
    next = strides[axis];
  }
  return true;
}

/**
 * Strides of the same numbers in another shape of as many elements (at least one), or undefined where no strides can say that and
 * a copy is needed.
 */
export function reshapedStrides(from: Shape, strides: readonly number[], to: Shape): number[] | undefined {
  const out = new Array<number>(to.length);
  let axis = to.length - 1;
  // Axes that lie in one stretch of memory, from the last on, are matched with as many elements of the new shape.
  let stretch = 1, innermost = 1;
  for (let i = from.length - 1; i >= 0; i--) {
    if (stretch === 1) innermost = from[i] === 1 ? innermost : strides[i];
    stretch *= from[i];
    const goesOn = i > 0 && (from[i - 1] === 1 || stretch === 1 || strides[i - 1] === stretch * innermost);
    if (goesOn) continue;
    let taken = 1;
    while (axis >= 0 && (taken < stretch || to[axis] === 1)) {
      out[axis] = taken * innermost;
      taken *= to[axis--];
    }
    if (taken !== stretch) return undefined;
    [stretch, innermost] = [1, 1];
  }
  while (axis >= 0) {
    if (to[axis] !== 1) return undefined;
    out[axis--] = 1;
  }
  return out;
}
