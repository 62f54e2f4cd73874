/**
 * The torch engine: LibTorch through Deno's foreign function interface, on a CPU or a CUDA device.
 *
 * This file says what the engine is (device, life, books); the operators are in the files beside it. Everything runs on the
 * thread that calls. Outside `gradients` nothing is recorded. LibTorch stays in the process when an engine is closed: it
 * cannot be unloaded.
 */
import { UserError } from "../../base/user_error.ts";
import type {
  AdamWOptions,
  BinaryOperator,
  CompareOperator,
  Conv2dOptions,
  Differentiated,
  Engine,
  EngineMemory,
  Handle,
  LogicalOperator,
  Operand,
  ReduceOperator,
  UnaryOperator,
} from "../engine.ts";
import type { DType, HostData, ReadData, Shape } from "../dtype.ts";
import * as autograd from "./autograd.ts";
import { Context, lend } from "./context.ts";
import { type CudaDevice, cudaDevices, type Device, parseDevice } from "./cuda.ts";
import * as elementwise from "./elementwise.ts";
import * as host from "./host.ts";
import * as layers from "./layers.ts";
import { chooseLibrary, missingLibraryText, searchLibrary } from "./location.ts";
import type { TorchHandle } from "./memory.ts";
import * as shaping from "./shaping.ts";
import { type Library, loadLibrary } from "./symbols.ts";

/** What to open. */
export interface TorchOptions {
  /** `cpu`, `cuda`, `cuda:1`; `cpu` when left out. */
  device?: string;
  /** Threads for the CPU's operators; LibTorch's own choice when left out. */
  threads?: number;
}

/** Computes with LibTorch. */
export class TorchEngine implements Engine {
  readonly name = "torch";
  readonly backend = "libtorch";
  readonly device: string;
  readonly version: string;
  readonly description: string;
  /** Threads of the CPU's operators. */
  readonly threads: number;
  #closed = false;
  readonly #c: Context;

  /** Use `openTorchEngine`. */
  constructor(library: Library, device: Device, threads: number) {
    this.#c = new Context(library, device);
    this.device = device.text;
    this.version = library.version;
    this.threads = threads;
    this.description = `LibTorch ${library.version} on ${device.text}${device.name ? ` (${device.name})` : ""}, ` +
      `${threads} ${threads === 1 ? "thread" : "threads"} (${library.folder.place})`;
  }

  get closed(): boolean {
    return this.#closed;
  }

  supports(_dtype: DType): boolean {
    return true;
  }

  // --- Data in, data out ---

