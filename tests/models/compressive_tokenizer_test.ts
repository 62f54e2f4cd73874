import assert from "node:assert/strict";
import { join } from "node:path";
import { fromFloat32, readSafetensors, toFloat32, toInt64, writeSafetensors } from "../../lib/io/safetensors.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { CompressiveTokenizer } from "../../lib/models/compressive_tokenizer.ts";
import {
  type CompressiveTokenizerConfig,
  compressiveTokenizerConfig,
  compressiveTokenizerConfigFromJson,
  compressiveTokenizerConfigToJson,
  compressiveTokenizerShapes,
  contextGrid,
  countCompressiveTokenizerParameters,
  decoderAttention,
  encoderAttention,
  frameGrid,
  RELEASED_COMPRESSIVE_TOKENIZER,
} from "../../lib/models/compressive_tokenizer_config.ts";
import { parameterCount } from "../../lib/nn/parameters.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

const FIXTURES = new URL("fixtures/", import.meta.url).pathname;
const FOLDER = join(FIXTURES, "tiny_compressive_tokenizer");
/** Made by fixtures/make_compressive_tokenizer.py with the blocks of diffusers and torch. */
const EXPECTED = await readSafetensors(join(FIXTURES, "compressive_tokenizer.safetensors"));
const numbers = (name: string) => toFloat32(EXPECTED.get(name)!);
const tokensOf = (name: string) => Array.from(toInt64(EXPECTED.get(name)!), Number);

/** Small enough to be made at once. */
const SMALL: Partial<CompressiveTokenizerConfig> = {
  height: 16,
  width: 16,
  channels: [8],
  layersPerBlock: 1,
  latentChannels: 4,
  normGroups: 4,
  pixelPatch: 4,
  patchSize: 2,
};

/** Released names, written out from the pattern of the specification, not from the code under test. */
function releasedNames(): string[] {
  const modules: string[] = [], tables: string[] = [];
  const resnets = (prefix: string, count: number) =>
    Array.from(
      { length: count },
      (_, i) => ["norm1", "conv1", "norm2", "conv2"].map((part) => `${prefix}.resnets.${i}.${part}`),
    )
      .flat();
  for (const pair of ["", "cond_"]) {
    for (const i of [0, 1, 2, 3]) {
      modules.push(...resnets(`${pair}encoder.down_blocks.${i}`, 2), ...resnets(`${pair}decoder.up_blocks.${i}`, 3));
    }
    for (const i of [1, 3]) {
      modules.push(`${pair}encoder.down_blocks.${i}.resnets.0.conv_shortcut`);
      modules.push(`${pair}decoder.up_blocks.${i}.resnets.0.conv_shortcut`);
    }
    for (const i of [0, 1, 2]) {
      modules.push(`${pair}encoder.down_blocks.${i}.downsamplers.0.conv`);
      modules.push(`${pair}decoder.up_blocks.${i}.upsamplers.0.conv`);
    }
    for (const side of [`${pair}encoder`, `${pair}decoder`]) {
      modules.push(`${side}.conv_in`, `${side}.conv_norm_out`, `${side}.conv_out`, ...resnets(`${side}.mid_block`, 2));
    }
  }
  for (const [side, blocks] of [["cond_encoder", 2], ["cond_decoder", 1]] as const) {
    for (const part of ["group_norm", "to_q", "to_k", "to_v", "to_out.0"]) {
      modules.push(`${side}.mid_block.attentions.0.${part}`);
    }
    for (let i = 0; i < blocks; i++) {
      const name = `${side}.cross_att_blocks.${i}`;
      modules.push(`${name}.att.out_proj`, `${name}.kv_norm`, `${name}.q_norm`);
      tables.push(`${name}.att.in_proj_weight`, `${name}.att.in_proj_bias`, `${name}.kv_pos_emb`, `${name}.q_pos_emb`);
    }
  }
  modules.push("quant_conv", "post_quant_conv", "quant_linear", "post_quant_linear");
  return [...modules.flatMap((each) => [`${each}.weight`, `${each}.bias`]), ...tables];
}

