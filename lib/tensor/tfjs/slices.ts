/**
 * Slices on the WASM backend. tfjs' own kernel copies the whole tensor out of the module's memory, however little is taken of
 * it, and its split does so for every part; here what is taken is copied from place to place within that memory.
 */
import { tf } from "./runtime.ts";

/** tfjs' WASM backend, as far as it is used here. */
interface WasmMemory {
  wasm: { asm: { memory: WebAssembly.Memory } };
  dataIdMap: { get(dataId: object): { memoryOffset: number } };
  makeOutput(shape: number[], dtype: string): tf.TensorInfo;
}

/** What tfjs gives to a kernel. */
interface KernelCall {
  inputs: { x: tf.TensorInfo };
  attrs?: tf.NamedAttrMap;
  backend: unknown;
}

/** Puts the kernels in the place of tfjs'. Doing so again does nothing new. */
export function registerSlices(): void {
  for (const [kernelName, kernelFunc] of [["Slice", sliceKernel], ["SplitV", splitKernel]] as const) {
    tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc: kernelFunc as unknown as tf.KernelFunc });
  }
}

function sliceKernel({ inputs, attrs, backend }: KernelCall): tf.TensorInfo {
  const { x } = inputs, { begin, size } = attrs as unknown as { begin: number | number[]; size: number | number[] };
  const [from, count] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin, size);
  return block(backend as WasmMemory, x, from, count);
}

function splitKernel({ inputs, attrs, backend }: KernelCall): tf.TensorInfo[] {
  const { x } = inputs,
    { numOrSizeSplits, axis } = attrs as unknown as {
      numOrSizeSplits: number | number[];
      axis: number;
    };
  const [along] = tf.util.parseAxisParam(axis, x.shape);
  let start = 0;
  return tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, along).map((length) => {
    const part = block(
      backend as WasmMemory,
      x,
      x.shape.map((_, i) => i === along ? start : 0),
      x.shape.map((n, i) => i === along ? length : n),
    );
    start += length;
    return part;
  });
}

/** A tensor of its own with the numbers of a block. */
function block(
  backend: WasmMemory,
  x: tf.TensorInfo,
  begin: readonly number[],
  size: readonly number[],
): tf.TensorInfo {
  // Making it may move the memory: everything else comes after.
  const out = backend.makeOutput([...size], x.dtype);
  const width = tf.util.bytesPerElement(x.dtype as tf.DataType);
  const bytes = new Uint8Array(backend.wasm.asm.memory.buffer);
  const source = backend.dataIdMap.get(x.dataId).memoryOffset, target = backend.dataIdMap.get(out.dataId).memoryOffset;
  const strides = tf.util.computeStrides([...x.shape, 1]);
  // Numbers that lie side by side in both: the axes that are taken whole, and the one before them.
  let axis = x.shape.length;
  while (axis > 0 && size[axis - 1] === x.shape[axis - 1]) axis--;
  axis = Math.max(0, axis - 1);
  const run = size.slice(axis).reduce((a, b) => a * b, 1) * width;
  let at = source;
  begin.forEach((start, i) => at += start * strides[i] * width);
  const outer = size.slice(0, axis), counter = outer.map(() => 0);
  const rows = outer.reduce((a, b) => a * b, 1);
  for (let row = 0; row < rows; row++) {
    bytes.copyWithin(target + row * run, at, at + run);
    for (let i = axis - 1; i >= 0; i--) {
      at += strides[i] * width;
      if (++counter[i] < outer[i]) break;
      at -= outer[i] * strides[i] * width;
      counter[i] = 0;
    }
  }
  return out;
}
