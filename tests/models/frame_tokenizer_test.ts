import assert from "node:assert/strict";
import { join } from "node:path";
import { fromFloat32, readSafetensors, toFloat32, toInt64, writeSafetensors } from "../../lib/io/safetensors.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import {
  countFrameTokenizerParameters,
  frameTokenizerConfig,
  frameTokenizerConfigFromJson,
  frameTokenizerConfigToJson,
  frameTokenizerShapes,
  RELEASED_FRAME_TOKENIZER,
  tokenGrid,
} from "../../lib/models/frame_tokenizer_config.ts";
import { parameterCount } from "../../lib/nn/parameters.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { withFolder } from "../support/files.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

const FIXTURES = new URL("fixtures/", import.meta.url).pathname;
const FOLDER = join(FIXTURES, "tiny_tokenizer");
/** Made by fixtures/make_frame_tokenizer.py with diffusers' blocks. */
const EXPECTED = await readSafetensors(join(FIXTURES, "frame_tokenizer.safetensors"));
const numbers = (name: string) => toFloat32(EXPECTED.get(name)!);

/** Released names, written out from the pattern of the specification, not from the code under test. */
function releasedNames(): string[] {
  const modules: string[] = [];
  const resnets = (prefix: string) =>
    [0, 1].flatMap((i) => ["norm1", "conv1", "norm2", "conv2"].map((part) => `${prefix}.resnets.${i}.${part}`));
  for (const i of [0, 1, 2, 3, 4]) {
    modules.push(...resnets(`encoder.down_blocks.${i}`), ...resnets(`decoder.up_blocks.${i}`));
  }
  for (const i of [1, 3, 4]) modules.push(`encoder.down_blocks.${i}.resnets.0.conv_shortcut`);
  for (const i of [0, 1, 2, 3]) modules.push(`encoder.down_blocks.${i}.downsamplers.0.conv`);
  for (const i of [0, 1, 3]) modules.push(`decoder.up_blocks.${i}.resnets.0.conv_shortcut`);
  for (const i of [1, 2, 3, 4]) modules.push(`decoder.up_blocks.${i}.upsamplers.0.conv`);
  for (const side of ["encoder", "decoder"]) {
    modules.push(`${side}.conv_in`, `${side}.conv_norm_out`, `${side}.conv_out`, ...resnets(`${side}.mid_block`));
    for (const part of ["group_norm", "to_q", "to_k", "to_v", "to_out.0"]) {
      modules.push(`${side}.mid_block.attentions.0.${part}`);
    }
  }
  modules.push("quant_linear", "post_quant_linear");
  return modules.flatMap((each) => [`${each}.weight`, `${each}.bias`]);
}

Deno.test("the released tokenizer: parameters, names, shapes and tokens", () => {
  assert.equal(countFrameTokenizerParameters(RELEASED_FRAME_TOKENIZER), 104_414_088);
  const shapes = new Map(frameTokenizerShapes(RELEASED_FRAME_TOKENIZER));
  assert.deepEqual([...shapes.keys()].sort(), releasedNames().sort());
  assert.equal(shapes.size, frameTokenizerShapes(RELEASED_FRAME_TOKENIZER).length);
  const expected: Record<string, number[]> = {
    "encoder.conv_in.weight": [128, 3, 3, 3],
    "encoder.down_blocks.3.resnets.0.conv_shortcut.weight": [512, 256, 1, 1],
    "encoder.mid_block.attentions.0.to_q.weight": [768, 768],
    "encoder.conv_out.weight": [64, 768, 3, 3],
    "quant_linear.weight": [5, 64, 1, 1],
    "post_quant_linear.weight": [64, 5, 1, 1],
    "decoder.conv_in.weight": [768, 64, 3, 3],
    "decoder.up_blocks.0.resnets.0.conv1.weight": [512, 768, 3, 3],
    "decoder.up_blocks.1.resnets.0.conv_shortcut.weight": [256, 512, 1, 1],
    "decoder.up_blocks.1.upsamplers.0.conv.weight": [256, 256, 3, 3],
    "decoder.up_blocks.4.resnets.1.conv2.weight": [128, 128, 3, 3],
    "decoder.conv_out.weight": [3, 128, 3, 3],
  };
  for (const [name, shape] of Object.entries(expected)) assert.deepEqual(shapes.get(name), shape, name);
  assert.deepEqual(tokenGrid(RELEASED_FRAME_TOKENIZER), [16, 20]);
});

