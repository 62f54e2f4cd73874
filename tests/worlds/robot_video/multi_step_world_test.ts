/** The multi-step world over a real, tiny tokenizer: tokens, decoding, metrics, and GRPO through it. */
import assert from "node:assert/strict";
import { type GrpoOptions, GrpoTrainer } from "../../../lib/train/grpo.ts";
import { RELEASED_OBJECTIVE } from "../../../lib/train/objective.ts";
import { tidy } from "../../../lib/tensor/scope.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";
import { LikelihoodTrainer } from "../../../lib/train/likelihood.ts";
import { mae, psnr } from "../../../lib/worlds/robot_video/metrics.ts";
import { MultiStepWorld } from "../../../lib/worlds/robot_video/multi_step_world.ts";
import type { FrameAggregate } from "../../../lib/worlds/robot_video/video_metrics.ts";
import { take } from "../../support/small_transformer.ts";
import { assertClose } from "../../support/compare.ts";
import { forEachEngine } from "../../support/engines.ts";
import { BINS, noting, SIDE, tinyClip, tinyTokenizer, tinyTransformer, VOCABULARY } from "./multi_step_support.ts";

const FRAMES = 4, N = 4, NC = 16, SIZE = SIDE * SIDE * 3;
const METRICS = [mae, psnr];

forEachEngine("MultiStepWorld: a clip's tokens are the tokenizer's, its actions given", async (engine) => {
  const tokenizer = tinyTokenizer(engine), clips = [1, 2, 3].map((seed) => tinyClip(seed, FRAMES));
  const world = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS, frameBatch: 7 });
  assert.equal(world.vocabularySize, VOCABULARY.size);
  const encoded = await world.encode(clips), different = new Set<string>();
  for (const [i, { question, answer, trainedQuestionTokens }] of encoded.entries()) {
    const pixels = (bytes: Uint8Array) => Float32Array.from(bytes, (byte) => byte / 255);
    const own = tidy(() =>
      tokenizer.encode(
        tensor(engine, pixels(clips[i].contextFrame!), [1, SIDE, SIDE, 3]),
        tensor(engine, pixels(clips[i].frames), [1, FRAMES, SIDE, SIDE, 3]),
      )
    );
    const context = Array.from(await take(own.context), Number), frames = Array.from(await take(own.frames), Number);
    const bins = Array.from(BINS.encode(clips[i].actions), (bin) => VOCABULARY.actionOffset + bin);
    const sequence = [...context.map((token) => VOCABULARY.contextOffset + token)], sampled = new Array(NC).fill(0);
    for (let t = 0; t < FRAMES; t++) {
      sequence.push(...frames.slice(t * N, (t + 1) * N), ...bins.slice(2 * t, 2 * t + 2));
      sampled.push(...new Array(N).fill(t === 0 ? 0 : 1), 0, 0);
      different.add(frames.slice(t * N, (t + 1) * N).join());
    }
    assert.deepEqual([...question, ...answer.tokens], sequence);
    assert.deepEqual([...new Uint8Array(question.length), ...answer.sampled], sampled);
    assert.equal(trainedQuestionTokens, 0);
    assert.deepEqual(world.answerTokens(answer.tokens, clips[i]).join(), frames.slice(N).join());
  }
  assert.ok(different.size > 6, `the tokenizer tells frames apart: ${different.size} of 12`);
  tokenizer.dispose();
});

