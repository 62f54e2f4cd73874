import assert from "node:assert/strict";
import { runLayers } from "../../lib/models/layerwise.ts";
import { readSafetensors, toFloat32, toInt64 } from "../../lib/io/safetensors.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { hiddenValueAndGrad } from "../../lib/models/checkpointed_gradient.ts";
import { loadAdapters } from "../../lib/models/lora_files.ts";
import { tokenLoss } from "../../lib/nn/log_probabilities.ts";
import { AdamW } from "../../lib/nn/optimizer.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { keep, tidy } from "../../lib/tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { fixture, inFloat64, randomTokens, smallModel, take } from "../support/small_transformer.ts";

const ALL = { rank: 3, alpha: 6, seed: 4 } as const;

/** Gives B numbers that matter. */
function disturb(model: CausalTransformer): void {
  let index = 0;
  for (const [name, each] of model.adapters!.parameters) {
    if (!name.includes("lora_B")) continue;
    const random = new Philox(17, index++);
    tidy(() => each.assign(tensor(model.engine, random.fillNormal(new Float32Array(each.size), 0, 0.2), each.shape)));
  }
}

async function logitsOf(model: CausalTransformer, tokens: Tensor): Promise<Float32Array> {
  return await take(tidy(() => {
    const hidden = model.hidden(tokens);
    return model.logits(hidden.reshape([-1, hidden.shape[2]])).cast("float32");
  })) as Float32Array;
}

async function numbersOf(parameters: ReadonlyMap<string, Tensor>): Promise<Map<string, number[]>> {
  const out = new Map<string, number[]>();
  for (const [name, each] of parameters) out.set(name, [...await each.data()].map(Number));
  return out;
}

forEachEngine("an adapter of PEFT: logits, loss and gradients of A and B", async (engine) => {
  const model = await CausalTransformer.load(engine, fixture("tiny_qwen2"));
  const adapters = await loadAdapters(model, fixture("tiny_lora"));
  assert.equal(adapters.layers.length, 10);
  assert.ok(Math.abs(adapters.scale - 5 / Math.sqrt(3)) < 1e-12);
  const expected = await readSafetensors(`${fixture("tiny_lora")}/expected.safetensors`);
  const given = await readSafetensors(`${fixture("tiny_qwen2")}/expected.safetensors`);
  const tokens = tensor(engine, toInt64(given.get("tokens")!), [2, 12]);
  const logits = toFloat32(expected.get("logits")!);
  assertClose(await logitsOf(model, tokens), logits, 1e-4, "logits");
  assert.throws(() => assertClose(toFloat32(given.get("logits")!), logits, 1e-2, "the base's"));

  const { value, gradients } = tidy(() =>
    valueAndGrad(() => {
      const hidden = model.hidden(tokens).narrow(1, 0, 11).reshape([22, 32]);
      const targets = tokens.narrow(1, 1, 11).reshape([22]);
      return tokenLoss(hidden, model.head, targets, (logp) => logp.sum().mul(-1 / 22), { chunkSize: 5 });
    }, [...model.trainable.values()])
  );
  assertClose(await take(value) as Float32Array, toFloat32(expected.get("loss")!), 1e-5, "loss");
  const names = [...model.trainable.keys()];
  assert.deepEqual(
    [...expected.keys()].filter((name) => name.startsWith("gradient.")).sort(),
    names.map((name) => `gradient.${name}`).sort(),
  );
  for (const [i, name] of names.entries()) {
    assertClose(await take(gradients[i]), toFloat32(expected.get(`gradient.${name}`)!), 1e-4, `gradient of ${name}`);
  }

  model.mergeAdapters();
  assertClose(await logitsOf(model, tokens), logits, 1e-4, "logits, merged");
  for (const each of [tokens, model]) each.dispose();
});

