import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UserError } from "../../../lib/base/user_error.ts";
import { writeNpz } from "../../../lib/io/npz.ts";
import { findInstallation } from "../../../lib/tensor/tfjs/location.ts";
import { SavedModel } from "../../../lib/tensor/tfjs/saved_model.ts";
import { openEmbeddings } from "../../../lib/studies/policies/instruction_embeddings.ts";
import { makePolicy } from "../../../lib/studies/policies/make_policy.ts";
import { isTerminal, type PolicyFrame } from "../../../lib/worlds/robot_video/policy.ts";
import { resizeWithPad } from "../../../lib/studies/policies/resize_with_pad.ts";

const FIXTURES = join(dirname(import.meta.filename!), "fixtures");
const POLICY = join(FIXTURES, "rt1_policy"), ENCODER = join(FIXTURES, "sentence_encoder");
const expected = JSON.parse(Deno.readTextFileSync(join(FIXTURES, "rt1_policy.json")));
const ignore = findInstallation() === undefined;
const needed = "(needs deno task install-tfjs-node)";

/** The picture of the fixture's script: [height, width, 3]. */
function pattern(height: number, width: number, shift: number): PolicyFrame {
  const pixels = new Uint8Array(height * width * 3);
  for (let i = 0; i < pixels.length; i++) {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    pixels[i] = (x * 7 + y * 13 + c * 50 + shift * 29 + (x * y) % 17) % 256;
  }
  return { pixels, height, width };
}

function near(actual: Float32Array, wanted: number[], tolerance = 2e-5): void {
  assert.equal(actual.length, wanted.length);
  wanted.forEach((value, d) => assert.ok(Math.abs(actual[d] - value) < tolerance, `${d}: ${actual[d]}, not ${value}`));
}

for (
  const [size, { rows, values, sum }] of Object.entries<{ rows: number[]; values: number[]; sum: number }>(
    expected.resized,
  )
) {
  Deno.test(`resizeWithPad ${size}: TensorFlow's pixels`, () => {
    const [height, width] = size.split("x").map(Number);
    const image = resizeWithPad(pattern(height, width, 5), 256, 320);
    const seen = rows.flatMap((row) =>
      Array.from({ length: 36 }, (_, i) => [...image.subarray((row * 320 + i * 9) * 3, (row * 320 + i * 9) * 3 + 3)])
        .flat()
    );
    assert.deepEqual(seen, values);
    assert.equal(image.reduce((total, value) => total + value, 0), sum);
  });
}

Deno.test({
  name: `Rt1Policy: four steps of a SavedModel with RT-1's signature are TensorFlow's own ${needed}`,
  ignore,
  fn: async () => {
    const policy = await makePolicy(`rt1:${POLICY}`, { embeddings: ENCODER });
    try {
      // Two episodes, the second a step late, so that states must be kept apart.
      await policy.reset([expected.instruction, expected.instruction], [1, 2]);
      for (let step = 0; step < 4; step++) {
        const [first, second] = await policy.act([pattern(48, 64, step), null]);
        near(first!, expected.steps[step]);
        assert.equal(second, null);
        assert.equal(isTerminal(first!), step === 3);
      }
      assert.equal(expected.steps[0][3], 0, "the gripper's dead zone");
      assert.ok(expected.steps[2][3] < -0.4, "a gripper command");
      for (let step = 0; step < 2; step++) {
        near((await policy.act([null, pattern(48, 64, step)]))[1]!, expected.steps[step]);
      }
      await policy.reset([expected.instruction], [1]);
      near((await policy.act([pattern(48, 64, 0)]))[0]!, expected.steps[0]);
    } finally {
      policy.dispose?.();
    }
  },
});

Deno.test({
  name: `Rt1Policy: embeddings from a file do as well, and a missing one is named ${needed}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const json = join(folder, "embeddings.json"), npz = join(folder, "embeddings.npz");
    await Deno.writeTextFile(json, JSON.stringify({ [expected.instruction]: expected.embedding }));
    await writeNpz(npz, {
      [expected.instruction]: { dtype: "float32", shape: [1, 512], data: Float32Array.from(expected.embedding) },
    });
    for (const embeddings of [json, npz]) {
      const policy = await makePolicy(`rt1:${POLICY}`, { embeddings });
      await policy.reset([expected.instruction], [0]);
      near((await policy.act([pattern(48, 64, 0)]))[0]!, expected.steps[0]);
      await assert.rejects(
        policy.reset(["wave"], [0]),
        /has no embedding of "wave": it has 1 \("open middle drawer"\)/,
      );
      policy.dispose?.();
    }
    await assert.rejects(makePolicy(`rt1:${POLICY}`), /has no instruction_embeddings\.npz or \.json/);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: `SavedModels of another kind are refused with what they have and what is needed ${needed}`,
  ignore,
  fn: async () => {
    const other = join(FIXTURES, "other_policy");
    await assert.rejects(
      makePolicy(`rt1:${other}`, { embeddings: ENCODER }),
      (error: Error) =>
        error instanceof UserError &&
        /has no RT-1 signature: serving_default lacks an input image; /.test(error.message) &&
        error.message.includes("an output world_vector") &&
        error.message.includes("picture (float32 [1, 32, 32, 3])") &&
        error.message.includes("its outputs are joints (float32 [1])") && !error.message.includes("\n"),
    );
    await assert.rejects(openEmbeddings(POLICY), /is no sentence encoder: serving_default must take one text/);
    await assert.rejects(makePolicy(`rt1:${FIXTURES}`), /holds no SavedModel: there is no saved_model\.pb in it/);
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(join(folder, "saved_model.pb"), "not a model");
    await assert.rejects(makePolicy(`rt1:${folder}`), (error: Error) => error instanceof UserError);
    await Deno.remove(folder, { recursive: true });
    using model = SavedModel.open(POLICY);
    assert.throws(() => model.run("nope", {}), /has no signature nope: it has action, get_initial_state/);
    assert.throws(() => model.run("action", {}), /action needs a value for 0\//);
  },
});

Deno.test("openEmbeddings refuses what holds no embeddings", async () => {
  const folder = await Deno.makeTempDir();
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(join(folder, name), text);
    return join(folder, name);
  };
  await assert.rejects(openEmbeddings(join(folder, "nothing.json")), /there are no instruction embeddings at/);
  await assert.rejects(openEmbeddings(await write("a.json", "{")), /a\.json cannot be read as JSON/);
  await assert.rejects(openEmbeddings(await write("b.json", "[1]")), /b\.json must be \{"instruction"/);
  await assert.rejects(
    openEmbeddings(await write("c.json", '{"go": [1, 2]}')),
    /c\.json: the embedding of "go" must be 512 finite numbers: received 2 values/,
  );
  await Deno.remove(folder, { recursive: true });
});
