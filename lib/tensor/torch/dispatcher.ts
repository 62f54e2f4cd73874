/**
 * Calls of LibTorch's operators by name.
 *
 * A call consumes its arguments: whoever passes a tensor on must pass a reference of its own. `Call` makes the new references
 * itself: `borrow(x)` of a `Borrowed`, while `give(x)` passes an `Owned` on (`memory.ts`).
 *
 * A call is written as it is read, arguments in the schema's order, defaults too:
 *
 *     call.borrow(x).ints(axes).bool(keepDims).none().run(SUM)
 *
 * Errors name the operator, the operands and LibTorch's own words. No exception of C++ passes through here.
 */
import { type DType, shapeText } from "../dtype.ts";
import type { Operand } from "../engine.ts";
import { ABI_2_10, type Library } from "./symbols.ts";
import type { Borrowed, Owned, TorchHandle } from "./memory.ts";

/** Element types as LibTorch numbers them. */
export const TORCH_DTYPE: Readonly<Record<DType, number>> = {
  float32: 6,
  float64: 7,
  bfloat16: 15,
  int64: 4,
  bool: 11,
};

/** An operator's name and overload, kept where LibTorch can read them. */
export interface OperatorName {
  readonly text: string;
  readonly name: bigint;
  readonly overload: bigint;
}

const keptBytes: Uint8Array[] = [];

/** Address of bytes that stay where they are for the life of the process. */
export function permanent(bytes: Uint8Array<ArrayBuffer>): bigint {
  keptBytes.push(bytes);
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

function permanentText(text: string): bigint {
  const encoded = new TextEncoder().encode(text + "\0");
  // A buffer of its own: small typed arrays may lie where the garbage collector moves them.
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(64, encoded.length)));
  bytes.set(encoded);
  return permanent(bytes);
}

/** An operator of LibTorch, `aten::sum` with overload `dim_IntList`. */
export function operator(name: string, overload = ""): OperatorName {
  return {
    text: overload === "" ? name : `${name}.${overload}`,
    name: permanentText(name),
    overload: permanentText(overload),
  };
}

const SLOTS = 40;

/** Builds argument lists and runs operators. One a library; not reentrant between the first argument and `run`. */
export class Call {
  readonly #library: Library;
  readonly #torch: Library["torch"];
  // The stack of 64-bit slots, seen as each kind of number, and the address of each slot.
  readonly #words = new ArrayBuffer(8 * SLOTS);
  readonly #big = new BigUint64Array(this.#words);
  readonly #int = new Int32Array(this.#words);
  readonly #float = new Float64Array(this.#words);
  readonly #address: bigint[];
  #used = 0;
  // Lists under construction and single results.
  readonly #scratch = new BigUint64Array(new ArrayBuffer(64));
  readonly #scratchAddress: bigint;
  readonly #operands: Operand[] = [];
  #operandCount = 0;
  readonly #texts = new Map<string, { address: bigint; length: bigint }>();

