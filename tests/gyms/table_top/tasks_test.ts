import assert from "node:assert/strict";
import { TableTop } from "../../../lib/gyms/table_top/table_top.ts";
import { describeTask, type TableTopTask, taskSucceeded } from "../../../lib/gyms/table_top/tasks.ts";

const start = new TableTop({ seed: 4, drawer: true, zone: true, objects: 2 }).state;

Deno.test("taskSucceeded: pushing into the zone counts when the object is let go on the table", () => {
  const task: TableTopTask = { kind: "push-to-zone", object: 1 };
  const state = structuredClone(start);
  state.objects[1].x = state.zone!.x + 0.15;
  state.objects[1].y = state.zone!.y;
  assert.equal(taskSucceeded(state, task), false);
  state.objects[1].x = state.zone!.x + 0.05;
  assert.equal(taskSucceeded(state, task), true);
  state.held = 1;
  assert.equal(taskSucceeded(state, task), false);
});

Deno.test("taskSucceeded: near, lifted, opened, closed", () => {
  const state = structuredClone(start);
  const [a, b] = state.objects;
  const near: TableTopTask = { kind: "move-near", object: 0, target: 1 };
  a.x = b.x + a.radius + b.radius + 0.1;
  a.y = b.y;
  assert.equal(taskSucceeded(state, near), false);
  a.x -= 0.08;
  assert.equal(taskSucceeded(state, near), true);
  assert.equal(taskSucceeded(state, { kind: "lift", object: 0 }), false);
  a.z = 0.1;
  assert.equal(taskSucceeded(state, { kind: "lift", object: 0 }), false);
  state.held = 0;
  assert.equal(taskSucceeded(state, { kind: "lift", object: 0 }), true);
  state.drawer!.opening = 0;
  assert.equal(taskSucceeded(state, { kind: "close-drawer" }), true);
  assert.equal(taskSucceeded(state, { kind: "open-drawer" }), false);
  state.drawer!.opening = 0.16;
  assert.equal(taskSucceeded(state, { kind: "open-drawer" }), true);
  assert.equal(taskSucceeded(state, { kind: "close-drawer" }), false);
});

Deno.test("describeTask is an instruction", () => {
  const { colour, shape } = start.objects[1];
  assert.equal(describeTask(start, { kind: "push-to-zone", object: 1 }), `push the ${colour} ${shape} into the zone`);
  assert.equal(describeTask(start, { kind: "open-drawer" }), "open the drawer");
});

Deno.test("tasks refuse scenes without what they are about", () => {
  const bare = new TableTop({ seed: 4 }).state;
  assert.throws(() => taskSucceeded(bare, { kind: "push-to-zone", object: 0 }), /needs a scene with a zone/);
  assert.throws(() => taskSucceeded(bare, { kind: "open-drawer" }), /need a scene with a drawer/);
  assert.throws(() => taskSucceeded(bare, { kind: "lift", object: 3 }), /must be in 0\.\.2: received 3/);
});
