/**
 * Gradient checkpointing by block (Chen et al. 2016): the gradients of a loss of the transformer's hidden states, with one
 * block's intermediates alive at a time, for a second forward pass through the blocks.
 *
 * First the blocks run without being recorded, and only what enters each is kept: [N, D] a block. Then the loss is
 * differentiated by the last of these. Then, from the last block to the first, each is run again and differentiated by
 * what enters it and by its own parameters. The numbers are those of `valueAndGrad` over the whole; nothing is approximated.
 *
 * Axis letters: N tokens, D hidden width.
 */
import { valueAndGrad, type ValueAndGradients } from "../tensor/gradient.ts";
import { tidy } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CausalTransformer } from "./causal_transformer.ts";
import { type Layerwise, runLayers } from "./layerwise.ts";

/** Options of {@linkcode hiddenValueAndGrad}. */
export interface HiddenGradientOptions {
  /** Keep only what enters each block, and run each twice. No when left out: the whole graph is kept. */
  checkpointing?: boolean;
}

/**
 * A loss of hidden states and its gradients by everything that the model trains, with or without checkpointing.
 *
 * @param pass Makes the forward pass: `() => model.hiddenPass(tokens)`, or one of its relatives. Called inside a scope.
 * @param loss Like `valueAndGrad`'s function, of the pass' hidden states. May use the head, not other parameters.
 * @returns Gradients in the order of `model.trainable`.
 */
export function hiddenValueAndGrad<Hidden, A = undefined>(
  model: CausalTransformer,
  pass: () => Layerwise<Hidden>,
  loss: (hidden: Hidden) => Tensor | { loss: Tensor; aux: A },
  { checkpointing = false }: HiddenGradientOptions = {},
): ValueAndGradients<A> {
  return checkpointing
    ? checkpointedValueAndGrad(model, pass, loss)
    : valueAndGrad(() => loss(runLayers(pass())), [...model.trainable.values()]);
}

/**
 * {@linkcode hiddenValueAndGrad} with checkpointing. To be called outside other gradients, which would record it.
 *
 * @param loss Whatever it uses of the model's parameters beside the hidden states must lie outside the blocks: the head.
 */
export function checkpointedValueAndGrad<Hidden, A = undefined>(
  model: CausalTransformer,
  pass: () => Layerwise<Hidden>,
  loss: (hidden: Hidden) => Tensor | { loss: Tensor; aux: A },
): ValueAndGradients<A> {
  return tidy(() => {
    const { layers, embed, block, finish } = pass();
    const { inBlocks, outside } = trainedParts(model, layers);
    // inputs[i] enters block i; the last one leaves the last block.
    const inputs = [embed()];
    for (let layer = 0; layer < layers; layer++) inputs.push(tidy(() => block(inputs[layer], layer)));

    const gradients = new Map<string, Tensor>();
    const last = inputs.pop()!;
    const top = valueAndGrad(() => loss(finish(last)), [last, ...outside.values()]);
    let flowing = top.gradients[0];
    [...outside.keys()].forEach((name, i) => gradients.set(name, top.gradients[i + 1]));
    last.dispose();

    const trainsEmbedding = outside.has(EMBEDDING);
    for (let layer = layers - 1; layer >= 0; layer--) {
      const x = inputs[layer], above = flowing, own = inBlocks[layer];
      // Below the lowest block that trains anything, nothing asks for a gradient.
      const goesOn = trainsEmbedding || inBlocks.slice(0, layer).some((each) => each.size > 0);
      const leaves = [...(goesOn ? [x] : []), ...own.values()];
      if (leaves.length > 0) {
        const found = vectorProduct(() => block(x, layer), above, leaves);
        if (goesOn) flowing = found.shift()!;
        [...own.keys()].forEach((name, i) => gradients.set(name, found[i]));
      }
      if (above !== flowing) above.dispose();
      x.dispose();
    }
    if (trainsEmbedding) {
      const [found] = vectorProduct(embed, flowing, [outside.get(EMBEDDING)!]);
      const before = gradients.get(EMBEDDING)!; // of a tied head; zero otherwise
      gradients.set(EMBEDDING, before.add(found));
      before.dispose();
      found.dispose();
    }
    const ordered = [...model.trainable.keys()].map((name) => gradients.get(name)!);
    return { value: top.value, gradients: ordered, aux: top.aux };
  });
}

const EMBEDDING = "model.embed_tokens.weight";

/** What is trained, by name: of each block, and of what lies before and after the blocks. */
function trainedParts(model: CausalTransformer, layers: number) {
  const inBlocks = Array.from({ length: layers }, () => new Map<string, Tensor>());
  const outside = new Map<string, Tensor>();
  for (const [name, each] of model.trainable) {
    const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
    (layer === undefined ? outside : inBlocks[Number(layer)]).set(name, each);
  }
  return { inBlocks, outside };
}

/** Gradients of fn() · above, which are those of the whole loss if `above` is its gradient by fn()'s result. */
function vectorProduct(fn: () => Tensor, above: Tensor, leaves: readonly Tensor[]): Tensor[] {
  const { value, gradients } = valueAndGrad(() => fn().mul(above).sum(), leaves);
  value.dispose();
  return gradients;
}
