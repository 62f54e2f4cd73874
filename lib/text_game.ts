/**
 * Text games as a world: a state is a game's objects as JSON, and a model reads it with the rules and an action and answers with
 * what changes.
 *
 * {@linkcode exampleOf} makes prompt and true answer of a transition; {@linkcode TextGameWorld} makes tokens of them and rewards of
 * answers. {@linkcode scoreResponse} is the paper's reward by itself: `binary`, whether all of the state is right, and `taskSpecific`,
 * how many of the changed properties are right; `released` scores as the published code does, defects included, `strict` without
 * them.
 *
 * @example What answers to one transition of a built-in game earn.
 * ```ts
 * import { builtInTransitions } from "@rlvr-world/rlvr-world/gyms";
 * import { exampleOf, scoreResponse } from "@rlvr-world/rlvr-world/text_game";
 *
 * const { train } = builtInTransitions({ seed: 0, perGame: 20, games: ["boil-tea"], changedShare: 1 });
 * const example = exampleOf(train[0], { style: "compact", strictness: "strict" });
 * console.log(`${example.question}\n→ ${example.target}`);
 *
 * const NOTHING = `{"modified": [], "removed": [], "score": {}}`;
 * for (const answer of [example.target, NOTHING, "I cannot tell."]) {
 *   const { binary, taskSpecific } = scoreResponse(answer, example.current, example.next, "strict");
 *   console.log(`binary ${binary}, task-specific ${taskSpecific}`); // 1, 1; then 0, 0 twice
 * }
 * ```
 *
 * @module
 */

// Transitions
export type { TextGameTransition } from "./worlds/text_game/state.ts";
export { readTransitions } from "./worlds/text_game/jsonl.ts";
export type { JsonValue } from "./io/json_value.ts";
export { pythonRepr } from "./io/python_repr.ts";

// The world
export { exampleOf, type TextGameExample, TextGameWorld, type TextGameWorldOptions } from "./worlds/text_game/world.ts";

// Answers and their rewards
export { parseAnswer } from "./worlds/text_game/answer.ts";
export { recoverState, scoreResponse } from "./worlds/text_game/reward.ts";
