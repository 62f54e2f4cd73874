import assert from "node:assert/strict";
import { join } from "node:path";
import type { NdArray } from "../../../lib/io/npy.ts";
import { writeNpz } from "../../../lib/io/npz.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { RT1_ACTION_RANGES } from "../../../lib/worlds/robot_video/actions.ts";
import { TrainingClips } from "../../../lib/worlds/robot_video/clips.ts";
import { type NpzEpisodeOptions, openNpzEpisodes } from "../../../lib/worlds/robot_video/npz_episodes.ts";
import { splitEpisodes } from "../../../lib/worlds/robot_video/split.ts";

const sharedData = Deno.env.get("RLVR_SHARED_DATA") ?? new URL("../../../../shared/data", import.meta.url).pathname;
const metaworld = join(sharedData, "metaworld");
const rt1Frames = join(sharedData, "rt1_frames_22.npz");

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function image(length = 3, height = 4, width = 5, channels = 3): NdArray {
  const data = Uint8Array.from({ length: length * height * width * channels }, (_, i) => i % 256);
  return { dtype: "uint8", shape: [length, height, width, channels], data };
}

function action(length = 3, width = 2, value = 0.5): NdArray {
  return { dtype: "float32", shape: [length, width], data: new Float32Array(length * width).fill(value) };
}

async function inFolder(files: Record<string, Record<string, NdArray>>, body: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, arrays] of Object.entries(files)) await writeNpz(join(folder, name), arrays);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens a folder and loads all of it, expecting one clear line. */
async function refuses(files: Record<string, Record<string, NdArray>>, message: RegExp, options?: NpzEpisodeOptions) {
  await inFolder(files, async (folder) => {
    const all = async () => {
      const source = await openNpzEpisodes(folder, options);
      for (let i = 0; i < source.length; i++) await source.load(i);
    };
    await assert.rejects(all, (error) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  });
}

Deno.test("openNpzEpisodes sorts files by name and loads them as they are", async () => {
  const files = { "b.npz": { image: image(4), action: action(4) }, "a.npz": { image: image(), action: action() } };
  await inFolder(files, async (folder) => {
    const source = await openNpzEpisodes(folder);
    assert.deepEqual([source.length, source.height, source.width, source.actionWidth], [2, 4, 5, 2]);
    const [first, second] = [await source.load(0), await source.load(1)];
    assert.deepEqual([first.id, second.id, first.length, second.length], ["a", "b", 3, 4]);
    assert.deepEqual(first.frames, image().data);
    assert.deepEqual(first.actions, action().data);
    await assert.rejects(source.load(2), /episode index must be in 0..1/);
  });
});

Deno.test("openNpzEpisodes reads what numpy wrote: compressed, float64 actions, text beside them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const sub = join(folder, "fractal20220817_data");
    await Deno.mkdir(sub);
    await Deno.copyFile(new URL("fixtures/episode.npz", import.meta.url), join(sub, "train_eps_00000000.npz"));
    // The fixture's random numbers fit RT-1's ranges, except that flags are never negative.
    const source = await openNpzEpisodes(folder, { actionRanges: RT1_ACTION_RANGES });
    await assert.rejects(
      source.load(0),
      /terminate_episode\[0\] is -0\.00.*outside 0\.\.1; check the order of the fields/,
    );
    const episode = await (await openNpzEpisodes(folder)).load(0);
    assert.equal(episode.id, "train_eps_00000000");
    assert.deepEqual([...episode.frames], Array.from({ length: 6 * 8 * 10 * 3 }, (_, i) => i % 251));
    assert.equal(episode.actionWidth, 13);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openNpzEpisodes takes other keys, float images and data without actions", async () => {
  const data = Float64Array.from({ length: 60 }, (_, i) => i / 59);
  await inFolder({ "x.npz": { video: { dtype: "float64", shape: [1, 4, 5, 3], data } } }, async (folder) => {
    const source = await openNpzEpisodes(folder, { imageKey: "video", actionKey: null });
    const episode = await source.load(0);
    assert.equal(source.actionWidth, 0);
    assert.equal(episode.actions.length, 0);
    assert.deepEqual([...episode.frames], [...data].map((value) => Math.round(value * 255)));
  });
});

