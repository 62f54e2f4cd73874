/** What a user can get wrong: one line that says what, where and what to do; exit code 2; and nothing is written. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { NdArray } from "../../lib/io/npy.ts";
import { writeNpz } from "../../lib/io/npz.ts";
import { openRobotVideoData } from "../../lib/recipes/robot_video/data.ts";
import { withFolder } from "../support/files.ts";
import { runTask, tinyConfig, tinyFlags } from "../support/tiny_run.ts";

interface Case {
  /** Flags, given a folder with the files that `prepare` made; `--out` is added. */
  args: (folder: string) => string[];
  /** Parts of the one line. */
  says: (string | RegExp)[];
  task?: "train_video" | "evaluate_video";
  env?: Record<string, string>;
}

const wasm = ["--engine", "wasm"];

async function check(name: string, folder: string, { args, says, task = "train_video", env }: Case): Promise<void> {
  const out = join(folder, `out of ${name}`);
  const given = args(folder);
  const { code, stdout, stderr } = await runTask(task, given.includes("--out") ? given : [...given, "--out", out], {
    env,
  });
  const what = `${name}: ${stderr}${stdout}`;
  assert.equal(code, 2, what);
  // The engine says its one line before the data are looked at, and the tiny settings are of built-in data as well.
  const lines = stderr.trimEnd().split("\n").filter((line) =>
    !/^(tfjs|LibTorch) |^--set .* has no effect: /.test(line)
  );
  assert.equal(lines.length, 1, what);
  assert.ok(lines[0].startsWith("error: "), what);
  for (const part of says) {
    assert.ok(typeof part === "string" ? lines[0].includes(part) : part.test(lines[0]), `${part} is not in ${what}`);
  }
  assert.equal(await Deno.stat(out).catch(() => undefined), undefined, `${name} left a folder behind`);
}

/** Cases are started a few at a time: most of a case is the start of a process. */
async function checkAll(folder: string, cases: Record<string, Case>): Promise<void> {
  const names = Object.keys(cases);
  for (let i = 0; i < names.length; i += 4) {
    await Promise.all(names.slice(i, i + 4).map((name) => check(name, folder, cases[name])));
  }
}

