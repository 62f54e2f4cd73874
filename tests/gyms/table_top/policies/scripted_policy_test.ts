import assert from "node:assert/strict";
import { UserError } from "../../../../lib/base/user_error.ts";
import { Philox } from "../../../../lib/tensor/random.ts";
import { RT1_ACTION_RANGES } from "../../../../lib/worlds/robot_video/actions.ts";
import { makePolicy } from "../../../../lib/studies/policies/make_policy.ts";
import { emptyAction, isTerminal } from "../../../../lib/worlds/robot_video/policy.ts";
import { RandomPolicy } from "../../../../lib/worlds/robot_video/random_policy.ts";
import { SceneTracker } from "../../../../lib/gyms/table_top/policies/scene_tracker.ts";
import { ScriptedPolicy } from "../../../../lib/gyms/table_top/policies/scripted_policy.ts";
import { SKILL_NAMES, type SkillName } from "../../../../lib/gyms/table_top/policies/scripted_skill.ts";
import { parseInstruction } from "../../../../lib/gyms/table_top/policies/task_plan.ts";
import { ScriptedBehaviour } from "../../../../lib/gyms/table_top/behaviour.ts";
import { START_TASKS, startStates, startWorld } from "../../../../lib/gyms/table_top/start_states.ts";
import { blurred, rollOut } from "./roll_out.ts";

/** Enough to see the levels apart; 50 starts a cell give the rates in the documentation. */
const STARTS = 12;

Deno.test("ScriptedPolicy: each level succeeds more often than the one below, from 32 × 32 frames alone", async () => {
  const rates: number[] = [];
  for (const skill of SKILL_NAMES) {
    let successes = 0;
    for (const task of START_TASKS) {
      const outcomes = await rollOut(new ScriptedPolicy(skill), startStates(task, STARTS, 5), { seed: 1 });
      successes += outcomes.filter(({ success }) => success).length;
      if (skill === "expert") {
        assert.ok(
          outcomes.filter(({ success }) => success).length >= 0.75 * STARTS,
          `${task}: ${JSON.stringify(outcomes)}`,
        );
      }
    }
    rates.push(successes / (START_TASKS.length * STARTS));
  }
  const [novice, learner, able, expert] = rates;
  assert.ok(novice < learner && learner < able && able < expert, `${rates}`);
  assert.ok(novice < 0.3 && learner > 0.15 && learner < 0.6 && able > 0.45 && able < 0.9 && expert > 0.85, `${rates}`);
});

Deno.test("ScriptedPolicy: an expert copes with blur and noise, and with larger frames", async () => {
  const random = new Philox(3);
  const starts = [...startStates("close-drawer", 4, 8), ...startStates("push-to-zone", 4, 8)];
  const blurry = await rollOut(new ScriptedPolicy("expert"), starts, { spoil: (frame) => blurred(frame, random, 5) });
  assert.ok(blurry.filter(({ success }) => success).length >= 6, JSON.stringify(blurry));
  const large = await rollOut(new ScriptedPolicy("expert"), starts.slice(2, 6), { side: 64 });
  assert.ok(large.filter(({ success }) => success).length >= 3, JSON.stringify(large));
});

Deno.test("ScriptedPolicy: the same seeds and frames give the same actions, whoever else is in the batch", async () => {
  const starts = [...startStates("open-drawer", 2, 3), ...startStates("push-to-zone", 1, 3)];
  const frames = starts.map((start) => ({ pixels: startWorld(start).render(32, 32), height: 32, width: 32 }));
  const instructions = starts.map(({ instruction }) => instruction);
  const all = new ScriptedPolicy("learner"), one = new ScriptedPolicy("learner");
  await all.reset(instructions, [1, 2, 3]);
  await one.reset([instructions[2]], [3]);
  for (let step = 0; step < 5; step++) {
    const actions = await all.act([frames[0], step < 2 ? frames[1] : null, frames[2]]);
    assert.equal(actions[1] === null, step >= 2);
    assert.deepEqual((await one.act([frames[2]]))[0], actions[2]);
    for (const action of actions) {
      action?.forEach((value, d) => assert.ok(value >= RT1_ACTION_RANGES.min[d] && value <= RT1_ACTION_RANGES.max[d]));
    }
  }
  await one.reset([instructions[2]], [4]);
  await all.reset(instructions, [1, 2, 3]);
  assert.notDeepEqual((await one.act([frames[2]]))[0], (await all.act(frames))[2]);
});

Deno.test("ScriptedPolicy: frames that show nothing, or another thing each time, do no harm", async () => {
  const random = new Philox(6),
    instructions = ["push the blue disc into the zone", "open the drawer", "close the drawer"];
  const policy = new ScriptedPolicy("expert");
  await policy.reset(instructions, [1, 2, 3]);
  for (let step = 0; step < 8; step++) {
    const pixels = Uint8Array.from({ length: 32 * 40 * 3 }, () => step < 4 ? 128 : random.integer(0, 256));
    const frame = { pixels, height: 32, width: 40 };
    for (const action of await policy.act([frame, frame, frame])) {
      action!.forEach((value, d) => assert.ok(value >= RT1_ACTION_RANGES.min[d] && value <= RT1_ACTION_RANGES.max[d]));
    }
  }
});

