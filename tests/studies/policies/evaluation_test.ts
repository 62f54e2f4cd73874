/** A whole policy evaluation of a tiny run: roll-outs, judge, files, labels by people; and that everything follows from the seed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { labelLine } from "../../../lib/studies/labels/labels.ts";
import { readLabelItems, readLabelKey } from "../../../lib/studies/labels/items.ts";
import { builtInStarts, runTrials, startsByTask } from "../../../lib/studies/policies/evaluation.ts";
import { asModelShows, predictorOf } from "../../../lib/studies/policies/models.ts";
import { rollOut } from "../../../lib/studies/policies/rollouts.ts";
import {
  type PolicyEvaluationOptions,
  runLabelledEvaluation,
  runPolicyEvaluation,
} from "../../../lib/studies/policies/run.ts";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { TableTopVectorEnv } from "../../../lib/gyms/table_top/table_top_env.ts";
import { emptyAction, type Policy } from "../../../lib/worlds/robot_video/policy.ts";
import { RandomPolicy } from "../../../lib/worlds/robot_video/random_policy.ts";
import { ScriptedPolicy } from "../../../lib/gyms/table_top/policies/scripted_policy.ts";
import { readStartFrames } from "../../../lib/gyms/table_top/start_frames.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { tinyConfig, tinyRun } from "../../support/tiny_run.ts";

/** Scenes in which there are tasks, seen at the least size that scripted policies take. */
const CHANGE = { data: { height: 32, width: 32, history: 2, objects: 1, drawer: true, zone: true } };
const SIZE = { height: 32, width: 32 };

