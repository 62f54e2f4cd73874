/**
 * The tensor: a shape, an element type, and numbers that an engine holds.
 *
 * Operators are methods. Each checks its operands (engine, type, shape), works out the shape of the result, and asks the
 * engine for it; so the same mistake gives the same error on every engine. Nothing here computes. Types are never
 * promoted: cast explicitly. Tensors made inside `tidy` are freed by it (`scope.ts`); others by `dispose`.
 *
 * Axis letters in the documentation: B batch, T time, C channels, H height (or heads), W width, D head width, V vocabulary.
 */
import type {
  AdamWOptions,
  BinaryOperator,
  CompareOperator,
  Conv2dOptions,
  Engine,
  Handle,
  LogicalOperator,
  Operand,
  ReduceOperator,
  UnaryOperator,
} from "./engine.ts";
import {
  broadcastShapes,
  type DType,
  type HostData,
  isFloating,
  normalizeAxis,
  type ReadData,
  sameShape,
  type Shape,
  shapeText,
  sizeOf,
} from "./dtype.ts";
import { adopt } from "./scope.ts";

/** What types an operator takes: `numbers` are all but `bool`. */
type Kind = "any" | "numbers" | "floating" | "bool";

/** Numbers of one type in a rectangular arrangement, held by an engine. */
export class Tensor implements Operand {
  /** The engine that holds the numbers; operands of an operator share it. */
  readonly engine: Engine;
  /** Extents of the axes, outermost first. */
  readonly shape: Shape;
  /** Element type: `float32`, `int64`, `bool` everywhere; `float64`, `bfloat16` on torch. */
  readonly dtype: DType;
  #handle: Handle;
  #disposed = false;

  /** For engines and this file: everyone else uses `tensor`, `zeros`, … or operators. */
  constructor(engine: Engine, handle: Handle, shape: Shape, dtype: DType) {
    this.engine = engine;
    this.#handle = handle;
    this.shape = shape;
    this.dtype = dtype;
    adopt(this);
  }

  /**
   * The engine's own reference. For engines.
   *
   * @internal
   */
  get handle(): Handle {
    if (this.#disposed) {
      throw new Error(
        `a disposed tensor of shape ${
          shapeText(this.shape)
        } was used: it was freed by dispose() or by the tidy() that ` +
          `made it; return it from tidy, or keep() it`,
      );
    }
    return this.#handle;
  }

  /**
   * Gives the tensor other numbers; the engine has taken care of the old ones. For engines.
   *
   * @internal
   */
  replaceHandle(handle: Handle): void {
    this.#handle = handle;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether the numbers have been given back. */
  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** Gives the numbers back. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.engine.closed) this.engine.release(this.#handle);
    this.#handle = undefined;
  }

  /**
   * Reads all numbers, row-major: Float32Array of float32 and bfloat16, Float64Array of float64, Int32Array of int64,
   * Uint8Array of bool.
   */
  data(): Promise<ReadData> {
    this.#checkUsable("data");
    return this.engine.read(this);
  }

  /**
   * Reads the number of a scalar.
   *
   * @throws {RangeError} When there is not exactly one element.
   */
  async item(): Promise<number> {
    if (this.size !== 1) throw new RangeError(`item: needs one element: received shape ${shapeText(this.shape)}`);
    return Number((await this.data())[0]);
  }

  // --- Elementwise ---

