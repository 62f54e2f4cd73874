import assert from "node:assert/strict";
import { fromFloat32, fromInt64, type HostTensor } from "../../lib/files/safetensors.ts";
import { UserError } from "../../lib/files/user_error.ts";
import { disposeParameters, loadInto, parameterCount, toHost, zeroParameters } from "../../lib/nn/parameters.ts";
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
