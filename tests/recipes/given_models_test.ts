/** What a given model's folder says reaches the worlds, the runs and the user: its ends, its adapter, its missing head. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readLanguageModelFolder } from "../../lib/recipes/language/model_store.ts";
import { trainLikelihood } from "../../lib/runs/training.ts";
import { TextGameExperiment } from "../../lib/recipes/text_game/experiment.ts";
import { readTextGameTokens } from "../../lib/recipes/text_game/tokens.ts";
import { readWebPageTokens, WebPageModel } from "../../lib/recipes/web_page/web_page_model.ts";
import { readSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { saveAdapters } from "../../lib/models/lora_files.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../../lib/runs/stage.ts";
import { builtInWalks } from "../../lib/gyms/shop/walks.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { replace } from "../support/config_fields.ts";
import { stoppingProgress, tinyRun } from "../support/tiny_run.ts";
import { tinyLanguageModel, tinyTextConfig, tinyTextRun } from "../support/tiny_text_run.ts";
import { tinyWebConfig, tinyWebRun } from "../support/tiny_web_run.ts";

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value));
}

Deno.test("all ends that a model's folder names end answers in both worlds; they stay with what is trained", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const model = await tinyLanguageModel(folder), config = tinyTextConfig({ model: { folder: model } });
    const text = async (place: string) => (await readTextGameTokens(place, config)).world.openAnswers.endTokens;
    const web = async () => (await readWebPageTokens(model, tinyWebConfig())).world;
    assert.deepEqual(await text(model), [383], "the tokenizer's and config.json's");
    await writeJson(join(model, "generation_config.json"), { eos_token_id: [382, 248] });
    assert.deepEqual(await text(model), [383, 382, 248]);
    assert.deepEqual((await web()).openAnswers.endTokens, [383, 382, 248]);

    // The text of an end that is a special token spoils no item; it used to be cut for the tokenizer's own alone.
    const tree = "New items:\n[1] link 'A'\n\nDeleted items:\nNone\n\nUpdated items:\n[2] link 'B'";
    const example = { name: "", group: "", question: "", target: tree, truth: tree, asked: undefined };
    const { tokenizer } = await readLanguageModelFolder(model);
    const tokens = (ends: number[]) => Int32Array.of(...tokenizer.encode(tree, { addSpecialTokens: false }), ...ends);
    for (const ends of [[], [383], [382]]) {
      const [response] = await (await web()).decode([tokens(ends)], [example]);
      assert.equal((await web()).score(response).f1, 1, `${ends}`);
    }

    using run = await RunFolder.create(join(folder, "run"), { config });
    await trainLikelihood(await TextGameExperiment.open({ engine, config, run, progress: silentProgress }));
    const saved = join(run.path, "models/likelihood");
    assert.deepEqual(await text(saved), [383, 382, 248]);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(join(saved, "generation_config.json"))), {
      eos_token_id: [382, 248],
    });
  });
  engine.close();
});

Deno.test("predictions leave out the token that ends them, an ordinary one too", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const place = await tinyLanguageModel(folder), config = tinyWebConfig({ data: { maxAnswerTokens: 12 } });
    const [{ transition }] = await builtInWalks({ sites: [3], walks: 1, steps: 1, stream: [1] });
    const ask = async () => {
      const tokens = await readWebPageTokens(place, config);
      using model = new WebPageModel(await CausalTransformer.load(engine, place), tokens, config);
      return { text: (await model.predict([transition], { greedy: true, stream: [0, 0, 0] }))[0][0], tokens };
    };
    const { text, tokens: { tokenizer } } = await ask();
    // What the answer begins with ends it now, and nothing is left.
    const [end] = tokenizer.encode(text, { addSpecialTokens: false });
    assert.ok(text.length > tokenizer.decode([end]).length && tokenizer.decode([end]).trim() !== "", text);
    await writeJson(join(place, "generation_config.json"), { eos_token_id: end });
    const cut = await ask();
    assert.deepEqual(cut.tokens.world.openAnswers.endTokens, [383, end]);
    assert.equal(cut.text, "");
  });
  engine.close();
});

Deno.test("an adapter's folder is taken as a model, a base model gets a head, and the user is told", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const base = await tinyLanguageModel(folder), adapter = join(folder, "adapter");
    const model = await CausalTransformer.load(engine, base);
    model.attachAdapters({ rank: 2, alpha: 4, targets: ["q_proj"], seed: 1 });
    await saveAdapters(model, adapter, { baseModel: base });
    model.dispose();
    const { progress, notes } = stoppingProgress();
    const config = tinyTextConfig({ model: { folder: adapter } });
    await assert.rejects(
      TextGameExperiment.open({ engine, config, progress, run: () => Promise.reject(new Error("opened")) }),
      /opened/,
    );
    assert.equal(notes[0], `${adapter} is an adapter: merged into its base model ${base}`);
    assert.deepEqual((await readLanguageModelFolder(base)).notes, []);

    // A base model of untied embeddings: without lm_head, by names without `model.`.
    const path = join(base, "config.json"), sizes = JSON.parse(await Deno.readTextFile(path));
    await writeJson(path, { ...sizes, architectures: ["Qwen2Model"], tie_word_embeddings: false });
    const weights = await readSafetensors(join(base, "model.safetensors"));
    await writeSafetensors(
      join(base, "model.safetensors"),
      [...weights].map(([name, each]) => [name.replace(/^model\./, ""), each]),
    );
    assert.match((await readLanguageModelFolder(base)).notes[0], /is a base model without lm_head: a new one is drawn/);
  });
  engine.close();
});

/** Makes another model of a file. @returns What puts the first one back. */
async function retrain(path: string): Promise<() => Promise<void>> {
  const before = await Deno.readFile(path), weights = await readSafetensors(path);
  for (const { data } of weights.values()) data[0] ^= 1;
  await writeSafetensors(path, weights);
  return () => Deno.writeFile(path, before);
}

