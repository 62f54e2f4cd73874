import assert from "node:assert/strict";
import { tokenLogProbabilities, tokenLoss } from "../../lib/nn/log_probabilities.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { tensor, zeros } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { expected } from "./nn_fixture.ts";

const { shape: [count, width, vocabulary], temperature, ...wanted } = expected.logProbabilities;

function inputs(engine: Engine, dtype: DType) {
  return {
    hidden: tensor(engine, wanted.hidden, [count, width], dtype),
    head: tensor(engine, wanted.head, [vocabulary, width], dtype),
    targets: tensor(engine, wanted.targets, [count], "int64"),
    weights: tensor(engine, wanted.weights, [count], dtype),
  };
}

function precisions(engine: Engine): [DType, number][] {
  return engine.supports("float64") ? [["float32", 1e-5], ["float64", 1e-10]] : [["float32", 1e-5]];
}

forEachEngine("token log-probabilities and entropies equal PyTorch's for every chunk size", async (engine) => {
  for (const [dtype, tolerance] of precisions(engine)) {
    const { hidden, head, targets, weights } = inputs(engine, dtype);
    for (const chunkSize of [1, 4, 11, 100, undefined]) {
      const { logProbabilities, entropy } = tokenLogProbabilities(hidden, head, targets, {
        chunkSize,
        temperature,
        withEntropy: true,
      });
      assertClose(await logProbabilities.data(), wanted.logProbabilities, tolerance, `log-probabilities ${chunkSize}`);
      assertClose(await entropy!.data(), wanted.entropy, tolerance, `entropy ${chunkSize}`);
      logProbabilities.dispose();
      entropy!.dispose();
    }
    for (const each of [hidden, head, targets, weights]) each.dispose();
  }
});

forEachEngine("the loss of chunks and its gradients equal PyTorch's, through an outer function too", async (engine) => {
  for (const [dtype, tolerance] of precisions(engine)) {
    const { hidden, head, targets, weights } = inputs(engine, dtype);
    for (const chunkSize of [3, 11]) {
      const loss = (scale: number) => {
        // hidden = scale · (hidden / scale): the surrogate's gradients must pass through what made hidden.
        const made = hidden.div(scale).mul(scale);
        return tokenLoss(made, head, targets, (logp, start, entropy) => {
          const weight = weights.narrow(0, start, logp.shape[0]);
          return logp.exp().mul(weight).sum().sub(entropy!.sum().mul(0.3));
        }, { chunkSize, temperature, withEntropy: true }).mul(scale);
      };
      for (const scale of [1, 4]) {
        const { value, gradients: [byHidden, byHead] } = valueAndGrad(() => loss(scale), [hidden, head]);
        assertClose([await value.item()], [scale * wanted.loss], tolerance, "loss");
        const scaled = (numbers: number[]) => numbers.map((each) => scale * each);
        assertClose(await byHidden.data(), scaled(wanted.hiddenGradient), tolerance, "gradient by hidden");
        assertClose(await byHead.data(), scaled(wanted.headGradient), tolerance, "gradient by head");
        for (const each of [value, byHidden, byHead]) each.dispose();
      }
    }
    for (const each of [hidden, head, targets, weights]) each.dispose();
  }
});

forEachEngine("the loss of chunks never holds the logits of all tokens", (engine) => {
  const tokens = 2048, vocabulary = 2048, bytesOfLogits = 4 * tokens * vocabulary;
  const hidden = zeros(engine, [tokens, 4]), head = zeros(engine, [vocabulary, 4]);
  const targets = zeros(engine, [tokens], "int64");
  const before = engine.memory().bytes;
  engine.resetPeak();
  const { value, gradients } = valueAndGrad(
    () => tokenLoss(hidden, head, targets, (logp) => logp.sum(), { chunkSize: 64 }),
    [hidden, head],
  );
  // Nothing is asked of an engine that cannot tell: its peak is then no more than what lives.
  const used = engine.memory().peakBytes - before;
  assert.ok(used < bytesOfLogits / 2, `${used} bytes were held beside ${bytesOfLogits} bytes of all logits`);
  for (const each of [hidden, head, targets, value, ...gradients]) each.dispose();
});

forEachEngine("bad shapes and options are named", (engine) => {
  tidy(() => {
    const { hidden, head, targets } = inputs(engine, "float32");
    const ask = (options: object) => () => tokenLogProbabilities(hidden, head, targets, options);
    assert.throws(ask({ chunkSize: 0 }), /RangeError: tokenLogProbabilities: chunkSize must be at least 1: received 0/);
    assert.throws(ask({ temperature: 0 }), /temperature must be above 0: received 0/);
    assert.throws(() => tokenLoss(hidden, hidden, hidden, (x) => x.sum()), /tokenLoss: .* do not fit/);
  });
});
