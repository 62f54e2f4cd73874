/**
 * The tfjs engine: every operator of the contract on tfjs' WASM, TensorFlow, WebGPU or plain JavaScript backend.
 *
 * A handle is a `tf.Tensor` that tfjs' own scopes leave alone; `Tensor` owns it. Each operator runs in a scope of tfjs, so that
 * what it makes on the way is freed at once. int64 is held as int32. What a backend lacks or gets wrong is composed in the other
 * files of this folder.
 */
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
import { acquireBackend, releaseBackend, type StartedBackend, type TfjsBackend } from "./backend.ts";
import * as convolution from "./convolution.ts";
import * as elementwise from "./elementwise.ts";
import { fromHost, toHost } from "./host.ts";
import * as indexing from "./indexing.ts";
import * as normalization from "./normalization.ts";
import * as optimizer from "./optimizer.ts";
import * as products from "./products.ts";
import * as reduction from "./reduction.ts";
import * as shapes from "./shapes.ts";
import { alias, internals, tf, unrecorded } from "./runtime.ts";
import { differentiate } from "./tape.ts";

type T = tf.Tensor;

const KIND: Partial<Record<DType, "float32" | "int32" | "bool">> = { float32: "float32", int64: "int32", bool: "bool" };

/** tfjs' numbers of a tensor of ours. */
function of(x: Operand): T {
  return x.handle as T;
}

/** A number or tfjs' numbers. */
function operand(x: Operand | number): T | number {
  return typeof x === "number" ? x : of(x);
}

/** Computes with tfjs. Made by `openTfjsEngine`. */
export class TfjsEngine implements Engine {
  readonly name = "tfjs";
  readonly backend: TfjsBackend;
  readonly device: string;
  readonly description: string;
  readonly version: string;
  #closed = false;
  #peak = 0;
  readonly #live = new Set<T>();

