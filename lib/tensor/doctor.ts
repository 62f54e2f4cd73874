/**
 * What this machine can compute with: which engines are there, why others are not, and which one to take.
 *
 * Each engine is opened, asked to describe itself, and closed. Nothing is installed or changed.
 */
import { UserError } from "../base/user_error.ts";
import type { EngineEntry } from "./engine_entry.ts";
import { type ExaminedEngine, examineEngine, examineEngineApart, missingEngine } from "./examine_engine.ts";
import { ENGINES, openEngine } from "./registry.ts";
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
  const engines: ExaminedEngine[] = [];
  for (const entry of ENGINES) {
    for (const device of entry.devices ?? [undefined]) engines.push(await examine(entry, device));
  }
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

async function examine(entry: EngineEntry, device: string | undefined): Promise<ExaminedEngine> {
  const [name] = entry.names, { missing } = entry.find(device);
  if (missing !== undefined) return missingEngine(name, device, missing);
  return await (entry.isUnruly ? examineEngineApart : examineEngine)(name, device);
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
