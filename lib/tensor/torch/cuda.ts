/**
 * Loading the CUDA half of LibTorch where the loader does not find NVIDIA's libraries by itself.
 *
 * A wheel of torch looks for them beside itself (`site-packages/nvidia/…/lib`); a LibTorch from a zip file brings them along.
 * Both usually just load. Where they do not, loading the libraries by full path first, dependencies before dependents,
 * lets the loader use those that are in the process already.
 */
import { join } from "node:path";
import { type Machine, pythonPackageFolders, thisMachine } from "./location.ts";

/** NVIDIA's libraries in the order of their dependencies, as stems of file names. */
export const CUDA_DEPENDENCIES: readonly string[] = [
  "libcudart",
  "libnvrtc",
  "libnvJitLink",
  "libcublasLt",
  "libcublas",
  "libcurand",
  "libcufft",
  "libcusparse",
  "libcusparseLt",
  "libcusolver",
  "libcupti",
  "libcufile",
  "libcudnn",
  "libnccl",
  "libnvshmem_host",
];

/**
 * Folders that may hold NVIDIA's libraries for a LibTorch: its own, the wheels' beside it, those of the Pythons on the path,
 * and an installation of the CUDA toolkit.
 */
export function cudaFolders(libraryFolder: string, machine: Machine = thisMachine): string[] {
  const wheels = [
    join(libraryFolder, "..", "..", "nvidia"),
    ...pythonPackageFolders(machine).map((folder) => join(folder, "nvidia")),
  ];
  const toolkit = machine.env("CUDA_HOME") ?? machine.env("CUDA_PATH") ?? "/usr/local/cuda";
  return [
    libraryFolder,
    ...new Set(wheels.flatMap((folder) => machine.list(folder).map((name) => join(folder, name, "lib")))),
    join(toolkit, "lib64"),
    join(toolkit, "extras", "CUPTI", "lib64"),
  ];
}

/** Full paths of NVIDIA's libraries for a LibTorch, dependencies first; what is not there is left out. */
export function cudaLibraries(libraryFolder: string, machine: Machine = thisMachine): string[] {
  const folders = cudaFolders(libraryFolder, machine).map((folder) => ({ folder, names: machine.list(folder) }));
  return CUDA_DEPENDENCIES.flatMap((stem) => {
    for (const { folder, names } of folders) {
      const name = names.find((each) =>
        each === `${stem}.so` || each.startsWith(`${stem}.so.`) || isHashed(each, stem)
      );
      if (name !== undefined) return [join(folder, name)];
    }
    return [];
  });
}

/** LibTorch's zip files hold names like `libcudart-9335f6a2.so.12`. */
function isHashed(name: string, stem: string): boolean {
  return new RegExp(`^${stem}-[0-9a-f]{8}\\.so`).test(name);
}

/**
 * Loads NVIDIA's libraries by full path. One that cannot be loaded is passed over: whether it is needed shows when
 * `libtorch_cuda` is loaded, whose error names it.
 */
export function preloadCuda(libraryFolder: string): void {
  for (const path of cudaLibraries(libraryFolder)) {
    try {
      Deno.dlopen(path, {});
    } catch { /* see above */ }
  }
}

/** A device: the kind that LibTorch calls it, and its index. */
export interface Device {
  /** `privateuse1`: a kind that LibTorch leaves to others, of whose library it knows nothing (see `parseDevice`). */
  type: "cpu" | "cuda" | "privateuse1";
  index: number;
  /** `cpu`, `cuda:0`. */
  text: string;
  /** What the driver calls it. */
  name?: string;
}

/**
 * Reads `cpu`, `cuda` or `cuda:1`; and `privateuse1`, which works where a library that adds such a device has been loaded into
 * the process after LibTorch. The project's tests do so; nothing else is known to.
 *
 * @throws {RangeError} When it is something else.
 */
export function parseDevice(text: string): Device {
  if (text === "cpu") return { type: "cpu", index: 0, text };
  const match = /^(cuda|privateuse1)(?::(\d+))?$/.exec(text);
  if (match === null) throw new RangeError(`device must be cpu, cuda or cuda:N: received ${JSON.stringify(text)}`);
  const type = match[1] as "cuda" | "privateuse1", index = Number(match[2] ?? 0);
  return { type, index, text: `${type}:${index}` };
}

/** A CUDA device as the driver reports it. */
export interface CudaDevice {
  name: string;
  bytes: number;
}

/** The driver's library, by name. */
const DRIVER = {
  cuInit: { parameters: ["u32"], result: "i32" },
  cuDeviceGetCount: { parameters: ["buffer"], result: "i32" },
  cuDeviceGet: { parameters: ["buffer", "i32"], result: "i32" },
  cuDeviceGetName: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  cuDeviceTotalMem_v2: { parameters: ["buffer", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The machine's CUDA devices, asked of NVIDIA's driver (which obeys `CUDA_VISIBLE_DEVICES`), or why there are none. */
export function cudaDevices(): { devices: CudaDevice[]; reason: string } {
  let driver: Deno.DynamicLibrary<typeof DRIVER>["symbols"];
  try {
    driver = Deno.dlopen(Deno.build.os === "windows" ? "nvcuda.dll" : "libcuda.so.1", DRIVER).symbols;
  } catch {
    return { devices: [], reason: "no NVIDIA driver (libcuda) on this machine" };
  }
  const status = driver.cuInit(0);
  if (status !== 0) return { devices: [], reason: `the NVIDIA driver answers with error ${status} (cuInit)` };
  const count = new Int32Array(1);
  driver.cuDeviceGetCount(new Uint8Array(count.buffer));
  const devices: CudaDevice[] = [];
  for (let i = 0; i < count[0]; i++) {
    const device = new Int32Array(1), name = new Uint8Array(256), bytes = new BigUint64Array(1);
    driver.cuDeviceGet(new Uint8Array(device.buffer), i);
    driver.cuDeviceGetName(name, name.length, device[0]);
    driver.cuDeviceTotalMem_v2(new Uint8Array(bytes.buffer), device[0]);
    devices.push({ name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))), bytes: Number(bytes[0]) });
  }
  return { devices, reason: devices.length > 0 ? "" : "the NVIDIA driver sees no device (CUDA_VISIBLE_DEVICES?)" };
}
