/** The tfjs engine's entries in the registry, one a backend: TensorFlow where it is installed, WASM everywhere, WebGPU if asked for. */
import type { Engine } from "../engine.ts";
import type { EngineEntry } from "../engine_entry.ts";
import { cudaDevices } from "../torch/cuda.ts";
import { findInstallation, NOT_INSTALLED } from "./location.ts";

/** What is asked of the machine; replaced in tests. */
export interface TfjsSources {
  /** Whether TensorFlow's addon is there. */
  hasTensorflow(): boolean;
  /** Whether there is a GPU that TensorFlow might use. */
  hasGpu(): boolean;
  /** Opens tfjs with a backend. */
  open(backend: "wasm" | "tensorflow" | "webgpu"): Promise<Engine>;
}

const THIS_MACHINE: TfjsSources = {
  hasTensorflow: () => findInstallation() !== undefined,
  hasGpu: () => cudaDevices().devices.length > 0,
  open: async (backend) => await (await import("./engine.ts")).openTfjsEngine({ backend }),
};

export function tfjsEntries(sources: TfjsSources = THIS_MACHINE): EngineEntry[] {
  return [{
    names: ["tensorflow"],
    isUnruly: true,
    find(device) {
      if (!sources.hasTensorflow()) return { offers: [], missing: NOT_INSTALLED };
      const offers = [{ rank: 40, why: "TensorFlow is installed" }];
      if (device === "cpu" || !sources.hasGpu()) return { offers };
      const accepts = (opened: Engine) => /gpu|cuda/i.test(opened.device);
      return { offers: [...offers, { rank: 20, why: "it has the GPU", accepts }] };
    },
    open: () => sources.open("tensorflow"),
  }, {
    names: ["webgpu"],
    isUnruly: true,
    find: () => ({ offers: [] }),
    open: () => sources.open("webgpu"),
  }, {
    names: ["wasm", "tfjs"],
    find: () => ({ offers: [{ rank: 50, why: "it needs nothing installed" }] }),
    open: () => sources.open("wasm"),
  }];
}