  /** −x. */
  neg(): Tensor {
    return this.#unary("neg");
  }
  /** eˣ. */
  exp(): Tensor {
    return this.#unary("exp");
  }
  /** Natural logarithm. */
  log(): Tensor {
    return this.#unary("log");
  }
  /** Square root. */
  sqrt(): Tensor {
    return this.#unary("sqrt");
  }
  /** 1 / √x. */
  rsqrt(): Tensor {
    return this.#unary("rsqrt");
  }
  /** 1 / x. */
  reciprocal(): Tensor {
    return this.#unary("reciprocal");
  }
  /** Absolute value |x|. */
  abs(): Tensor {
    return this.#unary("abs");
  }
  /** x². */
  square(): Tensor {
    return this.#unary("square");
  }
  /** −1, 0 or 1. */
  sign(): Tensor {
    return this.#unary("sign");
  }
  /** Hyperbolic tangent. */
  tanh(): Tensor {
    return this.#unary("tanh");
  }
  /** 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor {
    return this.#unary("sigmoid");
  }
  /** x · sigmoid(x). */
  silu(): Tensor {
    return this.#unary("silu");
  }
  /** x · Φ(x), with the exact error function. */
  gelu(): Tensor {
    return this.#unary("gelu");
  }
  /** max(x, 0). */
  relu(): Tensor {
    return this.#unary("relu");
  }
  /** log(1 + eˣ), without overflow. */
  softplus(): Tensor {
    return this.#unary("softplus");
  }
  /** Sine. */
  sin(): Tensor {
    return this.#unary("sin");
  }
  /** Cosine. */
  cos(): Tensor {
    return this.#unary("cos");
  }
  /** Largest integer not above x; zero gradient. */
  floor(): Tensor {
    return this.#unary("floor");
  }
  /** Nearest integer, halves to even; zero gradient. */
  round(): Tensor {
    return this.#unary("round");
  }
  /** Sum with a tensor or a number, broadcast. To float32 a bfloat16 tensor may be added as it is. */
  add(other: Tensor | number): Tensor {
    return this.#binary("add", other, "bfloat16");
  }
  /** Difference from a tensor or a number, broadcast. */
  sub(other: Tensor | number): Tensor {
    return this.#binary("sub", other);
  }
  /** Elementwise product with a tensor or a number, broadcast. */
  mul(other: Tensor | number): Tensor {
    return this.#binary("mul", other);
  }
  /** Quotient of floating numbers, by a tensor or a number, broadcast. */
  div(other: Tensor | number): Tensor {
    return this.#binary("div", other);
  }
  /** The larger of two numbers, elementwise, broadcast. */
  maximum(other: Tensor | number): Tensor {
    return this.#binary("maximum", other);
  }
  /** The smaller of two numbers, elementwise, broadcast. */
  minimum(other: Tensor | number): Tensor {
    return this.#binary("minimum", other);
  }
  /** x to the power of the other. */
  pow(other: Tensor | number): Tensor {
    return this.#binary("pow", other);
  }
  /** Where the two are equal, broadcast; bool. */
  equal(other: Tensor | number): Tensor {
    return this.#compare("equal", other);
  }
  /** Where the two differ, broadcast; bool. */
  notEqual(other: Tensor | number): Tensor {
    return this.#compare("notEqual", other);
  }
  /** Where this is below the other, broadcast; bool. */
  less(other: Tensor | number): Tensor {
    return this.#compare("less", other);
  }
  /** Where this is at most the other, broadcast; bool. */
  lessEqual(other: Tensor | number): Tensor {
    return this.#compare("lessEqual", other);
  }
  /** Where this is above the other, broadcast; bool. */
  greater(other: Tensor | number): Tensor {
    return this.#compare("greater", other);
  }
  /** Where this is at least the other, broadcast; bool. */
  greaterEqual(other: Tensor | number): Tensor {
    return this.#compare("greaterEqual", other);
  }
  /** Where both are true; of bool tensors. */
  and(other: Tensor): Tensor {
    return this.#logical("and", other);
  }
  /** Where one of the two is true; of bool tensors. */
  or(other: Tensor): Tensor {
    return this.#logical("or", other);
  }
  /** Where this is false; of a bool tensor. */
  not(): Tensor {
    this.#check("not", "bool");
    return this.#make(this.engine.logicalNot(this), this.shape, "bool");
  }

  /** This bool tensor as a condition: `a` where true, `b` where false, broadcast. */
  where(a: Tensor, b: Tensor): Tensor {
    this.#checkWith("where", a, b);
    this.#checkKind("where", "bool");
    if (a.dtype !== b.dtype) throw new TypeError(`where: types ${a.dtype} and ${b.dtype} differ: cast one of them`);
    const shape = broadcastShapes(broadcastShapes(this.shape, a.shape, "where"), b.shape, "where");
    return this.#make(this.engine.where(this, a, b, shape), shape, a.dtype);
  }

  /** Limits every number to [low, high]; the gradient is 1 inside, bounds included, and 0 outside. */
  clamp(low: number, high: number): Tensor {
    this.#check("clamp", "numbers");
    if (!(low <= high)) throw new RangeError(`clamp: low must not exceed high: received ${low} and ${high}`);
    return this.#make(this.engine.clamp(this, low, high), this.shape, this.dtype);
  }

  /** x where positive, `negativeSlope` · x elsewhere. */
  leakyRelu(negativeSlope: number): Tensor {
    this.#check("leakyRelu", "floating");
    return this.#make(this.engine.leakyRelu(this, negativeSlope), this.shape, this.dtype);
  }

  // --- Reductions ---