Deno.test("a configuration survives its file, and a silent file means the released model", () => {
  const tiny = frameTokenizerConfig({
    height: 32,
    width: 48,
    channels: [8, 16],
    layersPerBlock: 1,
    latentChannels: 8,
    normGroups: 4,
    fsqLevels: [4, 4, 4],
    midAttention: false,
    downsamplings: 2,
    pixelPatch: 2,
  });
  assert.deepEqual(tokenGrid(tiny), [4, 6]);
  for (const config of [tiny, RELEASED_FRAME_TOKENIZER]) {
    const json = JSON.parse(JSON.stringify(frameTokenizerConfigToJson(config)));
    assert.deepEqual(frameTokenizerConfigFromJson(json, "config.json"), config);
  }
  assert.deepEqual(frameTokenizerConfigFromJson({}, "config.json"), RELEASED_FRAME_TOKENIZER);
});

Deno.test("senseless configurations are refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ _class_name: "CompressiveVQModelFSQ" }, /x: _class_name must be "CNNFSQModel256".*"CompressiveVQModelFSQ"/],
    [{ act_fn: "relu" }, /x: act_fn must be "silu" or "swish"/],
    [{ block_out_channels: "128" }, /x: block_out_channels must be a list of whole numbers: received "128"/],
    [{ fsq_levels: 11 }, /x: fsq_levels must be a list of levels or one of 8, 10, 12, 14, 16: received 11/],
    [{ vq_fsq_levels: 11 }, /x: vq_fsq_levels must be a list of levels or one of 8, 10, 12, 14, 16: received 11/],
    [{ norm_num_groups: 24 }, /x: normGroups must divide every block's channels: received 24 for 128/],
    [{ height: 250 }, /x: height and width must be multiples of 16.*250 × 320/],
    [{ down_samplings: 6 }, /x: downsamplings must be from 0 to 5/],
    [{ layers_per_block: 0 }, /x: layersPerBlock must be a positive integer: received 0/],
  ];
  for (const [json, message] of cases) {
    assert.throws(() => frameTokenizerConfigFromJson(json, "x"), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.throws(() => frameTokenizerConfigFromJson([], "x"), UserError);
  assert.throws(() => frameTokenizerConfig({ channels: [] }), RangeError);
});

forEachEngine("tokens, pixels and gradients are those of diffusers' blocks", async (engine) => {
  const tokenizer = await FrameTokenizer.load(engine, FOLDER, { framesPerChunk: 1 });
  assert.equal(tokenizer.tokensPerFrame, 24);
  assert.equal(tokenizer.codebookSize, 4375);
  const frames = tensor(engine, numbers("frames"), [2, 16, 24, 3]);
  const tokens = tokenizer.encode(frames);
  assert.deepEqual(tokens.shape, [2, 24]);
  assert.deepEqual([...await tokens.data()], Array.from(toInt64(EXPECTED.get("tokens")!), Number));

  const pixels = tokenizer.decode(tokens, { clamp: false });
  assertClose(await pixels.data(), numbers("reconstruction"), 1e-4, "pixels");
  const beyond = tensor(engine, Int32Array.from(await tokens.data(), (each) => each + 4375), [2, 24]);
  const again = tokenizer.decode(beyond), clamped = tokenizer.decode(tokens);
  assert.deepEqual(await again.data(), await clamped.data());
  assert.deepEqual((await clamped.data()).map((each) => Math.min(1, Math.max(0, each))), await clamped.data());

  const names = [...EXPECTED.keys()].filter((name) => name.startsWith("gradient.")).map((name) => name.slice(9));
  assert.ok(names.length >= 10);
  const { value, gradients } = valueAndGrad(
    () => tokenizer.reconstruct(frames).reconstruction.sub(frames).abs().mean(),
    names.map((name) => tokenizer.parameters.get(name)!),
  );
  assertClose(await value.data(), numbers("loss"), 1e-5, "loss");
  for (const [i, name] of names.entries()) {
    assertClose(await gradients[i].data(), numbers(`gradient.${name}`), 1e-3, `gradient of ${name}`);
  }
  for (const each of [frames, tokens, pixels, beyond, again, clamped, value, ...gradients]) each.dispose();
  tokenizer.dispose();
});

/** Made by fixtures/make_original_tokenizers.py: folders that RLVR-World's own class saved. */
const ORIGINAL = join(FIXTURES, "original_tokenizers");
const FRAME = { height: 16, width: 24 };

forEachEngine(
  "folders of the released class give its tokens and pixels, however its levels are named",
  async (engine) => {
    const expected = await readSafetensors(join(ORIGINAL, "expected.safetensors"));
    const frames = tensor(engine, toFloat32(expected.get("frames")!), [2, 16, 24, 3]);
    for (const name of ["8", "10", "12", "14", "16", "list"]) {
      const tokenizer = await FrameTokenizer.load(engine, join(ORIGINAL, name), FRAME);
      const tokens = tokenizer.encode(frames), pixels = tokenizer.decode(tokens, { clamp: false });
      assert.deepEqual([...await tokens.data()], Array.from(toInt64(expected.get(`tokens.${name}`)!), Number), name);
      assertClose(await pixels.data(), toFloat32(expected.get(`pixels.${name}`)!), 1e-4, `pixels of ${name}`);
      for (const each of [tokens, pixels]) each.dispose();
      tokenizer.dispose();
    }
    frames.dispose();
  },
);

forEachEngine("what is saved says what the released class says of it, and holds the same tensors", async (engine) => {
  const json = async (folder: string) => JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
  for (const name of ["8", "10", "12", "14", "16", "list"]) {
    await withFolder(async (folder) => {
      const tokenizer = await FrameTokenizer.load(engine, join(ORIGINAL, name), FRAME);
      await tokenizer.save(folder);
      tokenizer.dispose();
      // `resolution` is an argument that the class does not use.
      const { resolution: _, ...said } = await json(join(ORIGINAL, name)), saved = await json(folder);
      assert.deepEqual(Object.fromEntries(Object.keys(said).map((field) => [field, saved[field]])), said);
      const weights = (of: string) => readSafetensors(join(of, "diffusion_pytorch_model.safetensors"));
      const [theirs, ours] = [await weights(join(ORIGINAL, name)), await weights(folder)];
      assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
      for (const [key, each] of theirs) assert.deepEqual(toFloat32(ours.get(key)!), toFloat32(each), key);
    });
  }
});

Deno.test("levels are read under the compressive tokenizer's word too, which this project once wrote", () => {
  const levels = (json: object) => frameTokenizerConfigFromJson(json, "x").fsqLevels;
  assert.deepEqual(levels({ vq_fsq_levels: 14 }), [8, 8, 8, 6, 5]);
  assert.deepEqual(levels({ fsq_levels: [3, 3], vq_fsq_levels: 12 }), [3, 3]);
});

forEachEngine("bfloat16 keeps float32 parameters and nearly the pixels", async (engine) => {
  const exact = await FrameTokenizer.load(engine, FOLDER);
  const rough = await FrameTokenizer.load(engine, FOLDER, { computeType: "bfloat16" });
  const tokens = tensor(engine, toInt64(EXPECTED.get("tokens")!), [2, 24]);
  const a = exact.decode(tokens, { clamp: false }), b = rough.decode(tokens, { clamp: false });
  assert.equal(b.dtype, "float32");
  assertClose(await b.data(), await a.data() as Float32Array, 0.15, "pixels");
  for (const each of [tokens, a, b]) each.dispose();
  exact.dispose();
  rough.dispose();
}, { needs: ["bfloat16"] });

forEachEngine("every tensor of a folder with the released names is used", async (engine) => {
  const folder = await Deno.makeTempDir();
  const config = { height: 32, width: 32, channels: [2, 4, 4, 6, 8], normGroups: 2, latentChannels: 4 };
  const made = FrameTokenizer.initialize(engine, config, { seed: 1 });
  await made.save(folder);
  assert.deepEqual([...made.parameters.keys()].sort(), releasedNames().sort());
  const frames = tensor(engine, new Philox(2).fillUniform(new Float32Array(32 * 32 * 3)), [1, 32, 32, 3]);
  const { gradients } = valueAndGrad(
    () => made.reconstruct(frames).reconstruction.square().sum(),
    [...made.parameters.values()],
  );
  // What the result does not depend on has a gradient of exact zeros.
  for (const [i, name] of [...made.parameters.keys()].entries()) {
    // A bias of keys shifts all scores of a query alike: the softmax does not see it.
    if (name.endsWith("to_k.bias")) continue;
    assert.ok((await gradients[i].data()).some((each) => each !== 0), `${name} has no influence`);
  }
  const loaded = await FrameTokenizer.load(engine, folder);
  assert.equal(parameterCount(loaded.parameters), countFrameTokenizerParameters(made.config));
  assert.deepEqual(loaded.config, made.config);
  for (const [name, each] of made.parameters) {
    assert.deepEqual(await loaded.parameters.get(name)!.data(), await each.data(), name);
  }
  loaded.dispose();
  for (const each of [frames, ...gradients]) each.dispose();

  const before = engine.memory().tensors;
  const path = join(folder, "diffusion_pytorch_model.safetensors");
  const weights = await readSafetensors(path);
  const spoil = async (change: (weights: Map<string, ReturnType<typeof fromFloat32>>) => void, message: RegExp) => {
    const spoilt = new Map(weights);
    change(spoilt);
    await writeSafetensors(path, spoilt);
    await assert.rejects(FrameTokenizer.load(engine, folder), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  };
  await spoil((each) => each.delete("quant_linear.bias"), /'quant_linear.bias' is missing/);
  await spoil((each) => each.set("extra.weight", fromFloat32(new Float32Array(1), [1])), /'extra.weight' is unknown/);
  await spoil(
    (each) => each.set("quant_linear.bias", fromFloat32(new Float32Array(4), [4])),
    /'quant_linear.bias' is \[4\] where the configuration needs \[5\]/,
  );
  await Deno.writeTextFile(join(folder, "config.json"), "{");
  await assert.rejects(FrameTokenizer.load(engine, folder), /config.json: must hold a JSON object/);
  await assert.rejects(FrameTokenizer.load(engine, join(folder, "none")), /none.config.json cannot be read/);
  assert.equal(engine.memory().tensors, before);
  made.dispose();
  await Deno.remove(folder, { recursive: true });
});

forEachEngine("patches, chunks and first weights", async (engine) => {
  const config = { height: 16, width: 16, channels: [8, 8], layersPerBlock: 1, normGroups: 4, latentChannels: 4 };
  const options = { seed: 7 };
  const tokenizer = FrameTokenizer.initialize(engine, { ...config, pixelPatch: 2, downsamplings: 2 }, options);
  const before = engine.memory().tensors;
  assert.equal(tokenizer.tokensPerFrame, 4);
  const random = new Philox(3).fillUniform(new Float32Array(5 * 16 * 16 * 3));
  const frames = tensor(engine, random, [5, 16, 16, 3]);
  const tokens = tokenizer.encode(frames), pixels = tokenizer.decode(tokens);
  assert.equal(engine.memory().tensors - before, 3);
  const chunked = FrameTokenizer.initialize(
    engine,
    { ...config, pixelPatch: 2, downsamplings: 2 },
    { ...options, framesPerChunk: 2 },
  );
  const same = chunked.encode(frames), samePixels = chunked.decode(tokens);
  assert.deepEqual(await same.data(), await tokens.data());
  assertClose(await samePixels.data(), await pixels.data() as Float32Array, 1e-5, "pixels in chunks");
  const wrong = tensor(engine, new Float32Array(3 * 64), [1, 8, 8, 3]);
  assert.throws(
    () => tokenizer.encode(wrong),
    /frames must be float32 \[B, 16, 16, 3\]: received float32 \[1, 8, 8, 3\]/,
  );
  assert.throws(() => tokenizer.decode(wrong), /tokens must be int64 \[B, 4\]/);
  assert.throws(
    () => FrameTokenizer.initialize(engine, config, { seed: 1, framesPerChunk: 0 }),
    /framesPerChunk must be a positive integer: received 0/,
  );
  for (const each of [frames, tokens, pixels, same, samePixels, wrong]) each.dispose();
  tokenizer.dispose();
  chunked.dispose();
});

forEachEngine("a tokenizer with a background starts as that background and keeps it in its file", async (engine) => {
  const config = { height: 8, width: 8, channels: [8], layersPerBlock: 1, normGroups: 4, latentChannels: 4 };
  const made = FrameTokenizer.initialize(engine, { ...config, pixelPatch: 4, background: true }, { seed: 7 });
  const background = new Philox(4).fillUniform(new Float32Array(8 * 8 * 3));
  const value = tensor(engine, background, [8, 8, 3]);
  made.parameters.get("background")!.assign(value);
  const folder = await Deno.makeTempDir();
  await made.save(folder);
  const loaded = await FrameTokenizer.load(engine, folder);
  assert.equal(loaded.config.background, true);
  const tokens = tensor(engine, Int32Array.of(1, 2, 3, 4), [1, 4]);
  const pixels = loaded.decode(tokens);
  assertClose(await pixels.data(), background, 1e-6, "pixels");
  for (const each of [value, tokens, pixels]) each.dispose();
  made.dispose();
  loaded.dispose();
  await Deno.remove(folder, { recursive: true });
});