  constructor(library: Library) {
    this.#library = library;
    this.#torch = library.torch;
    const base = permanent(new Uint8Array(this.#words));
    this.#address = Array.from({ length: SLOTS }, (_, i) => base + BigInt(8 * i));
    this.#scratchAddress = permanent(new Uint8Array(this.#scratch.buffer));
  }

  /** Starts an argument list; what an error left behind of an earlier one is forgotten. */
  begin(): this {
    this.#used = 0;
    this.#operandCount = 0;
    return this;
  }
  /** A tensor of ours: LibTorch gets a reference of its own. */
  tensor(x: Operand): this {
    this.#operands[this.#operandCount++] = x;
    return this.borrow((x.handle as TorchHandle).address as unknown as Borrowed);
  }
  /** A tensor of someone else's: LibTorch gets a reference of its own. */
  borrow(x: Borrowed): this {
    this.#check(this.#torch.aoti_torch_new_tensor_handle(x, this.#address[this.#used++]), "new_tensor_handle");
    return this;
  }
  /** A reference that is passed on. */
  give(x: Owned): this {
    this.#big[this.#used++] = x;
    return this;
  }
  /** An integer, a type number, a layout number. */
  int(value: number): this {
    const at = 2 * this.#used++;
    this.#int[at] = value;
    this.#int[at + 1] = value === (value | 0) ? value >> 31 : Math.floor(value / 2 ** 32);
    return this;
  }
  /** A floating number. */
  float(value: number): this {
    this.#float[this.#used++] = value;
    return this;
  }
  /** A truth value. */
  bool(value: boolean): this {
    return this.int(value ? 1 : 0);
  }
  /** An optional that is left out. */
  none(): this {
    this.#big[this.#used++] = 0n;
    return this;
  }
  /** Several optionals that are left out. */
  nones(count: number): this {
    for (let i = 0; i < count; i++) this.none();
    return this;
  }
  /** A list of integers. */
  ints(values: readonly number[]): this {
    const list = this.#newList(values.length);
    for (const value of values) {
      this.#torch.torch_list_push_back(
        list,
        value >= 0 && value < 64 ? SMALL[value] : BigInt.asUintN(64, BigInt(value)),
      );
    }
    this.#big[this.#used++] = list;
    return this;
  }
  /** A list of tensors of someone else's. */
  borrowAll(values: readonly Borrowed[]): this {
    const list = this.#newList(values.length);
    for (const value of values) {
      this.#check(this.#torch.aoti_torch_new_tensor_handle(value, this.#scratchAddress), "new_tensor_handle");
      this.#torch.torch_list_push_back(list, this.#scratch[0]);
    }
    this.#big[this.#used++] = list;
    return this;
  }
  /** A list of tensors of ours. */
  tensors(values: readonly Operand[]): this {
    for (const value of values.slice(0, 8)) this.#operands[this.#operandCount++] = value;
    return this.borrowAll(values.map((each) => (each.handle as TorchHandle).address as unknown as Borrowed));
  }
  /** Turns the argument before into an optional that is there. */
  some(): this {
    const at = this.#used - 1;
    if (this.#torch.torch_new_stable_ivalue) {
      this.#check(this.#torch.torch_new_stable_ivalue(this.#scratchAddress), "new_stable_ivalue");
    } else if (this.#torch._Znwm) {
      this.#scratch[0] = this.#torch._Znwm(8n);
    } else {
      throw new Error(
        `LibTorch ${this.#library.version} on this system has no way to pass optional arguments: use 2.13`,
      );
    }
    if (this.#torch.memcpy) {
      this.#torch.memcpy(this.#scratch[0], this.#address[at], 8n);
    } else {
      const slot = Deno.UnsafePointer.create(this.#scratch[0])!;
      new BigUint64Array(Deno.UnsafePointerView.getArrayBuffer(slot, 8))[0] = this.#big[at];
    }
    this.#big[at] = this.#scratch[0];
    return this;
  }
  /** An optional tensor of ours. */
  optional(x: Operand | undefined): this {
    return x === undefined ? this.none() : this.tensor(x).some();
  }
  /** A string. */
  text(value: string): this {
    let kept = this.#texts.get(value);
    if (kept === undefined) {
      kept = { address: permanentText(value), length: BigInt(new TextEncoder().encode(value).length) };
      this.#texts.set(value, kept);
    }
    const slot = this.#address[this.#used++];
    this.#check(this.#torch.torch_new_string_handle(kept.address, kept.length, slot), "new_string_handle");
    return this;
  }

  /** Runs the operator and returns its result. */
  run(name: OperatorName): Owned {
    this.#dispatch(name);
    return this.#big[0] as Owned;
  }
  /** Runs an operator that returns nothing. */
  runVoid(name: OperatorName): void {
    this.#dispatch(name);
  }
  /** Runs an operator with two results. */
  runPair(name: OperatorName): [Owned, Owned] {
    this.#dispatch(name);
    return [this.#big[0] as Owned, this.#big[1] as Owned];
  }
  /** Runs an operator that returns a list of tensors. */
  runList(name: OperatorName, count: number): Owned[] {
    this.#dispatch(name);
    const list = this.#big[0];
    const items: Owned[] = [];
    for (let i = 0; i < count; i++) {
      this.#check(this.#torch.torch_list_get_item(list, BigInt(i), this.#scratchAddress), "list_get_item");
      items.push(this.#scratch[0] as Owned);
    }
    this.#torch.torch_delete_list(list);
    return items;
  }

  /** Throws when a status is not 0. `what` and the operands so far are named. */
  check(status: number, what: string, operands: readonly Operand[] = []): void {
    if (status !== 0) throw this.#error(what, operands);
  }

  #dispatch(name: OperatorName): void {
    const operands = this.#operandCount;
    this.#used = 0;
    this.#operandCount = 0;
    if (this.#torch.torch_call_dispatcher(name.name, name.overload, this.#address[0], ABI_2_10) !== 0) {
      throw this.#error(name.text, this.#operands.slice(0, operands));
    }
  }
  #check(status: number, what: string): void {
    if (status === 0) return;
    this.#used = 0;
    this.#operandCount = 0;
    throw this.#error(what, []);
  }
  #newList(length: number): bigint {
    this.#check(this.#torch.torch_new_list_reserve_size(BigInt(length), this.#scratchAddress), "new_list");
    return this.#scratch[0];
  }
  #error(what: string, operands: readonly Operand[]): Error {
    const words = this.#torch.torch_exception_get_what_without_backtrace?.();
    const text = words ? new Deno.UnsafePointerView(words).getCString().trim().replaceAll(/\s*\n\s*/g, "; ") : "";
    const shapes = operands.map((x) => `${x.dtype} ${shapeText(x.shape)}`).join(", ");
    const message = `${what}${shapes ? ` of ${shapes}` : ""}: LibTorch says: ${text || "nothing (see standard error)"}`;
    return new Error(isOutOfMemory(text) ? `${message} (use a smaller batch or shorter sequences)` : message);
  }
}

const SMALL = Array.from({ length: 64 }, (_, i) => BigInt(i));

function isOutOfMemory(text: string): boolean {
  return /out of memory|can't allocate memory/i.test(text);
}
