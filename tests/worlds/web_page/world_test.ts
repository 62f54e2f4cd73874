/** Web pages as a world: prompts and what is read from them, examples, tokens, metrics. */
import assert from "node:assert/strict";
import { trainBpe } from "../../../lib/models/bpe_trainer.ts";
import { itemChanges } from "../../../lib/worlds/web_page/item_changes.ts";
import { buildWebPrompt, parseWebPrompt } from "../../../lib/worlds/web_page/prompt.ts";
import type { WebPageTransition } from "../../../lib/worlds/web_page/transition.ts";
import { webPageExample, webPageExampleOfRow, WebPageWorld } from "../../../lib/worlds/web_page/world.ts";

const BEFORE = "Tab 0 (current): Shop\n\n[1] RootWebArea 'Shop'\n\t[2] link 'Cart (0)'\n\t[3] button 'Add'";
const AFTER = BEFORE.replace("(0)", "(1)") + "\n\t[4] StaticText 'Added'";
const TRANSITION: WebPageTransition = {
  taskId: 2,
  step: 1,
  url: "http://shop.test/product/kettle?page=2",
  objective: "Buy a kettle",
  previousActions: ["None", "click [9] where [9] is link 'Kettle'"],
  observation: BEFORE,
  action: "click [3]",
  describedAction: "click [3] where [3] is button 'Add'",
  nextObservation: AFTER,
  changes: itemChanges(BEFORE, AFTER),
};
const TRUTH = "New items:\n[4] StaticText 'Added'\n\nDeleted items:\nNone\n\nUpdated items:\n[2] link 'Cart (1)'";

Deno.test("the compact prompt: items as they stand in answers, the action last with what it points at", () => {
  assert.equal(
    buildWebPrompt(TRANSITION, "compact"),
    "was: click [9] where [9] is link 'Kettle'\nurl: /product/kettle?page=2\nTab 0 (current): Shop\n[1] RootWebArea 'Shop'\n" +
      "[2] link 'Cart (0)'\n[3] button 'Add'\ndo: click [3] button 'Add'\n",
  );
  const elsewhere = buildWebPrompt({ ...TRANSITION, url: "http://shop.test", action: "click [77]" }, "compact");
  assert.match(elsewhere, /^url: \/$/m);
  assert.ok(elsewhere.endsWith("\ndo: click [77]\n"), "an id that is not on the page");
});

Deno.test("the prompt with instructions: the published structure and field lines, read back whole", () => {
  const prompt = buildWebPrompt(TRANSITION, "instructions");
  const fields = [
    "URL: http://shop.test/product/kettle?page=2",
    " OBJECTIVE: Buy a kettle",
    " PREVIOUS ACTION: None",
    "click [9] where [9] is link 'Kettle'",
    ` CURRENT OBSERVATION: ${BEFORE}`,
    " CURRENT ACTION: click [3]",
  ].join("\n");
  assert.ok(prompt.includes(`\n${fields}\n`), prompt.slice(-700));
  for (
    const form of [
      "click [id]",
      "type [id] [content]",
      "hover [id]",
      "press [key_comb]",
      "scroll [down]",
      "new_tab",
      "tab_focus [tab_index]",
      "close_tab",
      "goto [url]",
      "go_back",
      "go_forward",
      "stop [answer]",
    ]
  ) {
    assert.ok(prompt.includes("```" + form + "```"), form);
  }
  for (const title of ["New items:", "Deleted items:", "Updated items:"]) {
    assert.ok(prompt.includes(`\n${title}\n`), title);
  }
  const { url, objective, previousActions, observation, action } = TRANSITION;
  assert.deepEqual(parseWebPrompt(prompt), { url, objective, previousActions, observation, action });
});

Deno.test("a page that holds the prompt's own field names is read back all the same", () => {
  const observation = "Tab 0\n\n[1] StaticText 'x'\n CURRENT ACTION: no";
  const tricky = {
    ...TRANSITION,
    objective: "Find URL: here",
    observation: observation.replace(" CURRENT", "[2] CURRENT"),
  };
  const read = parseWebPrompt(buildWebPrompt(tricky, "instructions"))!;
  assert.equal(read.objective, "Find URL: here");
  assert.equal(read.observation, tricky.observation);
  for (const other of ["", "URL: x", "\nURL: x", "URL: a\n OBJECTIVE: b\n CURRENT ACTION: c", "no fields at all"]) {
    assert.equal(parseWebPrompt(other), undefined, other);
  }
  const fields = [" OBJECTIVE: ", " PREVIOUS ACTION: ", " CURRENT OBSERVATION: ", " CURRENT ACTION: "].join("\n");
  assert.equal(parseWebPrompt(`URL: \n${fields}`)!.action, "");
  assert.equal(parseWebPrompt(`URL: 1\n${fields}\nURL: 2\n${fields}a\nURL: 3`)!.url, "2");
});

