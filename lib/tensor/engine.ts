/**
 * The contract between a tensor and whoever computes it.
 *
 * An engine holds numbers on a device and computes operators on them. It sees operands whose shapes, types and engine
 * have been checked by `Tensor`, together with the shape of the result where it helps; it returns a handle of its own
 * kind, which `Tensor` wraps and later hands back to `release`. Handles never leave `lib/tensor/`.
 *
 * What an engine does not do: shape inference, broadcasting checks, scopes. Those are the same for all and live in
 * `tensor.ts` and `scope.ts`. Operators that a backend lacks are composed inside its engine, with their gradients.
 *
 * A new operator is a signature here, a method in `tensor.ts`, an entry in one module of each engine (`torch/shapes.ts` and
 * `tfjs/shapes.ts`, say; an engine that lacks it does not compile), and cases in `tests/tensor/conformance_table.ts`.
 */
import type { DType, HostData, ReadData, Shape } from "./dtype.ts";

/** An engine's own reference to numbers on its device. */
export type Handle = unknown;

/**
 * What an engine reads of a tensor. `Tensor` is the one that there is.
 *
 * @internal
 */
export interface Operand {
  /** The engine's own reference. @throws {Error} When the tensor has been disposed of. */
  readonly handle: Handle;
  /** Extents of the axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** Number of axes. */
  readonly rank: number;
  /** Number of elements. */
  readonly size: number;
  /** Gives the tensor other numbers; the engine has taken care of the old ones. */
  replaceHandle(handle: Handle): void;
}

/** Elementwise functions of one floating operand. `round` rounds halves to even; `sign` and it have zero gradients. */
export type UnaryOperator =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "rsqrt"
  | "reciprocal"
  | "abs"
  | "square"
  | "sign"
  | "tanh"
  | "sigmoid"
  | "silu"
  | "gelu"
  | "relu"
  | "softplus"
  | "sin"
  | "cos"
  | "floor"
  | "round";

/** Elementwise functions of two operands of one type (or an operand and a number), broadcast. */
export type BinaryOperator = "add" | "sub" | "mul" | "div" | "maximum" | "minimum" | "pow";

/** Comparisons of two operands of one type (or an operand and a number), broadcast; the result is `bool`. */
export type CompareOperator = "equal" | "notEqual" | "less" | "lessEqual" | "greater" | "greaterEqual";

/** Functions of two `bool` operands. */
export type LogicalOperator = "and" | "or";

/** Reductions over some axes. */
export type ReduceOperator = "sum" | "mean" | "max" | "min" | "logSumExp";

/** Zero rows and columns around an image: top, bottom, left, right. */
export type Padding2d = readonly [top: number, bottom: number, left: number, right: number];

/**
 * Options of a two-dimensional convolution.
 *
 * @internal
 */
export interface Conv2dOptions {
  /** Step of the window in both directions. */
  stride: number;
  /** Zeros around the image. */
  padding: Padding2d;
}

/** Hyper-parameters of one AdamW update (Loshchilov & Hutter 2019), PyTorch's names and order of operations. */
export interface AdamWOptions {
  /** Step size. */
  learningRate: number;
  /** Decay of the first moment. */
  beta1: number;
  /** Decay of the second moment. */
  beta2: number;
  /** Added to the root of the second moment. */
  epsilon: number;
  /** Decoupled: parameters shrink by learningRate · weightDecay. */
  weightDecay: number;
  /** 1 for the first update. */
  step: number;
  /** Every gradient is multiplied by this first (gradient clipping). */
  gradientScale: number;
}

/** What `Engine.gradients` differentiates: the scalar and whatever else must outlive the call. */
export interface Differentiated {
  /** A scalar. */
  loss: Operand;
  /** In the order in which their handles come back. */
  aux: Operand[];
}

/**
 * Live tensors and memory of an engine.
 *
 * @internal
 */
export interface EngineMemory {
  /** Handles that are alive. */
  tensors: number;
  /** Bytes that they hold; views of one storage count once where the engine knows. */
  bytes: number;
  /** The most bytes since the engine started or `resetPeak` was called, as far as the engine can tell. */
  peakBytes: number;
}

