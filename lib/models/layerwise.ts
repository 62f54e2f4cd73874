/**
 * A forward pass of the transformer in pieces, so that who runs the blocks is not the model's affair: all at once
 * (`runLayers`), or one at a time with less memory (`checkpointed_gradient.ts`).
 *
 * Axis letters: N tokens of all sequences, D hidden width.
 */
import { tidy } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A forward pass over given tokens. What it holds (rotations, masks) belongs to the scope that it was made in. */
export interface Layerwise<Hidden> {
  /** Number of blocks. */
  readonly layers: number;
  /** The residual stream that enters block 0: [N, D]. */
  embed(): Tensor;
  /** Runs block `layer` on what enters it, which is left alone: [N, D] → [N, D] (or fewer rows, where only those go on). */
  block(x: Tensor, layer: number): Tensor;
  /** The final norm of what leaves the last block, in the form of the pass' result. */
  finish(x: Tensor): Hidden;
}

/** Runs a whole pass. Each block's intermediates are freed after it. */
export function runLayers<Hidden>(pass: Layerwise<Hidden>): Hidden {
  let x = pass.embed();
  for (let layer = 0; layer < pass.layers; layer++) {
    const input = x;
    x = tidy(() => pass.block(input, layer));
    input.dispose();
  }
  return pass.finish(x);
}