  /** Sum over `axes` (all when left out). */
  sum(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.#reduce("sum", axes, keepDims);
  }
  /** Mean over `axes` (all when left out). */
  mean(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.#reduce("mean", axes, keepDims);
  }
  /** Maximum over `axes` (all when left out). */
  max(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.#reduce("max", axes, keepDims);
  }
  /** Minimum over `axes` (all when left out). */
  min(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.#reduce("min", axes, keepDims);
  }
  /** log Σ exp(x) over `axes`, without overflow. */
  logSumExp(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.#reduce("logSumExp", axes, keepDims);
  }
  /** Index of the largest number along `axis`, the first of equals; int64. */
  argmax(axis = -1): Tensor {
    this.#check("argmax", "numbers");
    const at = normalizeAxis(axis, this.rank, "argmax");
    if (this.shape[at] === 0) {
      throw new RangeError(`argmax: there are no numbers along an axis of ${shapeText(this.shape)}`);
    }
    return this.#make(this.engine.argmax(this, at), this.shape.filter((_, i) => i !== at), "int64");
  }
  /** Running sum along `axis`. */
  cumsum(axis = -1): Tensor {
    this.#check("cumsum", "numbers");
    const at = normalizeAxis(axis, this.rank, "cumsum");
    return this.#make(this.engine.cumsum(this, at), this.shape, this.dtype);
  }
  /** The k largest numbers of the last axis, largest first, and where they are. */
  topK(k: number): { values: Tensor; indices: Tensor } {
    this.#check("topK", "numbers");
    const last = this.shape[this.rank - 1] ?? 0;
    if (!(Number.isInteger(k) && k >= 1 && k <= last)) {
      throw new RangeError(`topK: k must be from 1 to the last extent ${last}: received ${k}`);
    }
    const shape = [...this.shape.slice(0, -1), k];
    const { values, indices } = this.engine.topK(this, k);
    return { values: this.#make(values, shape, this.dtype), indices: this.#make(indices, shape, "int64") };
  }

  // --- Shape ---

  /** The same numbers in another shape; one extent may be −1. */
  reshape(shape: Shape): Tensor {
    this.#checkUsable("reshape");
    const known = sizeOf(shape.filter((extent) => extent !== -1));
    const resolved = shape.map((extent) => extent === -1 ? this.size / known : extent);
    const open = shape.filter((extent) => extent === -1).length;
    if (
      open > 1 || sizeOf(resolved) !== this.size || resolved.some((extent) => !Number.isInteger(extent) || extent < 0)
    ) {
      throw new RangeError(`reshape: ${shapeText(this.shape)} does not fit into ${shapeText(shape)}`);
    }
    return this.#make(this.engine.reshape(this, resolved), resolved, this.dtype);
  }
  /** Axes in another order: axis i of the result is axis order[i] of this. */
  permute(order: readonly number[]): Tensor {
    this.#checkUsable("permute");
    const axes = order.map((axis) => normalizeAxis(axis, this.rank, "permute"));
    if (axes.length !== this.rank || new Set(axes).size !== this.rank) {
      throw new RangeError(`permute: order ${shapeText(order)} must name each of ${this.rank} axes once`);
    }
    return this.#make(this.engine.permute(this, axes), axes.map((axis) => this.shape[axis]), this.dtype);
  }
  /** The tensor with two axes exchanged. */
  transpose(a = -2, b = -1): Tensor {
    const order = this.shape.map((_, i) => i);
    const i = normalizeAxis(a, this.rank, "transpose"), j = normalizeAxis(b, this.rank, "transpose");
    [order[i], order[j]] = [order[j], order[i]];
    return this.permute(order);
  }
  /** A block: `size[i]` numbers from `begin[i]` on each axis; a size of −1 goes to the end. */
  slice(begin: readonly number[], size: readonly number[]): Tensor {
    this.#checkUsable("slice");
    const extents = size.map((n, i) => n === -1 ? this.shape[i] - begin[i] : n);
    const fits = begin.length === this.rank && extents.length === this.rank &&
      extents.every((n, i) => begin[i] >= 0 && n >= 0 && begin[i] + n <= this.shape[i]);
    if (!fits) {
      throw new RangeError(
        `slice: begin ${shapeText(begin)} and size ${shapeText(size)} do not lie within ${shapeText(this.shape)}`,
      );
    }
    return this.#make(this.engine.slice(this, begin, extents), extents, this.dtype);
  }
  /** `length` numbers from `start` along one axis; the other axes whole. */
  narrow(axis: number, start: number, length: number): Tensor {
    const at = normalizeAxis(axis, this.rank, "narrow");
    return this.slice(this.shape.map((_, i) => i === at ? start : 0), this.shape.map((n, i) => i === at ? length : n));
  }
  /** A border of `value`; before and after for each axis. */
  pad(paddings: readonly (readonly [number, number])[], value = 0): Tensor {
    this.#checkUsable("pad");
    if (paddings.length !== this.rank || paddings.some(([a, b]) => a < 0 || b < 0)) {
      throw new RangeError(
        `pad: needs ${this.rank} pairs of non-negative numbers: received ${JSON.stringify(paddings)}`,
      );
    }
    const shape = this.shape.map((n, i) => n + paddings[i][0] + paddings[i][1]);
    return this.#make(this.engine.pad(this, paddings, value), shape, this.dtype);
  }
  /** Stretches axes of extent 1 (and adds leading ones) to `shape`. */
  broadcastTo(shape: Shape): Tensor {
    this.#checkUsable("broadcastTo");
    if (!sameShape(broadcastShapes(this.shape, shape, "broadcastTo"), shape)) {
      throw new RangeError(`broadcastTo: ${shapeText(this.shape)} does not stretch to ${shapeText(shape)}`);
    }
    return this.#make(this.engine.broadcastTo(this, shape), shape, this.dtype);
  }
  /** The same values as another type; float to int64 truncates towards zero. */
  cast(dtype: DType): Tensor {
    this.#checkUsable("cast");
    checkSupported(this.engine, dtype, "cast");
    return this.#make(this.engine.cast(this, dtype), this.shape, dtype);
  }
  /** The same numbers, outside every gradient. */
  detach(): Tensor {
    this.#checkUsable("detach");
    return this.#make(this.engine.detach(this), this.shape, this.dtype);
  }
  /** A copy with numbers of its own. */
  clone(): Tensor {
    this.#checkUsable("clone");
    return this.#make(this.engine.clone(this), this.shape, this.dtype);
  }

  // --- Indexing ---

  /** Rows along `axis` by an int64 tensor of rank 1 (any order, repeats allowed). */
  gather(indices: Tensor, axis = 0): Tensor {
    this.#checkWith("gather", indices);
    if (indices.dtype !== "int64" || indices.rank !== 1) {
      throw new TypeError(
        `gather: indices must be int64 of rank 1: received ${indices.dtype} ${shapeText(indices.shape)}`,
      );
    }
    const at = normalizeAxis(axis, this.rank, "gather");
    const shape = this.shape.map((n, i) => i === at ? indices.shape[0] : n);
    return this.#make(this.engine.gather(this, indices, at), shape, this.dtype);
  }
  /** Single numbers along `axis`: indices int64 with this tensor's rank and extents, but for `axis`. */
  takeAlong(indices: Tensor, axis = -1): Tensor {
    this.#checkWith("takeAlong", indices);
    const at = normalizeAxis(axis, this.rank, "takeAlong");
    const fits = indices.rank === this.rank && indices.shape.every((n, i) => i === at || n === this.shape[i]);
    if (indices.dtype !== "int64" || !fits) {
      throw new RangeError(
        `takeAlong: indices ${indices.dtype} ${shapeText(indices.shape)} do not match ${
          shapeText(this.shape)
        } along axis ${axis}`,
      );
    }
    return this.#make(this.engine.takeAlong(this, indices, at), indices.shape, this.dtype);
  }

  // --- Products and layers ---

  /** Product over the last two axes, leading axes broadcast; either operand may be transposed there. */
  matmul(other: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
    this.#check("matmul", "floating", other);
    const a = this.shape, b = other.shape;
    if (a.length < 2 || b.length < 2) {
      throw new RangeError(`matmul: needs two axes on both sides: received ${shapeText(a)} and ${shapeText(b)}`);
    }
    const [m, k] = transposeA ? [a[a.length - 1], a[a.length - 2]] : [a[a.length - 2], a[a.length - 1]];
    const [l, n] = transposeB ? [b[b.length - 1], b[b.length - 2]] : [b[b.length - 2], b[b.length - 1]];
    if (k !== l) {
      throw new RangeError(
        `matmul: inner extents ${k} and ${l} differ: received ${shapeText(a)}${transposeA ? "ᵀ" : ""} and ` +
          `${shapeText(b)}${transposeB ? "ᵀ" : ""}`,
      );
    }
    const shape = [...broadcastShapes(a.slice(0, -2), b.slice(0, -2), "matmul"), m, n];
    return this.#make(this.engine.matmul(this, other, transposeA, transposeB, shape), shape, this.dtype);
  }
  /** `x [.., in] · weight [out, in]ᵀ + bias [out]`. */
  linear(weight: Tensor, bias?: Tensor): Tensor {
    this.#check("linear", "floating", weight, bias);
    const fits = this.rank >= 1 && weight.rank === 2 && weight.shape[1] === this.shape[this.rank - 1] &&
      (!bias || sameShape(bias.shape, [weight.shape[0]]));
    if (!fits) {
      throw new RangeError(
        `linear: x ${shapeText(this.shape)} does not fit weight ${shapeText(weight.shape)}` +
          (bias ? ` and bias ${shapeText(bias.shape)}` : ""),
      );
    }
    return this.#make(
      this.engine.linear(this, weight, bias),
      [...this.shape.slice(0, -1), weight.shape[0]],
      this.dtype,
    );
  }
  /** x [B, H, W, C] with weight [O, C, kH, kW] and bias [O] → [B, H', W', O]. */
  conv2d(weight: Tensor, bias: Tensor | undefined, options: Conv2dOptions): Tensor {
    this.#check("conv2d", "floating", weight, bias);
    const [batch, height, width, channels] = this.shape, [out, inner, kernelH, kernelW] = weight.shape;
    const { stride, padding: [top, bottom, left, right] } = options;
    if (!(Number.isInteger(stride) && stride >= 1) || options.padding.some((n) => !(Number.isInteger(n) && n >= 0))) {
      throw new RangeError(
        `conv2d: stride must be a positive integer and padding four non-negative ones: received ${stride} and ` +
          shapeText(options.padding),
      );
    }
    const outH = Math.floor((height + top + bottom - kernelH) / stride) + 1;
    const outW = Math.floor((width + left + right - kernelW) / stride) + 1;
    const fits = this.rank === 4 && weight.rank === 4 && inner === channels && outH >= 1 && outW >= 1 &&
      (!bias || sameShape(bias.shape, [out]));
    if (!fits) {
      throw new RangeError(
        `conv2d: x ${shapeText(this.shape)} [B, H, W, C] does not fit weight ${
          shapeText(weight.shape)
        } [O, C, kH, kW]` +
          (bias ? ` and bias ${shapeText(bias.shape)}` : ""),
      );
    }
    const shape = [batch, outH, outW, out];
    return this.#make(this.engine.conv2d(this, weight, bias, options, shape), shape, this.dtype);
  }
  /** Each pixel twice in both directions: [B, H, W, C] → [B, 2H, 2W, C]. */
  upsampleNearest2x(): Tensor {
    const [batch, height, width, channels] = this.#image("upsampleNearest2x");
    return this.#make(this.engine.upsampleNearest2x(this), [batch, 2 * height, 2 * width, channels], this.dtype);
  }
  /** Maximum of windows of 2 × 2: [B, H, W, C] → [B, ⌊H/2⌋, ⌊W/2⌋, C]. */
  maxPool2x2(): Tensor {
    const [batch, height, width, channels] = this.#image("maxPool2x2");
    const shape = [batch, Math.floor(height / 2), Math.floor(width / 2), channels];
    return this.#make(this.engine.maxPool2x2(this), shape, this.dtype);
  }
  /** Softmax over the last axis. */
  softmax(): Tensor {
    this.#check("softmax", "floating");
    return this.#make(this.engine.softmax(this), this.shape, this.dtype);
  }
  /** log softmax over the last axis. */
  logSoftmax(): Tensor {
    this.#check("logSoftmax", "floating");
    return this.#make(this.engine.logSoftmax(this), this.shape, this.dtype);
  }
  /** Root-mean-square normalization over the last axis. */
  rmsNorm(weight: Tensor, epsilon: number): Tensor {
    this.#checkNorm("rmsNorm", weight);
    return this.#make(this.engine.rmsNorm(this, weight, epsilon), this.shape, this.dtype);
  }
  /** Layer normalization over the last axis. */
  layerNorm(weight: Tensor, bias: Tensor, epsilon: number): Tensor {
    this.#checkNorm("layerNorm", weight, bias);
    return this.#make(this.engine.layerNorm(this, weight, bias, epsilon), this.shape, this.dtype);
  }
  /** Group normalization of [B, …, C]: C / groups channels of a sample over all positions. */
  groupNorm(groups: number, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
    this.#checkNorm("groupNorm", weight, bias);
    const channels = this.shape[this.rank - 1];
    if (this.rank < 2 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
      throw new RangeError(
        `groupNorm: ${channels} channels of ${shapeText(this.shape)} do not divide into ${groups} groups`,
      );
    }
    return this.#make(this.engine.groupNorm(this, groups, weight, bias, epsilon), this.shape, this.dtype);
  }
  /**
   * This tensor as queries [B, H, Tq, D] over keys and values [B, H, Tk, D] → [B, H, Tq, D].
   *
   * @param options.causal Query i sees keys 0 … i + Tk − Tq.
   * @param options.scale 1 / √D when left out.
   */
  attention(
    keys: Tensor,
    values: Tensor,
    { causal = false, scale }: { causal?: boolean; scale?: number } = {},
  ): Tensor {
    this.#check("attention", "floating", keys, values);
    const [batch, heads, queries, width] = this.shape;
    const fits = this.rank === 4 && sameShape(keys.shape, values.shape) && keys.rank === 4 &&
      keys.shape[0] === batch && keys.shape[1] === heads && keys.shape[3] === width &&
      (!causal || keys.shape[2] >= queries);
    if (!fits) {
      throw new RangeError(
        `attention: queries ${shapeText(this.shape)}, keys ${shapeText(keys.shape)} and values ` +
          `${shapeText(values.shape)} do not fit`,
      );
    }
    return this.#make(
      this.engine.attention(this, keys, values, causal, scale ?? 1 / Math.sqrt(width)),
      this.shape,
      this.dtype,
    );
  }

  // --- In place ---

  /** Overwrites this tensor's numbers with those of `value`. Outside gradients only. */
  assign(value: Tensor): void {
    this.#check("assign", "any", value);
    if (!sameShape(this.shape, value.shape)) {
      throw new RangeError(`assign: shapes ${shapeText(this.shape)} and ${shapeText(value.shape)} differ`);
    }
    this.engine.assign(this, value);
  }
  /** Overwrites the block that begins at `start` along `axis` with `value`. Outside gradients only. */
  assignSlice(value: Tensor, axis: number, start: number): void {
    this.#check("assignSlice", "any", value);
    const at = normalizeAxis(axis, this.rank, "assignSlice");
    const fits = value.rank === this.rank &&
      value.shape.every((n, i) => i === at ? start >= 0 && start + n <= this.shape[i] : n === this.shape[i]);
    if (!fits) {
      throw new RangeError(
        `assignSlice: ${shapeText(value.shape)} at ${start} of axis ${axis} does not lie within ${
          shapeText(this.shape)
        }`,
      );
    }
    this.engine.assignSlice(this, value, at, start);
  }

  // --- Checks and helpers ---

  #make(handle: Handle, shape: Shape, dtype: DType): Tensor {
    return new Tensor(this.engine, handle, shape, dtype);
  }
  #unary(operator: UnaryOperator): Tensor {
    const takesIntegers = operator === "neg" || operator === "abs" || operator === "sign" || operator === "square";
    this.#check(operator, takesIntegers ? "numbers" : "floating");
    return this.#make(this.engine.unary(operator, this), this.shape, this.dtype);
  }
  #binary(operator: BinaryOperator, other: Tensor | number, narrower?: DType): Tensor {
    const shape = this.#checkOperand(operator, other, narrower);
    this.#checkKind(operator, operator === "div" || operator === "pow" ? "floating" : "numbers");
    return this.#make(this.engine.binary(operator, this, other, shape), shape, this.dtype);
  }
  #compare(operator: CompareOperator, other: Tensor | number): Tensor {
    const shape = this.#checkOperand(operator, other);
    return this.#make(this.engine.compare(operator, this, other, shape), shape, "bool");
  }
  #logical(operator: LogicalOperator, other: Tensor): Tensor {
    const shape = this.#checkOperand(operator, other);
    this.#checkKind(operator, "bool");
    return this.#make(this.engine.logical(operator, this, other, shape), shape, "bool");
  }
  #reduce(operator: ReduceOperator, axes: number | readonly number[] | undefined, keepDims: boolean): Tensor {
    const takesIntegers = operator === "max" || operator === "min";
    this.#check(operator, operator === "sum" ? "any" : takesIntegers ? "numbers" : "floating");
    const list = axes === undefined ? this.shape.map((_, i) => i) : typeof axes === "number" ? [axes] : axes;
    const over = [...new Set(list.map((axis) => normalizeAxis(axis, this.rank, operator)))].sort((a, b) => a - b);
    const shape = keepDims
      ? this.shape.map((n, i) => over.includes(i) ? 1 : n)
      : this.shape.filter((_, i) => !over.includes(i));
    if ((operator === "max" || operator === "min") && over.some((axis) => this.shape[axis] === 0)) {
      throw new RangeError(`${operator}: there are no numbers along an axis of ${shapeText(this.shape)}`);
    }
    const dtype = operator === "sum" && this.dtype === "bool" ? "int64" : this.dtype;
    return this.#make(this.engine.reduce(operator, this, over, keepDims), shape, dtype);
  }
  /** That this and the others can be used together, have one type, and this of the kind that the operator takes. */
  #check(operator: string, kind: Kind, ...others: (Tensor | undefined)[]): void {
    this.#checkWith(operator, ...others);
    for (const other of others) {
      if (other && other.dtype !== this.dtype) {
        throw new TypeError(`${operator}: types ${this.dtype} and ${other.dtype} differ: cast one of them`);
      }
    }
    this.#checkKind(operator, kind);
  }
  #checkUsable(operator: string): void {
    if (this.engine.closed) {
      throw new Error(`${operator}: the ${this.engine.name} engine of this tensor has been closed`);
    }
    void this.handle;
  }
  #checkWith(operator: string, ...others: (Tensor | undefined)[]): void {
    this.#checkUsable(operator);
    for (const other of others) {
      if (other === undefined) continue;
      if (other.engine !== this.engine) {
        throw new TypeError(
          `${operator}: operands live on different engines (${this.engine.description}; ${other.engine.description}): ` +
            `read the one and make a tensor of its numbers on the other`,
        );
      }
      void other.handle;
    }
  }
  /** @param narrower A type that the other may have where this is float32. */
  #checkOperand(operator: string, other: Tensor | number, narrower?: DType): Shape {
    if (typeof other === "number") {
      this.#checkUsable(operator);
      if (!isFloating(this.dtype) && !Number.isInteger(other)) {
        throw new TypeError(`${operator}: ${other} is no ${this.dtype}: cast the tensor to a floating type first`);
      }
      return this.shape;
    }
    if (this.dtype === "float32" && other.dtype === narrower) this.#checkWith(operator, other);
    else this.#check(operator, "any", other);
    return sameShape(this.shape, other.shape) ? this.shape : broadcastShapes(this.shape, other.shape, operator);
  }
  #checkKind(operator: string, kind: Kind): void {
    if (kind === "floating" ? !isFloating(this.dtype) : kind === "bool" && this.dtype !== "bool") {
      throw new TypeError(`${operator}: needs ${kind === "bool" ? "bool" : "a floating type"}: received ${this.dtype}`);
    }
    if (kind === "numbers" && this.dtype === "bool") {
      throw new TypeError(`${operator}: needs numbers: received bool: cast it first`);
    }
  }
  #checkNorm(operator: string, weight: Tensor, bias?: Tensor): void {
    this.#check(operator, "floating", weight, bias);
    const channels = [this.shape[this.rank - 1]];
    if (!sameShape(weight.shape, channels) || (bias && !sameShape(bias.shape, channels))) {
      throw new RangeError(`${operator}: weight ${shapeText(weight.shape)} does not fit x ${shapeText(this.shape)}`);
    }
  }
  #image(operator: string): Shape {
    this.#checkUsable(operator);
    if (this.rank !== 4) {
      throw new RangeError(`${operator}: needs an image [B, H, W, C]: received ${shapeText(this.shape)}`);
    }
    return this.shape;
  }
}

