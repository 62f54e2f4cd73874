/** Environments over a real model, and policies that run in them as in the simulator, unchanged. */
import assert from "node:assert/strict";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import type { VectorEnv } from "../../../lib/worlds/robot_video/environment.ts";
import { TableTopVectorEnv } from "../../../lib/gyms/table_top/table_top_env.ts";
import { WorldModelVectorEnv } from "../../../lib/worlds/robot_video/world_model_env.ts";
import type { FramePredictor } from "../../../lib/worlds/robot_video/frame_predictor.ts";
import { multiStepPredictor } from "../../../lib/worlds/robot_video/multi_step_predictor.ts";
import { makePolicy } from "../../../lib/studies/policies/make_policy.ts";
import type { Policy } from "../../../lib/worlds/robot_video/policy.ts";
import { startStates, startWorld } from "../../../lib/gyms/table_top/start_states.ts";
import type { TableTop } from "../../../lib/gyms/table_top/table_top.ts";
import { BINS, picture, SIDE, tinyTokenizer, tinyTransformer } from "./multi_step_support.ts";

Deno.test("WorldModelVectorEnv: a multi-step model's frames, its window, its reward", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  try {
    const model = tinyTransformer(engine), tokenizer = tinyTokenizer(engine);
    const newPredictor = () => multiStepPredictor({ model, tokenizer, bins: BINS, horizon: 2, sampling: { topK: 20 } });
    const alone = newPredictor(), inside = newPredictor();
    const env = new WorldModelVectorEnv({
      predictor: inside,
      actionRanges: BINS.ranges,
      maxSteps: 5,
      reward: ({ pixels }) => pixels[0],
    });
    const frames = [picture(1), picture(2)];
    const seen = await env.reset({ starts: frames.map((frame) => ({ frame })), seed: 4 });
    assert.deepEqual(seen.observations.map(({ pixels }) => pixels), await alone.reset(frames, 4));
    assert.deepEqual(env.limits.height, SIDE);
    const slid: boolean[] = [];
    for (let t = 0; t < 5; t++) {
      const actions = [Float32Array.of(0.5, 1), Float32Array.of(-0.5, t / 4)];
      const { observations, rewards, terminated, truncated, infos } = await env.step(actions);
      const expected = await alone.step(actions);
      assert.deepEqual(observations.map(({ pixels }) => pixels), expected);
      assert.deepEqual(rewards, expected.map(([red]) => red));
      assert.deepEqual(terminated, [false, false], "other robots' actions end nothing");
      assert.deepEqual(truncated, [t === 4, t === 4]);
      slid.push(infos[0].windowSlid);
    }
    assert.deepEqual(slid, [false, false, true, false, true]);
    await env.reset({ starts: [{ frame: frames[0] }] });
    await assert.rejects(
      env.step([Float32Array.of(9, 0)]),
      /RangeError: the action: .* must be in -1\.\.1: received 9/,
    );
    for (const each of [alone, inside]) each.dispose();
  } finally {
    engine.close();
  }
});

/** A predictor that knows the truth: start i is the scene i. */
function truth(scenes: readonly TableTop[], size: number): FramePredictor {
  const show = () => Promise.resolve(scenes.map((scene) => scene.render(size, size)));
  return {
    height: size,
    width: size,
    actionWidth: 13,
    horizon: 7,
    reset: show,
    step(actions) {
      actions.forEach((action, i) => action && scenes[i].step(action));
      return show();
    },
    dispose() {},
  };
}

Deno.test("environments: a policy runs in the simulator and in a model by the same lines", async () => {
  const size = 32, starts = startStates("open-drawer", 3, 8);
  async function run<Start extends { instruction?: string }>(
    env: VectorEnv<Start>,
    begin: readonly Start[],
    policy: Policy,
  ) {
    let { observations, infos } = await env.reset({ starts: begin, seed: 1 });
    await policy.reset(infos.map(({ instruction }) => instruction!), infos.map((_, i) => i));
    let ended = infos.map(() => false);
    while (!env.done) {
      const step = await env.step(await policy.act(observations.map((frame, i) => ended[i] ? null : frame)));
      ({ observations, infos } = step);
      ended = step.terminated.map((each, i) => each || step.truncated[i]);
    }
    return { steps: infos.map(({ steps }) => steps), last: observations, success: infos.map(({ success }) => success) };
  }
  const simulator = new TableTopVectorEnv({ height: size, width: size, maxSteps: 28 });
  const model = new WorldModelVectorEnv({
    predictor: truth(starts.map(startWorld), size),
    actionRanges: RT1_ACTION_RANGES,
    maxSteps: 28,
  });
  const scenes = starts.map(({ seed, objects, state, task }) => ({
    config: { seed, objects, drawer: true, zone: true },
    state,
    task,
  }));
  const real = await run(simulator, scenes, await makePolicy("scripted:expert"));
  const frames = starts.map((start) => ({
    frame: startWorld(start).render(size, size),
    instruction: start.instruction,
  }));
  const imagined = await run(model, frames, await makePolicy("scripted:expert"));
  assert.deepEqual(imagined.steps, real.steps);
  assert.deepEqual(imagined.last, real.last);
  assert.deepEqual(imagined.success, [null, null, null]);
  assert.ok(real.success.filter(Boolean).length >= 2, `an expert opens the drawer: ${real.success}`);
});
