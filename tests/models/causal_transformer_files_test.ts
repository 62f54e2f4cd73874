/** Configurations and folders: what is read, what is refused, what transformers makes of what we write. */
import assert from "node:assert/strict";
import { UserError } from "../../lib/base/user_error.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig } from "../../lib/models/transformer_config.ts";
import { formatTransformerConfig, parseTransformerConfig } from "../../lib/models/transformer_config_json.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { findPythonWith, fixture, randomTokens, smallModel, take } from "../support/small_transformer.ts";

const LLAMA = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 4633,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_key_value_heads: 12,
  intermediate_size: 3072,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  rope_theta: 10000.0,
  rope_scaling: null,
  hidden_act: "silu",
  bos_token_id: 4631,
  eos_token_id: 4632,
};

Deno.test("a config.json of transformers 4 and of 5 is read", async () => {
  const config = parseTransformerConfig(JSON.stringify(LLAMA), "config.json");
  assert.deepEqual([config.vocabularySize, config.headSize, config.ropeTheta, config.bosToken], [
    4633,
    64,
    10000,
    4631,
  ]);
  assert.deepEqual(parseTransformerConfig(formatTransformerConfig(config), "again"), config);
  const path = `${fixture("tiny_qwen2")}/config.json`;
  const qwen = parseTransformerConfig(await Deno.readTextFile(path), path);
  assert.deepEqual(
    [qwen.architecture, qwen.keyValueHeads, qwen.attentionBias, qwen.tiedEmbeddings],
    ["qwen2", 2, true, true],
  );
});

Deno.test("what a config.json asks for and this model lacks is refused by name", () => {
  const refused = (change: object, message: RegExp) => {
    assert.throws(() => parseTransformerConfig(JSON.stringify({ ...LLAMA, ...change }), "m/config.json"), (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.match(error.message, message);
      return true;
    });
  };
  refused({ architectures: ["GPT2LMHeadModel"] }, /m\/config\.json: architecture "GPT2LMHeadModel" is not supported/);
  refused({ architectures: undefined, model_type: "mamba" }, /architecture "mamba" is not supported/);
  refused(
    { rope_scaling: { rope_type: "longrope" } },
    /rope_scaling of type "longrope" is not supported: use one of d/,
  );
  refused({ rope_parameters: { rope_type: "su" } }, /rope_parameters of type "su" is not supported/);
  refused({ rope_scaling: { type: "yarn" } }, /rope_scaling of type "yarn" needs factor/);
  refused({ rope_scaling: { type: "linear", factor: "2" } }, /must have a number as factor: received "2"/);
  refused({ rope_scaling: { type: "linear", factor: 0.5 } }, /rope_scaling: factor must be at least 1: received 0.5/);
  refused({ rope_scaling: 2 }, /rope_scaling must be an object: received 2/);
  refused({ partial_rotary_factor: 0.5 }, /partial_rotary_factor 0.5 is not supported/);
  refused({ hidden_act: "gelu" }, /hidden_act "gelu"/);
  refused({ mlp_bias: true }, /mlp_bias/);
  refused({ hidden_size: "768" }, /hidden_size must be a number: received "768"/);
  refused({ vocab_size: undefined }, /vocab_size must be a number: received none/);
  refused({ num_hidden_layers: 0 }, /num_hidden_layers must be a whole number of at least 1: received 0/);
  refused({ num_key_value_heads: 5 }, /num_key_value_heads must divide num_attention_heads 12: received 5/);
  assert.throws(() => parseTransformerConfig("{", "m/config.json"), /UserError: m\/config\.json is not JSON/);
  assert.throws(() => parseTransformerConfig("[1]", "m/config.json"), /must hold a JSON object/);
  assert.throws(
    () => transformerConfig({ vocabularySize: 9, hiddenSize: 10, layers: 1, heads: 3, feedForwardSize: 4 }),
    /RangeError: headSize must be a whole number of at least 1: received 3.33/,
  );
});

forEachEngine("a saved folder loads again with the same numbers; one of another shape is refused", async (engine) => {
  const folder = await Deno.makeTempDir();
  try {
    const model = smallModel(engine);
    await model.save(folder);
    const loaded = await CausalTransformer.load(engine, folder);
    assert.deepEqual(loaded.config, model.config);
    for (const [name, each] of model.parameters) {
      assert.deepEqual(await loaded.parameters.get(name)!.data(), await each.data(), name);
    }
    const tensors = engine.memory().tensors;
    await Deno.writeTextFile(`${folder}/config.json`, formatTransformerConfig({ ...model.config, vocabularySize: 38 }));
    await assert.rejects(() => CausalTransformer.load(engine, folder), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(
        error.message,
        /config\.json states vocab_size 38, the embedding 'model\.embed_tokens\.weight' has 37 rows/,
      );
      return true;
    });
    assert.equal(engine.memory().tensors, tensors, "a refused folder leaves no tensors behind");
    loaded.dispose();
    model.dispose();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const python = await findPythonWith("torch", "transformers");

const PROGRAM = `
import json, sys, torch
from transformers import AutoModelForCausalLM
tokens, results = torch.tensor(json.loads(sys.argv[1])), []
for folder in sys.argv[2:]:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    with torch.no_grad():
        logits = model.double()(tokens).logits
    problems = {k: sorted(map(str, v)) for k, v in info.items() if v}
    results.append({"problems": problems, "type": type(model).__name__, "logits": logits.reshape(-1).tolist()})
print(json.dumps(results))
`;

const ARCHITECTURES = ["llama", "qwen2"] as const;
/** What the first engine wrote, once transformers has loaded it: the others must write the same bytes. */
let written: Uint8Array[] | undefined;

const note = python ? "" : " (no Python with transformers: engines are compared only)";
forEachEngine(
  `saved folders load in transformers with equal logits, byte for byte the same on every engine${note}`,
  async (engine) => {
    const root = await Deno.makeTempDir();
    const tokens = randomTokens(engine, 2, 6, 37);
    try {
      const logits: Float32Array[] = [], files: Uint8Array[] = [];
      for (const architecture of ARCHITECTURES) {
        const model = smallModel(engine, { architecture, tiedEmbeddings: architecture === "qwen2" });
        await model.save(`${root}/${architecture}`);
        files.push(await Deno.readFile(`${root}/${architecture}/model.safetensors`));
        logits.push(await take(tidy(() => model.logits(model.hidden(tokens).reshape([12, 32])))) as Float32Array);
        model.dispose();
      }
      if (written) {
        assert.deepEqual(files, written);
        return;
      }
      if (python) {
        const ids = [...await tokens.data()].map(Number);
        const { stdout, stderr, success } = await new Deno.Command(python, {
          args: [
            "-c",
            PROGRAM,
            JSON.stringify([ids.slice(0, 6), ids.slice(6)]),
            ...ARCHITECTURES.map((each) => `${root}/${each}`),
          ],
          env: { OMP_NUM_THREADS: "1", TRANSFORMERS_OFFLINE: "1" },
        }).output();
        assert.ok(success, new TextDecoder().decode(stderr));
        const results = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
        for (const [i, name] of ["LlamaForCausalLM", "Qwen2ForCausalLM"].entries()) {
          assert.deepEqual(results[i].problems, {});
          assert.equal(results[i].type, name);
          assertClose(logits[i], results[i].logits, 1e-4, name);
        }
      }
      written = files;
    } finally {
      tokens.dispose();
      await Deno.remove(root, { recursive: true });
    }
  },
);