Deno.test("openNpzEpisodes takes every number type that can be meant: actions of all, frames of what holds 0 … 255 or 0 … 1", async () => {
  const levels = Uint8Array.from({ length: 180 }, (_, i) => i * 17 % 256),
    numbers = [0, 1, 2, 3, 0, 1],
    shape = [3, 4, 5, 3];
  const big = (values: ArrayLike<number>) => BigInt64Array.from(Array.from(values, BigInt));
  const actions: NdArray[] = [
    { dtype: "float16", shape: [3, 2], data: Float16Array.from(numbers) },
    { dtype: "float64", shape: [3, 2], data: Float64Array.from(numbers) },
    { dtype: "int8", shape: [3, 2], data: Int8Array.from(numbers) },
    { dtype: "uint16", shape: [3, 2], data: Uint16Array.from(numbers) },
    { dtype: "int32", shape: [3, 2], data: Int32Array.from(numbers) },
    { dtype: "int64", shape: [3, 2], data: big(numbers) },
  ];
  const scaled = Array.from(levels, (each) => each / 255);
  // As much above 1 as resizing leaves: it is 1.
  const above = scaled.map((each) => each === 1 ? 1.0000001 : each);
  const images: NdArray[] = [
    { dtype: "float16", shape, data: Float16Array.from(scaled) },
    { dtype: "float32", shape, data: Float32Array.from(above) },
    { dtype: "float64", shape, data: Float64Array.from(scaled) },
    { dtype: "int16", shape, data: Int16Array.from(levels) },
    { dtype: "uint32", shape, data: Uint32Array.from(levels) },
    { dtype: "int64", shape, data: big(levels) },
  ];
  const files = Object.fromEntries(images.map((image, i) => [`${i}.npz`, { image, action: actions[i] }]));
  await inFolder(files, async (folder) => {
    const source = await openNpzEpisodes(folder);
    for (let i = 0; i < source.length; i++) {
      const { frames, actions: taken } = await source.load(i), what = `${images[i].dtype}, ${actions[i].dtype}`;
      assert.deepEqual([...frames], [...levels], what);
      assert.deepEqual([...taken], numbers, what);
    }
  });
  const flags: NdArray = { dtype: "bool", shape: [3, 2], data: Uint8Array.of(0, 1, 1, 0, 0, 1) };
  await inFolder({ "a.npz": { image: image(), action: flags } }, async (folder) => {
    assert.deepEqual([...(await (await openNpzEpisodes(folder)).load(0)).actions], [0, 1, 1, 0, 0, 1]);
  });
});

Deno.test("openNpzEpisodes does not look at hidden entries", async () => {
  await inFolder({ "a.npz": { image: image(), action: action() } }, async (folder) => {
    const parent = await Deno.makeTempDir();
    for (const name of ["._a.npz", ".npz", ".b.npz"]) await Deno.writeTextFile(join(folder, name), "Mac OS X");
    await Deno.symlink("gone", join(folder, ".c.npz"));
    assert.equal((await openNpzEpisodes(folder)).length, 1);
    // The one folder of a folder is the one that is not hidden.
    await Deno.rename(folder, join(parent, "data"));
    for (const name of [".cache", "__MACOSX"]) await Deno.mkdir(join(parent, name));
    assert.equal((await openNpzEpisodes(parent)).length, 1);
    await Deno.rename(join(parent, "data"), folder);
    await Deno.remove(parent, { recursive: true });
  });
});

Deno.test({
  name: "openNpzEpisodes names what is called .npz and is no file that can be read",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const spoilt: Record<string, { make: (path: string) => Promise<unknown>; says: RegExp }> = {
      "a link to nowhere": {
        make: (path) => Deno.symlink("gone.npz", path),
        says: /episode_07\.npz is a link to gone\.npz, which cannot be read: mend the link or remove it$/,
      },
      "a link to itself": {
        make: (path) => Deno.symlink("episode_07.npz", path),
        says: /episode_07\.npz is a link to episode_07\.npz, which cannot be read/,
      },
      "a folder": { make: (path) => Deno.mkdir(path), says: /episode_07\.npz is a folder, not an episode/ },
      "a link to a folder": { make: (path) => Deno.symlink(".", path), says: /episode_07\.npz is a folder/ },
      "a pipe, which would be waited for": {
        make: (path) => new Deno.Command("mkfifo", { args: [path] }).output(),
        says: /episode_07\.npz is no file, not an episode: rename or remove it$/,
      },
      "not ours to read": {
        make: async (path) => {
          await Deno.writeTextFile(path, "");
          await Deno.chmod(path, 0o000);
        },
        // Root may read everything: it finds that there is nothing in it.
        says: /episode_07\.npz/,
      },
    };
    for (const [what, { make, says }] of Object.entries(spoilt)) {
      await inFolder({ "episode_00.npz": { image: image(), action: action() } }, async (folder) => {
        await make(join(folder, "episode_07.npz"));
        await assert.rejects(openNpzEpisodes(folder), (error) => {
          assert.ok(error instanceof UserError, `${what}: ${error}`);
          assert.match(error.message, says);
          assert.ok(!error.message.includes("\n"));
          return true;
        });
      });
    }
  },
});

