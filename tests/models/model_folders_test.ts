/**
 * Folders as people have them, against what transformers makes of them (fixtures/make_model_folders.py): ends of text, base
 * models, names that wrappers have put on, adapters; and folders whose configuration claims what their files do not hold.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readSafetensors, toFloat32, writeSafetensors } from "../../lib/io/safetensors.ts";
import type { HostTensor } from "../../lib/io/safetensors.ts";
import { plainName } from "../../lib/io/weight_names.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { openTransformer, readTransformerConfig } from "../../lib/models/causal_transformer_files.ts";
import { CompressiveTokenizer } from "../../lib/models/compressive_tokenizer.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import { loadAdapters } from "../../lib/models/lora_files.ts";
import { findModelFolder } from "../../lib/models/model_folder.ts";
import { TextTokenizer } from "../../lib/models/text_tokenizer.ts";
import { endTokens } from "../../lib/models/transformer_config.ts";
import { generate } from "../../lib/train/generation.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { LanguageTokens } from "../../lib/worlds/language_tokens.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { fixture, take } from "../support/small_transformer.ts";

type Json = Record<string, unknown>;

const expected: {
  ends: { config: unknown; generation: Json | null; ends: number[] }[];
  stopped: { ends: number[]; prompt: number[]; free: number[]; tokens: number[] };
  bases: Record<string, { config: Json; names: string[]; missing: string[] }>;
} = JSON.parse(await Deno.readTextFile(fixture("model_folders.json")));

const QWEN = fixture("language/qwen2_tied"), LLAMA = fixture("language/llama3_rope");

async function readJson(folder: string, name: string): Promise<Json> {
  return JSON.parse(await Deno.readTextFile(join(folder, name)));
}

async function writeJson(folder: string, name: string, value: unknown): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, name), JSON.stringify(value));
}

/** A folder's copy with a part of its config.json changed, its weights through `change`. */
async function copyOf(
  source: string,
  folder: string,
  { config = {}, weights = (tensors) => tensors }: {
    config?: Json;
    weights?: (tensors: Map<string, HostTensor>) => Iterable<[string, HostTensor]>;
  } = {},
): Promise<string> {
  await writeJson(folder, "config.json", { ...await readJson(source, "config.json"), ...config });
  for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]) {
    await Deno.copyFile(join(source, name), join(folder, name)).catch(() => {});
  }
  await writeSafetensors(
    join(folder, "model.safetensors"),
    weights(await readSafetensors(join(source, "model.safetensors"))),
  );
  return folder;
}

/** Tensors that an engine holds once it has its tables of rotations for a model, which stay. */
async function heldWith(engine: Engine, folder: string): Promise<number> {
  (await CausalTransformer.load(engine, folder)).dispose();
  return engine.memory().tensors;
}

async function logitsOf(model: CausalTransformer, prompt: readonly number[]): Promise<Float32Array> {
  const result = tidy(() => {
    const tokens = tensor(model.engine, Int32Array.from(prompt), [1, prompt.length]);
    return model.logits(model.hidden(tokens).reshape([prompt.length, -1]));
  });
  return await take(result) as Float32Array;
}

Deno.test("ends of text are those that transformers' generate stops at, whichever file names them", async () => {
  await withFolder(async (folder) => {
    const config = await readJson(QWEN, "config.json");
    delete config.eos_token_id;
    for (const { config: stated, generation, ends } of expected.ends) {
      await writeJson(folder, "config.json", stated === "absent" ? config : { ...config, eos_token_id: stated });
      const path = join(folder, "generation_config.json");
      if (generation === null) await Deno.remove(path).catch(() => {});
      else await writeJson(folder, "generation_config.json", generation);
      const read = await readTransformerConfig(folder);
      assert.deepEqual(endTokens(read), ends, JSON.stringify([stated, generation]));
    }
    for (const eos_token_id of ["5", [5, "6"], [[5]], 1.5, {}]) {
      await writeJson(folder, "generation_config.json", { eos_token_id });
      await rejectsUserError(
        () => readTransformerConfig(folder),
        `generation_config.json: eos_token_id must be an id or a list of ids: received ${JSON.stringify(eos_token_id)}`,
      );
    }
    await Deno.writeTextFile(join(folder, "generation_config.json"), "{");
    await rejectsUserError(() => readTransformerConfig(folder), "generation_config.json is not JSON");
    await writeJson(folder, "config.json", { ...config, eos_token_id: "5" });
    await rejectsUserError(() => readTransformerConfig(folder), "config.json: eos_token_id must be an id or a list");
  });
});

