/**
 * What is given to whom in the stages of text games and web pages: models from stage to stage, examples to batches and to scores, seeds,
 * types, the server's key. Trainers only look and leave a mark (`tests/support/language_fields.ts`); all else is real.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { trainingTexts } from "../../../lib/recipes/language/data.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { TextGameExperiment } from "../../../lib/recipes/text_game/experiment.ts";
import type { TextGameEvaluation } from "../../../lib/recipes/text_game/evaluation.ts";
import type { TextGameResult } from "../../../lib/recipes/text_game/report.ts";
import { WebPageExperiment } from "../../../lib/recipes/web_page/experiment.ts";
import { openWebPageModel } from "../../../lib/recipes/web_page/web_page_model.ts";
import type { WebPageEvaluation } from "../../../lib/recipes/web_page/evaluation.ts";
import type { WebPageResult } from "../../../lib/recipes/web_page/report.ts";
import { run, type RunOutcome } from "../../../lib/runs/run.ts";
import { openWeights } from "../../../lib/io/safetensors_folder.ts";
import { trainBpe } from "../../../lib/models/bpe_trainer.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { builtInWalks } from "../../../lib/gyms/shop/walks.ts";
import { writeWebPageParquet } from "../../../lib/worlds/web_page/parquet.ts";
import { WebPageWorld } from "../../../lib/worlds/web_page/world.ts";
import { writeTransitions } from "../../../lib/worlds/text_game/jsonl.ts";
import { TextGameWorld } from "../../../lib/worlds/text_game/world.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { type Plain, replace } from "../../support/config_fields.ts";
import { forEachEngine } from "../../support/engines.ts";
import { type LanguageTrace, traceLanguage } from "../../support/language_fields.ts";
import { someTransitions, tinyLanguageModel, tinyTextConfig, tinyTextRun } from "../../support/tiny_text_run.ts";
import { tinyWebConfig, tinyWebRun } from "../../support/tiny_web_run.ts";

type Experiment = TextGameExperiment | WebPageExperiment;
type Either = RunOutcome<TextGameEvaluation, TextGameResult> | RunOutcome<WebPageEvaluation, WebPageResult>;

/** How one of the experiments is looked at. */
interface Kind {
  /** Stages of GRPO. */
  grpo: string[];
  /** Runs stages of tiny settings, changed. @param inRun Called at the run's end. */
  trace(
    engine: Engine,
    folder: string,
    change: Plain,
    stages: readonly string[],
    inRun?: (experiment: Experiment, outcome: Either) => Promise<void> | void,
  ): Promise<LanguageTrace>;
  /** Files with a number of tasks or transitions, by another seed other ones. */
  write(path: string, count: number, seed: number): Promise<void>;
  extension: string;
  /** A real run. */
  run: typeof tinyTextRun | typeof tinyWebRun;
}

/** What is changed in all runs: long prompts and answers fit. */
const ROOM: Plain = { data: { maxQuestionTokens: 4000, maxAnswerTokens: 500 }, evaluation: { rows: 1000 } };

const KINDS: Record<string, Kind> = {
  "text games": {
    grpo: ["grpo-binary", "grpo-taskSpecific"],
    trace: (engine, folder, change, stages, inRun) => {
      const config = tinyTextConfig(mergeSettings(ROOM, change));
      return traceLanguage({
        ...{ folder, config, mayFail: false },
        open: (run, progress) => TextGameExperiment.open({ engine, config, run, progress }),
        async run(experiment) {
          const outcome = await run(experiment, stages);
          await inRun?.(experiment, outcome);
          return outcome;
        },
      });
    },
    write: (path, count, seed) => writeTransitions(path, someTransitions(count, seed)),
    extension: "jsonl",
    run: tinyTextRun,
  },
  "web pages": {
    grpo: ["grpo"],
    trace: (engine, folder, change, stages, inRun) => {
      const config = tinyWebConfig(mergeSettings(ROOM, change));
      return traceLanguage({
        ...{ folder, config, mayFail: false },
        open: (run, progress) => WebPageExperiment.open({ engine, config, run, progress }),
        async run(experiment) {
          const outcome = await run(experiment, stages);
          await inRun?.(experiment, outcome);
          return outcome;
        },
      });
    },
    async write(path, count, seed) {
      const walks = await builtInWalks({ sites: [seed], walks: 3, steps: Math.ceil(count / 3), stream: [1] });
      await writeWebPageParquet(path, walks.map(({ transition }) => transition).slice(0, count));
    },
    extension: "parquet",
    run: tinyWebRun,
  },
};

/** Files of a kind. */
async function files({ write, extension }: Kind, folder: string) {
  const data = { train: join(folder, `train.${extension}`), test: join(folder, `test.${extension}`) };
  await write(data.train, 12, 4);
  await write(data.test, 3, 5);
  return data;
}

const names = (batches: readonly (readonly string[])[]) =>
  batches.flat().map((each) => (JSON.parse(each) as { name: string }).name);