/**
 * @throws {TypeError} When the engine has no such type: names it and the way out.
 */
export function checkSupported(engine: Engine, dtype: DType, operator: string): void {
  if (!engine.supports(dtype)) {
    throw new TypeError(
      `${operator}: ${dtype} does not exist on the ${engine.name} engine (${engine.backend}): use float32, or an engine ` +
        `that has it (deno task doctor)`,
    );
  }
}

/**
 * A tensor of numbers from the host.
 *
 * @param data Row-major numbers; as many as the shape holds.
 * @param dtype float32 when left out (int64 for Int32Array and BigInt64Array).
 * @throws {RangeError} When the count does not match the shape.
 */
export function tensor(engine: Engine, data: HostData, shape?: Shape, dtype?: DType): Tensor {
  checkOpen(engine, "tensor");
  const form = shape ?? [data.length];
  const type = dtype ?? (data instanceof Int32Array || data instanceof BigInt64Array ? "int64" : "float32");
  checkSupported(engine, type, "tensor");
  if (data.length !== sizeOf(form)) {
    throw new RangeError(`tensor: ${data.length} numbers do not fill shape ${shapeText(form)}`);
  }
  return new Tensor(engine, engine.fromHost(data, form, type), form, type);
}

/** A tensor of one number. */
export function scalar(engine: Engine, value: number, dtype: DType = "float32"): Tensor {
  return full(engine, [], value, dtype);
}