Deno.test("the released tokenizer: parameters, names, shapes and tokens", () => {
  assert.equal(countCompressiveTokenizerParameters(RELEASED_COMPRESSIVE_TOKENIZER), 129_448_016);
  const list = compressiveTokenizerShapes(RELEASED_COMPRESSIVE_TOKENIZER), shapes = new Map(list);
  assert.deepEqual([...shapes.keys()].sort(), releasedNames().sort());
  assert.equal(shapes.size, list.length);
  const expected: Record<string, number[]> = {
    "encoder.conv_in.weight": [128, 3, 3, 3],
    "decoder.conv_in.weight": [512, 64, 3, 3],
    "decoder.up_blocks.0.upsamplers.0.conv.weight": [512, 512, 3, 3],
    "decoder.up_blocks.1.resnets.0.conv_shortcut.weight": [256, 512, 1, 1],
    "cond_decoder.up_blocks.3.resnets.0.conv_shortcut.weight": [128, 256, 1, 1],
    "cond_encoder.cross_att_blocks.0.kv_pos_emb": [1280, 256],
    "cond_encoder.cross_att_blocks.1.att.in_proj_weight": [1536, 512],
    "cond_decoder.cross_att_blocks.0.att.in_proj_bias": [1536],
    "cond_decoder.cross_att_blocks.0.q_pos_emb": [1280, 512],
    "quant_conv.weight": [5, 64, 1, 1],
    "post_quant_conv.weight": [64, 5, 1, 1],
    "quant_linear.weight": [5, 1024],
    "post_quant_linear.weight": [1024, 5],
  };
  for (const [name, shape] of Object.entries(expected)) assert.deepEqual(shapes.get(name), shape, name);
  assert.deepEqual(contextGrid(RELEASED_COMPRESSIVE_TOKENIZER), [32, 40]);
  assert.deepEqual(frameGrid(RELEASED_COMPRESSIVE_TOKENIZER), [8, 10]);
  assert.deepEqual(encoderAttention(RELEASED_COMPRESSIVE_TOKENIZER).map(({ place }) => place), [2, 3]);
  assert.deepEqual(decoderAttention(RELEASED_COMPRESSIVE_TOKENIZER).map(({ place }) => place), [0]);
});

Deno.test("grids and places of attention follow from the sizes", () => {
  const square = compressiveTokenizerConfig({ height: 64, width: 64 });
  assert.deepEqual([contextGrid(square), frameGrid(square)], [[8, 8], [2, 2]]);
  assert.deepEqual(encoderAttention(square).map(({ place, positions }) => [place, positions]), [
    [0, 1024],
    [1, 256],
    [2, 64],
    [3, 64],
  ]);
  // The original model of 64 × 64 frames: after the middle block and the up blocks of 16 and 32 rows.
  assert.deepEqual(decoderAttention(square).map(({ place, positions, name }) => [place, positions, name]), [
    [0, 64, "cross_att_blocks.0"],
    [1, 256, "cross_att_blocks.1"],
    [2, 1024, "cross_att_blocks.2"],
  ]);
  for (const [downsamplings, grid] of [[0, [16, 16]], [1, [8, 8]], [2, [4, 4]]] as const) {
    const config = compressiveTokenizerConfig({ ...SMALL, channels: [8, 8], pixelPatch: 1, downsamplings });
    assert.deepEqual(contextGrid(config), grid);
    assert.equal(decoderAttention(config).at(-1)!.positions, 256, "a decoder ends at the resolution of the frame");
  }
});

Deno.test("a configuration survives its file, and a silent file means the released model", () => {
  const tiny = compressiveTokenizerConfig({
    ...SMALL,
    contextLevels: [4, 4, 4],
    fsqLevels: [8, 6, 5],
    contextMidAttention: true,
    midAttention: false,
    maxAttentionResolution: 8,
    attentionHeads: 2,
    normScope: "position",
    background: true,
  });
  for (const config of [tiny, RELEASED_COMPRESSIVE_TOKENIZER]) {
    const json = JSON.parse(JSON.stringify(compressiveTokenizerConfigToJson(config)));
    assert.deepEqual(compressiveTokenizerConfigFromJson(json, "config.json"), config);
  }
  assert.deepEqual(compressiveTokenizerConfigFromJson({}, "config.json"), RELEASED_COMPRESSIVE_TOKENIZER);
  const released = { resolution: 256, vq_fsq_levels: 12, dyn_fsq_levels: 12, sample_size: 32, scaling_factor: 0.18215 };
  assert.deepEqual(compressiveTokenizerConfigFromJson(released, "config.json"), RELEASED_COMPRESSIVE_TOKENIZER);
  const small = compressiveTokenizerConfigFromJson({ resolution: 128 }, "config.json");
  assert.deepEqual([small.height, small.width], [128, 160]);
});