for (const [kind, own] of Object.entries(KINDS)) {
  Deno.test(`${kind}: every stage goes on from the one before, is held to it, and is judged as itself`, async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      // Rewards rise and losses fall: of checkpoints 20 and 40, whose steps after them are known, the later is the best.
      const change = {
        data: { maxAnswerTokens: 64 },
        ...{ likelihood: { steps: 60 }, grpo: { steps: 60, promptsPerStep: 2 }, checkpointEvery: 20 },
      };
      let sizes: unknown[] = [];
      const trace = await own.trace(engine, folder, change, ["likelihood", "grpo", "evaluate"], (experiment) => {
        const { config: { tokenizer }, data } = experiment, text = data.test[0].target;
        const expected = trainBpe(trainingTexts(data.train), tokenizer);
        sizes = [[...experiment.tokenizer.encode(text)], [...expected.encode(text)]];
      });
      assert.deepEqual(sizes[0], sizes[1], "the vocabulary is the training data's");
      assert.equal(trace.likelihood!.model.mark, 1);
      assert.equal(trace.likelihood!.model.config.maxPositions, 4000 + 64);
      assert.deepEqual(
        trace.grpo.map(({ model, reference, referenceMark }) => [model.mark, reference, referenceMark]),
        own.grpo.map(() => [2, "a model", 2]),
      );
      assert.deepEqual(trace.evaluated, [2, ...own.grpo.map((_, i) => 3 + i)]);
      assert.deepEqual(trace.best, Object.fromEntries(["likelihood", ...own.grpo].map((stage) => [stage, 40])));
      for (const [i, stage] of own.grpo.entries()) {
        const samples = trace.samples.filter((each) => each.stage === stage);
        assert.deepEqual(samples.map(({ step }) => step), [0, 10, 20, 30, 40, 50]);
        for (const { step, example, truth, answers } of samples) {
          const first = JSON.parse(trace.grpo[i].batches[step as number][0]);
          assert.deepEqual([example, truth], [first.name, first.target]);
          assert.ok((answers as string[])[0].startsWith(first.target));
        }
      }
      const free = await own.trace(engine, folder, { grpo: { klCoefficient: 0 } }, ["likelihood", "grpo"]);
      assert.deepEqual(free.grpo.map(({ reference }) => reference), own.grpo.map(() => "none"));
    });
    engine.close();
  });

  Deno.test(`${kind}: seed, step and epoch decide what is drawn: batches and adapters`, async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const data = await files(own, folder), model = { folder: await tinyLanguageModel(folder), lora: { rank: 2 } };
      const onlyGold = kind === "text games" ? { othersPerGold: { binary: 0, taskSpecific: 0 } } : {};
      const change = { data, model, likelihood: { steps: 3 }, grpo: { steps: 12, promptsPerStep: 4, ...onlyGold } };
      const look = (seed: number) => own.trace(engine, folder, { ...change, seed }, ["likelihood", "grpo"]);
      const traces = [[0, await look(0)], [7, await look(7)]] as const;
      for (const [seed, { likelihood, grpo: [stage] }] of traces) {
        assert.equal(new Set(likelihood!.batches.map((each) => each.join())).size, 3, "steps of likelihood");
        const drawn = names(stage.batches), length = new Set(drawn).size;
        const epochs = [0, 1, 2].map((epoch) => drawn.slice(epoch * length, (epoch + 1) * length));
        for (const epoch of epochs) assert.deepEqual(epoch.toSorted(), epochs[0].toSorted(), "an epoch has all once");
        assert.equal(new Set(epochs.map((each) => each.join())).size, 3, "each in an order of its own");
        assert.deepEqual([likelihood!.model.adapters!.seed, stage.model.adapters!.seed], [seed, seed]);
      }
      const [[, one], [, other]] = traces;
      assert.notDeepEqual(one.likelihood!.batches, other.likelihood!.batches);
      assert.notDeepEqual(names(one.grpo[0].batches), names(other.grpo[0].batches));
    });
    engine.close();
  });

  Deno.test(`${kind}: held-out answers are greedy, then drawn; each is scored by its own example, each score counts for it`, async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const data = { ...await files(own, folder), maxAnswerTokens: 130 };
      const scored: unknown[] = [];
      const next = (example: { name: string }, scoring?: string) => scored.push([example.name, scoring]) - 1;
      using _text = replace(TextGameWorld.prototype, "score", ({ example }, scoring) => {
        const number = next(example, scoring);
        return { binary: number, taskSpecific: 100 + number };
      });
      using _web = replace(WebPageWorld.prototype, "score", ({ example }) => {
        const number = next(example);
        return { f1: number, precision: 100 + number, recall: 200 + number };
      });
      const change = {
        ...{ data, model: { folder: await tinyLanguageModel(folder) }, likelihood: { steps: 0 } },
        ...kind === "text games" ? { grpo: { scoring: "released" } } : {},
      };
      const look = (seed: number) => {
        scored.length = 0;
        return own.trace(engine, folder, { ...change, seed }, ["evaluate"], ({ test }, { evaluations }) => {
          const each = test.map(({ name }) => name), scoring = kind === "text games" ? "released" : undefined;
          const twice = each.flatMap((name) => [name, name]);
          // Of pages the drawn answers are compared with each other as well, for the nearest of them.
          const expectedNames = [...each, ...twice, ...kind === "text games" ? [] : twice];
          // The first was scored when it was looked at whether an answer's end spoils it.
          assert.deepEqual(scored.slice(1), expectedNames.map((name) => [name, scoring]));
          const greedy = test.map((_, i) => 1 + i), drawn = test.map((_, i) => 1.5 + test.length + 2 * i);
          const plus = (values: number[], more: number) => values.map((value) => value + more);
          const { likelihood } = evaluations!;
          const expected = "greedy" in likelihood
            ? [greedy, plus(greedy, 100), plus(greedy, 200), drawn, plus(drawn, 100), plus(drawn, 200)]
            : [greedy, plus(greedy, 100), drawn];
          const found = "greedy" in likelihood
            ? [likelihood.greedy, likelihood.sampled!].flatMap(({ f1, precision, recall }) => [f1, precision, recall])
            : [likelihood.binary, likelihood.taskSpecific, likelihood.sampledBinary!];
          assert.deepEqual(found.map((values) => [...values]), expected);
        });
      };
      const [one, other] = [await look(0), await look(7)];
      assert.deepEqual(one.prefills.map(({ group }) => group), [1, 2]);
      assert.deepEqual(
        one.draws.map((each, i) => each === other.draws[i]),
        [true, false],
        "the seed is the drawn ones'",
      );
    });
    engine.close();
  });

  Deno.test(`${kind}: a run is not resumed on other data of the same name`, async () => {
    const { engine } = await openEngine({ engine: "wasm" });
    await withFolder(async (folder) => {
      const data = await files(own, folder), run = join(folder, "run"), change = mergeSettings(ROOM, { data });
      await own.run(engine, run, { change, stages: ["likelihood"] });
      await own.write(data.train, 12, 6);
      await rejectsUserError(
        () => own.run(engine, run, { change, stages: ["likelihood"], resume: true }),
        "was trained on other data",
      );
    });
    engine.close();
  });

  forEachEngine(
    `${kind}: frozen weights and products are of the types that were chosen, trained ones float32`,
    async (engine) => {
      await withFolder(async (folder) => {
        const data = await files(own, folder), given = await tinyLanguageModel(folder);
        const model = { folder: given, computeType: "bfloat16", parameterType: "bfloat16", lora: { rank: 2 } };
        const change = { data, model, grpo: { adapters: false } };
        const { likelihood, grpo } = await own.trace(
          engine,
          folder,
          change,
          ["likelihood", "grpo"],
          async ({ run }) => {
            for (const name of ["likelihood", own.grpo[0].replace("grpo", "rlvr")]) {
              using weights = await openWeights(run.file(`models/${name}`));
              const { dtype } = await weights.read(weights.names[0]);
              assert.equal(dtype, "BF16", `${name} is saved as frozen weights are kept`);
            }
            if (kind !== "web pages") return;
            using asked = await openWebPageModel(engine, { run: run.path, which: "likelihood" });
            const [parameter] = asked.model.parameters.values();
            assert.deepEqual([asked.model.computeType, parameter.dtype], ["bfloat16", "bfloat16"]);
          },
        );
        assert.deepEqual([likelihood!.model.computeType, likelihood!.model.types], ["bfloat16", ["bfloat16"]]);
        for (const stage of grpo) {
          assert.deepEqual([stage.model.computeType, stage.model.types], ["bfloat16", ["float32"]]);
        }
        const whole = { data, model: { folder: given, computeType: "bfloat16" } };
        const { model: imitating } = (await own.trace(engine, folder, whole, ["likelihood"])).likelihood!;
        assert.deepEqual([imitating.computeType, imitating.types], ["bfloat16", ["float32"]]);
      });
    },
    { needs: ["bfloat16"] },
  );
}

Deno.test("a server that samples is sent its key, and may answer in text alone", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  const keys: (string | null)[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    if (new URL(request.url).pathname === "/v1/models") return Response.json({ data: [{ id: "plain" }] });
    const { n } = await request.json();
    keys.push(request.headers.get("authorization"));
    const choices = Array.from({ length: n }, (_, index) => ({ index, text: "no change", finish_reason: "stop" }));
    return Response.json({ choices });
  });
  Deno.env.set("ROLLOUTS_API_KEY", "secret");
  try {
    await withFolder(async (folder) => {
      const grpo = { rollouts: `http://127.0.0.1:${server.addr.port}`, steps: 1 };
      for (const own of Object.values(KINDS)) await own.trace(engine, folder, { grpo }, ["likelihood", "grpo"]);
    });
  } finally {
    Deno.env.delete("ROLLOUTS_API_KEY");
  }
  assert.ok(keys.length >= 3 && keys.every((key) => key === "Bearer secret"), keys.join());
  engine.close();
});
