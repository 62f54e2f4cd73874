/**
 * What the operators of one torch engine share: the library, the device, the books, and the few calls that do not go
 * through the dispatcher.
 *
 * Those few are sums and differences of tensors (the dispatcher refuses an argument of theirs), filled tensors, numbers as
 * tensors of rank 0, and empty tensors.
 */
import { BYTES_PER_ELEMENT, type DType, type Shape, sizeOf } from "../dtype.ts";
import type { Operand } from "../engine.ts";
import type { Device } from "./cuda.ts";
import { Call, operator, permanent, TORCH_DTYPE } from "./dispatcher.ts";
import { type Borrowed, Ledger, type Owned, type PendingView, type TorchHandle } from "./memory.ts";
import { denseStrides, isOrdered } from "./strides.ts";
import { TensorList } from "./tensor_list.ts";
import type { Library } from "./symbols.ts";

const MUL = operator("aten::mul", "Tensor");
const PERMUTE = operator("aten::permute");
const CAT = operator("aten::cat");

/** Results from this many bytes on are first asked for where a lack of memory is an error and not the process's end. */
const TRIAL_BYTES = 1 << 20;
/** Numbers that are kept as tensors. */
const KEPT_NUMBERS = 256;
/** Masks of attention that are kept: a layer's are the next one's. */
const KEPT_MASKS = 16;

export const CPU = 0;
/** Kinds of device, as LibTorch numbers them. */
const DEVICE_TYPE: Readonly<Record<Device["type"], number>> = { cpu: CPU, cuda: 1, privateuse1: 20 };

/** The tensor's own reference, to look at. */
export function handleOf(x: Operand): TorchHandle {
  return x.handle as TorchHandle;
}
export function addressOf(x: Operand): Borrowed {
  return (x.handle as TorchHandle).address as unknown as Borrowed;
}
/** An owned reference, to look at. */
export function lend(x: Owned): Borrowed {
  return x as unknown as Borrowed;
}

export class Context {
  readonly library: Library;
  readonly device: Device;
  readonly deviceType: number;
  readonly ledger = new Ledger();
  /** How many `gradients` calls are running, and how many of them with `createGraph`. */
  recording = 0;
  recordingTwice = 0;
  closed = false;
  /** Lists that are written for one call: a call's operands, in order. */
  readonly lists = Array.from({ length: 6 }, () => new TensorList());
  readonly #torch: Library["torch"];
  readonly #call: Call;
  // Results and small arguments: eight 64-bit words and their address.
  readonly #words = new ArrayBuffer(256);
  readonly #big = new BigUint64Array(this.#words);
  readonly #int = new Int32Array(this.#words);
  readonly #unsigned = new Uint32Array(this.#words);
  readonly #out: bigint;
  readonly #sizes: bigint;
  readonly #dtype: bigint;
  readonly #deviceAddress: bigint;
  readonly #one: bigint;
  readonly #numbers = new Map<string, Owned>();
  readonly #masks = new Map<string, Owned>();
  #nothing: Owned | undefined;

