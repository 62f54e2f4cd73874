import assert from "node:assert/strict";
import { trainBpe } from "../../../lib/models/bpe_trainer.ts";
import { builtInTransitions } from "../../../lib/gyms/games/crawl.ts";
import { parquetRow } from "../../../lib/worlds/text_game/parquet.ts";
import { exampleOf, exampleOfRow, TextGameWorld } from "../../../lib/worlds/text_game/world.ts";

const transitions = builtInTransitions({ seed: 3, perGame: 8, games: ["boil-tea", "mix-paint-toy"] }).train;
const examples = transitions.map((each) => exampleOf(each, { style: "compact", strictness: "strict" }));
const tokenizer = trainBpe(examples.flatMap(({ question, target }) => [question as string, target]), {
  vocabularySize: 600,
  pattern: "long",
});
const options = { tokenizer, vocabularySize: tokenizer.vocabularySize, maxAnswerTokens: 200, chat: false };

Deno.test("TextGameWorld: prompts and targets to tokens and back, the end of text included", async () => {
  const world = new TextGameWorld(options);
  const encoded = await world.encode(examples);
  assert.deepEqual(world.openAnswers, { endTokens: [tokenizer.eosToken!.id], maxTokens: 200 });
  for (const [i, { question, answer }] of encoded.entries()) {
    assert.equal(tokenizer.decode(question), examples[i].question);
    assert.equal(answer.tokens.at(-1), tokenizer.eosToken!.id);
    assert.ok(answer.sampled.every((each) => each === 1) && answer.sampled.length === answer.tokens.length);
  }
  const responses = await world.decode(encoded.map((each) => each.answer.tokens), examples);
  for (const [i, { response, example }] of responses.entries()) {
    assert.equal(response, examples[i].target + tokenizer.eosToken!.text);
    assert.equal(example, examples[i]);
  }
});

Deno.test("TextGameWorld: the metrics are the rewards; the truth earns all, silence nothing", async () => {
  const world = new TextGameWorld(options);
  const truth = await world.truth(examples),
    silence = await world.decode(examples.map(() => new Int32Array(0)), examples);
  assert.deepEqual(Object.keys(world.metrics), ["binary", "taskSpecific", "strictBinary", "strictTaskSpecific"]);
  for (const [name, metric] of Object.entries(world.metrics)) {
    assert.equal(metric.better, "higher");
    const earned = await metric.compute(truth, truth);
    if (name.startsWith("strict")) assert.ok(earned.every((each) => each >= 0.3), name);
    assert.ok((await metric.compute(silence, truth)).every((each) => each === 0), name);
  }
  const best = await world.metrics.strictTaskSpecific.compute(truth, truth);
  // Gold properties earn up to one more; a transition without any stops at 0.3.
  for (const [i, each] of best.entries()) {
    assert.ok(Math.abs(each - (examples[i].isGold ? 1.3 : 0.3)) < 1e-6, `${examples[i].name}: ${each}`);
  }
});

Deno.test("exampleOfRow: the hub's row keeps its own prompt and says the same", () => {
  for (const [i, transition] of transitions.entries()) {
    const example = exampleOfRow(parquetRow(transition, `ask ${i}`, { split: "train", index: i }), "strict");
    const { name, current, next, target, isChanged, isGold } = examples[i];
    assert.equal(example.name, `train ${i}`);
    assert.deepEqual(example.question, [{ role: "user", content: `ask ${i}` }]);
    assert.deepEqual({ target: example.target, isChanged: example.isChanged, isGold: example.isGold }, {
      target,
      isChanged,
      isGold,
    });
    assert.deepEqual([example.current, example.next], [current, next], name);
  }
  const bare = { prompt: [], groundTruth: "x", dataState: undefined, dataAction: undefined, split: "", index: -1 };
  assert.throws(() => exampleOfRow(bare, "strict"), /no state/);
});

Deno.test("TextGameWorld: plain prompts go through a chat template where there is one", async () => {
  const chatTemplate = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}" +
    "{% if add_generation_prompt %}[assistant]{% endif %}";
  const texts = examples.flatMap(({ question, target }) => [question as string, target]);
  const chatty = trainBpe(texts, { vocabularySize: 600, chatTemplate });
  const world = new TextGameWorld({ ...options, tokenizer: chatty, chat: true });
  const [{ question }] = await world.encode(examples.slice(0, 1));
  assert.equal(chatty.decode(question), `[user]${examples[0].question}[assistant]`);
});
