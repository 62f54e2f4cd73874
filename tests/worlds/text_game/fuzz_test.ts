import assert from "node:assert/strict";
import { pythonRepr } from "../../../lib/io/python_repr.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { cleanCup, current, next, one, runningSink } from "./cases.ts";

const right = { modified: [cleanCup, runningSink], removed: [] as number[], score: one };
const MARKER = "The final answer is:";
const seeds = [
  `${MARKER} ${pythonRepr(right)}<|im_end|>`,
  `Think: it's 3/4 full.\n\`\`\`json\n${JSON.stringify(right, null, 1)}\n\`\`\``,
  `${MARKER} ${JSON.stringify(right)}`,
];
const HOSTILE = [
  '{"',
  "[[[[",
  "}}}}",
  "'",
  '"',
  "\\",
  "\\u12",
  "\\ud800",
  "\u0000",
  "“",
  "„",
  "`",
  "```json",
  "//",
  "/*",
  "#",
  ":",
  ",",
  "(",
  ")",
  "NaN",
  "-Infinity",
  "1e999",
  "9".repeat(400),
  '"__proto__":',
  '"constructor":',
  "true",
  "None",
  "…",
  "\u2028",
  "{}",
  "[]",
  "null",
  '"uuid":[1]',
  '"uuid":null',
  '"uuid":NaN',
  "\ud83c",
];

function mutate(text: string, random: Philox): string {
  const at = random.integer(0, text.length + 1);
  const length = random.integer(1, 24);
  switch (random.integer(0, 6)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return text.slice(0, at) + HOSTILE[random.integer(0, HOSTILE.length)] + text.slice(at);
    case 3: {
      const to = random.integer(0, text.length + 1);
      return text.slice(0, to) + text.slice(at, at + length * 4) + text.slice(to);
    }
    case 4:
      return text.slice(0, at) + String.fromCharCode(random.integer(0, 0x10000)) + text.slice(at + 1);
    default: {
      const pieces = text.split(/([{}\[\],:])/);
      const i = random.integer(0, pieces.length), j = random.integer(0, pieces.length);
      [pieces[i], pieces[j]] = [pieces[j], pieces[i]];
      return pieces.join("");
    }
  }
}

Deno.test("scorer: 100,000 mutated answers neither throw nor leave [0, 1.3]", () => {
  const random = new Philox(20, 6);
  let correct = 0;
  const seen = new Set<number>();
  for (let i = 0; i < 100_000; i++) {
    let text = seeds[i % seeds.length];
    for (let n = random.integer(1, 5); n > 0; n--) text = mutate(text, random);
    const strictness = i % 2 === 0 ? "released" : "strict";
    const { binary, taskSpecific } = scoreResponse(text, current, next, strictness);
    assert.ok(binary === 0 || binary === 1, text);
    assert.ok(taskSpecific >= 0 && taskSpecific <= 1.3 + 1e-12, text);
    correct += binary;
    seen.add(taskSpecific);
  }
  // The mutations are of use: some answers survive, most do not, and there are many ways to be partly right.
  assert.ok(correct > 1_000 && correct < 60_000, `${correct} correct`);
  assert.ok(seen.size > 20, `${seen.size} different rewards`);
});

Deno.test("scorer: huge and deep answers are worth nothing, or what they are worth, in bounded time", () => {
  const huge = [
    "[".repeat(100_000),
    "{".repeat(100_000),
    "(".repeat(100_000),
    '{"a":'.repeat(100_000),
    `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
    `{"a":${"[".repeat(50_000)}`,
    "/ ".repeat(50_000),
    `{'k': '${"x".repeat(1_000_000)}`,
    `{'k': '${"a, ".repeat(300_000)}`,
    `{'k': '${"\\".repeat(1_000_000)}'}`,
    `[{'k': '${"“".repeat(300_000)}`,
    `{'k': "${'"'.repeat(300_000)}`,
    "```json".repeat(100_000),
    `\`\`\`json${" ".repeat(1_000_000)}`,
    MARKER.repeat(50_000),
    "1".repeat(1_000_000),
  ];
  for (const text of huge) {
    for (const strictness of ["released", "strict"] as const) {
      const start = performance.now();
      const { taskSpecific } = scoreResponse(text, current, next, strictness);
      assert.equal(taskSpecific, 0, text.slice(0, 20));
      // Generous: the slowest takes well below a second where nothing else runs.
      assert.ok(performance.now() - start < 15_000, text.slice(0, 20));
    }
  }
  const padded = `${"thinking. ".repeat(100_000)}${MARKER} ${JSON.stringify(right)}${" ".repeat(500_000)}`;
  assert.equal(scoreResponse(padded, current, next, "released").binary, 1);
});
