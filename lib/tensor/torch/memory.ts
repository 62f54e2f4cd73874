/**
 * Who owns a reference to a tensor of LibTorch, which tensors of an engine are alive, and how much memory they hold.
 *
 * References come in two types that do not mix: an `Owned` must be freed or passed on once; a `Borrowed` belongs to someone
 * else and is only looked at.
 *
 * Counted are the tensors that the program holds; views of one storage count once. What LibTorch keeps for itself (what
 * a recorded graph saved, workspaces, its allocator's reserve) is not seen from here.
 */
import type { Shape } from "../dtype.ts";
import type { EngineMemory } from "../engine.ts";

declare const ownership: unique symbol;
/** A reference to a tensor that must be freed or passed on exactly once. */
export type Owned = bigint & { readonly [ownership]: "owned" };
/** A reference that belongs to someone else. */
export type Borrowed = bigint & { readonly [ownership]: "borrowed" };

interface Storage {
  bytes: number;
  users: number;
}

/** A view that nobody has asked for yet: of a chain of views only the last is ever made. */
export interface PendingView {
  of: TorchHandle;
  shape: Shape;
  /** In elements, of where `of` starts. */
  start: number;
  /** Makes the view, and lets `of` go. */
  make: (view: PendingView, strides: readonly number[]) => Owned;
}

/** The torch engine's handle: a reference that it owns, and the storage behind it. */
export class TorchHandle {
  /** What is to be made when the reference is asked for. */
  pending: PendingView | undefined;
  #reference: Owned | undefined;
  readonly storage: Storage;
  /** Elements from one to the next along each axis; undefined until someone needs them. */
  strides: readonly number[] | undefined;
  /** Address of its `c10::TensorImpl`; undefined until someone needs it. */
  implementation: bigint | undefined;
  /** Who needs the reference also when the handle is released: views of it that are pending, and running calls of `gradients`. */
  holds = 0;
  /** Where the ledger has it; −1 when it is off the books. */
  place = -1;
  constructor(reference: Owned | PendingView, storage: Storage, strides?: readonly number[]) {
    if (typeof reference === "bigint") this.#reference = reference;
    else this.pending = reference;
    this.storage = storage;
    this.strides = strides;
  }
  /** The reference. */
  get address(): Owned {
    if (this.#reference === undefined) {
      this.#reference = this.pending!.make(this.pending!, this.strides!);
      this.pending = undefined;
    }
    return this.#reference;
  }
}

/** A reference is the address of an `at::Tensor`, which is one pointer: to its `c10::TensorImpl`. */
export function implementationOf(x: Owned | Borrowed): bigint {
  return new Deno.UnsafePointerView(Deno.UnsafePointer.create(x)!).getBigUint64();
}

/** Counts handles and bytes. */
export class Ledger {
  // In no order: what leaves is replaced by the last, which is cheaper than a set for what every operator does.
  readonly #alive: TorchHandle[] = [];
  #bytes = 0;
  #peak = 0;

  /** A tensor with memory of its own. */
  own(address: Owned, bytes: number, strides?: readonly number[]): TorchHandle {
    this.#bytes += bytes;
    if (this.#bytes > this.#peak) this.#peak = this.#bytes;
    return this.#add(new TorchHandle(address, { bytes, users: 1 }, strides));
  }
  /** A tensor that looks at another's memory. */
  view(reference: Owned | PendingView, of: TorchHandle, strides?: readonly number[]): TorchHandle {
    of.storage.users++;
    return this.#add(new TorchHandle(reference, of.storage, strides));
  }
  /** Takes a tensor off the books; returns whether it was on them. */
  remove(handle: TorchHandle): boolean {
    if (handle.place < 0) return false;
    const last = this.#alive.pop()!;
    if (last !== handle) {
      this.#alive[handle.place] = last;
      last.place = handle.place;
    }
    handle.place = -1;
    if (--handle.storage.users === 0) this.#bytes -= handle.storage.bytes;
    return true;
  }
  /** Every live tensor. */
  all(): TorchHandle[] {
    return [...this.#alive];
  }
  memory(): EngineMemory {
    return { tensors: this.#alive.length, bytes: this.#bytes, peakBytes: this.#peak };
  }
  resetPeak(): void {
    this.#peak = this.#bytes;
  }

  #add(handle: TorchHandle): TorchHandle {
    handle.place = this.#alive.push(handle) - 1;
    return handle;
  }
}
