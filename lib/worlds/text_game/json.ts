/**
 * JSON as Python's `json` reads it: 20.0 stays a float. Otherwise JavaScript's own parser.
 */
import { type JsonValue, PythonFloat } from "./state.ts";

/**
 * Parses a JSON text.
 *
 * @throws {SyntaxError} When it is not JSON.
 */
export function parseJson(text: string): JsonValue {
  // Most texts have floats without a fraction; those that have none are read without the slow detour.
  if (!/\d\.0*(?![0-9])|\d[eE]|\.\d+[eE]/.test(text)) return JSON.parse(text);
  return JSON.parse(text, restoreFloat as (key: string, value: unknown) => unknown);
}

function restoreFloat(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Number.isInteger(value))) return value;
  return /[.eE]/.test(context.source ?? "") ? new PythonFloat(value) : value;
}
