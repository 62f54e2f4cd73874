import assert from "node:assert/strict";
import { CUDA_DEPENDENCIES, cudaDevices, cudaLibraries, parseDevice } from "../../../lib/tensor/torch/cuda.ts";
import type { Machine } from "../../../lib/tensor/torch/location.ts";

Deno.test("devices are read from their names", () => {
  assert.deepEqual(parseDevice("cpu"), { type: "cpu", index: 0, text: "cpu" });
  assert.deepEqual(parseDevice("cuda"), { type: "cuda", index: 0, text: "cuda:0" });
  assert.deepEqual(parseDevice("cuda:3"), { type: "cuda", index: 3, text: "cuda:3" });
  assert.deepEqual(parseDevice("privateuse1"), { type: "privateuse1", index: 0, text: "privateuse1:0" });
  for (const wrong of ["", "gpu", "cuda:", "cuda:-1", "cuda:1.5", "cpu:0"]) {
    assert.throws(() => parseDevice(wrong), {
      name: "RangeError",
      message: `device must be cpu, cuda or cuda:N: received "${wrong}"`,
    });
  }
});

Deno.test("NVIDIA's libraries are found beside LibTorch and in wheels, dependencies first", () => {
  const folders: Record<string, string[]> = {
    "/s/torch/lib": ["libtorch_cpu.so", "libcudart-9335f6a2.so.12"],
    "/s/nvidia": ["cu13", "cudnn"],
    "/s/nvidia/cu13/lib": ["libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13"],
    "/s/nvidia/cudnn/lib": ["libcudnn.so.9", "libcudnn_ops.so.9"],
  };
  const machine: Machine = {
    os: "linux",
    env: () => undefined,
    isFile: () => false,
    list: (path) => folders[path] ?? [],
    realPath: () => undefined,
    readText: () => undefined,
  };
  assert.deepEqual(cudaLibraries("/s/torch/lib", machine), [
    "/s/torch/lib/libcudart-9335f6a2.so.12",
    "/s/nvidia/cu13/lib/libcublasLt.so.13",
    "/s/nvidia/cu13/lib/libcublas.so.13",
    "/s/nvidia/cudnn/lib/libcudnn.so.9",
  ]);
  // A dependent never comes before what it needs.
  const before = (a: string, b: string) => CUDA_DEPENDENCIES.indexOf(a) < CUDA_DEPENDENCIES.indexOf(b);
  for (
    const [a, b] of [["libcublasLt", "libcublas"], ["libcublas", "libcusolver"], ["libcusparse", "libcusolver"], [
      "libnvJitLink",
      "libcusparse",
    ], ["libcublas", "libcudnn"]]
  ) assert.ok(before(a, b), `${a} before ${b}`);
});

Deno.test("asking the driver gives devices, or a reason for none", () => {
  const { devices, reason } = cudaDevices();
  if (devices.length === 0) assert.match(reason, /driver/);
  else for (const { name, bytes } of devices) assert.ok(name.length > 0 && bytes > 1e9);
});