forEachEngine(
  "new adapters change nothing, are drawn from the seed, and belong to each layer alone",
  async (engine) => {
    const model = smallModel(engine), tokens = randomTokens(engine, 2, 9, 37);
    const before = await logitsOf(model, tokens), held = engine.memory().tensors;
    const { parameters } = model.attachAdapters({ ...ALL, targets: "all-linear" });
    assert.deepEqual(await logitsOf(model, tokens), before);
    assert.equal(model.trainable, parameters);
    assert.equal(parameters.size, 2 * 7 * 2, "A and B of seven layers a block, and not of the vocabulary");
    const all = await numbersOf(parameters);
    const [a, b] = ["A", "B"].map((each) => all.get(`model.layers.1.mlp.down_proj.lora_${each}.weight`)!);
    assert.ok(b.every((each) => each === 0));
    const bound = 1 / Math.sqrt(48);
    assert.ok(
      a.every((each) => Math.abs(each) <= bound) && Math.max(...a) > 0.9 * bound && Math.min(...a) < -0.9 * bound,
    );
    model.detachAdapters();
    assert.equal(model.trainable, model.parameters);
    assert.equal(engine.memory().tensors, held, "detached adapters are freed");

    const some = model.attachAdapters({ ...ALL, targets: ["down_proj", "self_attn.q_proj"] });
    assert.deepEqual(
      some.layers,
      [0, 1].flatMap((i) => [`model.layers.${i}.self_attn.q_proj`, `model.layers.${i}.mlp.down_proj`]),
    );
    for (const [name, numbers] of await numbersOf(some.parameters)) assert.deepEqual(numbers, all.get(name), name);
    model.detachAdapters();
    const other = model.attachAdapters({ ...ALL, seed: 5, targets: "all-linear" });
    assert.notDeepEqual((await numbersOf(other.parameters)).get("model.layers.1.mlp.down_proj.lora_A.weight"), a);
    for (const each of [tokens, model]) each.dispose();
  },
);

for (
  const targets of [["q_proj", "gate_proj"], ["k_proj", "v_proj", "o_proj", "up_proj", "down_proj"], "all-linear", [
    "lm_head",
    "v_proj",
  ]] as const
) {
  forEachEngine(
    `adapters of ${targets}: the same whether beside, merged, shared, packed or decoded`,
    async (engine) => {
      for (const tiedEmbeddings of [false, true]) {
        const model = smallModel(engine, { tiedEmbeddings }), tokens = randomTokens(engine, 2, 9, 37);
        const base = await logitsOf(model, tokens);
        model.attachAdapters({ ...ALL, targets });
        disturb(model);
        const adapted = await logitsOf(model, tokens);
        assert.throws(() => assertClose(adapted, base, 1e-2, "the base's"));
        assert.deepEqual(await model.withoutAdapters(() => logitsOf(model, tokens)), base, "left out");
        assert.deepEqual(await logitsOf(model, tokens), adapted, "and in again");

        const half = tidy(() => [keep(tokens.narrow(1, 0, 5).clone()), keep(tokens.narrow(1, 5, 4).clone())]);
        const shared = await take(tidy(() => {
          const { prompt, answers } = model.hiddenShared(half[0], half[1]);
          return model.logits(concat([prompt, answers], 1).reshape([18, 32]));
        }));
        assertClose(shared, adapted, 1e-5, "shared prompts");
        assertClose(await decoded(model, half[0], half[1]), adapted, 1e-5, "decoding");
        const rows = (await numbersOf(new Map([["", tokens]]))).get("")!;
        const packed = await take(tidy(() => {
          const prompts = [rows.slice(0, 9), rows.slice(9)].map((each) => Int32Array.from(each));
          return model.logits(
            runLayers(model.hiddenPackedPass(prompts.map((prompt) => ({ prompt, answers: [] })))).prompts,
          );
        }));
        assertClose(packed, adapted, 1e-5, "packed sequences");

        if (tiedEmbeddings && targets[0] === "lm_head") {
          assert.throws(() => model.mergeAdapters(), /lm_head cannot be merged/);
        } else {
          const weights = await numbersOf(model.parameters);
          model.mergeAdapters();
          assertClose(await logitsOf(model, tokens), adapted, 1e-5, "merged");
          assert.throws(() => model.mergeAdapters(), /merged already/);
          assert.throws(() => model.withoutAdapters(() => 0), /unmerge them first/);
          model.unmergeAdapters();
          assertClose(await logitsOf(model, tokens), adapted, 1e-5, "unmerged");
          for (const [name, numbers] of await numbersOf(model.parameters)) {
            assertClose(numbers, weights.get(name)!, 1e-6, name);
          }
          assert.throws(() => model.unmergeAdapters(), /not merged/);
          model.mergeAdapters();
          model.detachAdapters();
          assertClose(await logitsOf(model, tokens), adapted, 1e-5, "merged, and adapters gone");
        }
        for (const each of [...half, tokens, model]) {
          each.dispose();
        }
      }
    },
  );
}

