/**
 * Configurations of experiments: a schema with its defaults, presets over it, and `--set field=value` over those (dotted
 * fields, values as JSON where they read as JSON and as text where not).
 */
import type { z } from "zod";
import { UserError } from "../base/user_error.ts";
import { fieldsOf } from "./fields.ts";

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

/** Presets of an experiment: what each changes of the defaults. */
export type Presets = Readonly<Record<string, { description: string; values: Record<string, unknown> }>>;

/** How a recipe is configured: its checks, help, documentation and the notes on what was set in vain are made from this. */
export interface ConfigSpec<Schema extends z.ZodType = z.ZodType> {
  /** Every field, with its default and its meaning. */
  readonly schema: Schema;
  /** By name. */
  readonly presets: Presets;
  /** Adds what given values imply; nothing when left out. */
  readonly complete?: (values: Record<string, unknown>) => Record<string, unknown>;
  /** Fields, and sections, that may differ when a run is resumed; `environment.json` keeps what was changed. */
  readonly mayChange: readonly string[];
}

/**
 * What may change when a run is resumed, whatever it trains: how long it trains, how it is looked at, and what one changes after a
 * training that diverged.
 *
 * @param stages Sections with a learning rate.
 */
export function changeable(stages: readonly string[]): string[] {
  const rates = stages.flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]);
  return ["checkpointEvery", "evaluation", "grpo.steps", ...rates];
}

/**
 * A configuration: the defaults, then a preset, then `overrides`.
 *
 * @throws {UserError} Naming the unknown preset, or each field that is unknown or out of range with its value.
 */
export function checkedConfig<Schema extends z.ZodType>(
  { schema, presets, complete = (values) => values }: ConfigSpec<Schema>,
  preset: string,
  overrides: Record<string, unknown>,
): z.output<Schema> {
  if (!Object.hasOwn(presets, preset)) {
    throw new UserError(`unknown preset "${preset}": choose among ${Object.keys(presets).join(", ")}`);
  }
  const merged = complete(mergeSettings(mergeSettings({ preset }, presets[preset].values), overrides));
  const parsed = schema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => `unknown field ${[...issue.path, key].join(".")}`).join("; ");
    }
    const value = issue.path.reduce<unknown>(
      (at, key) => (at as Record<string, unknown> | undefined)?.[key as string],
      merged,
    );
    return `${issue.path.join(".")}: ${issue.message}: received ${JSON.stringify(value)}`;
  });
  throw new UserError(`${lines.join("; ")} (--help lists every field)`);
}

/** One line a field: its name, its default, what it is. For the help. */
export function describeFields({ schema }: ConfigSpec): string[] {
  return fieldsOf(schema).filter(({ path }) => path !== "preset" && path !== "seed").map((field) => {
    const choices = field.choices ? ` (${field.choices.join(", ")})` : "";
    return `  ${`${field.path}=${JSON.stringify(field.default)}`.padEnd(44)} ${field.meaning}${choices}`;
  });
}
