/** GRPO whose answers a server samples: a real HTTP server over a tiny model, which fails at times. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../lib/base/user_error.ts";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { loadAdapters } from "../../lib/models/lora_files.ts";
import type { AnswerSampler, SampledAnswers } from "../../lib/train/answer_sampler.ts";
import { CompletionsClient } from "../../lib/serving/completions_client.ts";
import { type GrpoMetrics, type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import { RELEASED_OBJECTIVE } from "../../lib/train/objective.ts";
import { ServedAnswers } from "../../lib/serving/served_answers.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { withFolder } from "../support/files.ts";
import { forEachEngine } from "../support/engines.ts";
import { openToyWorld, toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";
import { encodeNumbers, serve, type TestServer } from "../support/completions_server.ts";

const OPTIONS: GrpoOptions = {
  groupSize: 8,
  miniBatchPrompts: 4,
  microBatchPrompts: 4,
  epochs: 1,
  learningRate: 1e-2,
  weightDecay: 0,
  maxGradientNorm: 1,
  ...RELEASED_OBJECTIVE,
  klCoefficient: 0,
  advantageScale: "group-std",
  dropEqualGroups: false,
  reward: [{ metric: "error", weight: 1 }],
  alsoMeasured: [],
  temperature: 1,
  sharePrompt: true,
  logitChunk: 64,
  rolloutRows: 1024,
  scoreRows: 1024,
  seed: 5,
};

const transitions = (step: number) => toyTransitions(3, step, 4, (i) => 2 + i % 3);
const client = (server: TestServer, options = {}) =>
  new CompletionsClient(server.base, { backoffSeconds: 0.01, ...options });

/** A sampler that keeps what another one gave. */
function remembering(sampler: AnswerSampler): AnswerSampler & { given: SampledAnswers[] } {
  const given: SampledAnswers[] = [];
  return {
    followsPolicy: sampler.followsPolicy,
    given,
    async sample(request) {
      given.push(await sampler.sample(request));
      return given.at(-1)!;
    },
  };
}

/** A sampler that gives answers again. */
function repeating(given: SampledAnswers, change: Partial<AnswerSampler & SampledAnswers> = {}): AnswerSampler {
  const { followsPolicy = true, ...other } = change;
  return { followsPolicy, sample: () => Promise.resolve({ ...given, ...other }) };
}

/** One step of a new policy. */
async function stepOf(
  engine: Engine,
  sampler?: AnswerSampler,
  change: Partial<GrpoOptions> = {},
): Promise<GrpoMetrics> {
  const model = toyModel(engine);
  const trainer = new GrpoTrainer(model, undefined, openToyWorld(), { ...OPTIONS, ...change }, sampler);
  const metrics = await trainer.step(0, transitions(0));
  trainer.optimizer.dispose();
  model.dispose();
  return metrics;
}

const options = (model: CausalTransformer, notes: string[] = []) => ({
  model,
  folder: "/nowhere",
  name: "toy",
  onNote: (note: string) => void notes.push(note),
});

function close(a: GrpoMetrics, b: GrpoMetrics, tolerance = 1e-5): void {
  for (const name of ["reward", "loss", "gradientNorm", "entropy", "tokens", "cutAnswers"] as const) {
    assert.ok(Math.abs(a[name]! - b[name]!) <= tolerance * (1 + Math.abs(a[name]!)), `${name}: ${a[name]} ${b[name]}`);
  }
}

forEachEngine(
  "served answers: a step of the served model is a step of the policy itself, faults or not",
  async (engine) => {
    const model = toyModel(engine), notes: string[] = [];
    await using server = serve(model, { ids: "token_ids" });
    const retried: string[] = [];
    const sampler = remembering(
      new ServedAnswers(client(server, { onRetry: (note: string) => retried.push(note) }), options(model, notes)),
    );
    assert.equal(notes.length, 1);
    assert.match(notes[0], /^rollouts: without LoRA the server keeps its weights/);
    server.faults = [
      () => new Response("overloaded", { status: 503 }),
      undefined,
      () => Response.json({ error: { message: "slow down" } }, { status: 429 }),
      () => new Response("gone", { status: 500 }),
    ];
    const served = await stepOf(engine, sampler);
    assert.equal(served.rolloutRetries, 3);
    assert.equal(retried.length, 3);
    assert.equal(served.unknownAnswers, undefined);
    assert.ok(served.samplerMismatch < 1e-5, `${served.samplerMismatch}`);
    assert.equal(served.clipShare, 0);
    const { retries: _, ...given } = sampler.given[0];
    const own = await stepOf(engine, repeating(given));
    assert.equal(own.rolloutRetries, undefined);
    close(served, own);
    // And the same form as sampling here.
    const here = await stepOf(engine);
    assert.deepEqual(Object.keys(here).sort(), Object.keys(own).sort());
    model.dispose();
  },
);