Deno.test("SceneTracker: gripper, object and drawer are found and followed", () => {
  const errors = { arm: [] as number[], object: [] as number[], drawer: [] as number[] };
  for (const start of startStates("push-to-zone", 5, 2)) {
    const world = startWorld(start), tracker = new SceneTracker(start.state.objects);
    const behaviour = new ScriptedBehaviour(new Philox(start.seed));
    let action: Float32Array | null = null;
    for (let t = 0; t < 14; t++) {
      const truth = world.state;
      const scene = tracker.look({ pixels: world.render(32, 32), height: 32, width: 32 }, action);
      errors.arm.push(Math.hypot(scene.arm.x - truth.arm.x, scene.arm.y - truth.arm.y, scene.arm.z - truth.arm.z));
      errors.object.push(Math.hypot(scene.objects[0].x - truth.objects[0].x, scene.objects[0].y - truth.objects[0].y));
      errors.drawer.push(Math.abs(scene.drawer!.opening - truth.drawer!.opening));
      action = behaviour.action(truth);
      world.step(action);
    }
  }
  // A pixel is 0.033 table widths wide.
  for (const [what, values] of Object.entries(errors)) {
    values.sort((a, b) => a - b);
    const [median, most] = [values[values.length >> 1], values[Math.floor(0.9 * values.length)]];
    assert.ok(median < 0.01 && most < 0.03, `${what}: median ${median}, nine of ten below ${most}`);
  }
});

Deno.test("RandomPolicy: moves, goes on, and is reproducible", async () => {
  const policy = new RandomPolicy(), frame = { pixels: new Uint8Array(3), height: 1, width: 1 };
  const run = async () => {
    await policy.reset(["anything", "else"], [1, 2]);
    const steps = [];
    for (let t = 0; t < 30; t++) steps.push(await policy.act([frame, frame]));
    return steps;
  };
  const steps = await run();
  assert.deepEqual(await run(), steps);
  assert.notDeepEqual(steps[0][0], steps[0][1]);
  let way = 0;
  for (const action of steps.flat()) {
    assert.ok(!isTerminal(action!));
    action!.forEach((value, d) => assert.ok(value >= RT1_ACTION_RANGES.min[d] && value <= RT1_ACTION_RANGES.max[d]));
    way += Math.abs(action![10]) / 60;
  }
  assert.ok(way > 0.4 && way < 1, `${way}`);
});

Deno.test("isTerminal: only [1, 0, 0] ends an episode", () => {
  assert.ok(isTerminal(emptyAction(true)) && !isTerminal(emptyAction()) && !isTerminal(new Float32Array(13)));
  const both = emptyAction(true);
  both[8] = 1;
  assert.ok(!isTerminal(both));
});

Deno.test("makePolicy: policies by name", async () => {
  for (const spec of ["random", ...SKILL_NAMES.map((skill) => `scripted:${skill}`), "http://localhost:1"]) {
    assert.equal((await makePolicy(spec)).name, spec);
  }
  for (
    const [spec, pattern] of [
      ["scripted", /there is no policy "scripted": use random, scripted:novice, /],
      ["scripted:genius", /there is no scripted policy "genius": use one of novice, learner, able, expert/],
      ["rt1:/nowhere", /\/nowhere holds no SavedModel/],
      ["", /there is no policy ""/],
    ] as const
  ) {
    await assert.rejects(makePolicy(spec), (error: Error) => error instanceof UserError && pattern.test(error.message));
  }
});

Deno.test("scripted policies refuse what they cannot do", async () => {
  const policy = new ScriptedPolicy("able"), small = { pixels: new Uint8Array(16 * 16 * 3), height: 16, width: 16 };
  await assert.rejects(policy.act([small]), /call reset first/);
  await assert.rejects(
    policy.reset(["lift the red block"], [1]),
    /do not know the instruction "lift the red block": they know/,
  );
  await assert.rejects(policy.reset([], []), /at least one instruction/);
  await policy.reset(["open the drawer"], [1]);
  await assert.rejects(policy.act([small]), /frames of at least 24x24: received 16x16/);
  await assert.rejects(policy.act([]), /for each of 1 episodes: received 0/);
  await assert.rejects(policy.act([{ ...small, width: 15 }]), /a frame of 16x15 needs 720 bytes: received 768/);
  assert.throws(() => new ScriptedPolicy("constructor" as SkillName), /there is no scripted policy "constructor"/);
  assert.throws(() => parseInstruction("push the red cloud into the zone"), /do not know/);
});