/** Logits of every position after the prompts' last, the prompts' own from a full pass: decoded one token at a time. */
async function decoded(model: CausalTransformer, prompts: Tensor, answers: Tensor): Promise<Float32Array> {
  const own = await logitsOf(model, prompts), [rows, length] = prompts.shape, count = answers.shape[1];
  const vocabulary = own.length / (rows * length), total = length + count;
  const out = new Float32Array(rows * total * vocabulary);
  const put = (from: Float32Array, position: number, row: number, at: number) =>
    out.set(from.subarray(at * vocabulary, (at + 1) * vocabulary), (row * total + position) * vocabulary);
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < length; t++) put(own, t, row, row * length + t);
  }
  const { cache, hidden } = model.prefill(prompts, { group: 1, maxNewTokens: count });
  let state = hidden;
  for (let t = 0; t <= count; t++) {
    const logits = await take(model.logits(state, cache).cast("float32")) as Float32Array;
    for (let row = 0; row < rows; row++) put(logits, length - 1 + t, row, row);
    if (t === count) break;
    const next = tidy(() => model.decode(cache, answers.narrow(1, t, 1).reshape([rows])));
    state.dispose();
    state = next;
  }
  state.dispose();
  cache.dispose();
  return out;
}

forEachEngine(
  "gradients of A and B are those of W + s·B·A by finite differences; the base gets none",
  async (engine) => {
    const original = smallModel(engine), model = inFloat64(original);
    const tokens = randomTokens(engine, 1, 7, 37);
    model.attachAdapters({ rank: 2, alpha: 4, rsLora: true, targets: ["v_proj", "up_proj", "lm_head"], seed: 3 });
    disturb(model);
    const before = await numbersOf(model.parameters);
    const loss = () => {
      const hidden = model.hidden(tokens).reshape([7, 32]);
      return tokenLoss(hidden, model.head, tokens.reshape([7]), (logp) => logp.sum(), { chunkSize: 4 });
    };
    const { value, gradients } = tidy(() => valueAndGrad(loss, [...model.trainable.values()]));
    value.dispose();
    for (const [i, [name, each]] of [...model.trainable].entries()) {
      const gradient = await take(gradients[i]);
      const at = (each.size * 7 + 3) % each.size + Math.floor(each.size / 2);
      const original = Float32Array.from(await each.data() as Float32Array), values: number[] = [];
      for (const step of [0.01, -0.01]) {
        const changed = original.slice();
        changed[at] += step;
        tidy(() => each.assign(tensor(engine, changed, each.shape)));
        values.push(Number((await take(tidy(loss)))[0]));
      }
      tidy(() => each.assign(tensor(engine, original, each.shape)));
      assertClose([Number(gradient[at])], [(values[0] - values[1]) / 0.02], 2e-3, name);
    }
    assert.deepEqual(await numbersOf(model.parameters), before);
    for (const each of [tokens, model, original]) each.dispose();
  },
  { needs: ["float64"] },
);

