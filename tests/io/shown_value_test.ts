import assert from "node:assert/strict";
import { shownValue } from "../../lib/io/shown_value.ts";

Deno.test("values in messages are JSON, cut, whatever they are", () => {
  assert.equal(shownValue({ a: [1, "b", null, 2n] }), '{"a":[1,"b",null,2]}');
  assert.equal(shownValue("x".repeat(100), 5), '"xxxx');
  assert.deepEqual([undefined, null, () => 1].map((each) => shownValue(each)), ["nothing", "null", "function"]);
  const list = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
  assert.deepEqual([shownValue(list), shownValue({ list })], ["a list", "an object"]);
});
