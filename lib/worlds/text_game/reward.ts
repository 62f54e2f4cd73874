/**
 * What an answer is worth: it is applied to the current state, and the predicted next state is compared with the true one,
 * property by property.
 *
 *     item = right / (right + wrong) over objects      score = the same over score, gameOver, gameWon
 *     correct = item = score = 1
 *     binary reward         = correct
 *     task-specific reward  = 0.09 item + 0.01 score + 0.2 correct + mean over gold properties of (right)
 *
 * Gold properties are those that truly change; the last term is 0 where there are none. Rewards lie in [0, 1.3]; nothing that
 * a model can say throws.
 *
 * `released` is the published scorer, whose numbers are the paper's; it repairs answers with the Python package json_repair,
 * here as version 0.61.7 does: others differ on some answers. `strict` mends what in it rewards or punishes the wrong
 * thing (each difference has a test):
 *
 * | what a model does                                   | released                                | strict                     |
 * |-----------------------------------------------------|-----------------------------------------|----------------------------|
 * | adds an object                                      | ignored: such rows can never be correct | added, and compared        |
 * | adds an object that is not there in truth           | ignored                                 | one error                  |
 * | fails to remove an object                           | ignored                                 | one error; not gold-right  |
 * | invents a property                                  | ignored; task-specific reward is 0      | one error                  |
 * | leaves `score` out                                  | three errors                            | the same as leaving it {}  |
 * | removes an object that changes, or forgets its      | its gold properties are not counted     | they count as wrong        |
 * |   `properties`                                      |                                         |                            |
 * | writes True, False or None inside a string          | becomes true, false, null               | stays as it is             |
 * | gives contents, properties or a uuid of a wrong kind| nearly always 0 for everything          | one error                  |
 * | gives a score object with a uuid                    | replaces the object of that uuid        | a score like any other     |
 * | mentions "modified" and "removed" in a mere string  | up to 0.09                              | 0                          |
 *
 * Neither compares name and type: they are what an object is, not its state.
 *
 * Source: RLVR-World Eq. 4, App. A.1 and its `text_game.py`.
 */
import { parseAnswer } from "./answer.ts";
import { splitState, stateRecords, type Strictness } from "./difference.ts";
import {
  type AnyValue,
  asNumber,
  hashKey,
  isDictionary,
  pythonEquals,
  PythonError,
  pythonGet,
  pythonHas,
  pythonItems,
  sortedEquals,
} from "./python_values.ts";
import type { ScoredState } from "./state.ts";
import type { JsonValue } from "../../io/json_value.ts";
import { combineReward, type ErrorCounts, NO_REWARD, type TextGameReward } from "./reward_counts.ts";
import { scoreStrictly } from "./strict_reward.ts";

export type { TextGameReward } from "./reward_counts.ts";

/** Scores a response. Never throws. */
export function scoreResponse(
  response: string,
  current: ScoredState,
  next: ScoredState,
  strictness: Strictness,
): TextGameReward {
  return scoreAnswer(parseAnswer(response, strictness), current, next, strictness);
}

/** Scores what a response was taken to mean. Never throws. */
export function scoreAnswer(
  answer: JsonValue | undefined,
  current: ScoredState,
  next: ScoredState,
  strictness: Strictness,
): TextGameReward {
  if (answer === undefined) return NO_REWARD;
  if (strictness === "strict") return scoreStrictly(answer, current, next);
  try {
    if (!pythonHas(answer, "modified") || !pythonHas(answer, "removed")) return NO_REWARD;
    const predicted = recoverState(current, answer);
    const counts = countErrors(predicted, next);
    // A state without objects divides by zero.
    if (counts.right + counts.wrong === 0 || counts.rightScore + counts.wrongScore === 0) return NO_REWARD;
    const gold = attempt(() => goldAccuracy(current, next, predicted));
    const reward = combineReward(counts, gold ?? 0);
    return gold === undefined ? { ...reward, taskSpecific: 0 } : reward;
  } catch (error) {
    if (error instanceof PythonError) return NO_REWARD;
    throw error;
  }
}

function attempt<T>(compute: () => T): T | undefined {
  try {
    return compute();
  } catch (error) {
    if (error instanceof PythonError) return undefined;
    throw error;
  }
}

/** Applies an answer to a state as the released scorer does; entries may be anything that the model put there. */
export function recoverState(current: ScoredState, answer: JsonValue): AnyValue[] {
  const recovered: AnyValue[] = [];
  const modified = modifiedByUuid(answer), removed = removedUuids(answer);
  for (const object of current.slice(0, -1)) {
    const uuid = (object as { uuid: number }).uuid;
    if (removed.has(uuid)) continue;
    recovered.push(modified.get(uuid) ?? object);
  }
  if (isDictionary(answer) && Object.hasOwn(answer, "score")) {
    const score = answer.score;
    const length = asNumber(score) === undefined && score !== null ? pythonItems(score).length : 0;
    recovered.push(length > 0 ? score : current[current.length - 1]);
  }
  return recovered;
}

function modifiedByUuid(answer: JsonValue): Map<unknown, JsonValue> {
  const byUuid = new Map<unknown, JsonValue>();
  if (!isDictionary(answer) || !Array.isArray(answer.modified)) return byUuid;
  for (const entry of answer.modified) {
    if (!isDictionary(entry) || !Object.hasOwn(entry, "uuid")) continue;
    const key = hashKey(entry.uuid);
    if (key !== undefined) byUuid.set(key, entry);
  }
  return byUuid;
}

