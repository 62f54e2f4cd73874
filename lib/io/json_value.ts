/**
 * JSON values as Python has them, where 20 and 20.0 are printed differently although they are equal: a number that was written
 * with a point but has no fraction is a {@linkcode PythonFloat}; every other number is a plain one.
 *
 * Reading them is `python_json.ts`, printing them as Python does `python_repr.ts`.
 */

/**
 * A Python float without a fraction (20.0), kept apart from the integer 20 because the two are printed differently.
 *
 * `Number(x)` is the number and `JSON.stringify` writes it as it was read; `===` compares objects, not numbers.
 */
export class PythonFloat {
  /** The number: integral, infinite or NaN. */
  readonly value: number;

  /** Wraps a number without a fraction; one with a fraction needs no wrapping. */
  constructor(value: number) {
    this.value = value;
    Object.freeze(this);
  }

  /** The number itself. */
  valueOf(): number {
    return this.value;
  }

  /** Python's repr: `20.0`, `1e+16`, `inf`. */
  toString(): string {
    return pythonFloatRepr(this.value);
  }

  /** Writes `20.0`, not `20`, so that a file read and written again is the same. */
  toJSON(): unknown {
    return JSON_WITH_RAW.rawJSON(Number.isFinite(this.value) ? pythonFloatRepr(this.value) : "null");
  }
}

/** TypeScript's library does not know `JSON.rawJSON` yet; the engine does. */
const JSON_WITH_RAW = JSON as unknown as { rawJSON(text: string): unknown };

/**
 * A number as read from a file.
 *
 * @internal
 */
export type JsonNumber = number | PythonFloat;

/** A JSON value; see {@linkcode PythonFloat} for its numbers. */
export type JsonValue = null | boolean | JsonNumber | string | JsonValue[] | { [key: string]: JsonValue };

/**
 * A float as Python's `repr` prints it: the shortest digits that read back as the same number, a point always, an exponent
 * of at least two digits below 1e-4 and from 1e16 on.
 */
export function pythonFloatRepr(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e16) {
    // JavaScript turns to exponents below 1e-6 and from 1e21 on only, so this has none.
    const digits = String(value);
    return digits.includes(".") ? digits : `${digits}.0`;
  }
  const [mantissa, exponent] = value.toExponential().split("e");
  const sign = exponent[0];
  return `${mantissa}e${sign}${exponent.slice(1).padStart(2, "0")}`;
}