/** A tensor filled with one value. */
export function full(engine: Engine, shape: Shape, value: number, dtype: DType = "float32"): Tensor {
  checkOpen(engine, "full");
  checkSupported(engine, dtype, "full");
  return new Tensor(engine, engine.full(value, shape, dtype), shape, dtype);
}

/** A tensor of zeros of a shape. */
export function zeros(engine: Engine, shape: Shape, dtype: DType = "float32"): Tensor {
  return full(engine, shape, 0, dtype);
}

/** A tensor of ones. */
export function ones(engine: Engine, shape: Shape, dtype: DType = "float32"): Tensor {
  return full(engine, shape, 1, dtype);
}

/** Tensors one after the other along an existing axis. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const first = checkList("concat", tensors);
  const at = normalizeAxis(axis, first.rank, "concat");
  for (const other of tensors) {
    if (other.rank !== first.rank || other.shape.some((n, i) => i !== at && n !== first.shape[i])) {
      throw new RangeError(
        `concat: shapes ${shapeText(first.shape)} and ${shapeText(other.shape)} differ outside axis ${axis}`,
      );
    }
  }
  if (tensors.length === 1) return first.reshape(first.shape);
  const total = tensors.reduce((sum, each) => sum + each.shape[at], 0);
  const shape = first.shape.map((n, i) => i === at ? total : n);
  return new Tensor(first.engine, first.engine.concat(tensors, at), shape, first.dtype);
}

/** Tensors of one shape along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const first = checkList("stack", tensors);
  const at = normalizeAxis(axis, first.rank + 1, "stack");
  const widened = (shape: Shape) => [...shape.slice(0, at), 1, ...shape.slice(at)];
  return concat(tensors.map((each) => each.reshape(widened(each.shape))), at);
}

/** Σ x² over all numbers of some tensors of one floating type: a scalar. */
export function squaredNorm(tensors: readonly Tensor[]): Tensor {
  const first = checkList("squaredNorm", tensors);
  if (!isFloating(first.dtype)) throw new TypeError(`squaredNorm: needs floating numbers: received ${first.dtype}`);
  return new Tensor(first.engine, first.engine.squaredNorm(tensors), [], first.dtype);
}