/**
 * What `Tensor` asks of an engine, with operands that it has checked.
 *
 * @internal
 */
export interface EngineOperators {
  // Data in, data out.
  /** A tensor of numbers from the host, row-major. */
  fromHost(data: HostData, shape: Shape, dtype: DType): Handle;
  /** A tensor filled with one value. */
  full(value: number, shape: Shape, dtype: DType): Handle;
  /** All numbers, row-major. */
  read(x: Operand): Promise<ReadData>;
  /** Gives a handle back. */
  release(handle: Handle): void;

  // Elementwise. `b` may be a number, which then has the type of `a`.
  /** See `UnaryOperator`. */
  unary(operator: UnaryOperator, x: Operand): Handle;
  /** See `BinaryOperator`. */
  binary(operator: BinaryOperator, a: Operand, b: Operand | number, outShape: Shape): Handle;
  /** See `CompareOperator`. */
  compare(operator: CompareOperator, a: Operand, b: Operand | number, outShape: Shape): Handle;
  /** See `LogicalOperator`. */
  logical(operator: LogicalOperator, a: Operand, b: Operand, outShape: Shape): Handle;
  /** The opposite of a bool tensor. */
  logicalNot(x: Operand): Handle;
  /** `condition ? a : b`, broadcast. */
  where(condition: Operand, a: Operand, b: Operand, outShape: Shape): Handle;
  /** Gradient 1 inside the bounds (bounds included), 0 outside. */
  clamp(x: Operand, low: number, high: number): Handle;
  /** x where positive, slope · x elsewhere. */
  leakyRelu(x: Operand, negativeSlope: number): Handle;

  // Reductions and searches. Axes are normalized and sorted.
  /** See `ReduceOperator`. */
  reduce(operator: ReduceOperator, x: Operand, axes: readonly number[], keepDims: boolean): Handle;
  /** Index of the largest, the first of equals; int64. */
  argmax(x: Operand, axis: number): Handle;
  /** Running sum. */
  cumsum(x: Operand, axis: number): Handle;
  /** Σ x² over all numbers of some tensors of one floating type, in that type. */
  squaredNorm(xs: readonly Operand[]): Handle;
  /** The k largest of the last axis, largest first. */
  topK(x: Operand, k: number): { values: Handle; indices: Handle };

  // Shape. Results may share memory with the operand: nothing changes numbers in place but the operators below that say so.
  /** The same numbers, row-major, in another shape. */
  reshape(x: Operand, shape: Shape): Handle;
  /** Axis i of the result is axis order[i]. */
  permute(x: Operand, order: readonly number[]): Handle;
  /** A block. */
  slice(x: Operand, begin: readonly number[], size: readonly number[]): Handle;
  /** One after the other along an axis. */
  concat(xs: readonly Operand[], axis: number): Handle;
  /** A border of one value. */
  pad(x: Operand, paddings: readonly (readonly [before: number, after: number])[], value: number): Handle;
  /** Axes of extent 1 (and missing leading ones) stretched. */
  broadcastTo(x: Operand, shape: Shape): Handle;
  /** The same values as another type. */
  cast(x: Operand, dtype: DType): Handle;
  /** The same numbers outside every gradient. */
  detach(x: Operand): Handle;
  /** Numbers of its own. */
  clone(x: Operand): Handle;

  // Indexing.
  /** Rows of `x` along `axis`; indices int64 of rank 1. Differentiable in x. */
  gather(x: Operand, indices: Operand, axis: number): Handle;
  /** `out[i][j] = x[i][indices[i][j]]` along `axis`; same rank, same extents but on `axis`. Differentiable in x. */
  takeAlong(x: Operand, indices: Operand, axis: number): Handle;

