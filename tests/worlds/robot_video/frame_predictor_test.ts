/**
 * Frame predictors against the long way: for every frame and every rollout, the whole token prefix read from scratch, its
 * tokens drawn with the same random numbers.
 */
import assert from "node:assert/strict";
import type { CausalTransformer } from "../../../lib/models/causal_transformer.ts";
import type { SamplingOptions } from "../../../lib/nn/sampling.ts";
import { generate } from "../../../lib/train/generation.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { tidy } from "../../../lib/tensor/scope.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";
import { singleStepPredictor } from "../../../lib/worlds/robot_video/single_step_predictor.ts";
import { multiStepPredictor } from "../../../lib/worlds/robot_video/multi_step_predictor.ts";
import { STREAM } from "../../../lib/base/streams.ts";
import { singleStepQuestion } from "../../../lib/worlds/robot_video/single_step_sequences.ts";
import { singleStepVocabulary } from "../../../lib/worlds/robot_video/vocabulary.ts";
import { smallModel, take } from "../../support/small_transformer.ts";
import { forEachEngine } from "../../support/engines.ts";
import {
  BINS,
  noting,
  picture,
  SIDE,
  tinyFrameTokenizer,
  tinyTokenizer,
  tinyTransformer,
  VOCABULARY,
} from "./multi_step_support.ts";

const SEED = 5, N = 4, NC = 16;

/** The action of a rollout at a step. */
function action(rollout: number, step: number): Float32Array {
  const random = new Philox(9, rollout, step);
  return Float32Array.of(2 * random.uniform() - 1, 2 * random.uniform());
}

/** The tokens of one frame after each prefix, from scratch. Prefixes share nothing, however much of them is equal. */
async function fromScratch(
  model: CausalTransformer,
  prefixes: ReadonlyMap<number, readonly number[]>,
  count: number,
  step: number,
  sampling: SamplingOptions,
): Promise<Map<number, number[]>> {
  const rollouts = [...prefixes.keys()];
  if (rollouts.length === 0) return new Map();
  const { answers } = await generate(model, {
    questions: [...prefixes.values()].map((prefix) => Int32Array.from(prefix)),
    groupSize: 1,
    sampling,
    stream: [SEED, STREAM.predictedFrame, step],
    promptNumbers: rollouts,
    maxTokens: count,
    endTokens: [-1],
  });
  return new Map(rollouts.map((rollout, i) => [rollout, [...answers[i]]]));
}

interface Scenario {
  /** Frames to predict. */
  steps: number;
  /** Which picture each rollout starts from. */
  starts: number[];
  horizon: number;
  sampling: SamplingOptions;
  /** The number of frames after which a rollout ends; the others go on to the last. */
  ends?: Record<number, number>;
  maxRows?: number;
}

