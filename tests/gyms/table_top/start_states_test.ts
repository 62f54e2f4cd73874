import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { readNpz, writeNpz } from "../../../lib/io/npz.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { readStartFrames, renderStartFrames, writeStartFrames } from "../../../lib/gyms/table_top/start_frames.ts";
import { START_TASKS, startStates, type StartTask, startWorld } from "../../../lib/gyms/table_top/start_states.ts";
import { taskSucceeded } from "../../../lib/gyms/table_top/tasks.ts";

for (const task of START_TASKS) {
  Deno.test(`startStates ${task}: reproducible scenes in which it is still to be done`, () => {
    const starts = startStates(task, 12, 3);
    assert.deepEqual(startStates(task, 5, 3), starts.slice(0, 5));
    assert.notDeepEqual(startStates(task, 1, 4), starts.slice(0, 1));
    assert.deepEqual(JSON.parse(JSON.stringify(starts)), starts, "plain data");
    assert.equal(new Set(starts.map(({ seed }) => seed)).size, 12);
    for (const start of starts) {
      assert.equal(taskSucceeded(start.state, start.task), false);
      assert.deepEqual(startWorld(start).state, start.state);
      assert.ok(start.state.drawer !== null && start.state.zone !== null && start.state.objects.length === 1);
      assert.notEqual(start.state.objects[0].colour, "orange");
      const { colour, shape } = start.state.objects[0];
      const words = { "open-drawer": "open the drawer", "close-drawer": "close the drawer" }[task as string];
      assert.equal(start.instruction, words ?? `push the ${colour} ${shape} into the zone`);
    }
  });
}

Deno.test("startStates: more objects leave the way to the zone free", () => {
  for (const { state: { objects: [object, ...others], zone } } of startStates("push-to-zone", 6, 1, { objects: 3 })) {
    assert.equal(others.length, 2);
    for (let share = 0; share <= 1; share += 0.1) {
      const x = object.x + share * (zone!.x - object.x), y = object.y + share * (zone!.y - object.y);
      for (const other of others) assert.ok(Math.hypot(other.x - x, other.y - y) > other.radius + object.radius);
    }
  }
});

Deno.test("startStates refuses bad arguments", () => {
  assert.throws(() => startStates("juggle" as StartTask, 1, 1), /must be one of open-drawer, .*received "juggle"/);
  assert.throws(() => startStates("open-drawer", 0, 1), /count must be an integer of at least 1: received 0/);
  assert.throws(() => startStates("open-drawer", 1, 1, { objects: 5 }), /objects must be/);
});

Deno.test("start frames: written and read again, true states included", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "starts.npz");
  const starts = [...startStates("push-to-zone", 2, 1), ...startStates("open-drawer", 1, 1, { objects: 2 })];
  const written = renderStartFrames(starts, 24, 32);
  await writeStartFrames(path, written);
  assert.deepEqual(await readStartFrames(path), written);
  const arrays = await readNpz(path);
  assert.deepEqual(arrays.frames.shape, [3, 24, 32, 3]);
  assert.equal(new TextDecoder().decode(arrays.instructions.data as Uint8Array), written.instructions.join("\n"));

  const changed = { ...written, frames: written.frames.map((value, i) => i === 5000 ? value ^ 1 : value) };
  await writeStartFrames(path, changed);
  await assert.rejects(readStartFrames(path), /frame 2 is not what this version of the simulator draws from its seed/);
  await writeStartFrames(path, { ...changed, starts: null });
  assert.equal((await readStartFrames(path)).starts, null);
  await assert.rejects(writeStartFrames(path, { ...written, count: 2 }), /2 start frames of 24x32 need/);
  await assert.rejects(
    writeStartFrames(path, { ...written, instructions: ["a", "b\nc", "d"] }),
    /an instruction must be one line of text: received "b\\nc"/,
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("start frames that numpy wrote", async () => {
  const { count, height, width, frames, instructions, starts } = await readStartFrames(
    join(dirname(import.meta.filename!), "fixtures/start_frames.npz"),
  );
  assert.deepEqual([count, height, width, starts], [2, 4, 6, null]);
  assert.deepEqual(instructions, ["open middle drawer", "pick the äpple"]);
  assert.deepEqual(frames, Uint8Array.from({ length: 144 }, (_, i) => i));
});

Deno.test("readStartFrames names what is wrong with a file", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "starts.npz");
  const text = (value: string) => ({
    dtype: "uint8" as const,
    shape: [value.length],
    data: new TextEncoder().encode(value),
  });
  const frames = { dtype: "uint8" as const, shape: [1, 2, 2, 3], data: new Uint8Array(12) };
  const seeds = { dtype: "uint32" as const, shape: [1], data: Uint32Array.of(7) };
  const cases: [Parameters<typeof writeNpz>[1], RegExp][] = [
    [{ frames }, /holds no start frames: it needs the arrays frames and instructions and has frames/],
    [
      { frames: { ...frames, shape: [4, 3] }, instructions: text("a") },
      /frames must be uint8 \[N, H, W, 3\]: received uint8/,
    ],
    [{ frames, instructions: text("a\nb") }, /1 frames need 1 lines of instructions: received 2/],
    [{ frames, instructions: { dtype: "uint8", shape: [1], data: Uint8Array.of(255) } }, /instructions are not UTF-8/],
    [{ frames, instructions: text("a"), scene_seeds: seeds }, /scene_seeds and scene_objects must have 1 numbers each/],
    [
      {
        frames,
        instructions: text("a"),
        scene_seeds: seeds,
        scene_objects: { dtype: "uint8", shape: [1], data: Uint8Array.of(9) },
      },
      /scene 0 is not of the built-in simulator: seed 7, 9 objects/,
    ],
    [
      {
        frames,
        instructions: text("a"),
        scene_seeds: seeds,
        scene_objects: { dtype: "uint8", shape: [1], data: Uint8Array.of(1) },
      },
      /instruction 0, "a", does not suit its scene/,
    ],
  ];
  for (const [arrays, pattern] of cases) {
    await writeNpz(path, arrays);
    await assert.rejects(
      readStartFrames(path),
      (error: Error) => error instanceof UserError && pattern.test(error.message),
    );
  }
  await Deno.remove(folder, { recursive: true });
});
