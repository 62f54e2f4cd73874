/** Environments over the true simulator and over a predictor: books, limits, windows, what they refuse. */
import assert from "node:assert/strict";
import { RT1_ACTION, RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import { TableTopEnv, type TableTopStart, TableTopVectorEnv } from "../../../lib/gyms/table_top/table_top_env.ts";
import { WorldModelEnv, WorldModelVectorEnv } from "../../../lib/worlds/robot_video/world_model_env.ts";
import type { FramePredictor } from "../../../lib/worlds/robot_video/frame_predictor.ts";
import { emptyAction } from "../../../lib/worlds/robot_video/policy.ts";
import { DRAWER } from "../../../lib/gyms/table_top/state.ts";
import { TableTop } from "../../../lib/gyms/table_top/table_top.ts";
import { taskSucceeded } from "../../../lib/gyms/table_top/tasks.ts";

const SIZE = 24;

/** A predictor that knows the truth: the simulator, seen only through frames. Its scene is named by the seed. */
function simulatorPredictor(horizon: number): FramePredictor & { resets: number[] } {
  let tables: TableTop[] = [], shown: Uint8Array[] = [];
  const render = (table: TableTop) => table.render(SIZE, SIZE);
  return {
    height: SIZE,
    width: SIZE,
    actionWidth: 13,
    horizon,
    resets: [],
    reset(frames, seed) {
      this.resets.push(seed);
      tables = frames.map((_, i) => new TableTop({ seed: seed + i }));
      return Promise.resolve(shown = tables.map(render));
    },
    step(actions) {
      actions.forEach((action, i) => action && tables[i].step(action));
      return Promise.resolve(shown = shown.map((old, i) => actions[i] ? render(tables[i]) : old));
    },
    dispose() {},
  };
}

function move(x: number, y = 0, z = 0): Float32Array {
  const action = emptyAction();
  action.set([x, y, z], RT1_ACTION.worldVector);
  return action;
}

const frame = new TableTop({ seed: 5 }).render(SIZE, SIZE);

Deno.test("TableTopEnv: shows, rewards and judges as the simulator does", async () => {
  const start: TableTopStart = { config: { seed: 11, drawer: true }, task: { kind: "close-drawer" } };
  const table = new TableTop(start.config);
  const state = table.state;
  // Just before it is closed, the lowered gripper in front of it.
  state.drawer!.opening = 0.06;
  state.arm = { x: DRAWER.cabinetWidth + 0.14, y: 0.4, z: 0, angle: 0, closedness: 1 };
  const env = new TableTopEnv({ height: SIZE, width: SIZE, maxSteps: 6 });
  const { observation, info } = await env.reset({ ...start, state });
  table.setState(state);
  assert.deepEqual(observation, { pixels: table.render(SIZE, SIZE), height: SIZE, width: SIZE });
  assert.deepEqual(info, { steps: 0, instruction: "close the drawer", success: false, windowSlid: false });
  const rewards: (number | null)[] = [];
  for (let t = 1; t <= 6; t++) {
    const step = await env.step(move(-1));
    table.step(move(-1));
    assert.deepEqual(step.observation.pixels, table.render(SIZE, SIZE));
    assert.equal(step.info.success, taskSucceeded(table.state, start.task!));
    assert.equal(step.info.steps, t);
    assert.deepEqual([step.terminated, step.truncated], [false, t === 6]);
    rewards.push(step.reward);
  }
  assert.deepEqual(env.state, table.state);
  assert.equal(rewards[0], 0, "at first it is open");
  assert.equal(rewards[5], 1, "in the end it is closed");

  const ending = new TableTopEnv({ height: SIZE, width: SIZE, endOnSuccess: true });
  await ending.reset({ ...start, state });
  for (const reward of rewards.slice(0, rewards.indexOf(1))) {
    assert.deepEqual((await ending.step(move(-1))).reward, reward);
  }
  const last = await ending.step(move(-1));
  assert.deepEqual([last.reward, last.terminated, last.truncated], [1, true, false]);
  await assert.rejects(ending.step(move(-1)), /the episode has ended \(terminated at step \d\): reset the environment/);

  const aimless = new TableTopEnv({ height: SIZE, width: SIZE });
  assert.deepEqual((await aimless.reset({ config: { seed: 1 } })).info.success, null);
  assert.equal((await aimless.step(move(0))).reward, null);
});

Deno.test("environments: the same actions give the same books in a simulator and in a model", async () => {
  const starts: TableTopStart[] = [0, 1, 2].map((i) => ({ config: { seed: 40 + i } }));
  const truth = new TableTopVectorEnv({ height: SIZE, width: SIZE, maxSteps: 4 });
  const model = new WorldModelVectorEnv({ predictor: simulatorPredictor(Infinity), maxSteps: 4 });
  const first = await truth.reset({ starts });
  const frames = starts.map(() => ({ frame, instruction: "lift" }));
  assert.deepEqual((await model.reset({ starts: frames, seed: 40 })).observations, first.observations);
  assert.equal(truth.count, 3);
  const stop = emptyAction(true);
  const script = [
    [move(1), stop, move(0.5, 1)],
    [move(1), null, move(0.5, 1)],
    [stop, null, move(0.5, 1)],
    [null, null, move(0.5, 1)],
  ];
  for (const [t, actions] of script.entries()) {
    const a = await truth.step(actions), b = await model.step(actions);
    assert.deepEqual(b.observations, a.observations);
    assert.deepEqual(b.terminated, a.terminated);
    assert.deepEqual(b.truncated, a.truncated);
    assert.deepEqual(a.terminated, [t >= 2, true, false]);
    assert.deepEqual(a.truncated, [false, false, t === 3]);
    assert.deepEqual(a.infos.map(({ steps }) => steps), [Math.min(t + 1, 3), 1, t + 1]);
    assert.deepEqual(b.infos.map(({ instruction, success }) => [instruction, success]), Array(3).fill(["lift", null]));
    assert.equal(truth.done, t === 3);
  }
  await assert.rejects(
    truth.step([null, null, move(1)]),
    /episode 2 has ended \(truncated at step 4\): give null for it, or reset/,
  );
  assert.deepEqual((await truth.step([null, null, null])).truncated, [false, false, true]);
  await truth.reset({ starts });
  assert.deepEqual((await truth.step(starts.map(() => move(1)))).terminated, [false, false, false]);
});

Deno.test("WorldModelEnv: the window slides every `horizon` steps and says so, or is refused", async () => {
  const env = new WorldModelEnv({ predictor: simulatorPredictor(3), maxSteps: 8 });
  assert.deepEqual(env.notes, [
    "the model predicts 3 frames in a row, then its window slides: the last frame is the start again",
  ]);
  for (let round = 0; round < 2; round++) {
    await env.reset({ frame, seed: 2 });
    const slid: number[] = [];
    for (let t = 1; t <= 8; t++) if ((await env.step(move(0))).info.windowSlid) slid.push(t);
    assert.deepEqual(slid, [4, 7]);
  }
  assert.deepEqual(new WorldModelEnv({ predictor: simulatorPredictor(3), maxSteps: 3 }).notes, []);
  assert.deepEqual(new WorldModelEnv({ predictor: simulatorPredictor(Infinity) }).notes, []);
  assert.throws(
    () => new WorldModelEnv({ predictor: simulatorPredictor(3), maxSteps: 4, window: "refuse" }),
    /RangeError: maxSteps must be at most 3, the frames that the model predicts in a row: received 4/,
  );
  const strict = new WorldModelEnv({ predictor: simulatorPredictor(3), window: "refuse" });
  await strict.reset({ frame });
  for (let t = 0; t < 3; t++) await strict.step(move(0));
  await assert.rejects(
    strict.step(move(0)),
    /RangeError: the model predicts 3 frames in a row, and that many were: reset/,
  );
});

Deno.test("WorldModelEnv: the reward is a function of the frame and the instruction", async () => {
  const seen: [number, string | null][] = [];
  const env = new WorldModelVectorEnv({
    predictor: simulatorPredictor(Infinity),
    reward: ({ pixels, height }, instruction) => {
      seen.push([height, instruction]);
      return Promise.resolve(pixels[0] / 255);
    },
  });
  await env.reset({ starts: [{ frame, instruction: "lift" }, { frame }], seed: 3 });
  const { rewards, observations } = await env.step([move(1), emptyAction(true)]);
  assert.deepEqual(rewards, observations.map(({ pixels }) => pixels[0] / 255));
  assert.deepEqual(seen, [[SIZE, "lift"], [SIZE, null]]);
  assert.deepEqual((await env.step([move(1), null])).rewards[1], 0, "an episode that has ended earns nothing more");
  const wrong = new WorldModelEnv({ predictor: simulatorPredictor(Infinity), reward: () => NaN });
  await wrong.reset({ frame });
  await assert.rejects(wrong.step(move(0)), /the reward of a frame must be a finite number: received NaN/);
  await assert.rejects(wrong.step(move(0)), /step was called before reset/);
});

Deno.test("environments: what they refuse, and that nothing has moved then", async () => {
  const predictor = simulatorPredictor(Infinity);
  const env = new WorldModelVectorEnv({ predictor, actionRanges: RT1_ACTION_RANGES });
  await assert.rejects(env.step([move(0)]), /step was called before reset: reset the environment first/);
  await assert.rejects(env.reset({ starts: [] }), /reset needs at least one start/);
  await assert.rejects(
    env.reset({ starts: [{ frame }], seed: -1 }),
    /seed must be a whole number of at least 0: received -1/,
  );
  await assert.rejects(
    env.reset({ starts: [{ frame }, { frame: new Uint8Array(12) }] }),
    /start 1 must be a frame \[24, 24, 3\] of bytes: received 12 bytes/,
  );
  await assert.rejects(
    env.reset({ starts: [{ frame: { pixels: frame, height: 12, width: 48 } }] }),
    /the start must be a frame \[24, 24, 3\] of bytes: received \[12, 48, 3\]/,
  );
  await env.reset({ starts: [{ frame }, { frame }], seed: 9 });
  const nan = move(0), far = move(0);
  nan[3] = NaN;
  far[11] = -6;
  const bad: [(Float32Array | number[] | null)[], RegExp][] = [
    [[move(0)], /one action an episode \(2\): received 1/],
    [[move(0), null], /episode 1 goes on: give it an action/],
    [[move(0), [1, 2]], /the action of episode 1 must have 13 numbers: received 2/],
    [[nan, move(0)], /the action of episode 0: gripper_closedness_action must be a finite number: received NaN/],
    [[move(1), far], /the action of episode 1: world_vector\[1\] must be in -5\.49\d*\.\.22\.0\d*: received -6/],
  ];
  for (const [actions, says] of bad) await assert.rejects(env.step(actions), says);
  const still = await env.step([move(0), move(0)]);
  assert.deepEqual(still.infos.map(({ steps }) => steps), [1, 1]);
  const untouched = new TableTop({ seed: 9 });
  untouched.step(move(0));
  assert.deepEqual(still.observations[0].pixels, untouched.render(SIZE, SIZE));
  const both = Promise.allSettled([env.step([move(0), move(0)]), env.step([move(0), move(0)])]);
  assert.match(
    String((await both)[1].status === "rejected" && ((await both)[1] as PromiseRejectedResult).reason),
    /at work/,
  );
  assert.throws(
    () => new TableTopEnv({ height: 8, width: 8, maxSteps: 0 }),
    /maxSteps must be an integer of at least 1: received 0/,
  );
  assert.throws(
    () => new WorldModelEnv({ predictor: { ...predictor, actionWidth: 4 }, actionRanges: RT1_ACTION_RANGES }),
    /actions have 4 numbers, their ranges 13/,
  );
});
