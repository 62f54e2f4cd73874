/**
 * Comparison of a tensor's numbers with expected ones, relative to the expected numbers' own size.
 */
import type { ReadData } from "../../lib/tensor/dtype.ts";

/** A number of a JSON fixture: infinities and NaN are words. */
export type FixtureNumber = number | "inf" | "-inf" | "nan";

/** The number that a fixture's entry stands for. */
export function parseNumber(value: FixtureNumber): number {
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value === "nan" ? NaN : value;
}

/**
 * Says where two lists of numbers differ most, or nothing when every |received − expected| is at most
 * `tolerance` × (|expected| + the list's root mean square). A tolerance of 0 asks for equality.
 *
 * @param smallestSize A root mean square below this does not tighten the tolerance further: what is left of larger numbers that
 *   cancel is allowed to be rounding noise.
 */
export function difference(
  received: ReadData | readonly number[],
  expected: ArrayLike<number>,
  tolerance: number,
  smallestSize = 1e-2,
): string | undefined {
  if (received.length !== expected.length) return `expected ${expected.length} numbers, received ${received.length}`;
  let sum = 0, finite = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Number.isFinite(expected[i])) sum += expected[i] ** 2, finite++;
  }
  const size = Math.max(Math.sqrt(sum / Math.max(finite, 1)), smallestSize);
  let worst = 0, worstAt = -1;
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(received[i], expected[i]) || received[i] === expected[i]) continue;
    const error = Math.abs(received[i] - expected[i]) / (Math.abs(expected[i]) + size);
    const comparable = Number.isFinite(error) ? error : Infinity;
    if (comparable > tolerance && comparable > worst) [worst, worstAt] = [comparable, i];
  }
  if (worstAt < 0) return undefined;
  return `at ${worstAt} expected ${expected[worstAt]}, received ${received[worstAt]} ` +
    `(relative error ${worst.toExponential(1)}, allowed ${tolerance.toExponential(1)})`;
}

/** Throws when `difference` finds one. */
export function assertClose(
  received: ReadData | readonly number[],
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  const text = difference(received, expected, tolerance);
  if (text) throw new Error(`${what}: ${text}`);
}
