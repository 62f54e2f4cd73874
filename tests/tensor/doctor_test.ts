import assert from "node:assert/strict";
import { examineEngines } from "../../lib/tensor/doctor.ts";
import { examineEngineApart } from "../../lib/tensor/examine_engine.ts";
import { examinationText } from "../../tasks/doctor.ts";
import { runTask } from "../support/tiny_run.ts";

Deno.test("the doctor writes its picture and nothing else, whatever drivers write, from anywhere", async () => {
  // Drivers that say more than they are asked for.
  const env = { EGL_LOG_LEVEL: "debug", VK_LOADER_DEBUG: "all", LIBGL_DEBUG: "verbose" };
  const { code, stdout, stderr } = await runTask("doctor", ["--json"], { cwd: await Deno.realPath("/"), env });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  const { engines } = JSON.parse(stdout);
  const webgpu = engines.find(({ engine }: { engine: string }) => engine === "webgpu");
  assert.ok(
    webgpu.available
      ? webgpu.version !== undefined
      : /WebGPU finds no adapter|wrong numbers on WebGPU/.test(webgpu.text),
    webgpu.text,
  );
});

Deno.test("an engine that another process cannot open is not there, and that process says why", async () => {
  const found = await examineEngineApart("no such engine" as "webgpu");
  assert.equal(found.available, false);
  assert.match(found.text, /^engine must be one of auto, /);
});

Deno.test({
  name: "the doctor finds an engine, says why others are not there, and what auto takes",
  sanitizeResources: false,
  fn: async () => {
    const found = await examineEngines();
    assert.deepEqual(found.engines.map(({ engine }) => engine), ["torch", "torch", "tensorflow", "webgpu", "wasm"]);
    assert.ok(found.engines.some(({ available }) => available));
    for (const each of found.engines) {
      assert.ok(each.text.length > 0 && !each.text.includes("\n"), JSON.stringify(each));
      assert.equal(each.version !== undefined, each.available);
    }
    const torch = found.engines[0];
    assert.equal(torch.available, found.libtorch.chosen !== undefined);
    assert.deepEqual(found.libtorch.searched.map(({ place }) => place), [
      "LIBTORCH",
      "Python's torch package",
      "the project's folder",
      "the system's library path",
    ]);
    assert.ok(found.recommendation.length > 0);

    const text = examinationText(found);
    for (const { text: each } of found.engines) assert.ok(text.includes(each), each);
    assert.match(text, /on WASM \(CPU, one thread\), no float64, no bfloat16$/m);
    assert.ok(text.includes(found.recommendation));
    assert.ok(text.includes(torch.available ? "* is used: " : "none found: deno task install-libtorch"));
    assert.deepEqual(JSON.parse(JSON.stringify(found)).engines.length, 5);
  },
});
