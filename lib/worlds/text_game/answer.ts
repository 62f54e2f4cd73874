/**
 * Answers as text: the one that a model is trained to give, and what a model's response is taken to mean.
 *
 * A response may be anything: a chain of thought, an answer that was cut, Python in place of JSON, an end-of-sequence string
 * glued on. `parseAnswer` never throws; where nothing can be made of it the answer is undefined and worth nothing.
 *
 * Not here: repairing JSON (`json_repair_0_61_7/repair_json.ts`), what an answer is worth (`reward.ts`).
 *
 * Source: RLVR-World's `text_game.py` (compute_score_) for `released`. `strict` differs in one thing: True, False and None are
 * read as Python's constants outside of strings only, whereas the released parser replaces these letters everywhere, so that
 * a cup named "None" becomes "null" and "Trueman" becomes "trueman".
 */
import { type StateDifference, stateDifference, type Strictness } from "./difference.ts";
import { parseLenientJson } from "../../json_repair_0_61_7/repair_json.ts";
import { strip } from "../../json_repair_0_61_7/text.ts";
import { pythonRepr } from "../../io/python_repr.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "./state.ts";
import type { JsonValue } from "../../io/json_value.ts";

/** What an answer begins with. */
export const ANSWER_MARKER = "The final answer is:";

/** In the order in which they are looked for. */
const MARKERS = ["answer", "state", "game state"].flatMap((what) => [`The final ${what} is:`, `the final ${what} is:`]);

const SHORTEST_FENCED = 10;

/** Options of {@linkcode answerText}. */
export interface AnswerTextOptions {
  /** Begin with the marker. Default true; without it, an answer that is nothing but the difference parses just as well. */
  marker?: boolean;
}

/** The answer that states a difference: the marker and the difference as Python prints it. */
export function answerText(difference: StateDifference, options: AnswerTextOptions = {}): string {
  const { modified, removed, score } = difference;
  const text = pythonRepr({ modified, removed, score });
  return options.marker ?? true ? `${ANSWER_MARKER} ${text}` : text;
}

/** The true answer of a transition. */
export function targetText(
  transition: TextGameTransition,
  strictness: Strictness,
  options: AnswerTextOptions = {},
): string {
  return answerText(stateDifference(scoredCurrent(transition), scoredNext(transition), strictness), options);
}

/** The part of a response that holds the answer: after the last marker, else the last fenced JSON block, else all of it. */
export function extractAnswer(response: string): string {
  for (const marker of MARKERS) {
    const last = response.lastIndexOf(marker);
    if (last !== -1) return strip(response.slice(last + marker.length));
  }
  const fenced = lastFencedJson(response);
  return fenced !== undefined && fenced.length >= SHORTEST_FENCED ? fenced : response;
}

function lastFencedJson(response: string): string | undefined {
  let found: string | undefined;
  let start = response.indexOf("```json");
  while (start !== -1) {
    const end = response.indexOf("```", start + 7);
    if (end === -1) break;
    found = strip(response.slice(start + 7, end));
    start = response.indexOf("```json", end + 3);
  }
  return found;
}

/** What a response is taken to mean; undefined where nothing can be made of it. Never throws. */
export function parseAnswer(response: string, strictness: Strictness): JsonValue | undefined {
  const answer = extractAnswer(response);
  const value = strictness === "strict"
    ? parseLenientJson(answer, { pythonNone: true })
    : parseLenientJson(answer.replaceAll("True", "true").replaceAll("False", "false").replaceAll("None", "null"));
  // The repairer says "" where it found nothing, which the released parser then refuses.
  return value === "" ? undefined : value;
}
