/**
 * Lists of tensors for C++ that only looks at them (`at::TensorList`): an address and a length. A tensor of C++ is one pointer, to
 * its `c10::TensorImpl`, and so a list is a block of such pointers, written here without a call.
 */
import { permanent } from "./dispatcher.ts";
import { implementationOf, type TorchHandle } from "./memory.ts";

/** A list that is written anew for each call, in memory that stays. */
export class TensorList {
  #words = new BigUint64Array(new ArrayBuffer(64));
  /** Where C++ reads it. */
  address = permanent(new Uint8Array(this.#words.buffer));
  /** How many tensors are in it. */
  length = 0n;

  /** Writes the list. The tensors must live until it has been read. */
  write(handles: readonly TorchHandle[]): this {
    if (handles.length > this.#words.length) {
      this.#words = new BigUint64Array(new ArrayBuffer(16 * handles.length));
      this.address = permanent(new Uint8Array(this.#words.buffer));
    }
    handles.forEach((handle, i) => this.#words[i] = handle.implementation ??= implementationOf(handle.address));
    this.length = BigInt(handles.length);
    return this;
  }
}
