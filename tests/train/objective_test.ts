import assert from "node:assert/strict";
import { LOSSES, policyLossOf } from "../../lib/train/losses/losses.ts";
import {
  answerCoefficients,
  answerObjective,
  lossOf,
  type ObjectiveOptions,
  RELEASED_OBJECTIVE,
  tokenObjective,
  tokenWeights,
} from "../../lib/train/objective.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { forEachEngine } from "../support/engines.ts";

interface Case {
  options: ObjectiveOptions;
  loss: number;
  gradient: number[];
}
const fixture: {
  rows: number;
  length: number;
  logProbabilities: number[];
  old: number[];
  reference: number[];
  advantages: number[];
  sampled: number[];
  entropy: number[];
  cases: Case[];
} = JSON.parse(Deno.readTextFileSync(new URL("./fixtures/objective.json", import.meta.url)));

forEachEngine("objective: losses and gradients as PyTorch's", async (engine) => {
  const { rows, length, sampled } = fixture;
  const repeated = fixture.advantages.flatMap((a) => new Array<number>(length).fill(a));
  for (const { options, loss, gradient } of fixture.cases) {
    const leaf = tensor(engine, Float32Array.from(fixture.logProbabilities));
    const { value, gradients } = valueAndGrad(() => {
      const of = (numbers: ArrayLike<number>) => tensor(engine, Float32Array.from(numbers));
      const terms = {
        logProbabilities: leaf,
        oldLogProbabilities: of(fixture.old),
        referenceLogProbabilities: of(fixture.reference),
        advantages: of(repeated),
        weights: of(tokenWeights(Uint8Array.from(sampled), rows, options.denominator)),
        entropy: options.entropyCoefficient === 0 ? undefined : of(fixture.entropy),
      };
      if (lossOf(options).ratioOf === "token") return tokenObjective(terms, options).loss;
      const form = [rows, length];
      const { coefficients, loss, clipped } = answerCoefficients(
        leaf.detach().reshape(form),
        terms.oldLogProbabilities.reshape(form),
        of(sampled).reshape(form),
        of(fixture.advantages).reshape([rows, 1]),
        options,
      );
      const flat = {
        coefficients: coefficients.reshape([-1]),
        loss: loss.reshape([-1]),
        clipped: clipped.reshape([-1]),
      };
      return answerObjective(terms, flat, options).loss;
    }, [leaf]);
    const name = JSON.stringify(options);
    const found = await value.item();
    assert.ok(Math.abs(found - loss) < 1e-5 * (1 + Math.abs(loss)), `${name}: loss ${found} is not ${loss}`);
    (await gradients[0].data()).forEach((x, i) =>
      assert.ok(Math.abs(x - gradient[i]) < 1e-5, `${name}: gradient ${i} is ${x}, not ${gradient[i]}`)
    );
    for (const each of [leaf, value, ...gradients]) each.dispose();
  }
});

forEachEngine("objective: the first update's ratio is exactly 1", async (engine) => {
  const leaf = tensor(engine, Float32Array.of(-0.3, -2.1, -7.7));
  const sums = tidy(() =>
    tokenObjective({
      logProbabilities: leaf,
      oldLogProbabilities: undefined,
      referenceLogProbabilities: undefined,
      advantages: tensor(engine, Float32Array.of(1, -2, 0.5)),
      weights: tensor(engine, new Float32Array(3).fill(1)),
      entropy: undefined,
    }, { ...RELEASED_OBJECTIVE, klCoefficient: 0 })
  );
  assert.equal(await sums.loss.item(), 0.5);
  assert.equal(await sums.clipped.item(), 0);
  for (const each of [leaf, sums.loss, sums.clipped]) each.dispose();
});

forEachEngine("objective: one ratio an answer is refused where single tokens are given", (engine) => {
  tidy(() => {
    const one = tensor(engine, Float32Array.of(-0.3));
    const terms = {
      logProbabilities: one,
      oldLogProbabilities: undefined,
      referenceLogProbabilities: one,
      advantages: one,
      weights: one,
      entropy: undefined,
    };
    assert.throws(
      () => tokenObjective(terms, { ...RELEASED_OBJECTIVE, loss: "gspo" }),
      /tokenObjective: the loss gspo is one of whole answers, not of single tokens: use another/,
    );
  });
});

Deno.test("objective: a bad option is named", () => {
  const check = (change: Partial<ObjectiveOptions>) => lossOf({ ...RELEASED_OBJECTIVE, ...change });
  assert.throws(() => check({ clipLow: 1.5 }), /clipLow: .*<1: received 1.5/);
  assert.throws(() => check({ dualClip: 1 }), /dualClip: .*>1: received 1/);
  assert.throws(() => check({ clipHigh: 0 }), /clipHigh: .*>0: received 0/);
  assert.throws(
    () => check({ loss: "ppo" }),
    /there is no "ppo": use one of clip, dual-clip, gspo, dr-grpo, dapo, cispo, rejection/,
  );
});

Deno.test("objective: every loss is compared with PyTorch's", () => {
  assert.deepEqual(new Set(fixture.cases.map(({ options }) => options.loss)), new Set(LOSSES.map(({ name }) => name)));
  assert.equal(policyLossOf("gspo", RELEASED_OBJECTIVE).ratioOf, "answer");
});

Deno.test("objective: token weights say what mean means", () => {
  const sampled = Uint8Array.of(1, 1, 0, 1, 0, 0);
  assert.deepEqual([...tokenWeights(sampled, 2, "token-mean")], [1, 1, 0, 1, 0, 0].map((m) => Math.fround(m / 3)));
  assert.deepEqual([...tokenWeights(sampled, 2, "sequence-mean")], [0.25, 0.25, 0, 0.5, 0, 0]);
  assert.deepEqual([...tokenWeights(sampled, 2, "fixed-length")], [1, 1, 0, 1, 0, 0].map((m) => Math.fround(m / 6)));
});
