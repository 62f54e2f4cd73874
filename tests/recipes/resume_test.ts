/** Whole runs in this process: stopped and resumed, they end with the very numbers of an undisturbed one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openRobotVideoData } from "../../lib/recipes/robot_video/data.ts";
import { tokenizerSizes } from "../../lib/recipes/robot_video/single_step.ts";
import { FrameTokenizer } from "../../lib/models/frame_tokenizer.ts";
import type { Tensor } from "../../lib/tensor/tensor.ts";
import { RobotVideoWorld } from "../../lib/worlds/robot_video/single_step_world.ts";
import { ROBOT_VIDEO_STAGES } from "../../lib/recipes/robot_video/experiment.ts";
import { RunInterruptedError } from "../../lib/runs/stage.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { forEachEngine } from "../support/engines.ts";
import { runNumbers, stoppingProgress, tinyConfig, tinyRun } from "../support/tiny_run.ts";

/** An undisturbed run, made once an engine. */
const whole = new Map<string, Promise<Record<string, unknown>>>();

function wholeRun(engine: Engine): Promise<Record<string, unknown>> {
  const name = engine.description;
  if (!whole.has(name)) whole.set(name, makeWholeRun(engine));
  return whole.get(name)!;
}

async function makeWholeRun(engine: Engine): Promise<Record<string, unknown>> {
  let numbers: Record<string, unknown> = {};
  await withFolder(async (folder) => {
    await tinyRun(engine, join(folder, "whole"));
    numbers = await runNumbers(join(folder, "whole"));
  });
  return numbers;
}

async function stopped(engine: Engine, folder: string, at: { stage: string; step: number }, resume: boolean) {
  const { progress, signal } = stoppingProgress(at);
  await assert.rejects(tinyRun(engine, folder, { progress, signal, resume }), RunInterruptedError);
}

forEachEngine("a run stopped twice in different stages ends as one that was not", async (engine) => {
  await withFolder(async (folder) => {
    const parts = join(folder, "parts"), expected = await wholeRun(engine);
    const { tensors } = engine.memory();
    await stopped(engine, parts, { stage: "tokenizer", step: 3 }, false);
    await stopped(engine, parts, { stage: "grpo", step: 1 }, true);
    const { progress, notes, stages } = stoppingProgress();
    await tinyRun(engine, parts, { resume: true, progress });
    assert.deepEqual(await runNumbers(parts), expected);
    assert.equal(engine.memory().tensors, tensors, "a run gives back all its tensors, stopped or not");
    assert.deepEqual(notes, ["grpo: resumed after step 1"]);
    assert.deepEqual(stages.slice(0, 2), ["grpo", "control"], "finished stages are not run again");
  });
});

Deno.test(
  "a run with its newest checkpoints damaged goes on from those before, and ends the same",
  async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const hurt = join(folder, "hurt"), expected = await wholeRun(engine);
      await stopped(engine, hurt, { stage: "likelihood", step: 3 }, false);
      const newest = join(hurt, "checkpoints/likelihood/step-00000003");
      await Deno.truncate(join(newest, "optimizer.safetensors"), 100);
      const { progress, notes } = stoppingProgress();
      await tinyRun(engine, hurt, { resume: true, progress });
      assert.match(
        notes[0],
        /^skipped the checkpoint .*step-00000003: optimizer.safetensors has 100 bytes instead of \d+$/,
      );
      assert.equal(notes[1], "likelihood: resumed after step 2");
      assert.deepEqual(await runNumbers(hurt), expected);
    });
  },
);

Deno.test("stages run one by one make the same run; each needs the ones before it", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const single = join(folder, "single");
    await rejectsUserError(
      () => tinyRun(engine, join(folder, "none"), { stages: ["grpo"] }),
      "models/tokenizer does not exist: run the tokenizer stage first",
    );
    for (const stage of ROBOT_VIDEO_STAGES) {
      await tinyRun(engine, single, { stages: [stage], resume: stage !== "tokenizer" });
    }
    assert.deepEqual(await runNumbers(single), await wholeRun(engine));
  });
});

Deno.test(
  "a run is not resumed on other data, and the control not from half a likelihood stage",
  async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const run = join(folder, "run");
      await tinyRun(engine, run, { stages: ["tokenizer", "likelihood", "grpo"] });
      await Deno.remove(join(run, "checkpoints/likelihood/step-00000004"), { recursive: true });
      await rejectsUserError(
        () => tinyRun(engine, run, { stages: ["control"], resume: true }),
        "no sound checkpoint of the end of the likelihood stage (step 4; the newest is of step 2)",
        "--stage likelihood",
      );
      const configFile = join(run, "config.json");
      const config = JSON.parse(await Deno.readTextFile(configFile));
      config.data.episodes = 9;
      await Deno.writeTextFile(configFile, JSON.stringify(config));
      for (const stage of ["tokenizer", "evaluate"] as const) {
        await rejectsUserError(
          () => tinyRun(engine, run, { stages: [stage], resume: true, change: { data: { episodes: 9 } } }),
          "was trained on other data",
        );
      }
    });
  },
);

Deno.test("stopped during the evaluation, a run gives all back and evaluates again when it is resumed", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const run = join(folder, "run"), expected = await wholeRun(engine);
    const stop = async (resume: boolean) => {
      const { progress, signal } = stoppingProgress({ stage: "evaluate control", step: 1 });
      await assert.rejects(
        tinyRun(engine, run, { progress, signal, resume }),
        (error: Error) =>
          error instanceof RunInterruptedError &&
          error.message === "stopped during the evaluation; all training is saved",
      );
      return engine.memory().tensors;
    };
    assert.equal(await stop(false), await stop(true));
    await tinyRun(engine, run, { resume: true });
    assert.deepEqual(await runNumbers(run), expected);
  });
});

Deno.test("frames whose tokens are remembered are tokenized in batches of one shape, whatever is asked for", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  const config = tinyConfig(), data = await openRobotVideoData(config);
  const tokenizer = FrameTokenizer.initialize(engine, tokenizerSizes(config, data), { seed: 1 });
  const shapes: string[] = [];
  const watched: FrameTokenizer = Object.create(tokenizer, {
    // Getters of the class read private fields, which only the tokenizer itself has.
    ...Object.fromEntries(
      (["engine", "codebookSize", "tokensPerFrame"] as const).map((name) => [name, { value: tokenizer[name] }]),
    ),
    encode: {
      value: (frames: Tensor) => {
        shapes.push(frames.shape.join(" × "));
        return tokenizer.encode(frames);
      },
    },
  });
  const world = (rememberFrames: number) =>
    new RobotVideoWorld({ tokenizer: watched, bins: data.bins, metrics: [], rememberFrames });
  const clips = await Promise.all(Array.from({ length: 6 }, (_, i) => data.training.clip(0, i)));
  const together = await world(100).frameTokens(clips);
  const first = world(100), apart = [];
  for (const clip of clips) apart.push(...await first.frameTokens([clip]));
  assert.deepEqual(apart, together);
  assert.ok(shapes.length >= 5, `only ${shapes.length} calls`);
  assert.deepEqual(new Set(shapes), new Set(["16 × 16 × 16 × 3"]));
  assert.deepEqual(await world(0).frameTokens(clips), together);
  tokenizer.dispose();
});
