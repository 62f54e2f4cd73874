/**
 * Texts that models and pages write are read in linear time, whatever they are: of everything that reads such a text, with the
 * pieces that its grammar knows. Answers of text games have tests of their own (`text_game/`), and so have changes of pages.
 */
import assert from "node:assert/strict";
import { proposedAction } from "../../lib/studies/web_agents/action_proposals.ts";
import { changeScore, wantedThings } from "../../lib/studies/web_agents/built_in/change_value.ts";
import { contentWords } from "../../lib/studies/web_agents/built_in/words.ts";
import { splitSections } from "../../lib/studies/web_agents/change_sections.ts";
import { cutPage, readScores } from "../../lib/studies/web_agents/chat_roles.ts";
import { markedAnswer } from "../../lib/recipes/web_page/marks.ts";
import { parseStrictJson } from "../../lib/io/strict_json.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { extractAnswer } from "../../lib/worlds/text_game/answer.ts";
import { TEXT_GAMES } from "../../lib/gyms/games/games.ts";
import { parsePythonJson } from "../../lib/io/python_json.ts";
import { pythonRepr } from "../../lib/io/python_repr.ts";
import { scoreResponse } from "../../lib/worlds/text_game/reward.ts";
import { parseScoredState } from "../../lib/worlds/text_game/state_json.ts";
import { describeAction, parseAction } from "../../lib/worlds/web_page/actions.ts";
import type { PageNode } from "../../lib/worlds/web_page/actions.ts";
import type { Observation } from "../../lib/worlds/web_page/browser.ts";
import { lineContributions, scoreChanges } from "../../lib/worlds/web_page/f1_reward.ts";
import { itemChanges } from "../../lib/worlds/web_page/item_changes.ts";
import { pageItems } from "../../lib/worlds/web_page/items.ts";
import { buildWebPrompt, parseWebPrompt } from "../../lib/worlds/web_page/prompt.ts";
import { ActionProposals } from "../../lib/worlds/web_page/proposals.ts";
import { matchUrl } from "../../lib/studies/web_agents/tasks/evaluators.ts";
import { readLambda } from "../../lib/studies/web_agents/tasks/lambda_locator.ts";
import { readHelperCall } from "../../lib/studies/web_agents/tasks/task_helpers.ts";
import {
  cleanAnswer,
  excludesText,
  includesText,
  isWithin,
  quote,
} from "../../lib/studies/web_agents/tasks/text_matches.ts";
import { unescapeHtml } from "../../lib/studies/web_agents/tasks/unescape_html.ts";
import { assertLinear, assertLinearInPieces } from "../support/scaling.ts";
import { current, next } from "./text_game/cases.ts";

const TITLES = ["New items:", "Deleted items:", "Updated items:"];
const TRUTH = "New items:\nNone\n\nDeleted items:\nNone\n\nUpdated items:\n[1] link 'a'";
const WANTED = wantedThings("Show me the cheapest 'Blue kettle' for $24");
const PAGE = "[1] RootWebArea 'Shop'\n[2] heading 'Blue kettle'";
const GAME = Object.values(TEXT_GAMES)[0], START = GAME.start(1);
const question = (text: string) => ({
  url: `http://a/${text}`,
  objective: text,
  previousActions: [text],
  observation: text,
  action: text,
});
const action = (beginning: string) => (text: string) => describeAction(parseAction(beginning + text), new Map());
const url = (reference: string, note: "EXACT" | "GOLD in PRED" = "GOLD in PRED") => (text: string) =>
  matchUrl({ types: ["url_match"], referenceUrl: reference, urlNote: note }, text);

type Reader = readonly [read: (text: string) => unknown, pieces: readonly string[]];