for (const [world, start] of [["text games", tinyTextRun], ["web pages", tinyWebRun]] as const) {
  Deno.test(`${world}: a run is not resumed when the model that was given has changed in its place`, async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const model = await tinyLanguageModel(folder), run = join(folder, "run");
      const change = {
        model: { folder: model },
        data: { maxQuestionTokens: 2000, maxAnswerTokens: 600 },
      };
      const { progress, signal } = stoppingProgress({ stage: "likelihood", step: 3 });
      await assert.rejects(start(engine, run, { change, progress, signal }), RunInterruptedError);
      const resume = (stage: "likelihood" | "grpo" | "evaluate") =>
        start(engine, run, { change, resume: true, stages: [stage] });
      const restore = await retrain(join(model, "model.safetensors"));
      for (const stage of ["likelihood", "grpo", "evaluate"] as const) {
        await rejectsUserError(
          () => resume(stage),
          "checkpoints/likelihood/step-00000003 was trained with other files of model.folder (fingerprint 1:",
          "or start a new run with another --out",
        );
      }
      await restore();
      await resume("likelihood");
    });
    engine.close();
  });
}

Deno.test("robot video: a given model's faults are found without loading it; its stage loads it", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const first = join(folder, "first"), model = join(first, "models/likelihood"), config = join(model, "config.json");
    await tinyRun(engine, first, { stages: ["tokenizer", "likelihood"] });
    const change = { tokenizer: { folder: join(first, "models/tokenizer") }, model: { folder: model } };
    let loads = 0, runs = 0;
    const load = CausalTransformer.load;
    using _ = replace(CausalTransformer, "load", (...request: Parameters<typeof load>) => {
      loads++;
      return load.apply(CausalTransformer, request);
    });
    const start = (changed: Record<string, unknown> = {}) =>
      tinyRun(engine, join(folder, `run${runs++}`), { change: { ...change, ...changed }, stages: ["grpo"] });
    await start();
    assert.equal(loads, 2, "the policy, and the reference");
    const sizes = JSON.parse(await Deno.readTextFile(config)), weights = join(model, "model.safetensors");
    const faults: [RegExp, () => Promise<unknown>][] = [
      [
        /models\/likelihood has a vocabulary of \d+, the tokenizer and the action bins need/,
        () => start({ data: { actionBins: 5 } }),
      ],
      [/models\/likelihood reads at most 20 tokens, a clip has \d+: lower/, async () => {
        await writeJson(config, { ...sizes, max_position_embeddings: 20 });
        await start();
      }],
      [/belong to different models|another shape/, async () => {
        await writeJson(config, { ...sizes, hidden_size: 8 });
        await start();
      }],
      [/model\.safetensors/, async () => {
        await writeJson(config, sizes);
        await Deno.truncate(weights, 4000);
        await start();
      }],
    ];
    for (const [message, fault] of faults) {
      await assert.rejects(fault, (error: Error) => error instanceof UserError && message.test(error.message));
    }
    assert.equal(loads, 2);
  });
  engine.close();
});

Deno.test("robot video: a run is not resumed when the tokenizer that was given has changed in its place", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const first = join(folder, "first"), run = join(folder, "run"), tokenizer = join(first, "models/tokenizer");
    await tinyRun(engine, first, { stages: ["tokenizer"] });
    const change = { tokenizer: { folder: tokenizer } };
    const weights = join(tokenizer, "diffusion_pytorch_model.safetensors");
    await tinyRun(engine, run, { change, stages: ["likelihood"] });
    const restore = await retrain(weights);
    await rejectsUserError(
      () => tinyRun(engine, run, { change, resume: true, stages: ["likelihood"] }),
      "was trained with other files of tokenizer.folder (fingerprint 1:",
    );
    await restore();
    await tinyRun(engine, run, { change, resume: true, stages: ["likelihood"] });
  });
  engine.close();
});
