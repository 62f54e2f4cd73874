import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import type { ObjectiveOptions } from "../../lib/train/objective.ts";
import { type AnswerGroup, spokenWeights } from "../../lib/train/answer_groups.ts";
import { policyLoss } from "../../lib/train/policy_loss.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { forEachEngine } from "../support/engines.ts";
import { trainedGroups } from "../support/trained_groups.ts";
import fixture from "./fixtures/extreme_ratios.json" with { type: "json" };

forEachEngine("policyLoss: a token that is 90 nats off leaves loss and gradient finite, PyTorch's", async (engine) => {
  const { answers, length, width, vocabulary } = fixture;
  const of = (numbers: number[], shape?: number[]) => tensor(engine, Float32Array.from(numbers), shape);
  const hidden = of(fixture.hidden, [answers * length, width]), head = of(fixture.head, [vocabulary, width]);
  const targets = tensor(engine, Int32Array.from(fixture.targets)),
    old = of(fixture.old),
    reference = of(fixture.reference);
  // All that the loss needs of a model when hidden states are given.
  const model = { engine, head, computeType: "float32" } as CausalTransformer;
  for (const { options, advantages, loss, gradient } of fixture.cases) {
    const objective = options as ObjectiveOptions;
    const group: AnswerGroup = {
      question: Int32Array.of(0),
      answers_G: Array.from(
        { length: answers },
        (_, i) => Int32Array.from(fixture.targets.slice(i * length, (i + 1) * length)),
      ),
      advantages_GK: Float64Array.from(advantages),
      sampler_GT: Array.from({ length: answers }, () => new Float32Array(length)),
    };
    // In chunks that do not end where answers do.
    const settings = { groupSize: answers, sharePrompt: true, ...objective, logitChunk: 33, temperature: 1 };
    const [trained] = trainedGroups(
      [group],
      spokenWeights([group], objective.denominator),
      () => ({ old_n: old, reference_n: reference }),
    );
    const { value, gradients, aux } = valueAndGrad(
      () => policyLoss(model, { states_nD: hidden, targets_n: targets }, [trained], settings),
      [hidden],
    );
    const name = `${JSON.stringify(options)} ${advantages}`, found = await value.item();
    assert.ok(Math.abs(found - loss) < 1e-5 * (1 + Math.abs(loss)), `${name}: loss ${found} is not ${loss}`);
    (await gradients[0].data()).forEach((x, i) =>
      assert.ok(Math.abs(x - gradient[i]) < 1e-6, `${name}: gradient ${i} is ${x}, not ${gradient[i]}`)
    );
    for (const each of [value, ...gradients, ...Object.values(aux)]) each.dispose();
  }
  for (const each of [hidden, head, targets, old, reference]) each.dispose();
});
