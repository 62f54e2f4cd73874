import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { zeros } from "../../lib/tensor/tensor.ts";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { forEachEngine, onOneEngine } from "../support/engines.ts";
import { openToyWorld, TOY_GRPO, toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

const OPTIONS = { ...TOY_GRPO, weightDecay: 0.01, alsoMeasured: ["exact"] };

/** A step of GRPO from the same model. */
async function once(engine: Engine, change: Partial<GrpoOptions> = {}) {
  const model = toyModel(engine), trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...OPTIONS, ...change });
  const metrics = await trainer.step(0, toyTransitions(3, 0, 8));
  trainer.optimizer.dispose();
  model.dispose();
  return metrics;
}

forEachEngine("GrpoTrainer: the sampler and the update agree, and the first ratio is 1", async (engine) => {
  const { samplerMismatch, clipShare } = await once(engine);
  assert.ok(samplerMismatch < 1e-5, `mismatch ${samplerMismatch}`);
  assert.equal(clipShare, 0);
});

onOneEngine("GrpoTrainer: it learns what likelihood training began", async (engine) => {
  for (
    const { world, lengths, learningRate, reward } of [
      { world: toyWorld(), lengths: 4, learningRate: 3e-3, reward: "error" },
      { world: openToyWorld(), lengths: (i: number) => 2 + i % 3, learningRate: 5e-3, reward: "exact" },
    ]
  ) {
    const model = toyModel(engine);
    const first = new LikelihoodTrainer(model, {
      learningRate,
      warmupSteps: 5,
      weightDecay: 0,
      maxGradientNorm: 1,
      microBatch: 16,
      logitChunk: 256,
    });
    for (let step = 0; step < 60; step++) {
      await first.step(step, await world.encode(toyTransitions(1, step, 16, lengths)));
    }
    const options = { ...OPTIONS, reward: [{ metric: reward, weight: 1 }], learningRate: 2e-3 };
    const trainer = new GrpoTrainer(model, undefined, world, options), rewards: number[] = [];
    for (let step = 0; step < 20; step++) {
      rewards.push((await trainer.step(step, toyTransitions(2, step, 16, lengths))).reward);
    }
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value) / values.length;
    const before = mean(rewards.slice(0, 5)), after = mean(rewards.slice(-5));
    assert.ok(after > before + 0.05, `${reward}: ${rewards}`);
    for (const { optimizer } of [first, trainer]) optimizer.dispose();
    model.dispose();
  }
});

forEachEngine("GrpoTrainer: memory is flat over steps", async (engine) => {
  const model = toyModel(engine), reference = toyModel(engine);
  const options = { ...OPTIONS, klCoefficient: 0.01, miniBatchPrompts: 4 };
  const trainer = new GrpoTrainer(model, reference, toyWorld(), options);
  const step = async (i: number) => void await trainer.step(i, toyTransitions(3, i, 8));
  await step(0);
  const before = engine.memory().tensors;
  for (let i = 1; i < 5; i++) await step(i);
  assert.equal(engine.memory().tensors, before);
  trainer.optimizer.dispose();
  model.dispose();
  reference.dispose();
});

forEachEngine("GrpoTrainer: groups of equal rewards can be dropped, and a bad option is named", async (engine) => {
  const step = await once(engine, { dropEqualGroups: true, reward: [{ metric: "exact", weight: 1 }] });
  assert.equal(step.equalGroups, 1, "an untrained model is never exact");
  assert.equal(step.gradientNorm, 0);
  const model = toyModel(engine);
  const make = (change: Partial<GrpoOptions>) => () =>
    new GrpoTrainer(model as CausalTransformer, undefined, toyWorld(), { ...OPTIONS, ...change });
  assert.throws(make({ groupSize: 1 }), /groupSize: Too small: expected number to be >=2: received 1/);
  assert.throws(
    make({ reward: [{ metric: "lpips", weight: 1 }] }),
    /no metric "lpips": choose among error, distance, exact/,
  );
  assert.throws(make({ klCoefficient: 0.001 }), /klCoefficient is 0.001, which needs a reference model/);
  model.dispose();
});

