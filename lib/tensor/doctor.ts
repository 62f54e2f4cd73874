/**
 * What this machine can compute with: which engines are there, why others are not, and which one to take.
 *
 * Each engine is opened, asked to describe itself, and closed. Nothing is installed or changed.
 */
import { UserError } from "../base/user_error.ts";
import { type ExaminedEngine, examineEngine, examineEngineApart } from "./examine_engine.ts";
import { openEngine } from "./registry.ts";
import { type CudaDevice, cudaDevices } from "./torch/cuda.ts";
import type { LibraryFolder, SearchedPlace } from "./torch/location.ts";
import { chooseLibrary, libraryName, searchLibrary, thisMachine } from "./torch/location.ts";

/** The whole picture. */
export interface Examination {
  /** Deno's version. */
  deno: string;
  /** Operating system and processor. */
  system: string;
  /** Processor cores. */
  cores: number;
  /** The machine's memory. */
  memory: { totalBytes: number; availableBytes: number };
  /** Where LibTorch was looked for, and which is used. */
  libtorch: { chosen?: LibraryFolder; cudaBuild: boolean; searched: SearchedPlace[] };
  /** What NVIDIA's driver reports. */
  cuda: { devices: CudaDevice[]; reason: string };
  /** All engines, those that are not there too. */
  engines: ExaminedEngine[];
  /** What `auto` takes, and why. */
  recommendation: string;
}

/** Looks at everything. Never throws for an engine that is not there. */
export async function examineEngines(): Promise<Examination> {
  const searched = searchLibrary();
  const chosen = chooseLibrary(searched);
  const cuda = cudaDevices();
  const engines: ExaminedEngine[] = [
    await examineTorch("cpu", chosen),
    await examineTorch("cuda", chosen),
    await examineEngineApart("tensorflow"),
    await examineEngineApart("webgpu"),
    await examineEngine("wasm"),
  ];
  const memory = Deno.systemMemoryInfo();
  return {
    deno: Deno.version.deno,
    system: `${Deno.build.os} on ${Deno.build.arch}`,
    cores: navigator.hardwareConcurrency,
    memory: { totalBytes: memory.total, availableBytes: memory.available },
    libtorch: {
      chosen,
      cudaBuild: chosen !== undefined && thisMachine.isFile(`${chosen.path}/${libraryName("torch_cuda")}`),
      searched,
    },
    cuda,
    engines,
    recommendation: await recommend(),
  };
}

const NO_LIBTORCH = "there is no LibTorch: deno task install-libtorch, or pip install torch";

async function examineTorch(device: string, chosen: LibraryFolder | undefined): Promise<ExaminedEngine> {
  if (chosen === undefined) return { engine: "torch", device, available: false, text: NO_LIBTORCH };
  return await examineEngine("torch", device);
}

async function recommend(): Promise<string> {
  try {
    const { engine, reason } = await openEngine();
    engine.close();
    return reason;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}
