/**
 * Which engine computes: by name, or the best that is there.
 *
 * `auto` prefers, in order: LibTorch on CUDA, TensorFlow on a GPU, LibTorch on the CPU, TensorFlow on the CPU, and WASM,
 * which needs nothing installed. Engines are imported when they are opened: one that is not used costs nothing, and the torch
 * engine loads no npm package.
 */
import { UserError } from "../base/user_error.ts";
import type { Engine } from "./engine.ts";
import { type CudaDevice, cudaDevices } from "./torch/cuda.ts";
import { chooseLibrary, libraryName, searchLibrary, thisMachine } from "./torch/location.ts";

/** Engines by the names that flags take. */
export const ENGINE_NAMES = ["auto", "torch", "tfjs", "wasm", "tensorflow", "webgpu"] as const;
/** `tfjs` is `wasm` under the library's name. */
export type EngineName = (typeof ENGINE_NAMES)[number];

/** Which engine, on what. */
export interface EngineChoice {
  /** `auto` when left out. */
  engine?: EngineName;
  /** `cpu`, `cuda`, `cuda:1`; torch only. The engine's own choice when left out. */
  device?: string;
}

/** An engine, and one line on why it is this one. */
export interface OpenedEngine {
  /** Close it when done. */
  engine: Engine;
  /** What was taken, why, and what would be faster. */
  reason: string;
}

/** What `auto` asks of the machine; replaced in tests. */
export interface EngineSources {
  /** Whether LibTorch is there, and whether it has CUDA. */
  findTorch(): { found: boolean; cuda: boolean };
  /** What NVIDIA's driver reports. */
  cudaDevices(): { devices: CudaDevice[]; reason: string };
  /** Opens LibTorch on a device. */
  openTorch(device: string): Promise<Engine>;
  /** Opens tfjs with a backend. */
  openTfjs(backend: "wasm" | "tensorflow" | "webgpu"): Promise<Engine>;
}

const THIS_MACHINE: EngineSources = {
  findTorch: () => {
    const folder = chooseLibrary(searchLibrary());
    if (folder === undefined) return { found: false, cuda: false };
    return { found: true, cuda: thisMachine.isFile(`${folder.path}/${libraryName("torch_cuda")}`) };
  },
  cudaDevices,
  openTorch: async (device) => await (await import("./torch/engine.ts")).openTorchEngine({ device }),
  openTfjs: async (backend) => await (await import("./tfjs/engine.ts")).openTfjsEngine({ backend }),
};

/**
 * Opens an engine.
 *
 * @throws {UserError} When the engine or device that was asked for is not there: says what to do. `auto` always finds one.
 */
export async function openEngine(choice: EngineChoice = {}): Promise<OpenedEngine> {
  return await openEngineFrom(THIS_MACHINE, choice);
}

/** `openEngine` on a machine that has these sources. For tests. */
export async function openEngineFrom(
  sources: EngineSources,
  { engine = "auto", device }: EngineChoice = {},
): Promise<OpenedEngine> {
  if (!ENGINE_NAMES.includes(engine)) {
    throw new UserError(`engine must be one of ${ENGINE_NAMES.join(", ")}: received ${JSON.stringify(engine)}`);
  }
  if (engine === "torch") {
    const chosen = device ?? bestTorchDevice(sources).device;
    const opened = await sources.openTorch(chosen);
    return { engine: opened, reason: `${opened.description}: asked for` };
  }
  if (engine !== "auto") {
    if (device !== undefined && device !== "cpu") {
      throw new UserError(`--device ${device} needs the torch engine: received --engine ${engine}`);
    }
    const opened = await sources.openTfjs(engine === "tfjs" ? "wasm" : engine);
    return { engine: opened, reason: `${opened.description}: asked for` };
  }
  if (device !== undefined && device !== "cpu") {
    const opened = await sources.openTorch(device);
    return { engine: opened, reason: `${opened.description}: the engine for ${device}` };
  }
  return await openBest(sources, device);
}

function bestTorchDevice(sources: EngineSources): { device: "cpu" | "cuda"; why: string } {
  const { devices, reason } = sources.cudaDevices();
  if (devices.length === 0) return { device: "cpu", why: reason };
  if (!sources.findTorch().cuda) {
    return {
      device: "cpu",
      why: `this LibTorch has no CUDA, though there is a ${devices[0].name}: for a faster one run deno task ` +
        `install-libtorch --build cu130 --force`,
    };
  }
  return { device: "cuda", why: "" };
}

async function openBest(sources: EngineSources, device: string | undefined): Promise<OpenedEngine> {
  const failures: string[] = [];
  const attempt = async (open: () => Promise<Engine>): Promise<Engine | undefined> => {
    try {
      return await open();
    } catch (error) {
      failures.push((error as Error).message.split("\n")[0]);
      return undefined;
    }
  };
  const after = () => failures.length > 0 ? ` (after: ${failures.join("; ")})` : "";

  const { found } = sources.findTorch();
  const best = device === "cpu" ? { device: "cpu" as const, why: "cpu was asked for" } : bestTorchDevice(sources);
  if (found && best.device === "cuda") {
    const engine = await attempt(() => sources.openTorch("cuda"));
    if (engine) return { engine, reason: `${engine.description}: the fastest engine there is` };
  }
  const gpu = device !== "cpu" && sources.cudaDevices().devices.length > 0;
  if (gpu) {
    const engine = await attempt(() => sources.openTfjs("tensorflow"));
    if (engine && /gpu|cuda/i.test(engine.device)) {
      return {
        engine,
        reason: `${engine.description}: it has the GPU${after()}; ${best.why || "see deno task doctor"}`,
      };
    }
    engine?.close();
  }
  if (found) {
    const engine = await attempt(() => sources.openTorch("cpu"));
    if (engine) return { engine, reason: `${engine.description}: the fastest on this CPU; ${best.why}${after()}` };
  }
  const advice = "for a much faster one run deno task install-libtorch (or pip install torch)";
  const tensorflow = await attempt(() => sources.openTfjs("tensorflow"));
  if (tensorflow) return { engine: tensorflow, reason: `${tensorflow.description}: no LibTorch found; ${advice}` };
  const wasm = await sources.openTfjs("wasm");
  return { engine: wasm, reason: `${wasm.description}: it needs nothing installed; ${advice}` };
}
