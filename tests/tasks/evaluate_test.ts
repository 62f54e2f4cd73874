/** `evaluate-video` on a tiny run: its models, released-form folders, best-of-N, rejection, the JSON file, and bad input. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openEngine } from "../../lib/tensor/registry.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { withFolder } from "../support/files.ts";
import { mergeSettings } from "../../lib/runs/settings.ts";
import { MULTI_STEP, runTask, tinyFlags, tinyRun } from "../support/tiny_run.ts";

interface Scores {
  models: Record<string, {
    values: Record<string, number[]>;
    best: Record<string, number[]>;
    byFrame?: Record<string, number[][]>;
    repetition: number[];
    trueRepetition: number[];
    episodes: string[];
    baselines?: Record<"atTemperature" | "nearest" | "copy", number[]>;
  }>;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function evaluate(folder: string, args: string[]): Promise<{ stdout: string; scores: Scores }> {
  const out = join(folder, `${crypto.randomUUID()}.json`);
  const { code, stdout, stderr } = await runTask("evaluate_video", ["--engine", "wasm", ...args, "--out", out]);
  assert.equal(code, 0, stderr);
  return { stdout, scores: JSON.parse(await Deno.readTextFile(out)) };
}

async function fails(args: string[], ...says: string[]): Promise<void> {
  const { code, stderr } = await runTask("evaluate_video", args);
  assert.equal(code, 2, stderr);
  const lines = stderr.trimEnd().split("\n").filter((line) => !/^(tfjs|LibTorch) /.test(line));
  assert.equal(lines.length, 1, stderr);
  for (const part of says) assert.ok(lines[0].includes(part), `${part} is not in ${stderr}`);
}

/** Few codes and little training: a model that often repeats, so that rejection has something to do. */
const CHANGE = {
  data: { actionBins: 4 },
  tokenizer: { fsqLevels: [2], downsamplings: 2, steps: 40, learningRate: 0.01 },
  likelihood: { steps: 30, learningRate: 0.01 },
  evaluation: { itemsPerEpisode: 8 },
};