/**
 * Adds to each target the value in its place, in place.
 *
 * @param targets None shares memory with another.
 * @throws {RangeError} When lists or shapes do not match.
 */
export function addAll(targets: readonly Tensor[], values: readonly Tensor[]): void {
  const first = checkList("addAll", [...targets, ...values]);
  const wrong = targets.findIndex((target, i) => !values[i] || !sameShape(values[i].shape, target.shape));
  if (wrong >= 0 || targets.length !== values.length) {
    throw new RangeError(
      `addAll: ${targets.length} targets and ${values.length} values do not match` +
        (wrong >= 0 && values[wrong]
          ? `: shapes ${wrong} are ${shapeText(targets[wrong].shape)} and ${shapeText(values[wrong].shape)}`
          : ""),
    );
  }
  first.engine.addAll(targets, values);
}

/**
 * One AdamW update in place; lists are parallel, all float32 (PyTorch's `torch.optim.AdamW`). With a scale other than 1, what is
 * left of the gradients is undefined.
 */
export function adamW(
  parameters: Tensor[],
  gradients: Tensor[],
  firstMoments: Tensor[],
  secondMoments: Tensor[],
  options: AdamWOptions,
): void {
  const first = checkList("adamW", parameters);
  parameters.forEach((parameter, i) => {
    for (const other of [parameter, gradients[i], firstMoments[i], secondMoments[i]]) {
      if (!other || !sameShape(other.shape, parameter.shape) || other.dtype !== "float32") {
        throw new RangeError(
          `adamW: parameter ${i} of shape ${
            shapeText(parameter.shape)
          } must be float32, and so must its gradient and two moments of that shape`,
        );
      }
      if (other.engine !== first.engine) throw new TypeError("adamW: operands live on different engines");
      void other.handle;
    }
  });
  first.engine.adamW(parameters, gradients, firstMoments, secondMoments, options);
}

function checkOpen(engine: Engine, operator: string): void {
  if (engine.closed) throw new Error(`${operator}: the ${engine.name} engine has been closed`);
}

function checkList(operator: string, tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) throw new RangeError(`${operator}: needs at least one tensor: received none`);
  const [first] = tensors;
  for (const each of tensors) {
    if (each.engine !== first.engine) throw new TypeError(`${operator}: operands live on different engines`);
    if (each.dtype !== first.dtype) {
      throw new TypeError(`${operator}: types ${first.dtype} and ${each.dtype} differ: cast one of them`);
    }
    void each.handle;
  }
  if (first.engine.closed) throw new Error(`${operator}: the ${first.engine.name} engine has been closed`);
  return first;
}