/** What `removed` lists: a list may hold a uuid, as an equal number; nothing else can. */
function removedUuids(answer: JsonValue): Set<number | undefined> {
  return new Set(isDictionary(answer) && Array.isArray(answer.removed) ? answer.removed.map(asNumber) : []);
}

/** Objects by uuid and the score, of a state that a model has predicted. */
function splitPrediction(predicted: readonly AnyValue[]): { objects: Map<unknown, unknown>; score: unknown } {
  const objects = new Map<unknown, unknown>();
  let score: unknown = {};
  for (const entry of predicted) {
    if (pythonHas(entry, "uuid")) {
      const key = hashKey(pythonGet(entry, "uuid"));
      if (key === undefined) throw new PythonError("unhashable uuid");
      objects.set(key, entry);
    } else if (pythonHas(entry, "score")) score = entry;
  }
  return { objects, score };
}

/**
 * Compares a predicted state with the true one.
 *
 * @throws {PythonError} Where the released scorer gives up.
 */
function countErrors(predicted: readonly AnyValue[], next: ScoredState): ErrorCounts {
  const counts: ErrorCounts = { right: 0, wrong: 0, rightScore: 0, wrongScore: 0 };
  const count = (isRight: boolean) => isRight ? counts.right++ : counts.wrong++;
  const target = splitState(next), prediction = splitPrediction(predicted);
  for (const [uuid, object] of target.objects) {
    const other = prediction.objects.get(uuid);
    if (other === undefined) {
      counts.wrong++;
      continue;
    }
    if (!pythonHas(other, "properties")) counts.wrong++;
    else {
      const properties = pythonGet(other, "properties");
      for (const [key, value] of Object.entries(object.properties)) {
        count(pythonHas(properties, key) && pythonEquals(value, pythonGet(properties, key)));
      }
    }
    count(pythonHas(other, "contains") && sortedEquals(object.contains, pythonGet(other, "contains")));
  }
  for (const [key, value] of Object.entries(target.score ?? {})) {
    const isRight = pythonHas(prediction.score, key) && pythonEquals(value, pythonGet(prediction.score, key));
    if (isRight) counts.rightScore++;
    else counts.wrongScore++;
  }
  return counts;
}

type GoldStatus = "gold" | "same" | "not counted";

/**
 * The mean over gold properties of whether they are right; 0 where there are none.
 *
 * @throws {PythonError} Where a predicted object has a property that the true states lack.
 */
function goldAccuracy(current: ScoredState, next: ScoredState, predicted: readonly AnyValue[]): number {
  const status = goldStatus(current, next);
  const records = attempt(() => predictionRecords(next, predicted));
  let right = 0, total = 0;
  for (const { uuid, key, isRight } of records ?? []) {
    const known = status.get(uuid)?.get(key);
    if (known === undefined) throw new PythonError("a property that is not known");
    if (known !== "gold") continue;
    total++;
    if (isRight) right++;
  }
  return total === 0 ? 0 : right / total;
}

function goldStatus(current: ScoredState, next: ScoredState): Map<number, Map<unknown, GoldStatus>> {
  const status = new Map<number, Map<unknown, GoldStatus>>();
  const before = splitState(current).objects, after = splitState(next).objects;
  const comeOrGone = [...after.values()].filter(({ uuid }) => !before.has(uuid))
    .concat([...before.values()].filter(({ uuid }) => !after.has(uuid)));
  for (const { uuid, properties } of comeOrGone) {
    const keys = new Map<unknown, GoldStatus>([["contains", "gold"]]);
    for (const key of Object.keys(properties)) keys.set(key, "not counted");
    status.set(uuid, keys);
  }
  for (const { uuid, key, code } of stateRecords(current, next)) {
    if (!status.has(uuid)) status.set(uuid, new Map());
    status.get(uuid)!.set(key, code === "same" ? "same" : "gold");
  }
  return status;
}

/**
 * One record a property of the objects that are in the true and in the predicted state.
 *
 * @throws {PythonError} Where the prediction's form does not allow it; no record counts then.
 */
function predictionRecords(
  next: ScoredState,
  predicted: readonly AnyValue[],
): { uuid: number; key: unknown; isRight: boolean }[] {
  const records: { uuid: number; key: unknown; isRight: boolean }[] = [];
  const prediction = splitPrediction(predicted).objects;
  for (const [uuid, object] of splitState(next).objects) {
    const other = prediction.get(uuid);
    if (other === undefined) continue;
    const properties = pythonGet(other, "properties");
    for (const [key, value] of Object.entries(object.properties)) {
      const isRight = pythonHas(properties, key) && pythonEquals(value, pythonGet(properties, key));
      records.push({ uuid, key, isRight });
    }
    for (const key of pythonItems(properties)) {
      if (hashKey(key) === undefined) throw new PythonError("unhashable key");
      if (typeof key !== "string" || !Object.hasOwn(object.properties, key)) {
        records.push({ uuid, key, isRight: false });
      }
    }
    const contains = pythonHas(other, "contains") ? pythonGet(other, "contains") : [];
    records.push({ uuid, key: "contains", isRight: sortedEquals(object.contains, contains) });
  }
  return records;
}