Deno.test("senseless configurations are refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ _class_name: "CNNFSQModel256" }, /x: _class_name must be "CompressiveVQModelFSQ" for a compressive.*"CNNFSQ/],
    [{ context_length: 2 }, /x: context_length must be 1 for a compressive tokenizer: received 2/],
    [{ dyn_fsq_levels: 11 }, /x: dyn_fsq_levels must be a list of levels or one of 8, 10, 12, 14, 16: received 11/],
    [{ patch_size: 3 }, /x: patchSize must divide the 32 × 40 positions of a frame: received 3/],
    [{ patch_size: 0 }, /x: patchSize must be a positive integer: received 0/],
    [{ attention_heads: 3 }, /x: attentionHeads must divide the channels.*received 3 for 256/],
    [{ norm_scope: "batch" }, /x: norm_scope must be "image" or "position": received "batch"/],
  ];
  for (const [json, message] of cases) {
    assert.throws(() => compressiveTokenizerConfigFromJson(json, "x"), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.throws(
    () => compressiveTokenizerConfig({ contextLevels: [1] }),
    /contextLevels must be integers of at least 2/,
  );
});

forEachEngine("tokens, pixels and gradients are those of diffusers' blocks and torch's attention", async (engine) => {
  const start = engine.memory().tensors;
  const tokenizer = await CompressiveTokenizer.load(engine, FOLDER);
  assert.deepEqual([tokenizer.contextTokens, tokenizer.tokensPerFrame], [24, 6]);
  assert.deepEqual([tokenizer.contextCodebookSize, tokenizer.codebookSize], [4375, 4375]);
  assert.deepEqual([tokenizer.config.contextMidAttention, tokenizer.config.midAttention], [false, true]);
  const context = tensor(engine, numbers("context"), [2, 16, 24, 3]);
  const frames = tensor(engine, numbers("frames"), [2, 3, 16, 24, 3]);
  const tokens = tokenizer.encode(context, frames);
  assert.deepEqual([tokens.context.shape, tokens.frames.shape], [[2, 24], [2, 3, 6]]);
  assert.deepEqual([...await tokens.context.data()], tokensOf("context_tokens"));
  assert.deepEqual([...await tokens.frames.data()], tokensOf("tokens"));

  const pixels = tokenizer.decode(tokens.context, tokens.frames, { clamp: false });
  assert.deepEqual(pixels.shape, frames.shape);
  assertClose(await pixels.data(), numbers("reconstruction"), 1e-4, "pixels");
  const features = tokenizer.contextFeatures(tokens.context), contextPixels = features.pixels();
  const clamped = numbers("context_reconstruction").map((each) => Math.min(1, Math.max(0, each)));
  assertClose(await contextPixels.data(), clamped, 1e-4, "pixels of the context");

  const names = [...EXPECTED.keys()].filter((name) => name.startsWith("gradient.")).map((name) => name.slice(9));
  assert.ok(names.length >= 15);
  const { value, gradients, aux } = valueAndGrad(() => {
    const seen = tokenizer.reconstruct(context, frames);
    const loss = seen.context.sub(context).abs().mean().add(seen.frames.sub(frames).abs().mean());
    return { loss, aux: { context: seen.contextIndices, frames: seen.frameIndices } };
  }, names.map((name) => tokenizer.parameters.get(name)!));
  assertClose(await value.data(), numbers("loss"), 1e-5, "loss");
  assert.deepEqual([...await aux.context.data()], tokensOf("context_tokens"));
  assert.deepEqual([...await aux.frames.data()], tokensOf("tokens"));
  for (const [i, name] of names.entries()) {
    assertClose(await gradients[i].data(), numbers(`gradient.${name}`), 1e-4, `gradient of ${name}`);
  }
  for (const each of [context, frames, tokens.context, tokens.frames, pixels, contextPixels, value, ...gradients]) {
    each.dispose();
  }
  for (const each of [aux.context, aux.frames, features]) each.dispose();
  tokenizer.dispose();
  assert.equal(engine.memory().tensors, start);
});