const READERS: Record<string, Reader> = {
  "an action's place in an answer": [proposedAction, ["`", "```", "click [1]", "\n", "\r"]],
  "sections of an answer": [splitSections, [...TITLES, "\n", " ", "a", "\r"]],
  "scores from 1 to 5": [(text) => readScores([text], "1-5"), ["[Score]:", " ", "1", ".", "a"]],
  "scores from 0 to 1": [(text) => readScores([text], "0-1"), ["[Score]:", "score of", " ", "1", ".", "a"]],
  "a page that is cut": [cutPage, ["\n", "a"]],
  "any action": [action(""), ["type", "click", "[", "]", " ", "1", "\n"]],
  "click": [action("click ["), ["click", "[", "]", " ", "1"]],
  "type": [action("type ["), ["type [1] [", "] [1]", "[", "]", " ", "1", "\n"]],
  "press": [action("press ["), ["press [", "press", "[", "]", "+", "a", "\n"]],
  "goto": [action("goto ["), ["goto [", "goto", "[", "]", "a", "\n"]],
  "stop": [action("stop ["), ["stop [", "stop", "[", "]", "a", "\n"]],
  "scroll": [action("scroll ["), ["scroll", "[", "up", " "]],
  "tab_focus": [action("tab_focus ["), ["tab_focus [", "[", "]", "1"]],
  "what a prediction is worth": [(text) => changeScore(WANTED, PAGE, text), [TITLES[0], "[2] link '", "'", "\n", "a "]],
  "what a page is worth": [(text) => changeScore(WANTED, text, TRUTH), ["[2] link '", "'", "\n", "a ", "."]],
  "what an objective names": [wantedThings, ["'", "A", "a", "1", " ", ".", "$"]],
  "words": [contentWords, ["'", ".", "a", "1", " ", "s"]],
  "F1": [(text) => scoreChanges(text, TRUTH), [TITLES[0], TITLES[2], "\n", " ", "a", "</s>", "\u001c"]],
  "F1 of the truth": [(text) => scoreChanges(TRUTH, text), [TITLES[1], "\n", " ", "a"]],
  "F1 by line": [(text) => lineContributions(text, TRUTH, 128), [TITLES[0], "\n", " ", "a"]],
  "marked answers": [(text) => markedAnswer(text, TRUTH), [TITLES[0], "\n", " ", "a"]],
  "items of a page": [pageItems, ["[1]", "[", " ", "\n", "'", "\\", "link"]],
  "questions in prompts": [
    parseWebPrompt,
    ["\nURL: ", "\n OBJECTIVE: ", "\n PREVIOUS ACTION: ", "\n CURRENT OBSERVATION: ", "\n CURRENT ACTION: ", "\n", "a"],
  ],
  "compact prompts": [(text) => buildWebPrompt(question(text), "compact"), ["[1] a", "\n", " ", "/", "click [1]"]],
  "answers without quotes": [cleanAnswer, ["'", " ", "a"]],
  "words in answers": [
    (text) => text.length % 2 ? includesText("2", text, true) : excludesText("no", text),
    ["'", " ", "a", ".", "a.)"],
  ],
  "numbers in answers": [(text) => isWithin(">= 12", text), ["1", ".", ",", " ", "a"]],
  "inequalities": [(text) => isWithin(text, "12"), ["1", ".", " ", ">=", " |OR| "]],
  "quotations": [quote, [" ", "a", "\n", '"']],
  "HTML's characters": [unescapeHtml, ["&", "#", "x", "1", "amp", ";"]],
  "an address": [url("http://a/b?c=1"), ["http://a/b", "?", "/", "&", "a", "=", "#"]],
  "an exact address": [url("http://a/b", "EXACT"), ["/", "a", "?"]],
  "a task's address": [(text) => url(`http://a/${text}`)("http://a/b?a=1"), ["/", "?", "&", "a=1", "#"]],
  "locators": [(text) => readLambda(`lambda:document.querySelector(${text}`), [
    "(",
    "'",
    "\\",
    " ",
    "a",
    "1",
    "=>",
    "||",
  ]],
  "calls of helpers": [(text) => readHelperCall(`func:get_query_text(${text})`), ["'", '"', ",", " ", "a", ")"]],
  "JSON": [parsePythonJson, ["[", '{"a":', '"', "\\", "1", "0", ".", "e", ","]],
  "strict JSON": [parseStrictJson, ["[", '{"a":', '"', "\\", "1", ",", " "]],
  "states": [(text) => parseScoredState(`{"game_state": ${text}`), ["[", '{"a":', '"', "1.0", ",", "]"]],
  "where an answer stands": [extractAnswer, ["The final answer is:", "```json", "```", " ", "a"]],
  "Python's texts": [pythonRepr, ["'", '"', "\\", "a", "é", "😀"]],
  "actions in games": [(text) => GAME.step(START, `put ${text}`), ["put ", " in ", "a", " (ID: 1)", "(ID: ", "1"]],
};

/** What may be thrown at a text that says nothing. */
function quietly(read: (text: string) => unknown): (text: string) => unknown {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError || error instanceof UserError) return undefined;
      throw error;
    }
  };
}

for (const [number, [name, [read, pieces]]] of Object.entries(READERS).entries()) {
  Deno.test(`texts are read in linear time: ${name}`, () => {
    assertLinearInPieces(name, quietly(read), pieces, new Philox(13, 3, number));
  });
}

Deno.test("texts that nest without end, or are a million short lines, are read", () => {
  const SIZE = 1_000_000;
  const texts = ["[", "{", "(", '{"a":', "['", "{'a': [", "\n[1] a", "\na"].map((each) =>
    each.repeat(SIZE / each.length)
  );
  texts.push("[".repeat(SIZE / 2) + "]".repeat(SIZE / 2), '{"a":'.repeat(SIZE / 6) + "1" + "}".repeat(SIZE / 6));
  const others: Record<string, Reader> = {
    "released rewards": [(text) => scoreResponse(`The final answer is: ${text}`, current, next, "released"), []],
    "strict rewards": [(text) => scoreResponse(`The final answer is: ${text}`, current, next, "strict"), []],
    "changes of pages": [(text) => itemChanges(text, `${text} b`), []],
  };
  for (const [name, [read]] of Object.entries({ ...READERS, ...others })) {
    for (const text of texts) {
      assert.doesNotThrow(() => quietly(read)(text), `${name}: ${text.slice(0, 20)} … ${text.slice(-5)}`);
    }
  }
  const lines = Array.from({ length: 200_000 }, (_, i) => `[${i}] a`);
  assert.ok(changeScore(WANTED, PAGE, ["New items:", ...lines].join("\n")) > 1);
});

Deno.test("what an explorer tries next is found in linear time", () => {
  const page = (size: number): Observation => {
    const nodes = new Map<number, PageNode>();
    for (let id = 1; id <= size; id++) {
      const role = id % 2 ? "textbox" : "link", name = `some words ${id}`;
      nodes.set(id, { role, name, line: `[${id}] ${role} '${name}'` });
    }
    const tree = [...nodes.values()].map(({ line }) => line).join("\n");
    return { tree, url: "http://a/", tabs: [{ title: "A", isCurrent: true }], nodes };
  };
  const propose = (observation: Observation) => {
    const proposals = new ActionProposals(new Philox(1, 2));
    for (let i = 0; i < 3; i++) {
      const action = proposals.propose(observation);
      proposals.observe(observation, action, observation);
    }
  };
  assertLinear("proposals", page, propose, 500);
});
