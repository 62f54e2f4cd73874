/** Single operators on our engines; `reference/operators.py` does the same in PyTorch. */
import type { Shape } from "../../lib/tensor/dtype.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { adamW, full, type Tensor, tensor, zeros } from "../../lib/tensor/tensor.ts";
import type { CaseSizes } from "../case.ts";
import { hashed } from "../numbers.ts";
import type { Prepare, Work } from "./work.ts";

function filled(engine: Engine, shape: Shape, seed: number): Tensor {
  return tensor(engine, hashed(shape.reduce((all, n) => all * n, 1), seed), shape);
}

/** Work that computes a tensor and is judged by the sum of its squares. */
function forward(compute: () => Tensor, operands: Tensor[]): Work {
  return {
    run: () => tidy(() => void compute()),
    check: () => readSum(() => compute().square().sum()),
    dispose: () => operands.forEach((each) => each.dispose()),
  };
}

/**
 * Work that computes a tensor y and the gradients of Σ y·direction, and is judged by their squares.
 *
 * @param operands What is differentiated by. @param direction Of y's shape.
 */
function forwardBackward(compute: () => Tensor, operands: Tensor[], direction: Tensor): Work {
  const differentiate = () => valueAndGrad(() => compute().mul(direction).sum(), operands);
  return {
    run: () => tidy(() => void differentiate()),
    check: () => readSum(() => sumAll(differentiate().gradients.map((each) => each.square().sum()))),
    dispose: () => [...operands, direction].forEach((each) => each.dispose()),
  };
}

function sumAll(parts: Tensor[]): Tensor {
  return parts.reduce((sum, each) => sum.add(each));
}

async function readSum(compute: () => Tensor): Promise<number> {
  const value = tidy(compute);
  try {
    return await value.item();
  } finally {
    value.dispose();
  }
}

const matmul: Prepare = (engine, sizes) => {
  const { m, k, n } = sizes as Record<string, number>;
  const a = filled(engine, [m, k], 1), b = filled(engine, [k, n], 2);
  return forward(() => a.matmul(b), [a, b]);
};

const copy: Prepare = (engine, { elements }) => {
  // Elsewhere an assignment may move no numbers: there, and in WebAssembly's own memory, the host's copy is the limit.
  if (engine.name !== "torch") {
    const source = hashed(elements as number, 1), target = new Float32Array(source.length);
    return {
      run: () => target.set(source),
      check: () => {
        target.set(source);
        return Promise.resolve(target.reduce((sum, x) => sum + x * x, 0));
      },
      dispose: () => {},
    };
  }
  const source = filled(engine, [elements as number], 1), target = zeros(engine, [elements as number]);
  return {
    run: () => target.assign(source),
    check: () => {
      target.assign(source);
      return readSum(() => target.square().sum());
    },
    dispose: () => [source, target].forEach((each) => each.dispose()),
  };
};

const conv2d: Prepare = (engine, sizes) => {
  const shape = sizes.shape as Shape, channels = shape[3];
  const x = filled(engine, shape, 1), weight = filled(engine, [channels, channels, 3, 3], 2);
  const bias = filled(engine, [channels], 3);
  const compute = () => x.conv2d(weight, bias, { stride: 1, padding: [1, 1, 1, 1] });
  if (!sizes.backward) return forward(compute, [x, weight, bias]);
  return forwardBackward(compute, [x, weight, bias], filled(engine, shape, 4));
};

const attention: Prepare = (engine, sizes) => {
  const shape = sizes.shape as Shape;
  const [q, k, v] = [1, 2, 3].map((seed) => filled(engine, shape, seed));
  const compute = () => q.attention(k, v, { causal: true });
  return sizes.backward ? forwardBackward(compute, [q, k, v], filled(engine, shape, 4)) : forward(compute, [q, k, v]);
};

const groupNorm: Prepare = (engine, sizes) => {
  const shape = sizes.shape as Shape, channels = [shape[3]];
  const x = filled(engine, shape, 1), weight = filled(engine, channels, 2), bias = filled(engine, channels, 3);
  return forward(() => x.groupNorm(sizes.groups as number, weight, bias, 1e-6), [x, weight, bias]);
};

const adamWUpdate: Prepare = (engine, sizes: CaseSizes) => {
  const { tensors, each } = sizes as Record<string, number>;
  const list = (make: (i: number) => Tensor) => Array.from({ length: tensors }, (_, i) => make(i));
  const parameters = list((i) => filled(engine, [each], i)), gradients = list((i) => filled(engine, [each], i + 1000));
  const first = list(() => zeros(engine, [each])), second = list(() => zeros(engine, [each]));
  const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, gradientScale: 1 };
  let step = 0;
  const run = () => adamW(parameters, gradients, first, second, { ...options, step: ++step });
  return {
    run,
    // Called before anything is timed: both sides have made one step then.
    check: () => {
      run();
      return readSum(() => sumAll(parameters.map((p) => p.square().sum())));
    },
    dispose: () => [...parameters, ...gradients, ...first, ...second].forEach((t) => t.dispose()),
  };
};

/** A chain of small products: what the host's side of an operator costs. */
const chain: Prepare = (engine, sizes) => {
  const x = filled(engine, [8, 8], 1), factor = full(engine, [8, 8], 1.001);
  const compute = () => {
    let y = x;
    for (let i = 0; i < (sizes.chain as number); i++) y = y.mul(factor);
    return y;
  };
  if (!sizes.backward) return forward(compute, [x, factor]);
  return {
    run: () => tidy(() => void valueAndGrad(() => compute().sum(), [x])),
    check: () => readSum(() => valueAndGrad(() => compute().sum(), [x]).gradients[0].square().sum()),
    dispose: () => [x, factor].forEach((each) => each.dispose()),
  };
};

/** By kind. */
export const OPERATORS: Readonly<Record<string, Prepare>> = {
  matmul,
  copy,
  conv2d,
  attention,
  groupNorm,
  adamW: adamWUpdate,
  chain,
};
