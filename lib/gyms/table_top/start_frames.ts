/**
 * Start frames as a file that can be published: an `.npz` with the first frame of each episode and what is to be done.
 *
 *     frames        uint8  [N, H, W, 3]   the first frame of each episode
 *     instructions  uint8  [bytes]        UTF-8 text, one instruction a line, N lines
 *     scene_seeds   uint32 [N]            only for the built-in simulator: the scene of each episode
 *     scene_objects uint8  [N]            only for the built-in simulator: how many objects each scene has
 *
 * Frames of one's own need the first two only; in Python:
 * `np.savez("starts.npz", frames=frames, instructions=np.frombuffer("\n".join(texts).encode(), np.uint8))`.
 *
 * Axes: N episodes, H height, W width.
 */

import type { NdArray } from "../../io/npy.ts";
import { readNpz, writeNpz } from "../../io/npz.ts";
import { UserError } from "../../base/user_error.ts";
import { type StartState, startWorld } from "./start_states.ts";
import type { TableTopState } from "./state.ts";
import { describeTask, type TableTopTask } from "./tasks.ts";

/** The first frames of N episodes. */
export interface StartFrames {
  /** N. */
  count: number;
  /** H, in pixels. */
  height: number;
  /** W, in pixels. */
  width: number;
  /** RGB, [N, H, W, 3]. */
  frames: Uint8Array;
  /** N instructions. */
  instructions: string[];
  /** The true scenes, where the frames come from the built-in simulator; null otherwise. */
  starts: StartState[] | null;
}

/** Draws the first frames of start states. */
export function renderStartFrames(starts: readonly StartState[], height: number, width: number): StartFrames {
  const size = height * width * 3;
  const frames = new Uint8Array(starts.length * size);
  starts.forEach((start, i) => frames.set(renderStart(start, height, width), i * size));
  const instructions = starts.map(({ instruction }) => instruction);
  return { count: starts.length, height, width, frames, instructions, starts: [...starts] };
}

function renderStart(start: StartState, height: number, width: number): Uint8Array {
  const world = startWorld(start);
  world.setState(start.state);
  return world.render(height, width);
}

/**
 * Writes start frames, atomically.
 *
 * @throws {RangeError} if the pixels or the instructions are not N, or an instruction has more than one line.
 */
export async function writeStartFrames(path: string, start: StartFrames): Promise<void> {
  const { count, height, width, frames, instructions, starts } = start;
  if (frames.length !== count * height * width * 3 || instructions.length !== count) {
    throw new RangeError(
      `${count} start frames of ${height}x${width} need ${
        count * height * width * 3
      } bytes and ${count} instructions: ` +
        `received ${frames.length} and ${instructions.length}`,
    );
  }
  const odd = instructions.find((instruction) => instruction.trim() === "" || /[\r\n]/.test(instruction));
  if (odd !== undefined) {
    throw new RangeError(`an instruction must be one line of text: received ${JSON.stringify(odd)}`);
  }
  const text = new TextEncoder().encode(instructions.join("\n"));
  const arrays: Record<string, NdArray> = {
    frames: { dtype: "uint8", shape: [count, height, width, 3], data: frames },
    instructions: { dtype: "uint8", shape: [text.length], data: text },
  };
  if (starts !== null) {
    arrays.scene_seeds = { dtype: "uint32", shape: [count], data: Uint32Array.from(starts, ({ seed }) => seed) };
    arrays.scene_objects = { dtype: "uint8", shape: [count], data: Uint8Array.from(starts, ({ objects }) => objects) };
  }
  await writeNpz(path, arrays);
}

/**
 * Reads start frames.
 *
 * Scenes of the built-in simulator are made again from their seeds; their first frames must come out as they are in the
 * file.
 *
 * @throws {UserError} if the file is missing or damaged, lacks an array, holds one of another type or size, or comes from
 *   another version of the simulator.
 */
export async function readStartFrames(path: string): Promise<StartFrames> {
  const arrays = await readNpz(path);
  const { frames, instructions } = arrays;
  if (frames === undefined || instructions === undefined) {
    const there = Object.keys(arrays).join(", ") || "none";
    throw new UserError(`${path} holds no start frames: it needs the arrays frames and instructions and has ${there}`);
  }
  const [count, height, width, channels] = frames.shape;
  if (frames.dtype !== "uint8" || frames.shape.length !== 4 || channels !== 3 || frames.data.length === 0) {
    throw new UserError(`${path}: frames must be uint8 [N, H, W, 3]: received ${frames.dtype} [${frames.shape}]`);
  }
  const texts = readLines(instructions, path);
  if (texts.length !== count) {
    throw new UserError(`${path}: ${count} frames need ${count} lines of instructions: received ${texts.length}`);
  }
  const pixels = frames.data as Uint8Array;
  const starts = arrays.scene_seeds === undefined
    ? null
    : remakeStarts(path, arrays, texts, (i) => pixels.subarray(i * height * width * 3, (i + 1) * height * width * 3), [
      height,
      width,
    ]);
  return { count, height, width, frames: pixels, instructions: texts, starts };
}

function readLines(array: NdArray, path: string): string[] {
  if (array.dtype !== "uint8") {
    throw new UserError(`${path}: instructions must be UTF-8 text as uint8, a line each: received ${array.dtype}`);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(array.data as Uint8Array<ArrayBuffer>);
    return text.replace(/\n$/, "").split(/\r?\n/);
  } catch {
    throw new UserError(`${path}: instructions are not UTF-8 text`);
  }
}

function remakeStarts(
  path: string,
  { scene_seeds: seeds, scene_objects: objects }: Record<string, NdArray>,
  instructions: readonly string[],
  frame: (i: number) => Uint8Array,
  [height, width]: [number, number],
): StartState[] {
  const count = instructions.length;
  if (seeds.data.length !== count || objects?.data.length !== count) {
    throw new UserError(`${path}: scene_seeds and scene_objects must have ${count} numbers each, one a frame`);
  }
  return instructions.map((instruction, i) => {
    const scene = { seed: Number(seeds.data[i]), objects: Number(objects.data[i]) };
    if (!Number.isSafeInteger(scene.seed) || scene.seed < 0 || !(scene.objects >= 1 && scene.objects <= 4)) {
      throw new UserError(
        `${path}: scene ${i} is not of the built-in simulator: seed ${scene.seed}, ${scene.objects} objects`,
      );
    }
    const { state } = startWorld(scene);
    const task = tasksOf(state).find((one) => describeTask(state, one) === instruction);
    if (task === undefined) {
      throw new UserError(`${path}: instruction ${i}, ${JSON.stringify(instruction)}, does not suit its scene`);
    }
    const start: StartState = { ...scene, state, task, instruction };
    const drawn = renderStart(start, height, width), given = frame(i);
    if (drawn.some((value, at) => value !== given[at])) {
      throw new UserError(
        `${path}: frame ${i} is not what this version of the simulator draws from its seed: make the file again`,
      );
    }
    return start;
  });
}

/** Every task that a scene with a drawer and a zone has. */
function tasksOf({ objects }: TableTopState): TableTopTask[] {
  const tasks: TableTopTask[] = [{ kind: "open-drawer" }, { kind: "close-drawer" }];
  for (let object = 0; object < objects.length; object++) {
    tasks.push({ kind: "push-to-zone", object }, { kind: "lift", object });
    for (let target = 0; target < objects.length; target++) {
      if (target !== object) tasks.push({ kind: "move-near", object, target });
    }
  }
  return tasks;
}
