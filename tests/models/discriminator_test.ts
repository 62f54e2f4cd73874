import assert from "node:assert/strict";
import { readSafetensors, toFloat32 } from "../../lib/io/safetensors.ts";
import { Discriminator, generatorLoss, gradientPenalty, hingeLoss } from "../../lib/models/discriminator.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

/** Made by fixtures/make_discriminator.py with torch.nn.utils.spectral_norm. */
const FIXTURE = await readSafetensors(new URL("fixtures/discriminator.safetensors", import.meta.url).pathname);
const numbers = (name: string) => toFloat32(FIXTURE.get(name)!);
const CONFIG = { hiddenChannels: 32, depth: 3 };

async function fixtureModel(engine: Engine): Promise<Discriminator> {
  const model = Discriminator.initialize(engine, CONFIG, { seed: 1 });
  const weights = [...FIXTURE].filter(([name]) => name.startsWith("before.")).map(([name, each]) =>
    [name.slice(7), each] as const
  );
  await model.loadHost(new Map(weights), "the fixture");
  return model;
}

forEachEngine("discriminator: power iteration and logits are PyTorch's", async (engine) => {
  const model = await fixtureModel(engine);
  const real = tensor(engine, numbers("real"), [2, 16, 24, 3]);
  const before = engine.memory().tensors;
  model.powerIterate();
  assert.equal(engine.memory().tensors, before);
  for (const [name, each] of model.buffers) assertClose(await each.data(), numbers(`after.${name}`), 1e-5, name);
  const logits = model.logits(real);
  assert.deepEqual(logits.shape, [2, 2, 3, 1]);
  assertClose(await logits.data(), numbers("logits"), 1e-4, "logits");
  logits.dispose();
  real.dispose();
  model.dispose();
});

forEachEngine("discriminator: losses, penalty and their gradients are PyTorch's", async (engine) => {
  const model = await fixtureModel(engine);
  model.powerIterate();
  const real = tensor(engine, numbers("real"), [2, 16, 24, 3]), fake = tensor(engine, numbers("fake"), [2, 16, 24, 3]);
  const losses: Record<string, () => Tensor> = {
    hinge: () => hingeLoss(model.logits(fake), model.logits(real)),
    penalty: () => gradientPenalty(model, real),
    generator: () => generatorLoss(model.logits(fake)),
  };
  for (const [name, loss] of Object.entries(losses)) {
    const { value, gradients } = valueAndGrad(loss, [...model.parameters.values(), fake]);
    assertClose(await value.data(), numbers(`${name}.loss`), 1e-4, name);
    for (const [i, key] of [...model.parameters.keys()].entries()) {
      const expected = FIXTURE.get(`${name}.gradient.${key}`);
      // PyTorch gives no gradient at all where the loss does not depend on a parameter.
      const wanted = expected ? toFloat32(expected) : new Float32Array(gradients[i].size);
      assertClose(await gradients[i].data(), wanted, 2e-3, `${name}: gradient of ${key}`);
    }
    if (name === "generator") {
      const pixels = gradients[gradients.length - 1];
      assertClose(await pixels.data(), numbers("generator.gradient.pixels"), 2e-3, "gradient of pixels");
    }
    for (const each of [value, ...gradients]) each.dispose();
  }
  real.dispose();
  fake.dispose();
  model.dispose();
});

forEachEngine("discriminator: state, newer names and wrong sizes", async (engine) => {
  const model = Discriminator.initialize(engine, CONFIG, { seed: 4 });
  const host = await model.toHost();
  assert.deepEqual(
    [...host.keys()].sort(),
    [...FIXTURE.keys()].filter((name) => name.startsWith("before."))
      .map((name) => name.slice(7)).sort(),
  );
  const renamed = new Map([...host].map(([name, each]) => [
    name.replace(".weight_orig", ".parametrizations.weight.original")
      .replace(/\.weight_([uv])$/, ".parametrizations.weight.0._$1"),
    each,
  ]));
  const other = Discriminator.initialize(engine, CONFIG, { seed: 5 });
  await other.loadHost(renamed, "newer names");
  assert.deepEqual(await other.toHost(), host);
  const wider = Discriminator.initialize(engine, { ...CONFIG, hiddenChannels: 64 }, { seed: 5 });
  await assert.rejects(wider.loadHost(host, "disc.safetensors"), /disc.safetensors: tensor 'encoder.0.weight_orig' is/);
  assert.throws(() => Discriminator.initialize(engine, { depth: 0 }, { seed: 0 }), /depth must be a positive integer/);
  assert.throws(
    () => Discriminator.initialize(engine, { hiddenChannels: 12 }, { seed: 0 }),
    /hiddenChannels must be a multiple of 8: received 12/,
  );
  const small = tensor(engine, new Float32Array(8 * 8 * 3), [1, 8, 8, 3]);
  assert.throws(
    () => model.logits(small),
    /3 halvings leave more than one position: received \[1, 8, 8, 3\]: lower depth/,
  );
  small.dispose();
  for (const each of [model, other, wider]) each.dispose();
});

forEachEngine("discriminator: the released sizes", (engine) => {
  const model = Discriminator.initialize(engine, {}, { seed: 0 });
  const widths = [0, 2, 5, 8, 11, 14].map((i) => model.parameters.get(`encoder.${i}.weight_orig`)!.shape);
  assert.deepEqual(widths, [
    [64, 3, 3, 3],
    [128, 64, 3, 3],
    [256, 128, 3, 3],
    [512, 256, 3, 3],
    [512, 512, 3, 3],
    [512, 512, 3, 3],
  ]);
  assert.deepEqual(model.parameters.get("shuffle.weight")!.shape, [1, 512, 1, 1]);
  model.dispose();
});
