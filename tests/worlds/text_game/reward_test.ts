import assert from "node:assert/strict";
import { parseAnswer } from "../../../lib/worlds/text_game/answer.ts";
import { pythonRepr } from "../../../lib/io/python_repr.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import type { GameObject, ScoredState } from "../../../lib/worlds/text_game/state.ts";
import type { JsonValue } from "../../../lib/io/json_value.ts";
import { cleanCup, cup, current, next, one, runningSink, sink, zero } from "./cases.ts";
import fixture from "./fixtures/answers.json" with { type: "json" };

const MARKER = "The final answer is:";
const EOS = "<｜end▁of▁sentence｜>";
const right = { modified: [cleanCup, runningSink], removed: [], score: one };
const json = JSON.stringify(right);
const repr = pythonRepr(right);
const without = (object: GameObject, key: string) =>
  Object.fromEntries(Object.entries(object).filter(([k]) => k !== key));

function check(
  response: string,
  binary: number,
  taskSpecific: number,
  strictness: "released" | "strict" = "released",
  truth: ScoredState = next,
) {
  const reward = scoreResponse(response, current, truth, strictness);
  assert.equal(reward.binary, binary, response);
  assert.ok(
    Math.abs(reward.taskSpecific - taskSpecific) < 5e-7,
    `${response}: ${reward.taskSpecific} for ${taskSpecific}`,
  );
}

const say = (answer: unknown) => `${MARKER} ${JSON.stringify(answer)}`;

Deno.test("rewards: the published vectors of answers", () => {
  const extra: GameObject = { ...cleanCup, properties: { ...cleanCup.properties, colour: "red" } };
  const rows: [unknown, number, number][] = [
    [right, 1, 1.3],
    [{ ...right, modified: [cleanCup, { ...runningSink, contains: runningSink.contains.toReversed() }] }, 1, 1.3],
    [{ ...right, modified: [{ ...cleanCup, properties: { isDirty: 0, temp: 20 } }, runningSink] }, 1, 1.3],
    [{ ...right, modified: [runningSink] }, 0, 0.582],
    [{ ...right, score: {} }, 0, 1.096667],
    [{ modified: right.modified, removed: [] }, 0, 1.09],
    [{ modified: [], removed: [], score: {} }, 0, 0.060667],
    [{ modified: [cleanCup], removed: [2], score: one }, 0, 1.0775],
    [{ ...right, modified: [extra, runningSink] }, 1, 0],
    [{ ...right, modified: [without(cleanCup, "contains"), runningSink] }, 0, 1.082],
    [{ ...right, modified: [without(cleanCup, "properties"), runningSink] }, 0, 0.0775],
    [{ ...right, modified: [{ ...cleanCup, uuid: "1" }, runningSink] }, 0, 0.582],
    [{ modified: right.modified, score: one }, 0, 0],
  ];
  for (const [answer, binary, taskSpecific] of rows) check(say(answer), binary, taskSpecific);
  check(`${MARKER} ${json.replace(/"temp":20/, '"temp":20.0')}`, 1, 1.3);
  check(`${say({ modified: [], removed: [], score: {} })}, or rather: ${MARKER} ${json}`, 1, 1.3);
  check(`So:\n\`\`\`json\n${json}\n\`\`\``, 1, 1.3);
  const knife: GameObject = { name: "knife (ID: 4)", uuid: 4, type: "Knife", properties: {}, contains: [] };
  check(say(right), 0, 1.085, "released", [cleanCup, runningSink, knife, one]);
  check(say({ modified: [], removed: [], score: {} }), 1, 0.3, "released", current);
  check(say({ modified: [runningSink], removed: [], score: {} }), 0, 0.082, "released", current);
});

Deno.test("rewards: the published forms of the right answer", () => {
  const forms = [
    `${MARKER} ${repr}`,
    `${MARKER}\n\`\`\`json\n${json}\n\`\`\``,
    `${MARKER}\n\`\`\`json\n${json}\n\`\`\`\nThe cup is clean now.`,
    `${MARKER} ${json}${EOS}`,
    `${MARKER} ${repr}${EOS}`,
    `${MARKER} ${json.slice(0, -1)}`,
    `${MARKER} ${json.slice(0, -1)},}`,
    `${MARKER} ${
      json.replace('"modified"', "modified").replace('"removed"', "removed").replace('"score":{', "score:{")
    }`,
    `${MARKER} ${json} // done`,
    `${MARKER} ${JSON.stringify(right, null, 2)}`,
    `${MARKER} ${repr.replaceAll("[", "(").replaceAll("]", ",)").replaceAll("(,)", "()")}`,
    `${MARKER} ${repr.replaceAll("cup (ID", "cup's (ID").replaceAll("'cup's (ID: 1)'", "'cup (ID: 1)'")}`,
    `${MARKER} Here is the new state: ${json}`,
    `**${MARKER}** ${json}`,
    `${MARKER} \\boxed{${json}}`,
    `The cup gets clean, so ${json}`,
    `So:\n\`\`\`json\n${repr}\n\`\`\``,
  ];
  for (const form of forms) check(form, 1, 1.3);
  check(`${MARKER} ${json.slice(0, -3)}`, 0, 1.096667);
  for (
    const nothing of ["", MARKER, `${MARKER} [${json}]`, `${MARKER} ${json} {"modified":[],"removed":[],"score":{}}`]
  ) {
    check(nothing, 0, 0);
  }
});

