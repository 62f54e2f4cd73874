/**
 * The way of a configuration's fields, one by one: a row a field says where it is changed and what must then be seen otherwise. A field
 * of the schema without a row fails, so that a new one cannot be forgotten on its way.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { z } from "zod";
import { idleFields } from "../../lib/runs/fields.ts";
import { mergeSettings } from "../../lib/runs/settings.ts";

/** Settings as `--set` gives them, nested. */
export type Plain = Record<string, unknown>;

/** Where fields matter. */
export interface FieldContext<Stage> {
  /** What the others are set to. */
  settings?: Plain;
  /** Stages that are run; data and vocabulary are opened without any. */
  stages?: readonly Stage[];
  /** All rows of the context are changed in one run: each must say what it `equals`, so that none hides behind another. */
  atOnce?: boolean;
}

/** A field, changed. */
export interface FieldRow<Trace> {
  /** Name of the context. */
  in: string;
  /** Another value than the context's. */
  value: unknown;
  /** What shows it; of several, each must differ from what the unchanged run shows. */
  sees: ((trace: Trace) => unknown) | ((trace: Trace) => unknown)[];
  /** What must be seen. */
  equals?: unknown;
}

/** Dotted names of a schema's fields; of one that is an object or null, its own and those within. */
export function schemaFields(schema: z.ZodType): string[] {
  type Node = { properties?: Record<string, Node>; anyOf?: Node[] };
  const fields: string[] = [];
  const visit = (node: Node, path: string) => {
    const inner = node.properties ?? node.anyOf?.find(({ properties }) => properties)?.properties;
    if (path !== "" && !node.properties) fields.push(path);
    for (const [name, child] of Object.entries(inner ?? {})) visit(child, path ? `${path}.${name}` : name);
  };
  visit(z.toJSONSchema(schema, { io: "input" }) as Node, "");
  return fields;
}

/** `{ "a.b": 1 }` as `{ a: { b: 1 } }`. */
function nested(field: string, value: unknown): Plain {
  return field.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Plain;
}

/**
 * Checks that every field of the schema has a row, and that every row shows.
 *
 * @param trace Runs with some settings and stages, and tells what it saw.
 */
export async function checkFields<Trace, Stage>(t: Deno.TestContext, { schema, contexts, rows, configOf, trace }: {
  schema: z.ZodType;
  contexts: Record<string, FieldContext<Stage>>;
  rows: Record<string, FieldRow<Trace>>;
  /** Every value, with some settings. */
  configOf: (settings: Plain) => object;
  trace: (settings: Plain, stages: readonly Stage[]) => Promise<Trace>;
}): Promise<void> {
  await t.step("every field has a row, every row a field", () => {
    assert.deepEqual(Object.keys(rows).sort(), schemaFields(schema).sort());
  });
  await t.step("no field that shows is said to have no effect where it does", () => {
    // Those that are changed at once show as options that are passed on, whether these then have an effect or not.
    for (const [field, { in: name, value }] of Object.entries(rows).filter(([, row]) => !contexts[row.in].atOnce)) {
      const given = nested(field, value), config = configOf(mergeSettings(contexts[name].settings ?? {}, given));
      assert.deepEqual(idleFields(schema, config, given), []);
    }
  });
  for (const [name, { settings = {}, stages = [], atOnce = false }] of Object.entries(contexts)) {
    const own = Object.entries(rows).filter(([, row]) => row.in === name);
    await t.step(`fields that matter in: ${name}`, async () => {
      assert.ok(own.length > 0, `no row is in ${name}`);
      const change = (some: typeof own) =>
        trace(some.reduce((all, [field, { value }]) => mergeSettings(all, nested(field, value)), settings), stages);
      const before = await trace(settings, stages), together = atOnce ? await change(own) : undefined;
      for (const [field, row] of own) {
        const after = together ?? await change([[field, row]]);
        assert.ok("equals" in row || !atOnce, `${field} must say what it equals`);
        for (const sees of [row.sees].flat()) {
          const seen = sees(after);
          assert.notDeepEqual(
            seen,
            sees(before),
            `${field} changed to ${JSON.stringify(row.value)} does not show: ${sees}`,
          );
          if ("equals" in row) assert.deepEqual(seen, row.equals, field);
        }
      }
    });
  }
}

/** Replaces a method of a class until it is disposed. */
export function replace<Instance extends object, Name extends keyof Instance>(
  prototype: Instance,
  name: Name,
  method: Instance[Name] extends (...args: infer Args) => infer Result ? (this: Instance, ...args: Args) => Result
    : never,
): Disposable {
  const original = prototype[name];
  prototype[name] = method as Instance[Name];
  return { [Symbol.dispose]: () => void (prototype[name] = original) };
}

/** A short name for some data. */
export function digest(data: unknown): string {
  return createHash("sha256").update(JSON.stringify(data)).digest("hex").slice(0, 12);
}

/** How often a pattern stands in a text. */
export function countOf(pattern: RegExp, text: string): number {
  return [...text.matchAll(pattern)].length;
}
