/** Reading numbers that are computed on an engine. */
import { tidy } from "./scope.ts";
import { stack, type Tensor } from "./tensor.ts";

/** Computes a scalar, waits for it, and gives it back. */
export async function readScalar(compute: () => Tensor): Promise<number> {
  return (await readScalars(() => [compute()]))[0];
}

/** Computes scalars of one type and waits for all of them once. */
export async function readScalars(compute: () => readonly Tensor[]): Promise<number[]> {
  const together = tidy(() => stack(compute().map((each) => each.reshape([]))));
  try {
    return Array.from(await together.data(), Number);
  } finally {
    together.dispose();
  }
}
