import assert from "node:assert/strict";
import { join } from "node:path";
import { readSafetensors } from "../../lib/io/safetensors.ts";
import { Discriminator } from "../../lib/models/discriminator.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import { Lpips } from "../../lib/models/lpips.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { changeWeights, codeUsage } from "../../lib/train/code_usage.ts";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import {
  type TokenizerBatch,
  TokenizerTrainer,
  type TokenizerTrainerParts,
} from "../../lib/train/frame_tokenizer_trainer.ts";
import { forEachEngine } from "../support/engines.ts";

const HERE = new URL(".", import.meta.url).pathname, MODELS = join(HERE, "../models/fixtures");
/** Made by fixtures/make_tokenizer_training.py. */
const GOLDEN: Record<string, number | string>[] = JSON.parse(
  await Deno.readTextFile(join(HERE, "fixtures/tokenizer_training.json")),
);

/** The same arithmetic as the fixture's. */
function goldenBatch(step: number): TokenizerBatch {
  const frames = Uint8Array.from(
    { length: 2 * 16 * 24 * 3 },
    (_, i) => (i * 37 + Math.floor(i / 72) * 11 + step * 53) % 251,
  );
  const pixelWeights = Float32Array.from({ length: 2 * 16 * 24 }, (_, i) => {
    const row = Math.floor(i / 24) % 16, column = i % 24;
    return row >= 4 && row < 8 && column >= 6 && column < 12 ? 5 : 1;
  });
  return { frames, pixelWeights };
}

async function goldenParts(engine: Engine): Promise<Required<TokenizerTrainerParts>> {
  const discriminator = Discriminator.initialize(engine, { hiddenChannels: 32, depth: 3 }, { seed: 0 });
  const stored = await readSafetensors(join(MODELS, "discriminator.safetensors"));
  await discriminator.loadHost(
    new Map([...stored].filter(([name]) => name.startsWith("before.")).map(([name, each]) => [name.slice(7), each])),
    "the fixture",
  );
  const weights = await readSafetensors(join(MODELS, "lpips.safetensors"));
  return {
    tokenizer: await FrameTokenizer.load(engine, join(MODELS, "tiny_tokenizer")),
    discriminator,
    perceptual: Lpips.fromHost(engine, weights, weights),
    frames: goldenBatch,
    config: {
      steps: 6,
      warmupSteps: 2,
      learningRate: 2e-4,
      weightDecay: 0.01,
      squaredErrorWeight: 0.5,
      latentSpreadWeight: 0.2,
      adversarialStart: 2,
    },
  };
}

function disposeParts({ tokenizer, discriminator, perceptual }: Required<TokenizerTrainerParts>): void {
  for (const each of [tokenizer, discriminator, perceptual]) each.dispose();
}

forEachEngine("six steps with LPIPS and discriminator are PyTorch's", async (engine) => {
  const start = engine.memory().tensors;
  const parts = await goldenParts(engine);
  const trainer = new TokenizerTrainer(parts);
  const counts: number[] = [];
  for (const [step, golden] of GOLDEN.entries()) {
    const metrics = { ...await trainer.step() } as unknown as Record<string, number | string>;
    assert.equal(metrics.step, step);
    for (const [name, expected] of Object.entries(golden)) {
      if (typeof expected === "string" || name === "codesUsed") {
        assert.equal(metrics[name], expected, `step ${step}: ${name}`);
        continue;
      }
      const error = Math.abs(metrics[name] as number - expected) / (Math.abs(expected) + 1e-3);
      assert.ok(error < 2e-3, `step ${step}: ${name} should be ${expected}: received ${metrics[name]}`);
    }
    counts.push(engine.memory().tensors);
  }
  assert.equal(new Set(counts).size, 1, `live tensors grow from step to step: ${counts.join(", ")}`);
  trainer.dispose();
  disposeParts(parts);
  assert.equal(engine.memory().tensors, start);
});

forEachEngine("stopped and restored training goes on bit for bit", async (engine) => {
  const through = await goldenParts(engine);
  const trainer = new TokenizerTrainer(through);
  const lines: unknown[] = [];
  for (let i = 0; i < 5; i++) lines.push(await trainer.step());

  const first = await goldenParts(engine), interrupted = new TokenizerTrainer(first);
  for (let i = 0; i < 3; i++) assert.deepEqual(await interrupted.step(), lines[i]);
  const state = await interrupted.stateToHost();
  assert.equal(state.step, 3);
  assert.deepEqual([state.tokenizerUpdates, state.discriminatorUpdates], [3, 0]);
  const second = await goldenParts(engine), resumed = new TokenizerTrainer(second);
  await resumed.step();
  await resumed.loadState(state);
  assert.equal(resumed.stepsDone, 3);
  for (let i = 3; i < 5; i++) assert.deepEqual(await resumed.step(), lines[i]);
  assert.deepEqual(await resumed.stateToHost(), await trainer.stateToHost());

  const tensors = new Map(state.tensors);
  tensors.delete("tokenizer_optimizer.exp_avg.quant_linear.bias");
  await assert.rejects(resumed.loadState({ ...state, tensors }, "step_3"), /step_3: .*exp_avg.quant_linear.bias/);
  for (const each of [trainer, interrupted, resumed]) each.dispose();
  for (const each of [through, first, second]) disposeParts(each);
});