forEachEngine("bfloat16: of the parameters, or of products alone; decoding agrees with training", async (engine) => {
  for (const kind of ["parameters", "products"] as const) {
    const model = bfloat16Model(engine, kind), exact = smallModel(engine);
    const tokens = randomTokens(engine, 2, 9, 37);
    for (const each of [model, exact]) {
      each.attachAdapters({ ...ALL, targets: "all-linear" });
      disturb(each);
    }
    for (const each of model.trainable.values()) assert.equal(each.dtype, "float32");
    const logits = await logitsOf(model, tokens), wanted = await logitsOf(exact, tokens);
    const half = tidy(() => [keep(tokens.narrow(1, 0, 5).clone()), keep(tokens.narrow(1, 5, 4).clone())]);
    const cached = await decoded(model, half[0], half[1]);
    assertClose(logits, wanted, 0.1, `${kind}: near float32`);
    assertClose(cached, logits, 0.05, `${kind}: decoding`);
    const { value, gradients } = tidy(() =>
      valueAndGrad(() => model.hidden(tokens).cast("float32").square().sum(), [...model.trainable.values()])
    );
    for (const each of gradients) {
      assert.equal(each.dtype, "float32");
      assert.ok((await each.data() as Float32Array).some((x) => x !== 0));
    }
    model.mergeAdapters();
    assertClose(await logitsOf(model, tokens), logits, 0.1, `${kind}: merged`);
    model.unmergeAdapters();
    assertClose(await logitsOf(model, tokens), logits, 0.05, `${kind}: unmerged`);
    for (const each of [...half, tokens, value, ...gradients, model, exact]) each.dispose();
  }
}, { needs: ["bfloat16"] });

function bfloat16Model(engine: Engine, kind: "parameters" | "products"): CausalTransformer {
  if (kind === "products") return smallModel(engine, {}, { computeType: "bfloat16" });
  const original = smallModel(engine);
  const parameters = new Map([...original.parameters].map(([name, each]) => [name, keep(each.cast("bfloat16"))]));
  original.dispose();
  return new CausalTransformer(engine, original.config, parameters);
}

forEachEngine("training changes the adapters, the loss, and nothing else", async (engine) => {
  const model = smallModel(engine, { initializerRange: 0.1 }), tokens = randomTokens(engine, 3, 10, 37);
  model.attachAdapters({ rank: 4, alpha: 8, targets: "all-linear", seed: 2 });
  const before = await numbersOf(model.parameters);
  const optimizer = new AdamW(model.trainable, { learningRate: 0.02, weightDecay: 0 });
  const inputs = tidy(() => keep(tokens.narrow(1, 0, 9).clone()));
  const targets = tidy(() => keep(tokens.narrow(1, 1, 9).clone().reshape([27])));
  const losses: number[] = [];
  for (let step = 0; step < 40; step++) {
    const { value, gradients } = hiddenValueAndGrad(
      model,
      () => model.hiddenPass(inputs),
      (hidden) => tokenLoss(hidden.reshape([27, 32]), model.head, targets, (logp) => logp.sum().mul(-1 / 27)),
      { checkpointing: step % 2 === 1 },
    );
    optimizer.step(gradients);
    losses.push(Number((await take(value))[0]));
    for (const each of gradients) each.dispose();
  }
  assert.ok(losses[39] < 0.5 * losses[0], `${losses[0]} → ${losses[39]}`);
  assert.deepEqual(await numbersOf(model.parameters), before);
  for (const each of [inputs, targets, tokens, optimizer, model]) each.dispose();
});

forEachEngine("what LoRA cannot do is said in one line", (engine) => {
  const model = smallModel(engine);
  const refused = (change: object, message: RegExp) =>
    assert.throws(() => model.attachAdapters({ ...ALL, targets: "all-linear", ...change }), message);
  refused({ rank: 0 }, /rank must be a whole number of at least 1: received 0/);
  refused({ alpha: -1 }, /alpha must be above 0: received -1/);
  refused({ targets: [] }, /targets must name at least one layer/);
  refused({ targets: ["q_proj", "query"] }, /target "query" names no linear layer of this model: use q_proj, k_proj/);
  refused({ targets: ["proj"] }, /target "proj" names no linear layer/);
  assert.throws(() => model.mergeAdapters(), /mergeAdapters: the model has no adapters/);
  assert.equal(model.withoutAdapters(() => 7), 7);
  model.attachAdapters({ ...ALL, targets: "all-linear" });
  refused({}, /call detachAdapters first/);
  assert.throws(() =>
    model.withoutAdapters(() => {
      throw new Error("mine");
    }), /mine/);
  assert.ok(model.adapters!.isActive, "an error inside leaves the adapters as they were");
  model.dispose();
});
