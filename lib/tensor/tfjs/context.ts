/**
 * What the operators of one tfjs engine share: the numbers that it holds, and how a result becomes one of them.
 *
 * A handle is a `tf.Tensor` that tfjs' own scopes leave alone; `Tensor` owns it. Each operator runs in a scope of tfjs, so that
 * what it makes on the way is freed at once. int64 is held as int32.
 */
import type { DType } from "../dtype.ts";
import type { EngineMemory, Handle, Operand } from "../engine.ts";
import { releaseBackend } from "./backend.ts";
import { internals, tf } from "./runtime.ts";

type T = tf.Tensor;

/** What tfjs calls our types; the others do not exist here. */
export const KIND: Partial<Record<DType, "float32" | "int32" | "bool">> = {
  float32: "float32",
  int64: "int32",
  bool: "bool",
};

/** tfjs' numbers of a tensor of ours. */
export function of(x: Operand): T {
  return x.handle as T;
}

export class Context {
  closed = false;
  #peak = 0;
  readonly #live = new Set<T>();

  /** Runs an operator; frees what it made on the way. */
  run(fn: () => T): T {
    const out = internals.tidy(fn);
    // An operator that had nothing to do returns its operand: a handle belongs to one tensor only.
    return this.own(this.#live.has(out) ? tf.clone(out) : out);
  }

  /** Takes a tensor out of tfjs' scopes. */
  own(out: T): T {
    internals.keep(out);
    this.#live.add(out);
    if (internals.state.numBytes > this.#peak) this.#peak = internals.state.numBytes;
    return out;
  }

  /** Gives a tensor of ours other numbers. */
  replace(target: Operand, by: T): void {
    this.release(target.handle);
    target.replaceHandle(this.own(by));
  }

  /** Gives a handle back. */
  release(handle: Handle): void {
    this.#live.delete(handle as T);
    (handle as T).dispose();
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

  /** Starts a new count of the peak. */
  resetPeak(): void {
    this.#peak = internals.state.numBytes;
  }

  /** Frees everything and lets another backend start. A second call does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const each of this.#live) each.dispose();
    this.#live.clear();
    releaseBackend();
  }
}