forEachEngine("MultiStepWorld: answers are decoded with their own clip's context, once a clip", async (engine) => {
  const real = tinyTokenizer(engine), { tokenizer, asked } = noting(real);
  const world = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS });
  const clips = [1, 2].map((seed) => tinyClip(seed, FRAMES)), before = engine.memory().tensors;
  const answers = (await world.encode([...clips, tinyClip(3, FRAMES)])).map(({ answer }) => answer.tokens);
  // Whatever a model says: tokens of contexts and actions among the frames', and too few of them.
  answers.push(answers[0].map((id, t) => t % 3 === 0 ? VOCABULARY.size - 1 : id), answers[1].slice(0, 7));
  for (const owners of [[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 1, 0], [1, 0, 1, 1, 1, 1]]) {
    const said = [0, 1, 2, 3, 4, 0].map((i) => answers[i]), of = owners.map((i) => clips[i]);
    asked.contexts.length = 0;
    const { frames, tokens } = await world.decode(said, of);
    assert.deepEqual(asked.contexts, [2]);
    assert.deepEqual(frames.shape, [6, FRAMES - 1, SIDE, SIDE, 3]);
    const pixels = await take(frames);
    for (const [i, answer] of said.entries()) {
      assert.deepEqual(tokens[i], world.answerTokens(answer, of[i]));
      assert.ok(tokens[i].every((frame) => frame.every((token) => token >= 0 && token < 9)));
      const { context } = (await world.clipTokens([of[i]]))[0];
      const own = await take(tidy(() =>
        real.decode(
          tensor(engine, context, [1, NC]),
          tensor(engine, Int32Array.from(tokens[i].flatMap((frame) => [...frame])), [1, FRAMES - 1, N]),
        )
      ));
      const received = pixels.subarray(i * own.length, (i + 1) * own.length);
      assertClose(received, Array.from(own, Number), 1e-5, `answer ${i}`);
    }
    for (const each of asked.decoded.splice(0)) each.dispose();
  }
  // One's own context matters: the same answer looks different in another clip.
  const { frames } = await world.decode([answers[0], answers[0]], clips);
  const [apart] = await take(tidy(() => frames.narrow(0, 0, 1).sub(frames.narrow(0, 1, 1)).abs().max()));
  frames.dispose();
  for (const each of asked.decoded) each.dispose();
  assert.ok(Number(apart) > 1e-4, `${apart}`);
  assert.equal(engine.memory().tensors, before, "tensors left behind");
  real.dispose();
});