Deno.test("evaluate-video", async (t) => {
  await withFolder(async (folder) => {
    const run = join(folder, "run");
    const { engine } = await openEngine({ engine: "wasm" });
    await tinyRun(engine, run, { change: CHANGE });

    let plain: Scores | undefined;
    await t.step("--run scores every model of the run as the run itself did", async () => {
      const { stdout, scores } = await evaluate(folder, ["--run", run]);
      plain = scores;
      const result = JSON.parse(await Deno.readTextFile(join(run, "result.json"))).metrics;
      assert.deepEqual(Object.keys(scores.models).sort(), ["control", "likelihood", "rlvr"]);
      for (const metric of ["mae", "mse", "psnr", "ssim"]) {
        assert.equal(mean(scores.models.rlvr.values[metric]), result[metric].rlvr.mean);
        assert.equal(mean(scores.models.control.values[metric]), result[metric].base.mean);
        assert.match(stdout, new RegExp(`^${metric} +[\\d.]+ \\[`, "m"));
      }
      assert.match(stdout, /16 held-out clips of 2 episodes; mean \[95 % interval\]/);
    });

    await t.step("--model and --tokenizer score the same folders the same", async () => {
      const folders = ["--model", join(run, "models/rlvr"), "--tokenizer", join(run, "models/tokenizer")];
      const { scores } = await evaluate(folder, [...folders, ...tinyFlags(CHANGE)]);
      const [name] = Object.keys(scores.models);
      assert.equal(name, join(run, "models/rlvr"));
      assert.deepEqual(scores.models[name], plain!.models.rlvr);
    });

    await t.step("fields of training that need LPIPS are nothing to metrics that do not", async () => {
      const folders = ["--model", join(run, "models/rlvr"), "--tokenizer", join(run, "models/tokenizer")];
      const trained = { tokenizer: { lpipsWeight: 1 }, grpo: { reward: [{ metric: "lpips", weight: 1 }] } };
      const { scores } = await evaluate(folder, [...folders, ...tinyFlags(mergeSettings(CHANGE, trained))]);
      assert.deepEqual(Object.values(scores.models)[0], plain!.models.rlvr);
      const asked = ["--set", 'evaluation.metrics=["mse"]'];
      const { scores: fewer } = await evaluate(folder, ["--run", run, "--which", "grpo", ...asked]);
      assert.deepEqual(Object.keys(fewer.models.rlvr.values), ["mse"]);
    });

    await t.step("--baselines says what the run itself did of what costs nothing", async () => {
      const { stdout, scores } = await evaluate(folder, ["--run", run, "--which", "grpo", "--baselines"]);
      const { baselines } = scores.models.rlvr;
      const { rows } = JSON.parse(await Deno.readTextFile(join(run, "result.json"))).baselines;
      const said = (name: RegExp) => rows.find((row: { name: string }) => name.test(row.name)).value.mean;
      assert.equal(mean(baselines!.atTemperature), said(/^RLVR, at its best/));
      assert.equal(mean(baselines!.nearest), said(/^RLVR, nearest of 2$/));
      assert.equal(mean(baselines!.copy), said(/^the last given frame again/));
      assert.match(stdout, /^nearest of 2 +[\d.]+$/m);
      assert.equal(plain!.models.rlvr.baselines, undefined);
    });

    await t.step("the best of N is at least as good as the mean, and N changes no first sample", async () => {
      const { stdout, scores } = await evaluate(folder, ["--run", run, "--which", "grpo", "--samples", "4"]);
      assert.deepEqual(Object.keys(scores.models), ["rlvr"]);
      const { values, best } = scores.models.rlvr;
      for (const [metric, sign] of [["mae", 1], ["mse", 1], ["psnr", -1], ["ssim", -1]] as const) {
        values[metric].forEach((value, i) =>
          assert.ok(sign * best[metric][i] <= sign * value, `${metric} of item ${i}`)
        );
        assert.ok(sign * mean(best[metric]) < sign * mean(values[metric]), `${metric}: four samples were all alike`);
        // The first of the four is the one sample of before.
        values[metric].forEach((_, i) =>
          assert.ok(sign * best[metric][i] <= sign * plain!.models.rlvr.values[metric][i] + 1e-7)
        );
      }
      assert.match(stdout, /rlvr, best of N/);
    });

    await t.step("rejection lowers repetition", async () => {
      const args = ["--run", run, "--which", "likelihood", "--samples", "4"];
      const without = mean((await evaluate(folder, args)).scores.models.likelihood.repetition);
      const rejecting = mean(
        (await evaluate(folder, [...args, "--reject-repeating"])).scores.models.likelihood.repetition,
      );
      assert.ok(without > 0, "no answer repeats: the test sees nothing");
      assert.ok(rejecting < without, `${rejecting} with rejection, ${without} without`);
    });

    await t.step("bad input", async () => {
      const other = join(folder, "other");
      await tinyRun(engine, other, { stages: ["tokenizer"] });
      const wasm = ["--engine", "wasm"];
      await Promise.all([
        fails([], "name either --run FOLDER or --model FOLDER with --tokenizer FOLDER"),
        fails(["--run", join(folder, "none")], "none holds no run"),
        fails(["--run", run, "--which", "best"], "--which must be one of likelihood, control, grpo", '"best"'),
        fails(["--run", run, "--tokenizer", other], "--tokenizer has no meaning with --run"),
      ]);
      await Promise.all([
        fails(["--model", run], "needs the tokenizer that it was trained with: --tokenizer FOLDER"),
        fails(["--run", run, "--out", join(folder, "no/such/scores.json")], "there is no folder"),
        fails([...wasm, "--run", other], "models/likelihood does not exist: run the likelihood stage first"),
        fails(
          [
            ...wasm,
            ...tinyFlags(CHANGE),
            "--model",
            join(run, "models/rlvr"),
            "--tokenizer",
            join(other, "models/tokenizer"),
          ],
          "models/rlvr has a vocabulary of 8, the tokenizer and the action bins need 22",
        ),
      ]);
      await Promise.all([
        fails(
          [
            ...wasm,
            ...tinyFlags(),
            "--model",
            join(run, "models/tokenizer"),
            "--tokenizer",
            join(run, "models/tokenizer"),
          ],
          "models/tokenizer/config.json",
        ),
        fails(
          [...wasm, ...tinyFlags(), "--model", join(folder, "none"), "--tokenizer", join(run, "models/tokenizer")],
          join(folder, "none"),
        ),
      ]);
    });
  });
});

