/**
 * The torch engine: LibTorch through Deno's foreign function interface, on a CPU or a CUDA device.
 *
 * This file opens it and says what it is (device, life, books); the operators are in the files beside it, which have the names
 * of those of the tfjs engine. Everything runs on the thread that calls. Outside `gradients` nothing is recorded. LibTorch
 * stays in the process when an engine is closed: it cannot be unloaded.
 */
import { UserError } from "../../base/user_error.ts";
import type { Engine } from "../engine.ts";
import { Context, lend } from "./context.ts";
import { convolution } from "./convolution.ts";
import { type CudaDevice, cudaDevices, type Device, parseDevice } from "./cuda.ts";
import { elementwise } from "./elementwise.ts";
import { gradients, setMode } from "./gradients.ts";
import { copyInt64, host } from "./host.ts";
import { inPlace } from "./in_place.ts";
import { indexing } from "./indexing.ts";
import { chooseLibrary, missingLibraryText, searchLibrary } from "./location.ts";
import type { TorchHandle } from "./memory.ts";
import { normalization } from "./normalization.ts";
import { products } from "./products.ts";
import { reduction } from "./reduction.ts";
import { shapes } from "./shapes.ts";
import { loadLibrary } from "./symbols.ts";

/** What to open. */
export interface TorchOptions {
  /** `cpu`, `cuda`, `cuda:1`; `cpu` when left out. */
  device?: string;
  /** Threads for the CPU's operators; LibTorch's own choice when left out. */
  threads?: number;
}

/** Computes with LibTorch. */
export interface TorchEngine extends Engine {
  /** Threads of the CPU's operators. */
  readonly threads: number;
}

/** An operator that none of the modules has is an error of type here. */
export function composeEngine(c: Context, threads: number): TorchEngine {
  const { library, device, ledger } = c;
  const engine: TorchEngine = {
    name: "torch",
    backend: "libtorch",
    device: device.text,
    version: library.version,
    description: `LibTorch ${library.version} on ${device.text}${device.name ? ` (${device.name})` : ""}, ` +
      `${threads} ${threads === 1 ? "thread" : "threads"} (${library.folder.place})`,
    threads,
    get closed() {
      return c.closed;
    },
    supports: () => true,
    release: (handle) => c.release(handle as TorchHandle),
    // deno-lint-ignore require-await -- an error is a rejection
    synchronize: async () => c.open("synchronize").synchronize(),
    memory: () => ledger.memory(),
    resetPeak: () => ledger.resetPeak(),
    close: () => c.close(),
    ...host(c),
    ...elementwise(c),
    ...reduction(c),
    ...shapes(c),
    ...indexing(c),
    ...products(c),
    ...convolution(c),
    ...normalization(c),
    ...inPlace(c),
    ...gradients(c),
  };
  // A prototype's methods are found as fast as those of a class; those of a large object by hashing their names.
  return Object.create(engine);
}

/**
 * Opens LibTorch on a device.
 *
 * @throws {UserError} When there is no LibTorch (names the places that were looked in), when it does not load, or when the
 *   device is not there. All say what to do.
 */
// deno-lint-ignore require-await -- a promise, as every engine's opening
export async function openTorchEngine({ device = "cpu", threads }: TorchOptions = {}): Promise<TorchEngine> {
  let wanted: Device;
  try {
    wanted = parseDevice(device);
  } catch (error) {
    throw new UserError((error as Error).message);
  }
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new RangeError(`threads must be a whole number of at least 1: received ${threads}`);
  }
  if (wanted.type === "cuda") wanted = { ...wanted, name: checkCuda(wanted).name };
  const places = searchLibrary();
  const folder = chooseLibrary(places);
  if (folder === undefined) throw new UserError(missingLibraryText(places));
  const library = loadLibrary(folder);
  const { torch } = library;
  if (threads !== undefined) torch._ZN2at15set_num_threadsEi?.(threads);
  setMode(library);
  if (wanted.type === "cuda") library.cuda();
  const count = new Uint32Array(new ArrayBuffer(64));
  torch.torch_get_num_threads(BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(count))));
  const context = new Context(library, wanted);
  checkDevice(context);
  return composeEngine(context, count[0]);
}

/** Asks the driver before LibTorch's gigabytes are loaded. */
function checkCuda({ text, index }: Device): CudaDevice {
  const { devices, reason } = cudaDevices();
  if (devices.length === 0) {
    throw new UserError(`the torch engine cannot use ${text}: ${reason}: use --device cpu, or mend the driver`);
  }
  if (index >= devices.length) {
    throw new UserError(
      `the torch engine cannot use ${text}: there are ${devices.length} devices: ` +
        devices.map((each, i) => `cuda:${i} (${each.name})`).join(", "),
    );
  }
  return devices[index];
}

/** Adds two numbers on the device: shows that it is there, and that the direct call computes what it should. */
function checkDevice(c: Context): void {
  try {
    const two = c.full(2, [3], "int64");
    const three = c.full(3, [3], "int64");
    const sum = c.sum(lend(two), lend(three), false, [3], "int64");
    const numbers = copyInt64(c, sum, [3]);
    [two, three, sum].forEach((each) => c.free(each));
    if (numbers.join() !== "5,5,5") throw new Error(`2 + 3 gave ${numbers[0]}: this LibTorch is not understood`);
  } catch (error) {
    throw new UserError(`the torch engine cannot use ${c.device.text}: ${(error as Error).message}`);
  }
}
