/**
 * Which tensors of an engine are alive and how much memory they hold.
 *
 * Counted are the tensors that the program holds; views of one storage count once. What LibTorch keeps for itself (what
 * a recorded graph saved, workspaces, its allocator's reserve) is not seen from here.
 */
import type { EngineMemory } from "../engine.ts";
import type { Owned } from "./dispatcher.ts";

interface Storage {
  bytes: number;
  users: number;
}

/** The torch engine's handle: a reference that it owns, and the storage behind it. */
export class TorchHandle {
  readonly address: Owned;
  readonly storage: Storage;
  constructor(address: Owned, storage: Storage) {
    this.address = address;
    this.storage = storage;
  }
}

/** Counts handles and bytes. */
export class Ledger {
  readonly #alive = new Set<TorchHandle>();
  #bytes = 0;
  #peak = 0;

  /** A tensor with memory of its own. */
  own(address: Owned, bytes: number): TorchHandle {
    this.#bytes += bytes;
    if (this.#bytes > this.#peak) this.#peak = this.#bytes;
    const handle = new TorchHandle(address, { bytes, users: 1 });
    this.#alive.add(handle);
    return handle;
  }
  /** A tensor that looks at another's memory. */
  view(address: Owned, of: TorchHandle): TorchHandle {
    of.storage.users++;
    const handle = new TorchHandle(address, of.storage);
    this.#alive.add(handle);
    return handle;
  }
  /** Takes a tensor off the books; returns whether it was on them. */
  remove(handle: TorchHandle): boolean {
    if (!this.#alive.delete(handle)) return false;
    if (--handle.storage.users === 0) this.#bytes -= handle.storage.bytes;
    return true;
  }
  /** Every live tensor. */
  all(): TorchHandle[] {
    return [...this.#alive];
  }
  memory(): EngineMemory {
    return { tensors: this.#alive.size, bytes: this.#bytes, peakBytes: this.#peak };
  }
  resetPeak(): void {
    this.#peak = this.#bytes;
  }
}