Deno.test("train-video: flags", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "held"));
    await Deno.writeTextFile(join(folder, "held/config.json"), "{}");
    await checkAll(folder, {
      "misspelt flag": { args: () => ["--sed", "1"], says: ["unknown flag --sed", "did you mean --seed?", "--help"] },
      "unknown flag": { args: () => ["--quantum"], says: ["unknown flag --quantum", "--help"] },
      "preset": {
        args: () => ["--preset", "dmo"],
        says: [
          'unknown preset "dmo"',
          "demo, demo-64, demo-multi-step, demo-policies, demo-multi-step-64, rt1-single-step, rt1-multi-step",
        ],
      },
      "engine": { args: () => ["--engine", "jax"], says: ["--engine must be one of auto, torch", 'received "jax"'] },
      "stage": { args: () => ["--stage", "grop"], says: ["--stage must be one of tokenizer, ", 'received "grop"'] },
      "no value": { args: () => ["--seed"], says: ["--seed needs a value: --seed N"] },
      "flag out of range": { args: () => ["--seed=-3"], says: ["--seed must be an integer of at least 0", '"-3"'] },
      "flag that is no number": { args: () => ["--seed", "1.5"], says: ["--seed must be an integer", '"1.5"'] },
      "a flag twice": { args: () => ["--seed", "1", "--seed", "2"], says: ["--seed was given twice"] },
      "a value too many": { args: () => ["--resume=yes"], says: ["--resume takes no value"] },
      "argument without a flag": { args: () => ["runs/x"], says: ['unexpected argument "runs/x"'] },
      "setting without value": {
        args: () => ["--set", "grpo.steps"],
        says: ['--set needs field=value: received "grpo.steps"'],
      },
      "credit by part where an answer has one ratio": {
        args: () => ["--preset", "demo-multi-step", "--set", "grpo.loss=gspo"],
        says: ['grpo.credit "patch" has no meaning with grpo.loss "gspo"', "set grpo.credit=answer"],
      },
      "credit by patch of what is no sum of patches": {
        args: () => ["--set", "grpo.credit=patch", "--set", 'grpo.reward=[{"metric":"psnr","weight":1}]'],
        says: ['grpo.credit "patch" is for rewards that are sums over pixels', "which psnr is not"],
      },
      "unknown field": { args: () => ["--set", "grpo.stpes=4"], says: ["unknown field grpo.stpes", "--help"] },
      "field out of range": {
        args: () => ["--set", "grpo.groupSize=1", "--set", "likelihood.learningRate=fast"],
        says: ["grpo.groupSize", "received 1", "likelihood.learningRate", 'received "fast"'],
      },
      "LPIPS without weights": {
        args: () => ["--set", 'grpo.reward=[{"metric":"lpips","weight":1}]'],
        says: ["grpo.reward uses LPIPS, which needs its weights", "--set lpips.vgg=FILE"],
      },
      "LPIPS weights that are not there": {
        args: () => [...wasm, "--set", "lpips.vgg=/nowhere/vgg.pth", "--set", "lpips.linear=/nowhere/lin.pth"],
        says: ["/nowhere/vgg.pth"],
      },
      "device of another engine": {
        args: () => [...wasm, "--device", "cuda"],
        says: ["--device cuda needs the torch engine"],
      },
      "impossible tokenizer": {
        args: () => [...wasm, "--set", "tokenizer.normGroups=7"],
        says: ["the tokenizer's sizes: normGroups must divide every block's channels: received 7"],
      },
      "frames that do not divide": {
        args: () => [...wasm, ...tinyFlags({ data: { height: 30 } })],
        says: ["height and width must be multiples of 4", "30 × 16"],
      },
      "frames too small for a discriminator": {
        args: () => [...wasm, ...tinyFlags({ tokenizer: { adversarialWeight: 0.1, adversarialStart: 0 } })],
        says: [
          "tokenizer.adversarialWeight is 0.1, but frames of 16 × 16 are too small for the discriminator: set it to 0",
        ],
      },
      "type that the engine lacks": {
        args: () => [...wasm, "--set", "model.computeType=bfloat16"],
        says: [
          "model.computeType bfloat16 does not exist on tfjs",
          "use float32, or an engine that has it (deno task doctor)",
        ],
      },
      "no LibTorch": {
        args: () => ["--engine", "torch"],
        env: { LIBTORCH: "/nonexistent", PATH: "" },
        says: ['LIBTORCH is "/nonexistent"', "no libtorch_cpu", "set it to the folder that holds"],
      },
      "folder of another run": {
        args: (folder) => ["--out", join(folder, "held")],
        says: ["held already holds a run", "--resume", "--out"],
      },
      "folder that cannot be made": {
        args: (folder) => [...wasm, ...tinyFlags(), "--out", join(folder, "held/config.json/run")],
        says: ["cannot make the run folder", "held/config.json/run"],
      },
      "resume without a run": {
        args: (folder) => ["--resume", "--out", join(folder, "none")],
        says: ["none holds no run"],
      },
      "model without tokenizer": { args: () => ["--model", "/models/x"], says: ["/models/x", "--tokenizer FOLDER"] },
    });
  });
});

const LENGTH = 6, SIZE = 16;

interface Parts {
  image?: Partial<NdArray>;
  action?: Partial<NdArray>;
  keys?: [string, string];
}

/** A folder of four good episodes, the last of them changed. */
async function episodes(folder: string, name: string, { image = {}, action = {}, keys = ["image", "action"] }: Parts) {
  await Deno.mkdir(join(folder, name));
  for (let i = 0; i < 4; i++) {
    const isLast = i === 3;
    const frames: NdArray = {
      dtype: "uint8",
      shape: [LENGTH, SIZE, SIZE, 3],
      data: Uint8Array.from({ length: LENGTH * SIZE * SIZE * 3 }, (_, p) => (p * 7 + i) % 256),
      ...(isLast ? image : {}),
    };
    const actions: NdArray = {
      dtype: "float32",
      shape: [LENGTH, 13],
      data: new Float32Array(LENGTH * 13),
      ...(isLast ? action : {}),
    };
    const [imageKey, actionKey] = isLast ? keys : ["image", "action"];
    await writeNpz(join(folder, name, `episode_${i}.npz`), { [imageKey]: frames, [actionKey]: actions });
  }
}