  // Products and layers.
  /** Batched product over the last two axes, leading axes broadcast. */
  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean, outShape: Shape): Handle;
  /** `x [.., in] · weight [out, in]ᵀ + bias [out]`. */
  linear(x: Operand, weight: Operand, bias: Operand | undefined): Handle;
  /** x [B, H, W, C], weight [O, C, kH, kW] (PyTorch's layout), bias [O] → [B, H', W', O]. */
  conv2d(x: Operand, weight: Operand, bias: Operand | undefined, options: Conv2dOptions, outShape: Shape): Handle;
  /** x [B, H, W, C] → [B, 2H, 2W, C]. */
  upsampleNearest2x(x: Operand): Handle;
  /** x [B, H, W, C] → [B, ⌊H/2⌋, ⌊W/2⌋, C], windows of 2 × 2. */
  maxPool2x2(x: Operand): Handle;
  /** Over the last axis. */
  softmax(x: Operand): Handle;
  /** Over the last axis. */
  logSoftmax(x: Operand): Handle;
  /** Over the last axis: x · rsqrt(mean(x²) + ε) · weight. */
  rmsNorm(x: Operand, weight: Operand, epsilon: number): Handle;
  /** Over the last axis, biased variance. */
  layerNorm(x: Operand, weight: Operand, bias: Operand, epsilon: number): Handle;
  /** x [B, …, C]: each sample's C / groups channels over all positions, biased variance. */
  groupNorm(x: Operand, groups: number, weight: Operand, bias: Operand, epsilon: number): Handle;
  /**
   * Scaled dot-product attention. q [B, H, Tq, D], k and v [B, H, Tk, D] → [B, H, Tq, D]. `causal` lets query i see keys
   * 0 … i + Tk − Tq.
   */
  attention(q: Operand, k: Operand, v: Operand, causal: boolean, scale: number): Handle;

  // In place: outside gradients only.
  /** Overwrites the numbers of `target` (same shape and type). */
  assign(target: Operand, value: Operand): void;
  /** Overwrites `target[…, start : start + n, …]` along `axis` with `value`. */
  assignSlice(target: Operand, value: Operand, axis: number, start: number): void;
  /** Adds to each target the value in its place, of its shape and type. Targets share no memory. */
  addAll(targets: readonly Operand[], values: readonly Operand[]): void;
  /**
   * One AdamW update of each parameter and its two moments. Lists are parallel; all float32. With a scale other than 1, what is
   * left of the gradients is undefined.
   */
  adamW(
    parameters: readonly Operand[],
    gradients: readonly Operand[],
    first: readonly Operand[],
    second: readonly Operand[],
    options: AdamWOptions,
  ): void;

  /**
   * Runs `fn` recording gradients and differentiates its loss (a scalar) with respect to `leaves`.
   *
   * A leaf is a tensor made outside any recording, or by `detach` inside one. A leaf that the loss does not depend on gets
   * zeros. Loss and aux come back detached, unless `createGraph` is set: then the gradients (and loss and aux) can be
   * differentiated again by an enclosing call. Calls nest: the inner one's leaves are independent of the outer recording.
   */
  gradients(
    fn: () => Differentiated,
    leaves: readonly Operand[],
    createGraph: boolean,
  ): { loss: Handle; aux: Handle[]; gradients: Handle[] };
}

/**
 * A computer of tensors. One engine object owns one device; `openEngine` opens it, whoever opened it closes it. What it computes is
 * asked for through `Tensor`.
 */
export interface Engine extends EngineOperators {
  /** Which implementation: `torch` or `tfjs`. */
  readonly name: string;
  /** Which library computes: `libtorch`, `wasm`, `tensorflow`, `webgpu`. */
  readonly backend: string;
  /** Where it computes: `cpu`, `cuda:0`, … */
  readonly device: string;
  /** One line for people: library, version, device, threads. */
  readonly description: string;
  /** Version of the library that computes. */
  readonly version: string;
  /** Whether the engine has been closed. */
  readonly closed: boolean;

  /** Whether tensors of this type exist here. */
  supports(dtype: DType): boolean;

  /** Waits until everything asked for has been computed. */
  synchronize(): Promise<void>;
  /** Tensors that are alive, their bytes, and the most bytes since the start. */
  memory(): EngineMemory;
  /** Starts a new count of the peak. */
  resetPeak(): void;
  /** Gives everything back; using a tensor of this engine is an error from then on. */
  close(): void;
}