forEachEngine("GrpoTrainer: a gradient that is exactly 0 where answers earned differently ends it", async (engine) => {
  // Without a head and without anything for it to see, every token is as likely as any other, whatever is trained.
  const model = toyModel(engine);
  for (const name of ["model.norm.weight", "lm_head.weight"]) {
    const parameter = model.parameters.get(name)!;
    tidy(() => parameter.assign(zeros(engine, parameter.shape)));
  }
  const trainer = new GrpoTrainer(model, undefined, toyWorld(), OPTIONS), { tensors } = engine.memory();
  await assert.rejects(
    async () => await trainer.step(7, toyTransitions(3, 7, 8)),
    (error: Error) =>
      error instanceof TrainingDivergedError && error.since === 7 &&
      /^the gradient's norm, with answers that earned differently, is 0 at step 7: training stopped/.test(
        error.message,
      ),
  );
  assert.equal(engine.memory().tensors, tensors);
  assert.equal(trainer.optimizer.stepCount, 0);
  // Where all earned the same there is nothing to pull, and nothing wrong.
  const nothing = new GrpoTrainer(model, undefined, toyWorld(), {
    ...OPTIONS,
    reward: [{ metric: "exact", weight: 1 }],
  });
  assert.equal((await nothing.step(0, toyTransitions(3, 7, 8))).gradientNorm, 0);
  trainer.optimizer.dispose();
  nothing.optimizer.dispose();
  model.dispose();
});

forEachEngine(
  "GrpoTrainer: three updates in a row without a finite gradient end it, single ones are skipped",
  async (engine) => {
    // The same policy, written so that the square of its gradient is more than a float32 holds.
    const scale = (model: CausalTransformer, factor: number) =>
      tidy(() => {
        for (const [name, own] of [["model.norm.weight", 1 / factor], ["lm_head.weight", factor]] as const) {
          const parameter = model.parameters.get(name)!;
          parameter.assign(parameter.mul(own));
        }
      });
    const skippedUpdates = async (broken: readonly number[], miniBatchPrompts = 8) => {
      const model = toyModel(engine);
      const trainer = new GrpoTrainer(model, undefined, toyWorld(), { ...OPTIONS, miniBatchPrompts });
      const skipped: number[] = [];
      try {
        for (let step = 0; step < 8; step++) {
          if (broken.includes(step)) scale(model, 2 ** 83);
          skipped.push((await trainer.step(step, toyTransitions(3, step, 8))).skippedUpdates);
          if (broken.includes(step)) scale(model, 2 ** -83);
        }
        return skipped;
      } finally {
        trainer.optimizer.dispose();
        model.dispose();
      }
    };
    const ends = (step: number, since: number) => (error: Error) =>
      error instanceof TrainingDivergedError && error.since === since &&
      error.message.startsWith(`the number of updates in a row without a finite gradient is 3 at step ${step}: `);
    assert.deepEqual(await skippedUpdates([1, 2, 4, 6, 7]), [0, 1, 1, 0, 1, 0, 1, 1]);
    await assert.rejects(() => skippedUpdates([1, 3, 4, 5]), ends(5, 3));
    await assert.rejects(() => skippedUpdates([2], 2), ends(2, 2));
  },
);

forEachEngine("GrpoTrainer: rollouts among the likeliest tokens", async (engine) => {
  const one = await once(engine, { topK: 1 }), all = await once(engine), three = await once(engine, { topK: 3 });
  assert.equal(one.duplicateAnswers, 1 - 1 / OPTIONS.groupSize, "one answer a group");
  assert.equal(one.gradientNorm, 0);
  assert.ok(all.duplicateAnswers < 0.1 && three.gradientNorm > 0);
  // What is drawn from fewer is drawn with less surprise, by the sampler's own account.
  assert.ok(three.entropy < all.entropy && three.samplerMismatch > all.samplerMismatch);
});

onOneEngine("GrpoTrainer: options that do not fit the world are named", (engine) => {
  const model = toyModel(engine);
  const points = { better: "higher" as const, compute: () => Promise.resolve(new Float32Array()) };
  const make = (change: Partial<GrpoOptions>, ofWorld: object) => () =>
    new GrpoTrainer(model, undefined, { ...openToyWorld(), metrics: { points }, ...ofWorld }, {
      ...TOY_GRPO,
      reward: [{ metric: "points", weight: 1 }],
      ...change,
    });
  assert.throws(make({ credit: "part" }, {}), /credit "part" needs metrics that tell what each part of an answer adds/);
  const computeParts = () => Promise.resolve({ values: new Float32Array(), contributions: new Float32Array() });
  const telling = { metrics: { points: { ...points, computeParts } } };
  assert.throws(
    make({ credit: "part" }, telling),
    /credit "part" needs answers that have parts, which those of .* not/,
  );
  assert.throws(make({ creditDiscount: 0 }, {}), /creditDiscount: .*0: received 0/);
  assert.throws(make({ decaySteps: 3 }, {}), /decaySteps is 3, which are the last ones of steps: give steps as well/);
  for (const old of ["objective", "decay", "ratio"]) {
    assert.throws(make({ [old]: {} } as Partial<GrpoOptions>, {}), new RegExp(`${old} is no option: `));
  }
  model.dispose();
});
