/**
 * Every stage of every experiment looks at its own log for what cannot be training, and keeps the best checkpoint. A run is stopped
 * after its first steps, what it logged of the first one is made far better than it was, and it goes on: so that it looks ruined.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { TrainingDivergedError } from "../../lib/train/diverged.ts";
import type { Progress } from "../../lib/runs/progress.ts";
import { RunInterruptedError } from "../../lib/runs/stage.ts";
import { withFolder } from "../support/files.ts";
import { onOneEngine } from "../support/engines.ts";
import { stoppingProgress, tinyRun } from "../support/tiny_run.ts";
import { tinyTextRun } from "../support/tiny_text_run.ts";

/** Starts a run, or goes on with it. */
type Go = (options: { resume: boolean; progress?: Progress; signal?: AbortSignal }) => Promise<unknown>;

/** What ends a run whose first step of a stage is said to have been far better than all after it. */
async function endOf(
  folder: string,
  stage: string,
  first: Record<string, number>,
  go: Go,
): Promise<TrainingDivergedError> {
  const { progress, signal } = stoppingProgress({ stage, step: 2 });
  await assert.rejects(() => go({ resume: false, progress, signal }), RunInterruptedError);
  const log = join(folder, "metrics.jsonl");
  const lines = (await Deno.readTextFile(log)).trimEnd().split("\n").map((line) => JSON.parse(line));
  const forged = lines.map((line) => line.stage === stage && line.step === 0 ? { ...line, ...first } : line);
  await Deno.writeTextFile(log, forged.map((line) => JSON.stringify(line) + "\n").join(""));
  const error = await go({ resume: true }).then(() => undefined, (error) => error);
  assert.ok(error instanceof TrainingDivergedError, `${error}`);
  return error;
}

const FELL = { reward: 1e3, rewardStd: 0 };

onOneEngine(
  "robot video: likelihood, GRPO and the tokenizer stop where their logs show no training",
  async (engine) => {
    await withFolder(async (folder) => {
      const change = { likelihood: { steps: 40 }, grpo: { steps: 40, miniBatchPrompts: 2 }, checkpointEvery: 10 };
      const part =
        (name: string, stages: ("tokenizer" | "likelihood" | "grpo")[], own: Record<string, unknown> = change): Go =>
        (options) => tinyRun(engine, join(folder, name), { change: own, stages, ...options });
      const likelihood = await endOf(
        join(folder, "likelihood"),
        "likelihood",
        { loss: 0.001 },
        part("likelihood", ["tokenizer", "likelihood"]),
      );
      assert.match(likelihood.message, /^the likelihood loss, 0\.001000 in the beginning, is \d\S* at step 20: /);
      const grpo = await endOf(
        join(folder, "grpo"),
        "grpo",
        FELL,
        part("grpo", ["tokenizer", "likelihood", "grpo"], {
          ...change,
          likelihood: { steps: 4 },
        }),
      );
      assert.match(grpo.message, /^the mean reward of 20 steps, 1000 in the beginning, is -\S+ at step 20: /);
      assert.equal(grpo.since, 1);
      // Of steps 10 and 20, all that there were by then.
      const names = (await Array.fromAsync(Deno.readDir(join(folder, "grpo/checkpoints/grpo")))).map(({ name }) =>
        name
      );
      assert.deepEqual(names.filter((name) => name.includes("step-")).sort(), [
        "diverged-step-00000010",
        "diverged-step-00000020",
      ]);

      const tokenizer = { tokenizer: { learningRate: 1, steps: 40 }, checkpointEvery: 10 };
      await assert.rejects(
        () => part("tokenizer", ["tokenizer"], tokenizer)({ resume: false }),
        /^TrainingDivergedError: the mean error of pixels, of which the largest possible is 1, is \d\S* at step 1\d: /,
      );
    });
  },
);

onOneEngine(
  "robot video: with evaluations on the way, the best checkpoint is that of the best held-out reward",
  async (engine) => {
    await withFolder(async (folder) => {
      const reward = [{ metric: "mae", weight: 2 }, { metric: "ssim", weight: 0.1 }];
      const change = { grpo: { steps: 4, reward }, evaluation: { every: 1 }, checkpointEvery: 1 };
      await tinyRun(engine, join(folder, "run"), { change, stages: ["tokenizer", "likelihood", "grpo"] });
      const lines = (await Deno.readTextFile(join(folder, "run/metrics.jsonl"))).trimEnd().split("\n")
        .map((line) => JSON.parse(line)).filter(({ stage }) => stage === "grpo");
      const values = lines.map(({ heldOut }) => 0.1 * heldOut.ssim - 2 * heldOut.mae), value = Math.max(...values);
      const best = JSON.parse(await Deno.readTextFile(join(folder, "run/checkpoints/grpo/best.json")));
      assert.equal(best.metric, "heldOutReward");
      assert.ok(Math.abs(best.value - value) < 1e-12, `${best.value} of ${values}`);
      assert.equal(best.step, values.indexOf(value) + 1);
    });
  },
);

onOneEngine("text games: likelihood and GRPO stop where their logs show no training", async (engine) => {
  await withFolder(async (folder) => {
    const part = (name: string, steps: { likelihood: number; grpo: number }): Go => (options) => {
      const change = { likelihood: { steps: steps.likelihood }, grpo: { steps: steps.grpo }, checkpointEvery: 10 };
      return tinyTextRun(engine, join(folder, name), { change, stages: ["likelihood", "grpo"], ...options });
    };
    const likelihood = part("likelihood", { likelihood: 40, grpo: 2 });
    const { message } = await endOf(join(folder, "likelihood"), "likelihood", { loss: 0.001 }, likelihood);
    assert.match(message, /^the likelihood loss, 0\.001000 in the beginning, is \d\S* at step 20: /);
    const grpo = part("grpo", { likelihood: 6, grpo: 40 });
    const fallen = await endOf(join(folder, "grpo"), "grpo-binary", FELL, grpo);
    assert.match(fallen.message, /^the mean reward of 20 steps, 1000 in the beginning, is \S+ at step 20: /);
  });
});