forEachEngine("what is not finite stops the training and changes nothing", async (engine) => {
  const parts = await goldenParts(engine);
  const bias = parts.tokenizer.parameters.get("decoder.conv_out.bias")!;
  const broken = tensor(engine, [NaN, 0, 0], [3], "float32");
  bias.assign(broken);
  const trainer = new TokenizerTrainer(parts);
  const before = await trainer.stateToHost();
  const live = engine.memory().tensors;
  await assert.rejects(trainer.step(), (error: Error) => {
    assert.ok(error instanceof TrainingDivergedError);
    assert.match(error.message, /the tokenizer's loss is NaN at step 0/);
    return true;
  });
  assert.equal(engine.memory().tensors, live);
  assert.deepEqual(await trainer.stateToHost(), before);
  broken.dispose();
  trainer.dispose();
  disposeParts(parts);
});

forEachEngine("senseless values and batches are refused", async (engine) => {
  const parts = await goldenParts(engine);
  const make = (config: TokenizerTrainerParts["config"]) => () =>
    new TokenizerTrainer({ ...parts, config: { ...parts.config, ...config } });
  assert.throws(make({ adversarialWeight: -1 }), /adversarialWeight must be at least 0: received -1/);
  assert.throws(make({ maxGradientNorm: 0 }), /maxGradientNorm must be above 0: received 0/);
  assert.throws(make({ steps: 1 }), /totalSteps must exceed warmupSteps 2: received 1/);
  const short = new TokenizerTrainer({ ...parts, frames: () => ({ frames: new Uint8Array(5) }) });
  await assert.rejects(short.step(), /must be bytes \[B, 16, 24, 3\]: received 5 bytes/);
  const frames = new Uint8Array(16 * 24 * 3);
  const unweighted = new TokenizerTrainer({
    ...parts,
    frames: () => ({ frames, pixelWeights: new Float32Array(3) }),
  });
  await assert.rejects(unweighted.step(), /pixelWeights must be \[1, 16, 24\]: received 3 numbers/);
  short.dispose();
  unweighted.dispose();
  disposeParts(parts);
});

forEachEngine("a small tokenizer learns coloured squares", async (engine) => {
  const tokenizer = FrameTokenizer.initialize(engine, {
    height: 16,
    width: 16,
    channels: [16, 24],
    layersPerBlock: 1,
    latentChannels: 8,
    normGroups: 8,
    fsqLevels: [8, 6, 5],
    downsamplings: 1,
    pixelPatch: 2,
  }, { seed: 1 });
  const trainer = new TokenizerTrainer({
    tokenizer,
    config: { steps: 60, warmupSteps: 5, learningRate: 4e-3 },
    frames: (step) => ({ frames: squares(8, step) }),
  });
  const errors: number[] = [];
  for (let i = 0; i < 60; i++) errors.push((await trainer.step()).absoluteError!);
  const early = mean(errors.slice(0, 5)), late = mean(errors.slice(-5));
  assert.ok(late < early / 3, `the error should fall to a third: from ${early} to ${late}`);
  trainer.dispose();
  tokenizer.dispose();
}, { onPretended: false });

Deno.test("code usage counts codes and their even spread", () => {
  assert.deepEqual(codeUsage([3, 3, 3], 5), { used: 1, perplexity: 1 });
  const { used, perplexity } = codeUsage([0, 1, 2, 3, 0, 1, 2, 3], 5);
  assert.equal(used, 4);
  assert.ok(Math.abs(perplexity - 4) < 1e-12);
  assert.throws(() => codeUsage([5], 5), /from 0 to 4: received 5/);
});

Deno.test("changed pixels weigh more", () => {
  const reference = new Uint8Array(9).fill(100);
  const frames = reference.slice();
  frames[4] = 120;
  frames[8] = 110;
  assert.deepEqual(changeWeights(frames, reference, { weight: 3 }), Float32Array.of(1, 4, 1));
  assert.deepEqual(changeWeights(frames, reference, { weight: 3, threshold: 5 }), Float32Array.of(1, 4, 4));
  assert.throws(() => changeWeights(frames, new Uint8Array(3), { weight: 1 }), /received 9 and 3 bytes/);
});

/** uint8 [count, 16, 16, 3]: a square of one of four colours on grey. */
function squares(count: number, step: number): Uint8Array {
  const colours = [[220, 40, 40], [40, 200, 60], [50, 60, 230], [230, 220, 40]];
  const frames = new Uint8Array(count * 16 * 16 * 3).fill(128);
  for (let b = 0; b < count; b++) {
    const id = step * count + b, top = (id * 5) % 10, left = (id * 7) % 10;
    for (let y = top; y < top + 6; y++) {
      for (let x = left; x < left + 6; x++) frames.set(colours[id % 4], ((b * 16 + y) * 16 + x) * 3);
    }
  }
  return frames;
}

function mean(numbers: number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
}
