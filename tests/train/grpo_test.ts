import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { toHost } from "../../lib/nn/parameters.ts";
import { toFloat32 } from "../../lib/io/safetensors.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import { RELEASED_OBJECTIVE } from "../../lib/train/objective.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { zeros } from "../../lib/tensor/tensor.ts";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { forEachEngine, onOneEngine } from "../support/engines.ts";
import { openToyWorld, toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

const OPTIONS = {
  groupSize: 8,
  miniBatchPrompts: 8,
  microBatchPrompts: 8,
  epochs: 1,
  learningRate: 1e-3,
  weightDecay: 0.01,
  maxGradientNorm: 1,
  ...RELEASED_OBJECTIVE,
  klCoefficient: 0,
  advantageScale: "group-std" as const,
  dropEqualGroups: false,
  reward: [{ metric: "error", weight: 1 }],
  alsoMeasured: ["exact"],
  temperature: 1,
  sharePrompt: true,
  logitChunk: 64,
  rolloutRows: 1024,
  scoreRows: 1024,
  seed: 5,
} satisfies GrpoOptions;

/** Steps of GRPO from the same model; returns the losses and the weights. */
async function run(engine: Engine, steps: number, change: Partial<GrpoOptions> = {}, given: number[] = []) {
  const model = toyModel(engine), options: GrpoOptions = { ...OPTIONS, ...change };
  const reference = options.klCoefficient! > 0 ? toyModel(engine, 1) : undefined;
  const trainer = new GrpoTrainer(model, reference, toyWorld(given), options);
  const metrics = [];
  for (let step = 0; step < steps; step++) metrics.push(await trainer.step(step, toyTransitions(3, step, 8)));
  const weights = new Map([...await toHost(model.parameters)].map(([name, each]) => [name, toFloat32(each)]));
  trainer.optimizer.dispose();
  reference?.dispose();
  model.dispose();
  return { metrics, weights };
}

function difference(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let most = 0;
  for (const [name, values] of a) values.forEach((x, i) => most = Math.max(most, Math.abs(x - b.get(name)![i])));
  return most;
}

forEachEngine("GrpoTrainer: shared and unshared prompts make the same update", async (engine) => {
  const shared = await run(engine, 2), plain = await run(engine, 2, { sharePrompt: false });
  for (let step = 0; step < 2; step++) {
    const [a, b] = [shared.metrics[step], plain.metrics[step]];
    assert.ok(Math.abs(a.loss - b.loss) < 1e-5, `loss ${a.loss} and ${b.loss}`);
    assert.ok(
      Math.abs(a.gradientNorm - b.gradientNorm) < 1e-5 * (1 + a.gradientNorm),
      `${a.gradientNorm} ${b.gradientNorm}`,
    );
    assert.equal(a.reward, b.reward);
  }
  // AdamW divides by the gradient's own size, so equal gradients of size 1e-8 may part by the learning rate.
  assert.ok(difference(shared.weights, plain.weights) < 2e-3);
});

forEachEngine("GrpoTrainer: micro-batches add up to the batch", async (engine) => {
  const objective = { klCoefficient: 0.1, entropyCoefficient: 0.01 };
  const whole = await run(engine, 1, objective, [1]);
  const split = await run(
    engine,
    1,
    { ...objective, microBatchPrompts: 2, logitChunk: 7, rolloutRows: 16, scoreRows: 5 },
    [1],
  );
  const [a, b] = [whole.metrics[0], split.metrics[0]];
  assert.equal(a.reward, b.reward, "the same answers are sampled");
  for (const name of ["loss", "kl", "gradientNorm", "samplerMismatch"] as const) {
    assert.ok(Math.abs(a[name]! - b[name]!) < 1e-5 * (1 + Math.abs(a[name]!)), `${name}: ${a[name]} and ${b[name]}`);
  }
  assert.ok(a.kl! > 0, "the reference is another model");
});

forEachEngine("GrpoTrainer: the sampler and the update agree, and the first ratio is 1", async (engine) => {
  const once = (await run(engine, 1)).metrics[0];
  assert.ok(once.samplerMismatch < 1e-5, `mismatch ${once.samplerMismatch}`);
  assert.equal(once.clipShare, 0);
  const recomputed = (await run(engine, 1, { miniBatchPrompts: 4 })).metrics[0];
  assert.ok(recomputed.samplerMismatch < 1e-5);
  const sequence = await run(engine, 1, {
    loss: "gspo",
    denominator: "sequence-mean",
  });
  // All answers are equally long, so on the first update the sequence ratio changes nothing.
  assert.ok(Math.abs(sequence.metrics[0].gradientNorm - once.gradientNorm) < 1e-4 * once.gradientNorm);
});

forEachEngine("GrpoTrainer: it learns what likelihood training began", async (engine) => {
  const model = toyModel(engine), world = toyWorld();
  const first = new LikelihoodTrainer(model, {
    learningRate: 3e-3,
    warmupSteps: 5,
    weightDecay: 0,
    maxGradientNorm: 1,
    microBatch: 16,
    logitChunk: 256,
  });
  for (let step = 0; step < 60; step++) await first.step(step, await world.encode(toyTransitions(1, step, 32)));
  const trainer = new GrpoTrainer(model, undefined, world, { ...OPTIONS, learningRate: 2e-3 });
  const rewards: number[] = [];
  for (let step = 0; step < 40; step++) rewards.push((await trainer.step(step, toyTransitions(2, step, 8))).reward);
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  const before = mean(rewards.slice(0, 5)), after = mean(rewards.slice(-5));
  assert.ok(after > before + 0.1, `reward ${before} → ${after}`);
  first.optimizer.dispose();
  trainer.optimizer.dispose();
  model.dispose();
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
  const { metrics } = await run(engine, 1, { dropEqualGroups: true, reward: [{ metric: "exact", weight: 1 }] });
  assert.equal(metrics[0].equalGroups, 1, "an untrained model is never exact");
  assert.equal(metrics[0].gradientNorm, 0);
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

forEachEngine(
  "GrpoTrainer: answers that end themselves: shared, unshared, split and checkpointed alike",
  async (engine) => {
    const objective = { klCoefficient: 0.1, entropyCoefficient: 0.01 };
    const go = async (change: Partial<GrpoOptions>) => {
      const model = toyModel(engine), reference = toyModel(engine, 1);
      const trainer = new GrpoTrainer(model, reference, openToyWorld(), { ...OPTIONS, ...objective, ...change });
      const metrics = await trainer.step(0, toyTransitions(3, 0, 8, (i) => 2 + i % 3));
      trainer.optimizer.dispose();
      reference.dispose();
      model.dispose();
      return metrics;
    };
    for (const loss of ["dual-clip", "gspo", "cispo"]) {
      const common = { loss, denominator: "fixed-length" as const, miniBatchPrompts: 4 };
      const whole = await go(common);
      assert.ok(whole.cutAnswers! > 0 && whole.cutAnswers! < 1, `${whole.cutAnswers}`);
      assert.ok(whole.samplerMismatch < 1e-5 && whole.tokens > 64 && whole.tokens < 64 * 9);
      for (
        const change of [
          { sharePrompt: false },
          { microBatchPrompts: 1, logitChunk: 7, rolloutRows: 16, scoreRows: 5 },
          { checkpointing: true },
        ]
      ) {
        const other = await go({ ...common, ...change });
        for (const name of ["reward", "loss", "kl", "gradientNorm", "entropy", "tokens", "cutAnswers"] as const) {
          const [a, b] = [whole[name]!, other[name]!];
          assert.ok(
            Math.abs(a - b) < 2e-5 * (1 + Math.abs(a)),
            `${loss} ${JSON.stringify(change)} ${name}: ${a} ${b}`,
          );
        }
      }
    }
  },
);

forEachEngine("GrpoTrainer: rollouts among the likeliest tokens", async (engine) => {
  const [{ metrics: [one] }, { metrics: [all] }, { metrics: [some] }] = [
    await run(engine, 1, { topK: 1 }),
    await run(engine, 1),
    await run(engine, 1, { topK: 3 }),
  ];
  assert.equal(one.duplicateAnswers, 1 - 1 / OPTIONS.groupSize, "one answer a group");
  assert.equal(one.gradientNorm, 0);
  assert.ok(all.duplicateAnswers < 0.1 && some.gradientNorm > 0);
  // What is drawn from fewer is drawn with less surprise, by the sampler's own account.
  assert.ok(some.entropy < all.entropy && some.samplerMismatch > all.samplerMismatch);
});

forEachEngine("GrpoTrainer: answers that end themselves, credited by part", async (engine) => {
  const parts = 3,
    answerParts = {
      count: parts,
      of: (answer: Int32Array) => Uint16Array.from(answer, (_, t) => Math.min(t, parts - 1)),
    };
  // What an answer earns is known: as many points as tokens, all of them for one of its parts.
  const step = async (earns: number, change: Partial<GrpoOptions>) => {
    const model = toyModel(engine), world = openToyWorld();
    const points = {
      better: "higher" as const,
      compute: (states: number[][]) => Promise.resolve(Float32Array.from(states, (each) => each.length)),
      computeParts: (states: number[][]) =>
        Promise.resolve({
          values: Float32Array.from(states, ({ length }) => length),
          contributions: Float32Array.from(
            states.flatMap(({ length }) => [0, 1, 2].map((i) => i === earns ? length : 0)),
          ),
        }),
    };
    const trainer = new GrpoTrainer(model, undefined, { ...world, answerParts, metrics: { points } }, {
      ...OPTIONS,
      reward: [{ metric: "points", weight: 1 }],
      alsoMeasured: [],
      ...change,
    });
    const metrics = await trainer.step(0, toyTransitions(3, 0, 8, (i) => 2 + i % 3));
    trainer.optimizer.dispose();
    model.dispose();
    return metrics;
  };
  const whole = await step(2, {}), last = await step(2, { credit: "part" }), first = await step(0, { credit: "part" });
  // Whoever earns at the end owes it to everything before; whoever earns at the beginning, to that alone.
  assert.ok(Math.abs(whole.gradientNorm - last.gradientNorm) < 1e-5 * whole.gradientNorm);
  assert.ok(Math.abs(whole.loss - last.loss) < 1e-5);
  assert.ok(Math.abs(first.gradientNorm - whole.gradientNorm) > 0.1 * whole.gradientNorm, `${first.gradientNorm}`);
  const discounted = await step(2, { credit: "part", creditDiscount: 0.1 });
  assert.ok(Math.abs(discounted.gradientNorm - whole.gradientNorm) > 0.01 * whole.gradientNorm);
  for (const each of [last, first, discounted]) assert.equal(each.reward, whole.reward);
  const bound = 7 / Math.sqrt(8);
  for (const { largestAdvantage } of [whole, last, first, discounted]) {
    assert.ok(largestAdvantage > 0.5 && largestAdvantage <= bound, `${largestAdvantage}`);
  }

  const model = toyModel(engine),
    points = { better: "higher" as const, compute: () => Promise.resolve(new Float32Array()) };
  const make = (change: Partial<GrpoOptions>, own: object) => () =>
    new GrpoTrainer(model, undefined, { ...openToyWorld(), metrics: { points }, ...own }, {
      ...OPTIONS,
      reward: [{ metric: "points", weight: 1 }],
      alsoMeasured: [],
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

onOneEngine("GrpoTrainer: it learns answers that end themselves", async (engine) => {
  const model = toyModel(engine), world = openToyWorld();
  const transitions = (step: number) => toyTransitions(4, step, 16, (i) => 2 + i % 3);
  const first = new LikelihoodTrainer(model, {
    learningRate: 5e-3,
    warmupSteps: 5,
    weightDecay: 0,
    maxGradientNorm: 1,
    microBatch: 16,
    logitChunk: 4096,
  });
  for (let step = 0; step < 60; step++) await first.step(step, await world.encode(transitions(step)));
  const reward = [{ metric: "exact", weight: 1 }];
  const trainer = new GrpoTrainer(model, undefined, world, {
    ...OPTIONS,
    reward,
    alsoMeasured: [],
    learningRate: 2e-3,
  });
  const rewards: number[] = [];
  for (let step = 0; step < 25; step++) rewards.push((await trainer.step(step, transitions(1000 + step))).reward);
  const mean = (values: number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;
  assert.ok(mean(rewards.slice(-5)) > mean(rewards.slice(0, 5)) + 0.05, rewards.join(" "));
  first.optimizer.dispose();
  trainer.optimizer.dispose();
  model.dispose();
});
