import assert from "node:assert/strict";
import { parseJson } from "../../lib/io/python_json.ts";
import { pythonRepr } from "../../lib/io/python_repr.ts";
import { PythonFloat } from "../../lib/io/json_value.ts";
import cases from "./fixtures/python_repr.json" with { type: "json" };

Deno.test("pythonRepr: floats, strings and containers read from JSON print as Python prints them", () => {
  assert.ok(cases.length > 700);
  for (const [text, expected] of cases) assert.equal(pythonRepr(parseJson(text)), expected, text);
});

Deno.test("pythonRepr: what JSON cannot state", () => {
  assert.equal(pythonRepr(Infinity), "inf");
  assert.equal(pythonRepr(NaN), "nan");
  assert.equal(pythonRepr(1e21), "1000000000000000000000");
  assert.equal(pythonRepr(new Map<number, string>([[10, "a"], [2, "b"]])), "{10: 'a', 2: 'b'}");
});

Deno.test("PythonFloat: counts and is written as the float that it is", () => {
  const value = parseJson("[20.0, 20, 1.5, 3e2]") as [PythonFloat, number, number, PythonFloat];
  assert.ok(value[0] instanceof PythonFloat && value[3] instanceof PythonFloat);
  assert.deepEqual(value.slice(1, 3), [20, 1.5]);
  assert.equal(Number(value[0]) + 1, 21);
  assert.equal(`${value[0]}`, "20.0");
  assert.equal(JSON.stringify(value), "[20.0,20,1.5,300.0]");
});
