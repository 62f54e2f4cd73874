import assert from "node:assert/strict";
import { fromFloat32, fromInt64, type HostTensor } from "../../lib/io/safetensors.ts";
import { openWeights, writeWeights } from "../../lib/io/safetensors_folder.ts";
import { UserError } from "../../lib/base/user_error.ts";
import {
  disposeParameters,
  loadInto,
  parameterCount,
  parameterStreams,
  toHost,
  zeroParameters,
} from "../../lib/nn/parameters.ts";
import type { Shape } from "../../lib/tensor/dtype.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor } from "../../lib/tensor/tensor.ts";
import { withFolder } from "../support/files.ts";
import { forEachEngine } from "../support/engines.ts";

const SHAPES = new Map([["w", [2, 3]], ["b", [2]]]);

function host(values: Record<string, [number[], number[]]>): Map<string, HostTensor> {
  return new Map(
    Object.entries(values).map(([name, [data, shape]]) => [name, fromFloat32(Float32Array.from(data), shape)]),
  );
}

const GOOD = { w: [[1, 2, 3, 4, 5, 6], [2, 3]], b: [[7, 8], [2]] } satisfies Record<string, [number[], number[]]>;

forEachEngine("parameters go to the host and back", async (engine) => {
  const parameters = zeroParameters(engine, SHAPES);
  assert.equal(parameterCount(parameters), 8);
  assert.equal(parameterCount(SHAPES), 8);
  await loadInto(parameters, host(GOOD), { source: "memory" });
  assert.deepEqual([...await parameters.get("w")!.data()], GOOD.w[0]);
  assert.deepEqual(await toHost(parameters), host(GOOD));
  const half = new Map([...host(GOOD), ["b", fromFloat32(Float32Array.of(0.5, -3), [2], "BF16")]]);
  await loadInto(parameters, half, { source: "memory" });
  assert.deepEqual([...await parameters.get("b")!.data()], [0.5, -3]);
  disposeParameters(parameters);
  assert.equal(parameters.size, 0);
});

forEachEngine("a checkpoint of another shape is refused before anything changes", async (engine) => {
  const parameters = zeroParameters(engine, SHAPES);
  const refused = async (source: Map<string, HostTensor>, message: RegExp) => {
    await assert.rejects(() => loadInto(parameters, source, { source: "model.safetensors" }), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual([...await parameters.get("w")!.data()], [0, 0, 0, 0, 0, 0]);
  };
  await refused(host({ b: GOOD.b }), /^model\.safetensors: tensor 'w' is missing: it is a checkpoint of another shape/);
  await refused(host({ ...GOOD, c: [[1], [1]], d: [[1], [1]] }), /tensors 'c', 'd' are unknown/);
  await refused(host({ ...GOOD, b: [[1, 2, 3], [3]] }), /tensor 'b' is \[3\] where the configuration needs \[2\]/);
  await refused(
    new Map([...host(GOOD), ["b", fromInt64([1, 2], [2])]]),
    /tensor 'b' is I64: a parameter must be one of F32/,
  );
  await loadInto(parameters, host({ ...GOOD, c: [[1], [1]] }), { source: "x", ignore: (name) => name === "c" });
  disposeParameters(parameters);
});

const STREAMED = new Map<string, Shape>([["matrix", [7, 3]], ["vector", [10]], ["scalar", []], ["cube", [2, 2, 5]]]);

for (const dtype of ["float32", "bfloat16"] as const) {
  forEachEngine(`parameters are written and read some rows at a time, ${dtype}`, async (engine) => {
    const source = zeroParameters(engine, STREAMED, dtype);
    const numbers = new Map<string, number[]>();
    for (const [name, each] of source) {
      // Whole numbers below 256 are exact in bfloat16.
      const values = Array.from({ length: each.size }, (_, i) => 3 * i - 17);
      numbers.set(name, values);
      tidy(() => each.assign(tensor(engine, values, each.shape, "float32").cast(dtype)));
    }
    await withFolder(async (folder) => {
      const streams = parameterStreams(source, undefined, 40);
      let pieces = 0;
      for await (const piece of streams.get("matrix")!.pieces()) {
        assert.ok(piece.length <= 40);
        pieces++;
      }
      assert.equal(pieces, 3, "three rows of twelve bytes a piece, as float32");
      await writeWeights(folder, streams);
      using weights = await openWeights(folder);
      assert.equal(weights.info("matrix").dtype, dtype === "float32" ? "F32" : "BF16");
      for (const pieceBytes of [1, 13, 30, 1000]) {
        const target = zeroParameters(engine, STREAMED, dtype);
        await loadInto(target, weights, { source: folder, pieceBytes });
        for (const [name, each] of target) assert.deepEqual([...await each.data()], numbers.get(name), name);
        disposeParameters(target);
      }
    });
    disposeParameters(source);
  }, { needs: [dtype] });
}
