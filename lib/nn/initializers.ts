/**
 * First values of parameters, drawn from Philox streams: the same on every engine for one seed.
 *
 * One stream a parameter, so that a value does not depend on the order in which parameters are made. The results are
 * kept tensors.
 */
import { type Shape, sizeOf } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import type { Philox } from "../tensor/random.ts";
import { keep } from "../tensor/scope.ts";
import { full, type Tensor, tensor } from "../tensor/tensor.ts";

/** Normal numbers with mean 0; transformers use a standard deviation of 0.02. */
export function normalInitial(engine: Engine, shape: Shape, random: Philox, standardDeviation = 0.02): Tensor {
  return keep(tensor(engine, random.fillNormal(new Float32Array(sizeOf(shape)), 0, standardDeviation), shape));
}

/** One value everywhere: 1 for the weights of norms, 0 for most biases. */
export function constantInitial(engine: Engine, shape: Shape, value: number): Tensor {
  return keep(full(engine, shape, value));
}

/** Uniform numbers in [−bound, bound). */
export function uniformInitial(engine: Engine, shape: Shape, random: Philox, bound: number): Tensor {
  return keep(tensor(engine, random.fillUniform(new Float32Array(sizeOf(shape)), -bound, bound), shape));
}

/**
 * Weight and bias of a linear layer or convolution as PyTorch makes them (He et al. 2015 with a = √5, which comes to
 * uniform numbers within 1 / √fanIn; the bias alike).
 *
 * @param shape Of the weight: [out, in] or [out, in, kH, kW].
 */
export function kaimingUniform(engine: Engine, shape: Shape, random: Philox): { weight: Tensor; bias: Tensor } {
  const bound = 1 / Math.sqrt(fanIn(shape));
  const weight = uniformInitial(engine, shape, random, bound);
  return { weight, bias: uniformInitial(engine, [shape[0]], random, bound) };
}

/** Numbers that one output of a layer sees: the product of all extents of its weight but the first. */
export function fanIn(shape: Shape): number {
  if (shape.length < 2) {
    throw new RangeError(`fanIn needs a weight of at least two axes: received [${shape.join(", ")}]`);
  }
  return sizeOf(shape.slice(1));
}