/** Stands still and ends the episode at its n-th action. */
class Patience implements Policy {
  readonly name = "patience";
  readonly actionWidth = 13;
  #taken = 0;
  constructor(readonly steps: number) {}
  reset(): Promise<void> {
    this.#taken = 0;
    return Promise.resolve();
  }
  act(frames: readonly (unknown | null)[]): Promise<(Float32Array | null)[]> {
    const action = emptyAction(++this.#taken === this.steps);
    return Promise.resolve(frames.map((frame) => frame === null ? null : action));
  }
}

Deno.test("rollOut: the frame after the last action ends a roll-out, a policy's end or the longest length", async () => {
  const [{ frames, instructions, states }] = builtInStarts(["open-drawer"], 2, { seed: 3, objects: 1, ...SIZE });
  const starts = states!.map(({ seed, objects, state, task, instruction }) => ({
    config: { seed, objects, drawer: true, zone: true },
    state,
    task,
    instruction,
  }));
  assert.equal(instructions[0], "open the drawer");
  const run = async (policy: Policy, maxSteps: number) =>
    await rollOut({
      env: new TableTopVectorEnv({ ...SIZE, maxSteps }),
      policy,
      starts,
      seed: 0,
      keepFrames: (i) => i === 0,
    });
  const ended = await run(new Patience(2), 5), cut = await run(new Patience(9), 4);
  assert.deepEqual(ended.map(({ steps, terminated }) => [steps, terminated]), [[2, true], [2, true]]);
  assert.deepEqual(cut.map(({ steps, terminated }) => [steps, terminated]), [[4, false], [4, false]]);
  assert.equal(ended[0].frames!.length, 3);
  assert.equal(ended[1].frames, undefined);
  assert.deepEqual(ended[0].frames![0], frames[0]);
  assert.equal(ended[0].frames![2], ended[0].final);
  assert.deepEqual(ended[0].successes, [false, false, false]);
  assert.deepEqual(await run(new RandomPolicy(), 3), await run(new RandomPolicy(), 3));
  const expert = await run(new ScriptedPolicy("expert"), 28);
  assert.ok(expert.every(({ success, terminated }) => success && terminated), "an expert opens drawers");
  await assert.rejects(
    () => rollOut({ env: new TableTopVectorEnv(SIZE), policy: new RandomPolicy(), starts, seed: 0 }),
    /needs an environment with maxSteps/,
  );
});

Deno.test("policy evaluation: a run's models against the truth", async (t) => {
  await withFolder(async (folder) => {
    const { engine } = await openEngine({ engine: "wasm" });
    const path = join(folder, "run");
    await tinyRun(engine, path, { change: CHANGE, stages: ["tokenizer", "likelihood", "grpo"] });
    using run = await RunFolder.read(path);
    using experiment = await RobotVideoExperiment.open({
      engine,
      config: tinyConfig(CHANGE),
      run,
      progress: silentProgress,
    });
    const models = {
      base: await experiment.models.likelihood(),
      rlvr: (await experiment.models.trained("rlvr"))!,
    };
    const tasks = builtInStarts(["open-drawer", "push-to-zone"], 3, { seed: 1, objects: 1, ...SIZE });
    const options = (name: string): PolicyEvaluationOptions => ({
      experiment,
      models,
      policies: [new RandomPolicy(), new ScriptedPolicy("expert")],
      tasks,
      maxSteps: 4,
      seed: 1,
      judge: { train: { starts: 1, steps: 2 } },
      out: join(folder, name),
      progress: silentProgress,
    });
    const first = await runPolicyEvaluation(options("first"));

    await t.step("every policy, task, start and world is rolled out and judged", async () => {
      assert.equal(first.trials.length, 2 * 2 * 3 * 3);
      assert.ok(first.trials.every(({ success }) => success !== null));
      const { table, judge, metrics } = first.result;
      assert.deepEqual(table.worlds, ["truth", "base", "rlvr"]);
      assert.equal(table.cells.length, 4);
      assert.ok(table.cells.every(({ rates }) => Object.values(rates).every(({ n }) => n === 3)));
      assert.deepEqual(Object.keys(table.models), ["base", "rlvr"]);
      assert.equal(metrics.gap.rlvr.mean, table.models.rlvr.gap);
      assert.ok(judge.kind === "classifier" && judge.report!.quality.n === 12);
      assert.deepEqual(JSON.parse(await Deno.readTextFile(join(folder, "first/result.json"))).table, table);
      const trials = (await Deno.readTextFile(join(folder, "first/trials.jsonl"))).trimEnd().split("\n");
      assert.equal(trials.length, first.trials.length);
    });

    await t.step("starts are the same in every world; models show what their tokenizer leaves of them", async () => {
      const of = (world: string) =>
        first.trials.find((each) => each.world === world && each.task === "push-to-zone" && each.start === 0)!;
      const start = tasks[1].frames[0];
      assert.deepEqual(of("truth").rollout.frames![0], start);
      const [shown] = await asModelShows(experiment, [{ first: start, final: start }]);
      assert.deepEqual(of("base").rollout.frames![0], shown);
      assert.deepEqual(of("rlvr").rollout.frames![0], shown);
    });

    await t.step("the same seed gives the same evaluation, in roll-outs and judgements", async () => {
      const again = await runPolicyEvaluation(options("again"));
      assert.deepEqual(again.trials, first.trials);
      assert.deepEqual(again.result.table, first.result.table);
      const other = await runPolicyEvaluation({ ...options("other"), seed: 2, judge: "none" });
      assert.notDeepEqual(
        other.trials.map(({ rollout }) => rollout.final),
        first.trials.map(({ rollout }) => rollout.final),
      );
    });

    await t.step("a judge that was kept judges alike; start frames that were kept start alike", async () => {
      const starts = startsByTask(await readStartFrames(join(folder, "first/starts.npz")));
      assert.deepEqual(starts, tasks);
      const again = await runPolicyEvaluation({
        ...options("kept"),
        tasks: starts,
        judge: { folder: join(folder, "first/judge") },
      });
      assert.deepEqual(
        again.trials.map(({ probability }) => probability),
        first.trials.map((each) => each.probability),
      );
    });

    await t.step("the report needs nothing else and shows tables, figure and roll-outs", async () => {
      const html = await Deno.readTextFile(first.report);
      for (
        const part of ["How near to the truth", "scripted:expert", "Plotly.newPlot", "data:image/gif", "The judge"]
      ) {
        assert.ok(html.includes(part), part);
      }
      const images = [...html.matchAll(/<img[^>]* src="([^"]{1,20})/g)].map(([, source]) => source);
      assert.ok(images.length >= 4 && images.every((source) => source.startsWith("data:image/gif")), images.join());
    });

    await t.step("people's labels take the judge's place, start by start", async () => {
      const keyPath = join(folder, "first/key.jsonl"), key = await readLabelKey(keyPath);
      const { items } = await readLabelItems(join(folder, "first/items"));
      assert.equal(items.length, 24);
      // One labeller agrees with the classifier throughout, on all items but the last.
      const said = (id: string) => {
        const { model, policy, task, start } = key.get(id)!;
        return first.trials.find((each) =>
          each.world === model && each.policy === policy && each.task === task && each.start === start
        )!.success!;
      };
      const lines = items.slice(0, -1).map(({ id }) => labelLine({ id, success: said(id), labeller: "ada", at: "" }));
      await Deno.writeTextFile(join(folder, "labels.jsonl"), lines.join(""));
      const labels = [join(folder, "labels.jsonl")], out = join(folder, "labelled");
      const { result, notes } = await runLabelledEvaluation({ labels, key: keyPath, out, seed: 1 });
      assert.ok(notes.some((note) => note.includes("23 of 24 items are judged")), notes.join());
      const missing = key.get(items.at(-1)!.id)!;
      for (const { task, policy, rates } of result.table.cells) {
        const cell = first.result.table.cells.find((each) => each.task === task && each.policy === policy)!;
        assert.deepEqual(rates.truth, cell.rates.truth);
        for (const model of ["base", "rlvr"]) {
          const isMissing = missing.task === task && missing.policy === policy && missing.model === model;
          if (isMissing) assert.equal(rates[model].n, 2);
          else assert.deepEqual(rates[model], cell.rates[model]);
        }
      }
      await Deno.writeTextFile(join(folder, "none.jsonl"), "");
      await rejectsUserError(
        () =>
          runLabelledEvaluation({
            labels: [join(folder, "none.jsonl")],
            key: keyPath,
            out: join(folder, "x"),
            seed: 0,
          }),
        "answers none of the 24 items",
      );
    });

    await t.step("frames from elsewhere: no truth, nobody judges, items to label are written", async () => {
      const foreign = tasks.map((each) => ({ ...each, task: each.instructions[0], states: null }));
      await rejectsUserError(() => runPolicyEvaluation({ ...options("f"), tasks: foreign }), "--judge none");
      const { result } = await runPolicyEvaluation({
        ...options("foreign"),
        tasks: foreign,
        policies: [new RandomPolicy()],
        judge: "none",
      });
      assert.deepEqual([result.table.cells, result.judge.kind, result.metrics], [[], "none", {}]);
      assert.equal((await readLabelItems(join(folder, "foreign/items"))).items.length, 12);
    });

    await t.step("what is wrong is said before the work; a stop leaves no result", async () => {
      await rejectsUserError(() => runPolicyEvaluation(options("first")), "already holds an evaluation", "--out");
      const small = [{ ...tasks[0], frames: tasks[0].frames.map(() => new Uint8Array(12)) }];
      await rejectsUserError(() => runPolicyEvaluation({ ...options("s"), tasks: small }), "12 bytes", "32 × 32");
      const twice = [new RandomPolicy(), new RandomPolicy()];
      await rejectsUserError(
        () => runPolicyEvaluation({ ...options("t"), policies: twice, judge: "none" }),
        "random is there twice",
      );
      const stop = new AbortController();
      stop.abort();
      await assert.rejects(
        () => runPolicyEvaluation({ ...options("stopped"), signal: stop.signal }),
        RunInterruptedError,
      );
      assert.equal(await Deno.stat(join(folder, "stopped/result.json")).catch(() => undefined), undefined);
    });

    await t.step("beyond a bound of memory only the frames of the first starts are kept", async () => {
      const predictor = await predictorOf(experiment, models.base);
      const trials = await runTrials({
        models: { base: predictor },
        policies: [new RandomPolicy()],
        tasks: [tasks[0]],
        ...SIZE,
        maxSteps: 2,
        seed: 0,
        frameBytes: 1000,
        progress: silentProgress,
        stopIfAsked: () => Promise.resolve(),
      });
      assert.deepEqual(trials.map(({ rollout }) => rollout.frames !== undefined), [
        true,
        true,
        false,
        true,
        true,
        false,
      ]);
      predictor.dispose();
    });
    models.base.dispose();
    models.rlvr.dispose();
  });
});
