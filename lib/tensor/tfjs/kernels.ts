/**
 * Kernels of our own on the WASM backend, working on numbers where tfjs keeps them.
 *
 * tfjs multiplies transposed and batched matrices without vectors (1 GFLOP/s where a plain product has 17), has no filter
 * gradient, and takes a dozen kernels for a normalization. `kernels/*.c`, compiled with relaxed SIMD into `kernels/binary.json`, is
 * instantiated on the memory of tfjs' own module, so nothing is copied. Where the instructions or the memory are not there,
 * `kernels()` is undefined and the callers compose tfjs operators.
 */
import binary from "./kernels/binary.json" with { type: "json" };
import { internals, tf } from "./runtime.ts";

/** Where numbers begin in the module's memory. */
export type Address = number;

/** The exported functions; the comments in `kernels/*.c` say what each computes. */
export interface Functions {
  gemm_scratch(): number;
  gemm_batch(...numbers: number[]): void;
  activate(op: number, n: number, x: Address, out: Address): void;
  activate_gradient(op: number, n: number, x: Address, dy: Address, out: Address): void;
  adamw(...numbers: number[]): void;
  softmax(rows: number, n: number, x: Address, out: Address): void;
  log_softmax(rows: number, n: number, x: Address, out: Address): void;
  softmax_gradient(rows: number, n: number, p: Address, dy: Address, dx: Address): void;
  log_softmax_gradient(rows: number, n: number, y: Address, dy: Address, dx: Address): void;
  sums(outer: number, n: number, inner: number, x: Address, out: Address, room: Address): void;
  add_bias(rows: number, n: number, x: Address, bias: Address, out: Address): void;
  find_outside(m: number, count: number, indices: Address): number;
  pick_rows(m: number, n: number, x: Address, indices: Address, out: Address): void;
  add_rows(m: number, n: number, y: Address, indices: Address, out: Address): void;
  attention(...numbers: number[]): void;
  attention_gradient(...numbers: number[]): void;
  rms_norm(...numbers: number[]): void;
  rms_norm_gradient(...numbers: number[]): void;
  group_norm(...numbers: number[]): void;
  group_norm_gradient(...numbers: number[]): void;
  conv_scratch(description: Address): number;
  conv2d(...numbers: number[]): void;
  conv2d_input_gradient(...numbers: number[]): void;
  conv2d_weight_gradient(...numbers: number[]): void;
}

/** tfjs' WASM module, as far as it is used here. */
interface WasmBackend {
  wasm: {
    asm: { memory: WebAssembly.Memory };
    _malloc(bytes: number): number;
    _free(address: number): void;
    tfjs: { disposeData(id: number): void; registerTensor(id: number, size: number, address: number): void };
  };
  dataIdMap: { get(dataId: object): { id: number; memoryOffset: number; refCount: number } };
  makeOutput(shape: number[], dtype: string): tf.TensorInfo;
}

const STACK_BYTES = 1 << 16;

/** The kernels, bound to the active WASM backend. */
export class Kernels {
  readonly run: Functions;
  readonly #backend: WasmBackend;
  #scratch = 0;
  #scratchSize = 0;

  /** For `startKernels`. */
  constructor(backend: WasmBackend) {
    this.#backend = backend;
    const bytes = Uint8Array.fromBase64(binary.wasm);
    const module = new WebAssembly.Module(bytes);
    const instance = new WebAssembly.Instance(module, { env: { memory: backend.wasm.asm.memory, log: Math.log } });
    (instance.exports.__stack_pointer as WebAssembly.Global).value =
      backend.wasm._malloc(STACK_BYTES) + STACK_BYTES - 16 & -16;
    this.run = instance.exports as unknown as Functions;
  }

  /** Where a tensor's numbers are. */
  at(x: tf.Tensor): Address {
    return this.#backend.dataIdMap.get(x.dataId).memoryOffset;
  }

  /** A float32 tensor whose numbers are not set yet. */
  make(shape: readonly number[]): tf.Tensor {
    const info = this.#backend.makeOutput([...shape], "float32");
    return internals.makeTensorFromTensorInfo({ dataId: info.dataId, shape: [...shape], dtype: "float32" });
  }

  /** A float32 tensor of zeros. */
  zeros(shape: readonly number[]): tf.Tensor {
    const out = this.make(shape);
    new Float32Array(this.#backend.wasm.asm.memory.buffer, this.at(out), out.size).fill(0);
    return out;
  }

  /** Room for this many floats, until the next call asks for room. */
  room(floats: number): Address {
    if (floats > this.#scratchSize) {
      if (this.#scratch) this.#backend.wasm._free(this.#scratch);
      this.#scratch = this.#backend.wasm._malloc(4 * floats) >>> 0;
      this.#scratchSize = floats;
    }
    return this.#scratch;
  }

  /** Writes 32-bit integers at an address. */
  writeIntegers(address: Address, values: readonly number[]): void {
    new Int32Array(this.#backend.wasm.asm.memory.buffer, address, values.length).set(values);
  }

  /** A view of a tensor's numbers, good until something is allocated. */
  floats(x: tf.Tensor): Float32Array {
    return new Float32Array(this.#backend.wasm.asm.memory.buffer, this.at(x), x.size);
  }

  /** A view of an int32 tensor's numbers, good until something is allocated. */
  integers(x: tf.Tensor): Int32Array {
    return new Int32Array(this.#backend.wasm.asm.memory.buffer, this.at(x), x.size);
  }

  /** Whether no other tensor shares these numbers. */
  isSole(x: tf.Tensor): boolean {
    return this.#backend.dataIdMap.get(x.dataId).refCount === 1;
  }

  /** tfjs keeps products' packed operands by number: forgets them after numbers were overwritten. */
  touched(x: tf.Tensor): void {
    const { id, memoryOffset } = this.#backend.dataIdMap.get(x.dataId);
    this.#backend.wasm.tfjs.disposeData(id);
    this.#backend.wasm.tfjs.registerTensor(id, x.size, memoryOffset);
  }
}

let started: Kernels | undefined;
let enabled = true;

/** Binds the kernels to the WASM backend, once a process. Does nothing where relaxed SIMD is missing. */
export function startKernels(): void {
  if (started) return;
  try {
    started = new Kernels(internals.backend as unknown as WasmBackend);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
  }
}

/** The kernels, when the active backend is WASM and they run here. */
export function kernels(): Kernels | undefined {
  return enabled && tf.getBackend() === "wasm" ? started : undefined;
}

/** Runs `fn` as if there were no kernels: tests compare the two ways. */
export async function withoutKernels<T>(fn: () => T | Promise<T>): Promise<T> {
  enabled = false;
  try {
    return await fn();
  } finally {
    enabled = true;
  }
}
