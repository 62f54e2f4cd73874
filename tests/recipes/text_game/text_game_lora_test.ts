/** A text-game run with LoRA on a given language model, GRPO's answers sampled by a server that loads its adapters. */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { TextGameExperiment } from "../../../lib/recipes/text_game/experiment.ts";
import { toFloat32 } from "../../../lib/io/safetensors.ts";
import { openWeights } from "../../../lib/io/safetensors_folder.ts";
import { CausalTransformer } from "../../../lib/models/causal_transformer.ts";
import { loadAdapters } from "../../../lib/models/lora_files.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { withFolder } from "../../support/files.ts";
import { serve } from "../../support/completions_server.ts";
import { trainPolicy } from "../../../lib/runs/training.ts";
import { forEachEngine } from "../../support/engines.ts";
import { stoppingProgress } from "../../support/tiny_run.ts";
import { tinyLanguageModel, tinyTextConfig, tinyTextRun } from "../../support/tiny_text_run.ts";

forEachEngine(
  "LoRA on a given language model: adapters beside merged weights, and the answers of a server",
  async (engine) => {
    await withFolder(async (folder) => {
      const base = await tinyLanguageModel(folder), run = join(folder, "run");
      const change = {
        data: { maxQuestionTokens: 2000, maxAnswerTokens: 70, targets: "released" },
        model: { folder: base, lora: { rank: 2, alpha: 8, targets: ["q_proj", "down_proj"] } },
        likelihood: { steps: 2, learningRate: 0.05, warmupSteps: 0, decaySteps: 0 },
        grpo: { rewards: ["taskSpecific"], steps: 2, promptsPerStep: 2, klCoefficient: 0.1, learningRate: 0.01 },
      };
      await tinyTextRun(engine, run, { change, stages: ["likelihood"] });
      const { tensors } = engine.memory();
      const models = join(run, "models"), likelihood = join(models, "likelihood");

      const twin = await CausalTransformer.load(engine, likelihood);
      const loaded: string[] = [];
      const server = serve(twin, {
        ids: "token_ids",
        onAdapter: async (path) => {
          if (twin.adapters) twin.detachAdapters();
          await loadAdapters(twin, path);
          loaded.push(basename(path).replace(/-[a-z0-9]+-(\d)$/, "-TIME-$1"));
        },
      });
      server.faults = [() => new Response("busy", { status: 503, headers: { "retry-after": "0" } })];
      const { progress, notes } = stoppingProgress();
      const served = { ...change, grpo: { ...change.grpo, rollouts: server.base } };
      // What samples may differ when a run goes on.
      const config = tinyTextConfig(served);
      using opened = await RunFolder.open(run, { config, mayChange: ["grpo"] });
      const experiment = await TextGameExperiment.open({ engine, config, run: opened, progress });
      await trainPolicy(experiment, experiment.policies.find(({ stage }) => stage === "grpo-taskSpecific")!);
      assert.deepEqual(loaded, ["run-taskSpecific-TIME-0", "run-taskSpecific-TIME-1"]);
      assert.ok(notes.some((note) => /answered 503: busy; trying again in 0 s$/.test(note)), notes.join("\n"));
      const log = (await opened.metrics.read()).filter((each) => each.stage === "grpo-taskSpecific");
      assert.deepEqual(log.map((each) => each.rolloutRetries), [1, 0]);
      for (const { samplerMismatch, unknownAnswers } of log) {
        assert.ok(samplerMismatch as number < 1e-3, `${samplerMismatch}`);
        assert.equal(unknownAnswers, undefined);
      }
      await server[Symbol.asyncDispose]();
      twin.dispose();
      assert.deepEqual(await Array.fromAsync(Deno.readDir(join(run, "rollouts"))), []);

      for (const [name, from] of [["likelihood", base], ["rlvr-taskSpecific", likelihood]]) {
        const adapter = join(models, name, "adapter");
        const said = JSON.parse(await Deno.readTextFile(join(adapter, "adapter_config.json")));
        assert.equal(said.base_model_name_or_path, from, "what the adapter belongs to");
        assert.deepEqual(said.target_modules, ["q_proj", "down_proj"]);
        // The base with its adapter is the merged model.
        const model = await CausalTransformer.load(engine, from);
        await loadAdapters(model, adapter);
        model.mergeAdapters();
        using merged = await openWeights(join(models, name));
        let moved = 0;
        using before = await openWeights(from);
        for (const [weight, tensor] of model.parameters) {
          const ours = toFloat32(await merged.read(weight)), old = toFloat32(await before.read(weight));
          (await tensor.data()).forEach((x, i) => {
            assert.ok(Math.abs(Number(x) - ours[i]) < 1e-6, `${name} ${weight}`);
          });
          if (ours.some((x, i) => x !== old[i])) {
            moved++;
            assert.match(weight, /(q_proj|down_proj)\.weight$/);
          }
        }
        assert.equal(moved, 4, "two kinds of layers in two blocks");
        model.dispose();
      }
      assert.equal(engine.memory().tensors, tensors);
    });
  },
);

forEachEngine("low-rank imitation, then GRPO on all weights, as in the paper", async (engine) => {
  await withFolder(async (folder) => {
    const base = await tinyLanguageModel(folder), run = join(folder, "run");
    await tinyTextRun(engine, run, {
      change: {
        data: { maxQuestionTokens: 2000, maxAnswerTokens: 70, targets: "released" },
        model: { folder: base, lora: { rank: 2, alpha: 8, targets: ["q_proj"] } },
        likelihood: { steps: 1, warmupSteps: 0, decaySteps: 0 },
        // The divergence moves nothing at first; the decay of the weights does.
        grpo: { rewards: ["binary"], adapters: false, steps: 1, weightDecay: 0.5, learningRate: 0.1 },
      },
      stages: ["likelihood", "grpo"],
    });
    const moved = async (name: string, from: string) => {
      using after = await openWeights(join(run, "models", name)), before = await openWeights(from);
      const names: string[] = [];
      for (const each of after.names) {
        const [ours, old] = [toFloat32(await after.read(each)), toFloat32(await before.read(each))];
        if (ours.some((x, i) => x !== old[i])) names.push(each);
      }
      return { names, all: after.names.length };
    };
    const imitated = await moved("likelihood", base);
    assert.ok(imitated.names.every((name) => name.endsWith("q_proj.weight")), imitated.names.join());
    const { names, all } = await moved("rlvr-binary", join(run, "models/likelihood"));
    assert.equal(names.length, all);
    await assert.rejects(Deno.stat(join(run, "models/rlvr-binary/adapter")), Deno.errors.NotFound);
  });
});