Deno.test("openNpzEpisodes resizes frames", async () => {
  const ramp: NdArray = { dtype: "uint8", shape: [2, 8, 8, 3], data: new Uint8Array(2 * 192) };
  for (let i = 0; i < 384; i++) ramp.data[i] = 30 * (Math.floor(i / 3) % 8) + (i >= 192 ? 10 : 0);
  await inFolder({ "x.npz": { image: ramp, action: action(2) } }, async (folder) => {
    const source = await openNpzEpisodes(folder, { resolution: { height: 2, width: 4 } });
    const { frames, height, width } = await source.load(0);
    assert.deepEqual([source.height, source.width, height, width, frames.length], [2, 4, 2, 4, 48]);
    // Each new pixel covers two columns of a ramp in steps of 30: means 15, 75, 135, 195, with edges repeated outwards.
    for (let t = 0; t < 2; t++) {
      const row = [0, 1, 2, 3].map((x) => frames[t * 24 + x * 3] - 10 * t);
      for (let x = 0; x < 4; x++) assert.ok(Math.abs(row[x] - (15 + 60 * x)) <= 6, `${row}`);
    }
    assert.notEqual(source.fingerprint, (await openNpzEpisodes(folder)).fingerprint);
    await assert.rejects(openNpzEpisodes(folder, { resolution: { height: 0, width: 4 } }), /received 0x4/);
  });
});

Deno.test("openNpzEpisodes keeps episodes in memory up to its limit", async () => {
  const files = Object.fromEntries(
    ["a", "b", "c"].map((name) => [`${name}.npz`, { image: image(), action: action() }]),
  );
  await inFolder(files, async (folder) => {
    const bytes = 3 * 60 + 3 * 2 * 4;
    const source = await openNpzEpisodes(folder, { cacheBytes: 2 * bytes });
    const [a, b] = [await source.load(0), await source.load(1)];
    assert.equal(await source.load(0), a);
    await source.load(2);
    assert.equal(await source.load(0), a);
    assert.notEqual(await source.load(1), b);
    const [once, twice] = await Promise.all([source.load(2), source.load(2)]);
    assert.equal(once, twice);
  });
});

Deno.test("the fingerprint of a folder changes with its files", async () => {
  await inFolder({ "a.npz": { image: image(), action: action() } }, async (folder) => {
    const before = (await openNpzEpisodes(folder)).fingerprint;
    assert.equal((await openNpzEpisodes(folder)).fingerprint, before);
    await writeNpz(join(folder, "b.npz"), { image: image(), action: action() });
    assert.notEqual((await openNpzEpisodes(folder)).fingerprint, before);
  });
});

Deno.test("the fingerprint of a folder changes with what its files hold, where names and sizes stay", async () => {
  // Noise cannot be compressed, so that other noise has as many bytes.
  let state = 1;
  const noise = new Uint8Array(600_000).map(() => state = state * 48271 % 2147483647);
  const large: NdArray = { dtype: "uint8", shape: [20, 100, 100, 3], data: noise };
  await inFolder({ "a.npz": { image: large, action: action(20) } }, async (folder) => {
    const path = join(folder, "a.npz"), before = (await openNpzEpisodes(folder)).fingerprint;
    const { size } = await Deno.stat(path);
    for (const at of [0, 123_457, 599_999]) {
      const data = noise.with(at, noise[at] ^ 1);
      await writeNpz(path, { image: { ...large, data }, action: action(20) });
      assert.equal((await Deno.stat(path)).size, size, "as many bytes");
      assert.notEqual((await openNpzEpisodes(folder)).fingerprint, before, `byte ${at}`);
    }
    await writeNpz(path, { image: large, action: action(20) });
    assert.equal((await openNpzEpisodes(folder)).fingerprint, before);
  });
});

