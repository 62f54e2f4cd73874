/**
 * Golden losses, step by step at full precision: on every engine what PyTorch (Hugging Face's Llama in float64,
 * torch.optim.AdamW) computes from the same weights, batches and answers; see fixtures/make_golden.py.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { forEachEngine } from "../support/engines.ts";
import { FIXTURES, goldenModel, STEPS, trainGrpo, trainLikelihood } from "./golden.ts";

const read = async (name: string) => JSON.parse(await Deno.readTextFile(join(FIXTURES, name)));

function compare(received: object[], expected: Record<string, number>[], tolerance: number): void {
  assert.equal(received.length, STEPS);
  for (const [step, numbers] of expected.entries()) {
    for (const [name, value] of Object.entries(numbers)) {
      const own = (received[step] as Record<string, number>)[name];
      const error = Math.abs(own - value) / (1e-2 + Math.abs(value));
      assert.ok(error <= tolerance, `${name} of step ${step}: ${own}, PyTorch ${value} (relative error ${error})`);
    }
  }
}

forEachEngine("likelihood: losses and gradient norms of three steps are PyTorch's", async (engine) => {
  const model = await goldenModel(engine, "policy");
  compare(await trainLikelihood(model), (await read("golden.json")).likelihood, 1e-5);
  model.dispose();
});

forEachEngine("GRPO: the same tokens are drawn, and losses of three steps are PyTorch's", async (engine) => {
  const [policy, reference] = [await goldenModel(engine, "policy"), await goldenModel(engine, "reference")];
  const { metrics, answers } = await trainGrpo(policy, reference);
  const drawn = (await read("golden_batches.json")).grpo.map((step: { answers: number[][] }) => step.answers);
  assert.deepEqual(answers, drawn);
  const { grpo } = await read("golden.json");
  compare(metrics, grpo, 2e-5);
  assert.ok(grpo.some(({ clipShare }: Record<string, number>) => clipShare > 0.02), "the clip is at work");
  policy.dispose();
  reference.dispose();
});

forEachEngine("GRPO: without sharing the prompt the golden losses are the same", async (engine) => {
  const [policy, reference] = [await goldenModel(engine, "policy"), await goldenModel(engine, "reference")];
  const { metrics } = await trainGrpo(policy, reference, { sharePrompt: false, microBatchPrompts: 1 });
  compare(metrics, (await read("golden.json")).grpo, 2e-5);
  policy.dispose();
  reference.dispose();
});
