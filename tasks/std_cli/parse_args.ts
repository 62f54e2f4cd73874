/**
 * A stand-in for `parseArgs` of `jsr:@std/cli`, for machines that cannot reach JSR: the same interface, over Node's own
 * argument parser. It covers what command-line tools use (string, boolean, negatable, collect, default, alias, unknown,
 * stopEarly, "--"); without the `links` entry of `deno.json`, the package from JSR takes its place.
 */
import { parseArgs as tokenize } from "node:util";

/** Options of `parseArgs`, as in `@std/cli`. */
export interface ParseOptions {
  /** Flags that carry a value. */
  string?: string | readonly string[];
  /** Flags that are present or not. */
  boolean?: string | readonly string[];
  /** Boolean flags that `--no-NAME` turns off. */
  negatable?: readonly string[];
  /** Flags that may be given several times; their value is a list. */
  collect?: readonly string[];
  /** Values of flags that are not given. */
  default?: Record<string, unknown>;
  /** Other names of a flag. */
  alias?: Record<string, string | readonly string[]>;
  /** Called for a flag that is not declared; `false` leaves it out. */
  unknown?: (argument: string, key?: string, value?: unknown) => unknown;
  /** Stop at the first positional argument. */
  stopEarly?: boolean;
  /** Put what follows `--` into a list of its own. */
  "--"?: boolean;
}

/** What was given: flags by name, positional arguments under `_`. */
// deno-lint-ignore no-explicit-any
export type Args = Record<string, any> & { _: (string | number)[] };

const list = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;

/** Numbers in positional arguments and undeclared flags become numbers, as in `@std/cli`. */
const numeric = (text: string): string | number =>
  text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;

/**
 * Reads command-line arguments.
 *
 * @param args Usually `Deno.args`.
 */
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Args {
  const strings = new Set(list(options.string)), booleans = new Set(list(options.boolean));
  const negatable = new Set(options.negatable ?? []), collected = new Set(options.collect ?? []);
  const canonical = new Map<string, string>();
  for (const [name, others] of Object.entries(options.alias ?? {})) {
    for (const other of list(others)) canonical.set(other, name);
  }
  const nameOf = (raw: string) => canonical.get(raw) ?? raw;
  const out: Args = Object.assign(Object.create(null), { _: [] });
  if (options["--"]) out["--"] = [];

  const set = (name: string, value: unknown) => {
    if (!collected.has(name)) out[name] = value;
    else (out[name] ??= []).push(value);
  };
  // Node decides how an option takes its value by its declaration; names that are not declared take none.
  const declared = Object.fromEntries([
    ...[...strings].map((name) => [name, { type: "string" as const }]),
    ...[...canonical].filter(([, name]) => strings.has(name)).map(([other]) => [other, { type: "string" as const }]),
    ...[...booleans].map((name) => [name, { type: "boolean" as const }]),
  ]);
  const { tokens } = tokenize({
    args: [...args],
    options: declared,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  let terminated = false;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token.kind === "option-terminator") {
      terminated = true;
    } else if (token.kind === "positional") {
      if (terminated && options["--"]) out["--"].push(token.value);
      else if (options.unknown?.(token.value) !== false) {
        out._.push(terminated || strings.has("_") ? token.value : numeric(token.value));
      }
      if (options.stopEarly && !terminated) {
        out._.push(...args.slice(token.index + 1));
        break;
      }
    } else {
      let raw = token.name, value: unknown = token.value;
      const off = raw.startsWith("no-") && negatable.has(nameOf(raw.slice(3)));
      if (off) raw = raw.slice(3);
      const name = nameOf(raw);
      if (strings.has(name)) {
        set(name, value === undefined ? "" : String(value));
      } else if (booleans.has(name)) {
        set(name, off ? false : value === undefined ? true : value !== "false");
      } else {
        // An undeclared flag takes the next argument as its value unless that is a flag.
        const next = tokens[i + 1];
        if (value === undefined && next?.kind === "positional") {
          value = next.value;
          i++;
        }
        const converted = value === undefined ? true : numeric(String(value));
        if (options.unknown && options.unknown(args[token.index], name, converted) === false) continue;
        set(name, converted);
      }
    }
  }
  for (const [name, value] of Object.entries(options.default ?? {})) if (!(name in out)) out[name] = value;
  for (const name of booleans) if (!(name in out)) out[name] = false;
  for (const name of collected) if (!(name in out)) out[name] = [];
  for (const [other, name] of canonical) if (name in out) out[other] = out[name];
  return out;
}
