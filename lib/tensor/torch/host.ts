/**
 * Numbers from the host to LibTorch and back.
 *
 * On a CPU they are copied once. For another device they go through a tensor on the CPU; LibTorch copies that over.
 */
import { type DType, type HostData, type ReadData, type Shape, sizeOf } from "../dtype.ts";
import type { Engine } from "../engine.ts";
import { addressOf, type Context, CPU, lend } from "./context.ts";
import { operator, TORCH_DTYPE } from "./dispatcher.ts";
import type { Borrowed, Owned } from "./memory.ts";
import { denseStrides } from "./strides.ts";

const COPY = operator("aten::copy_");
const TO = operator("aten::to", "dtype");
const CONTIGUOUS = operator("aten::contiguous");

export function host(c: Context) {
  return {
    fromHost(data, shape, dtype) {
      c.open("fromHost");
      // bfloat16 has no array type here: LibTorch rounds.
      const hostType = dtype === "bfloat16" ? "float32" : dtype;
      let x = c.empty(shape, hostType, CPU);
      try {
        if (data.length > 0) write(c, lend(x), data, hostType);
        if (c.deviceType !== CPU) x = replace(c, x, onDevice(c, x, shape, hostType));
        if (dtype !== hostType) x = replace(c, x, cast(c, lend(x), dtype));
      } catch (error) {
        c.free(x);
        throw error;
      }
      return c.ownDense(x, shape, dtype, denseStrides(shape));
    },
    full: (value, shape, dtype) =>
      c.ownDense(c.open("full").full(value, shape, dtype), shape, dtype, denseStrides(shape)),
    // Nothing here waits, but an error of the copy is a rejection, as on engines that copy later.
    // deno-lint-ignore require-await
    async read(x) {
      c.open("read");
      const n = sizeOf(x.shape);
      const dtype = x.dtype === "bfloat16" ? "float32" : x.dtype;
      let here = c.another(addressOf(x));
      try {
        if (x.dtype !== dtype) here = replace(c, here, cast(c, lend(here), dtype));
        // Zeros that were never written down.
        if (n > 0 && c.isWithoutMemory(lend(here))) return zeros(n, dtype);
        if (!c.isContiguous(lend(here))) here = replace(c, here, c.call.borrow(lend(here)).int(0).run(CONTIGUOUS));
        if (c.deviceType !== CPU) here = replace(c, here, onHost(c, here, x.shape, dtype));
        return copyOut(c, lend(here), n, dtype);
      } finally {
        c.free(here);
      }
    },
  } satisfies Partial<Engine>;
}

/** The memory of a contiguous tensor on the CPU, without a copy. Valid while the tensor lives. */
function memoryOf(c: Context, x: Borrowed, bytes: number): ArrayBuffer {
  return Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(c.data(x))!, bytes);
}

function replace(c: Context, old: Owned, by: Owned): Owned {
  c.free(old);
  return by;
}

function onDevice(c: Context, x: Owned, shape: Shape, dtype: DType): Owned {
  const there = c.empty(shape, dtype);
  try {
    c.free(c.call.borrow(lend(there)).borrow(lend(x)).bool(false).run(COPY));
  } catch (error) {
    c.free(there);
    throw error;
  }
  return there;
}

function cast(c: Context, x: Borrowed, dtype: DType): Owned {
  return c.call.borrow(x).int(TORCH_DTYPE[dtype]).bool(false).bool(false).none().run(TO);
}

function write(c: Context, x: Borrowed, data: HostData, dtype: Exclude<DType, "bfloat16">): void {
  const n = data.length;
  switch (dtype) {
    case "float32":
      return new Float32Array(memoryOf(c, x, 4 * n)).set(numbers(data));
    case "float64":
      return new Float64Array(memoryOf(c, x, 8 * n)).set(numbers(data));
    case "bool": {
      const bytes = new Uint8Array(memoryOf(c, x, n));
      for (let i = 0; i < n; i++) bytes[i] = Number(data[i]) !== 0 ? 1 : 0;
      return;
    }
    case "int64": {
      if (data instanceof BigInt64Array) return new BigInt64Array(memoryOf(c, x, 8 * n)).set(data);
      const halves = new Int32Array(memoryOf(c, x, 8 * n));
      for (let i = 0; i < n; i++) {
        const value = Number(data[i]);
        if (!Number.isSafeInteger(value)) {
          throw new RangeError(`tensor: number ${i} must be an integer for int64: received ${value}`);
        }
        halves[2 * i] = value;
        halves[2 * i + 1] = Math.floor(value / 2 ** 32);
      }
    }
  }
}

function numbers(data: HostData): ArrayLike<number> {
  return data instanceof BigInt64Array ? Array.from(data, Number) : data;
}

function zeros(n: number, dtype: Exclude<DType, "bfloat16">): ReadData {
  return dtype === "float32"
    ? new Float32Array(n)
    : dtype === "float64"
    ? new Float64Array(n)
    : dtype === "int64"
    ? new Int32Array(n)
    : new Uint8Array(n);
}

function onHost(c: Context, x: Owned, shape: Shape, dtype: DType): Owned {
  const here = c.empty(shape, dtype, CPU);
  try {
    c.free(c.call.borrow(lend(here)).borrow(lend(x)).bool(false).run(COPY));
  } catch (error) {
    c.free(here);
    throw error;
  }
  return here;
}

function copyOut(c: Context, x: Borrowed, n: number, dtype: Exclude<DType, "bfloat16">): ReadData {
  switch (dtype) {
    case "float32":
      return n === 0 ? new Float32Array(0) : new Float32Array(memoryOf(c, x, 4 * n)).slice();
    case "float64":
      return n === 0 ? new Float64Array(0) : new Float64Array(memoryOf(c, x, 8 * n)).slice();
    case "bool":
      return n === 0 ? new Uint8Array(0) : new Uint8Array(memoryOf(c, x, n)).slice();
    case "int64": {
      const out = new Int32Array(n);
      if (n === 0) return out;
      const halves = new Int32Array(memoryOf(c, x, 8 * n));
      for (let i = 0; i < n; i++) {
        const low = halves[2 * i];
        if (halves[2 * i + 1] !== low >> 31) {
          const value = (BigInt(halves[2 * i + 1]) << 32n) | BigInt(low >>> 0);
          throw new RangeError(`data: number ${i} of an int64 tensor does not fit 32 bits: ${value}`);
        }
        out[i] = low;
      }
      return out;
    }
  }
}

/** Reads int64 numbers that no `Tensor` holds. */
export function copyInt64(c: Context, x: Owned, shape: Shape): ReadData {
  if (c.deviceType === CPU) return copyOut(c, lend(x), sizeOf(shape), "int64");
  const here = onHost(c, x, shape, "int64");
  try {
    return copyOut(c, lend(here), sizeOf(shape), "int64");
  } finally {
    c.free(here);
  }
}
