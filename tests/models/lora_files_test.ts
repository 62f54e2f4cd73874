import assert from "node:assert/strict";
import { readSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { loadAdapters, saveAdapters } from "../../lib/models/lora_files.ts";
import { forEachEngine } from "../support/engines.ts";
import { fixture, smallModel } from "../support/small_transformer.ts";

const PEFT = fixture("tiny_lora");

forEachEngine("what PEFT wrote, read and written again, is the same bytes and the same meaning", async (engine) => {
  const folder = await Deno.makeTempDir();
  const model = await CausalTransformer.load(engine, fixture("tiny_qwen2"));
  await loadAdapters(model, PEFT);
  await saveAdapters(model, folder, { baseModel: "tiny_qwen2" });
  const [theirs, ours] = await Promise.all(
    [PEFT, folder].map((each) => readSafetensors(`${each}/adapter_model.safetensors`)),
  );
  assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
  for (const [name, each] of ours) assert.deepEqual(each, theirs.get(name), name);
  const [before, after] = await Promise.all(
    [PEFT, folder].map(async (each) => JSON.parse(await Deno.readTextFile(`${each}/adapter_config.json`))),
  );
  for (const [field, value] of Object.entries(after)) {
    if (field === "target_modules") assert.deepEqual([...value as string[]].sort(), before[field].sort());
    else assert.deepEqual(value, before[field], field);
  }
  await Deno.remove(folder, { recursive: true });
  model.dispose();
});

forEachEngine("targets are written as short as they mean the same layers", async (engine) => {
  const folder = await Deno.makeTempDir(), model = smallModel(engine);
  const all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
  for (
    const [targets, written] of [
      ["all-linear", all],
      [["self_attn.v_proj"], ["v_proj"]],
      [["layers.1.mlp.up_proj"], ["model.layers.1.mlp.up_proj"]],
    ] as const
  ) {
    const { layers } = model.attachAdapters({ rank: 2, alpha: 2, targets, seed: 1 });
    await saveAdapters(model, folder);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`)).target_modules, written);
    model.detachAdapters();
    assert.deepEqual((await loadAdapters(model, folder)).layers, layers);
    model.detachAdapters();
  }
  await assert.rejects(saveAdapters(model, folder), /the model has no adapters/);
  await Deno.remove(folder, { recursive: true });
  model.dispose();
});

forEachEngine("a folder that is no plain LoRA adapter of this model is refused in one line", async (engine) => {
  const model = await CausalTransformer.load(engine, fixture("tiny_qwen2"));
  const held = engine.memory().tensors;
  const plain = JSON.parse(await Deno.readTextFile(`${PEFT}/adapter_config.json`));
  const refused = async (change: object | string, message: RegExp) => {
    const folder = await Deno.makeTempDir();
    await Deno.copyFile(`${PEFT}/adapter_model.safetensors`, `${folder}/adapter_model.safetensors`);
    const text = typeof change === "string" ? change : JSON.stringify({ ...plain, ...change });
    await Deno.writeTextFile(`${folder}/adapter_config.json`, text);
    await assert.rejects(loadAdapters(model, folder), (error: Error) => {
      assert.ok(error instanceof UserError, `${error.stack}`);
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
    assert.equal(model.adapters, undefined);
    assert.equal(engine.memory().tensors, held);
    await Deno.remove(folder, { recursive: true });
  };
  await refused("{", /adapter_config.json is not JSON/);
  await refused("[]", /must hold a JSON object/);
  await refused({ peft_type: "LOHA" }, /peft_type "LOHA" is not supported: only "LORA" is/);
  await refused({ use_dora: true }, /use_dora true is not supported/);
  await refused({ bias: "all" }, /bias "all" is not supported: only "none" is/);
  await refused({ rank_pattern: { q_proj: 8 } }, /rank_pattern {"q_proj":8} is not supported/);
  await refused({ modules_to_save: ["lm_head"] }, /modules_to_save \["lm_head"\] is not supported/);
  await refused({ init_lora_weights: "pissa" }, /init_lora_weights "pissa" changes the base model's weights/);
  await refused({ r: "8" }, /r must be a number: received "8"/);
  await refused({ r: 0 }, /rank must be a whole number of at least 1: received 0/);
  await refused({ r: 4 }, /lora_A.weight' is \[3, 32\] where the configuration needs \[4, 32\]/);
  await refused({ target_modules: ["q_proj"] }, /tensors? '.*lora_.*unknown/);
  await refused({ target_modules: ["c_attn"] }, /target "c_attn" names no linear layer/);
  await refused({ target_modules: "all-linear" }, /missing/);
  await refused({ target_modules: "(?P<x>q)_proj" }, /is not read as a pattern here/);
  await refused({ target_modules: 3 }, /target_modules must be a list of names or "all-linear": received 3/);

  const empty = await Deno.makeTempDir();
  await assert.rejects(loadAdapters(model, empty), /adapter_config.json cannot be read/);
  await Deno.copyFile(`${PEFT}/adapter_config.json`, `${empty}/adapter_config.json`);
  await assert.rejects(loadAdapters(model, empty), UserError);
  await writeSafetensors(`${empty}/adapter_model.safetensors`, new Map());
  await assert.rejects(loadAdapters(model, empty), /missing/);
  await Deno.remove(empty, { recursive: true });
  model.dispose();
});

forEachEngine("a pattern of targets, as PEFT allows", async (engine) => {
  const folder = await Deno.makeTempDir();
  await Deno.copyFile(`${PEFT}/adapter_model.safetensors`, `${folder}/adapter_model.safetensors`);
  const config = JSON.parse(await Deno.readTextFile(`${PEFT}/adapter_config.json`));
  config.target_modules = String.raw`model\.layers\.\d+\.(self_attn\.[qvo]|mlp\.(gate|down))_proj`;
  await Deno.writeTextFile(`${folder}/adapter_config.json`, JSON.stringify(config));
  const model = await CausalTransformer.load(engine, fixture("tiny_qwen2"));
  assert.equal((await loadAdapters(model, folder)).layers.length, 10);
  await Deno.remove(folder, { recursive: true });
  model.dispose();
});
