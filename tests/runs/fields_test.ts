import assert from "node:assert/strict";
import { z } from "zod";
import { ROBOT_VIDEO, robotVideoConfig } from "../../lib/recipes/robot_video/config.ts";
import { TEXT_GAME, textGameConfig } from "../../lib/recipes/text_game/config.ts";
import { WEB_PAGE, webPageConfig } from "../../lib/recipes/web_page/config.ts";
import { fieldsOf, idleFields, onlyWith, withDefaults } from "../../lib/runs/fields.ts";

const COUNT = { rows: z.int().min(1).default(4).describe("Rows") };
const SCHEMA = z.strictObject({
  seed: z.int().min(0).default(0).describe("Seed"),
  a: z.strictObject({
    kind: z.enum(["x", "y"]).default("x").describe("Kind"),
    ...onlyWith("kind=y", withDefaults(COUNT, { rows: 7 })),
    part: z.strictObject({ share: z.number().gt(0).max(1).default(0.5).describe("Share") }).nullable().default(null)
      .describe("Part"),
  }).prefault({}),
  b: z.strictObject(onlyWith("a.part≠null", { names: z.array(z.string()).default([]).describe("Names") })).prefault({}),
});

Deno.test("fields of a schema: names, types with ranges, defaults, meanings, conditions, parts", () => {
  const fields = fieldsOf(SCHEMA);
  assert.deepEqual(fields.map((each) => [each.path, each.type, each.default, each.meaning, each.onlyWith]), [
    ["seed", "integer ≥ 0", 0, "Seed", []],
    ["a.kind", "one of x, y", "x", "Kind", []],
    ["a.rows", "integer ≥ 1", 7, "Rows", ["a.kind=y"]],
    ["a.part", "{ share } or null", null, "Part", []],
    ["b.names", "list of string", [], "Names", ["a.part≠null"]],
  ]);
  assert.deepEqual(fields[3].parts.map(({ path, type }) => [path, type]), [["a.part.share", "number > 0, ≤ 1"]]);
  // The fields that were given are what they were.
  assert.equal(SCHEMA.parse({}).a.rows, 7);
  assert.equal(z.strictObject(COUNT).parse({}).rows, 4);
});

Deno.test("a field that was set in vain is named with what it needs; of others nothing is said", () => {
  const idle = (given: Record<string, unknown>) => idleFields(SCHEMA, SCHEMA.parse(given), given);
  assert.deepEqual(idle({ a: { rows: 3 } }), ["a.rows has no effect: it needs a.kind=y, and a.kind is x"]);
  assert.deepEqual(idle({ a: { rows: 3, kind: "y" } }), []);
  assert.deepEqual(idle({ b: { names: [] } }), ["b.names has no effect: it needs a.part≠null, and a.part is null"]);
  assert.deepEqual(idle({ b: { names: ["n"] }, a: { part: { share: 1 } } }), []);
  assert.deepEqual(idle({}), []);
});

Deno.test("recipes: what a loss, a given model or other data leave without effect", () => {
  const idle = (given: Record<string, unknown>) =>
    idleFields(ROBOT_VIDEO.schema, robotVideoConfig("demo", given), given).map((line) => line.split(" ")[0]);
  assert.deepEqual(idle({ grpo: { dualClip: 4 } }), []);
  assert.deepEqual(idle({ grpo: { dualClip: 4, loss: "clip" } }), ["grpo.dualClip"]);
  assert.deepEqual(idle({ grpo: { loss: "cispo", clipLow: 0.1, klCoefficient: 0.1 } }), [
    "grpo.clipLow",
    "grpo.klCoefficient",
  ]);
  assert.deepEqual(idle({ grpo: { loss: "rejection", clipLow: 0.1, clipHigh: 0.3 } }), [
    "grpo.clipLow",
    "grpo.clipHigh",
  ]);
  assert.deepEqual(idle({ model: { folder: "m", layers: 2 }, tokenizer: { folder: "t", steps: 9 } }), [
    "tokenizer.steps",
    "model.layers",
  ]);
  assert.deepEqual(idle({ data: { frames: 3, folder: "d", slip: 0.1 } }), ["data.frames", "data.slip"]);
  const text = { grpo: { rolloutModel: "m" }, data: { testEvery: 5 } };
  assert.equal(idleFields(TEXT_GAME.schema, textGameConfig("demo", text), text).length, 2);
  const web = { grpo: { credit: "answer", creditDiscount: 0.5 }, evaluation: { sampledAnswers: 0, topP: 0.5 } };
  assert.equal(idleFields(WEB_PAGE.schema, webPageConfig("demo", web), web).length, 2);
});

Deno.test("conditions name fields that there are", () => {
  for (const { schema } of [ROBOT_VIDEO, TEXT_GAME, WEB_PAGE]) {
    const fields = fieldsOf(schema), names = new Set(fields.map(({ path }) => path));
    for (const { path, onlyWith } of fields) {
      for (const condition of onlyWith) assert.ok(names.has(condition.split(/[=≠]/)[0]), `${path}: ${condition}`);
    }
  }
});