Deno.test("rewards: an apostrophe inside a string of a Python answer", () => {
  const mess = { ...cup, properties: { mess: "baker's flour", isDirty: true } };
  const clean = { ...cup, properties: { mess: "baker's flour", isDirty: false } };
  const answer =
    `{'modified': [{'name': 'cup (ID: 1)', 'uuid': 1, 'type': 'Dish', 'properties': {'mess': 'baker's flour', ` +
    `'isDirty': False}, 'contains': []}], 'removed': [], 'score': {}}`;
  assert.equal(scoreResponse(answer, [mess, zero], [clean, zero], "released").binary, 1);
});

Deno.test("rewards: what Python's parsers and comparisons make of hundreds of broken answers", () => {
  assert.ok(fixture.answers.length >= 400);
  const cases = fixture.cases as unknown as { current: ScoredState; next: ScoredState }[];
  for (const { case: index, response, parsed, binary, taskSpecific } of fixture.answers) {
    const value = parseAnswer(response, "released");
    if (parsed === null) assert.equal(value, undefined, response);
    else assert.deepEqual(JSON.parse(JSON.stringify(value)), parsed.value, response);
    const reward = scoreResponse(response, cases[index].current, cases[index].next, "released");
    assert.equal(reward.binary, binary, response);
    assert.ok(Math.abs(reward.taskSpecific - taskSpecific) < 1e-12, response);
  }
});

Deno.test("strict rewards: where nothing was amiss they are the released ones", () => {
  for (
    const answer of [right, { ...right, modified: [runningSink] }, { ...right, score: {} }, {
      modified: [],
      removed: [],
      score: {},
    }]
  ) {
    const released = scoreResponse(say(answer), current, next, "released");
    assert.deepEqual(scoreResponse(say(answer), current, next, "strict"), released);
  }
});

Deno.test("strict rewards: added objects are compared", () => {
  const knife: GameObject = {
    name: "knife (ID: 4)",
    uuid: 4,
    type: "Knife",
    properties: { sharp: true },
    contains: [],
  };
  const truth = [cleanCup, runningSink, knife, one];
  check(say({ ...right, modified: [cleanCup, runningSink, knife] }), 1, 1.3, "strict", truth);
  check(say({ ...right, modified: [cleanCup, runningSink, knife] }), 0, 1.085, "released", truth);
  // 5 right, the knife missing; gold: isDirty and isOn right, sharp and the knife's contents wrong.
  check(say(right), 0, 0.09 * 5 / 6 + 0.01 + 2 / 4, "strict", truth);
  // An object that is not there in truth is one error more.
  check(say({ ...right, modified: [cleanCup, runningSink, knife] }), 0, 0.09 * 5 / 6 + 0.01 + 1, "strict");
});

Deno.test("strict rewards: an object that ought to go and stays is an error", () => {
  const truth = [cleanCup, one];
  const answer = { modified: [cleanCup], removed: [], score: one };
  check(say(answer), 1, 1.3, "released", truth);
  check(say(answer), 0, 0.09 * 3 / 4 + 0.01 + 1 / 2, "strict", truth);
  check(say({ ...answer, removed: [2] }), 1, 1.3, "strict", truth);
});

Deno.test("strict rewards: an invented property is one error, not everything", () => {
  const extra: GameObject = { ...cleanCup, properties: { ...cleanCup.properties, colour: "red" } };
  check(say({ ...right, modified: [extra, runningSink] }), 0, 0.09 * 5 / 6 + 0.01 + 1, "strict");
});

Deno.test("strict rewards: a score left out is an unchanged one", () => {
  check(say({ modified: right.modified, removed: [] }), 0, 1.096667, "strict");
  check(say({ modified: [], removed: [] }), 1, 0.3, "strict", current);
  check(say({ modified: [], removed: [] }), 0, 0.09, "released", current);
  check(say({ modified: [] }), 0, 0, "strict", current);
});

Deno.test("strict rewards: gold properties of removed or maimed objects count as wrong", () => {
  check(say({ modified: [cleanCup], removed: [2], score: one }), 0, 0.09 * 3 / 4 + 0.01 + 1 / 2, "strict");
  check(
    say({ ...right, modified: [without(cleanCup, "properties"), runningSink] }),
    0,
    0.09 * 3 / 4 + 0.01 + 1 / 2,
    "strict",
  );
});

Deno.test("strict rewards: Python's constants are replaced outside strings only", () => {
  const named: GameObject = { ...sink, contains: ["None of these (ID: 5)", "Trueman (ID: 6)"] };
  const truth = [cup, named, zero];
  const answer = `${MARKER} ${
    pythonRepr({ modified: [{ ...named, properties: { isOn: false, owner: null } }], removed: [], score: {} })
  }`;
  const owned = [cup, { ...named, properties: { isOn: false, owner: null } }, zero];
  assert.equal(scoreResponse(answer, truth, owned, "strict").binary, 1);
  assert.equal(scoreResponse(answer, truth, owned, "released").binary, 0);
});

Deno.test("strict rewards: values of a wrong kind cost what they touch", () => {
  const odd = { ...right, modified: [{ ...cleanCup, contains: [1, "a", null] as JsonValue }, runningSink] };
  check(say(odd), 0, 0, "released");
  check(say(odd), 0, 0.09 * 4 / 5 + 0.01 + 1, "strict");
  const listed = { ...right, score: { uuid: 1, ...one } };
  check(say(listed), 0, 0.045, "released");
  check(say(listed), 1, 1.3, "strict");
  const mere = JSON.stringify("modified and removed");
  check(mere, 0, 0.054, "released");
  check(mere, 0, 0, "strict");
});
