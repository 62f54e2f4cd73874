import assert from "node:assert/strict";
import { join } from "node:path";
import { type ChatMessage, TextTokenizer } from "../../lib/models/text_tokenizer.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { fixture } from "../support/small_transformer.ts";

const FOLDERS = ["qwen2_tied", "llama3_rope"].map((name) => fixture(`language/${name}`));

for (const folder of FOLDERS) {
  const name = folder.split("/").at(-1);
  const expected = JSON.parse(await Deno.readTextFile(`${folder}/expected.json`));

  Deno.test(`${name}: ids and texts are those of transformers, for nasty strings too`, async () => {
    const tokenizer = await TextTokenizer.load(folder);
    assert.equal(tokenizer.vocabularySize, expected.vocabularySize);
    for (const { text, ids, plain, decoded, withoutSpecial } of expected.strings) {
      assert.deepEqual([...tokenizer.encode(text)], ids, JSON.stringify(text));
      assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: false })], plain, JSON.stringify(text));
      assert.equal(tokenizer.decode(Int32Array.from(ids), { keepSpecial: true }), decoded);
      assert.equal(tokenizer.decode(ids), withoutSpecial);
    }
    for (const role of ["eos", "bos", "pad"] as const) {
      const token = tokenizer[`${role}Token`];
      assert.equal(token?.text ?? null, expected[role]);
      if (token) assert.equal(tokenizer.idOf(token.text), token.id);
    }
    assert.equal(tokenizer.decode([]), "");
    const beyond = [...expected.prompt, tokenizer.vocabularySize + 5];
    assert.equal(tokenizer.decode(beyond), tokenizer.decode(expected.prompt), "rows without a token give nothing");
    assert.equal(tokenizer.decode([tokenizer.vocabularySize]), "");
  });

  Deno.test(`${name}: its chat template gives the text that transformers gives`, async () => {
    const tokenizer = await TextTokenizer.load(folder);
    assert.equal(tokenizer.chat(expected.messages), expected.chat);
    assert.equal(
      tokenizer.chat(expected.messages.slice(0, 1), { addGenerationPrompt: false }),
      expected.chatWithoutPrompt,
    );
    assert.deepEqual([...tokenizer.encode(expected.chat, { addSpecialTokens: false })].slice(0, 48), expected.prompt);
  });

  Deno.test(`${name}: saved files are the ones that were loaded`, async () => {
    await withFolder(async (saved) => {
      await (await TextTokenizer.load(folder)).save(saved);
      const names = Array.from(Deno.readDirSync(saved), (entry) => entry.name).sort();
      const wanted = Array.from(Deno.readDirSync(folder), (entry) => entry.name)
        .filter((file) => file.startsWith("tokenizer") || file.startsWith("chat")).sort();
      assert.deepEqual(names, wanted);
      for (const file of names) {
        assert.deepEqual(await Deno.readFile(join(saved, file)), await Deno.readFile(join(folder, file)));
      }
    });
  });
}

