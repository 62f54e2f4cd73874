import assert from "node:assert/strict";
import { runLayers } from "../../lib/models/layerwise.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import type { PackedGroup } from "../../lib/models/packed_sequences.ts";
import { transformerConfig } from "../../lib/models/transformer_config.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

const VOCABULARY = 19;

const model = (engine: Engine) =>
  CausalTransformer.initialize(
    engine,
    transformerConfig({
      architecture: "qwen2",
      vocabularySize: VOCABULARY,
      hiddenSize: 16,
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      feedForwardSize: 32,
      initializerRange: 0.3,
    }),
    { seed: 3 },
  );

function sequence(length: number, name: number): Int32Array {
  const random = new Philox(5, name);
  return Int32Array.from({ length }, () => random.integer(0, VOCABULARY));
}

const group = (name: number, promptLength: number, ...answerLengths: number[]): PackedGroup => ({
  prompt: sequence(promptLength, name),
  answers: answerLengths.map((length, i) => sequence(length, 100 * name + i)),
});

/** Hidden states of every sequence by itself, in the packed order. */
function separately(network: CausalTransformer, groups: readonly PackedGroup[]): { prompts: Tensor; answers?: Tensor } {
  const hidden = (tokens: Int32Array) =>
    network.hidden(tensor(network.engine, tokens, [1, tokens.length])).reshape([tokens.length, -1]);
  const answers = groups.flatMap(({ prompt, answers }) =>
    answers.filter((each) => each.length > 0).map((answer) =>
      hidden(Int32Array.of(...prompt, ...answer)).narrow(0, prompt.length, answer.length)
    )
  );
  return {
    prompts: concat(groups.map(({ prompt }) => hidden(prompt))),
    answers: answers.length > 0 ? concat(answers) : undefined,
  };
}

const CASES: Record<string, PackedGroup[]> = {
  "sequences alone": [group(1, 5), group(2, 1), group(3, 8)],
  "answers of all lengths, an empty one too": [group(1, 5, 2, 4, 1), group(2, 3, 0, 6), group(3, 7), group(4, 2, 0)],
  "equal prompts, equal answers": [group(1, 4, 3, 3), group(2, 4, 3, 3)],
};

for (const [name, groups] of Object.entries(CASES)) {
  forEachEngine(`hiddenPackedPass: ${name}: the same hidden states and gradients as one by one`, async (engine) => {
    const network = model(engine);
    const leaves = [...network.parameters.values()];
    const weighted = (x: Tensor) => x.mul(x.slice([0, 0], [x.shape[0], 1])).sum();
    const run = (of: () => { prompts: Tensor; answers?: Tensor }) =>
      valueAndGrad(() => {
        const { prompts, answers } = of();
        const loss = answers ? weighted(prompts).add(weighted(answers)) : weighted(prompts);
        return { loss, aux: { prompts, answers } };
      }, leaves);
    const packed = run(() => runLayers(network.hiddenPackedPass(groups))),
      plain = run(() => separately(network, groups));
    assertClose(await packed.aux.prompts.data(), await plain.aux.prompts.data(), 1e-5, "prompts");
    assert.equal(packed.aux.answers === undefined, plain.aux.answers === undefined);
    if (packed.aux.answers) {
      assertClose(await packed.aux.answers.data(), await plain.aux.answers!.data(), 1e-5, "answers");
    }
    for (let i = 0; i < leaves.length; i++) {
      assertClose(
        await packed.gradients[i].data(),
        await plain.gradients[i].data(),
        2e-4,
        [...network.parameters.keys()][i],
      );
    }
    const short = tidy(() => runLayers(network.hiddenPackedPass(groups, { promptHidden: "last" })));
    const lasts = tidy(() => {
      let end = 0;
      return concat(groups.map(({ prompt }) => plain.aux.prompts.narrow(0, (end += prompt.length) - 1, 1)));
    });
    assertClose(await short.prompts.data(), await lasts.data(), 1e-5, "last rows");
    if (short.answers) assertClose(await short.answers.data(), await plain.aux.answers!.data(), 1e-5, "answers");
    network.dispose();
  });
}

