/**
 * What a transition changes: the answer that a model is trained to give, and the classes of rows that training mixes and
 * evaluation tells apart.
 *
 * Two differences of states. `released` is what the published data was made with, defects included: for an added object the
 * whole next state, keyed by uuid, is listed instead of the object, so that such an answer can never be applied; and a
 * property that only the next object has does not make it modified. `strict` lists every added object itself and sees new
 * properties. Where nothing is added and no property appears, the two are the same.
 *
 * Name and type are what an object is, not its state: neither difference looks at them.
 *
 * Source: GPT-simulator `scripts/evaluate.py` (make_game_state_partial, get_state_diff_detail_v2); RLVR-World, App. A.1.
 */
import { pythonEquals, sameMembers } from "./python_values.ts";
import type { GameObject, GameScore, ScoredState } from "./state.ts";

/**
 * Which difference or scoring: as published (answers repaired as json_repair 0.61.7 does), or mended.
 *
 * @internal
 */
export type Strictness = "released" | "strict";

/** How a state differs from the one before, in the form of an answer. */
export interface StateDifference {
  /** Full next objects; in a released difference, a map of all next objects in place of each added one. */
  modified: (GameObject | ReadonlyMap<number, GameObject>)[];
  /** The uuids of objects that are gone. */
  removed: number[];
  /** The next score if it changed, else empty. */
  score: GameScore | Record<string, never>;
}

/** How a property, or `contains`, of an object compares between two states. */
export type RecordCode = "different" | "same" | "missing" | "extra";

/** One property of an object that is in both states. */
export interface PropertyRecord {
  /** The object's uuid. */
  uuid: number;
  /** The property's name; `contains` for the contents. */
  key: string;
  /** `missing`: only the first state has it; `extra`: only the second. */
  code: RecordCode;
  /** Whether this is the contents, not a property that happens to be called `contains`. */
  isContents: boolean;
}

/** The objects by uuid, and the score: the entry without uuid. */
export function splitState(state: ScoredState): { objects: Map<number, GameObject>; score: GameScore | undefined } {
  const objects = new Map<number, GameObject>();
  let score: GameScore | undefined;
  for (const entry of state) {
    if ("uuid" in entry) objects.set(entry.uuid, entry);
    else score = entry;
  }
  return { objects, score };
}

/** What changes from `current` to `next`. */
export function stateDifference(current: ScoredState, next: ScoredState, strictness: Strictness): StateDifference {
  const before = splitState(current), after = splitState(next);
  const difference: StateDifference = { modified: [], removed: [], score: {} };
  for (const [uuid, object] of before.objects) {
    const then = after.objects.get(uuid);
    if (then === undefined) difference.removed.push(uuid);
    else if (isModified(object, then, strictness)) difference.modified.push(then);
  }
  for (const [uuid, object] of after.objects) {
    if (!before.objects.has(uuid)) difference.modified.push(strictness === "strict" ? object : after.objects);
  }
  if (after.score !== undefined && !pythonEquals(before.score, after.score)) difference.score = after.score;
  return difference;
}

function isModified(object: GameObject, then: GameObject, strictness: Strictness): boolean {
  const codes = propertyRecords(object, then).filter(({ code }) => strictness === "strict" || code !== "extra");
  return codes.some(({ code }) => code !== "same");
}

/** The records of one object in two states: properties in order, then new ones, then `contains`. */
export function propertyRecords(object: GameObject, then: GameObject): PropertyRecord[] {
  const { uuid, properties } = object;
  const records: PropertyRecord[] = [];
  for (const [key, value] of Object.entries(properties)) {
    const code = !Object.hasOwn(then.properties, key)
      ? "missing"
      : pythonEquals(value, then.properties[key])
      ? "same"
      : "different";
    records.push({ uuid, key, code, isContents: false });
  }
  for (const key of Object.keys(then.properties)) {
    if (!Object.hasOwn(properties, key)) records.push({ uuid, key, code: "extra", isContents: false });
  }
  const same = sameMembers(object.contains, then.contains);
  records.push({ uuid, key: "contains", code: same ? "same" : "different", isContents: true });
  return records;
}

/** The records of all objects that are in both states. */
export function stateRecords(current: ScoredState, next: ScoredState): PropertyRecord[] {
  const after = splitState(next).objects;
  return [...splitState(current).objects].flatMap(([uuid, object]) => {
    const then = after.get(uuid);
    return then === undefined ? [] : propertyRecords(object, then);
  });
}

/**
 * Whether a row counts as gold in training: some property or the contents of an object that stays changes. Objects that
 * come or go and the score alone do not make a row gold.
 */
export function isGold(current: ScoredState, next: ScoredState): boolean {
  return stateRecords(current, next).some(({ code }) => code !== "same");
}

/**
 * Whether a row counts as changed in evaluation: an object comes, goes or changes, or the score does. The order of objects
 * and of contents does not count, so that the answer "no change" is right on exactly the unchanged rows, as in the paper's
 * Table 1.
 */
export function isChanged(current: ScoredState, next: ScoredState): boolean {
  const { modified, removed, score } = stateDifference(current, next, "strict");
  return modified.length > 0 || removed.length > 0 || Object.keys(score).length > 0;
}
