/** Several lists of the host as tensors, uploaded at once: a device waits for each upload, however small. */
import { type Shape, sizeOf } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { type Tensor, tensor } from "./tensor.ts";

/**
 * Tensors of lists of one kind: views of one. Made in a scope, since what they look at belongs to nobody else.
 *
 * @param lists All Int32Array (then int64), or all Float32Array; as many numbers as its shape holds, or of one axis.
 */
export function uploadTogether(
  engine: Engine,
  lists: readonly { data: Int32Array | Float32Array; shape?: Shape }[],
): Tensor[] {
  const total = lists.reduce((sum, { data }) => sum + data.length, 0);
  const all = lists[0].data instanceof Int32Array ? new Int32Array(total) : new Float32Array(total);
  let end = 0;
  for (const { data } of lists) {
    all.set(data, end);
    end += data.length;
  }
  const together = tensor(engine, all);
  end = 0;
  return lists.map(({ data, shape = [data.length] }) => {
    if (sizeOf(shape) !== data.length) {
      throw new RangeError(`uploadTogether: ${data.length} numbers do not fill shape [${shape.join(", ")}]`);
    }
    end += data.length;
    return together.narrow(0, end - data.length, data.length).reshape(shape);
  });
}