Deno.test("a folder without tokenizer or template, damaged files, a vocabulary that does not fit: one line each", async () => {
  await withFolder(async (folder) => {
    await rejectsUserError(() => TextTokenizer.load(join(folder, "nope")), /nope: no such file/);
    await rejectsUserError(() => TextTokenizer.load(folder), "has no tokenizer.json", "copy it from the model");
    await Deno.writeTextFile(join(folder, "tokenizer.model"), "x");
    await rejectsUserError(() => TextTokenizer.load(folder), "found tokenizer.model; transformers converts it");
    const path = join(folder, "tokenizer.json");
    await Deno.writeTextFile(path, "{");
    await rejectsUserError(() => TextTokenizer.load(folder), `${path} is not JSON`);
    await Deno.writeTextFile(path, "[]");
    await rejectsUserError(() => TextTokenizer.load(folder), `${path} must hold a JSON object`);
    await Deno.writeTextFile(path, `{"model": {"type": "BPE"}}`);
    await rejectsUserError(() => TextTokenizer.load(folder), `${path} cannot be used`);

    const source = await Deno.readTextFile(join(FOLDERS[0], "tokenizer.json"));
    const plain = new TextTokenizer(new Map([["tokenizer.json", source]]), "m");
    const messages = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];
    await rejectsUserError(() => plain.chat(messages), "m has no chat template");
    assert.equal(plain.chat(messages, { withoutTemplate: "concatenate" }), "a\nb\n");
    plain.checkFits(384);
    await rejectsUserError(() => plain.checkFits(383), "m: the tokenizer has ids up to 383", "only 383 rows");
    const template = (text: string) =>
      new TextTokenizer(new Map([["tokenizer.json", source], ["chat_template.jinja", text]]), "m");
    await rejectsUserError(() => template("{% if %}").chat(messages), "m: the chat template failed");
    await rejectsUserError(
      () => template("{{ raise_exception('no assistant,\\nplease') }}").chat(messages),
      "m: the chat template failed: no assistant, please",
    );
  });
});

Deno.test("templates of released models' kinds give what transformers gives, refusals too", async () => {
  const cases: { name: string; template: string; messages: ChatMessage[]; prompt: boolean; text: string | null }[] =
    JSON
      .parse(await Deno.readTextFile(fixture("chat_templates.json")));
  const files = (await Promise.all(
    ["tokenizer.json", "tokenizer_config.json"].map(async (name) =>
      [name, await Deno.readTextFile(join(FOLDERS[1], name))] as const
    ),
  )) satisfies (readonly [string, string])[];
  for (const { name, template, messages, prompt, text } of cases) {
    const tokenizer = new TextTokenizer(new Map([...files, ["chat_template.jinja", template]]), name);
    const render = () => tokenizer.chat(messages, { addGenerationPrompt: prompt });
    if (text === null) await rejectsUserError(render, `${name}: the chat template failed: Roles must alternate`);
    else assert.equal(render(), text, name);
  }
});

Deno.test("ids that no vocabulary has are refused before they cost anything", async () => {
  const json = JSON.parse(await Deno.readTextFile(join(FOLDERS[0], "tokenizer.json")));
  const refused = async (change: (copy: typeof json) => void, says: string) => {
    const copy = structuredClone(json);
    change(copy);
    const files = new Map([["tokenizer.json", JSON.stringify(copy)]]);
    await rejectsUserError(() => new TextTokenizer(files, "m"), "m/tokenizer.json cannot be used: token ", says);
  };
  for (const id of [4e9, 1e15, -1, 1.5, "x", null]) {
    const says = `must have a whole number below 16777216 as its id: received ${JSON.stringify(id)}`;
    await refused((copy) => copy.added_tokens.push({ id, content: "<x>", special: true }), `"<x>" ${says}`);
    await refused((copy) => copy.model.vocab["q"] = id, `"q" ${says}`);
  }
  await refused((copy) => copy.added_tokens.push({ content: "<x>" }), "received none");
});

Deno.test("spaces before punctuation stay in a BPE tokenizer's text, whatever clean_up_tokenization_spaces says, as in transformers", async () => {
  const { tokenizers, cases }: {
    tokenizers: Record<string, unknown>;
    cases: { tokenizer: string; setting: string; config: unknown; ids: number[][]; texts: string[] }[];
  } = JSON.parse(await Deno.readTextFile(fixture("clean_up.json")));
  for (const { tokenizer: name, setting, config, ids, texts } of cases) {
    const source = Object.hasOwn(tokenizers, name)
      ? JSON.stringify(tokenizers[name])
      : await Deno.readTextFile(fixture(`language/${name}/tokenizer.json`));
    const files = new Map([["tokenizer.json", source], ["tokenizer_config.json", JSON.stringify(config)]]);
    const tokenizer = new TextTokenizer(files, name);
    assert.deepEqual(ids.map((each) => tokenizer.decode(each, { keepSpecial: true })), texts, `${name}, ${setting}`);
  }
});