forEachEngine("an answer ends at any of a model's ends, as in transformers; they are saved with it", async (engine) => {
  await withFolder(async (root) => {
    const folder = await copyOf(QWEN, join(root, "given")), { ends, prompt, free, tokens } = expected.stopped;
    // What is kept of the file is all of it, also what is not used here.
    const generation = { eos_token_id: ends, temperature: 0.6, top_p: 0.95, transformers_version: "4.44.0" };
    await writeJson(folder, "generation_config.json", generation);
    for (const place of [folder, join(root, "saved")]) {
      const model = await CausalTransformer.load(engine, place), tokenizer = await TextTokenizer.load(folder);
      const options = { tokenizer, vocabularySize: 384, maxAnswerTokens: 24, chat: false };
      const request = {
        questions: [Int32Array.from(prompt)],
        groupSize: 1,
        sampling: { greedy: true },
        stream: [0, 0, 0] as const,
      };
      const world = new LanguageTokens({ ...options, endTokens: endTokens(model.config) });
      assert.deepEqual(world.openAnswers.endTokens, [tokenizer.eosToken!.id, ends[1]], "the tokenizer's comes first");
      const { answers, ended } = await generate(model, { ...request, ...world.openAnswers });
      assert.deepEqual([[...answers[0]], ended], [tokens, [true]]);
      const without = await generate(model, { ...request, ...new LanguageTokens(options).openAnswers });
      assert.deepEqual([[...without.answers[0]], without.ended], [free, [false]]);
      // Only the text of special tokens is no part of an answer; what is imitated ends as the tokenizer says.
      assert.deepEqual(world.endTexts, ["<|im_end|>"]);
      assert.equal(world.encodeOne({ question: "?", target: "x" }).answer.tokens.at(-1), tokenizer.eosToken!.id);
      await model.save(join(root, "saved"));
      model.dispose();
    }
    assert.deepEqual(await readJson(join(root, "saved"), "generation_config.json"), generation);
    // A model without one takes an earlier save's away: it would name ends that are not its own.
    const plain = await CausalTransformer.load(engine, await copyOf(QWEN, join(root, "plain")));
    await plain.save(join(root, "saved"));
    plain.dispose();
    assert.equal(await Deno.stat(join(root, "saved/generation_config.json")).catch(() => undefined), undefined);
  });
});

/** A base model's weights as transformers saves them: without the head, by names without `model.`. */
function baseWeights(names: readonly string[]) {
  return (tensors: Map<string, HostTensor>) =>
    names.map((name) => [name, tensors.get(`model.${name}`)!] as [string, HostTensor]);
}

forEachEngine("LlamaModel and Qwen2Model load as AutoModelForCausalLM loads them", async (engine) => {
  await withFolder(async (root) => {
    for (const [name, { config, names, missing }] of Object.entries(expected.bases)) {
      const source = fixture(`language/${name}`), prompt = (await readJson(source, "expected.json")).prompt as number[];
      const folder = await copyOf(source, join(root, name), { config, weights: baseWeights(names) });
      const held = await heldWith(engine, source);
      const base = await CausalTransformer.load(engine, folder), whole = await CausalTransformer.load(engine, source);
      using opened = await openTransformer(folder);
      assert.equal(opened.lacksHead, missing.includes("lm_head.weight"), "transformers draws a new head as well");
      for (const [key, each] of base.parameters) {
        if (missing.includes(key)) continue;
        assert.deepEqual(await each.data(), await whole.parameters.get(key)!.data(), key);
      }
      if (missing.length === 0) {
        assertClose(await logitsOf(base, prompt), await logitsOf(whole, prompt), 1e-6, "logits");
      } else {
        const head = base.parameters.get("lm_head.weight")!, data = await head.data() as Float32Array;
        const deviation = Math.sqrt(data.reduce((sum, each) => sum + each ** 2, 0) / data.length);
        assert.ok(Math.abs(deviation / base.config.initializerRange - 1) < 0.05, `${deviation}`);
        const again = await CausalTransformer.load(engine, folder);
        assert.deepEqual(await again.parameters.get("lm_head.weight")!.data(), data, "the same each time");
        again.dispose();
        if (engine.supports("bfloat16")) {
          const half = await CausalTransformer.load(engine, folder, { parameterType: "bfloat16" });
          assert.equal(half.parameters.get("lm_head.weight")!.dtype, "bfloat16");
          half.dispose();
        }
      }
      await base.save(join(root, "saved"));
      assert.deepEqual((await readJson(join(root, "saved"), "config.json")).architectures, [
        name.startsWith("qwen2") ? "Qwen2ForCausalLM" : "LlamaForCausalLM",
      ]);
      for (const model of [base, whole]) model.dispose();
      assert.equal(engine.memory().tensors, held);
    }
    // Names with `model.` are those of a whole model, whose head is missing then.
    const damaged = await copyOf(LLAMA, join(root, "damaged"), {
      weights: (tensors) => [...tensors].filter(([name]) => name !== "lm_head.weight"),
    });
    await rejectsUserError(() => CausalTransformer.load(engine, damaged), "tensor 'lm_head.weight' is missing");
  });
});

