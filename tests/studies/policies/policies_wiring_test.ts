/** What a policy evaluation hands on: each model, seed, length and way of drawing must show in what comes out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { labelLine } from "../../../lib/studies/labels/labels.ts";
import { readLabelKey } from "../../../lib/studies/labels/items.ts";
import { builtInStarts, outcomesOf, type PolicyTrial, runTrials } from "../../../lib/studies/policies/evaluation.ts";
import { readLabelledOutcomes } from "../../../lib/studies/policies/files.ts";
import { makeJudge } from "../../../lib/studies/policies/judge.ts";
import { asModelShows, predictionSampling, predictorOf } from "../../../lib/studies/policies/models.ts";
import { rollOut } from "../../../lib/studies/policies/rollouts.ts";
import {
  type PolicyEvaluationOptions,
  runLabelledEvaluation,
  runPolicyEvaluation,
} from "../../../lib/studies/policies/run.ts";
import { policyTable } from "../../../lib/studies/policies/table.ts";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { TableTopVectorEnv } from "../../../lib/gyms/table_top/table_top_env.ts";
import { RandomPolicy } from "../../../lib/worlds/robot_video/random_policy.ts";
import { ScriptedPolicy } from "../../../lib/gyms/table_top/policies/scripted_policy.ts";
import { withFolder } from "../../support/files.ts";
import { MULTI_STEP, tinyConfig, tinyRun } from "../../support/tiny_run.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";

const SIZE = { height: 32, width: 32 }, SEED = 3, MAX_STEPS = 3;
const CHANGE = {
  data: { ...SIZE, history: 2, objects: 1, drawer: true, zone: true },
  grpo: { learningRate: 0.05 },
  evaluation: { temperature: 0.9, topK: 3, topP: 0.95 },
};

/** Random motion that keeps the seeds which it was given, by call. */
class SeedKeeper extends RandomPolicy {
  readonly seeds: number[][] = [];
  override reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    this.seeds.push([...seeds]);
    return super.reset(instructions, seeds);
  }
}

const finalsOf = (trials: readonly PolicyTrial[], world?: string) =>
  trials.filter((trial) => world === undefined || trial.world === world).map(({ rollout }) => rollout.final);

