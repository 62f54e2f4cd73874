import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../../lib/base/user_error.ts";
import { GoldMixture } from "../../../lib/worlds/text_game/mixing.ts";
import { buildPrompt, type GameRules } from "../../../lib/worlds/text_game/prompt.ts";
import { loadExamples, loadRules } from "../../../lib/worlds/text_game/rules.ts";
import type { TextGameTransition } from "../../../lib/worlds/text_game/state.ts";
import { PythonFloat } from "../../../lib/io/json_value.ts";
import { transitionJson } from "../../../lib/worlds/text_game/state_json.ts";
import { cleanCup, cup, one, zero } from "./cases.ts";

const state = {
  observation: "",
  look: "",
  inventory: "",
  taskDesc: "Your task is to wash\nthe cup.",
  lastAction: "look",
  objects: [{ ...cup, properties: { isDirty: true, heat: new PythonFloat(20) } }],
  max_UUID: 7,
};
const transition: TextGameTransition = {
  game: "dishes",
  stateId: 0,
  current: state,
  currentScore: zero,
  action: "wash cup (ID: 1)",
  next: { ...state, lastAction: "wash cup (ID: 1)", objects: [cleanCup] },
  nextScore: one,
};
const other: TextGameTransition = { ...transition, game: "other", action: "eat cup (ID: 1)" };
const rules: GameRules = { object: "A cup gets dirty.", action: "wash: cleans.", score: "1 for a clean cup." };

Deno.test("prompts: compact ones are five lines", () => {
  assert.equal(
    buildPrompt(transition, { style: "compact" }),
    "task: Your task is to wash the cup.\n" +
      "state: [{'name': 'cup (ID: 1)', 'uuid': 1, 'type': 'Dish', 'properties': {'isDirty': True, 'heat': 20.0}, 'contains': []}]\n" +
      "score: {'score': 0, 'gameOver': False, 'gameWon': False}\n" +
      "new ids from: 7\n" +
      "action: wash cup (ID: 1)\n",
  );
});

function inOrder(text: string, parts: readonly string[]) {
  let at = 0;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    assert.notEqual(found, -1, `"${part}" is not in order in ${text}`);
    at = found + part.length;
  }
}

Deno.test("prompts: the published sections in the published order", () => {
  const prompt = buildPrompt(transition, {
    rules: { dishes: rules },
    examples: { rules: { ...rules, object: "Other objects." }, byAction: other, byTime: other },
  });
  const question = ["{'game_state': [{'name': 'cup (ID: 1)'", "'gameWon': False}]}\n\n", "UUID base: 7\n"];
  const answer = "{'modified': [{'name': 'cup (ID: 1)'";
  inOrder(prompt, [
    "`modified`",
    "`removed`",
    "`score`",
    "Other objects.",
    rules.action,
    rules.score,
    "Example 1",
    ...question,
    "eat cup (ID: 1)\n",
    answer,
    "Example 2",
    ...question,
    "eat cup (ID: 1)\n",
    answer,
    "Your task is to wash",
    rules.object,
    rules.action,
    rules.score,
    ...question,
    "wash cup (ID: 1)\n",
    "The final answer is:",
  ]);
  // The answer to the question itself is not given away.
  assert.equal(prompt.split("'modified'").length, 3);
});

Deno.test("prompts: without rules and examples those sections are left out", () => {
  const prompt = buildPrompt(transition, { rules: { another: rules } });
  assert.ok(!prompt.includes("Example") && !prompt.includes("Rules of"));
  inOrder(prompt, [
    "`score`",
    "Task description:\nYour task",
    "State of the game:",
    "UUID base: 7",
    "wash cup (ID: 1)",
  ]);
});

Deno.test("rules and examples: the benchmark's files", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const write = (name: string, value: unknown) => Deno.writeTextFile(join(folder, name), JSON.stringify(value));
    await write("object_rules.json", {
      dishes: "Object: Cup\n==========\nObject: Sink\n==========\nObject: World\n",
      lone: "x",
    });
    await write("action_rules.json", { dishes: " wash \n" });
    await write("score_rules.json", { dishes: "score\n" });
    assert.deepEqual(await loadRules(folder), {
      dishes: { object: "Object: Cup\n\nObject: Sink", action: "wash", score: "score" },
    });
    const { game: _game, state_id: _id, ...row } = JSON.parse(transitionJson(transition));
    await write("examples.json", { full: { action: row, tick: row } });
    const examples = await loadExamples(join(folder, "examples.json"), rules);
    assert.equal(examples.byTime.action, "wash cup (ID: 1)");
    assert.equal(examples.rules, rules);
    await write("examples.json", { full: { action: row } });
    await assert.rejects(
      loadExamples(join(folder, "examples.json")),
      new UserError(`${join(folder, "examples.json")}: has no example "full.tick"`),
    );
    await write("score_rules.json", { dishes: 1 });
    await assert.rejects(loadRules(folder), /the rules of dishes must be a text/);
    await Deno.remove(join(folder, "score_rules.json"));
    await assert.rejects(loadRules(folder), UserError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("mixing: gold rows once an epoch, others drawn anew at each access", () => {
  const gold = Array.from({ length: 50 }, (_, i) => `gold ${i}`),
    others = Array.from({ length: 200 }, (_, i) => `other ${i}`);
  const mixture = new GoldMixture({ gold, others, drawn: 20, stream: [3, 1] });
  assert.equal(mixture.length, 70);
  const first = mixture.epoch(0), again = mixture.epoch(0), second = mixture.epoch(1);
  assert.deepEqual(first, again);
  assert.notDeepEqual(first, second);
  for (const rows of [first, second]) {
    assert.deepEqual(rows.filter((row) => row.startsWith("gold")).sort(), gold.toSorted());
    assert.equal(rows.filter((row) => row.startsWith("other")).length, 20);
  }
  const drawn = (epoch: number) => Array.from({ length: 20 }, (_, i) => mixture.at(50 + i, epoch));
  assert.notDeepEqual(drawn(0), drawn(1));
  // With replacement and without favour: over many epochs every row comes, some twice in one.
  const all = Array.from({ length: 300 }, (_, epoch) => drawn(epoch));
  assert.equal(new Set(all.flat()).size, 200);
  assert.ok(all.some((rows) => new Set(rows).size < 20));
  assert.throws(() => mixture.at(70, 0), /must be in \[0, 70\): received 70/);
  assert.throws(() => new GoldMixture({ gold, others: [], drawn: 1, stream: [] }), RangeError);
  assert.throws(() => new GoldMixture({ gold: [], others, drawn: 0, stream: [] }), RangeError);
  assert.throws(() => new GoldMixture({ gold, others, drawn: 1.5, stream: [] }), /received 1.5/);
});