  constructor(library: Library, device: Device) {
    this.library = library;
    this.#torch = library.torch;
    this.device = device;
    this.deviceType = DEVICE_TYPE[device.type];
    this.#call = new Call(library);
    const base = permanent(new Uint8Array(this.#words));
    // Words: 0 result, 1 type, 2 device; from 3 on sizes and, 12 words later, strides.
    this.#out = base;
    this.#dtype = base + 8n;
    this.#deviceAddress = base + 16n;
    this.#sizes = base + 24n;
    this.#int[4] = this.deviceType;
    // c10::Scalar holding the integer 1: 32 bytes, its kind (1: integer) at 0 and its value at 16.
    const one = new BigInt64Array(new ArrayBuffer(64));
    one[0] = 1n;
    one[2] = 1n;
    this.#one = permanent(new Uint8Array(one.buffer));
  }

  /** Itself, for calls that do not come through a tensor, which has checked this already. */
  open(what: string): this {
    if (this.closed) throw new Error(`${what}: the torch engine on ${this.device.text} has been closed`);
    return this;
  }

  /** Starts a call. */
  get call(): Call {
    return this.#call.begin();
  }

  /** A result with memory of its own, on the books. */
  own(result: Owned): TorchHandle {
    this.#torch.aoti_torch_get_storage_size(result, this.#out);
    return this.ledger.own(result, this.#unsigned[0] + this.#int[1] * 2 ** 32);
  }
  /** A result of known shape and type with dense memory of its own: the storage need not be asked for its size. */
  ownDense(result: Owned, shape: Shape, dtype: DType, strides?: readonly number[]): TorchHandle {
    return this.ledger.own(result, sizeOf(shape) * BYTES_PER_ELEMENT[dtype], strides);
  }
  /** A result that shares the operand's memory; with its strides where they are known. */
  view(result: Owned, of: Operand, strides?: readonly number[]): TorchHandle {
    return this.ledger.view(result, of.handle as TorchHandle, strides);
  }
  /** A result that may share the operand's memory: looks. */
  ownOrView(result: Owned, of: Operand): TorchHandle {
    const [low, high] = this.#dataWords(lend(result));
    const [baseLow, baseHigh] = this.#dataWords(addressOf(of));
    const shared = low === baseLow && high === baseHigh && (low !== 0 || high !== 0);
    return shared ? this.view(result, of) : this.own(result);
  }
  /** Whether views may be made by `viewed`: autograd would not know of them. */
  get viewsFreely(): boolean {
    return this.recording === 0;
  }
  /** The operand's numbers at other sizes and strides, `start` elements on. Made when its reference is asked for. */
  viewed(x: Operand, shape: Shape, strides: readonly number[], start = 0): TorchHandle {
    this.#checkRank(shape);
    const handle = handleOf(x), { pending } = handle;
    // A view of a pending view looks at the same numbers as that.
    const view = pending
      ? { ...pending, shape, start: pending.start + start }
      : { of: handle, shape, start, make: this.#makeView };
    view.of.holds++;
    return this.ledger.view(view, handle, strides);
  }
  readonly #makeView = ({ of, shape, start }: PendingView, strides: readonly number[]): Owned => {
    const made = this.viewedOf(lend(of.address), shape, strides, start);
    this.letGo(of);
    return made;
  };
  /** {@linkcode viewed}, off the books. */
  madeView(x: Operand, shape: Shape, strides: readonly number[], start = 0): Owned {
    const handle = handleOf(x), { pending } = handle;
    if (pending) return this.viewedOf(lend(pending.of.address), shape, strides, pending.start + start);
    return this.viewedOf(lend(handle.address), shape, strides, start);
  }
  /** Ends a hold on a handle. */
  letGo(handle: TorchHandle): void {
    handle.holds--;
    if (handle.place < 0) this.#drop(handle);
  }
  /** Frees the reference of a released handle, where nobody holds it. */
  #drop(handle: TorchHandle): void {
    if (handle.holds > 0) return;
    if (handle.pending) this.letGo(handle.pending.of);
    else this.free(handle.address);
  }
  /** A view of a reference. */
  viewedOf(x: Borrowed, shape: Shape, strides: readonly number[], start = 0): Owned {
    this.#checkRank(shape);
    for (let i = 0; i < shape.length; i++) {
      this.#setWord(3 + i, shape[i]);
      this.#setWord(15 + i, strides[i]);
    }
    const status = this.#torch.aoti_torch__reinterpret_tensor(
      x,
      BigInt(shape.length),
      this.#sizes,
      this.#sizes + 96n,
      BigInt(start),
      this.#out,
    );
    this.#call.check(status, `view as [${shape.join(", ")}]`);
    return this.#big[0] as Owned;
  }
  /** Strides of an operand; LibTorch is asked once. */
  stridesOf(x: Operand): readonly number[] {
    const handle = handleOf(x);
    return handle.strides ??= this.isContiguous(lend(handle.address)) ? denseStrides(x.shape) : this.#askStrides(x);
  }
  #askStrides(x: Operand): number[] {
    return x.shape.map((_, axis) => {
      this.#call.check(this.#torch.aoti_torch_get_stride(addressOf(x), BigInt(axis), this.#out), "get_stride");
      return this.#unsigned[0] + this.#int[1] * 2 ** 32;
    });
  }
  /**
   * Strides of a result of an operand's shape with memory of its own, where the operand's are known: LibTorch keeps the order of
   * axes in memory, which here is row-major, and leaves no gaps.
   */
  stridesLike(x: Operand): readonly number[] | undefined {
    const { strides } = handleOf(x);
    return strides !== undefined && isOrdered(x.shape, strides) ? denseStrides(x.shape) : undefined;
  }