forEachEngine("prefill and decode: prompts of different lengths, with samples leaving", async (engine) => {
  const network = model(engine), prompts = [sequence(6, 1), sequence(2, 2), sequence(4, 3)], samples = 3;
  const { cache, hidden } = network.prefill(prompts, { group: samples, maxNewTokens: 600 });
  const wanted = async (prompt: Int32Array, answer: number[]) => {
    const tokens = Int32Array.of(...prompt, ...answer);
    const all = await network.hidden(tensor(engine, tokens, [1, tokens.length])).data() as Float32Array;
    return all.subarray(all.length - 16);
  };
  for (const [p, prompt] of prompts.entries()) {
    assertClose(
      (await hidden.data() as Float32Array).subarray(16 * p, 16 * p + 16),
      await wanted(prompt, []),
      1e-5,
      "",
    );
  }
  let live = prompts.flatMap((_, p) => Array.from({ length: samples }, (_, g) => ({ p, g, answer: [] as number[] })));
  const step = async () => {
    const tokens = live.map(({ p, g, answer }) => (3 * p + 5 * g + 7 * answer.length) % VOCABULARY);
    const state = await network.decode(cache, tensor(engine, Int32Array.from(tokens))).data() as Float32Array;
    for (const [row, each] of live.entries()) {
      each.answer.push(tokens[row]);
      const name = `prompt ${each.p}, sample ${each.g}, token ${each.answer.length}`;
      assertClose(state.subarray(16 * row, 16 * row + 16), await wanted(prompts[each.p], each.answer), 1e-4, name);
    }
  };
  const keep = (...kept: [p: number, ...g: number[]][]) => {
    const order = [...new Set(live.map((each) => each.p))];
    cache.select(kept.map(([p, ...g]) => ({
      prompt: order.indexOf(p),
      samples: g.map((each) => live.filter((one) => one.p === p).findIndex((one) => one.g === each)),
    })));
    live = kept.flatMap(([p, ...g]) => g.map((each) => live.find((one) => one.p === p && one.g === each)!));
  };
  await step();
  await step();
  keep([0, 0, 2], [1, 1, 0], [2, 2, 1]);
  await step();
  keep([1, 0, 1], [2, 1, 2]);
  await step();
  keep([2, 1]);
  await step();
  assert.deepEqual([cache.prompts, cache.group, cache.promptLength, cache.length], [1, 1, 4, 5]);
  assert.throws(() => cache.select([]), /at least one sample/);
  cache.dispose();
  network.dispose();
});

forEachEngine("decode: room for new tokens grows", async (engine) => {
  const network = model(engine), prompt = sequence(3, 1), count = 530;
  const { cache } = network.prefill([prompt], { group: 1, maxNewTokens: count });
  const tokens = sequence(count, 9);
  let state: Tensor | undefined;
  for (let from = 0; from < count; from += 53) {
    state = network.decode(cache, tensor(engine, tokens.slice(from, from + 53), [1, 53]));
  }
  const whole = Int32Array.of(...prompt, ...tokens);
  const all = await network.hidden(tensor(engine, whole, [1, whole.length])).data() as Float32Array;
  assertClose(await state!.data(), all.subarray(all.length - 16), 1e-4, "last");
  cache.dispose();
  network.dispose();
});

Deno.test("packed sequences: bad input", async () => {
  const { openEngine } = await import("../../lib/tensor/registry.ts");
  const { engine } = await openEngine({ engine: "wasm" });
  const network = model(engine);
  assert.throws(() => network.hiddenPackedPass([]), /at least one prompt: received none/);
  assert.throws(() => network.hiddenPackedPass([group(1, 3), group(2, 0, 2)]), /prompt 1 is empty/);
  network.dispose();
  engine.close();
});
