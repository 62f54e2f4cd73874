/**
 * Rules and worked examples for prompts, in the form of GPT-simulator's files: a folder with `object_rules.json`,
 * `action_rules.json` and `score_rules.json` (each a text by game), and `examples.json`.
 *
 * Source: GPT-simulator, `rules/human_written_rules` and `data/examples.json`.
 */
import { join } from "node:path";
import { readTextFile } from "../../io/plain_file.ts";
import { UserError } from "../../base/user_error.ts";
import { parseJson } from "../../io/python_json.ts";
import type { GameRules, PromptExamples } from "./prompt.ts";
import { isDictionary } from "./python_values.ts";
import type { TextGameTransition } from "./state.ts";
import type { JsonValue } from "../../io/json_value.ts";
import { toTransition } from "./state_json.ts";

const SEPARATOR = "==========";

/**
 * The rules of all games that have all three texts.
 *
 * Of the object rules, the last section is dropped as the published prompts drop it: it tells of the world itself, or is empty.
 *
 * @throws {UserError} When a file is missing or has another form.
 */
export async function loadRules(folder: string): Promise<Record<string, GameRules>> {
  const [objects, actions, scores] = await Promise.all(
    ["object", "action", "score"].map((kind) => loadTexts(join(folder, `${kind}_rules.json`))),
  );
  const rules: Record<string, GameRules> = {};
  for (const [game, object] of Object.entries(objects)) {
    if (!Object.hasOwn(actions, game) || !Object.hasOwn(scores, game)) continue;
    rules[game] = {
      object: object.split(SEPARATOR).slice(0, -1).join("").trim(),
      action: actions[game].trim(),
      score: scores[game].trim(),
    };
  }
  return rules;
}

/**
 * The examples for complete transitions (action, tick and score together).
 *
 * @param path `examples.json`.
 * @param rules The rules of the example game, where wanted.
 * @throws {UserError} When the file is missing or has another form.
 */
export async function loadExamples(path: string, rules?: GameRules): Promise<PromptExamples> {
  const root = await loadJson(path);
  const full = isDictionary(root) ? root.full : undefined;
  const read = (key: string): TextGameTransition => {
    const value = isDictionary(full) ? full[key] : undefined;
    if (!isDictionary(value)) throw new UserError(`${path}: has no example "full.${key}"`);
    try {
      return toTransition({ game: "example", state_id: 0, ...value }, `full.${key}`);
    } catch (error) {
      if (error instanceof TypeError) throw new UserError(`${path}: full.${key}: ${error.message}`);
      throw error;
    }
  };
  return { ...(rules === undefined ? {} : { rules }), byAction: read("action"), byTime: read("tick") };
}

async function loadTexts(path: string): Promise<Record<string, string>> {
  const value = await loadJson(path);
  const texts: Record<string, string> = {};
  if (!isDictionary(value)) throw new UserError(`${path}: must be an object with a text by game`);
  for (const [game, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new UserError(`${path}: the rules of ${game} must be a text`);
    texts[game] = text;
  }
  return texts;
}

async function loadJson(path: string): Promise<JsonValue> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    throw new UserError(`${path}: cannot be read (${(error as Error).message})`);
  }
  try {
    return parseJson(text);
  } catch (error) {
    throw new UserError(`${path}: is not JSON (${(error as Error).message.replace(/\s+/g, " ")})`);
  }
}
