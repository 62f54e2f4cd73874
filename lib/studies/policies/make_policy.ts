/**
 * A policy from a word, as commands take it: `random`, `scripted:able`, `http://localhost:8000`, `rt1:FOLDER`.
 */

import { UserError } from "../../base/user_error.ts";
import { HttpPolicy } from "./http_policy.ts";
import type { Policy } from "../../worlds/robot_video/policy.ts";
import { RandomPolicy } from "../../worlds/robot_video/random_policy.ts";
import { openRt1Policy } from "./rt1_policy.ts";
import { ScriptedPolicy } from "../../gyms/table_top/policies/scripted_policy.ts";
import { SKILL_NAMES, type SkillName } from "../../gyms/table_top/policies/scripted_skill.ts";

/**
 * Makes the policy that a word names.
 *
 * @throws {UserError} if the word names none, or the policy cannot be opened.
 */
export async function makePolicy(spec: string, options: {
  /** For `rt1:`: a file of instruction embeddings, or the folder of a sentence encoder's SavedModel. */
  embeddings?: string;
  /** For `http://…`: told why a request is tried again, in one line. */
  onRetry?: (note: string) => void;
  /** For `http://…`: ends requests. */
  signal?: AbortSignal;
} = {}): Promise<Policy> {
  if (spec === "random") return new RandomPolicy();
  if (/^https?:\/\//.test(spec)) return new HttpPolicy(spec, { onRetry: options.onRetry, signal: options.signal });
  const [, kind, rest] = /^(scripted|rt1):(.+)$/.exec(spec) ?? [];
  if (kind === "scripted") return new ScriptedPolicy(rest as SkillName);
  if (kind === "rt1") return await openRt1Policy(rest, options);
  throw new UserError(
    `there is no policy ${JSON.stringify(spec)}: use random, ${
      SKILL_NAMES.map((name) => `scripted:${name}`).join(", ")
    }, ` +
      "http://HOST:PORT or rt1:FOLDER",
  );
}
