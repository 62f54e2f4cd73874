import assert from "node:assert/strict";
import { withFolder } from "../support/files.ts";
import { readSafetensors, toFloat32, toInt64 } from "../../lib/io/safetensors.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig, transformerParameterShapes } from "../../lib/models/transformer_config.ts";
import { tokenLogProbabilities, tokenLoss } from "../../lib/nn/log_probabilities.ts";
import { parameterCount } from "../../lib/nn/parameters.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { concat, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { fixture, gradientsOf, inFloat64, randomTokens, smallModel, take } from "../support/small_transformer.ts";

const RELEASED_BODY = { hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072 };

Deno.test("parameter counts of the released models, without allocating", () => {
  const count = (vocabularySize: number) =>
    parameterCount(transformerParameterShapes(transformerConfig({ vocabularySize, ...RELEASED_BODY })));
  assert.equal(count(4633), 120_381_696);
  assert.equal(count(9008), 127_101_696);
  // Qwen2-1.5B with untied embeddings: 1.777 B.
  const qwen = transformerConfig({
    architecture: "qwen2",
    vocabularySize: 151936,
    hiddenSize: 1536,
    layers: 28,
    heads: 12,
    keyValueHeads: 2,
    feedForwardSize: 8960,
  });
  assert.equal(parameterCount(transformerParameterShapes(qwen)), 1_777_088_000);
});

for (const name of ["tiny_llama", "tiny_qwen2"]) {
  forEachEngine(`${name} of Hugging Face: logits, loss, gradients, greedy tokens`, async (engine) => {
    const model = await CausalTransformer.load(engine, fixture(name));
    const expected = await readSafetensors(`${fixture(name)}/expected.safetensors`);
    const tokens = tensor(engine, toInt64(expected.get("tokens")!), [2, 12]);
    const logits = tidy(() => model.hidden(tokens).linear(model.head));
    assertClose(await take(logits), toFloat32(expected.get("logits")!), 1e-4, "logits");

    const { value, gradients } = await gradientsOf(model, () => {
      const hidden = model.hidden(tokens).narrow(1, 0, 11).reshape([22, 32]);
      const targets = tokens.narrow(1, 1, 11).reshape([22]);
      return tokenLoss(hidden, model.head, targets, (logp) => logp.sum().mul(-1 / 22), { chunkSize: 5 });
    });
    assertClose([value], toFloat32(expected.get("loss")!), 1e-5, "loss");
    for (const [parameter, gradient] of gradients) {
      assertClose(gradient, toFloat32(expected.get(`gradient.${parameter}`)!), 1e-4, `gradient of ${parameter}`);
    }

    const prompts = tidy(() => tokens.narrow(1, 0, 6).clone());
    const { cache, hidden } = model.prefill(prompts, { group: 1, maxNewTokens: 10 });
    const greedy: number[][] = [];
    let state = hidden;
    for (let step = 0; step < 10; step++) {
      const next = tidy(() => model.logits(state, step % 2 === 0 ? cache : undefined).argmax(-1));
      state.dispose();
      greedy.push([...await next.data()].map(Number));
      state = model.decode(cache, next);
      next.dispose();
    }
    const wanted = [...toInt64(expected.get("greedy")!)].map(Number);
    assert.deepEqual([0, 1].flatMap((row) => greedy.map((each) => each[row])), wanted);
    for (const each of [state, prompts, tokens, cache, model]) each.dispose();
  });
}

/** Hidden states of prompt and answers, unshared: each sample's full sequence. */
function unshared(model: CausalTransformer, prompts: ReturnType<typeof tensor>, answers: ReturnType<typeof tensor>) {
  const [count, promptLength] = prompts.shape, [rows, answerLength] = answers.shape, group = rows / count;
  const repeated = prompts.reshape([count, 1, promptLength]).broadcastTo([count, group, promptLength])
    .reshape([rows, promptLength]);
  const hidden = model.hidden(concat([repeated, answers], 1));
  return { hidden: hidden.narrow(1, promptLength - 1, answerLength + 1), count, group, answerLength };
}