Deno.test("policy evaluation: models, seeds, lengths, ways of drawing and the judge's training are those that were given", async (t) => {
  await withFolder(async (folder) => {
    const { engine } = await openEngine({ engine: "wasm" }), path = join(folder, "run");
    await tinyRun(engine, path, { change: CHANGE, stages: ["tokenizer", "likelihood", "grpo"] });
    using run = await RunFolder.read(path);
    const config = tinyConfig(CHANGE), progress = silentProgress;
    using experiment = await RobotVideoExperiment.open({ engine, config, run, progress });
    using owned = new DisposableStack();
    const keep = <T extends { dispose(): void }>(value: T) => owned.adopt(value, (held) => held.dispose());
    const models = {
      base: keep(await experiment.models.likelihood()),
      rlvr: keep((await experiment.models.trained("rlvr"))!),
    };
    const tasks = builtInStarts(["open-drawer", "push-to-zone"], 4, { seed: 1, objects: 1, ...SIZE });
    const firsts = new Map(tasks.map(({ task, frames }) => [task, frames]));
    const sampling = { temperature: 1.3, topK: 0, topP: 1 }, judge = { starts: 1, steps: 2 };
    const options = (name: string): PolicyEvaluationOptions => {
      const out = join(folder, name), policies = [new RandomPolicy(), new ScriptedPolicy("expert")];
      return { experiment, models, policies, tasks, maxSteps: MAX_STEPS, seed: SEED, sampling, out, progress };
    };
    const whole = await runPolicyEvaluation({ ...options("whole"), judge: { train: judge } });
    const common = {
      policies: [new RandomPolicy(), new ScriptedPolicy("expert")],
      actionRanges: experiment.data.bins.ranges,
      tasks,
      ...SIZE,
      progress,
      stopIfAsked: () => Promise.resolve(),
    };

    await t.step(
      "roll-outs: each model's own, drawn as was said, with the seed and length that were given",
      async () => {
        const expected = async (change: { temperature?: number; topK?: number; seed?: number } = {}) => {
          const { seed = SEED, ...drawn } = change;
          const base = await predictorOf(experiment, models.base, { sampling: { ...sampling, ...drawn } });
          const rlvr = await predictorOf(experiment, models.rlvr, { sampling: { ...sampling, ...drawn } });
          const trials = await runTrials({ ...common, models: { base, rlvr }, seed, maxSteps: MAX_STEPS });
          base.dispose();
          rlvr.dispose();
          return trials;
        };
        const same = await expected();
        assert.deepEqual(finalsOf(whole.trials), finalsOf(same));
        assert.ok(whole.trials.every(({ rollout }) => rollout.steps <= MAX_STEPS));
        assert.notDeepEqual(finalsOf(same, "base"), finalsOf(same, "rlvr"));
        for (const change of [{ topK: 1 }, { seed: 0 }]) {
          const other = await expected(change);
          for (const world of ["base", "rlvr"]) {
            assert.notDeepEqual(finalsOf(other, world), finalsOf(same, world), `${world} ${JSON.stringify(change)}`);
          }
        }
      },
    );

    await t.step("the judge: trained with the seed and as much as was given", async () => {
      const probabilities = async (seed: number, training: { starts: number; steps: number }) => {
        const trained = await makeJudge({
          engine,
          ...SIZE,
          tasks: ["open-drawer", "push-to-zone"],
          objects: 1,
          maxSteps: MAX_STEPS,
          seed,
          ...training,
          asModelShows: (pairs) => asModelShows(experiment, pairs),
          progress,
          stopIfAsked: () => Promise.resolve(),
        });
        const said = await trained.judge(
          whole.trials.filter(({ world }) => world !== "truth").map(({ task, start, instruction, rollout }) => ({
            first: firsts.get(task)![start],
            final: rollout.final,
            instruction,
          })),
        );
        trained.dispose();
        return [...said];
      };
      const said = whole.trials.flatMap(({ probability }) => probability ?? []);
      assert.deepEqual(said, await probabilities(SEED, judge));
      assert.notDeepEqual(said, await probabilities(0, judge));
      assert.notDeepEqual(said, await probabilities(SEED, { ...judge, steps: 4 }));
    });

    await t.step("tables: resampled with the evaluation's seed, of people's labels too", async () => {
      // Of mixed outcomes, whose intervals depend on what was drawn.
      const key = join(folder, "whole/key.jsonl"), ids = [...(await readLabelKey(key)).keys()];
      const labels = [join(folder, "labels.jsonl")];
      const lines = ids.map((id, i) => labelLine({ id, success: [0, 1, 3].includes(i % 7), labeller: "ada", at: "" }));
      await Deno.writeTextFile(labels[0], lines.join(""));
      const { result } = await runLabelledEvaluation({ labels, key, out: join(folder, "labelled"), seed: SEED });
      const { outcomes } = await readLabelledOutcomes(labels, key);
      assert.deepEqual(result.table, policyTable(outcomes, { seed: SEED }));
      assert.notDeepEqual(result.table, policyTable(outcomes, { seed: 0 }));
      assert.deepEqual(whole.result.table, policyTable(outcomesOf(whole.trials), { seed: SEED }));
    });

    await t.step("left out, frames are drawn as the experiment's evaluation draws them", async () => {
      const { temperature, topK, topP } = CHANGE.evaluation;
      assert.deepEqual(predictionSampling(experiment), { temperature, topK, topP });
      const { result } = await runPolicyEvaluation({ ...options("left"), sampling: undefined, judge: "none" });
      assert.deepEqual(
        ["temperature", "topK", "topP"].map((name) => result.settings[`sampling.${name}`]),
        [temperature, topK, topP],
      );
    });

    await t.step("predictors: the history and the horizon of the models' data", async () => {
      const predictor = keep(await predictorOf(experiment, models.base, { sampling: { topK: 1 } }));
      assert.equal(predictor.horizon, Infinity);
      // A model that sees one frame only predicts otherwise after two different pasts of one last frame than one that sees two.
      const { frames } = tasks[0], still = new Float32Array(predictor.actionWidth);
      await predictor.reset(frames, 0);
      await predictor.step(frames.map(() => still));
      const remembered = await predictor.step(frames.map(() => still));
      const short = mergeSettings(CHANGE, { data: { history: 1 } });
      using other = await RobotVideoExperiment.open({ engine, config: tinyConfig(short), run, progress });
      const forgetful = keep(await predictorOf(other, models.base, { sampling: { topK: 1 } }));
      await forgetful.reset(frames, 0);
      await forgetful.step(frames.map(() => still));
      assert.notDeepEqual(await forgetful.step(frames.map(() => still)), remembered);
    });
  });
});

Deno.test("policy evaluation: a multi-step model looks ahead as far as its clips", async () => {
  await withFolder(async (folder) => {
    const { engine } = await openEngine({ engine: "wasm" }), path = join(folder, "run");
    await tinyRun(engine, path, { change: MULTI_STEP, stages: ["tokenizer", "likelihood"] });
    using run = await RunFolder.read(path);
    const config = tinyConfig(MULTI_STEP);
    using experiment = await RobotVideoExperiment.open({ engine, config, run, progress: silentProgress });
    const model = await experiment.models.likelihood(), predictor = await predictorOf(experiment, model);
    assert.equal(predictor.horizon, config.data.frames - 1);
    predictor.dispose();
    model.dispose();
  });
});

Deno.test("rollOut: each start has a seed of its own, which follows from the request's; so have the frames that are drawn", async () => {
  const [{ states }] = builtInStarts(["open-drawer"], 3, { seed: 3, objects: 1, ...SIZE });
  const starts = states!.map(({ seed, objects, state, task, instruction }) => ({
    config: { seed, objects, drawer: true, zone: true },
    state,
    task,
    instruction,
  }));
  const policy = new SeedKeeper();
  for (const seed of [0, 1]) {
    const env = new TableTopVectorEnv({ ...SIZE, maxSteps: 1 });
    const reset = env.reset.bind(env), seeds: unknown[] = [];
    env.reset = (request) => {
      seeds.push(request?.seed);
      return reset(request);
    };
    await rollOut({ env, policy, starts, seed });
    assert.deepEqual(seeds, [seed]);
  }
  assert.equal(new Set(policy.seeds.flat()).size, 6, "no two starts and no two requests share one");
});