Deno.test("evaluate-video of a multi-step run", async (t) => {
  await withFolder(async (folder) => {
    const run = join(folder, "run");
    const { engine } = await openEngine({ engine: "wasm" });
    const change = mergeSettings(MULTI_STEP, { evaluation: { itemsPerEpisode: 4 } });
    await tinyRun(engine, run, { change });

    let own: Scores | undefined;
    await t.step("--run scores as the run itself did, frame by frame", async () => {
      const { stdout, scores } = await evaluate(folder, ["--run", run]);
      own = scores;
      const result = JSON.parse(await Deno.readTextFile(join(run, "result.json"))).metrics;
      const { values, byFrame, repetition } = scores.models.rlvr;
      for (const metric of ["mae", "mse", "psnr", "ssim", "repeatedFrames"]) {
        assert.equal(mean(values[metric]), result[metric].rlvr.mean);
      }
      assert.equal(mean(repetition), result.repetition.rlvr.mean);
      assert.equal(byFrame!.mae.length, 3);
      byFrame!.mae.forEach((frame, i) => assert.equal(mean(frame), result.mae.byFrame.rlvr[i].mean));
      assert.match(stdout, /^mae, frame 3 +[\d.]+ \[/m);
      assert.match(stdout, /8 held-out clips of 2 episodes; mean \[95 % interval\]/);
    });

    await t.step("--model and --tokenizer score the same folders the same; the best of N is the best", async () => {
      const folders = ["--model", join(run, "models/rlvr"), "--tokenizer", join(run, "models/tokenizer")];
      const { scores } = await evaluate(folder, [...folders, ...tinyFlags(change)]);
      assert.deepEqual(Object.values(scores.models)[0], own!.models.rlvr);
      const more = await evaluate(folder, ["--run", run, "--which", "grpo", "--samples", "4", "--reject-repeating"]);
      const { values, best } = more.scores.models.rlvr;
      assert.ok(mean(best.mae) < mean(values.mae) && mean(best.psnr) > mean(values.psnr));
    });

    await t.step("a single-step tokenizer or model in its place is refused", async () => {
      const single = join(folder, "single");
      await tinyRun(engine, single, { stages: ["tokenizer", "likelihood"] });
      const wasm = ["--engine", "wasm", ...tinyFlags(change)];
      const [model, tokenizer] = ["models/likelihood", "models/tokenizer"];
      await fails(
        [...wasm, "--model", join(run, model), "--tokenizer", join(single, tokenizer)],
        "single/models/tokenizer/config.json",
      );
      await fails(
        [...wasm, "--model", join(single, model), "--tokenizer", join(run, tokenizer)],
        "single/models/likelihood has a vocabulary of ",
      );
    });
  });
});

Deno.test("evaluate-video: the ranges that actions were binned with come with the model", async () => {
  const { openRobotVideoData, readActionRanges, writeActionRanges } = await import(
    "../../lib/recipes/robot_video/data.ts"
  );
  const { tinyConfig } = await import("../support/tiny_run.ts");
  await withFolder(async (folder) => {
    const config = tinyConfig({ data: { actionRanges: "computed" } });
    const own = await openRobotVideoData(config);
    await writeActionRanges(folder, own.bins.ranges);
    const trained = (await readActionRanges(folder))!;
    assert.deepEqual(trained.min, own.bins.ranges.min);
    assert.deepEqual(trained.max, own.bins.ranges.max);
    const others = { ...config, seed: 7 };
    assert.notDeepEqual((await openRobotVideoData(others)).bins.ranges.min, trained.min);
    assert.deepEqual((await openRobotVideoData(others, { trainedRanges: trained })).bins.ranges.min, trained.min);
    assert.equal(await readActionRanges(join(folder, "none")), undefined);
    await Deno.writeTextFile(join(folder, "action_ranges.json"), '{"min": [1], "max": []}');
    await assert.rejects(readActionRanges(folder), UserError);
  });
});
