import assert from "node:assert/strict";
import { LenientReader, parseLenientJson } from "../../lib/json_repair_0_61_7/repair_json.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { assertLinear, repeatedFragment } from "../support/scaling.ts";
import repeated from "./fixtures/repeated.json" with { type: "json" };

Deno.test("lenient JSON: repeated fragments of broken JSON are read as json_repair reads them", () => {
  assert.ok(repeated.length >= 500);
  for (const { text: [prefix, fragment, times, suffix], parsed } of repeated) {
    const text = `${prefix}${(fragment as string).repeat(times as number)}${suffix}`;
    const value = parseLenientJson(text);
    if (parsed === null) assert.ok(value === undefined || value === "", text);
    else assert.deepEqual(JSON.parse(JSON.stringify(value)), parsed.value, text);
  }
});

/** Why a text cannot be read; undefined where it can. */
function refusal(text: string): string | undefined {
  try {
    new LenientReader(text, false).readAll();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

Deno.test("lenient JSON: no fragment of up to eight pieces, repeated to 20,000 characters, takes too much work", () => {
  const random = new Philox(13, 1);
  const tooMuch: string[] = [];
  let read = 0;
  for (let i = 0; i < 1500; i++) {
    const text = repeatedFragment(random, 20_000), why = refusal(text);
    if (why === undefined) read++;
    else if (/too much work/.test(why)) tooMuch.push(text.slice(0, 80));
  }
  assert.deepEqual(tooMuch, []);
  assert.ok(read > 1200, `${read} could be read`);
});

/** Each was quadratic in some reader of this kind: what is looked for again and again, read twice, or copied. */
const HOSTILE: Record<string, (size: number) => string> = {
  "continued arrays": (n) => `{'a':[1]${",[1]".repeat(n / 4)}`,
  "continued rows": (n) => `{'a':[[1,2],3${",[]".repeat(n / 3)}`,
  "members after the end": (n) => "{'x':1},'a':1},".repeat(n / 15),
  "members after the end, of other names": (n) =>
    `{'x':1},${Array.from({ length: n / 12 }, (_, i) => `'k${i}':1`).join("},")}`,
  "keys met twice": (n) => `[${"{'a':1 'a':2 ".repeat(n / 13)}`,
  "escaped objects": (n) => `[${'{\\"a\\":1},'.repeat(n / 10)}]`,
  "sets that end with a bracket": (n) => "{x ]".repeat(n / 4),
  "keys without an end": (n) => "{“]) a".repeat(n / 6),
  "low quotes in keys": (n) => "{\n„'a'] null".repeat(n / 12),
  "quotes before brackets": (n) => `[${"'[".repeat(n / 2)}`,
  "quotes in a character class": (n) => `{'k': '[${"'".repeat(n)}`,
  "commas before text": (n) => `{'k': '${"a, ".repeat(n / 3)}`,
  "braces before fences": (n) => `{'a': '${"}```".repeat(n / 4)}`,
  "comments before members": (n) => `{'a': '${",/**/".repeat(n / 5)}`,
  "comments that do not end": (n) => `{'a': 'x${'", /*'.repeat(n / 5)}`,
  "containers in strings": (n) => `{'a': 'x${", [x".repeat(n / 4)}`,
  "parentheses on lines": (n) => `${"(1\n".repeat(n / 4)}${")".repeat(n / 4)}x`,
  "digits that are no number": (n) => `[${"1".repeat(n)}-1]`,
  "white space after commas": (n) => `{'a': 'x${",".repeat(n / 2)}'${" ".repeat(n / 2)}`,
  "backslashes": (n) => `{'k': '${"\\".repeat(n)}'}`,
  "deep sets": (n) => "{a,".repeat(n / 3),
};

for (const [name, make] of Object.entries(HOSTILE)) {
  Deno.test(`lenient JSON: linear in ${name}`, () => {
    assert.doesNotMatch(refusal(make(160_000)) ?? "", /too much work/);
    assertLinear(name, make, refusal, 20_000);
  });
}