forEachEngine("MultiStepWorld: metrics frame by frame, then as asked; standing still is counted", async (engine) => {
  const tokenizer = tinyTokenizer(engine), clips = [1, 2].map((seed) => tinyClip(seed, FRAMES));
  const values: Record<string, Float32Array> = {};
  for (const aggregate of ["mean", "last", "discount"] as FrameAggregate[]) {
    const world = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS, aggregate, frameBatch: 2 });
    assert.deepEqual(Object.entries(world.metrics).map(([name, { better }]) => `${name} ${better}`), [
      "mae lower",
      "psnr higher",
      "repetition lower",
    ]);
    const [answer] = (await world.encode(clips)).map((each) => each.answer.tokens);
    const still = answer.slice();
    still.copyWithin(N + 2, 0, N);
    const predicted = await world.decode([answer, still], clips), truth = await world.truth(clips);
    const shown = predicted.frames.shape.slice(1);
    assert.deepEqual(shown, [FRAMES - 1, SIDE, SIDE, 3]);
    const [a, b] = [await predicted.frames.data(), await truth.frames.data()];
    assertClose(
      b.subarray(0, 3 * SIZE),
      Array.from(clips[0].frames.subarray(SIZE), (byte) => byte / 255),
      1e-6,
      "truth",
    );
    const errors = Array.from({ length: 6 }, (_, frame) => {
      let sum = 0;
      for (let p = frame * SIZE; p < (frame + 1) * SIZE; p++) sum += Math.abs(Number(a[p]) - Number(b[p])) / SIZE;
      return sum;
    });
    const weights = { mean: [1 / 3, 1 / 3, 1 / 3], last: [0, 0, 1], discount: [1 / 2.71, 0.9 / 2.71, 0.81 / 2.71] };
    const expected = [0, 3].map((at) => weights[aggregate].reduce((sum, w, t) => sum + w * errors[at + t], 0));
    values[aggregate] = await world.metrics.mae.compute(predicted, truth);
    assertClose(values[aggregate], expected, 1e-5, aggregate);
    const rates = await world.metrics.repetition.compute(predicted, truth);
    const distinct = predicted.tokens[0].map((frame) => frame.join());
    assert.equal(rates[0], [1, 2].filter((t) => distinct[t] === distinct[t - 1]).length / 2);
    assert.ok(rates[1] >= 0.5, "its first two frames are the same");
    for (const name of ["mae", "repetition"]) {
      const metric = world.metrics[name];
      const { values, contributions: added } = await metric.computeParts!(predicted, truth);
      const sums = [0, 1].map((i) => added.subarray(i * 3, i * 3 + 3).reduce((sum, each) => sum + each, 0));
      assert.deepEqual(values, await metric.compute(predicted, truth), `${name}: the same to the last digit`);
      assertClose(sums, values, 1e-6, `contributions to ${name}`);
    }
    // Patch by patch: as many numbers as tokens, the same sums.
    const fine = new MultiStepWorld({
      tokenizer,
      bins: BINS,
      metrics: METRICS,
      aggregate,
      frameBatch: 2,
      parts: "patches",
    });
    for (const name of ["mae", "repetition"]) {
      const { values, contributions: byFrame } = await world.metrics[name].computeParts!(predicted, truth);
      const { values: same, contributions: byPatch } = await fine.metrics[name].computeParts!(predicted, truth);
      assert.deepEqual(same, values, `${name}: the same to the last digit`);
      const frames = Array.from(
        byFrame,
        (_, i) => byPatch.subarray(i * N, (i + 1) * N).reduce((sum, each) => sum + each, 0),
      );
      assert.equal(byPatch.length, 2 * (FRAMES - 1) * N);
      assertClose(frames, byFrame, 1e-6, `patches of ${name}`);
    }
    assert.equal(fine.metrics.psnr.computeParts, undefined, "no sum of patches");
    const [{ answer: { parts } }] = await fine.encode(clips);
    assert.equal(parts!.at(-1), (FRAMES - 1) * N - 1);
    const selected = world.select(truth, [1, 0, 1]), repeated = world.select(predicted, [1, 1]);
    const [one, two] = [await truth.frames.data(), await selected.frames.data()], size = one.length / 2;
    assert.deepEqual([...two], [...one.subarray(size), ...one]);
    assert.deepEqual([selected.tokens, repeated.tokens], [[], [predicted.tokens[1], predicted.tokens[1]]]);
    for (const states of [predicted, truth, selected, repeated]) world.release(states);
  }
  assert.notDeepEqual(values.mean, values.last);
  tokenizer.dispose();
});

forEachEngine("MultiStepWorld: tokens are remembered; other clips and bad ones are not mistaken", async (engine) => {
  const real = tinyTokenizer(engine), { tokenizer, asked } = noting(real);
  const world = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS, rememberClips: 3 });
  const five = () => [1, 2, 3, 4, 5].map((seed) => tinyClip(seed, FRAMES));
  const first = await world.clipTokens(five());
  assert.deepEqual(asked.encoded.splice(0), [4, 4], "batches of one size");
  assert.deepEqual(await world.clipTokens(five()), first);
  assert.deepEqual(asked.encoded.splice(0), [4], "the two that were not remembered");
  // The same frames with another context are another clip.
  const clip = tinyClip(1, FRAMES), other = { ...clip, contextFrame: clip.frames.slice(0, SIZE), contextIndex: 2 };
  assert.notDeepEqual((await world.clipTokens([other]))[0].context, first[0].context);
  // The clips themselves remember their tokens, however many there are.
  asked.encoded.length = 0;
  await world.encode([other, clip]);
  assert.deepEqual(asked.encoded, []);

  const bare = { ...clip, contextFrame: undefined };
  await assert.rejects(world.encode([clip, bare]), /clip of tiny_1 at 2 has no context frame: .* contextReach/);
  await assert.rejects(world.encode([clip, tinyClip(2, 3)]), /tiny_2 at 2 has 3 frames of 16 × 16, the first 4 of/);
  real.dispose();
});

