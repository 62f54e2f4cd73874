/** The F1 reward: golden vectors, another implementation's numbers, and answers that no one would give. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { lineContributions, meanScore, parseChanges, scoreChanges } from "../../../lib/worlds/web_page/f1_reward.ts";
import { formatChanges } from "../../../lib/worlds/web_page/item_changes.ts";

interface Case {
  name: string;
  response: string;
  truth: string;
  matches: number;
  listed: number;
  present: number;
  precision: number;
  recall: number;
  f1: number;
}

const CASES: Case[] = JSON.parse(Deno.readTextFileSync(new URL("fixtures/f1.json", import.meta.url)));

/** RLVR-World's own scorer on the same answers: matches / listed / true, F1. */
const GOLDEN: Record<string, [matches: number, listed: number, present: number, f1: number]> = {
  "identical": [4, 4, 4, 1],
  "text before": [4, 4, 4, 1],
  "duplicate line": [4, 4, 4, 1],
  "one extra": [4, 5, 4, 0.888889],
  "header in the reasoning": [4, 5, 4, 0.888889],
  "wrong section": [0, 4, 4, 0],
  "item beside its title": [1, 2, 4, 0.333333],
  "end of sequence": [3, 4, 4, 0.75],
  "nothing changes": [3, 3, 3, 1],
  "empty": [0, 0, 4, 0],
};

Deno.test("F1 of the released scorer's golden answers", () => {
  for (const [name, [matches, listed, present, f1]] of Object.entries(GOLDEN)) {
    const found = CASES.find((each) => each.name === name)!;
    const score = scoreChanges(found.response, found.truth, { keepEndOfSequence: true });
    assert.ok(Math.abs(score.f1 - f1) < 1e-6, `${name}: ${score.f1}`);
    assert.equal(score.precision, listed === 0 ? 0 : matches / listed, name);
    assert.equal(score.recall, matches / present, name);
  }
});

Deno.test("F1 of drawn answers, as by SciPy's assignment", () => {
  assert.ok(CASES.some((each) => each.f1 > 0 && each.f1 < 1 && each.name.startsWith("drawn")));
  for (const { name, response, truth, precision, recall, f1 } of CASES) {
    const score = scoreChanges(response, truth, { keepEndOfSequence: true });
    for (const [part, value] of Object.entries({ precision, recall, f1 })) {
      assert.ok(Math.abs(score[part as keyof typeof score] - value) < 1e-12, `${name}: ${part}`);
    }
  }
});

Deno.test("the text that ends a sequence is cut off the last item unless it is asked to stay", () => {
  const { response, truth } = CASES.find((each) => each.name === "end of sequence")!;
  assert.equal(scoreChanges(response, truth).f1, 1);
  assert.equal(scoreChanges(`${truth}<|endoftext|>\n<|im_end|> `, truth).f1, 1);
  assert.equal(scoreChanges(`${truth}[END]`, truth).f1, 0.75);
  assert.equal(scoreChanges(`${truth}[END]`, truth, { endOfSequence: ["[END]"] }).f1, 1);
  // Only at the end: in the middle it is a part of an item as any other text.
  assert.equal(scoreChanges(truth.replace("'A'", "'A'</s>"), truth).f1, 0.75);
});

Deno.test("sections are sets of trimmed lines; means are of the samples' own values", () => {
  const sections = parseChanges("reasoning\nDeleted items: x\n a \na\n\nNew items:\nb");
  assert.deepEqual([[...sections.new], [...sections.deleted], [...sections.updated]], [["b"], ["a"], []]);
  const mean = meanScore([{ precision: 1, recall: 0.5, f1: 2 / 3 }, { precision: 0, recall: 0, f1: 0 }]);
  assert.deepEqual(mean, { precision: 0.5, recall: 0.25, f1: 1 / 3 });
});

Deno.test("what a line adds is the F1 up to its end less the F1 before it", () => {
  for (const { name, response, truth, f1 } of CASES) {
    const lines = response.split("\n"), options = { keepEndOfSequence: true };
    const added = lineContributions(response, truth, lines.length, options);
    let before = 0;
    lines.forEach((_, i) => {
      const now = scoreChanges(lines.slice(0, i + 1).join("\n"), truth, options).f1;
      assert.ok(Math.abs(added[i] - (now - before)) < 1e-6, `${name}: line ${i}`);
      before = now;
    });
    assert.ok(Math.abs(before - f1) < 1e-12, name);
    // What has no place of its own is added to the last.
    const few = lineContributions(response, truth, 2, options);
    assert.equal(few.length, 2);
    assert.ok(Math.abs(few[0] + few[1] - f1) < 1e-6, name);
  }
  const truth = "New items:\n[1] link 'A'\n[2] link 'B'";
  const lines = [...lineContributions("New items:\n[1] link 'A'\n[9] link 'C'\n[1] link 'A'\n", truth, 5)];
  assert.deepEqual(lines, [0, 2 / 3, 0.5 - 2 / 3, 0, 0].map(Math.fround));
});

Deno.test("50,000 mangled answers: the scorer never throws and stays within [0, 1]", () => {
  const random = new Philox(0, 40);
  const items = [
    "[1] RootWebArea 'Shop'",
    "[2] link 'Cart'",
    '[3] textbox "it\'s" focused: True',
    "None",
    "",
    "\u{1f6d2}",
  ];
  const pick = <Item>(from: readonly Item[]) => from[random.integer(0, from.length)];
  const some = () => Array.from({ length: random.integer(0, 5) }, () => pick(items));
  const answer = () => formatChanges({ newItems: some(), deletedItems: some(), updatedItems: some() });
  const pieces = [
    "\n",
    "New items:",
    "Updated items:",
    "Deleted items:\n",
    "\r",
    "\u2028",
    "\0",
    "\ud800",
    "None",
    "<|endoftext|>",
    "\\",
    "'",
    "[",
    "</s>",
    "\ufeff",
    "\t".repeat(50),
    "[2] link 'Cart'",
  ];
  let perfect = 0, partial = 0;
  for (let i = 0; i < 50_000; i++) {
    const truth = answer();
    let response = random.uniform() < 0.7 ? truth : answer();
    for (let edits = random.integer(0, 5); edits > 0; edits--) {
      const from = random.integer(0, response.length + 1), to = Math.min(response.length, from + random.integer(0, 12));
      response = response.slice(0, from) + (random.uniform() < 0.6 ? pick(pieces) : "") + response.slice(to);
    }
    const { precision, recall, f1 } = scoreChanges(response, truth, { keepEndOfSequence: i % 2 === 0 });
    for (const each of [precision, recall, f1]) assert.ok(each >= 0 && each <= 1, JSON.stringify({ response, truth }));
    assert.ok(f1 <= Math.max(precision, recall) + 1e-12 && f1 >= Math.min(precision, recall) - 1e-12);
    if (f1 === 1) perfect++;
    else if (f1 > 0) partial++;
  }
  assert.ok(perfect > 5000 && partial > 5000, `${perfect} perfect and ${partial} partial ones`);
});

Deno.test("answers of megabytes are scored in no time", () => {
  const began = performance.now();
  const long = "New items:\n" + " ".repeat(1_000_000) + "x\n" + "[1] a\n".repeat(200_000) + "</s>".repeat(1000);
  assert.ok(scoreChanges(long, "New items:\n[1] a").f1 > 0);
  assert.ok(performance.now() - began < 5000);
});