Deno.test("train-video: data", async () => {
  await withFolder(async (folder) => {
    const actions = (row: number, column: number, value: number) => {
      const data = new Float32Array(LENGTH * 13);
      data[row * 13 + column] = value;
      return { data };
    };
    const pixels = (value: number) => ({
      dtype: "float32" as const,
      data: new Float32Array(LENGTH * SIZE * SIZE * 3).fill(value),
    });
    await episodes(folder, "key", { keys: ["images", "action"] });
    await episodes(folder, "shape", { image: { shape: [LENGTH, SIZE * 3, SIZE] } });
    await episodes(folder, "dtype", { image: { dtype: "bool" } });
    await episodes(folder, "link", {});
    await Deno.symlink("gone.npz", join(folder, "link/episode_4.npz"));
    await episodes(folder, "range", { action: actions(2, 3, 1.5) });
    await episodes(folder, "nan_action", { action: actions(4, 0, NaN) });
    await episodes(folder, "nan_pixels", { image: pixels(NaN) });
    await episodes(folder, "bright_pixels", { image: pixels(255) });
    await episodes(folder, "short", {
      image: { shape: [3, SIZE, SIZE, 3], data: new Uint8Array(3 * SIZE * SIZE * 3) },
      action: { shape: [3, 13], data: new Float32Array(39) },
    });
    await Deno.mkdir(join(folder, "empty"));
    await Deno.mkdir(join(folder, "broken"));
    await Deno.writeTextFile(join(folder, "broken/episode_0.npz"), "no zip at all");
    const data = (name: string, ...more: string[]) => (folder: string) => [
      ...wasm,
      "--preset",
      "demo",
      ...tinyFlags({ data: { testEvery: 2 } }),
      "--data",
      join(folder, name),
      ...more,
    ];
    await checkAll(folder, {
      "missing folder": { args: data("nowhere"), says: ["no such folder of episodes: ", "nowhere"] },
      "empty folder": { args: data("empty"), says: ["no .npz file in ", "empty"] },
      "broken file": { args: data("broken"), says: ["broken/episode_0.npz"] },
      "wrong key": { args: data("key"), says: ['episode_3.npz has no array "image"', "action, images"] },
      "wrong shape": {
        args: data("shape"),
        says: ["episode_3.npz must have the shape [T, H, W, 3]: it has [6, 48, 16]"],
      },
      "wrong dtype": { args: data("dtype"), says: ["episode_3.npz must be uint8", "it is bool"] },
      "link to nowhere": { args: data("link"), says: ["link/episode_4.npz is a link to gone.npz", "mend the link"] },
      "action outside its range": {
        args: data("range"),
        says: [
          "episode_3.npz must be in its range: row 2, gripper_closedness_action is 1.5, outside -1..1",
          "compute the ranges",
        ],
      },
      "NaN action": { args: data("nan_action"), says: ["episode_3.npz must be finite: row 4, column 0 is NaN"] },
      "NaN pixels": { args: data("nan_pixels"), says: ["episode_3.npz must be in 0..1", "is NaN"] },
      "pixels in 0..255 as floats": { args: data("bright_pixels"), says: ["episode_3.npz must be in 0..1", "is 255"] },
      "short episode, refused": {
        args: data("short", "--set", "data.shortEpisodes=refuse"),
        says: ["shorter than a clip: episode_3 has 3 frames, a clip spans 5", "data.shortEpisodes=repeat"],
      },
      "clips longer than all episodes": {
        args: data("short", "--set", "data.shortEpisodes=drop", "--set", "data.history=9"),
        says: ["every training episode of short is shorter than a clip", "a clip spans 10"],
      },
    });
  });
});

Deno.test("openRobotVideoData: short episodes are named, and what becomes of them", async () => {
  await withFolder(async (folder) => {
    await episodes(folder, "short", {
      image: { shape: [3, SIZE, SIZE, 3], data: new Uint8Array(3 * SIZE * SIZE * 3) },
      action: { shape: [3, 13], data: new Float32Array(39) },
    });
    const notes = async (shortEpisodes: string) => {
      const data = { folder: join(folder, "short"), testEvery: 2, shortEpisodes };
      return (await openRobotVideoData(tinyConfig({ data }))).notes;
    };
    const one = "1 of 4 episodes is shorter than a clip (episode_3 has 3 frames, a clip spans 5)";
    assert.deepEqual(await notes("repeat"), [`${one}: the last frame is repeated (data.shortEpisodes)`]);
    assert.deepEqual(await notes("drop"), [`${one}: not used for training (data.shortEpisodes)`]);
  });
});
