/**
 * From parsed JSON to states and transitions and back: every field that is used is checked, and an error names the field and
 * quotes what was there instead.
 *
 * Not here: files, their lines and columns (`jsonl.ts`, `parquet.ts`).
 */
import { parseJson } from "../../io/python_json.ts";
import { shownValue } from "../../io/shown_value.ts";
import { asNumber, isDictionary } from "./python_values.ts";
import type { GameObject, GameScore, GameState, ScoredState, TextGameTransition } from "./state.ts";
import type { JsonNumber, JsonValue } from "../../io/json_value.ts";

/** Options of {@linkcode parseTransition}. */
export interface TransitionOptions {
  /** Keep the state between action and tick as well; a third more memory. @default {false} */
  actionStates?: boolean;
}

/**
 * A line of the benchmark.
 *
 * @throws {SyntaxError} When it is not JSON.
 * @throws {TypeError} When a field is missing or of the wrong kind.
 */
export function parseTransition(text: string, options: TransitionOptions = {}): TextGameTransition {
  return toTransition(parseJson(text), "the line", options);
}

/**
 * A transition from JSON already parsed.
 *
 * @param what What it is, for messages.
 * @throws {TypeError} When a field is missing or of the wrong kind.
 */
export function toTransition(value: JsonValue, what: string, options: TransitionOptions = {}): TextGameTransition {
  const row = dictionary(value, what);
  const next = readState(row.tick_state, "tick_state");
  const transition: TextGameTransition = {
    game: string(row.game, "game"),
    stateId: integer(row.state_id, "state_id"),
    current: readState(row.current_state, "current_state"),
    currentScore: readScore(row.current_score_state, "current_score_state"),
    action: next.lastAction,
    next,
    nextScore: readScore(row.next_score_state, "next_score_state"),
  };
  if (options.actionStates && row.action_state !== undefined) {
    transition.actionState = readState(row.action_state, "action_state");
  }
  return transition;
}

/** The line of the benchmark that stands for a transition, without line break. */
export function transitionJson(transition: TextGameTransition): string {
  return JSON.stringify({
    game: transition.game,
    state_id: transition.stateId,
    current_state: transition.current,
    ...(transition.actionState === undefined ? {} : { action_state: transition.actionState }),
    tick_state: { ...transition.next, lastAction: transition.action },
    current_score_state: transition.currentScore,
    next_score_state: transition.nextScore,
  });
}

/**
 * A state as the hub's files have it: `{"game_state": [object, …, score]}`.
 *
 * @throws {SyntaxError} When it is not JSON.
 * @throws {TypeError} When it has another form.
 */
export function parseScoredState(text: string): ScoredState {
  const entries = list(dictionary(parseJson(text), "the state").game_state, "game_state");
  if (entries.length === 0) throw new TypeError("game_state must end with the score: received an empty list");
  const last = entries.length - 1;
  return entries.map((entry, i) =>
    i < last ? readObject(entry, `game_state[${i}]`) : readScore(entry, `game_state[${i}]`)
  );
}

/** The text that {@linkcode parseScoredState} reads. */
export function scoredStateJson(state: ScoredState): string {
  return JSON.stringify({ game_state: state });
}

function readState(value: JsonValue | undefined, path: string): GameState {
  const state = dictionary(value, path);
  return {
    observation: string(state.observation, `${path}.observation`),
    look: string(state.look, `${path}.look`),
    inventory: string(state.inventory, `${path}.inventory`),
    taskDesc: string(state.taskDesc, `${path}.taskDesc`),
    lastAction: string(state.lastAction, `${path}.lastAction`),
    objects: list(state.objects, `${path}.objects`).map((object, i) => readObject(object, `${path}.objects[${i}]`)),
    max_UUID: integer(state.max_UUID, `${path}.max_UUID`),
  };
}

function readObject(value: JsonValue, path: string): GameObject {
  const object = dictionary(value, path);
  string(object.name, `${path}.name`);
  integer(object.uuid, `${path}.uuid`);
  string(object.type, `${path}.type`);
  dictionary(object.properties, `${path}.properties`);
  for (const name of list(object.contains, `${path}.contains`)) string(name, `${path}.contains`);
  return object as unknown as GameObject;
}

function readScore(value: JsonValue | undefined, path: string): GameScore {
  const score = dictionary(value, path);
  if (asNumber(score.score) === undefined) fail(`${path}.score`, "a number", score.score);
  if (typeof score.gameOver !== "boolean") fail(`${path}.gameOver`, "true or false", score.gameOver);
  if (typeof score.gameWon !== "boolean") fail(`${path}.gameWon`, "true or false", score.gameWon);
  return { score: score.score as JsonNumber, gameOver: score.gameOver, gameWon: score.gameWon };
}

function dictionary(value: JsonValue | undefined, path: string): { readonly [key: string]: JsonValue } {
  if (!isDictionary(value)) fail(path, "an object", value);
  return value;
}

function list(value: JsonValue | undefined, path: string): JsonValue[] {
  if (!Array.isArray(value)) fail(path, "a list", value);
  return value;
}

function string(value: JsonValue | undefined, path: string): string {
  if (typeof value !== "string") fail(path, "a string", value);
  return value;
}

function integer(value: JsonValue | undefined, path: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) fail(path, "an integer", value);
  return value;
}

function fail(path: string, expected: string, value: JsonValue | undefined): never {
  throw new TypeError(`${path} must be ${expected}: received ${shownValue(value)}`);
}