Deno.test("openNpzEpisodes refuses folders without episodes", async () => {
  await assert.rejects(openNpzEpisodes("/no/such/folder"), (error) => {
    return error instanceof UserError && /no such folder of episodes: \/no\/such\/folder/.test(error.message);
  });
  await refuses({}, /no \.npz file in/);
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(join(folder, "one"));
  await Deno.mkdir(join(folder, "two"));
  await Deno.writeTextFile(join(folder, "file"), "");
  await assert.rejects(openNpzEpisodes(folder), /give one of its sub-folders \(one, two\)/);
  await assert.rejects(openNpzEpisodes(join(folder, "file")), (error) => {
    return error instanceof UserError && /must be a folder of \.npz files/.test(error.message);
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("openNpzEpisodes refuses files that are no episodes", async () => {
  const good = { image: image(), action: action() };
  await refuses({ "a.npz": { picture: image(), action: action() } }, /no array "image": it has action, picture/);
  await refuses({ "a.npz": { image: image() } }, /a\.npz has no array "action": it has image/);
  await refuses({ "a.npz": { ...good, image: image(3, 4, 5, 4) } }, /shape \[T, H, W, 3\]: it has \[3, 4, 5, 4\]/);
  await refuses({ "a.npz": { ...good, action: { ...action(), shape: [6] } } }, /shape \[T, A\]: it has \[6\]/);
  await refuses({ "a.npz": { ...good, action: action(2) } }, /one action a frame: it has 3 frames and 2 actions/);
  await refuses(
    { "a.npz": good, "b.npz": { ...good, image: image(3, 4, 6) } },
    /of one size: .*b\.npz has 4x6, .*a\.npz has 4x5/,
  );
  await refuses({ "a.npz": good, "b.npz": { ...good, action: action(3, 7) } }, /of one width: .*b\.npz has 7/);
  const bools: NdArray = { ...image(), dtype: "bool" };
  await refuses(
    { "a.npz": { ...good, image: bools } },
    /"image" of .* must be uint8 .*, or floats in 0\.\.1: it is bool/,
  );
  const bytes: NdArray = { ...image(), dtype: "int8", data: new Int8Array(180) };
  await refuses({ "a.npz": { ...good, image: bytes } }, /it is int8/);
});

Deno.test("openNpzEpisodes refuses values that are not finite or out of range", async () => {
  await refuses({ "a.npz": { image: image(), action: action(3, 2, NaN) } }, /must be finite: row 0, column 0 is NaN/);
  await refuses({ "a.npz": { image: image(), action: action(3, 2, -Infinity) } }, /is -Infinity/);
  const pixels = (value: number): NdArray => {
    const data = new Float32Array(180);
    data[7] = value;
    return { dtype: "float32", shape: [3, 4, 5, 3], data };
  };
  await refuses({ "a.npz": { image: pixels(NaN), action: action() } }, /in 0\.\.1 where it is float32: value 7 is NaN/);
  await refuses({ "a.npz": { image: pixels(2), action: action() } }, /value 7 is 2; save frames of 0\.\.255 as uint8/);
  await refuses(
    { "a.npz": { image: pixels(-0.01), action: action() } },
    /in 0\.\.1 where it is float32: value 7 is -0\.0/,
  );
  for (const value of [256, -1]) {
    const data = new Int32Array(180);
    data[7] = value;
    const wide: NdArray = { dtype: "int32", shape: [3, 4, 5, 3], data };
    await refuses(
      { "a.npz": { image: wide, action: action() } },
      new RegExp(`in 0\\.\\.255 where it is int32: value 7 is ${value}$`),
    );
  }
  const ranges = { min: Float32Array.of(0, 0), max: Float32Array.of(1, 0.25) };
  await refuses({ "a.npz": { image: image(), action: action() } }, /row 0, column 1 is 0\.5, outside 0\.\.0\.25/, {
    actionRanges: ranges,
  });
  await refuses(
    { "a.npz": { image: image(), action: action(3, 3) } },
    /has 3 numbers an action, the given ranges are for 2/,
    {
      actionRanges: ranges,
    },
  );
});

Deno.test("a damaged file is one clear line", async () => {
  await inFolder({ "a.npz": { image: image(), action: action() } }, async (folder) => {
    const path = join(folder, "a.npz");
    await Deno.truncate(path, 50);
    await assert.rejects(
      openNpzEpisodes(folder),
      (error) => error instanceof UserError && error.message.includes("a.npz"),
    );
  });
});

Deno.test({
  name: "openNpzEpisodes reads Meta-World: 24 episodes of 101 frames",
  ignore: !exists(metaworld),
  fn: async () => {
    const source = await openNpzEpisodes(metaworld);
    assert.deepEqual([source.length, source.height, source.width, source.actionWidth], [24, 64, 64, 4]);
    const { train } = splitEpisodes(source.length, 6);
    const clips = await new TrainingClips(source, train, { segment: 5, seed: 0 }).batch(0, 2);
    for (const clip of clips) {
      assert.equal(clip.frames.length, 5 * 64 * 64 * 3);
      assert.notDeepEqual(clip.frames.slice(0, 12288), clip.frames.slice(4 * 12288));
      assert.ok(clip.actions.some((value) => value !== 0));
    }
  },
});

Deno.test({
  name: "openNpzEpisodes reads real RT-1 frames, which come without actions",
  ignore: !exists(rt1Frames),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await Deno.copyFile(rt1Frames, join(folder, "frames.npz"));
      const source = await openNpzEpisodes(folder, { actionKey: null, resolution: { height: 64, width: 80 } });
      const episode = await source.load(0);
      assert.equal(episode.frames.length, 22 * 64 * 80 * 3);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
