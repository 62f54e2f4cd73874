import assert from "node:assert/strict";
import { UserError } from "../../lib/base/user_error.ts";
import { AdamW, globalNorm } from "../../lib/nn/optimizer.ts";
import { disposeParameters, type Parameters } from "../../lib/nn/parameters.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { keep, tidy } from "../../lib/tensor/scope.ts";
import { full, type Tensor, tensor, zeros } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { expected } from "./nn_fixture.ts";

const { shapes, start, steps } = expected.adamw;
const SETTINGS = { learningRate: 1, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1 };

function tensors(engine: Engine, values: Record<"a" | "b", number[]>): Map<string, Tensor> {
  return new Map((["a", "b"] as const).map((name) => [name, keep(tensor(engine, values[name], shapes[name]))]));
}

async function takeStep(engine: Engine, optimizer: AdamW, { gradients, learningRate, norm }: typeof steps[number]) {
  const given = tensors(engine, gradients);
  const found = globalNorm(given);
  assertClose([await found.item()], [norm], 1e-5, "norm");
  optimizer.step(given, { learningRate, gradientScale: Math.min(1, 1 / norm) });
  found.dispose();
  disposeParameters(given);
}

forEachEngine("AdamW with clipping and a schedule follows torch.optim.AdamW", async (engine) => {
  const parameters = tensors(engine, start);
  const optimizer = new AdamW(parameters, SETTINGS);
  for (const step of steps) {
    await takeStep(engine, optimizer, step);
    for (const name of ["a", "b"] as const) {
      assertClose(
        await parameters.get(name)!.data(),
        step.after[name],
        1e-5,
        `${name} after step ${optimizer.stepCount}`,
      );
    }
  }
  assert.equal(optimizer.stepCount, steps.length);
  optimizer.dispose();
  disposeParameters(parameters);
});

forEachEngine("an optimizer that was saved and loaded goes on bit for bit", async (engine) => {
  const run = async (interrupted: boolean) => {
    const parameters: Parameters = tensors(engine, start);
    let optimizer = new AdamW(parameters, SETTINGS);
    for (const [i, step] of steps.entries()) {
      if (interrupted && i === 3) {
        const state = await optimizer.stateToHost();
        assert.deepEqual([...state.tensors.keys()], ["exp_avg.a", "exp_avg.b", "exp_avg_sq.a", "exp_avg_sq.b"]);
        optimizer.dispose();
        optimizer = new AdamW(parameters, SETTINGS);
        await optimizer.loadState(state);
      }
      await takeStep(engine, optimizer, step);
    }
    const out = [...await parameters.get("a")!.data(), ...await parameters.get("b")!.data()];
    optimizer.dispose();
    disposeParameters(parameters);
    return out;
  };
  assert.deepEqual(await run(true), await run(false));
});

forEachEngine("bad settings, gradients and states are named", async (engine) => {
  const parameters = tensors(engine, start);
  const make = (change: object) => () => new AdamW(parameters, { ...SETTINGS, ...change });
  assert.throws(make({ learningRate: -1 }), /RangeError: learningRate must be at least 0: received -1/);
  assert.throws(make({ beta2: 1 }), /beta2 must be from 0 to below 1: received 1/);
  assert.throws(make({ weightDecay: NaN }), /weightDecay must be at least 0: received NaN/);
  const optimizer = new AdamW(parameters, SETTINGS);
  const [one, wrong] = [zeros(engine, [3, 4]), full(engine, [4], 1)];
  assert.throws(() => optimizer.step(new Map([["a", one]])), /received 1, none for 'b'/);
  assert.throws(() => optimizer.step([one, wrong]), /parameter 1 of shape \[5\]/);
  assert.equal(optimizer.stepCount, 0, "a refused step does not count");
  const state = await optimizer.stateToHost();
  state.tensors.delete("exp_avg.b");
  await assert.rejects(() => optimizer.loadState(state, "run/optimizer"), (error) => {
    return error instanceof UserError && /run\/optimizer: tensor 'exp_avg.b' is missing/.test(error.message);
  });
  tidy(() => {
    const odd: Parameters = new Map([["n", zeros(engine, [2], "int64")]]);
    assert.throws(() => new AdamW(odd, SETTINGS), /float32 master parameters: received int64 for 'n'/);
  });
  for (const each of [one, wrong, optimizer]) each.dispose();
  disposeParameters(parameters);
});
