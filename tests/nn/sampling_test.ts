import assert from "node:assert/strict";
import { sampleTokens, seenTokens, withSeenTokens } from "../../lib/nn/sampling.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { full, tensor, zeros } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { expected } from "./nn_fixture.ts";

const { shape, logits: logitValues, uniforms: uniformValues, cases } = expected.sampling;

forEachEngine(
  "tokens and log-probabilities are those of the filtered distribution, the same on every engine",
  async (engine) => {
    const logits = tensor(engine, logitValues, shape), uniforms = tensor(engine, uniformValues, [shape[0]], "float32");
    for (const { temperature, topK, topP, tokens: wanted, logProbabilities: logp } of cases) {
      const { tokens, logProbabilities } = sampleTokens(logits, uniforms, { temperature, topK, topP });
      const what = `temperature ${temperature}, topK ${topK}, topP ${topP}`;
      assert.deepEqual([...await tokens.data()].map(Number), wanted, what);
      assertClose(await logProbabilities.data(), logp, 1e-5, what);
      tokens.dispose();
      logProbabilities.dispose();
    }
    const greedy = sampleTokens(logits, uniforms, { greedy: true }),
      cold = sampleTokens(logits, uniforms, { temperature: 0 });
    const best = Array.from({ length: shape[0] }, (_, i) => {
      const row = logitValues.slice(i * shape[1], (i + 1) * shape[1]);
      return row.indexOf(Math.max(...row));
    });
    assert.deepEqual([...await greedy.tokens.data()].map(Number), best);
    assert.deepEqual([...await cold.tokens.data()].map(Number), best);
    assert.deepEqual([...await greedy.logProbabilities.data()], best.map(() => 0));
    for (const each of [logits, uniforms, greedy, cold].flatMap((x) => "tokens" in x ? Object.values(x) : [x])) {
      each
        .dispose();
    }
  },
);

forEachEngine("a token of probability 0 is never drawn, however large or small u is", async (engine) => {
  // Of 1,000 tokens only 400 … 699 are possible; the sums' rounding is largest where all are equal.
  const row = Float32Array.from({ length: 1000 }, (_, i) => i >= 400 && i < 700 ? 0 : -1e9);
  const extremes = [0, 2 ** -24, 0.5, 1 - 2 ** -23, 1 - 2 ** -24];
  const { tokens, logProbabilities } = tidy(() =>
    sampleTokens(tensor(engine, row, [1, 1000]).broadcastTo([5, 1000]), tensor(engine, extremes, [5], "float32"))
  );
  const drawn = [...await tokens.data()].map(Number);
  assert.ok(drawn.every((token) => token >= 400 && token < 700), `drawn: ${drawn}`);
  assert.deepEqual([drawn[0], drawn[4]], [400, 699]);
  assertClose(await logProbabilities.data(), drawn.map(() => -Math.log(300)), 1e-5, "log-probabilities");
  tokens.dispose();
  logProbabilities.dispose();
});

forEachEngine(
  "top-p keeps the fewest tokens that together have p: not one more where they have exactly that",
  async (engine) => {
    // As likely as each other, and p exactly the first one's probability as this engine computes it.
    const logits = tensor(engine, new Float32Array(2), [1, 2]);
    const probabilities = tidy(() => logits.logSoftmax().exp());
    const [half] = await probabilities.data();
    for (const [topP, kept] of [[half, 1], [half + 2 ** -20, 2], [half - 2 ** -20, 1]]) {
      const { tokens, logProbabilities } = tidy(() => sampleTokens(logits, full(engine, [1], 0.9), { topP }));
      assert.deepEqual([...await tokens.data()].map(Number), [kept - 1], `topP ${topP}`);
      assertClose(await logProbabilities.data(), [-Math.log(kept)], 1e-6, `topP ${topP}`);
      tokens.dispose();
      logProbabilities.dispose();
    }
    logits.dispose();
    probabilities.dispose();
  },
);

forEachEngine("bad sampling options are named", (engine) => {
  tidy(() => {
    const logits = zeros(engine, [2, 5]), uniforms = full(engine, [2], 0.5);
    assert.throws(
      () => sampleTokens(logits, uniforms, { temperature: -1 }),
      /temperature must be at least 0: received -1/,
    );
    assert.throws(() => sampleTokens(logits, uniforms, { topK: 1.5 }), /topK .*: received 1.5/);
    assert.throws(() => sampleTokens(logits, uniforms, { topP: 0 }), /topP must be above 0 and at most 1: received 0/);
    assert.throws(() => sampleTokens(logits, full(engine, [3], 0.5)), /do not fit/);
  });
});

forEachEngine("seenTokens: what sequences have, and what is drawn after", async (engine) => {
  const seen = seenTokens(engine, [[0, 2, 2], [], Int32Array.of(-1, 4, 1)], 4);
  const more = withSeenTokens(seen, tensor(engine, Int32Array.of(3, 0, 1)));
  assert.deepEqual([...await seen.data()], [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
  assert.deepEqual([...await more.data()], [1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0]);
  for (const each of [seen, more]) each.dispose();
});
