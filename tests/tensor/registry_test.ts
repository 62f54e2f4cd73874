import assert from "node:assert/strict";
import { UserError } from "../../lib/base/user_error.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { type EngineChoice, type EngineSources, openEngine, openEngineFrom } from "../../lib/tensor/registry.ts";

interface Machine {
  torch?: { cuda: boolean; fails?: string };
  gpus?: string[];
  tensorflow?: "cpu" | "gpu";
  tensorflowFails?: string;
}

/** A machine with these engines; remembers what was opened and closed. */
function sources({ torch, gpus = [], tensorflow }: Machine) {
  const opened: string[] = [], closed: string[] = [];
  const engine = (name: string, device: string): Engine => {
    opened.push(`${name} ${device}`);
    const made = { name, device, description: `${name} on ${device}`, close: () => closed.push(`${name} ${device}`) };
    return made as unknown as Engine;
  };
  const from: EngineSources = {
    findTorch: () => ({ found: torch !== undefined, cuda: torch?.cuda ?? false }),
    cudaDevices: () => ({
      devices: gpus.map((name) => ({ name, bytes: 8e9 })),
      reason: gpus.length > 0 ? "" : "no NVIDIA driver (libcuda) on this machine",
    }),
    openTorch: (device) => {
      if (torch === undefined) return Promise.reject(new UserError("no LibTorch found"));
      if (device !== "cpu" && torch.fails) return Promise.reject(new UserError(torch.fails));
      return Promise.resolve(engine("torch", device));
    },
    openTfjs: (backend) => {
      if (backend === "tensorflow" && tensorflow === undefined) return Promise.reject(new UserError("no TensorFlow"));
      return Promise.resolve(
        engine(backend, backend === "tensorflow" ? tensorflow! : backend === "webgpu" ? "gpu" : "cpu"),
      );
    },
  };
  return { from, opened, closed };
}

async function choose(machine: Machine, choice: EngineChoice = {}) {
  const { from, opened, closed } = sources(machine);
  const { engine, reason } = await openEngineFrom(from, choice);
  assert.ok(!reason.includes("\n"), reason);
  assert.ok(reason.startsWith(engine.description), reason);
  // What was tried and not taken has been closed.
  assert.equal(opened.length - closed.length, 1);
  return { name: `${engine.name} ${engine.device}`, reason };
}

Deno.test("auto takes the best that is there, and says what would be faster", async () => {
  const wasm = await choose({});
  assert.equal(wasm.name, "wasm cpu");
  assert.match(wasm.reason, /needs nothing installed; for a much faster one run deno task install-libtorch/);

  const tensorflow = await choose({ tensorflow: "cpu" });
  assert.equal(tensorflow.name, "tensorflow cpu");
  assert.match(tensorflow.reason, /no LibTorch found; for a much faster one/);

  const cpu = await choose({ torch: { cuda: true }, tensorflow: "cpu" });
  assert.equal(cpu.name, "torch cpu");
  assert.match(cpu.reason, /the fastest on this CPU; no NVIDIA driver/);

  assert.equal((await choose({ torch: { cuda: true }, gpus: ["H200"], tensorflow: "gpu" })).name, "torch cuda");

  const second = await choose({ torch: { cuda: false }, gpus: ["H200"], tensorflow: "gpu" });
  assert.equal(second.name, "tensorflow gpu");
  assert.match(
    second.reason,
    /this LibTorch has no CUDA, though there is a H200: .*install-libtorch --build cu130 --force/,
  );

  const cpuOnly = await choose({ torch: { cuda: false }, gpus: ["H200"] });
  assert.equal(cpuOnly.name, "torch cpu");
  assert.match(cpuOnly.reason, /has no CUDA/);
});

Deno.test("auto goes on when the best does not open, and says why", async () => {
  const { name, reason } = await choose({ torch: { cuda: true, fails: "the driver is too old" }, gpus: ["H200"] });
  assert.equal(name, "torch cpu");
  assert.match(reason, /the driver is too old/);
});

Deno.test("auto on the CPU leaves the GPU alone", async () => {
  assert.equal((await choose({ torch: { cuda: true }, gpus: ["H200"] }, { device: "cpu" })).name, "torch cpu");
  assert.equal((await choose({ gpus: ["H200"], tensorflow: "gpu" }, { device: "cpu" })).name, "tensorflow gpu");
});

Deno.test("what is asked for is taken, or refused", async () => {
  const all: Machine = { torch: { cuda: true }, gpus: ["H200"], tensorflow: "gpu" };
  assert.equal((await choose(all, { engine: "torch" })).name, "torch cuda");
  assert.equal((await choose(all, { engine: "torch", device: "cpu" })).name, "torch cpu");
  assert.equal((await choose(all, { device: "cuda:1" })).name, "torch cuda:1");
  assert.equal((await choose(all, { engine: "wasm" })).name, "wasm cpu");
  assert.equal((await choose(all, { engine: "tfjs" })).name, "wasm cpu");
  assert.equal((await choose(all, { engine: "webgpu" })).name, "webgpu gpu");
  assert.equal((await choose({ torch: { cuda: false }, gpus: ["H200"] }, { engine: "torch" })).name, "torch cpu");
  await assert.rejects(choose({}, { engine: "torch" }), UserError);
  await assert.rejects(choose({}, { engine: "tensorflow" }), UserError);
  await assert.rejects(choose({}, { device: "cuda" }), UserError);
  await assert.rejects(
    choose(all, { engine: "wasm", device: "cuda" }),
    /--device cuda needs the torch engine: received --engine wasm/,
  );
  await assert.rejects(
    choose(all, { engine: "gpu" as EngineChoice["engine"] }),
    /engine must be one of auto, torch, tfjs, wasm, tensorflow, webgpu: received "gpu"/,
  );
});

Deno.test("this machine has an engine", async () => {
  const { engine, reason } = await openEngine();
  try {
    assert.ok(reason.length > 0);
    assert.ok(engine.supports("float32"));
  } finally {
    engine.close();
  }
});