const WRAPPED: Record<string, (name: string) => string> = {
  "compiled": (name) => `_orig_mod.${name}`,
  "DataParallel": (name) => `module.${name}`,
  "compiled, in DataParallel": (name) => `module._orig_mod.${name}`,
  "FSDP": (name) =>
    `_fsdp_wrapped_module.${
      name.replace(/^(model\.layers\.\d+)\./, "$1._fsdp_wrapped_module._checkpoint_wrapped_module.")
    }`,
  "layers compiled one by one": (name) => name.replace(/^(model\.layers\.\d+)\./, "$1._orig_mod."),
};

forEachEngine("names of compiled and wrapped models are read as the model's own", async (engine) => {
  await withFolder(async (root) => {
    const whole = await CausalTransformer.load(engine, QWEN);
    for (const [kind, wrap] of Object.entries(WRAPPED)) {
      const folder = await copyOf(QWEN, join(root, kind), {
        weights: (tensors) => [...tensors].map(([name, each]) => [wrap(name), each]),
      });
      const model = await CausalTransformer.load(engine, folder);
      for (const [name, each] of model.parameters) {
        assert.equal(plainName(wrap(name)), name);
        assert.deepEqual(await each.data(), await whole.parameters.get(name)!.data(), `${kind}: ${name}`);
      }
      model.dispose();
    }
    const twice = await copyOf(QWEN, join(root, "twice"), {
      weights: (tensors) => [...tensors, ["_orig_mod.model.norm.weight", tensors.get("model.norm.weight")!]],
    });
    await rejectsUserError(() => CausalTransformer.load(engine, twice), "both stand for 'model.norm.weight'");
    whole.dispose();
  });
});

forEachEngine(
  "an adapter's folder is its base model with the adapter merged in, as PEFT computes it",
  async (engine) => {
    await withFolder(async (root) => {
      const base = fixture("tiny_qwen2"), source = fixture("tiny_lora"), folder = join(root, "adapter");
      const plain = await readJson(source, "adapter_config.json");
      const put = async (change: Json, wrap = (name: string) => name) => {
        await writeJson(folder, "adapter_config.json", { ...plain, ...change });
        const weights = await readSafetensors(join(source, "adapter_model.safetensors"));
        await writeSafetensors(
          join(folder, "adapter_model.safetensors"),
          [...weights].map(([n, each]) => [wrap(n), each]),
        );
      };
      await put(
        { base_model_name_or_path: base },
        (name) => name.replace("base_model.model.", "base_model.model._orig_mod."),
      );
      const tokens = (await readSafetensors(join(base, "expected.safetensors"))).get("tokens")!;
      const ids = Int32Array.from(new BigInt64Array(tokens.data.slice().buffer), Number);
      const logits = async (place: string) => {
        const model = await CausalTransformer.load(engine, place);
        assert.equal(model.adapters, undefined, "merged");
        const result = tidy(() => {
          const hidden = model.hidden(tensor(engine, ids, tokens.shape));
          return model.logits(hidden.reshape([ids.length, -1]));
        });
        model.dispose();
        return await take(result) as Float32Array;
      };
      await logits(base);
      const held = engine.memory().tensors;
      const wanted = (await readSafetensors(join(source, "expected.safetensors"))).get("logits")!;
      assertClose(await logits(folder), toFloat32(wanted), 1e-4, "logits");
      assert.equal(engine.memory().tensors, held);

      // The base is looked for from here, from the adapter's folder, and in the hub's cache; it is not fetched.
      const environment = (name: string) => ({ HF_HUB_CACHE: join(root, "cache") })[name];
      await Deno.symlink(base, join(root, "base"));
      await put({ base_model_name_or_path: "../base" });
      assert.deepEqual(await findModelFolder(folder), {
        model: join(root, "base"),
        adapter: folder,
        tokenizer: join(root, "base"),
      });
      await put({ base_model_name_or_path: "org/base", revision: "v2" });
      await rejectsUserError(
        () => findModelFolder(folder, environment),
        `${folder} is an adapter (PEFT), not a whole model: its base model "org/base" is no folder here`,
        `the hub's cache ${
          join(root, "cache")
        } has no complete copy: fetch it (hf download org/base), or name its folder`,
      );
      const commit = "0123456789abcdef0123456789abcdef01234567", cache = join(root, "cache/models--org--base");
      await Deno.mkdir(join(cache, "refs"), { recursive: true });
      await Deno.writeTextFile(join(cache, "refs/v2"), commit);
      await copyOf(base, join(cache, "snapshots", commit));
      assert.equal((await findModelFolder(folder, environment)).model, join(cache, "snapshots", commit));
      await put({ base_model_name_or_path: "org/base" });
      await rejectsUserError(() => findModelFolder(folder, environment), "has no complete copy");
      // Its own tokenizer goes before the base model's.
      await Deno.writeTextFile(join(folder, "tokenizer.json"), "{}");
      await put({ base_model_name_or_path: base });
      assert.equal((await findModelFolder(folder)).tokenizer, folder);

      for (const nameless of [null, "", 7]) {
        await put({ base_model_name_or_path: nameless });
        await rejectsUserError(() => findModelFolder(folder), "is an adapter (PEFT)", "base_model_name_or_path in ");
      }
      await put({ base_model_name_or_path: "C:\\models\\base" });
      await rejectsUserError(() => findModelFolder(folder), "is no folder here: name its folder as");
      await put({ base_model_name_or_path: "../adapter" });
      await rejectsUserError(() => findModelFolder(folder), "is an adapter over ", "which is one itself");
      await rejectsUserError(() => findModelFolder(join(root, "none")), "none: no such file");
      // A whole model beside it is what is meant.
      await copyOf(base, folder);
      assert.deepEqual(await findModelFolder(folder), { model: folder, tokenizer: folder });
      assert.deepEqual(await findModelFolder(base), { model: base, tokenizer: base });
    });
  },
);

