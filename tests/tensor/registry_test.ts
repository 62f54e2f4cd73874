import assert from "node:assert/strict";
import { UserError } from "../../lib/base/user_error.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import type { EngineEntry } from "../../lib/tensor/engine_entry.ts";
import { ENGINE_NAMES, type EngineChoice, ENGINES, openEngine, openEngineFrom } from "../../lib/tensor/registry.ts";
import { tfjsEntries } from "../../lib/tensor/tfjs/entry.ts";
import { torchEntry } from "../../lib/tensor/torch/entry.ts";

interface Machine {
  torch?: { cuda: boolean; fails?: string };
  gpus?: string[];
  tensorflow?: "cpu" | "gpu";
}

/** The engines of a machine; remembers what was opened and closed. */
function enginesOf({ torch, gpus = [], tensorflow }: Machine) {
  const opened: string[] = [], closed: string[] = [];
  const engine = (name: string, device: string): Engine => {
    opened.push(`${name} ${device}`);
    const made = { name, device, description: `${name} on ${device}`, close: () => closed.push(`${name} ${device}`) };
    return made as unknown as Engine;
  };
  const torchEngine = torchEntry({
    findLibrary: () => ({ found: torch !== undefined, cuda: torch?.cuda ?? false }),
    cudaDevices: () => ({
      devices: gpus.map((name) => ({ name, bytes: 8e9 })),
      reason: gpus.length > 0 ? "" : "no NVIDIA driver (libcuda) on this machine",
    }),
    open: (device) => {
      if (torch === undefined) return Promise.reject(new UserError("no LibTorch found"));
      if (device !== "cpu" && torch.fails) return Promise.reject(new UserError(torch.fails));
      return Promise.resolve(engine("torch", device));
    },
  });
  const tfjsEngines = tfjsEntries({
    hasTensorflow: () => tensorflow !== undefined,
    hasGpu: () => gpus.length > 0,
    open: (backend) => {
      if (backend === "tensorflow" && tensorflow === undefined) return Promise.reject(new UserError("no TensorFlow"));
      return Promise.resolve(
        engine(backend, backend === "tensorflow" ? tensorflow! : backend === "webgpu" ? "gpu" : "cpu"),
      );
    },
  });
  return { entries: [torchEngine, ...tfjsEngines], opened, closed };
}

async function choose(machine: Machine, choice: EngineChoice = {}) {
  const { entries, opened, closed } = enginesOf(machine);
  const { engine, reason } = await openEngineFrom(entries, choice);
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
  assert.match(tensorflow.reason, /TensorFlow is installed; for a much faster one run deno task install-libtorch/);

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

Deno.test("every name that flags take is an engine's, and an engine that is added is taken by its rank", async () => {
  assert.deepEqual(ENGINES.flatMap(({ names }) => names).sort(), ENGINE_NAMES.filter((name) => name !== "auto").sort());

  const made = { description: "Abacus on beads", close: () => {} } as unknown as Engine;
  const abacus = (rank: number): EngineEntry => ({
    names: ["abacus"],
    find: () => ({ offers: [{ rank, why: "it is there" }] }),
    open: () => Promise.resolve(made),
  });
  const { entries } = enginesOf({ torch: { cuda: false } });
  const { reason } = await openEngineFrom([...entries, abacus(1)]);
  assert.equal(reason, "Abacus on beads: it is there; no NVIDIA driver (libcuda) on this machine");
  assert.match((await openEngineFrom([...entries, abacus(99)])).reason, /^torch on cpu/);
});

Deno.test("where nothing opens, auto says why", async () => {
  const broken: EngineEntry = {
    names: ["wasm"],
    find: () => ({ offers: [{ rank: 1, why: "" }] }),
    open: () => Promise.reject(new UserError("it is broken")),
  };
  await assert.rejects(openEngineFrom([broken]), { name: "UserError", message: "no engine opens: it is broken" });
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
