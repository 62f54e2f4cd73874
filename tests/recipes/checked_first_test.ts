/** What can be found out in a moment is said before data are read for minutes: files, then the model, then the data. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RobotVideoExperiment } from "../../lib/recipes/robot_video/experiment.ts";
import { TextGameExperiment } from "../../lib/recipes/text_game/experiment.ts";
import { WebPageExperiment } from "../../lib/recipes/web_page/experiment.ts";
import { writeTransitions } from "../../lib/worlds/text_game/jsonl.ts";
import { openTfjsEngine } from "../../lib/tensor/tfjs/engine.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { stoppingProgress, tinyConfig } from "../support/tiny_run.ts";
import { someTransitions, tinyLanguageModel, tinyTextConfig } from "../support/tiny_text_run.ts";
import { tinyWebConfig } from "../support/tiny_web_run.ts";

Deno.test("files are looked for first, then the model, and only then are data read", async () => {
  const engine = await openTfjsEngine({ backend: "wasm" });
  await withFolder(async (folder) => {
    const { progress, notes } = stoppingProgress(), run = () => assert.fail("a run's folder was made");
    const bad = join(folder, "bad.parquet"), model = join(folder, "none");
    await Deno.writeTextFile(bad, "no parquet");
    const text = (data: Record<string, unknown>, folder: string | null) =>
      TextGameExperiment.open({ engine, config: tinyTextConfig({ data, model: { folder } }), run, progress });
    const web = (data: Record<string, unknown>, folder: string | null) =>
      WebPageExperiment.open({ engine, config: tinyWebConfig({ data, model: { folder } }), run, progress });
    for (const open of [text, web]) {
      // A file that is not there is said before a model is fetched; a model that is not, before a file is read.
      await rejectsUserError(
        () => open({ train: join(folder, "no.parquet") }, "hub:org/name"),
        "no.parquet: there is no such",
      );
      await rejectsUserError(() => open({ train: bad, test: join(folder, "no") }, model), "no: there is no such file");
      await rejectsUserError(() => open({ train: bad }, model), `${model}: no such file`);
      await rejectsUserError(() => open({}, model), `${model}: no such file`);
      await rejectsUserError(() => open({ train: bad }, null), "bad.parquet: is not a parquet file");
    }
    await rejectsUserError(
      () => text({ train: bad, test: bad, imitation: join(folder, "x") }, model),
      "x: there is no such",
    );
    // Weights that do not fit their configuration are as good as none.
    const broken = await tinyLanguageModel(folder, { num_hidden_layers: 3 });
    for (const open of [text, web]) await rejectsUserError(() => open({ train: bad }, broken), "'model.layers.2.");

    const video = (change: Record<string, unknown>) =>
      RobotVideoExperiment.open({ engine, config: tinyConfig(change), run, progress });
    const data = { folder: join(folder, "episodes") };
    for (
      const [change, says] of [
        [{ tokenizer: { folder: model } }, "none/config.json"],
        [{ tokenizer: { folder: join(folder, "qwen2") }, model: { folder: model } }, "none: no such file"],
        [{ lpips: { vgg: model, linear: model } }, "none: no such file"],
      ] as const
    ) await rejectsUserError(() => video({ ...change, data }), says);
    assert.deepEqual(notes, []);

    // All there: notes of the data are said.
    const good = join(folder, "good.jsonl");
    await writeTransitions(good, someTransitions(4));
    await assert.rejects(() => text({ train: good, test: good }, null), /a run's folder was made/);
    assert.match(notes[0], /^transitions: 4 to train with/);
  });
  engine.close();
});
