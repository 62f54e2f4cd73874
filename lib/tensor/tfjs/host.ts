/**
 * Numbers in from the host and out to it.
 */
import type { HostData, ReadData, Shape } from "../dtype.ts";
import { tf } from "./runtime.ts";

/** A copy of host numbers as tfjs holds them. */
export function fromHost(data: HostData, shape: Shape, kind: "float32" | "int32" | "bool"): tf.Tensor {
  return tf.tensor(converted(data, kind), [...shape], kind);
}

function converted(data: HostData, kind: "float32" | "int32" | "bool"): Float32Array | Int32Array | Uint8Array {
  if (kind === "float32") {
    return data instanceof BigInt64Array ? Float32Array.from(data, Number) : Float32Array.from(data);
  }
  if (kind === "bool") {
    const out = new Uint8Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = data[i] ? 1 : 0;
    return out;
  }
  if (data instanceof Int32Array) return data.slice();
  const out = new Int32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = Number(data[i]);
    if (out[i] !== Number(data[i])) {
      throw new RangeError(
        `tensor: int64 on the tfjs engine holds integers from -2147483648 to 2147483647: received ${data[i]} at ${i}`,
      );
    }
  }
  return out;
}

/** A copy of the numbers. */
export async function toHost(x: tf.Tensor): Promise<ReadData> {
  const data = await x.data() as Float32Array | Int32Array | Uint8Array;
  if (x.dtype === "bool") return Uint8Array.from(data);
  return data.slice();
}
