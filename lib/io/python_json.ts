/**
 * JSON as Python's `json` reads it: 20.0 stays a float, and where it is asked for, NaN, Infinity and integers that are too long
 * are as in Python. Otherwise JavaScript's own parser.
 */
import { type JsonValue, PythonFloat } from "./json_value.ts";

/** Python refuses to read integers of more digits. */
export const MAX_DIGITS = 4300;

/** How NaN is written for JavaScript's parser; nobody else writes zero like this. */
const NAN = "-0e999";

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

/** What Python's `json.loads` makes of a text, undefined where it would raise; NaN and Infinity are floats. */
export function parsePythonJson(text: string): JsonValue | undefined {
  const spelled = spellConstants(text);
  if (spelled === undefined) return undefined;
  try {
    return parseJson(spelled);
  } catch {
    return undefined;
  }
}

/** The text with NaN and Infinity outside of strings as JavaScript reads them; undefined where an integer is too long. */
function spellConstants(text: string): string | undefined {
  let spelled = "", from = 0, digits = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    digits = c >= 0x30 && c <= 0x39 ? digits + 1 : 0;
    if (digits > MAX_DIGITS) return undefined;
    if (c === 0x22) {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (c === 0x4e || c === 0x49) { // N, I
      const name = c === 0x4e ? "NaN" : "Infinity";
      if (!text.startsWith(name, i)) continue;
      spelled += text.slice(from, i) + (c === 0x4e ? NAN : "1e999");
      from = i + name.length;
      i = from - 1;
    }
  }
  return from === 0 ? text : spelled + text.slice(from);
}

function restoreFloat(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Number.isInteger(value))) return value;
  if (context.source === NAN) return new PythonFloat(NaN);
  return /[.eE]/.test(context.source ?? "") ? new PythonFloat(value) : value;
}