  fromHost(data: HostData, shape: Shape, dtype: DType): Handle {
    return host.fromHost(this.#open("fromHost"), data, shape, dtype);
  }
  full(value: number, shape: Shape, dtype: DType): Handle {
    const c = this.#open("full");
    return c.own(c.full(value, shape, dtype));
  }
  read(x: Operand): Promise<ReadData> {
    // An error of the copy is a rejection, as on engines that copy later.
    return new Promise((resolve) => resolve(host.read(this.#open("read"), x)));
  }
  release(handle: Handle): void {
    if (this.#closed) return;
    const own = handle as TorchHandle;
    if (this.#c.ledger.remove(own)) this.#c.free(own.address);
  }
  synchronize(): Promise<void> {
    return new Promise((resolve) => {
      this.#open("synchronize").synchronize();
      resolve();
    });
  }
  memory(): EngineMemory {
    return this.#c.ledger.memory();
  }
  resetPeak(): void {
    this.#c.ledger.resetPeak();
  }
  close(): void {
    if (this.#closed) return;
    for (const handle of this.#c.ledger.all()) this.release(handle);
    this.#c.close();
    this.#closed = true;
  }

  // --- Elementwise ---

  unary(operator: UnaryOperator, x: Operand): Handle {
    return elementwise.unary(this.#c, operator, x);
  }
  binary(operator: BinaryOperator, a: Operand, b: Operand | number, outShape: Shape): Handle {
    return elementwise.binary(this.#c, operator, a, b, outShape);
  }
  compare(operator: CompareOperator, a: Operand, b: Operand | number, _outShape: Shape): Handle {
    return elementwise.compare(this.#c, operator, a, b);
  }
  logical(operator: LogicalOperator, a: Operand, b: Operand, _outShape: Shape): Handle {
    return elementwise.logical(this.#c, operator, a, b);
  }
  logicalNot(x: Operand): Handle {
    return elementwise.logicalNot(this.#c, x);
  }
  where(condition: Operand, a: Operand, b: Operand, _outShape: Shape): Handle {
    return elementwise.where(this.#c, condition, a, b);
  }
  clamp(x: Operand, low: number, high: number): Handle {
    return elementwise.clamp(this.#c, x, low, high);
  }
  leakyRelu(x: Operand, negativeSlope: number): Handle {
    return elementwise.leakyRelu(this.#c, x, negativeSlope);
  }

  // --- Reductions and searches ---

  reduce(operator: ReduceOperator, x: Operand, axes: readonly number[], keepDims: boolean): Handle {
    return elementwise.reduce(this.#c, operator, x, axes, keepDims);
  }
  argmax(x: Operand, axis: number): Handle {
    return elementwise.argmax(this.#c, x, axis);
  }
  cumsum(x: Operand, axis: number): Handle {
    return elementwise.cumsum(this.#c, x, axis);
  }
  topK(x: Operand, k: number): { values: Handle; indices: Handle } {
    return elementwise.topK(this.#c, x, k);
  }

  // --- Shape and indexing ---

  reshape(x: Operand, shape: Shape): Handle {
    return shaping.reshape(this.#c, x, shape);
  }
  permute(x: Operand, order: readonly number[]): Handle {
    return shaping.permute(this.#c, x, order);
  }
  slice(x: Operand, begin: readonly number[], size: readonly number[]): Handle {
    return shaping.slice(this.#c, x, begin, size);
  }
  concat(xs: readonly Operand[], axis: number): Handle {
    return shaping.concat(this.#c, xs, axis);
  }
  pad(x: Operand, paddings: readonly (readonly [before: number, after: number])[], value: number): Handle {
    return shaping.pad(this.#c, x, paddings, value);
  }
  broadcastTo(x: Operand, shape: Shape): Handle {
    return shaping.broadcastTo(this.#c, x, shape);
  }
  cast(x: Operand, dtype: DType): Handle {
    return elementwise.cast(this.#c, x, dtype);
  }
  detach(x: Operand): Handle {
    return shaping.detach(this.#c, x);
  }
  clone(x: Operand): Handle {
    return shaping.clone(this.#c, x);
  }
  gather(x: Operand, indices: Operand, axis: number): Handle {
    return shaping.gather(this.#c, x, indices, axis);
  }
  takeAlong(x: Operand, indices: Operand, axis: number): Handle {
    return shaping.takeAlong(this.#c, x, indices, axis);
  }

  // --- Products and layers ---

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean, _outShape: Shape): Handle {
    return layers.matmul(this.#c, a, b, transposeA, transposeB);
  }
  linear(x: Operand, weight: Operand, bias: Operand | undefined): Handle {
    return layers.linear(this.#c, x, weight, bias);
  }
  conv2d(x: Operand, weight: Operand, bias: Operand | undefined, options: Conv2dOptions, _outShape: Shape): Handle {
    return layers.conv2d(this.#c, x, weight, bias, options);
  }
  upsampleNearest2x(x: Operand): Handle {
    return layers.upsampleNearest2x(this.#c, x);
  }
  maxPool2x2(x: Operand): Handle {
    return layers.maxPool2x2(this.#c, x);
  }
  softmax(x: Operand): Handle {
    return layers.softmax(this.#c, x);
  }
  logSoftmax(x: Operand): Handle {
    return layers.logSoftmax(this.#c, x);
  }
  rmsNorm(x: Operand, weight: Operand, epsilon: number): Handle {
    return layers.rmsNorm(this.#c, x, weight, epsilon);
  }
  layerNorm(x: Operand, weight: Operand, bias: Operand, epsilon: number): Handle {
    return layers.layerNorm(this.#c, x, weight, bias, epsilon);
  }
  groupNorm(x: Operand, groups: number, weight: Operand, bias: Operand, epsilon: number): Handle {
    return layers.groupNorm(this.#c, x, groups, weight, bias, epsilon);
  }
  attention(q: Operand, k: Operand, v: Operand, causal: boolean, scale: number): Handle {
    return layers.attention(this.#c, q, k, v, causal, scale);
  }

  // --- In place ---

  assign(target: Operand, value: Operand): void {
    shaping.assign(this.#c, target, value);
  }
  assignSlice(target: Operand, value: Operand, axis: number, start: number): void {
    shaping.assignSlice(this.#c, target, value, axis, start);
  }
  adamW(parameters: Operand[], gradients: Operand[], first: Operand[], second: Operand[], options: AdamWOptions): void {
    layers.adamW(this.#c, parameters, gradients, first, second, options);
  }

  // --- Gradients ---

  gradients(
    fn: () => Differentiated,
    leaves: readonly Operand[],
    createGraph: boolean,
  ): { loss: Handle; aux: Handle[]; gradients: Handle[] } {
    return autograd.gradients(this.#open("gradients"), fn, leaves, createGraph);
  }

  /** For calls that do not come through a tensor, which has checked this already. */
  #open(what: string): Context {
    if (this.#closed) throw new Error(`${what}: the torch engine on ${this.device} has been closed`);
    return this.#c;
  }
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
  autograd.setMode(library);
  if (wanted.type === "cuda") library.cuda();
  const count = new Uint32Array(new ArrayBuffer(64));
  torch.torch_get_num_threads(BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(count))));
  const engine = new TorchEngine(library, wanted, count[0]);
  checkDevice(engine, new Context(library, wanted));
  return engine;
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
function checkDevice(engine: TorchEngine, c: Context): void {
  try {
    const two = c.full(2, [3], "int64");
    const three = c.full(3, [3], "int64");
    const sum = c.sum(lend(two), lend(three), false, [3], "int64");
    const numbers = host.copyInt64(c, sum, [3]);
    [two, three, sum].forEach((each) => c.free(each));
    if (numbers.join() !== "5,5,5") throw new Error(`2 + 3 gave ${numbers[0]}: this LibTorch is not understood`);
  } catch (error) {
    throw new UserError(`the torch engine cannot use ${engine.device}: ${(error as Error).message}`);
  }
}
