/**
 * The strict scoring of `reward.ts`, which says where it differs from the released one and why.
 *
 * Everything that an answer may get wrong is counted where it is wrong and nowhere else, and everything that is in either
 * state is compared: an answer is correct exactly if applying it gives the true state.
 */
import { splitState, stateRecords } from "./difference.ts";
import { asNumber, type Dictionary, isDictionary, pythonEquals, sameMembers } from "./python_values.ts";
import { combineReward, type ErrorCounts, NO_REWARD, type TextGameReward } from "./reward_counts.ts";
import type { GameObject, ScoredState } from "./state.ts";
import type { JsonValue } from "../../io/json_value.ts";

/** Scores what a response was taken to mean. Never throws. */
export function scoreStrictly(answer: JsonValue, current: ScoredState, next: ScoredState): TextGameReward {
  if (!isDictionary(answer) || !Object.hasOwn(answer, "modified") || !Object.hasOwn(answer, "removed")) {
    return NO_REWARD;
  }
  const target = splitState(next);
  const predicted = applyAnswer(answer, splitState(current).objects);
  const counts: ErrorCounts = { right: 0, wrong: 0, rightScore: 0, wrongScore: 0 };
  for (const [uuid, object] of target.objects) countObject(object, predicted.get(uuid), counts);
  for (const uuid of predicted.keys()) if (!target.objects.has(uuid)) counts.wrong++;
  const score = predictedScore(answer, current);
  for (const [key, value] of Object.entries(target.score ?? {})) {
    if (score !== undefined && Object.hasOwn(score, key) && pythonEquals(value, score[key])) counts.rightScore++;
    else counts.wrongScore++;
  }
  if (counts.right + counts.wrong === 0 || counts.rightScore + counts.wrongScore === 0) return NO_REWARD;
  return combineReward(counts, goldAccuracy(current, next, predicted));
}

/** The predicted objects by uuid: whole ones replace those of the current state, others are added. */
function applyAnswer(answer: Dictionary, current: Map<number, GameObject>): Map<number, Dictionary> {
  const predicted = new Map(current) as Map<number, unknown> as Map<number, Dictionary>;
  for (const entry of Array.isArray(answer.modified) ? answer.modified : []) {
    if (isDictionary(entry) && isUuid(entry.uuid)) predicted.set(asNumber(entry.uuid)!, entry);
  }
  for (const entry of Array.isArray(answer.removed) ? answer.removed : []) {
    if (isUuid(entry)) predicted.delete(asNumber(entry)!);
  }
  return predicted;
}

function isUuid(value: JsonValue | undefined): boolean {
  return typeof value !== "boolean" && asNumber(value) !== undefined;
}

function countObject(object: GameObject, other: Dictionary | undefined, counts: ErrorCounts): void {
  if (other === undefined) {
    counts.wrong++;
    return;
  }
  if (!isDictionary(other.properties)) counts.wrong++;
  else {
    const keys = new Set([...Object.keys(object.properties), ...Object.keys(other.properties)]);
    for (const key of keys) {
      if (hasRightProperty(object, other, key)) counts.right++;
      else counts.wrong++;
    }
  }
  if (sameMembers(object.contains, other.contains)) counts.right++;
  else counts.wrong++;
}

function hasRightProperty(object: GameObject, other: Dictionary, key: string): boolean {
  return isDictionary(other.properties) && Object.hasOwn(object.properties, key) &&
    Object.hasOwn(other.properties, key) && pythonEquals(object.properties[key], other.properties[key]);
}

/** The predicted score; the current one where the answer has none or an empty one. */
function predictedScore(answer: Dictionary, current: ScoredState): Dictionary | undefined {
  const now = splitState(current).score as unknown as Dictionary | undefined;
  if (!Object.hasOwn(answer, "score") || answer.score === null) return now;
  if (!isDictionary(answer.score)) return {};
  return Object.keys(answer.score).length === 0 ? now : answer.score;
}

/**
 * The mean over what truly changes: a property, contents, each property and the contents of an object that comes, and one
 * for an object that goes. 0 where nothing does.
 */
function goldAccuracy(current: ScoredState, next: ScoredState, predicted: Map<number, Dictionary>): number {
  const before = splitState(current).objects, after = splitState(next).objects;
  let right = 0, total = 0;
  const count = (isRight: boolean) => {
    total++;
    if (isRight) right++;
  };
  const countKey = (uuid: number, key: string, isContents: boolean) => {
    const object = after.get(uuid)!, other = predicted.get(uuid);
    if (other === undefined) count(false);
    else if (isContents) count(sameMembers(object.contains, other.contains));
    else if (Object.hasOwn(object.properties, key)) count(hasRightProperty(object, other, key));
    else count(isDictionary(other.properties) && !Object.hasOwn(other.properties, key));
  };
  for (const { uuid, key, code, isContents } of stateRecords(current, next)) {
    if (code !== "same") countKey(uuid, key, isContents);
  }
  for (const [uuid, object] of after) {
    if (before.has(uuid)) continue;
    for (const key of Object.keys(object.properties)) countKey(uuid, key, false);
    countKey(uuid, "contains", true);
  }
  for (const uuid of before.keys()) if (!after.has(uuid)) count(!predicted.has(uuid));
  return total === 0 ? 0 : right / total;
}
