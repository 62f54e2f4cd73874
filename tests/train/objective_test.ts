import assert from "node:assert/strict";
import {
  checkObjective,
  type ObjectiveOptions,
  regularization,
  RELEASED_OBJECTIVE,
  sequenceCoefficients,
  tokenObjective,
  tokenWeights,
} from "../../lib/train/objective.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { forEachEngine } from "../support/engines.ts";

interface Case {
  options: Omit<ObjectiveOptions, "dualClip"> & { dualClip: number | null };
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
  for (const { options: plain, loss, gradient } of fixture.cases) {
    const options: ObjectiveOptions = { ...plain, dualClip: plain.dualClip ?? undefined };
    const leaf = tensor(engine, Float32Array.from(fixture.logProbabilities));
    const { value, gradients } = valueAndGrad(() => {
      const of = (numbers: ArrayLike<number>) => tensor(engine, Float32Array.from(numbers));
      const weights = of(tokenWeights(Uint8Array.from(sampled), rows, options.denominator));
      const terms = {
        logProbabilities: leaf,
        oldLogProbabilities: of(fixture.old),
        referenceLogProbabilities: of(fixture.reference),
        advantages: of(repeated),
        weights,
        entropy: options.entropyCoefficient === 0 ? undefined : of(fixture.entropy),
      };
      if (options.ratio === "token") return tokenObjective(terms, options).loss;
      const form = [rows, length];
      const parts = sequenceCoefficients(
        leaf.detach().reshape(form),
        terms.oldLogProbabilities.reshape(form),
        of(sampled).reshape(form),
        of(fixture.advantages).reshape([rows, 1]),
        options,
      );
      const policy = parts.coefficients.reshape([-1]).mul(leaf);
      const loss = policy.sub(policy.detach()).add(parts.loss.reshape([-1])).mul(weights).sum();
      const rest = regularization(terms, options).loss;
      return rest ? loss.add(rest) : loss;
    }, [leaf]);
    const name = JSON.stringify(plain);
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
      () => tokenObjective(terms, { ...RELEASED_OBJECTIVE, ratio: "sequence" }),
      /tokenObjective: ratio "sequence" is one of whole answers, not of single tokens: use ratio "token"/,
    );
  });
});

Deno.test("objective: a bad option is named", () => {
  const check = (change: Partial<ObjectiveOptions>) => checkObjective({ ...RELEASED_OBJECTIVE, ...change });
  assert.throws(() => check({ clipLow: 1.5 }), /clipLow must be between 0 and 1: received 1.5/);
  assert.throws(() => check({ dualClip: 1 }), /dualClip must be above 1: received 1/);
  assert.throws(() => check({ klCoefficient: -1 }), /klCoefficient must not be negative: received -1/);
});

Deno.test("objective: token weights say what mean means", () => {
  const sampled = Uint8Array.of(1, 1, 0, 1, 0, 0);
  assert.deepEqual([...tokenWeights(sampled, 2, "token-mean")], [1, 1, 0, 1, 0, 0].map((m) => Math.fround(m / 3)));
  assert.deepEqual([...tokenWeights(sampled, 2, "sequence-mean")], [0.25, 0.25, 0, 0.5, 0, 0]);
  assert.deepEqual([...tokenWeights(sampled, 2, "fixed-length")], [1, 1, 0, 1, 0, 0].map((m) => Math.fround(m / 6)));
});