/** Runs a scenario through the predictor, and every frame of it from scratch. */
async function compare(
  engine: Engine,
  { steps, starts, horizon, sampling, ends = {}, maxRows }: Scenario,
): Promise<void> {
  const real = tinyTokenizer(engine), { tokenizer, asked } = noting(real), model = tinyTransformer(engine);
  const predictor = multiStepPredictor({ model, tokenizer, bins: BINS, horizon, sampling, maxRows });
  const clamp = (token: number) => Math.min(token, VOCABULARY.frameTokens - 1);
  const bytes = async (context: readonly number[], frame: readonly number[]) => {
    const pixels = await take(tidy(() =>
      real.decode(
        tensor(engine, Int32Array.from(context, (id) => id - VOCABULARY.contextOffset), [1, NC]),
        tensor(engine, Int32Array.from(frame, clamp), [1, 1, N]),
      )
    ));
    return Uint8Array.from(pixels, (each) => Math.round(255 * each));
  };
  const near = (a: Uint8Array, b: Uint8Array, what: string) => {
    assert.equal(a.length, b.length);
    // Pixels are computed in batches of other sizes, so one may be rounded to the neighbouring byte.
    assert.ok(a.every((byte, i) => Math.abs(byte - b[i]) <= 1), what);
  };

  // Tokens of the start frames, each on its own.
  const contexts: number[][] = [], last: number[][] = [], windows: number[][] = [];
  for (const start of starts) {
    const pixels = Float32Array.from(picture(start), (byte) => byte / 255);
    const tokens = tidy(() => {
      const context = tensor(engine, pixels, [1, SIDE, SIDE, 3]);
      return real.encode(context, context.reshape([1, 1, SIDE, SIDE, 3]));
    });
    contexts.push(Array.from(await take(tokens.context), (token) => Number(token) + VOCABULARY.contextOffset));
    last.push(Array.from(await take(tokens.frames), Number));
    windows.push([...contexts.at(-1)!, ...last.at(-1)!]);
  }
  let frames = await predictor.reset(starts.map(picture), SEED);
  for (const [i, frame] of frames.entries()) near(frame, await bytes(contexts[i], last[i]), `start frame ${i}`);

  for (let step = 0; step < steps; step++) {
    const running = [...starts.keys()].filter((i) => step < (ends[i] ?? steps));
    for (const each of asked.decoded.splice(0)) each.dispose();
    const before = frames;
    frames = await predictor.step(starts.map((_, i) => running.includes(i) ? action(i, step) : null));
    for (const i of running) {
      if (step > 0 && step % horizon === 0) windows[i] = [...contexts[i], ...last[i]];
      windows[i].push(...[...BINS.encode(action(i, step))].map((bin) => VOCABULARY.actionOffset + bin));
    }
    const expected = await fromScratch(model, new Map(running.map((i) => [i, windows[i]])), N, step, sampling);
    for (const i of running) {
      last[i] = expected.get(i)!;
      windows[i].push(...last[i]);
      near(frames[i], await bytes(contexts[i], last[i]), `frame ${step + 1} of rollout ${i}`);
    }
    const drawn: string[] = [];
    for (const each of asked.decoded) {
      const tokens = Array.from(await each.data(), Number);
      while (tokens.length > 0) drawn.push(tokens.splice(0, N).join());
    }
    assert.deepEqual(drawn.sort(), running.map((i) => last[i].map(clamp).join()).sort(), `tokens of step ${step}`);
    for (const i of starts.keys()) if (!running.includes(i)) assert.equal(frames[i], before[i], `${i} has ended`);
  }
  for (const each of asked.decoded) each.dispose();
  predictor.dispose();
  model.dispose();
  real.dispose();
}

forEachEngine("multiStepPredictor: 7 frames equal 7 single calls, token for token", async (engine) => {
  await compare(engine, { steps: 7, starts: [1, 2], horizon: 7, sampling: { temperature: 1 } });
  const sampling = { temperature: 0.7, topK: 5, topP: 0.9 };
  await compare(engine, { steps: 2, starts: [3, 1], horizon: Infinity, sampling });
});

forEachEngine("multiStepPredictor: the window slides, and the penalty knows what is in it", async (engine) => {
  await compare(engine, { steps: 5, starts: [1, 2], horizon: 2, sampling: { temperature: 1 } });
  await compare(engine, { steps: 2, starts: [4], horizon: 1, sampling: { temperature: 1 } });
  await compare(engine, { steps: 3, starts: [5], horizon: 2, sampling: { temperature: 1, repetitionPenalty: 1.7 } });
});

forEachEngine("multiStepPredictor: rollouts of one start share it, and ended ones disturb nobody", async (engine) => {
  const sampling = { temperature: 1 };
  // As many of each start, then one fewer of one, then of one start only, then none.
  const ends = { 0: 1, 1: 2, 3: 3, 2: 4 };
  await compare(engine, { steps: 5, starts: [1, 2, 1, 2], horizon: 2, sampling, ends });
  // Uneven from the start; one start alone in its batch.
  await compare(engine, { steps: 2, starts: [1, 2, 1, 1, 3], horizon: 7, sampling, ends: { 2: 1, 4: 0 } });
  await compare(engine, { steps: 1, starts: [1, 1, 2], horizon: 7, sampling });
  await compare(engine, { steps: 2, starts: [1, 2, 1, 1, 2], horizon: 7, sampling, ends: { 0: 1 }, maxRows: 2 });
});

forEachEngine("multiStepPredictor: what rollouts share is computed once", async (engine) => {
  const real = tinyTokenizer(engine), { tokenizer, asked } = noting(real), model = tinyTransformer(engine);
  const predictor = multiStepPredictor({ model, tokenizer, bins: BINS, horizon: 2, sampling: { temperature: 1 } });
  await predictor.reset([1, 2, 1, 2, 1, 2].map(picture), SEED);
  for (let step = 0; step < 5; step++) await predictor.step([0, 1, 2, 3, 4, 5].map((i) => action(i, step)));
  assert.deepEqual([asked.encoded, asked.contexts], [[2], [2]]);
  for (const each of asked.decoded) each.dispose();
  predictor.dispose();
  model.dispose();
  real.dispose();
});

