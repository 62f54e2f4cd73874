/** Gradients of the micro-batches of one update, added up. */
import { addAll, type Tensor } from "../tensor/tensor.ts";

/** A running sum of gradients, one a parameter, in the parameters' order. Owns its tensors. */
export class GradientSum {
  #sums: Tensor[] = [];

  /** @param parameters What the gradients belong to; only their number counts here. */
  constructor(readonly parameters: ReadonlyMap<string, Tensor>) {}

  /** Adds one micro-batch's gradients and takes them over. */
  add(gradients: Tensor[]): void {
    if (gradients.length !== this.parameters.size) {
      throw new RangeError(`gradients: ${gradients.length} do not match ${this.parameters.size} parameters`);
    }
    if (this.#sums.length === 0) {
      this.#sums = gradients;
      return;
    }
    addAll(this.#sums, gradients);
    for (const gradient of gradients) gradient.dispose();
  }

  /** The sums so far, in the parameters' order; still owned here. */
  get gradients(): Tensor[] {
    return this.#sums;
  }

  /** Frees the sums; the next `add` begins anew. */
  dispose(): void {
    for (const sum of this.#sums) sum.dispose();
    this.#sums = [];
  }
}
