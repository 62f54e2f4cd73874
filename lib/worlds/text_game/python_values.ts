/**
 * Comparing and sorting as Python does it, which is what equality of states means in the released scorer: 1 == 1.0 == True,
 * lists in order, dictionaries by keys, and errors where Python raises.
 */
import type { GameObject, GameScore } from "./state.ts";
import { type JsonValue, PythonFloat } from "../../io/json_value.ts";

/**
 * Anything that is compared: a model's answer may put any value anywhere.
 *
 * @internal
 */
export type AnyValue = JsonValue | GameObject | GameScore;

/** Where Python would raise a TypeError or a KeyError. */
export class PythonError extends Error {}

/** A dictionary's members by name. */
export type Dictionary = { readonly [key: string]: JsonValue };

/** Whether a value is a dictionary: not null, not a list, not a float in disguise. */
export function isDictionary(value: unknown): value is Dictionary {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof PythonFloat);
}

/** The number that a value counts as in comparisons (booleans are 0 and 1), or undefined. */
export function asNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return value instanceof PythonFloat ? value.value : undefined;
}

/** Python's `==`. */
export function pythonEquals(a: unknown, b: unknown): boolean {
  const numberA = asNumber(a);
  if (numberA !== undefined) return numberA === asNumber(b);
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((value, i) => pythonEquals(value, b[i]));
  }
  if (!isDictionary(a)) return a === b;
  if (!isDictionary(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && pythonEquals(a[key], b[key]));
}

/**
 * Python's `key in container`, for a string key.
 *
 * @throws {PythonError} When the container is a number or null.
 */
export function pythonHas(container: unknown, key: string): boolean {
  if (typeof container === "string") return container.includes(key);
  if (Array.isArray(container)) return container.includes(key);
  if (isDictionary(container)) return Object.hasOwn(container, key);
  throw new PythonError("argument is not iterable");
}

/**
 * Python's `container[key]`, for a string key.
 *
 * @throws {PythonError} When it is not a dictionary, or has no such key.
 */
export function pythonGet(container: unknown, key: string): JsonValue {
  if (!isDictionary(container)) throw new PythonError("not subscriptable by a string");
  if (!Object.hasOwn(container, key)) throw new PythonError(`no key ${key}`);
  return container[key];
}

/**
 * What Python iterates over: elements, characters, keys.
 *
 * @throws {PythonError} When the value is a number or null.
 */
export function pythonItems(value: unknown): JsonValue[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "string") return [...value];
  if (isDictionary(value)) return Object.keys(value);
  throw new PythonError("object is not iterable");
}

/**
 * Python's `sorted(a) == sorted(b)`.
 *
 * @throws {PythonError} When either is no collection, or its elements have no order among each other.
 */
export function sortedEquals(a: unknown, b: unknown): boolean {
  return pythonEquals(sorted(a), sorted(b));
}

function sorted(value: unknown): JsonValue[] {
  return [...pythonItems(value)].sort(compare);
}

function compare(a: JsonValue, b: JsonValue): number {
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  const numberA = asNumber(a), numberB = asNumber(b);
  if (numberA !== undefined && numberB !== undefined) return numberA < numberB ? -1 : numberA > numberB ? 1 : 0;
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const order = compareElements(a[i], b[i]);
      if (order !== 0) return order;
    }
    return a.length - b.length;
  }
  throw new PythonError("the elements have no order");
}

/** The order of two elements of lists: those without an order may stand in equal places all the same if they are equal. */
function compareElements(a: JsonValue, b: JsonValue): number {
  // Lists are compared in one go: asking first whether they are equal would look at what they hold anew on every level.
  return !(Array.isArray(a) && Array.isArray(b)) && pythonEquals(a, b) ? 0 : compare(a, b);
}

/**
 * A key by which equal Python values are found in a Map; undefined for what Python cannot hash.
 */
export function hashKey(value: unknown): number | string | null | undefined {
  const number = asNumber(value);
  if (number !== undefined) return number;
  if (typeof value === "string" || value === null) return value;
  return undefined;
}

/**
 * Whether two lists of names hold the same ones, in any order; false where either is not a list of strings or numbers. Never
 * throws.
 */
export function sameMembers(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
  const counts = new Map<unknown, number>();
  for (const name of a) counts.set(hashKey(name), (counts.get(hashKey(name)) ?? 0) + 1);
  for (const name of b) {
    const left = counts.get(hashKey(name)) ?? 0;
    if (left === 0 || hashKey(name) === undefined) return false;
    counts.set(hashKey(name), left - 1);
  }
  return true;
}
