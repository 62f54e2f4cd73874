import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { checkpointedValueAndGrad } from "../../lib/models/checkpointed_gradient.ts";
import { type Layerwise, runLayers } from "../../lib/models/layerwise.ts";
import { tokenLoss } from "../../lib/nn/log_probabilities.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { concat, type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { inFloat64, randomTokens, smallModel, take } from "../support/small_transformer.ts";
import { peak } from "./checkpointed_peak.ts";

/** Sum of weighted negative log-likelihoods of given tokens under hidden states [N, D]. */
function lossOf(model: CausalTransformer, hidden: Tensor) {
  const count = hidden.shape[0];
  const targets = tensor(model.engine, Int32Array.from({ length: count }, (_, i) => (7 * i + 3) % 37));
  const weights = tensor(model.engine, Float32Array.from({ length: count }, (_, i) => Math.sin(1 + i) / count))
    .cast(hidden.dtype);
  const loss = tokenLoss(
    hidden,
    model.head,
    targets,
    (logp, start) => logp.mul(weights.narrow(0, start, logp.shape[0])).sum(),
    { chunkSize: 7 },
  );
  return { loss, aux: { double: loss.detach().mul(2), rows: count } };
}

/** Passes of each form over small random tokens, and their hidden states as rows. */
function passes(model: CausalTransformer, tokens: Tensor, answers: Tensor) {
  const random = new Philox(3, 1);
  const some = (length: number) => Int32Array.from({ length }, () => random.integer(0, 37));
  const groups = [
    { prompt: some(6), answers: [some(3), some(5)] },
    { prompt: some(4), answers: [] },
    { prompt: some(5), answers: [some(2)] },
  ];
  const rows = (x: Tensor) => x.reshape([-1, 32]);
  const forms: Record<string, { pass: () => Layerwise<unknown>; flat: (hidden: never) => Tensor }> = {
    plain: { pass: () => model.hiddenPass(tokens), flat: rows },
    shared: {
      pass: () => model.hiddenSharedPass(tokens, answers, { promptHidden: "last" }),
      flat: (hidden: { prompt: Tensor; answers: Tensor }) => concat([rows(hidden.prompt), rows(hidden.answers)]),
    },
    packed: {
      pass: () => model.hiddenPackedPass(groups),
      flat: (hidden: { prompts: Tensor; answers?: Tensor }) => concat([hidden.prompts, hidden.answers!]),
    },
  };
  return forms;
}

/** Prepares a model: what is trained differs. */
const KINDS: Record<string, (model: CausalTransformer) => void> = {
  "all parameters": () => {},
  adapters: (model) => {
    model.attachAdapters({ rank: 2, alpha: 3, targets: ["q_proj", "up_proj", "lm_head"], seed: 1 });
    disturb(model);
  },
  "adapters of the last block": (model) => {
    model.attachAdapters({ rank: 2, alpha: 3, targets: ["layers.2.mlp.down_proj"], seed: 1 });
    disturb(model);
  },
};

/** Gives B numbers that matter. */
function disturb(model: CausalTransformer): void {
  let index = 0;
  for (const [name, each] of model.adapters!.parameters) {
    if (!name.includes("lora_B")) continue;
    const random = new Philox(17, index++);
    tidy(() => each.assign(tensor(model.engine, random.fillNormal(new Float32Array(each.size), 0, 0.2), each.shape)));
  }
}

for (const [kind, prepare] of Object.entries(KINDS)) {
  forEachEngine(`checkpointed gradients are those of the whole graph: ${kind}`, async (engine) => {
    for (const type of ["float32", "float64"] as const) {
      // The adapters are float32 anyway.
      if (!engine.supports(type) || (type === "float64" && kind !== "all parameters")) continue;
      for (const tiedEmbeddings of [false, true]) {
        const original = smallModel(engine, { layers: 3, tiedEmbeddings });
        const model = type === "float64" ? inFloat64(original) : original;
        prepare(model);
        const tokens = randomTokens(engine, 2, 6, 37, 1), answers = randomTokens(engine, 4, 5, 37, 2);
        for (const [form, { pass, flat }] of Object.entries(passes(model, tokens, answers))) {
          const before = engine.memory().tensors;
          const loss = (hidden: unknown) => lossOf(model, flat(hidden as never));
          const plain = valueAndGrad(() => loss(runLayers(pass())), [...model.trainable.values()]);
          const ours = checkpointedValueAndGrad(model, pass, loss);
          const what = `${type} ${form}${tiedEmbeddings ? " tied" : ""}`;
          const value = await take(plain.value), double = await take(ours.aux.double);
          assertClose(await take(ours.value), value as Float32Array, 1e-6, `${what}: value`);
          assertClose([Number(double[0])], [2 * Number(value[0])], 1e-6, `${what}: aux`);
          assert.equal(ours.aux.rows, plain.aux.rows);
          let largest = 0;
          for (const [i, name] of [...model.trainable.keys()].entries()) {
            assert.deepEqual(ours.gradients[i].shape, model.trainable.get(name)!.shape);
            const wanted = await take(plain.gradients[i]) as Float32Array;
            assertClose(await take(ours.gradients[i]), wanted, 1e-6, `${what}: gradient of ${name}`);
            largest = Math.max(largest, ...wanted.map(Math.abs));
          }
          assert.ok(largest > 1e-3, `${what}: gradients that say something`);
          plain.aux.double.dispose();
          assert.equal(engine.memory().tensors, before, `${what}: nothing is left behind`);
        }
        if (model !== original) original.dispose();
        for (const each of [model, tokens, answers]) each.dispose();
      }
    }
  });
}

forEachEngine("checkpointing takes less memory, and the more so the more blocks there are", async (engine) => {
  const peaks = [];
  for (const [layers, checkpointing] of [[8, true], [8, false], [16, true], [16, false]] as const) {
    if (engine.name === "torch" && (Deno.build.os !== "linux" || engine.device !== "cpu")) return;
    peaks.push(
      engine.name === "torch" ? await peakOfProcess(layers, checkpointing) : peak(engine, layers, checkpointing),
    );
  }
  const [checkpointed, plain, checkpointedMore, plainMore] = peaks;
  assert.ok(checkpointed < 0.75 * plain, `8 blocks: ${checkpointed} of ${plain} bytes`);
  assert.ok(checkpointedMore < 0.5 * plainMore, `16 blocks: ${checkpointedMore} of ${plainMore} bytes`);
});

/** LibTorch's graphs keep memory that the engine does not see: a process of its own is measured from outside. */
async function peakOfProcess(layers: number, checkpointing: boolean): Promise<number> {
  const script = fileURLToPath(new URL("./checkpointed_peak.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, `${layers}`, `${checkpointing}`],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return Number(new TextDecoder().decode(stdout));
}
