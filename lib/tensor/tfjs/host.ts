/**
 * Numbers in from the host and out to it.
 */
import type { HostData } from "../dtype.ts";
import type { Engine } from "../engine.ts";
import { type Context, KIND, of } from "./context.ts";
import { tf } from "./runtime.ts";

export function host(c: Context) {
  const fromHost: Engine["fromHost"] = (data, shape, dtype) => {
    const kind = KIND[dtype]!;
    return c.run(() => tf.tensor(converted(data, kind), [...shape], kind));
  };
  return {
    fromHost,
    full(value, shape, dtype) {
      if (dtype === "float32") return c.run(() => tf.fill([...shape], value, "float32"));
      return fromHost(new Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape, dtype);
    },
    async read(x) {
      const data = await of(x).data() as Float32Array | Int32Array | Uint8Array;
      return x.dtype === "bool" ? Uint8Array.from(data) : data.slice();
    },
  } satisfies Partial<Engine>;
}

/** A copy of host numbers as tfjs holds them. */
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