forEachEngine("pieces, chosen contexts and shared contexts decode alike", async (engine) => {
  const start = engine.memory().tensors;
  const whole = await CompressiveTokenizer.load(engine, FOLDER);
  const context = tensor(engine, numbers("context"), [2, 16, 24, 3]);
  const frames = tensor(engine, numbers("frames"), [2, 3, 16, 24, 3]);
  const tokens = whole.encode(context, frames);
  const expected = whole.decode(tokens.context, tokens.frames);
  const expectedData = await expected.data() as Float32Array;
  for (const framesPerChunk of [1, 2, 4]) {
    const pieces = await CompressiveTokenizer.load(engine, FOLDER, { framesPerChunk });
    const same = pieces.encode(context, frames), pixels = pieces.decode(same.context, same.frames);
    assert.deepEqual([...await same.context.data()], tokensOf("context_tokens"));
    assert.deepEqual([...await same.frames.data()], tokensOf("tokens"));
    assertClose(await pixels.data(), expectedData, 1e-4, `pixels, ${framesPerChunk} frames at a time`);
    for (const each of [same.context, same.frames, pixels]) each.dispose();
    pieces.dispose();
  }

  const features = whole.contextFeatures(tokens.context), chosen = features.select([1, 0, 1]);
  assert.equal(chosen.batch, 3);
  const clip = (i: number) => [...tokensOf("tokens").slice(18 * i, 18 * i + 18)];
  const rows = tensor(engine, Int32Array.from([...clip(1), ...clip(0), ...clip(1)]), [3, 3, 6]);
  const picked = whole.decode(chosen, rows), pickedContext = chosen.pixels();
  const image = 16 * 24 * 3, both = [expectedData.subarray(0, 3 * image), expectedData.subarray(3 * image)];
  assertClose(await picked.data(), Float32Array.from([...both[1], ...both[0], ...both[1]]), 1e-4, "chosen rows");
  assert.deepEqual(pickedContext.shape, [3, 16, 24, 3]);

  // Two answers of one clip as one long clip.
  const first = features.select([0]);
  const long = tensor(engine, Int32Array.from([...clip(0), ...clip(0)]), [1, 6, 6]), twice = whole.decode(first, long);
  assertClose(await twice.data(), Float32Array.from([...both[0], ...both[0]]), 1e-4, "a shared context");

  // Sequences offset context tokens by the codebook's size.
  const offset = tensor(engine, Int32Array.from(tokensOf("context_tokens"), (each) => each + 4375), [2, 24]);
  const again = whole.decode(offset, tokens.frames);
  assertClose(await again.data(), expectedData, 1e-6, "context tokens beyond the codebook");

  assert.throws(() => features.select([2]), /rows must be from 0 to 1, at least one: received 2/);
  assert.throws(() => features.select([]), /at least one: received none/);
  assert.throws(
    () => whole.decode(first, tokens.frames),
    /decode: tokens must be int64 \[1, T, 6\]: received int64 \[2, 3, 6\]/,
  );
  assert.throws(() => whole.decode(tokens.frames, tokens.frames), /contextFeatures: tokens must be int64 \[B, 24\]/);
  assert.throws(
    () => whole.encode(context, context),
    /encode: needs context float32 \[B, 16, 24, 3\] and frames float32 \[B, T, 16, 24, 3\]: received float32 \[2, 16,/,
  );
  for (const each of [context, frames, tokens.context, tokens.frames, expected, rows, picked, pickedContext]) {
    each.dispose();
  }
  for (const each of [features, chosen, first]) each.dispose();
  for (const each of [long, twice, offset, again]) each.dispose();
  whole.dispose();
  assert.equal(engine.memory().tensors, start);
});

forEachEngine("bfloat16 keeps float32 parameters and nearly the pixels", async (engine) => {
  const exact = await CompressiveTokenizer.load(engine, FOLDER);
  const rough = await CompressiveTokenizer.load(engine, FOLDER, { computeType: "bfloat16", framesPerChunk: 1 });
  const context = tensor(engine, toInt64(EXPECTED.get("context_tokens")!), [2, 24]);
  const tokens = tensor(engine, toInt64(EXPECTED.get("tokens")!), [2, 3, 6]);
  const a = exact.decode(context, tokens, { clamp: false }), b = rough.decode(context, tokens, { clamp: false });
  assert.equal(b.dtype, "float32");
  assertClose(await b.data(), await a.data() as Float32Array, 0.3, "pixels");
  for (const each of [context, tokens, a, b]) each.dispose();
  exact.dispose();
  rough.dispose();
}, { needs: ["bfloat16"] });

forEachEngine("every tensor of a folder with the released names is used", async (engine) => {
  const folder = await Deno.makeTempDir();
  const config = { height: 32, width: 32, channels: [4, 8, 8, 12], normGroups: 2, latentChannels: 4, patchSize: 2 };
  const made = CompressiveTokenizer.initialize(engine, { ...config, maxAttentionResolution: 4 }, { seed: 1 });
  await made.save(folder);
  assert.deepEqual([...made.parameters.keys()].sort(), releasedNames().sort());
  // Tables of positions start at 0, where keys have no influence through equal scores: any other numbers will do.
  for (const [name, each] of made.parameters) {
    if (!name.endsWith("_pos_emb")) continue;
    const numbers = tensor(engine, new Philox(5).fillNormal(new Float32Array(each.size)), each.shape);
    each.assign(numbers);
    numbers.dispose();
  }
  const random = new Philox(2), image = 32 * 32 * 3;
  const context = tensor(engine, random.fillUniform(new Float32Array(image)), [1, 32, 32, 3]);
  const frames = tensor(engine, random.fillUniform(new Float32Array(2 * image)), [1, 2, 32, 32, 3]);
  const { value, gradients } = valueAndGrad(() => {
    const seen = made.reconstruct(context, frames);
    return seen.context.square().sum().add(seen.frames.square().sum());
  }, [...made.parameters.values()]);
  for (const [i, name] of [...made.parameters.keys()].entries()) {
    // A bias of keys shifts all scores of a query alike: the softmax does not see it.
    if (name.endsWith("to_k.bias")) continue;
    assert.ok((await gradients[i].data()).some((each) => each !== 0), `${name} has no influence`);
  }
  await made.save(folder);
  const loaded = await CompressiveTokenizer.load(engine, folder);
  assert.equal(parameterCount(loaded.parameters), countCompressiveTokenizerParameters(made.config));
  assert.deepEqual(loaded.config, made.config);
  for (const [name, each] of made.parameters) {
    assert.deepEqual(await loaded.parameters.get(name)!.data(), await each.data(), name);
  }
  loaded.dispose();
  for (const each of [context, frames, value, ...gradients]) each.dispose();

  const before = engine.memory().tensors;
  const path = join(folder, "diffusion_pytorch_model.safetensors"), weights = await readSafetensors(path);
  const spoil = async (change: (weights: Map<string, ReturnType<typeof fromFloat32>>) => void, message: RegExp) => {
    const spoilt = new Map(weights);
    change(spoilt);
    await writeSafetensors(path, spoilt);
    await assert.rejects(CompressiveTokenizer.load(engine, folder), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  };
  await spoil((each) => each.delete("quant_linear.bias"), /'quant_linear.bias' is missing/);
  await spoil((each) => each.set("extra.weight", fromFloat32(new Float32Array(1), [1])), /'extra.weight' is unknown/);
  await writeSafetensors(path, weights);
  await assert.rejects(
    CompressiveTokenizer.load(engine, folder, { width: 64 }),
    /'cond_encoder.cross_att_blocks.0.kv_pos_emb' is \[16, 8\] where the configuration needs \[32, 8\]/,
  );
  await Deno.writeTextFile(join(folder, "config.json"), "{");
  await assert.rejects(CompressiveTokenizer.load(engine, folder), /config.json: must hold a JSON object/);
  assert.equal(engine.memory().tensors, before);
  made.dispose();
  await Deno.remove(folder, { recursive: true });
});

forEachEngine("a tokenizer with a background starts as that background", async (engine) => {
  const made = CompressiveTokenizer.initialize(engine, { ...SMALL, background: true }, { seed: 7, codeGain: 4 });
  const background = new Philox(4).fillUniform(new Float32Array(16 * 16 * 3));
  const value = tensor(engine, background, [16, 16, 3]);
  made.parameters.get("background")!.assign(value);
  const context = tensor(engine, Int32Array.from({ length: 16 }, (_, i) => i), [1, 16]);
  const tokens = tensor(engine, Int32Array.of(1, 2, 3, 4), [1, 1, 4]);
  const pixels = made.decode(context, tokens), features = made.contextFeatures(context), first = features.pixels();
  assertClose(await pixels.data(), background, 1e-6, "pixels");
  assertClose(await first.data(), background, 1e-6, "pixels of the context");
  for (const each of [value, context, tokens, pixels, first]) each.dispose();
  features.dispose();
  made.dispose();
  assert.throws(
    () => CompressiveTokenizer.initialize(engine, SMALL, { seed: 1, framesPerChunk: 0 }),
    /framesPerChunk must be a positive integer: received 0/,
  );
});