Deno.test("examples: what is asked, what is imitated, what is true", () => {
  const own = webPageExample(TRANSITION, "compact");
  assert.deepEqual([own.target, own.truth, own.group], [TRUTH, TRUTH, "walk 2"]);
  const row = {
    taskId: 4,
    step: 0,
    prompt: [{ role: "user", content: "q" }],
    truth: TRUTH,
    answer: `Reasons.\n${TRUTH}`,
    nextObservation: undefined,
    question: TRANSITION,
    split: "train",
  };
  assert.deepEqual(webPageExampleOfRow(row, { style: "given", target: "answer" }).question, row.prompt);
  assert.equal(webPageExampleOfRow(row, { style: "given", target: "answer" }).target, row.answer);
  assert.equal(webPageExampleOfRow(row, { style: "compact", target: "changes" }).question, own.question);
  assert.throws(
    () => webPageExampleOfRow({ ...row, answer: undefined }, { style: "given", target: "answer" }),
    /^TypeError: it has no answer to imitate/,
  );
  assert.throws(
    () => webPageExampleOfRow({ ...row, question: undefined }, { style: "compact", target: "changes" }),
    /^TypeError: its prompt has not the fields URL/,
  );
});

Deno.test("parts of an answer are its lines: tokens of each spell it, what each adds sums to the F1", async () => {
  const example = webPageExample(TRANSITION, "compact");
  for (const pattern of ["items", "words"] as const) {
    const tokenizer = trainBpe([example.question as string, example.target], { vocabularySize: 400, pattern });
    const world = new WebPageWorld({
      tokenizer,
      vocabularySize: tokenizer.vocabularySize,
      maxAnswerTokens: 50,
      chat: false,
    });
    const { tokens } = world.encodeOne(example).answer, lines = world.answerParts.of(tokens);
    assert.equal(lines.length, tokens.length);
    // A token that runs over a line's end begins in the line.
    let text = "";
    tokens.forEach((token, t) => {
      assert.equal(lines[t], text.split("\n").length - 1, `${pattern}: token ${t}`);
      text += tokenizer.decode([token], { keepSpecial: true });
    });
    assert.equal(text, `${TRUTH}<|endoftext|>`);

    const wrong = Int32Array.from([
      ...tokenizer.encode(TRUTH.replace("Added", "Gone"), { addSpecialTokens: false }),
      tokenizer.eosToken!.id,
    ]);
    const states = await world.decode([tokens, wrong], [example, example]),
      truth = world.select(await world.truth([example]), [0, 0]);
    const { values, contributions: added } = await world.metrics.f1.computeParts!(states, truth);
    const { count } = world.answerParts;
    assert.equal(added.length, 2 * count);
    assert.deepEqual(values, await world.metrics.f1.compute(states, truth));
    for (const [i, each] of values.entries()) {
      const sum = added.subarray(i * count, (i + 1) * count).reduce((total, part) => total + part, 0);
      assert.ok(Math.abs(sum - each) < 1e-6);
    }
    assert.ok(added[1] > 0 && added[count + 1] === 0, "the first item is right in one, wrong in the other");
  }
  const long = trainBpe(["a\n"], { vocabularySize: 300, pattern: "words" });
  const world = new WebPageWorld({ tokenizer: long, vocabularySize: 300, maxAnswerTokens: 999, chat: false });
  const parts = world.answerParts.of(long.encode("a\n".repeat(300), { addSpecialTokens: false }));
  assert.equal(Math.max(...parts), world.answerParts.count - 1, "lines beyond the last part belong to it");
});

Deno.test("the world: answers end with the end of text, which spoils nothing; metrics are the scorer's", async () => {
  const example = webPageExample(TRANSITION, "compact");
  const tokenizer = trainBpe([example.question as string, example.target], { vocabularySize: 300, pattern: "code" });
  const options = { tokenizer, vocabularySize: tokenizer.vocabularySize, maxAnswerTokens: 50, chat: false };
  const world = new WebPageWorld(options), end = tokenizer.eosToken!.id;
  const [encoded] = await world.encode([example]);
  assert.equal(encoded.answer.tokens.at(-1), end);
  const long = world.encodeOne({ ...example, question: "", target: "[1] ".repeat(100_000) });
  assert.ok(long.answer.tokens.length > 150_000 && long.answer.tokens.at(-1) === end);
  assert.ok(encoded.answer.sampled.every((each) => each === 1));
  assert.equal(encoded.trainedQuestionTokens, 0);
  const taught = new WebPageWorld({ ...options, trainsQuestions: true }).encodeOne(example);
  assert.equal(taught.trainedQuestionTokens, taught.question.length - 1);
  assert.deepEqual(world.openAnswers, { endTokens: [end], maxTokens: 50 });

  const half = Int32Array.from([...tokenizer.encode(TRUTH.replace("Added", "Gone"), { addSpecialTokens: false }), end]);
  const states = await world.decode([encoded.answer.tokens, half, new Int32Array()], [example, example, example]);
  const truth = await world.truth([example, example, example]);
  assert.ok(states[0].response.endsWith("<|endoftext|>"));
  assert.deepEqual([...await world.metrics.f1.compute(states, truth)], [1, Math.fround(2 / 3), 0]);
  assert.deepEqual([...await world.metrics.precision.compute(states, truth)], [1, Math.fround(2 / 3), 0]);
  assert.deepEqual([...await world.metrics.recall.compute(truth, truth)], [1, 1, 1]);
  const released = new WebPageWorld({ ...options, keepEndOfSequence: true });
  assert.deepEqual([...await released.metrics.f1.compute(states.slice(0, 1), truth)], [Math.fround(2 / 3)]);
  assert.deepEqual(Object.values(world.metrics).map((each) => each.better), ["higher", "higher", "higher"]);
});
