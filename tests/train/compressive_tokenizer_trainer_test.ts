import assert from "node:assert/strict";
import { join } from "node:path";
import { readSafetensors } from "../../lib/io/safetensors.ts";
import { CompressiveTokenizer } from "../../lib/models/compressive_tokenizer.ts";
import { Discriminator } from "../../lib/models/discriminator.ts";
import { Lpips } from "../../lib/models/lpips.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { Philox } from "../../lib/tensor/random.ts";
import {
  type ClipBatch,
  CompressiveTokenizerTrainer,
  type CompressiveTokenizerTrainerParts,
  RELEASED_COMPRESSIVE_TOKENIZER_TRAINING,
} from "../../lib/train/compressive_tokenizer_trainer.ts";
import { forEachEngine } from "../support/engines.ts";

const HERE = new URL(".", import.meta.url).pathname, MODELS = join(HERE, "../models/fixtures");
/** Made by fixtures/make_compressive_training.py. */
const GOLDEN: Record<string, number | string>[] = JSON.parse(
  await Deno.readTextFile(join(HERE, "fixtures/compressive_training.json")),
);

/** The same arithmetic as the fixture's. */
function goldenBatch(step: number): ClipBatch {
  const bytes = (count: number) =>
    Uint8Array.from(
      { length: count * 16 * 24 * 3 },
      (_, i) => (i * 37 + Math.floor(i / 72) * 11 + step * 53 + count) % 251,
    );
  const pixelWeights = Float32Array.from({ length: 6 * 16 * 24 }, (_, i) => {
    const row = Math.floor(i / 24) % 16, column = i % 24;
    return row >= 4 && row < 8 && column >= 6 && column < 12 ? 5 : 1;
  });
  return { context: bytes(2), frames: bytes(6), pixelWeights };
}

async function goldenParts(engine: Engine): Promise<CompressiveTokenizerTrainerParts> {
  const discriminator = Discriminator.initialize(engine, { hiddenChannels: 32, depth: 3 }, { seed: 0 });
  const stored = await readSafetensors(join(MODELS, "discriminator.safetensors"));
  await discriminator.loadHost(
    new Map([...stored].filter(([name]) => name.startsWith("before.")).map(([name, each]) => [name.slice(7), each])),
    "the fixture",
  );
  const weights = await readSafetensors(join(MODELS, "lpips.safetensors"));
  return {
    tokenizer: await CompressiveTokenizer.load(engine, join(MODELS, "tiny_compressive_tokenizer")),
    discriminator,
    perceptual: Lpips.fromHost(engine, weights, weights),
    clips: goldenBatch,
    config: { steps: 5, warmupSteps: 1, learningRate: 2e-4, squaredErrorWeight: 0.5, adversarialStart: 1 },
  };
}

function disposeParts({ tokenizer, discriminator, perceptual }: CompressiveTokenizerTrainerParts): void {
  for (const each of [tokenizer, discriminator, perceptual]) each?.dispose();
}

Deno.test("the released recipe is the per-frame one's with dropout", () => {
  const { steps, learningRate, adversarialWeight, perceptualWeight, absoluteErrorWeight, attentionDropout } =
    RELEASED_COMPRESSIVE_TOKENIZER_TRAINING;
  assert.deepEqual([steps, learningRate, adversarialWeight, perceptualWeight, absoluteErrorWeight, attentionDropout], [
    600_000,
    5e-4,
    0.1,
    1,
    1,
    0.1,
  ]);
});

