/**
 * tfjs' global engine, seen with the types that it does not publish.
 *
 * Everything that reaches behind tfjs' public interface goes through here: aliases that share data, switching the recording
 * of gradients off, views of numbers that lie in this process's memory. Nothing here computes.
 */
import * as tf from "@tensorflow/tfjs";

export { tf };

/** One recorded operator. `gradient` is tfjs' own form; `derive` is ours: all wanted gradients at once. */
export interface TapeNode {
  id: number;
  kernelName: string;
  inputs: Record<string, tf.Tensor>;
  outputs: tf.Tensor[];
  saved?: tf.Tensor[];
  gradient?: (dys: (tf.Tensor | null)[]) => Record<string, () => tf.Tensor>;
  derive?: (dy: tf.Tensor, wanted: ReadonlySet<string>) => Record<string, tf.Tensor>;
}

/** What tfjs keeps about a tensor's numbers; the same object for every tensor that shares them. */
export type DataId = object;

interface BackendInternals {
  incRef(dataId: DataId): void;
  refCount(dataId: DataId): number;
}

interface EngineInternals {
  state: {
    gradientDepth: number;
    kernelDepth: number;
    activeTape: TapeNode[] | null;
    nextTapeNodeId: number;
    numBytes: number;
    numTensors: number;
  };
  backend: BackendInternals;
  isTapeOn(): boolean;
  startTape(): void;
  endTape(): void;
  keep(x: tf.Tensor): tf.Tensor;
  clone(x: tf.Tensor): tf.Tensor;
  tidy<T>(fn: () => T): T;
  startScope(name?: string): void;
  endScope(result?: unknown): void;
  makeTensorFromTensorInfo(info: { dataId: DataId; shape: number[]; dtype: tf.DataType }): tf.Tensor;
}

/** tfjs' one engine object of this process. */
export const internals: EngineInternals = tf.engine() as unknown as EngineInternals;

/** The same numbers under another tensor, with another shape if given, unknown to any recording. */
export function alias(x: tf.Tensor, shape: readonly number[] = x.shape): tf.Tensor {
  internals.backend.incRef(x.dataId);
  return internals.makeTensorFromTensorInfo({ dataId: x.dataId, shape: [...shape], dtype: x.dtype });
}

/** Runs `fn` without recording what it does for gradients. */
export function unrecorded<T>(fn: () => T): T {
  internals.state.kernelDepth++;
  try {
    return fn();
  } finally {
    internals.state.kernelDepth--;
  }
}

/** Extents, typed for any rank. */
export function dims(x: tf.Tensor): number[] {
  return x.shape;
}