  // Views that autograd records, by direct calls: shapes and strides have been checked, and a view needs no memory.

  /** {@linkcode viewed} of as many numbers, whose strides say that they can be seen in this shape. */
  recordedReshape(x: Borrowed, shape: Shape): Owned {
    this.#setSizes(shape);
    const slot = this.undefinedTensor();
    this.#torch._ZN2at4_ops4view4callERKNS_6TensorEN3c108ArrayRefINS5_6SymIntEEE(
      slot,
      x,
      this.#sizes,
      BigInt(shape.length),
    );
    return slot;
  }
  /** Axes in another order. */
  recordedPermute(x: Borrowed, order: readonly number[]): Owned {
    const permute = this.#torch._ZN2at4_ops7permute4callERKNS_6TensorEN3c108ArrayRefIlEE;
    if (!permute) return this.call.borrow(x).ints(order).run(PERMUTE);
    this.#setSizes(order);
    const slot = this.undefinedTensor();
    permute(slot, x, this.#sizes, BigInt(order.length));
    return slot;
  }
  /** Axes of extent 1, and missing leading ones, stretched. */
  recordedExpand(x: Borrowed, shape: Shape): Owned {
    this.#setSizes(shape);
    const slot = this.undefinedTensor(), length = BigInt(shape.length);
    this.#torch._ZN2at4_ops6expand4callERKNS_6TensorEN3c108ArrayRefINS5_6SymIntEEEb(
      slot,
      x,
      this.#sizes,
      length,
      false,
    );
    return slot;
  }
  /** A block along one axis. */
  recordedNarrow(x: Borrowed, axis: number, start: number, length: number): Owned {
    const status = this.#torch.aoti_torch_aten_narrow(x, BigInt(axis), BigInt(start), BigInt(length), this.#out);
    this.#call.check(status, "narrow");
    return this.#big[0] as Owned;
  }
  /** All numbers of some tensors, one after the other; a view of a single one. */
  flattened(xs: readonly Operand[]): Owned {
    const size = xs.reduce((sum, x) => sum + x.size, 0), { address, length } = this.lists[0].write(xs.map(handleOf));
    if (xs.length > 1) this.#tryToAllocate([size], xs[0].dtype);
    const slot = this.undefinedTensor();
    this.#torch._ZN2at4_ops21flatten_dense_tensors4callEN3c108ArrayRefINS_6TensorEEE(slot, address, length);
    return slot;
  }

  /** Another reference to the same tensor. */
  another(x: Borrowed): Owned {
    this.#call.check(this.#torch.aoti_torch_new_tensor_handle(x, this.#out), "new_tensor_handle");
    return this.#big[0] as Owned;
  }
  /** Frees a reference. */
  free(x: Owned): void {
    this.#torch.aoti_torch_delete_tensor_object(x);
  }
  /** Address of the numbers; 0 where there are none. */
  data(x: Borrowed): bigint {
    this.#call.check(this.#torch.aoti_torch_get_data_ptr(x, this.#out), "get_data_ptr");
    return this.#big[0];
  }
  /** Whether there is no memory behind a tensor: it is empty, or LibTorch knows that it is all zeros. */
  isWithoutMemory(x: Borrowed): boolean {
    const [low, high] = this.#dataWords(x);
    return low === 0 && high === 0;
  }
  isContiguous(x: Borrowed): boolean {
    this.#call.check(this.#torch.aoti_torch_is_contiguous(x, this.#out), "is_contiguous");
    return (this.#int[0] & 0xff) !== 0;
  }
  /** A reference to no tensor. */
  undefinedTensor(): Owned {
    this.#call.check(this.#torch.aoti_torch_new_uninitialized_tensor(this.#out), "new_uninitialized_tensor");
    return this.#big[0] as Owned;
  }

  /** A reference to no tensor, kept. */
  get nothing(): Owned {
    return this.#nothing ??= this.undefinedTensor();
  }

  /** A contiguous tensor whose numbers are not set. */
  empty(shape: Shape, dtype: DType, deviceType = this.deviceType): Owned {
    this.#checkRank(shape);
    const strides = denseStrides(shape);
    for (let i = 0; i < shape.length; i++) {
      this.#setWord(3 + i, shape[i]);
      this.#setWord(15 + i, strides[i]);
    }
    const index = deviceType === CPU ? 0 : this.device.index;
    const status = this.#torch.aoti_torch_empty_strided(
      BigInt(shape.length),
      this.#sizes,
      this.#sizes + 96n,
      TORCH_DTYPE[dtype],
      deviceType,
      index,
      this.#out,
    );
    this.#call.check(status, `empty ${dtype} [${shape.join(", ")}] on ${this.device.text}`);
    return this.#big[0] as Owned;
  }
  /** A tensor filled with a number. */
  full(value: number, shape: Shape, dtype: DType, deviceType = this.deviceType): Owned {
    this.#checkRank(shape);
    this.#setSizes(shape);
    this.#int[2] = TORCH_DTYPE[dtype];
    this.#int[4] = deviceType;
    const status = this.#torch.aoti_torch_aten_full(
      this.#sizes,
      BigInt(shape.length),
      value,
      this.#dtype,
      0n,
      this.#deviceAddress,
      deviceType === CPU ? 0 : this.device.index,
      0n,
      this.#out,
    );
    this.#call.check(status, `full ${dtype} [${shape.join(", ")}] on ${this.device.text}`);
    return this.#big[0] as Owned;
  }
  /**
   * A number as a tensor of rank 0, kept for the next time. On the host it takes part in arithmetic on any device; elsewhere
   * it must lie on the device.
   */
  number(value: number, dtype: DType, onHost: boolean): Borrowed {
    const deviceType = onHost ? CPU : this.deviceType;
    const key = `${dtype}${deviceType}${Object.is(value, -0) ? "-0" : value}`;
    return this.#kept(this.#numbers, KEPT_NUMBERS, key, () => this.full(value, [], dtype, deviceType));
  }
  /** A mask of attention that `make` makes, kept for the next layer. */
  mask(queries: number, keys: number, make: () => Owned): Borrowed {
    return this.#kept(this.#masks, KEPT_MASKS, `${queries} ${keys}`, make);
  }

  /** a + b or a − b by the direct call. Shapes and types have been checked, so that only a lack of memory can go wrong. */
  sum(a: Borrowed, b: Borrowed, minus: boolean, outShape: Shape, dtype: DType): Owned {
    const floating = dtype !== "int64" && dtype !== "bool";
    if (floating && (minus || this.recording === 0)) {
      // The same sum by a call that catches errors: a − αb. Its backward would cost two operators more where α is −1.
      const status = this.#torch.aoti_torch_aten_subtract_Tensor(a, b, minus ? 1 : -1, this.#out);
      this.#call.check(status, `${minus ? "sub" : "add"} to [${outShape.join(", ")}]`);
      return this.#big[0] as Owned;
    }
    if (sizeOf(outShape) * BYTES_PER_ELEMENT[dtype] >= TRIAL_BYTES) this.#tryToAllocate(outShape, dtype);
    const slot = this.undefinedTensor();
    if (minus) {
      this.#torch._ZN2at4_ops10sub_Tensor4callERKNS_6TensorES4_RKN3c106ScalarE(slot, a, b, this.#one);
    } else {
      this.#torch._ZN2at4_ops10add_Tensor4callERKNS_6TensorES4_RKN3c106ScalarE(slot, a, b, this.#one);
    }
    return slot;
  }

  /** Some tensors one after the other along an axis. */
  joined(xs: readonly Operand[], axis: number, shape: Shape): Owned {
    const concat = this.#torch._ZN2at4_ops6concat4callEN3c108ArrayRefINS_6TensorEEEl;
    if (!concat) return this.call.tensors(xs).int(axis).run(CAT);
    const { address, length } = this.lists[0].write(xs.map(handleOf));
    if (sizeOf(shape) * BYTES_PER_ELEMENT[xs[0].dtype] >= TRIAL_BYTES) this.#tryToAllocate(shape, xs[0].dtype);
    const slot = this.undefinedTensor();
    concat(slot, address, length, BigInt(axis));
    return slot;
  }

  /** Adds to each of some tensors the one that stands in its place, in place. */
  addAll(targets: readonly Operand[], values: readonly Operand[]): void {
    const [to, from] = this.lists;
    to.write(targets.map(handleOf));
    from.write(values.map(handleOf));
    this.#torch._ZN2at4_ops18_foreach_add__List4callEN3c108ArrayRefINS_6TensorEEES5_RKNS2_6ScalarE(
      ...[to.address, to.length, from.address, from.length, this.#one] as const,
    );
  }

  /** a · b by the direct call where the result is small, so that a lack of memory cannot meet it. */
  product(a: Operand, b: Borrowed, outShape: Shape): Owned {
    if (sizeOf(outShape) * BYTES_PER_ELEMENT[a.dtype] >= TRIAL_BYTES) return this.call.tensor(a).borrow(b).run(MUL);
    const slot = this.undefinedTensor();
    this.#torch._ZN2at4_ops10mul_Tensor4callERKNS_6TensorES4_(slot, addressOf(a), b);
    return slot;
  }

  /** Waits for the device. On a CPU nothing is ever under way; how an added device is waited for is not known. */
  synchronize(): void {
    if (this.device.type !== "cuda") return;
    const cuda = this.library.cuda();
    this.#call.check(cuda.aoti_torch_get_current_cuda_stream(this.device.index, this.#out), "get_current_cuda_stream");
    this.#call.check(cuda.torch_cuda_stream_synchronize(this.#big[0], this.device.index), "cuda_stream_synchronize");
  }

  /** Gives a handle back. */
  release(handle: TorchHandle): void {
    if (!this.closed && this.ledger.remove(handle)) this.#drop(handle);
  }
  /** Frees everything, what the context itself keeps too. A second call does nothing. */
  close(): void {
    for (const handle of this.ledger.all()) this.release(handle);
    this.closed = true;
    this.#forget(this.#numbers);
    this.#forget(this.#masks);
    if (this.#nothing !== undefined) this.free(this.#nothing);
    this.#nothing = undefined;
  }

  /** Where there are too many, all are forgotten. */
  #kept(known: Map<string, Owned>, most: number, key: string, make: () => Owned): Borrowed {
    let kept = known.get(key);
    if (kept === undefined) {
      if (known.size >= most) this.#forget(known);
      known.set(key, kept = make());
    }
    return lend(kept);
  }
  #forget(known: Map<string, Owned>): void {
    for (const kept of known.values()) this.free(kept);
    known.clear();
  }
  /** Makes and frees a tensor as large as the result: a lack of memory is an error here, and the allocator keeps the block. */
  #tryToAllocate(shape: Shape, dtype: DType): void {
    this.free(this.empty(shape, dtype));
  }
  #checkRank(shape: Shape): void {
    if (shape.length > 12) {
      throw new RangeError(`tensors have at most 12 axes on the torch engine: received ${shape.length}`);
    }
  }
  #setSizes(sizes: readonly number[]): void {
    for (let i = 0; i < sizes.length; i++) this.#setWord(3 + i, sizes[i]);
  }
  #setWord(word: number, value: number): void {
    this.#int[2 * word] = value;
    this.#int[2 * word + 1] = Math.floor(value / 2 ** 32);
  }
  #dataWords(x: Borrowed): [number, number] {
    this.#call.check(this.#torch.aoti_torch_get_data_ptr(x, this.#out), "get_data_ptr");
    return [this.#unsigned[0], this.#unsigned[1]];
  }
}
