/**
 * Values as Python's `repr` prints them. Prompts and target answers of the benchmark show states this way, so it is part of
 * what a model reads and writes: quotes, escapes and floats must be Python's to the character.
 */
import { type JsonValue, PythonFloat, pythonFloatRepr } from "./json_value.ts";

/**
 * What {@linkcode pythonRepr} prints: JSON values, and dictionaries with integer keys (a Map).
 *
 * @internal
 */
export type ReprValue =
  | JsonValue
  | ReadonlyMap<number | string, ReprValue>
  | readonly ReprValue[]
  | { readonly [key: string]: ReprValue };

/**
 * Python's `repr` of a value.
 *
 * Plain numbers without a fraction are integers, whatever their size; {@linkcode PythonFloat} and numbers with a fraction are
 * floats.
 */
export function pythonRepr(value: ReprValue): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return stringRepr(value);
  if (typeof value === "number") return Number.isInteger(value) ? integerRepr(value) : pythonFloatRepr(value);
  if (value instanceof PythonFloat) return pythonFloatRepr(value.value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(", ")}]`;
  const entries: Iterable<[number | string, ReprValue]> = value instanceof Map ? value : Object.entries(value);
  return `{${Array.from(entries, ([key, inner]) => `${pythonRepr(key)}: ${pythonRepr(inner)}`).join(", ")}}`;
}

function integerRepr(value: number): string {
  return Math.abs(value) < 1e21 ? String(value) : BigInt(value).toString();
}

function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  // Nearly all strings are plain ASCII.
  if (/^[ !#-&(-\[\]-~]*$/.test(text)) return quote + text + quote;
  let result = quote;
  for (const character of text) result += characterRepr(character, quote);
  return result + quote;
}

function characterRepr(character: string, quote: string): string {
  if (character === quote || character === "\\") return `\\${character}`;
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return character;
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}
