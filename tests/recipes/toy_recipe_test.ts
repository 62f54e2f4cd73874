/** Another world's recipe is run as the paper's are: trained, stopped, resumed, judged, reported. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { silentProgress } from "../../lib/runs/progress.ts";
import { run } from "../../lib/runs/run.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../../lib/runs/stage.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { withFolder } from "../support/files.ts";
import { stoppingProgress } from "../support/tiny_run.ts";
import { TOY_CONFIG, ToyRecipe } from "./toy_recipe.ts";

Deno.test("a recipe of another world: every stage, its result and report; stopped and resumed it ends the same", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const open = async (name: string, stopped?: ReturnType<typeof stoppingProgress>, resume = false) => {
      const path = join(folder, name), config = { ...TOY_CONFIG };
      const opened = await (resume ? RunFolder.open(path, { config }) : RunFolder.create(path, { config }));
      return new ToyRecipe(engine, { run: opened, progress: silentProgress, checkpointEvery: 4, ...stopped });
    };
    const whole = await open("whole"), { result, evaluations, report, seconds } = await run(whole);
    assert.deepEqual(Object.keys(seconds), ["likelihood", "grpo", "control", "evaluate"]);
    assert.deepEqual(Object.keys(evaluations!), ["likelihood", "control", "rlvr"]);
    const { task, preset, metrics: { error } } = result!;
    assert.deepEqual([task, preset, error.base.n], ["train-toy", "toy", 64]);
    assert.ok(error.rlvr.mean < 1 && error.rlvr.mean !== error.base.mean, `${error.base.mean} ${error.rlvr.mean}`);
    const html = await Deno.readTextFile(report!);
    assert.ok(html.includes(whole.headline(result!)) && html.includes("Reward"));
    whole.context.run.close();

    const half = await open("half", stoppingProgress({ stage: "grpo", step: 6 }));
    await assert.rejects(run(half), RunInterruptedError);
    half.context.run.close();
    const again = await open("half", undefined, true), resumed = await run(again);
    assert.deepEqual(resumed.evaluations, evaluations);
    again.context.run.close();
  });
  engine.close();
});
