import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Philox } from "../../../lib/tensor/random.ts";
import { RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import { ScriptedBehaviour } from "../../../lib/gyms/table_top/behaviour.ts";
import {
  DRAWER,
  GRIPPER,
  OBJECT_HEIGHT,
  TABLE,
  type TableObject,
  type TableTopState,
} from "../../../lib/gyms/table_top/state.ts";
import { TableTop } from "../../../lib/gyms/table_top/table_top.ts";

const OVER_IT = 0.1;

/** An action that moves the gripper by x, y, z in table widths and closes it by `grip`. */
function act(x: number, y: number, z: number, grip = 0, turn = 0): Float32Array {
  const action = new Float32Array(13);
  action.set([x / 0.05, y / 0.05, z / 0.05], 10);
  action[3] = grip;
  action[6] = turn;
  return action;
}

function object(x: number, y: number, shape: TableObject["shape"] = "block"): TableObject {
  return { shape, colour: "red", radius: 0.05, x, y, z: 0, angle: 0, vx: 0, vy: 0 };
}

/** A world with the given objects and the gripper somewhere. */
function scene(
  objects: TableObject[],
  arm: Partial<TableTopState["arm"]>,
  options: { drawer?: boolean } = {},
): TableTop {
  const world = new TableTop({ seed: 1, ...options });
  const state = world.state;
  world.setState({
    ...state,
    objects,
    arm: { ...state.arm, x: 0.5, y: 0.4, z: OVER_IT, closedness: 0, angle: 0, ...arm },
  });
  return world;
}

function gap(a: { x: number; y: number; radius: number }, b: { x: number; y: number; radius: number }): number {
  return Math.hypot(a.x - b.x, a.y - b.y) - a.radius - b.radius;
}

Deno.test("TableTop: the same seed gives the same frames, another seed others", () => {
  const digest = (seed: number) => {
    const world = new TableTop({ seed, drawer: true, zone: true, slip: 0.2 });
    const behaviour = new ScriptedBehaviour(new Philox(seed, 9));
    const hash = createHash("sha256");
    for (let t = 0; t < 20; t++) {
      hash.update(world.render(32, 40));
      world.step(behaviour.action(world.state));
    }
    return hash.digest("hex");
  };
  assert.equal(digest(5), digest(5));
  assert.notEqual(digest(5), digest(6));
});

Deno.test("TableTop: a state survives JSON, and goes on as the original does, noise included", () => {
  const world = new TableTop({ seed: 3, slip: 0.5 });
  const behaviour = new ScriptedBehaviour(new Philox(3));
  for (let t = 0; t < 15; t++) world.step(behaviour.action(world.state));
  const copy = new TableTop({ seed: 3, slip: 0.5 });
  copy.setState(JSON.parse(JSON.stringify(world.state)));
  for (let t = 0; t < 15; t++) {
    const action = behaviour.action(world.state);
    world.step(action);
    copy.step(action);
  }
  assert.deepEqual(copy.state, world.state);
  assert.deepEqual(copy.render(24, 24), world.render(24, 24));
  world.state.arm.x = -5;
  assert.deepEqual(copy.state, world.state);
  world.reset();
  assert.deepEqual(world.state, new TableTop({ seed: 3, slip: 0.5 }).state);
  world.reset(4);
  assert.deepEqual(world.state, new TableTop({ seed: 4, slip: 0.5 }).state);
});

Deno.test("TableTop: nothing leaves the table or overlaps, whatever the robot does", () => {
  let pushed = 0, lifted = 0;
  for (let seed = 0; seed < 120; seed++) {
    const world = new TableTop({ seed, objects: 1 + seed % 4, drawer: seed % 3 === 0, slip: seed % 5 === 0 ? 0.3 : 0 });
    const random = new Philox(seed, 1);
    const behaviour = new ScriptedBehaviour(random, 0.1);
    const start = world.state;
    for (let t = 0; t < 50; t++) {
      const wild = () => 2 * (random.uniform() - 0.5);
      world.step(
        seed % 2 === 0
          ? behaviour.action(world.state)
          : act(0.09 * wild(), 0.09 * wild(), 0.07 * wild() - 0.01, wild(), wild()),
      );
      const state = world.state;
      const left = state.drawer === null ? 0 : DRAWER.cabinetWidth;
      assert.ok(
        state.arm.z >= 0 && state.arm.z <= GRIPPER.maxZ && state.arm.closedness >= 0 && state.arm.closedness <= 1,
      );
      if (state.drawer !== null) assert.ok(state.drawer.opening >= 0 && state.drawer.opening <= DRAWER.travel + 1e-9);
      state.objects.forEach((a, i) => {
        assert.ok(Number.isFinite(a.x + a.y + a.z + a.angle) && a.z >= 0);
        if (i === state.held) lifted += Number(a.z > 0.08);
        if (i === state.held || a.z >= OBJECT_HEIGHT) return;
        const where = `seed ${seed}, step ${t}, object ${i}`;
        assert.ok(a.x >= left + a.radius - 1e-3 && a.x <= TABLE.width - a.radius + 1e-3, where);
        assert.ok(a.y >= a.radius - 1e-3 && a.y <= TABLE.depth - a.radius + 1e-3, where);
        state.objects.forEach((b, j) => {
          if (j !== i && b.z < OBJECT_HEIGHT) assert.ok(gap(a, b) > -1e-3, `${where}: overlaps ${j} by ${-gap(a, b)}`);
        });
      });
    }
    pushed += Number(
      world.state.objects.some((o, i) => Math.hypot(o.x - start.objects[i].x, o.y - start.objects[i].y) > 0.05),
    );
  }
  assert.ok(pushed > 60 && lifted > 300, `${pushed} ${lifted}`);
});

for (const [ux, uy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [Math.SQRT1_2, Math.SQRT1_2]]) {
  Deno.test(`TableTop: pushing towards (${ux.toFixed(1)}, ${uy.toFixed(1)}) moves the object that way, by as much`, () => {
    const world = scene([object(0.5, 0.4)], { x: 0.5 - 0.12 * ux, y: 0.4 - 0.12 * uy, z: 0.01, closedness: 1 });
    for (let t = 0; t < 4; t++) world.step(act(0.04 * ux, 0.04 * uy, 0));
    const { objects: [pushed], arm } = world.state;
    const along = (pushed.x - 0.5) * ux + (pushed.y - 0.4) * uy,
      across = (pushed.x - 0.5) * -uy + (pushed.y - 0.4) * ux;
    // The gripper went 0.16, of which 0.04 was the gap; gliding adds a little.
    assert.ok(along > 0.119 && along < 0.145, `${along}`);
    assert.ok(Math.abs(across) < 1e-6);
    assert.ok(gap(pushed, { ...arm, radius: GRIPPER.closedRadius }) > -1e-6);
    for (let t = 0; t < 5; t++) world.step(act(-0.04 * ux, -0.04 * uy, 0));
    const rest = world.state.objects[0];
    world.step(act(0, 0, 0));
    assert.deepEqual(world.state.objects[0], rest);
  });
}

Deno.test("TableTop: an object that is pushed off its middle turns and goes aside", () => {
  const world = scene([object(0.5, 0.4)], { x: 0.38, y: 0.38, z: 0.01, closedness: 1 });
  for (let t = 0; t < 4; t++) world.step(act(0.04, 0, 0));
  const { objects: [pushed] } = world.state;
  assert.ok(pushed.x > 0.55 && pushed.y > 0.41 && Math.abs(pushed.angle) > 0.05);
});

Deno.test("TableTop: a pushed object pushes the next, and what is pinned stops the gripper", () => {
  const world = scene([object(0.75, 0.4), object(0.86, 0.4)], { x: 0.6, y: 0.4, z: 0.01, closedness: 1 });
  for (let t = 0; t < 8; t++) world.step(act(0.06, 0, 0));
  const { objects: [first, second], arm } = world.state;
  assert.ok(Math.abs(second.x - 0.95) < 1e-3 && Math.abs(first.x - 0.85) < 2e-3, `${first.x} ${second.x}`);
  assert.ok(Math.abs(arm.x - 0.77) < 5e-3, `${arm.x}`);
});

Deno.test("TableTop: a raised gripper touches nothing", () => {
  const world = scene([object(0.5, 0.4)], { x: 0.38, y: 0.4, z: OVER_IT, closedness: 1 });
  const before = world.state.objects;
  for (let t = 0; t < 5; t++) world.step(act(0.06, 0, 0));
  assert.deepEqual(world.state.objects, before);
});

Deno.test("TableTop: grasp, lift, carry, drop", () => {
  const world = scene([object(0.5, 0.4, "disc")], { x: 0.51, y: 0.4 });
  for (let t = 0; t < 2; t++) world.step(act(0, 0, -0.06));
  assert.deepEqual([world.state.straddled, world.state.held], [0, null]);
  for (let t = 0; t < 2; t++) world.step(act(0, 0, 0, 1));
  assert.equal(world.state.held, 0);
  for (let t = 0; t < 3; t++) world.step(act(0, 0, 0.06));
  const lifted = world.state;
  assert.ok(Math.abs(lifted.objects[0].z - lifted.arm.z) < 1e-6 && lifted.objects[0].z > 0.15);
  for (let t = 0; t < 4; t++) world.step(act(-0.06, 0.03, 0, 0, 0.2));
  const { arm, objects: [carried] } = world.state;
  assert.ok(Math.hypot(carried.x - arm.x, carried.y - arm.y) < 1e-6 && Math.abs(arm.x - 0.27) < 1e-6);
  assert.ok(Math.abs(carried.angle - 0.8) < 1e-5);
  for (let t = 0; t < 5; t++) world.step(act(0, 0, 0, -1));
  const dropped = world.state;
  assert.deepEqual([dropped.held, dropped.straddled, dropped.objects[0].z], [null, null, 0]);
  assert.ok(Math.hypot(dropped.objects[0].x - arm.x, dropped.objects[0].y - arm.y) < 1e-6);
});

Deno.test("TableTop: closed fingers, and fingers beside an object, come to rest on it", () => {
  const closed = scene([object(0.5, 0.4)], { x: 0.5, y: 0.4, closedness: 1 });
  for (let t = 0; t < 3; t++) closed.step(act(0, 0, -0.06));
  assert.equal(closed.state.arm.z, GRIPPER.contactHeight);
  const beside = scene([object(0.5, 0.4)], { x: 0.56, y: 0.4 });
  for (let t = 0; t < 3; t++) beside.step(act(0, 0, -0.06));
  assert.equal(beside.state.arm.z, GRIPPER.contactHeight);
  assert.equal(beside.state.straddled, null);
});

Deno.test("TableTop: the drawer is pulled open by its handle and pushed shut", () => {
  const handle = DRAWER.cabinetWidth + DRAWER.handleReach + GRIPPER.closedRadius,
    middle = (DRAWER.top + DRAWER.bottom) / 2;
  const world = scene([object(0.8, 0.4)], { x: handle, y: middle, z: 0.02 }, { drawer: true });
  world.setState({ ...world.state, drawer: { opening: 0, held: false } });
  for (let t = 0; t < 2; t++) world.step(act(0, 0, 0, 1));
  assert.equal(world.state.drawer!.held, true);
  for (let t = 0; t < 4; t++) world.step(act(0.06, 0, 0));
  assert.ok(Math.abs(world.state.drawer!.opening - DRAWER.travel) < 1e-9);
  for (let t = 0; t < 2; t++) world.step(act(0, 0, 0, -1));
  assert.equal(world.state.drawer!.held, false);
  for (let t = 0; t < 2; t++) world.step(act(0, 0, 0.06, 0));
  for (let t = 0; t < 2; t++) world.step(act(0.03, 0, 0, 1));
  for (let t = 0; t < 3; t++) world.step(act(0, 0, -0.06));
  for (let t = 0; t < 6; t++) world.step(act(-0.06, 0, 0));
  assert.ok(world.state.drawer!.opening < 1e-9, JSON.stringify(world.state));
});

Deno.test("TableTop: slip makes pushes stray, differently for every seed, and is off by default", () => {
  const end = (config: { seed: number; slip?: number }) => {
    const world = new TableTop(config);
    const state = world.state;
    world.setState({
      ...state,
      objects: [object(0.4, 0.4)],
      arm: { ...state.arm, x: 0.28, y: 0.4, z: 0.01, closedness: 1 },
    });
    for (let t = 0; t < 5; t++) world.step(act(0.04, 0, 0));
    return world.state.objects[0];
  };
  assert.deepEqual(end({ seed: 1 }), end({ seed: 2 }));
  assert.notDeepEqual(end({ seed: 1, slip: 0.3 }), end({ seed: 2, slip: 0.3 }));
  assert.deepEqual(end({ seed: 1, slip: 0.3 }), end({ seed: 1, slip: 0.3 }));
});

Deno.test("TableTop: dimensions that mean nothing here change nothing", () => {
  const one = new TableTop({ seed: 8 }), other = new TableTop({ seed: 8 });
  const action = act(0.03, -0.02, -0.04, 0.5, 0.1);
  one.step(action);
  action.set([0.3, 0.001, -0.2], 0);
  action.set([1, -1], 4);
  action.set([0, 1, 0], 7);
  other.step(action);
  assert.deepEqual(other.state, one.state);
});

Deno.test("TableTop renders every part: what changes in the state changes the picture", () => {
  const world = new TableTop({ seed: 2, drawer: true, zone: true, objects: 4 });
  const state = world.state;
  const picture = (change: (state: TableTopState) => void, size = 48) => {
    const copy = structuredClone(state);
    change(copy);
    const shown = new TableTop({ seed: 2 });
    shown.setState(copy);
    return shown.render(size, size);
  };
  const plain = picture(() => {});
  assert.equal(plain.length, 48 * 48 * 3);
  const changes: [string, (state: TableTopState) => void][] = [
    ["arm.x", (s) => s.arm.x += 0.02],
    ["arm.y", (s) => s.arm.y += 0.02],
    ["arm.z", (s) => s.arm.z += 0.02],
    ["arm.angle", (s) => s.arm.angle += 0.3],
    ["arm.closedness", (s) => s.arm.closedness = 1],
    ["object.x", (s) => s.objects[0].x += 0.01],
    ["object.colour", (s) => s.objects[0].colour = s.objects[0].colour === "red" ? "blue" : "red"],
    ["object.shape", (s) => s.objects[0].shape = s.objects[0].shape === "disc" ? "triangle" : "disc"],
    ["drawer", (s) => s.drawer!.opening = s.drawer!.opening === 0 ? 0.1 : 0],
    ["zone", (s) => s.zone = null],
  ];
  for (const [name, change] of changes) assert.notDeepEqual(picture(change), plain, name);
});

Deno.test("TableTop renders alike at every resolution", () => {
  const world = new TableTop({ seed: 11 });
  const small = world.render(32, 32), large = world.render(128, 128);
  let difference = 0;
  for (let i = 0; i < small.length; i++) {
    const c = i % 3, x = Math.floor(i / 3) % 32, y = Math.floor(i / 96);
    let mean = 0;
    for (let k = 0; k < 16; k++) mean += large[((4 * y + (k >> 2)) * 128 + 4 * x + k % 4) * 3 + c] / 16;
    difference += Math.abs(mean - small[i]) / small.length;
  }
  assert.ok(difference < 3, `mean difference of ${difference} levels`);
});

Deno.test("TableTop refuses bad configurations, actions and sizes", () => {
  assert.throws(() => new TableTop({ seed: 1, objects: 5 }), /objects must be an integer in 1\.\.4: received 5/);
  assert.throws(() => new TableTop({ seed: 1, slip: -1 }), /slip must be in 0\.\.1: received -1/);
  assert.throws(() => new TableTop({ seed: -1 }), /non-negative integer: received -1/);
  const world = new TableTop({ seed: 1 });
  const before = world.state;
  assert.throws(() => world.step([1, 2]), /13 numbers: received 2/);
  const wrong = new Float32Array(13);
  wrong[3] = 1.5;
  assert.throws(() => world.step(wrong), /gripper_closedness_action must be in -1\.\.1: received 1\.5/);
  wrong[3] = NaN;
  assert.throws(() => world.step(wrong), /received NaN/);
  assert.deepEqual(world.state, before);
  assert.throws(() => world.render(0, 64), /received 0x64/);
  assert.equal(RT1_ACTION_RANGES.min.length, 13);
});
