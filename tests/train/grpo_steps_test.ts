/**
 * Whole GRPO steps against PyTorch's (`fixtures/make_grpo_steps.py`): given the same weights, answers and rewards, the trainer
 * reports the same numbers and leaves the same weights behind, whatever the objective and however the work is cut up.
 */
import assert from "node:assert/strict";
import { readSafetensors, toFloat32 } from "../../lib/io/safetensors.ts";
import { toHost } from "../../lib/nn/parameters.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import type { AnswerSampler } from "../../lib/train/answer_sampler.ts";
import { type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import type { Tokens, World } from "../../lib/worlds/world.ts";
import { forEachEngine } from "../support/engines.ts";
import fixture from "./fixtures/grpo_steps.json" with { type: "json" };
import { goldenModel } from "./golden.ts";

type Case = typeof fixture.cases[number] & { sampler?: number[][][] };

const WEIGHTS = await readSafetensors(new URL("./fixtures/grpo_steps.safetensors", import.meta.url).pathname);
const SPOKEN = Uint8Array.from(fixture.spoken);
const PARTS = fixture.contributions.points[0][0].length;

/** What answers say, in place of a sampler; the states are what each part of an answer adds to each metric. */
type State = Record<string, number[]>;

/** The world of some of the fixture's questions, and what gives their answers, whose worth it knows. */
function given({ answers: form, sampler: log_PGT }: Case): { world: World<number, State[]>; sampler: AnswerSampler } {
  const { questions, answers } = fixture.answers[form as keyof typeof fixture.answers], isOpen = form === "open";
  const { points, cost } = fixture.contributions, worth = new Map<Tokens, State>();
  const answers_PG = answers.flat().map((answer) => Int32Array.from(answer));
  answers_PG.forEach((answer, i) => worth.set(answer, { points: points.flat()[i], cost: cost.flat()[i] }));
  const parts = (answer: Tokens) => Uint16Array.from(answer, (_, t) => Math.min(t >> 1, PARTS - 1));
  const values = (states: State[], name: string) =>
    Float32Array.from(states, (state) => state[name].reduce((sum, part) => sum + part));
  const metric = (name: string, better: "lower" | "higher") => ({
    better,
    compute: (states: State[]) => Promise.resolve(values(states, name)),
    computeParts: (states: State[]) =>
      Promise.resolve({
        values: values(states, name),
        contributions: Float32Array.from(states.flatMap((state) => state[name])),
      }),
  });
  const world: World<number, State[]> = {
    name: "given answers",
    vocabularySize: fixture.vocabularySize,
    openAnswers: isOpen ? { endTokens: [fixture.endToken], maxTokens: fixture.maxTokens } : undefined,
    answerParts: isOpen ? { count: PARTS, of: parts } : undefined,
    metrics: { points: metric("points", "higher"), cost: metric("cost", "lower") },
    encode: (prompts) =>
      Promise.resolve(prompts.map((p) => {
        const tokens = Int32Array.from(answers[p][0]), sampled = Uint8Array.from(isOpen ? tokens.map(() => 1) : SPOKEN);
        const answer = { tokens, sampled, parts: parts(tokens) };
        return { question: Int32Array.from(questions[p]), answer, trainedQuestionTokens: 0 };
      })),
    decode: (answers) => Promise.resolve(answers.map((answer) => worth.get(answer)!)),
    truth: () => Promise.resolve([]),
    select: () => [],
  };
  const samples = {
    answers: answers_PG,
    logProbabilities: answers_PG.map((answer, i) => {
      const log_n = log_PGT?.flat()[i].values();
      return log_n && Float32Array.from(answer, (_, t) => isOpen || SPOKEN[t] === 1 ? log_n.next().value! : 0);
    }),
    ...isOpen ? { ended: answers_PG.map((answer) => answer.at(-1) === fixture.endToken) } : { sampled: SPOKEN },
  };
  return { world, sampler: { followsPolicy: log_PGT === undefined, sample: () => Promise.resolve(samples) } };
}

/** Takes a step, cut up in some way, and compares it. */
async function compare(engine: Engine, step: Case, cut: Partial<GrpoOptions>) {
  const { name, options, report } = step, { world, sampler } = given(step);
  const policy = await goldenModel(engine, "policy"), reference = await goldenModel(engine, "reference");
  const settings = { ...options, reward: fixture.reward, groupSize: fixture.groupSize, ...cut } as GrpoOptions;
  const trainer = new GrpoTrainer(policy, reference, world, settings, sampler);
  const metrics = await trainer.step(0, [0, 1, 2, 3]), what = `${name} ${JSON.stringify(cut)}`;
  for (const [key, expected] of Object.entries(report)) {
    const received = metrics[key as "loss"];
    assert.ok(
      Math.abs(received - expected) < 2e-5 * (1 + Math.abs(expected)),
      `${what}: ${key} ${received}, not ${expected}`,
    );
  }
  assert.equal("kl" in metrics, "kl" in report);
  const { learningRate } = options;
  for (const [parameter, weight] of await toHost(policy.parameters)) {
    const expected = toFloat32(WEIGHTS.get(`${name}/${parameter}`)!);
    const errors = Array.from(toFloat32(weight), (x, i) => Math.abs(x - expected[i]) / learningRate);
    // AdamW divides by a gradient's own size: where that is rounding, the update is a share of the learning rate that is chance.
    const mean = errors.reduce((sum, error) => sum + error) / errors.length, largest = Math.max(...errors);
    assert.ok(mean < 1e-3 && largest < 0.5, `${what}: ${parameter} is ${mean} learning rates off, at most ${largest}`);
  }
  trainer.optimizer.dispose();
  reference.dispose();
  policy.dispose();
}

for (const step of fixture.cases as Case[]) {
  forEachEngine(`a step is PyTorch's: ${step.name}`, async (engine) => {
    await compare(engine, step, {});
    await compare(engine, step, { sharePrompt: false, microBatchPrompts: 1, logitChunk: 7, scoreRows: 3 });
  });
}

forEachEngine("a step with checkpointing is PyTorch's", async (engine) => {
  for (const step of fixture.cases.slice(0, 2) as Case[]) await compare(engine, step, { checkpointing: true });
});
