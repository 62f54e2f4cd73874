import assert from "node:assert/strict";
import { answerText, extractAnswer, targetText } from "../../../lib/worlds/text_game/answer.ts";
import { isChanged, isGold, stateDifference, stateRecords } from "../../../lib/worlds/text_game/difference.ts";
import type { GameObject, ScoredState } from "../../../lib/worlds/text_game/state.ts";
import { PythonFloat } from "../../../lib/io/json_value.ts";
import { cleanCup, cup, current, next, one, runningSink, sink, zero } from "./cases.ts";

const knife: GameObject = { name: "knife (ID: 10)", uuid: 10, type: "Knife", properties: {}, contains: [] };

Deno.test("differences: changed objects whole, removed ones by uuid, the score if it changed", () => {
  for (const strictness of ["released", "strict"] as const) {
    assert.deepEqual(stateDifference(current, next, strictness), {
      modified: [cleanCup, runningSink],
      removed: [],
      score: one,
    });
    assert.deepEqual(stateDifference(current, current, strictness), { modified: [], removed: [], score: {} });
    assert.deepEqual(stateDifference(current, [sink, zero], strictness), { modified: [], removed: [1], score: {} });
    // 1 == 1.0 == True, and the order of contents does not count.
    const same: ScoredState = [
      { ...cup, properties: { isDirty: 1, temp: new PythonFloat(20) } },
      { ...sink, contains: sink.contains.toReversed() },
      zero,
    ];
    assert.deepEqual(stateDifference(current, same, strictness), { modified: [], removed: [], score: {} });
  }
});

Deno.test("differences: the released one lists the whole next state for an added object, the strict one the object", () => {
  const after: ScoredState = [cup, sink, knife, zero];
  assert.deepEqual(stateDifference(current, after, "strict").modified, [knife]);
  assert.equal(
    answerText(stateDifference([knife, zero], [knife, cup, zero], "released")),
    "The final answer is: {'modified': [{10: {'name': 'knife (ID: 10)', 'uuid': 10, 'type': 'Knife', 'properties': {}, " +
      "'contains': []}, 1: {'name': 'cup (ID: 1)', 'uuid': 1, 'type': 'Dish', 'properties': {'isDirty': True, 'temp': 20}, " +
      "'contains': []}}], 'removed': [], 'score': {}}",
  );
});

Deno.test("differences: only the strict one sees a new property", () => {
  const heated: GameObject = { ...cup, properties: { ...cup.properties, hot: true } };
  const after: ScoredState = [heated, sink, zero];
  assert.deepEqual(stateDifference(current, after, "released").modified, []);
  assert.deepEqual(stateDifference(current, after, "strict").modified, [heated]);
  assert.equal(isGold(current, after), true);
  assert.equal(isChanged(current, after), true);
});

Deno.test("records: one a property, then new ones, then the contents", () => {
  const before: ScoredState = [{ ...cup, properties: { a: 1, b: 2, c: 3 } }, zero];
  const after: ScoredState = [{ ...cup, properties: { a: 1, b: 3, d: 4 }, contains: ["x"] }, zero];
  assert.deepEqual(stateRecords(before, after).map(({ key, code }) => `${key} ${code}`), [
    "a same",
    "b different",
    "c missing",
    "d extra",
    "contains different",
  ]);
});

Deno.test("gold and changed: coming, going and the score change a row but do not make it gold", () => {
  const rows: [ScoredState, boolean, boolean][] = [
    [current, false, false],
    [next, true, true],
    [[cup, sink, one], false, true],
    [[cup, sink, knife, zero], false, true],
    [[sink, zero], false, true],
    [[sink, cup, zero], false, false],
    [[cup, { ...sink, contains: [] }, zero], true, true],
  ];
  for (const [after, gold, changed] of rows) {
    assert.equal(isGold(current, after), gold);
    assert.equal(isChanged(current, after), changed);
  }
});

Deno.test("answers: where they are looked for", () => {
  assert.equal(extractAnswer("The final answer is: a The final answer is:  b \n"), "b");
  // The order of the markers counts, not their place.
  assert.equal(
    extractAnswer("The final state is: a, the final answer is: b, The final game state is: c"),
    "b, The final game state is: c",
  );
  assert.equal(extractAnswer("```json\n{'a': 'bcdefg'}\n``` or ```json\n [1, 2, 3, 4, 5]```!"), "[1, 2, 3, 4, 5]");
  assert.equal(extractAnswer("```json\n[1]\n```"), "```json\n[1]\n```");
  assert.equal(extractAnswer("nothing"), "nothing");
  assert.equal(extractAnswer(""), "");
});

Deno.test("targets: with and without marker", () => {
  const state = { observation: "", look: "", inventory: "", taskDesc: "", lastAction: "", objects: [cup], max_UUID: 2 };
  const transition = {
    game: "g",
    stateId: 0,
    current: state,
    currentScore: zero,
    action: "a",
    next: state,
    nextScore: one,
  };
  const expected = "{'modified': [], 'removed': [], 'score': {'score': 1, 'gameOver': False, 'gameWon': False}}";
  assert.equal(targetText(transition, "released"), `The final answer is: ${expected}`);
  assert.equal(targetText(transition, "strict", { marker: false }), expected);
});