forEachEngine("multiStepPredictor: one seed, one rollout; memory is given back", async (engine) => {
  const tokenizer = tinyTokenizer(engine), model = tinyTransformer(engine);
  const before = engine.memory().tensors;
  const predictor = multiStepPredictor({ model, tokenizer, bins: BINS, horizon: 3, sampling: { temperature: 1 } });
  const run = async (seed: number) => {
    const frames = [await predictor.reset([1, 2].map(picture), seed)];
    for (let step = 0; step < 4; step++) frames.push(await predictor.step([action(0, step), action(1, step)]));
    return frames.flat().map((frame) => frame.join());
  };
  const first = await run(1), held = engine.memory().tensors;
  assert.deepEqual(await run(1), first);
  assert.notDeepEqual(await run(2), first);
  assert.equal(engine.memory().tensors, held, "tensors from one reset to the next");
  // Rollouts that have all ended cost nothing.
  assert.deepEqual((await predictor.step([null, null])).length, 2);
  assert.equal(engine.memory().tensors, before, "tensors after the end");
  await run(1);
  predictor.dispose();
  assert.equal(engine.memory().tensors, before, "tensors after dispose");
  tokenizer.dispose();
  model.dispose();
});

forEachEngine("multiStepPredictor: when the engine fails, nothing half done remains", async (engine) => {
  const real = tinyTokenizer(engine), { tokenizer, asked } = noting(real), model = tinyTransformer(engine);
  let fails = false;
  const failing = {
    ...tokenizer,
    decode: (...given: Parameters<typeof tokenizer.decode>) => {
      if (fails) throw new Error("out of memory");
      return tokenizer.decode(...given);
    },
  };
  const options = { model, tokenizer: failing, bins: BINS, horizon: 3, sampling: { temperature: 1 } };
  const predictor = multiStepPredictor(options), before = engine.memory().tensors;
  await predictor.reset([picture(1), picture(2)], 1);
  fails = true;
  await assert.rejects(predictor.step([action(0, 0), action(1, 0)]), /out of memory/);
  for (const each of asked.decoded.splice(0)) each.dispose();
  assert.equal(engine.memory().tensors, before, "tensors after a failed step");
  await assert.rejects(predictor.step([action(0, 0), action(1, 0)]), /no rollouts yet: call reset first/);
  await assert.rejects(predictor.reset([picture(1)], 1), /out of memory/);
  assert.equal(engine.memory().tensors, before, "tensors after a failed reset");
  fails = false;
  assert.equal((await predictor.reset([picture(1)], 1)).length, 1);
  for (const each of asked.decoded) each.dispose();
  predictor.dispose();
  model.dispose();
  real.dispose();
});

forEachEngine("multiStepPredictor: what cannot be is refused by name, and nothing moves", async (engine) => {
  const tokenizer = tinyTokenizer(engine), model = tinyTransformer(engine);
  const options = { model, tokenizer, bins: BINS, horizon: 3, sampling: { temperature: 1 } };
  const predictor = multiStepPredictor(options);
  assert.deepEqual([predictor.height, predictor.width, predictor.actionWidth, predictor.horizon], [SIDE, SIDE, 2, 3]);
  await assert.rejects(predictor.step([action(0, 0)]), /there are no rollouts yet: call reset first/);
  await assert.rejects(predictor.reset([], 1), /at least one start frame: received none/);
  await assert.rejects(predictor.reset([picture(1), new Uint8Array(5)], 1), /start frame 1 .* 768 bytes: received 5/);
  await predictor.reset([picture(1), picture(2)], 1);
  const good = action(0, 0);
  const refused = (wrong: (Float32Array | null)[], message: RegExp) =>
    assert.rejects(predictor.step(wrong), (error) => error instanceof RangeError && message.test(error.message));
  await refused([good], /an action or null for each of 2 rollouts: received 1/);
  await refused([good, Float32Array.of(0)], /action of rollout 1 must have 2 numbers: received 1/);
  await refused([good, Float32Array.of(0, 2.5)], /rollout 1: lift must be in 0\.\.2: received 2\.5/);
  await refused([Float32Array.of(-1.5, 0), good], /rollout 0: push must be in -1\.\.1: received -1\.5/);
  await refused([Float32Array.of(NaN, 0), null], /rollout 0: push must be in -1\.\.1: received NaN/);
  // After the refusals everything is as if they had not been.
  const other = multiStepPredictor(options);
  await other.reset([picture(1), picture(2)], 1);
  const after = predictor.step([good, good]);
  await assert.rejects(predictor.step([good, good]), /step: step is still running: await it first/);
  assert.deepEqual(await after, await other.step([good, good]));
  await predictor.step([good, null]);
  await assert.rejects(predictor.step([good, good]), /rollout 1 has ended: call reset to begin again/);
  predictor.dispose();
  other.dispose();

  assert.throws(() => multiStepPredictor({ ...options, horizon: 0 }), /horizon must be .*: received 0/);
  assert.throws(() => multiStepPredictor({ ...options, maxRows: 0 }), /maxRows must be .* at least 1: received 0/);
  assert.throws(() => multiStepPredictor({ ...options, sampling: { topP: 2 } }), /topP must be above 0/);
  assert.throws(
    () => multiStepPredictor({ ...options, horizon: 19 }),
    /horizon 19 does not fit into the model's 128 positions: they hold 18 predicted frames/,
  );
  const stranger = smallModel(engine);
  assert.throws(() => multiStepPredictor({ ...options, model: stranger }), /has 37 ids, .* make 20: take those/);
  const short = tinyTransformer(engine, 16 + 2 * 6 + 3);
  const endless = multiStepPredictor({ ...options, model: short, horizon: Infinity });
  await endless.reset([picture(1)], 1);
  await endless.step([good]);
  await endless.step([good]);
  await assert.rejects(endless.step([good]), /positions hold 2 predicted frames: give the predictor a horizon/);
  endless.dispose();
  for (const each of [tokenizer, model, stranger, short]) each.dispose();
});

