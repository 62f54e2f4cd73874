/** A run's model behind the play page: its frames, players who share it, what cannot be played. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { PlayGame } from "../../lib/play/game.ts";
import { openRunPlayground, type RunPlaygroundOptions } from "../../lib/play/run_playground.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { silentProgress } from "../../lib/runs/progress.ts";
import { RT1_ACTION } from "../../lib/worlds/robot_video/actions.ts";
import { emptyAction } from "../../lib/worlds/robot_video/policy.ts";
import { TableTop } from "../../lib/gyms/table_top/table_top.ts";
import { tinyRun } from "../support/tiny_run.ts";

function push(x: number): number[] {
  const action = emptyAction();
  action[RT1_ACTION.worldVector] = x;
  return [...action];
}

Deno.test("openRunPlayground: the model and the truth beside it, the same for the same seed", async () => {
  const folder = await Deno.makeTempDir(), { engine } = await openEngine({ engine: "wasm" });
  const options: RunPlaygroundOptions = { engine, run: join(folder, "run"), seed: 2, progress: silentProgress };
  try {
    await tinyRun(engine, options.run, { stages: ["tokenizer", "likelihood"] });
    await assert.rejects(
      openRunPlayground({ ...options, stage: "grpo" }),
      /UserError: .*run has no model of the grpo stage/,
    );
    await assert.rejects(openRunPlayground({ ...options, run: folder }), /UserError: .* holds no run/);
    await Deno.mkdir(join(folder, "text"));
    await Deno.writeTextFile(join(folder, "text/config.json"), '{"preset": "demo", "data": {}}');
    await assert.rejects(
      openRunPlayground({ ...options, run: join(folder, "text") }),
      /UserError: .*text is no run of train-video/,
    );

    const handles = engine.memory().tensors;
    using ground = await openRunPlayground(options);
    assert.deepEqual([ground.modelName, ground.height, ground.width, ground.starts], ["Base model", 16, 16, null]);
    using first = await PlayGame.open(ground);
    using second = await PlayGame.open(ground);
    const play = async (game: PlayGame, seed: number) => {
      const views = [await game.reset(3, seed)];
      for (const x of [1, 1, -1]) views.push(await game.step(push(x)));
      return views.map(({ frames }) => frames);
    };
    const one = await play(first, 7);
    assert.deepEqual(await play(second, 7), one, "players share the model, not the game");
    assert.notDeepEqual((await play(second, 8)).map(({ model }) => model), one.map(({ model }) => model));
    const { scene } = await ground.start(3);
    const table = new TableTop(scene!.config);
    assert.deepEqual(one[0].simulator, table.render(16, 16));
    table.step(push(1));
    assert.deepEqual(one[1].simulator, table.render(16, 16));
    assert.equal(one[1].model!.length, 16 * 16 * 3);
    await assert.rejects(first.step([1, 2]), /RangeError: the action must have 13 numbers: received 2/);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    ground[Symbol.dispose]();
    assert.equal(engine.memory().tensors, handles, "nothing is left on the engine");
  } finally {
    engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});
