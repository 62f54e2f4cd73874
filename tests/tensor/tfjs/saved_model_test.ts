/** SavedModels run beside an engine of any kind; what they compute is tested in `tests/studies/policies/rt1_policy_test.ts`. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { valueAndGrad } from "../../../lib/tensor/gradient.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";
import { findInstallation } from "../../../lib/tensor/tfjs/location.ts";
import { SavedModel } from "../../../lib/tensor/tfjs/saved_model.ts";
import { readSavedGraph } from "../../../lib/tensor/tfjs/saved_model_file.ts";
import { forEachEngine } from "../../support/engines.ts";

const FOLDER = join(dirname(import.meta.filename!), "../../studies/policies/fixtures");

if (findInstallation() !== undefined) {
  forEachEngine("a SavedModel beside the engine", async (engine) => {
    using model = SavedModel.open(join(FOLDER, "sentence_encoder"));
    for (let round = 0; round < 3; round++) {
      const x = tensor(engine, [1, 2, 3]);
      const { value, gradients: [gradient] } = valueAndGrad(() => x.square().sum(), [x]);
      const { outputs } = model.run("serving_default", { inputs: { shape: [2], data: ["a", "abc"] } });
      assert.deepEqual(outputs.shape, [2, 512]);
      // The encoder gives sin(length · i / 100).
      const numbers = outputs.data as Float32Array;
      assert.ok(Math.abs(numbers[0] - Math.sin(0.01)) < 1e-6 && Math.abs(numbers[512 + 99] - Math.sin(3)) < 1e-6);
      assert.deepEqual([[...await value.data()], [...await gradient.data()]], [[14], [2, 4, 6]]);
      for (const each of [x, value, gradient]) each.dispose();
    }
  });
} else {
  Deno.test({ name: "a SavedModel beside the engine (needs deno task install-tfjs-node)", ignore: true, fn() {} });
}

Deno.test("readSavedGraph: signatures as TensorFlow wrote them", () => {
  const path = join(FOLDER, "rt1_policy/saved_model.pb");
  const { tags, signatures } = readSavedGraph(Deno.readFileSync(path), path);
  assert.deepEqual(tags, ["serve"]);
  assert.deepEqual(Object.keys(signatures).sort(), ["action", "get_initial_state"]);
  const { inputs, outputs } = signatures.action;
  const image = inputs["0/observation/image"];
  assert.deepEqual([image.dtype, image.shape], ["uint8", [1, 256, 320, 3]]);
  assert.equal(image.operation, "action_0_observation_image:0");
  assert.deepEqual([inputs["1/step_num"].dtype, inputs["1/step_num"].shape], ["int32", [1, 1, 1, 1, 1]]);
  assert.deepEqual([outputs["action/terminate_episode"].dtype, Object.keys(outputs).length], ["int32", 10]);
  const encoder = join(FOLDER, "sentence_encoder/saved_model.pb");
  const { serving_default } = readSavedGraph(Deno.readFileSync(encoder), encoder).signatures;
  assert.deepEqual([serving_default.inputs.inputs.dtype, serving_default.inputs.inputs.shape], ["string", [-1]]);
  assert.deepEqual(serving_default.outputs.outputs.shape, [-1, 512]);
});

Deno.test("readSavedGraph: a damaged file is an error that names it, whatever is cut off or flipped", () => {
  const whole = Deno.readFileSync(join(FOLDER, "other_policy/saved_model.pb"));
  assert.throws(() => readSavedGraph(new TextEncoder().encode("<html>no</html>"), "x.pb"), /^UserError: x\.pb /);
  assert.throws(() => readSavedGraph(new Uint8Array(), "x.pb"), /x\.pb has no graph tagged serve: its tags are none/);
  for (let size = 1; size < whole.length; size += 97) {
    assert.throws(() => readSavedGraph(whole.subarray(0, size), "x.pb"), /^UserError: x\.pb /, `${size} bytes`);
  }
  for (let at = 0; at < 400; at++) {
    const bytes = whole.slice();
    bytes[at] ^= 0xff;
    try {
      readSavedGraph(bytes, "x.pb");
    } catch (error) {
      assert.equal((error as Error).name, "UserError", `byte ${at}: ${error}`);
    }
  }
});

Deno.test("readSavedGraph: fields that are not wanted cost nothing, wanted ones without end are refused", () => {
  const whole = Deno.readFileSync(join(FOLDER, "other_policy/saved_model.pb"));
  const { signatures } = readSavedGraph(whole, "x.pb");
  // Eight million fields of other numbers, of each kind, before what is wanted.
  const units = [[0x78, 0x01], [0x7a, 0x00], [0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]];
  for (const unit of units) {
    const before = 8_000_000, bytes = new Uint8Array(before * unit.length + whole.length);
    for (let i = 0; i < before; i++) bytes.set(unit, i * unit.length);
    bytes.set(whole, before * unit.length);
    const { heapUsed, external } = Deno.memoryUsage();
    assert.deepEqual(readSavedGraph(bytes, "x.pb").signatures, signatures);
    const now = Deno.memoryUsage();
    assert.ok(now.heapUsed + now.external - heapUsed - external < 50e6, `${now.heapUsed - heapUsed} bytes were taken`);
  }
  const graphs = new Uint8Array(40_000).map((_, i) => i % 2 === 0 ? 0x12 : 0);
  assert.throws(() => readSavedGraph(graphs, "x.pb"), /^UserError: x\.pb cannot be read as a SavedModel/);
});

Deno.test("SavedModel: what is no file, or too large for one, is one line", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "saved_model.pb"));
  assert.throws(() => SavedModel.open(folder), /^UserError: cannot read .*saved_model\.pb: it is not a file/);
  await Deno.remove(join(folder, "saved_model.pb"));
  assert.throws(() => SavedModel.open(folder), /^UserError: .* holds no SavedModel: there is no saved_model\.pb in it/);
  await Deno.writeFile(join(folder, "saved_model.pb"), new Uint8Array());
  await Deno.truncate(join(folder, "saved_model.pb"), 2 ** 33);
  assert.throws(() => SavedModel.open(folder), /^UserError: .* is no SavedModel: it has 8589934592 bytes/);
  await Deno.remove(folder, { recursive: true });
});