for (const promptHidden of ["all", "last"] as const) {
  forEachEngine(`shared prompt = full sequences: hidden states, loss, gradients (${promptHidden})`, async (engine) => {
    for (const type of ["float32", "float64"] as const) {
      if (!engine.supports(type)) continue;
      const tolerance = type === "float64" ? 1e-10 : 1e-5;
      const original = smallModel(engine);
      const model = type === "float64" ? inFloat64(original) : original;
      const prompts = randomTokens(engine, 2, 9, 37, 1), answers = randomTokens(engine, 6, 5, 37, 2);
      // Position Tp − 1 predicts the answers' first token, and so on; a different weight for each token.
      const weights = Float32Array.from({ length: 36 }, (_, i) => Math.sin(1 + i));
      const loss = (hidden: ReturnType<typeof tensor>) => {
        const targets = concat([answers, answers.narrow(1, 0, 1)], 1).reshape([36]);
        const weight = tensor(engine, weights, [36]).cast(type);
        return tokenLoss(
          hidden.reshape([36, 32]),
          model.head,
          targets,
          (logp, start) => logp.mul(weight.narrow(0, start, logp.shape[0])).sum(),
          { chunkSize: 10 },
        );
      };
      const sharedHidden = () => {
        const { prompt, answers: own } = model.hiddenShared(prompts, answers, { promptHidden });
        const length = prompt.shape[1];
        const last = prompt.narrow(1, length - 1, 1).reshape([2, 1, 1, 32]).broadcastTo([2, 3, 1, 32]).reshape([
          6,
          1,
          32,
        ]);
        return concat([last, own], 1);
      };
      const plainHidden = () => unshared(model, prompts, answers).hidden;
      const [ours, plain] = [tidy(sharedHidden), tidy(plainHidden)];
      assertClose(await take(ours), await take(plain) as Float32Array, tolerance, `hidden ${type}`);
      const a = await gradientsOf(model, () => loss(sharedHidden()));
      const b = await gradientsOf(model, () => loss(plainHidden()));
      assertClose([a.value], [b.value], tolerance, `loss ${type}`);
      for (const [name, gradient] of a.gradients) {
        assertClose(gradient, b.gradients.get(name) as Float32Array, tolerance, `gradient ${type} of ${name}`);
      }
      if (model !== original) original.dispose();
      for (const each of [model, prompts, answers]) each.dispose();
    }
  });
}

forEachEngine(
  "cached decoding = full forward, one token and several at a time, for each sample of a group",
  async (engine) => {
    const model = smallModel(engine);
    const prompts = randomTokens(engine, 2, 7, 37, 3), answers = randomTokens(engine, 6, 8, 37, 4);
    const expected = tidy(() => unshared(model, prompts, answers).hidden);
    const full = await take(expected);
    const at = (position: number) =>
      // [6, 9, 32]: hidden after `position` answer tokens
      Float32Array.from({ length: 6 * 32 }, (_, i) => Number(full[(Math.floor(i / 32) * 9 + position) * 32 + i % 32]));
    const { cache, hidden } = model.prefill(prompts, { group: 3, maxNewTokens: 8 });
    const first = await take(hidden);
    const repeated = Float32Array.from({ length: 6 * 32 }, (_, i) => Number(first[Math.floor(i / 96) * 32 + i % 32]));
    assertClose(repeated, at(0), 1e-5, "prefill");
    let done = 0;
    for (const count of [1, 1, 3, 2, 1]) {
      const given = tidy(() => {
        const part = answers.narrow(1, done, count);
        return count === 1 ? part.reshape([6]).clone() : part.clone();
      });
      done += count;
      assertClose(await take(model.decode(cache, given)), at(done), 1e-5, `after ${done} tokens`);
      given.dispose();
    }
    const more = randomTokens(engine, 6, 1, 37);
    assert.throws(() => model.decode(cache, more), /room for 8 new tokens: received 1 after 8/);
    for (const each of [cache, more, prompts, answers, model]) each.dispose();
  },
);

forEachEngine(
  "the ratio of the first inner step is 1: shared update against the sampler's log-probabilities",
  async (engine) => {
    const model = smallModel(engine);
    const prompts = randomTokens(engine, 1, 7, 37, 5), answers = randomTokens(engine, 4, 6, 37, 6);
    const { cache, hidden } = model.prefill(prompts, { group: 4, maxNewTokens: 6 });
    const sampled: number[][] = [];
    let state = tidy(() => hidden.broadcastTo([4, 32]).clone());
    hidden.dispose();
    for (let i = 0; i < 6; i++) {
      const next = tidy(() => answers.narrow(1, i, 1).reshape([4]).clone());
      const { logProbabilities } = tokenLogProbabilities(state, model.head, next);
      sampled.push([...await take(logProbabilities)].map(Number));
      state.dispose();
      state = model.decode(cache, next);
      next.dispose();
    }
    const updated = tidy(() => {
      const { prompt, answers: own } = model.hiddenShared(prompts, answers, { promptHidden: "last" });
      const rows = concat([prompt.broadcastTo([4, 1, 32]), own.narrow(1, 0, 5)], 1).reshape([24, 32]);
      return tokenLogProbabilities(rows, model.head, answers.reshape([24]), { chunkSize: 7 }).logProbabilities;
    });
    const ratios = [...await take(updated)].map((logp, i) =>
      Math.exp(Number(logp) - sampled[i % 6][Math.floor(i / 6)])
    );
    assertClose(ratios, ratios.map(() => 1), 1e-5, "ratios");
    for (const each of [state, cache, prompts, answers, model]) each.dispose();
  },
);

