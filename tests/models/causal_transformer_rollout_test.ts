/** Sampling through the cache: the same tokens on every engine for one seed, samples that follow the distribution. */
import assert from "node:assert/strict";
import { sampleTokens, type SamplingOptions } from "../../lib/nn/sampling.ts";
import { tokenLogProbabilities } from "../../lib/nn/log_probabilities.ts";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { randomTokens, smallModel, take } from "../support/small_transformer.ts";

const GROUP = 3, LENGTH = 8;

/** Tokens and log-probabilities [P · G, LENGTH] of samples, one random stream a sample. */
function sample(model: CausalTransformer, prompts: Tensor, options: SamplingOptions): [tokens: Tensor, logp: Tensor] {
  const { engine } = model, count = prompts.shape[0], rows = count * GROUP;
  const streams = Array.from({ length: rows }, (_, row) => new Philox(11, Math.floor(row / GROUP), row % GROUP));
  return tidy(() => {
    const { cache, hidden } = model.prefill(prompts, { group: GROUP, maxNewTokens: LENGTH });
    let state = hidden.reshape([count, 1, -1]).broadcastTo([count, GROUP, hidden.shape[1]]).reshape([rows, -1]);
    const tokens: Tensor[] = [], logp: Tensor[] = [];
    for (let t = 0; t < LENGTH; t++) {
      const uniforms = tensor(engine, Float32Array.from(streams, (stream) => stream.uniform()));
      const drawn = sampleTokens(model.logits(state, cache), uniforms, options);
      state = model.decode(cache, drawn.tokens);
      tokens.push(drawn.tokens.reshape([rows, 1]));
      logp.push(drawn.logProbabilities.reshape([rows, 1]));
    }
    cache.dispose();
    return [concat(tokens, 1), concat(logp, 1)];
  });
}

// What every engine drew when this was written: they must agree with each other and stay so.
const GOLDEN: Record<string, string> = {
  all:
    "25 8 32 9 4 15 6 35 4 30 21 21 5 31 9 28 4 9 0 24 8 9 36 4 30 12 19 20 21 5 23 15 35 29 7 8 35 15 32 18 35 29 8 9 4 20 18 4",
  "top 10, temperature 0.8":
    "31 0 5 0 8 8 9 22 4 33 24 21 21 8 21 0 4 23 27 33 21 21 23 27 18 21 20 18 13 30 30 30 9 18 18 35 23 20 13 28 21 0 21 27 15 9 21 27",
};
const OPTIONS: Record<string, SamplingOptions> = {
  all: {},
  "top 10, temperature 0.8": { topK: 10, temperature: 0.8 },
};

for (const [name, options] of Object.entries(OPTIONS)) {
  forEachEngine(`the same sampled tokens for one seed (${name})`, async (engine) => {
    const model = smallModel(engine), prompts = randomTokens(engine, 2, 7, 37, 3);
    const [tokens, logp] = sample(model, prompts, options);
    const drawn = [...await tokens.data()].map(Number);
    assert.equal(drawn.join(" "), GOLDEN[name]);
    if (name === "all") {
      const updated = tidy(() => {
        const own = tokens.narrow(1, 0, LENGTH - 1);
        const { prompt, answers } = model.hiddenShared(prompts, own, { promptHidden: "last" });
        const first = prompt.reshape([2, 1, 1, 32]).broadcastTo([2, GROUP, 1, 32]).reshape([6, 1, 32]);
        const rows = concat([first, answers], 1).reshape([6 * LENGTH, 32]);
        return tokenLogProbabilities(rows, model.head, tokens.reshape([6 * LENGTH])).logProbabilities;
      });
      assertClose(
        await logp.data(),
        await take(updated) as Float32Array,
        1e-4,
        "log-probabilities of sampler and update",
      );
    }
    for (const each of [tokens, logp, prompts, model]) each.dispose();
  });
}

forEachEngine("SharedCache.rewind: what follows is as if what was forgotten had not been", async (engine) => {
  const model = smallModel(engine), prompts = randomTokens(engine, 2, 5, 37, 3);
  const { cache, hidden } = model.prefill(prompts, { group: 2, maxNewTokens: 6 });
  const [kept, forgotten, others] = [2, 4, 3].map((length, i) => randomTokens(engine, 4, length, 37, 7 + i));
  model.decode(cache, kept).dispose();
  const expected = await take(model.decode(cache, others));
  cache.rewind(2);
  model.decode(cache, forgotten).dispose();
  assert.throws(() => cache.rewind(7), /rewind: length must be in 0\.\.6: received 7/);
  cache.rewind(2);
  assert.equal(cache.length, 2);
  assert.deepEqual(await take(model.decode(cache, others)), expected);
  cache.rewind();
  assert.equal(cache.length, 0);
  for (const each of [cache, hidden, prompts, kept, forgotten, others, model]) each.dispose();
});