forEachEngine("MultiStepWorld: likelihood and GRPO train on it", async (engine) => {
  const tokenizer = tinyTokenizer(engine), model = tinyTransformer(engine);
  const world = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS });
  const clips = [1, 2].map((seed) => tinyClip(seed, FRAMES));
  const first = new LikelihoodTrainer(model, {
    learningRate: 1e-2,
    warmupSteps: 0,
    weightDecay: 0,
    maxGradientNorm: 1,
    microBatch: 2,
    logitChunk: 64,
  });
  const losses: number[] = [];
  for (let step = 0; step < 12; step++) losses.push((await first.step(step, await world.encode(clips))).loss);
  assert.ok(losses[11] < 0.7 * losses[0], losses.join(" "));
  first.optimizer.dispose();

  const options: GrpoOptions = {
    groupSize: 4,
    miniBatchPrompts: 2,
    microBatchPrompts: 2,
    epochs: 1,
    learningRate: 1e-4,
    weightDecay: 0,
    maxGradientNorm: 1,
    ...RELEASED_OBJECTIVE,
    klCoefficient: 0,
    advantageScale: "group-std",
    dropEqualGroups: false,
    reward: [{ metric: "mae", weight: 1 }, { metric: "repetition", weight: 0.5 }],
    alsoMeasured: ["psnr"],
    temperature: 1,
    sharePrompt: true,
    logitChunk: 64,
    rolloutRows: 64,
    scoreRows: 3,
    seed: 1,
  };
  const trainer = new GrpoTrainer(model, undefined, world, options);
  await trainer.step(0, clips);
  const held = engine.memory().tensors;
  const { reward, metrics, tokens, samplerMismatch, gradientNorm } = await trainer.step(1, clips);
  assert.equal(tokens, 2 * 4 * (FRAMES - 1) * N);
  assert.ok(samplerMismatch < 1e-5 && gradientNorm > 0, `${samplerMismatch} ${gradientNorm}`);
  assert.ok(Math.abs(reward + metrics.mae + 0.5 * metrics.repetition) < 1e-6, `${reward} ${JSON.stringify(metrics)}`);
  assert.ok(Number.isFinite(metrics.psnr));
  assert.equal(engine.memory().tensors, held, "tensors of a step");
  trainer.optimizer.dispose();
  // Credited by frame: the same answers and rewards, another gradient.
  const byFrame = new GrpoTrainer(model, undefined, world, { ...options, credit: "part", learningRate: 1e-9 });
  const byAnswer = new GrpoTrainer(model, undefined, world, { ...options, learningRate: 1e-9 });
  const [one, other] = [await byFrame.step(2, clips), await byAnswer.step(2, clips)];
  assert.equal(one.reward, other.reward);
  assert.ok(one.gradientNorm > 0 && one.gradientNorm !== other.gradientNorm, `${one.gradientNorm}`);
  assert.throws(
    () =>
      new GrpoTrainer(model, undefined, world, {
        ...options,
        credit: "part",
        loss: "gspo",
      }),
    /credit "part" has no meaning with the loss gspo/,
  );
  const patches = new MultiStepWorld({ tokenizer, bins: BINS, metrics: METRICS, parts: "patches" });
  const byPatch = new GrpoTrainer(model, undefined, patches, { ...options, credit: "part", learningRate: 1e-9 });
  const third = await byPatch.step(2, clips);
  assert.equal(third.reward, other.reward);
  assert.ok(third.gradientNorm > 0 && third.gradientNorm !== one.gradientNorm, `${third.gradientNorm}`);
  byPatch.optimizer.dispose();
  byFrame.optimizer.dispose();
  byAnswer.optimizer.dispose();
  model.dispose();
  tokenizer.dispose();
});
