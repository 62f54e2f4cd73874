/** The judge against the same network in PyTorch, its files, and what it says of wrong input. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type HostTensor, readSafetensors, toFloat32 } from "../../lib/io/safetensors.ts";
import { instructionWords, SuccessClassifier } from "../../lib/models/success_classifier.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { forEachEngine } from "../support/engines.ts";

const FIXTURES = join(import.meta.dirname!, "fixtures"), TINY = join(FIXTURES, "tiny_success_classifier");
const expected: Map<string, HostTensor> = await readSafetensors(join(FIXTURES, "success_classifier.safetensors"));
const SIZE = 8 * 12 * 3;

/** The fixture's episodes; each instruction is the words of its row. */
const episodes = ["the red block", "Close the drawer!", ""].map((instruction, i) => ({
  first: expected.get("first")!.data.subarray(i * SIZE, (i + 1) * SIZE),
  final: expected.get("final")!.data.subarray(i * SIZE, (i + 1) * SIZE),
  instruction,
}));

function assertNear(actual: ArrayLike<number>, wanted: Float32Array, tolerance: number, what: string): void {
  assert.equal(actual.length, wanted.length, what);
  for (let i = 0; i < wanted.length; i++) {
    assert.ok(Math.abs(actual[i] - wanted[i]) < tolerance, `${what}[${i}]: ${actual[i]} against ${wanted[i]}`);
  }
}

forEachEngine("success classifier: logits and gradients are PyTorch's", async (engine) => {
  const judge = await SuccessClassifier.load(engine, TINY);
  const { first, final, words } = judge.batch(episodes);
  assertNear(await words.data() as Float32Array, toFloat32(expected.get("words")!), 1e-9, "words");
  const names = ["conv.0.weight", "film.1.weight", "attend.weight", "hidden.bias"];
  const targets = tensor(engine, Float32Array.of(1, 0, 1), [3]);
  const { aux, gradients } = valueAndGrad(() => {
    const logits = judge.logits(first, final, words);
    return { loss: logits.softplus().sub(targets.mul(logits)).mean(), aux: logits };
  }, names.map((name) => judge.parameters.get(name)!));
  assertNear(await aux.data() as Float32Array, toFloat32(expected.get("logits")!), 1e-5, "logits");
  for (const [i, name] of names.entries()) {
    assertNear(
      await gradients[i].data() as Float32Array,
      toFloat32(expected.get(`gradient.${name}`)!),
      1e-5,
      `gradient of ${name}`,
    );
  }
  const probabilities = toFloat32(expected.get("logits")!).map((x) => 1 / (1 + Math.exp(-x)));
  assertNear(await judge.judge(episodes), probabilities, 1e-5, "probabilities");
  judge.dispose();
});

forEachEngine(
  "success classifier: what is saved is loaded again; the seed decides the first weights",
  async (engine) => {
    await withFolder(async (folder) => {
      const config = { height: 8, width: 12, words: ["close", "drawer", "the", "red", "block"] };
      const make = (seed: number) => SuccessClassifier.initialize(engine, config, { seed });
      const judge = make(1), same = make(1), other = make(2);
      await judge.save(join(folder, "judge"));
      const loaded = await SuccessClassifier.load(engine, join(folder, "judge"));
      assert.deepEqual(loaded.config, judge.config);
      const said = await judge.judge(episodes);
      assert.deepEqual(await loaded.judge(episodes), said);
      assert.deepEqual(await same.judge(episodes), said);
      assert.notDeepEqual(await other.judge(episodes), said);
      for (const each of [judge, same, other, loaded]) each.dispose();
    });
  },
);

forEachEngine("success classifier: bad input is named", async (engine) => {
  const judge = await SuccessClassifier.load(engine, TINY);
  assert.throws(
    () => judge.wordVector("the blue block"),
    /not trained on the word "blue" of "the blue block": it knows/,
  );
  const small = { ...episodes[0], final: new Uint8Array(5) };
  await assert.rejects(() => judge.judge([small]), /needs frames of 8 × 12 × 3 bytes: received 5/);
  judge.dispose();
  const make = (change: object) =>
    SuccessClassifier.initialize(engine, { height: 8, width: 8, words: ["a"], ...change }, { seed: 0 });
  assert.throws(() => make({ height: 4 }), /height must be a whole number of at least 8: received 4/);
  assert.throws(() => make({ words: [] }), /at least one word: received \[\]/);
  assert.throws(() => make({ words: ["a", "b", "a"] }), /received "a" twice/);
  assert.throws(() => make({ channels: [8] }), /channels must be at least two positive whole numbers: received \[8\]/);
  await rejectsUserError(() => SuccessClassifier.load(engine, FIXTURES), "config.json", "no such file");
  await rejectsUserError(
    () => SuccessClassifier.load(engine, join(FIXTURES, "tiny_llama")),
    'model_type is "llama"',
    "judge folder of an evaluation",
  );
});

Deno.test("instructionWords: lower case, without marks", () => {
  assert.deepEqual(instructionWords("Push the RED block, into zone-2!"), [
    "push",
    "the",
    "red",
    "block",
    "into",
    "zone-2",
  ]);
});