forEachEngine("singleStepPredictor: frames equal single calls, token for token", async (engine) => {
  const tokenizer = tinyFrameTokenizer(engine);
  const vocabulary = singleStepVocabulary(tokenizer.codebookSize, 3), history = 3, count = tokenizer.tokensPerFrame;
  const model = smallModel(engine, { vocabularySize: vocabulary.size, maxPositions: 128 });
  const before = engine.memory().tensors;
  for (const sampling of [{ temperature: 1 }, { temperature: 1, topK: 4, repetitionPenalty: 1.5 }]) {
    const predictor = singleStepPredictor({ model, tokenizer, bins: BINS, history, sampling, maxRows: 2 });
    assert.equal(predictor.horizon, Infinity);
    const starts = [1, 2, 1], ends = [3, 2, 3], rest = BINS.encode(Float32Array.of(0, 0));
    let shown = await predictor.reset(starts.map(picture), SEED);
    const frames: Int32Array[][] = [], actions = starts.map(() => new Array<Int32Array>(history - 1).fill(rest));
    for (const start of starts) {
      const pixels = Float32Array.from(picture(start), (byte) => byte / 255);
      const tokens = await take(tidy(() => tokenizer.encode(tensor(engine, pixels, [1, SIDE, SIDE, 3]))));
      frames.push(new Array<Int32Array>(history).fill(Int32Array.from(tokens, Number)));
    }
    for (let step = 0; step < 3; step++) {
      const running = starts.map((_, i) => i).filter((i) => step < ends[i]), old = shown;
      shown = await predictor.step(starts.map((_, i) => running.includes(i) ? action(i, step) : null));
      for (const i of running) actions[i].push(BINS.encode(action(i, step)));
      const question = (i: number) =>
        singleStepQuestion(vocabulary, frames[i].slice(-history), actions[i].slice(-history));
      const questions = new Map(running.map((i) => [i, [...question(i)]]));
      const drawn = await fromScratch(model, questions, count, step, sampling);
      for (const i of running) {
        frames[i].push(Int32Array.from(drawn.get(i)!, (token) => Math.min(token, vocabulary.frameTokens - 1)));
        const pixels = await take(tidy(() => tokenizer.decode(tensor(engine, frames[i].at(-1)!, [1, count]))));
        assert.ok(shown[i].every((byte, at) => Math.abs(byte - 255 * Number(pixels[at])) <= 1), `${i} at ${step}`);
      }
      for (const i of starts.keys()) if (!running.includes(i)) assert.equal(shown[i], old[i]);
    }
    await assert.rejects(predictor.step([null, action(1, 0), null]), /rollout 1 has ended/);
    await assert.rejects(predictor.step([Float32Array.of(3, 0), null, null]), /push must be in -1\.\.1: received 3/);
    predictor.dispose();
  }
  assert.equal(engine.memory().tensors, before, "tensors left behind");
  const options = { model, tokenizer, bins: BINS, history, sampling: {} };
  assert.throws(
    () => singleStepPredictor({ ...options, history: 30 }),
    /history 30 needs \d+ positions: the model has 128/,
  );
  assert.throws(() => singleStepPredictor({ ...options, restAction: Float32Array.of(1) }), /must have 2 numbers/);
  tokenizer.dispose();
  model.dispose();
});