forEachEngine("five steps on clips with LPIPS and discriminator are PyTorch's", async (engine) => {
  const start = engine.memory().tensors;
  const parts = await goldenParts(engine);
  const trainer = new CompressiveTokenizerTrainer(parts);
  const counts: number[] = [];
  for (const [step, golden] of GOLDEN.entries()) {
    const metrics = { ...await trainer.step() } as unknown as Record<string, number | string>;
    for (const [name, expected] of Object.entries(golden)) {
      if (typeof expected === "string" || name.endsWith("odesUsed")) {
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

forEachEngine("training with dropout, stopped and restored, goes on bit for bit", async (engine) => {
  const config = { steps: 4, warmupSteps: 1, attentionDropout: 0.3 };
  const make = async (seed: number) => {
    const tokenizer = await CompressiveTokenizer.load(engine, join(MODELS, "tiny_compressive_tokenizer"));
    return { tokenizer, trainer: new CompressiveTokenizerTrainer({ tokenizer, config, clips: goldenBatch, seed }) };
  };
  const through = await make(1), lines: unknown[] = [];
  for (let i = 0; i < 3; i++) lines.push(await through.trainer.step());
  const first = await make(1);
  for (let i = 0; i < 2; i++) assert.deepEqual(await first.trainer.step(), lines[i]);
  const second = await make(1);
  await second.trainer.loadState(await first.trainer.stateToHost());
  assert.deepEqual(await second.trainer.step(), lines[2]);
  assert.deepEqual(await second.trainer.stateToHost(), await through.trainer.stateToHost());
  const other = await make(2);
  assert.notDeepEqual(await other.trainer.step(), lines[0], "another seed drops other numbers");
  for (const { tokenizer, trainer } of [through, first, second, other]) {
    trainer.dispose();
    tokenizer.dispose();
  }
});

forEachEngine("senseless values and batches are refused", async (engine) => {
  const parts = await goldenParts(engine);
  assert.throws(
    () => new CompressiveTokenizerTrainer({ ...parts, config: { attentionDropout: 1 } }),
    /attentionDropout must be from 0 to below 1: received 1/,
  );
  assert.throws(
    () => new CompressiveTokenizerTrainer({ ...parts, config: { perceptualWeight: NaN } }),
    /perceptualWeight must be at least 0: received NaN/,
  );
  const image = 16 * 24 * 3;
  const batches: [ClipBatch, RegExp][] = [
    [
      { context: new Uint8Array(5), frames: new Uint8Array(5) },
      /context bytes \[B, 16, 24, 3\].*received 5 and 5 bytes/,
    ],
    [{ context: new Uint8Array(2 * image), frames: new Uint8Array(3 * image) }, /frames \[B, T, 16, 24, 3\]/],
    [
      { context: new Uint8Array(image), frames: new Uint8Array(2 * image), pixelWeights: new Float32Array(3) },
      /pixelWeights must be \[1, 2, 16, 24\]: received 3 numbers/,
    ],
  ];
  for (const [batch, message] of batches) {
    const trainer = new CompressiveTokenizerTrainer({ ...parts, clips: () => batch });
    await assert.rejects(trainer.step(), message);
    trainer.dispose();
  }
  disposeParts(parts);
});

forEachEngine("the errors of a small tokenizer fall, those of frames and of contexts", async (engine) => {
  const tokenizer = CompressiveTokenizer.initialize(engine, {
    height: 16,
    width: 16,
    channels: [32],
    layersPerBlock: 1,
    latentChannels: 8,
    normGroups: 8,
    normScope: "position",
    midAttention: false,
    downsamplings: 0,
    pixelPatch: 4,
    patchSize: 2,
  }, { seed: 1, codeGain: 4 });
  const steps = 40;
  const trainer = new CompressiveTokenizerTrainer({
    tokenizer,
    config: { steps, warmupSteps: 5, learningRate: 4e-3, beta2: 0.99, squaredErrorWeight: 10 },
    clips: (step) => squares(4, 3, new Philox(1, step)),
  });
  const errors: number[] = [], contextErrors: number[] = [];
  for (let i = 0; i < steps; i++) {
    const { absoluteError, contextAbsoluteError } = await trainer.step();
    errors.push(absoluteError!);
    contextErrors.push(contextAbsoluteError!);
  }
  const mean = (numbers: number[]) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  for (const [what, all] of [["frames", errors], ["contexts", contextErrors]] as const) {
    const late = mean(all.slice(-5));
    assert.ok(late < all[0] / 3, `the error of ${what} should fall to a third: from ${all[0]} to ${late}`);
  }
  trainer.dispose();
  tokenizer.dispose();
}, { onPretended: false });

/** Clips of a square that moves on grey; its colour is its clip's own. */
function squares(clips: number, length: number, random: Philox): ClipBatch {
  const colours = [[220, 40, 40], [40, 200, 60], [50, 60, 230], [230, 220, 40]], image = 16 * 16 * 3;
  const context = new Uint8Array(clips * image).fill(128), frames = new Uint8Array(clips * length * image).fill(128);
  for (let clip = 0; clip < clips; clip++) {
    const colour = colours[random.integer(0, 4)];
    for (let t = -1; t < length; t++) {
      const target = t < 0 ? context.subarray(clip * image) : frames.subarray((clip * length + t) * image);
      const top = 4 * random.integer(0, 3), left = 4 * random.integer(0, 3);
      for (let y = top; y < top + 8; y++) {
        for (let x = left; x < left + 8; x++) target.set(colour, (y * 16 + x) * 3);
      }
    }
  }
  return { context, frames };
}
