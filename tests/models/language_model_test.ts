/**
 * Language models as people have them: folders made by transformers (see fixtures/make_language_models.py), read and
 * written.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readSafetensors, SafetensorsFile, toFloat32 } from "../../lib/io/safetensors.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { TextTokenizer } from "../../lib/models/text_tokenizer.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { findPythonWith, fixture, take } from "../support/small_transformer.ts";

interface Expected {
  chat: string;
  prompt: number[];
  greedy: number[];
  greedyText: string;
}

const NAMES = ["qwen2_tied", "qwen2_untied", "llama3_rope", "llama_yarn"];
const folderOf = (name: string) => fixture(`language/${name}`);
const expectedOf = async (folder: string): Promise<Expected> =>
  JSON.parse(await Deno.readTextFile(join(folder, "expected.json")));

/** The most likely continuation, token by token through the cache. */
async function greedy(model: CausalTransformer, prompt: number[], count: number): Promise<number[]> {
  const tokens = tensor(model.engine, Int32Array.from(prompt), [1, prompt.length]);
  const { cache, hidden } = model.prefill(tokens, { group: 1, maxNewTokens: count });
  const result: number[] = [];
  let state = hidden;
  for (let step = 0; step < count; step++) {
    const next = tidy(() => model.logits(state, cache).argmax(-1));
    result.push(Number((await next.data())[0]));
    state.dispose();
    state = model.decode(cache, next);
    next.dispose();
  }
  [state, cache, tokens].forEach((each) => each.dispose());
  return result;
}

async function logits(model: CausalTransformer, prompt: number[]): Promise<Float32Array> {
  const result = tidy(() => {
    const tokens = tensor(model.engine, Int32Array.from(prompt), [1, prompt.length]);
    return model.logits(model.hidden(tokens).reshape([prompt.length, -1]));
  });
  return await take(result) as Float32Array;
}

for (const name of NAMES) {
  forEachEngine(`${name} of transformers: logits, and the same greedy text`, async (engine) => {
    const folder = folderOf(name);
    const expected = await expectedOf(folder);
    const tokenizer = await TextTokenizer.load(folder);
    const model = await CausalTransformer.load(engine, folder);
    tokenizer.checkFits(model.config.vocabularySize);
    const prompt = [...tokenizer.encode(expected.chat, { addSpecialTokens: false })].slice(0, 48);
    const wanted = toFloat32((await readSafetensors(join(folder, "expected.safetensors"))).get("logits")!);
    assertClose(await logits(model, prompt), wanted, 1e-4, "logits");
    const tokens = await greedy(model, prompt, expected.greedy.length);
    assert.equal(tokenizer.decode(tokens, { keepSpecial: true }), expected.greedyText);
    model.dispose();
  });
}

forEachEngine("bfloat16 parameters are the file's own; what they give is close", async (engine) => {
  const folder = folderOf("qwen2_untied");
  const expected = await expectedOf(folder);
  const half = await CausalTransformer.load(engine, folder, { parameterType: "bfloat16" });
  const full = await CausalTransformer.load(engine, folder);
  for (const [name, each] of half.parameters) {
    assert.equal(each.dtype, "bfloat16");
    assert.deepEqual(await each.data(), await full.parameters.get(name)!.data(), name);
  }
  assertClose(await logits(half, expected.prompt), await logits(full, expected.prompt), 0.1, "logits");
  half.dispose();
  full.dispose();
}, { needs: ["bfloat16"] });

Deno.test("an engine without bfloat16 says so", async () => {
  const { openTfjsEngine } = await import("../../lib/tensor/tfjs/engine.ts");
  const engine = await openTfjsEngine({ backend: "wasm" });
  await assert.rejects(
    () => CausalTransformer.load(engine, folderOf("llama_yarn"), { parameterType: "bfloat16" }),
    /CausalTransformer.load.*bfloat16/,
  );
  engine.close();
});

/** Bytes of all tensors of a folder's weights by name. */
async function bytesOf(folder: string): Promise<Map<string, [string, number[], number[]]>> {
  const result = new Map<string, [string, number[], number[]]>();
  for await (const { name } of Deno.readDir(folder)) {
    if (!/^model.*\.safetensors$/.test(name)) continue;
    for (const [tensor, { dtype, shape, data }] of await readSafetensors(join(folder, name))) {
      result.set(tensor, [dtype, shape, [...data]]);
    }
  }
  return result;
}

