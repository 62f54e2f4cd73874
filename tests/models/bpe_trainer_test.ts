import assert from "node:assert/strict";
import { join } from "node:path";
import { workBreathing } from "../../lib/base/breather.ts";
import { bpeTraining, trainBpe } from "../../lib/models/bpe_trainer.ts";
import { TextTokenizer } from "../../lib/models/text_tokenizer.ts";
import { withFolder } from "../support/files.ts";
import { fixture } from "../support/small_transformer.ts";

interface Expected {
  merges: [string, string][];
  size: number;
  eos: string;
  pad: string;
  ids: number[][];
  decoded: string[];
}

const folder = fixture("bpe");
const text = await Deno.readTextFile(join(folder, "text.txt"));
const expected = JSON.parse(await Deno.readTextFile(join(folder, "expected.json")));
const options = { vocabularySize: 512, specialTokens: ["<|endoftext|>", "<|pad|>"], padToken: "<|pad|>" };

for (const pattern of ["words", "long", "code", "items"] as const) {
  const wanted: Expected = expected[pattern];

  Deno.test(`${pattern}: the merges are those that Hugging Face's trainer finds; its library gives our ids`, async () => {
    const tokenizer = trainBpe([text], { ...options, pattern });
    await withFolder(async (saved) => {
      await tokenizer.save(saved);
      for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
        // What transformers has read, byte for byte.
        assert.equal(await Deno.readTextFile(join(saved, name)), await Deno.readTextFile(join(folder, pattern, name)));
      }
      const { model } = JSON.parse(await Deno.readTextFile(join(saved, "tokenizer.json")));
      assert.deepEqual(model.merges, wanted.merges);
      const loaded = await TextTokenizer.load(saved);
      assert.equal(loaded.vocabularySize, wanted.size);
      assert.deepEqual([loaded.eosToken?.text, loaded.padToken?.text], [wanted.eos, wanted.pad]);
      assert.equal(loaded.bosToken, undefined);
      for (const [i, each] of [text, ...expected.nasty].entries()) {
        assert.deepEqual([...loaded.encode(each)], wanted.ids[i], JSON.stringify(each).slice(0, 80));
        assert.deepEqual([...tokenizer.encode(each)], wanted.ids[i]);
        assert.equal(loaded.decode(wanted.ids[i], { keepSpecial: true }), each, "nothing is lost");
      }
      assert.deepEqual(
        expected.nasty.map((_: string, i: number) => loaded.decode(wanted.ids[i + 1], { keepSpecial: true })),
        wanted.decoded,
      );
    });
  });
}

Deno.test("long pieces make repeated state text one token; digits stay alone", () => {
  const state = (i: number) => `{'uuid': ${i}, 'properties': {'isContainer': True}}\n`;
  const texts = Array.from({ length: 60 }, (_, i) => state(i * 37));
  const tokenizer = trainBpe(texts, { vocabularySize: 400, pattern: "long" });
  const pieces = [...tokenizer.encode(state(4711))].map((id) => tokenizer.decode([id]));
  assert.deepEqual(pieces, ["{'uuid': ", "4", "7", "1", "1", ", 'properties': {'isContainer': True}", "}", "\n"]);
  const short = trainBpe(texts, { vocabularySize: 400, pattern: "long", maxTokenBytes: 8 });
  assert.ok([...short.encode(state(1))].every((id) => short.decode([id]).length <= 8));
});

Deno.test("ties, runs of one letter, minimum count, too little text", () => {
  const tokens = (texts: string[], more: object = {}) => {
    const tokenizer = trainBpe(texts, { vocabularySize: 300, specialTokens: [], ...more });
    return Array.from({ length: tokenizer.vocabularySize - 256 }, (_, i) => tokenizer.decode([256 + i]));
  };
  // ab, cd and ef are as frequent: the lower pair first.
  assert.deepEqual(tokens(["ef cd ab", "cd", "ab", "ef"]).slice(0, 3), ["ab", "cd", "ef"]);
  assert.deepEqual(tokens(["aaaa\naaaa"]), ["aa", "aaaa"]);
  assert.deepEqual(tokens(["abc abc abd"], { minimumCount: 3 }), ["ab"]);
  assert.deepEqual(tokens(["abc"]), []);
  assert.deepEqual(tokens([]), []);
  const stop = trainBpe(["x<|e|>x<|e|>x<|e|>"], { vocabularySize: 300, specialTokens: ["<|e|>"] });
  assert.deepEqual([stop.vocabularySize, stop.eosToken], [257, { id: 256, text: "<|e|>" }]);
});

Deno.test("options out of range are named", () => {
  const refused = (more: object, message: RegExp) =>
    assert.throws(() => trainBpe([text], { ...options, ...more }), (error) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, message);
      return true;
    });
  refused({ vocabularySize: 257 }, /^vocabularySize must be a whole number from 258 .*: received 257$/);
  refused({ pattern: "lines" }, /^pattern must be one of words, long, code, items: received 'lines'$/);
  refused({ specialTokens: ["a", "a"] }, /^specialTokens must be different/);
  refused({ eosToken: "</s>" }, /^eosToken must be one of specialTokens .*: received '<\/s>'$/);
  refused({ minimumCount: 0 }, /^minimumCount must be at least 1: received 0$/);
});

Deno.test("a vocabulary is trained bit by bit: a stop is heard at every text and every merge", async () => {
  const stop = new AbortController(), reason = new Error("asked to stop");
  setTimeout(() => stop.abort(reason), 1);
  function* endless() {
    for (let i = 0; i < 3_000_000; i++) yield `number ${i}`;
    throw new Error("nothing stopped it");
  }
  await assert.rejects(workBreathing(bpeTraining(endless(), { vocabularySize: 300 }), stop.signal), reason);

  const texts = [text, text, text], training = bpeTraining(texts, options);
  let pauses = 0, step = training.next();
  for (; !step.done; step = training.next()) pauses++;
  const merges = step.value.vocabularySize - 256 - 2;
  assert.ok(merges > 100 && pauses >= texts.length + merges, `${pauses} pauses, ${merges} merges`);
});