forEachEngine("bfloat16 products stay near float32, gradients are float32", async (engine) => {
  const exact = smallModel(engine, { initializerRange: 0.05 });
  const model = smallModel(engine, { initializerRange: 0.05 }, { computeType: "bfloat16" });
  const tokens = randomTokens(engine, 2, 8, 37);
  const [a, b] = [tidy(() => model.hidden(tokens)), tidy(() => exact.hidden(tokens))];
  assert.equal(a.dtype, "float32");
  assertClose(await take(a), await take(b) as Float32Array, 0.03, "hidden");
  const loss = (m: CausalTransformer) => () =>
    tokenLoss(m.hidden(tokens).reshape([16, 32]), m.head, tokens.reshape([16]), (logp) => logp.sum().neg(), {
      computeType: m.computeType,
    });
  const [ours, plain] = [await gradientsOf(model, loss(model)), await gradientsOf(exact, loss(exact))];
  for (const [name, gradient] of ours.gradients) {
    assertClose(gradient, plain.gradients.get(name) as Float32Array, 0.1, `gradient of ${name}`);
  }
  const { cache, hidden } = model.prefill(tokens, { group: 2, maxNewTokens: 1 });
  for (const each of [cache, hidden, tokens, model, exact]) each.dispose();
}, { needs: ["bfloat16"] });

forEachEngine("the same numbers of tensors and bytes after every update and rollout", async (engine) => {
  const model = smallModel(engine);
  const prompts = randomTokens(engine, 2, 7, 37), answers = randomTokens(engine, 4, 5, 37);
  const counts: [number, number][] = [];
  for (let step = 0; step < 6; step++) {
    await gradientsOf(model, () => {
      const { answers: own } = model.hiddenShared(prompts, answers, { promptHidden: "last" });
      return tokenLoss(own.reshape([20, 32]), model.head, answers.reshape([20]), (logp) => logp.sum(), {
        chunkSize: 8,
      });
    });
    const { cache, hidden } = model.prefill(prompts, { group: 2, maxNewTokens: 5 });
    for (let i = 0; i < 5; i++) {
      tidy(() => model.decode(cache, answers.narrow(1, i, 1).reshape([4]))).dispose();
    }
    cache.dispose();
    hidden.dispose();
    const { tensors, bytes } = engine.memory();
    counts.push([tensors, bytes]);
  }
  assert.deepEqual(counts.slice(2), counts.slice(1, -1));
  for (const each of [prompts, answers, model]) each.dispose();
});

forEachEngine("bad tokens and lengths are named", (engine) => {
  const model = smallModel(engine, { maxPositions: 10 });
  const long = randomTokens(engine, 1, 11, 37),
    odd = randomTokens(engine, 3, 2, 37),
    two = randomTokens(engine, 2, 4, 37);
  assert.throws(() => model.hidden(long), /RangeError: hidden: 11 tokens exceed the model's maxPositions 10/);
  assert.throws(() => model.hiddenShared(two, odd), /3 answers do not divide among 2 prompts/);
  assert.throws(() => model.prefill(two, { group: 0, maxNewTokens: 3 }), /group must be at least 1: received 0/);
  assert.throws(() => model.prefill(two, { group: 2, maxNewTokens: 8 }), /12 tokens exceed/);
  for (const each of [long, odd, two, model]) each.dispose();
});

Deno.test("a model's folder that is not there, or has no config.json, is a user's error", async () => {
  await withFolder(async (folder) => {
    for (
      const [path, message] of [["/nonexistent", "cannot read /nonexistent: no such file"], [folder, "config.json"]]
    ) {
      await assert.rejects(
        // deno-lint-ignore no-explicit-any
        () => CausalTransformer.load(undefined as any, path),
        (error) => error instanceof UserError && error.message.includes(message) || assert.fail(String(error)),
      );
    }
  });
});