forEachEngine(
  "a folder is saved with the tensors that it was loaded with, in one file and in shards",
  async (engine) => {
    const source = folderOf("qwen2_untied");
    const wanted = await bytesOf(source);
    const model = await CausalTransformer.load(engine, source);
    await withFolder(async (folder) => {
      await model.save(folder, { dtype: "bfloat16", shardBytes: 20_000 });
      const listed = () => Array.from(Deno.readDirSync(folder), (entry) => entry.name).sort();
      const shards = ["1", "2", "3"].map((i) => `model-0000${i}-of-00003.safetensors`);
      assert.deepEqual(listed(), ["config.json", "generation_config.json", ...shards, "model.safetensors.index.json"]);
      assert.deepEqual(await bytesOf(folder), wanted);
      for (const shard of shards) {
        using file = await SafetensorsFile.open(join(folder, shard));
        assert.equal(file.metadata.format, "pt");
        const bytes = file.names.reduce((sum, name) => sum + 2 * file.info(name).shape.reduce((a, b) => a * b, 1), 0);
        assert.ok(bytes <= 20_000, `${shard}: ${bytes}`);
      }
      const config = JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
      assert.equal(config.torch_dtype, "bfloat16");
      const again = await CausalTransformer.load(engine, folder);
      assert.deepEqual(await again.parameters.get("lm_head.weight")!.data(), await model.head.data());
      again.dispose();

      // One file replaces shards and index, shards replace the one file: never both.
      await model.save(folder);
      assert.deepEqual(listed(), ["config.json", "generation_config.json", "model.safetensors"]);
      using file = await SafetensorsFile.open(join(folder, "model.safetensors"));
      assert.equal(file.info("lm_head.weight").dtype, "F32");
      await model.save(folder, { shardBytes: 1e5 });
      assert.deepEqual(listed().filter((name) => name === "model.safetensors"), []);
      await assert.rejects(() => model.save(folder, { shardBytes: 0 }), /RangeError: shardBytes must be at least 1/);
    });
    model.dispose();
  },
);

forEachEngine("a missing, truncated or foreign shard, and nothing is left behind", async (engine) => {
  const tensors = engine.memory().tensors;
  await withFolder(async (folder) => {
    const source = folderOf("qwen2_untied");
    for await (const { name } of Deno.readDir(source)) await Deno.copyFile(join(source, name), join(folder, name));
    const shard = join(folder, "model-00002-of-00003.safetensors");
    const bytes = await Deno.readFile(shard);
    await Deno.remove(shard);
    await rejectsUserError(() => CausalTransformer.load(engine, folder), /lacks 1 of 3 shards/, "model-00002-of-00003");
    await Deno.writeFile(shard, bytes.subarray(0, bytes.length - 10));
    await rejectsUserError(() => CausalTransformer.load(engine, folder), shard, /truncated/);
    await Deno.writeFile(shard, bytes);
    const path = join(folder, "config.json");
    const config = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...config, vocab_size: 1000 }));
    await rejectsUserError(() => CausalTransformer.load(engine, folder), "vocab_size 1000", "has 384 rows");
    await Deno.writeTextFile(path, JSON.stringify({ ...config, num_hidden_layers: 3 }));
    await rejectsUserError(() => CausalTransformer.load(engine, folder), "'model.layers.2.");
    await Deno.remove(path);
    await rejectsUserError(() => CausalTransformer.load(engine, folder), `${path} cannot be read (no such file)`);
  });
  assert.equal(engine.memory().tensors, tensors);
});

const PROGRAM = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
results = []
for folder in sys.argv[1:]:
    expected = json.load(open(folder + "/expected.json"))
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = str(model.dtype)
    chat = tokenizer.apply_chat_template(expected["messages"], tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(chat, add_special_tokens=False, return_tensors="pt").input_ids[:, :48]
    model = model.double()
    model.generation_config.eos_token_id = None
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, do_sample=False, pad_token_id=0)
    results.append({"problems": {k: sorted(map(str, v)) for k, v in info.items() if v}, "dtype": dtype,
        "text": tokenizer.decode(out[0, 48:]), "ids": [tokenizer(s["text"]).input_ids == s["ids"] for s in expected["strings"]]})
print(json.dumps(results))
`;

const python = await findPythonWith("torch", "transformers");

/** Whether an engine's folders have been through transformers; the tensors of the others' are compared above. */
let isChecked = false;

forEachEngine(
  `what we save loads in transformers and says the same${python ? "" : " (not compared: no Python with transformers)"}`,
  async (engine: Engine) => {
    if (!python || isChecked) return;
    isChecked = true;
    await withFolder(async (root) => {
      const folders: string[] = [];
      for (const name of NAMES) {
        const folder = join(root, name);
        const dtype = name === "qwen2_untied" || name === "llama_yarn" ? "bfloat16" : "float32";
        const model = await CausalTransformer.load(engine, folderOf(name), {
          parameterType: dtype === "bfloat16" && engine.supports("bfloat16") ? "bfloat16" : "float32",
        });
        await model.save(folder, { dtype, shardBytes: name === "qwen2_untied" ? 20_000 : undefined });
        await (await TextTokenizer.load(folderOf(name))).save(folder);
        await Deno.copyFile(join(folderOf(name), "expected.json"), join(folder, "expected.json"));
        model.dispose();
        folders.push(folder);
      }
      const { stdout, stderr, success } = await new Deno.Command(python!, {
        args: ["-c", PROGRAM, ...folders],
        env: { OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" },
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      const results = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
      for (const [i, name] of NAMES.entries()) {
        assert.deepEqual(results[i].problems, {}, name);
        assert.equal(
          results[i].dtype,
          name === "qwen2_untied" || name === "llama_yarn" ? "torch.bfloat16" : "torch.float32",
        );
        assert.equal(results[i].text, (await expectedOf(folderOf(name))).greedyText, name);
        assert.ok(results[i].ids.every((same: boolean) => same), name);
      }
    });
  },
);
