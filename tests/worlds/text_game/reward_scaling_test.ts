import assert from "node:assert/strict";
import { sortedEquals } from "../../../lib/worlds/text_game/python_values.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import { parsePythonJson } from "../../../lib/io/python_json.ts";
import type { GameObject } from "../../../lib/worlds/text_game/state.ts";
import type { JsonValue } from "../../../lib/io/json_value.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { assertLinear, repeatedFragment } from "../../support/scaling.ts";
import { cleanCup, current, next, one, runningSink } from "./cases.ts";

const answer = (change: Record<string, unknown>) =>
  `The final answer is: ${JSON.stringify({ modified: [cleanCup, runningSink], removed: [], score: one, ...change })}`;
const objects = (count: number) =>
  Array.from({ length: count }, (_, i): GameObject => ({ ...cleanCup, uuid: 10 + i, name: `cup (ID: ${10 + i})` }));

const HOSTILE: Record<string, (size: number) => string> = {
  "removed uuids": (n) => answer({ removed: Array.from({ length: n / 6 }, (_, i) => -i) }),
  "contents that are many": (n) => answer({ modified: [{ ...cleanCup, contains: Array(n / 6 | 0).fill("ab") }] }),
  "contents of many kinds": (n) => answer({ modified: [{ ...cleanCup, contains: Array(n / 6 | 0).fill([1, "a"]) }] }),
  "the same object over and over": (n) => answer({ modified: Array(n / 120 | 0).fill(cleanCup) }),
  "objects that are not there": (n) => answer({ modified: objects(n / 120 | 0) }),
  "properties": (n) =>
    answer({
      modified: [{
        ...cleanCup,
        properties: Object.fromEntries(Array.from({ length: n / 12 }, (_, i) => [`p${i}`, 1])),
      }],
    }),
  "properties that are a string": (n) => answer({ modified: [{ ...cleanCup, properties: "x".repeat(n) }] }),
  "markers": (n) => "The final answer is:".repeat(n / 20),
  "fences": (n) => "```json".repeat(n / 7),
  "fences around nothing": (n) => "```json ``` ".repeat(n / 12),
  "white space": (n) => `The final answer is:${" ".repeat(n)}x`,
};

for (const strictness of ["released", "strict"] as const) {
  Deno.test(`rewards: ${strictness} scoring is linear in what an answer holds`, () => {
    for (const [name, make] of Object.entries(HOSTILE)) {
      assertLinear(name, make, (text) => scoreResponse(text, current, next, strictness), 30_000);
    }
  });
}

Deno.test("rewards: many objects times many removed ones is not looked through", () => {
  const many = (size: number) => [...objects(size / 20), one];
  const text = (size: number) => answer({ removed: Array.from({ length: size / 6 }, (_, i) => -i) });
  assertLinear(
    "objects and removed ones",
    (size) => ({ state: many(size), text: text(size) }),
    ({ state, text }) => scoreResponse(text, state, state, "released"),
    10_000,
  );
});

Deno.test("rewards: comparing lists looks at each level once", () => {
  const nested = (depth: number, inner: number): JsonValue =>
    parsePythonJson(`${"[".repeat(depth)}${inner}${"]".repeat(depth)}`)!;
  const lists = (depth: number) => Array.from({ length: 200 }, (_, i) => nested(depth, i % 7));
  assertLinear("depth", lists, (value) => sortedEquals(value, value), 50);
  assert.ok(sortedEquals([[2, [1]], [1, [3]]], [[1, [3]], [2, [1]]]));
  assert.ok(sortedEquals([[{ a: 1 }, 2], [{ a: 1 }, 1]], [[{ a: 1 }, 1], [{ a: 1 }, 2]]));
  assert.throws(() => sortedEquals([[{ a: 1 }], [{ a: 2 }]], []), /no order/);
});

Deno.test("rewards: responses of repeated fragments are scored", () => {
  const random = new Philox(13, 2);
  for (let i = 0; i < 200; i++) {
    const response = `The final answer is: ${repeatedFragment(random, 20_000)}`;
    for (const strictness of ["released", "strict"] as const) {
      const { taskSpecific } = scoreResponse(response, current, next, strictness);
      assert.ok(taskSpecific >= 0 && taskSpecific <= 1.3);
    }
  }
});
