/** Reading a number that is computed on an engine. */
import { tidy } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** Computes a scalar, waits for it, and gives it back. */
export async function readScalar(compute: () => Tensor): Promise<number> {
  const scalar = tidy(compute);
  try {
    return await scalar.item();
  } finally {
    scalar.dispose();
  }
}