  /** For `openTfjsEngine`. */
  constructor(backend: TfjsBackend, started: StartedBackend) {
    this.backend = backend;
    this.device = started.device;
    this.description = started.description;
    this.version = started.version;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** float32, int64 (32 bits inside) and bool. */
  supports(dtype: DType): boolean {
    return KIND[dtype] !== undefined;
  }

  // --- Data in, data out ---

  fromHost(data: HostData, shape: Shape, dtype: DType): Handle {
    return this.#run(() => fromHost(data, shape, KIND[dtype]!));
  }

  full(value: number, shape: Shape, dtype: DType): Handle {
    const kind = KIND[dtype]!;
    if (kind !== "float32") return this.fromHost(new Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape, dtype);
    return this.#run(() => tf.fill([...shape], value, kind));
  }

  read(x: Operand): Promise<ReadData> {
    return toHost(of(x));
  }

  release(handle: Handle): void {
    this.#live.delete(handle as T);
    (handle as T).dispose();
  }

  async synchronize(): Promise<void> {
    // Kernels of the other backends have finished when they return.
    if (this.backend !== "webgpu") return;
    const probe = tf.scalar(0);
    await probe.data();
    probe.dispose();
  }

  /** Numbers shared by several tensors count once; the peak counts them as often as they are held. */
  memory(): EngineMemory {
    const seen = new Set<object>();
    let bytes = 0;
    for (const each of this.#live) {
      if (seen.has(each.dataId)) continue;
      seen.add(each.dataId);
      bytes += each.size * (each.dtype === "bool" ? 1 : 4);
    }
    return { tensors: this.#live.size, bytes, peakBytes: Math.max(this.#peak, bytes) };
  }

  resetPeak(): void {
    this.#peak = internals.state.numBytes;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const each of this.#live) each.dispose();
    this.#live.clear();
    releaseBackend();
  }

  // --- Elementwise ---

  unary(operator: UnaryOperator, x: Operand): Handle {
    return this.#run(() => elementwise.unary(operator, of(x)));
  }

  binary(operator: BinaryOperator, a: Operand, b: Operand | number): Handle {
    return this.#run(() => elementwise.binary(operator, of(a), operand(b)));
  }

  compare(operator: CompareOperator, a: Operand, b: Operand | number): Handle {
    return this.#run(() => elementwise.compare(operator, of(a), operand(b)));
  }

  logical(operator: LogicalOperator, a: Operand, b: Operand): Handle {
    return this.#run(() => elementwise.logical(operator, of(a), of(b)));
  }

  logicalNot(x: Operand): Handle {
    return this.#run(() => tf.logicalNot(of(x)));
  }

  where(condition: Operand, a: Operand, b: Operand, outShape: Shape): Handle {
    return this.#run(() => elementwise.where(of(condition), of(a), of(b), outShape));
  }

  clamp(x: Operand, low: number, high: number): Handle {
    return this.#run(() => elementwise.clamp(of(x), low, high));
  }

  leakyRelu(x: Operand, negativeSlope: number): Handle {
    return this.#run(() => elementwise.leakyRelu(of(x), negativeSlope));
  }

  // --- Reductions and searches ---

  reduce(operator: ReduceOperator, x: Operand, axes: readonly number[], keepDims: boolean): Handle {
    return this.#run(() => reduction.reduce(operator, of(x), axes, keepDims));
  }

  argmax(x: Operand, axis: number): Handle {
    return this.#run(() => reduction.argmax(of(x), axis));
  }

  cumsum(x: Operand, axis: number): Handle {
    return this.#run(() => reduction.cumsum(of(x), axis));
  }

  topK(x: Operand, k: number): { values: Handle; indices: Handle } {
    const { values, indices } = internals.tidy(() => reduction.topK(of(x), k));
    return { values: this.#own(values), indices: this.#own(indices) };
  }

  // --- Shape ---

  reshape(x: Operand, shape: Shape): Handle {
    return this.#run(() => tf.reshape(of(x), [...shape]));
  }

  permute(x: Operand, order: readonly number[]): Handle {
    return this.#run(() => shapes.permute(of(x), order));
  }

  slice(x: Operand, begin: readonly number[], size: readonly number[]): Handle {
    return this.#run(() => shapes.slice(of(x), begin, size));
  }

  concat(xs: readonly Operand[], axis: number): Handle {
    return this.#run(() => shapes.concat(xs.map(of), axis));
  }

  pad(x: Operand, paddings: readonly (readonly [number, number])[], value: number): Handle {
    return this.#run(() => shapes.pad(of(x), paddings, value));
  }

  broadcastTo(x: Operand, shape: Shape): Handle {
    return this.#run(() => elementwise.stretched(of(x), shape));
  }

  cast(x: Operand, dtype: DType): Handle {
    return this.#run(() => shapes.cast(of(x), KIND[dtype]!));
  }

  detach(x: Operand): Handle {
    return this.#own(alias(of(x)));
  }

  clone(x: Operand): Handle {
    return this.#run(() => tf.clone(of(x)));
  }

  // --- Indexing ---

  gather(x: Operand, indices: Operand, axis: number): Handle {
    return this.#run(() => indexing.gather(of(x), of(indices), axis));
  }

  takeAlong(x: Operand, indices: Operand, axis: number): Handle {
    return this.#run(() => indexing.takeAlong(of(x), of(indices), axis));
  }

  // --- Products and layers ---

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean, outShape: Shape): Handle {
    return this.#run(() => products.matmul(of(a), of(b), transposeA, transposeB, outShape));
  }

  linear(x: Operand, weight: Operand, bias: Operand | undefined): Handle {
    return this.#run(() => products.linear(of(x), of(weight), bias && of(bias)));
  }

  conv2d(x: Operand, weight: Operand, bias: Operand | undefined, options: Conv2dOptions, outShape: Shape): Handle {
    return this.#run(() => convolution.conv2d(of(x), of(weight), bias && of(bias), options, outShape));
  }

  upsampleNearest2x(x: Operand): Handle {
    return this.#run(() => convolution.upsampleNearest2x(of(x)));
  }

  maxPool2x2(x: Operand): Handle {
    return this.#run(() => convolution.maxPool2x2(of(x)));
  }

  softmax(x: Operand): Handle {
    return this.#run(() => normalization.softmax(of(x)));
  }

  logSoftmax(x: Operand): Handle {
    return this.#run(() => normalization.logSoftmax(of(x)));
  }

  rmsNorm(x: Operand, weight: Operand, epsilon: number): Handle {
    return this.#run(() => normalization.rmsNorm(of(x), of(weight), epsilon));
  }

  layerNorm(x: Operand, weight: Operand, bias: Operand, epsilon: number): Handle {
    return this.#run(() => normalization.layerNorm(of(x), of(weight), of(bias), epsilon));
  }

  groupNorm(x: Operand, groups: number, weight: Operand, bias: Operand, epsilon: number): Handle {
    return this.#run(() => normalization.groupNorm(of(x), groups, of(weight), of(bias), epsilon));
  }

  attention(q: Operand, k: Operand, v: Operand, causal: boolean, scale: number): Handle {
    return this.#run(() => products.attention(of(q), of(k), of(v), causal, scale));
  }

  // --- In place ---

  assign(target: Operand, value: Operand): void {
    this.#replace(target, alias(of(value)));
  }

  assignSlice(target: Operand, value: Operand, axis: number, start: number): void {
    this.#replace(target, unrecorded(() => internals.tidy(() => shapes.withSlice(of(target), of(value), axis, start))));
  }

  adamW(parameters: Operand[], gradients: Operand[], first: Operand[], second: Operand[], options: AdamWOptions): void {
    parameters.forEach((parameter, i) => {
      const updated = unrecorded(() =>
        internals.tidy(() => optimizer.adamW(of(parameter), of(gradients[i]), of(first[i]), of(second[i]), options))
      );
      this.#replace(parameter, updated.parameter);
      this.#replace(first[i], updated.first);
      this.#replace(second[i], updated.second);
    });
  }

  gradients(
    fn: () => Differentiated,
    leaves: readonly Operand[],
    createGraph: boolean,
  ): { loss: Handle; aux: Handle[]; gradients: Handle[] } {
    const found = differentiate(fn, leaves, createGraph);
    return {
      loss: this.#own(found.loss),
      aux: found.aux.map((each) => this.#own(each)),
      gradients: found.gradients.map((each) => this.#own(each)),
    };
  }

  // --- Owning ---

  /** Runs an operator; frees what it made on the way. */
  #run(fn: () => T): T {
    const out = internals.tidy(fn);
    // An operator that had nothing to do returns its operand: a handle belongs to one tensor only.
    return this.#own(this.#live.has(out) ? tf.clone(out) : out);
  }

  /** Takes a tensor out of tfjs' scopes. */
  #own(out: T): T {
    internals.keep(out);
    this.#live.add(out);
    if (internals.state.numBytes > this.#peak) this.#peak = internals.state.numBytes;
    return out;
  }

  #replace(target: Operand, by: T): void {
    this.release(target.handle);
    target.replaceHandle(this.#own(by));
  }
}

/**
 * Opens tfjs on a backend: `wasm` runs everywhere; `tensorflow` needs `deno task install-tfjs-node`; `webgpu` needs an adapter.
 *
 * @throws {UserError} When the backend cannot run here, or an engine on another backend is open.
 */
export async function openTfjsEngine({ backend }: { backend: TfjsBackend }): Promise<TfjsEngine> {
  return new TfjsEngine(backend, await acquireBackend(backend));
}
