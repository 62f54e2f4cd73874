/**
 * `--set field=value` on a configuration: dotted fields, values as JSON where they read as JSON and as text where not.
 */
import { UserError } from "../files/user_error.ts";

/**
 * Turns `["grpo.steps=10", "data.folder=/x"]` into `{ grpo: { steps: 10 }, data: { folder: "/x" } }`.
 *
 * @throws {UserError} When an entry has no `=` or an impossible name.
 */
export function parseSettings(entries: readonly string[]): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const entry of entries) {
    const at = entry.indexOf("=");
    const path = at > 0 ? entry.slice(0, at).split(".") : [];
    if (path.length === 0 || path.some((name) => !/^[a-zA-Z][a-zA-Z0-9]*$/.test(name))) {
      throw new UserError(`--set needs field=value: received "${entry}" (example: --set grpo.steps=10)`);
    }
    let target = out;
    for (const name of path.slice(0, -1)) {
      const next = target[name];
      if (next !== undefined && (typeof next !== "object" || next === null)) {
        throw new UserError(`--set ${entry}: ${name} was already set to a single value: remove one of the two`);
      }
      target = (target[name] ??= {}) as Record<string, unknown>;
    }
    target[path[path.length - 1]] = readValue(entry.slice(at + 1));
  }
  return out;
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One nested plain object over another: objects are merged, anything else of `over` wins. */
export function mergeSettings(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const out = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = out[key];
    out[key] = isPlain(old) && isPlain(value) ? mergeSettings(old, value) : value;
  }
  return out;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