forEachEngine(
  "sizes that only a configuration claims cost nothing: refused before anything is made",
  async (engine) => {
    await withFolder(async (root) => {
      const held = await heldWith(engine, fixture("tiny_qwen2"));
      const began = performance.now(), before = Deno.memoryUsage().rss;
      const big = 1e9;
      for (
        const [config, says] of [
          [{ num_hidden_layers: big }, "config.json states num_hidden_layers 1000000000, but its weights are "],
          [{ num_hidden_layers: 3 }, "'model.layers.2."],
          [{ hidden_size: 24e6, head_dim: 4 }, "it is a checkpoint of another shape"],
          [{ intermediate_size: big }, "it is a checkpoint of another shape"],
          [{ num_attention_heads: big, num_key_value_heads: 2 }, "it is a checkpoint of another shape"],
          [{ head_dim: big }, "it is a checkpoint of another shape"],
          [{ vocab_size: big }, "config.json states vocab_size 1000000000"],
        ] as const
      ) {
        const folder = await copyOf(QWEN, join(root, "model"), { config });
        await rejectsUserError(() => CausalTransformer.load(engine, folder), says);
        await rejectsUserError(() => openTransformer(folder), says);
      }
      const model = await CausalTransformer.load(engine, fixture("tiny_qwen2")), adapter = join(root, "adapter");
      await writeJson(adapter, "adapter_config.json", {
        ...await readJson(fixture("tiny_lora"), "adapter_config.json"),
        r: big,
      });
      await Deno.copyFile(
        join(fixture("tiny_lora"), "adapter_model.safetensors"),
        join(adapter, "adapter_model.safetensors"),
      );
      await rejectsUserError(() => loadAdapters(model, adapter), "where the configuration needs [1000000000, 32]");
      model.dispose();

      for (const [kind, Tokenizer] of [["frame", FrameTokenizer], ["compressive", CompressiveTokenizer]] as const) {
        const folder = join(root, kind);
        const sizes = { height: 8, width: 8, block_out_channels: [8, 8], layers_per_block: big, norm_num_groups: 4 };
        await writeJson(folder, "config.json", { ...sizes, down_samplings: 1 });
        await writeSafetensors(join(folder, "diffusion_pytorch_model.safetensors"), new Map());
        await rejectsUserError(
          () => Tokenizer.load(engine, folder),
          "states layers_per_block 1000000000, but its weights are 0 tensors",
        );
        await writeJson(folder, "config.json", {
          ...sizes,
          layers_per_block: 1,
          block_out_channels: [8, 4e8],
          down_samplings: 1,
        });
        await writeSafetensors(
          join(folder, "diffusion_pytorch_model.safetensors"),
          new Map([1, 2, 3].map((i) => [`x${i}`, { dtype: "F32", shape: [1], data: new Uint8Array(4) } as HostTensor])),
        );
        await rejectsUserError(() => Tokenizer.load(engine, folder), "it is a checkpoint of another shape");
      }
      assert.equal(engine.memory().tensors, held);
      assert.ok(Deno.memoryUsage().rss - before < 300e6 && performance.now() - began < 30_000);
    });
  },
);
