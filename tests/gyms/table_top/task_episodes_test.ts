import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import { isTerminal } from "../../../lib/worlds/robot_video/policy.ts";
import { type TableTopBehaviour, tableTopEpisodes } from "../../../lib/gyms/table_top/episodes.ts";
import { startWorld } from "../../../lib/gyms/table_top/start_states.ts";
import { TaskBehaviour, taskScene } from "../../../lib/gyms/table_top/task_behaviour.ts";
import { taskSucceeded } from "../../../lib/gyms/table_top/tasks.ts";

Deno.test("tableTopEpisodes: the default is the busy behaviour, with the fingerprint that it always had", () => {
  const options = { episodes: 4, length: 12, height: 24, width: 32, seed: 7 };
  const fingerprint = "a5b22a4be0d09479a23b2c81ea1866f1244e76616c683b22f84c12dd445457cc";
  assert.equal(tableTopEpisodes(options).fingerprint, fingerprint);
  assert.equal(tableTopEpisodes({ ...options, behaviour: "busy" }).fingerprint, fingerprint);
  assert.notEqual(
    tableTopEpisodes({ ...options, behaviour: "tasks" }).fingerprint,
    tableTopEpisodes({ ...options, objects: 1, drawer: true, zone: true }).fingerprint,
  );
});

Deno.test("tableTopEpisodes tasks: reproducible, within RT-1's ranges, with attempts that end", async () => {
  const options = { episodes: 8, length: 40, height: 16, width: 16, seed: 4, behaviour: "tasks" as const };
  const one = tableTopEpisodes(options), other = tableTopEpisodes(options);
  await other.load(5);
  assert.deepEqual(await other.load(2), await one.load(2));
  let ends = 0;
  for (let index = 0; index < one.length; index++) {
    const { actions, length } = await one.load(index);
    for (let t = 0; t < length; t++) {
      const action = actions.subarray(13 * t, 13 * t + 13);
      action.forEach((value, d) => assert.ok(value >= RT1_ACTION_RANGES.min[d] && value <= RT1_ACTION_RANGES.max[d]));
      if (t < length - 1) ends += Number(isTerminal(action));
      else assert.ok(isTerminal(action));
    }
  }
  assert.ok(ends >= 4 && ends <= 40, `${ends} attempts ended`);
});

Deno.test("TaskBehaviour: tasks are attempted with success and without", () => {
  const outcomes: Record<string, boolean[]> = {};
  for (let index = 0; index < 60; index++) {
    const random = new Philox(9, index);
    const { seed, firstTask } = taskScene(random, 1);
    const world = startWorld({ seed, objects: 1 });
    assert.equal(taskSucceeded(world.state, firstTask), false);
    const behaviour = new TaskBehaviour(random, 0.08, firstTask);
    for (let t = 0; t < 28; t++) {
      const action = behaviour.action(world.state);
      world.step(action);
      if (isTerminal(action)) break;
    }
    (outcomes[firstTask.kind] ??= []).push(taskSucceeded(world.state, firstTask));
  }
  assert.equal(Object.keys(outcomes).length, 3);
  for (const [kind, all] of Object.entries(outcomes)) {
    const rate = all.filter((success) => success).length / all.length;
    assert.ok(rate > 0.15 && rate < 0.8, `${kind}: ${rate} of ${all.length}`);
  }
});

Deno.test("tableTopEpisodes refuses a behaviour that there is not, and tasks without their scenery", () => {
  const options = { episodes: 2, seed: 1 };
  const unknown = "lazy" as TableTopBehaviour;
  assert.throws(
    () => tableTopEpisodes({ ...options, behaviour: unknown }),
    /behaviour must be "busy" or "tasks": received "lazy"/,
  );
  assert.throws(
    () => tableTopEpisodes({ ...options, behaviour: "tasks", zone: false }),
    /needs scenes with a drawer and a zone/,
  );
});
