/** The torch engine's entry in the registry: LibTorch on CUDA before all others, on the CPU before the others on the CPU. */
import type { Engine } from "../engine.ts";
import type { EngineEntry } from "../engine_entry.ts";
import { type CudaDevice, cudaDevices } from "./cuda.ts";
import { chooseLibrary, libraryName, searchLibrary, thisMachine } from "./location.ts";

/** What is asked of the machine; replaced in tests. */
export interface TorchSources {
  /** Whether LibTorch is there, and whether it has CUDA. */
  findLibrary(): { found: boolean; cuda: boolean };
  /** What NVIDIA's driver reports. */
  cudaDevices(): { devices: CudaDevice[]; reason: string };
  /** Opens LibTorch on a device. */
  open(device: string): Promise<Engine>;
}

const THIS_MACHINE: TorchSources = {
  findLibrary() {
    const folder = chooseLibrary(searchLibrary());
    if (folder === undefined) return { found: false, cuda: false };
    return { found: true, cuda: thisMachine.isFile(`${folder.path}/${libraryName("torch_cuda")}`) };
  },
  cudaDevices,
  open: async (device) => await (await import("./engine.ts")).openTorchEngine({ device }),
};

export function torchEntry(sources: TorchSources = THIS_MACHINE): EngineEntry {
  /** Why CUDA is not used; undefined where it is. */
  const withoutCuda = (hasCuda: boolean): string | undefined => {
    const { devices, reason } = sources.cudaDevices();
    if (devices.length === 0) return reason;
    if (hasCuda) return undefined;
    return `this LibTorch has no CUDA, though there is a ${devices[0].name}: for a faster one run deno task ` +
      `install-libtorch --build cu130 --force`;
  };
  return {
    names: ["torch"],
    devices: ["cpu", "cuda"],
    find(device) {
      const { found, cuda } = sources.findLibrary();
      if (!found) {
        return {
          offers: [],
          missing: "there is no LibTorch: deno task install-libtorch, or pip install torch",
          advice: "for a much faster one run deno task install-libtorch (or pip install torch)",
        };
      }
      const advice = device === "cpu" ? "cpu was asked for" : withoutCuda(cuda);
      const offers = [{ rank: 30, device: "cpu", why: "the fastest on this CPU" }];
      if (advice === undefined) offers.push({ rank: 10, device: "cuda", why: "the fastest engine there is" });
      return { offers, advice };
    },
    open: (device) => sources.open(device ?? (withoutCuda(sources.findLibrary().cuda) === undefined ? "cuda" : "cpu")),
  };
}
