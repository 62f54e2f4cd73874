import assert from "node:assert/strict";
import { join } from "node:path";
import {
  fromFloat32,
  type HostTensor,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../lib/io/safetensors.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { Lpips } from "../../lib/models/lpips.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

/** Made by fixtures/make_lpips.py, which also compares its forward pass with the lpips package. */
const FIXTURE = await readSafetensors(new URL("fixtures/lpips.safetensors", import.meta.url).pathname);
const numbers = (name: string) => toFloat32(FIXTURE.get(name)!);

function part(pattern: RegExp): Map<string, HostTensor> {
  return new Map([...FIXTURE].filter(([name]) => pattern.test(name)));
}

forEachEngine("lpips: distances and gradients are PyTorch's", async (engine) => {
  const lpips = Lpips.fromHost(engine, part(/^features/), part(/^lin/));
  const a = tensor(engine, numbers("a"), [2, 32, 48, 3]), b = tensor(engine, numbers("b"), [2, 32, 48, 3]);
  const weight = tensor(engine, [1, 2], [2], "float32");
  const before = engine.memory().tensors;
  const { gradients, aux } = valueAndGrad(() => {
    const distance = lpips.distance(a, b);
    return { loss: distance.mul(weight).sum(), aux: distance };
  }, [a]);
  const chunked = lpips.distance(a, b, { imagesPerChunk: 1 }), self = lpips.distance(a, a);
  assert.equal(engine.memory().tensors - before, 5);
  assertClose(await aux.data(), numbers("distance"), 1e-4, "distance");
  assertClose(await chunked.data(), numbers("distance"), 1e-4, "distance in chunks");
  assertClose(await gradients[0].data(), numbers("gradient"), 1e-3, "gradient");
  assert.deepEqual([...await self.data()], [0, 0]);
  assert.throws(() => lpips.distance(a, aux), /two images \[B, H, W, 3\] of one shape/);
  assert.throws(() => lpips.distance(a, b, { imagesPerChunk: 0 }), /imagesPerChunk/);
  for (const each of [a, b, weight, aux, chunked, self, ...gradients]) each.dispose();
  lpips.dispose();
});

forEachEngine("lpips: a black pair has a finite gradient", async (engine) => {
  const weights = new Map(FIXTURE);
  // Features that are zero everywhere: the length that they are divided by is zero as well.
  for (const [name, each] of part(/^features/)) {
    weights.set(
      name,
      fromFloat32(toFloat32(each).map(() => 0), each.shape),
    );
  }
  const lpips = Lpips.fromHost(engine, weights, weights);
  const a = tensor(engine, new Float32Array(16 * 16 * 3), [1, 16, 16, 3]);
  const { gradients, value } = valueAndGrad(() => lpips.distance(a, a.detach()).sum(), [a]);
  assert.ok((await gradients[0].data()).every((each) => each === 0));
  for (const each of [a, value, ...gradients]) each.dispose();
  lpips.dispose();
});

forEachEngine("lpips: files, the package's names, and what is wrong with them", async (engine) => {
  const folder = await Deno.makeTempDir();
  const vgg = join(folder, "vgg16.safetensors"), linear = join(folder, "linear.safetensors");
  const classifier = fromFloat32(new Float32Array(4), [2, 2]);
  const stage = (i: number) => [2, 7, 14, 21, 28].findIndex((last) => i <= last) + 1;
  const packaged = new Map([...part(/^features/)].map(([name, each]) => {
    const [, index, kind] = name.split(".");
    return [`net.slice${stage(Number(index))}.${index}.${kind}`, each];
  }));
  await writeSafetensors(vgg, [...part(/^features/), ["classifier.0.weight", classifier]]);
  await writeSafetensors(linear, [...part(/^lin/), ...packaged]);
  const a = tensor(engine, numbers("a"), [2, 32, 48, 3]), b = tensor(engine, numbers("b"), [2, 32, 48, 3]);
  // As a state dict of a model in DataParallel or compiled has them; a .pth file's names come the same way.
  const wrapped = join(folder, "wrapped.safetensors");
  await writeSafetensors(
    wrapped,
    [...part(/^features/), ...part(/^lin/)].map(([name, each], i) => [(i % 2 ? "module." : "_orig_mod.") + name, each]),
  );
  const names = new Map([...FIXTURE].map(([name, each]) => [`module._orig_mod.${name}`, each]));
  Lpips.fromHost(engine, names, names).dispose();
  for (const paths of [{ vgg, linear }, { vgg: linear, linear }, { vgg: wrapped, linear: wrapped }]) {
    const lpips = await Lpips.load(engine, paths);
    const distance = lpips.distance(a, b);
    assertClose(await distance.data(), numbers("distance"), 1e-4, "distance");
    distance.dispose();
    lpips.dispose();
  }
  const fails = (paths: { vgg: string; linear: string }, message: RegExp) =>
    assert.rejects(Lpips.load(engine, paths), (error: Error) => {
      assert.ok(error instanceof UserError, error.message);
      assert.match(error.message, message);
      return true;
    });
  const before = engine.memory().tensors;
  await fails({ vgg, linear: vgg }, /vgg16.safetensors: tensor 'lin0.model.1.weight' is missing: use vgg.pth of/);
  const none = join(folder, "lines.safetensors"), misshapen = join(folder, "misshapen.safetensors");
  await writeSafetensors(none, part(/^lin/));
  await fails(
    { vgg: none, linear },
    /lines.safetensors: tensor 'features.0.weight' is missing: use torchvision's VGG16/,
  );
  await fails({ vgg: join(folder, "absent.safetensors"), linear }, /absent.safetensors/);
  await fails({ vgg: join(folder, "absent.pth"), linear }, /absent.pth/);
  const spoilt = part(/^features/).set("features.2.weight", fromFloat32(new Float32Array(9), [1, 1, 3, 3]));
  await writeSafetensors(misshapen, spoilt);
  await fails({ vgg: misshapen, linear }, /'features.2.weight' must be \[O, 4, 3, 3\]: received \[1, 1, 3, 3\]/);
  assert.equal(engine.memory().tensors, before);
  a.dispose();
  b.dispose();
  await Deno.remove(folder, { recursive: true });
});