forEachEngine("served answers: another model's log-probabilities are the old ones of the ratio", async (engine) => {
  const policy = toyModel(engine), other = toyModel(engine, 7);
  await using server = serve(other, { ids: "token_ids" });
  const sampler = remembering(new ServedAnswers(client(server), options(policy)));
  const served = await stepOf(engine, sampler);
  assert.ok(served.samplerMismatch > 0.05, `${served.samplerMismatch}`);
  assert.ok(served.clipShare > 0, "ratios differ from 1 on the first update");
  const given = sampler.given[0];
  const uncorrected = await stepOf(engine, repeating(given));
  assert.equal(uncorrected.clipShare, 0);
  assert.ok(Math.abs(served.gradientNorm - uncorrected.gradientNorm) > 1e-3 * served.gradientNorm);
  // Unclipped, ratios twice as high double the gradient.
  const wide = { loss: "clip", clipLow: 0.999999, clipHigh: 1e9 };
  const lower = given.logProbabilities.map((each) => each!.map((x) => x - Math.log(2)));
  const once = await stepOf(engine, repeating(given, { followsPolicy: false }), wide);
  const twice = await stepOf(engine, repeating(given, { followsPolicy: false, logProbabilities: lower }), wide);
  assert.ok(Math.abs(twice.gradientNorm / once.gradientNorm - 2) < 1e-3, `${twice.gradientNorm} ${once.gradientNorm}`);
  policy.dispose();
  other.dispose();
});

forEachEngine("served answers: what the server does not say is computed here", async (engine) => {
  const policy = toyModel(engine);
  await using server = serve(policy, { ids: "text" });
  const { openAnswers } = openToyWorld();
  assert.deepEqual(openAnswers!.endTokens, [11]);
  const sampler = remembering(new ServedAnswers(client(server, { encode: encodeNumbers }), options(policy)));
  const served = await stepOf(engine, sampler);
  assert.equal(served.unknownAnswers, 1);
  assert.ok(served.entropy > 1 && served.entropy < Math.log(12) + 0.1, `${served.entropy}`);
  close(served, await stepOf(engine, repeating(sampler.given[0])));
  // Some known, some not: the known ones are taken as they are.
  const known = await stepOf(engine, repeating(sampler.given[0], { followsPolicy: true }));
  const numbers = sampler.given[0].answers.map((answer, i) => i % 2 ? undefined : new Float32Array(answer.length));
  const mixed = await stepOf(engine, repeating(sampler.given[0], { logProbabilities: numbers }));
  assert.equal(mixed.unknownAnswers, 0.5);
  assert.ok(mixed.entropy > 0.2 * known.entropy && mixed.entropy < 0.8 * known.entropy);
  policy.dispose();
});

forEachEngine("served answers: with LoRA the server follows the policy, step by step", async (engine) => {
  await withFolder(async (folder) => {
    const policy = toyModel(engine), twin = toyModel(engine);
    policy.attachAdapters({ rank: 4, alpha: 16, targets: "all-linear", seed: 3 });
    const notes: string[] = [], loaded: string[] = [];
    await using server = serve(twin, {
      ids: "token_ids",
      onAdapter: async (path) => {
        if (twin.adapters) twin.detachAdapters();
        await loadAdapters(twin, path);
        loaded.push(JSON.parse(await Deno.readTextFile(join(path, "adapter_config.json"))).base_model_name_or_path);
      },
    });
    const sampler = new ServedAnswers(client(server), { ...options(policy, notes), folder, baseModel: "org/base" });
    assert.deepEqual(notes, []);
    const trainer = new GrpoTrainer(policy, "without-adapters", openToyWorld(), OPTIONS, sampler);
    for (let step = 0; step < 3; step++) {
      const metrics = await trainer.step(step, transitions(step));
      assert.ok(metrics.samplerMismatch < 1e-4, `step ${step}: the server samples from other weights`);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(folder), ({ name }) => name), [`toy-${step}`]);
      assert.equal(server.bodies.at(-1)!.model, `toy-${step}`);
    }
    await sampler.close();
    assert.deepEqual(loaded, ["org/base", "org/base", "org/base"]);
    assert.deepEqual(
      server.adapters.map(([path, { lora_name }]) => `${path.replace(/\/v1\/|_lora_adapter/g, "")} ${lora_name}`),
      ["load toy-0", "load toy-1", "unload toy-0", "load toy-2", "unload toy-1", "unload toy-2"],
    );
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    trainer.optimizer.dispose();
    policy.dispose();
    twin.dispose();
  });
});

forEachEngine("served answers: what cannot be trained on is one clear line", async (engine) => {
  const policy = toyModel(engine);
  await using server = serve(policy, { ids: "token_ids" });
  const answer = (tokens: number[]) => () =>
    Response.json({
      choices: Array.from({ length: 8 }, (_, index) => ({ index, finish_reason: "length", token_ids: tokens })),
    });
  const sampler = new ServedAnswers(client(server), options(policy));
  const fails = (message: RegExp) =>
    assert.rejects(
      stepOf(engine, sampler),
      (error: Error) => error instanceof UserError && message.test(error.message),
    );
  server.faults = Array.from({ length: 4 }, () => answer([3, 12]));
  await fails(/^the server gave token 12, the policy has 12: serve the model that is trained here$/);
  server.faults = Array.from({ length: 4 }, () => answer([]));
  await fails(/^the server gave an answer without a token/);
  server.faults = Array.from({ length: 30 }, () => () => new Response("down", { status: 502 }));
  await fails(/gave up after 6 tries: the server answered 502: down$/);
  const closed = new GrpoTrainer(policy, undefined, toyWorld(), OPTIONS, sampler);
  await assert.rejects(
    () => closed.step(0, toyTransitions(3, 0, 8)),
    /a server samples answers that end themselves: give openAnswers/,
  );
  closed.optimizer.dispose();
  policy.dispose();
});
