/**
 * The way from each field of the robot-video configuration to what it does: each is changed on its own, and what the experiment
 * then computes, as tiny as it is, must differ. A field without a row here, and a row without a field, fail.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { robotVideoSchema } from "../../../lib/recipes/robot_video/config.ts";
import { idleFields } from "../../../lib/runs/fields.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { Looker, MULTI, type Plain, SINGLE, type Stage } from "./support.ts";

/** A field's row. */
interface Row {
  /** The stage whose numbers change; a field that several stages read in ways of their own has a row for each. */
  stage: Stage;
  /** What the field changes to. */
  to: unknown;
  /** Values under which the field is read at all. */
  context: Plain;
  /** What changes: what comes out, or only how many operators it takes. */
  sees: "numbers" | "operators";
  /** Instead: the change is refused in these words. */
  refused?: RegExp;
}

const { engine } = await openEngine({});
const looker = await Looker.open(engine);
Deno.test.afterAll(() => looker.close());
const { files } = looker;
const other = await looker.models({ ...SINGLE, seed: 9 });

const at = (stage: Stage, kind: Plain) => (to: unknown, context: Plain = {}): Row => ({
  stage,
  to,
  context: mergeSettings(kind, context),
  sees: "numbers",
});
/** The same numbers in other pieces. */
const pieces = (row: Row): Row => ({ ...row, sees: "operators" });

const data = at("data", SINGLE), dataMulti = at("data", MULTI);
const tokenizer = at("tokenizer", SINGLE), tokenizerMulti = at("tokenizer", MULTI);
const likelihood = at("likelihood", SINGLE), control = at("control", SINGLE);
const grpo = at("grpo", SINGLE), grpoMulti = at("grpo", MULTI);
const evaluation = at("evaluation", SINGLE), evaluationMulti = at("evaluation", MULTI);
const report = at("report", SINGLE),
  imagined = at("imagined", mergeSettings(SINGLE, { evaluation: { gifs: 1, gifFrames: 2 } }));

const FOLDER = { data: { folder: files.episodes } };
const BUSY = { data: { episodeLength: 24, height: 24, width: 24 } };
const LPIPS = { lpips: { vgg: files.lpips, linear: files.lpips }, evaluation: { metrics: ["lpips"] } };
/** The least that a discriminator sees. */
const LARGE = {
  data: { height: 64, width: 128, episodes: 3, episodeLength: 8 },
  tokenizer: { pixelPatch: 16, steps: 2, batch: 1 },
};
/** Far enough from where a step began that clips and divergences count. */
const FAR = { grpo: { epochs: 3, learningRate: 0.05 } };
const PATCH = { grpo: { credit: "patch" } };

const ROWS: Record<string, Row | Row[]> = {
  preset: report("demo-64"),
  seed: [data(1), tokenizer(1), likelihood(1), grpo(1), evaluation(1), imagined(1)],
  checkpointEvery: tokenizer(1),
  logitChunk: [likelihood, control, grpo].map((each) => pieces(each(7))),

  "data.folder": data(files.episodes),
  "data.imageKey": data("camera", FOLDER),
  "data.actionKey": data("other", FOLDER),
  "data.height": data(20),
  "data.width": data(20),
  "data.actionRanges": data("computed"),
  "data.actionBins": data(8),
  "data.prediction": data("multi-step"),
  "data.history": data(3),
  "data.frames": dataMulti(3),
  "data.contextReach": dataMulti(0),
  "data.frameStep": [data(2), imagined(2)],
  "data.shortEpisodes": [
    data("drop", FOLDER),
    { ...data("refuse", { data: { history: 8 } }), refused: /shorter than a clip/ },
  ],
  "data.augment": data(true),
  "data.testEvery": data(2),
  "data.heldOut": data("all"),
  "data.episodes": data(7),
  "data.episodeLength": data(9),
  "data.objects": data(3),
  "data.behaviour": data("tasks", BUSY),
  "data.drawer": data(true),
  "data.zone": data(true),
  "data.slip": data(1, BUSY),

  "tokenizer.folder": likelihood(other.tokenizer),
  "tokenizer.channels": tokenizer([4, 4]),
  "tokenizer.layersPerBlock": tokenizer(2),
  "tokenizer.latentChannels": tokenizer(6),
  "tokenizer.normGroups": tokenizer(4),
  "tokenizer.normScope": tokenizer("image"),
  "tokenizer.fsqLevels": tokenizer([4, 5]),
  "tokenizer.contextLevels": tokenizerMulti([3]),
  "tokenizer.midAttention": tokenizer(true),
  "tokenizer.contextMidAttention": tokenizerMulti(true),
  "tokenizer.patchSize": tokenizerMulti(2),
  "tokenizer.maxAttentionResolution": tokenizerMulti(2),
  "tokenizer.attentionHeads": tokenizerMulti(4),
  "tokenizer.attentionDropout": tokenizerMulti(0.5),
  "tokenizer.downsamplings": tokenizer(2),
  "tokenizer.pixelPatch": tokenizer(1),
  "tokenizer.background": tokenizer(false),
  "tokenizer.codeGain": tokenizer(1),
  "tokenizer.steps": tokenizer(2),
  "tokenizer.batch": tokenizer(3),
  "tokenizer.augment": tokenizer(true),
  "tokenizer.laterFrames": tokenizerMulti(1),
  "tokenizer.frameChoice": tokenizerMulti("random"),
  "tokenizer.horizon": tokenizerMulti(4, { tokenizer: { frameChoice: "random" } }),
  "tokenizer.learningRate": tokenizer(1e-3),
  "tokenizer.warmupSteps": tokenizer(2),
  "tokenizer.maxGradientNorm": tokenizer(1e-3),
  "tokenizer.beta2": tokenizer(0.9),
  "tokenizer.roundingWeight": tokenizer(0),
  "tokenizer.latentSpreadWeight": tokenizer(1),
  "tokenizer.mseWeight": tokenizer(0),
  "tokenizer.lpipsWeight": tokenizer(1, LPIPS),
  "tokenizer.adversarialWeight": tokenizer(0.1, mergeSettings(LARGE, { tokenizer: { adversarialStart: 0 } })),
  "tokenizer.adversarialStart": tokenizer(0, mergeSettings(LARGE, { tokenizer: { adversarialWeight: 0.1 } })),

  "model.folder": grpo(other.model),
  "model.hiddenSize": likelihood(32),
  "model.layers": likelihood(2),
  "model.heads": likelihood(4),
  "model.intermediateSize": likelihood(16),
  "model.initializerRange": likelihood(0.02),
  "model.computeType": {
    ...likelihood("bfloat16"),
    ...engine.supports("bfloat16") ? {} : { refused: /bfloat16 does not exist/ },
  },

  "likelihood.steps": likelihood(2),
  "likelihood.batch": [likelihood(3), control(3)],
  "likelihood.microBatch": pieces(likelihood(1)),
  "likelihood.learningRate": [likelihood(1e-3), control(1e-3)],
  "likelihood.beta2": likelihood(0.9),
  "likelihood.warmupSteps": likelihood(2),
  "likelihood.decaySteps": likelihood(2),
  "likelihood.weightDecay": likelihood(0.5),
  "likelihood.maxGradientNorm": likelihood(1e-3),

  "grpo.steps": grpo(1),
  "grpo.promptsPerStep": grpo(3),
  "grpo.groupSize": grpo(2),
  "grpo.miniBatchPrompts": grpo(1),
  "grpo.microBatchPrompts": pieces(grpo(1)),
  "grpo.epochs": grpo(2),
  "grpo.learningRate": grpo(1e-3),
  "grpo.decaySteps": grpo(2),
  "grpo.weightDecay": grpo(0.5),
  "grpo.maxGradientNorm": grpo(1e-3),
  "grpo.reward": grpo([{ metric: "psnr", weight: 1 }]),
  "grpo.aggregate": grpoMulti("last"),
  "grpo.credit": grpo("patch"),
  "grpo.creditDiscount": grpo(0.5, PATCH),
  "grpo.advantageScale": grpo("none"),
  "grpo.clipLow": grpo(0.001, FAR),
  "grpo.clipHigh": grpo(0.001, FAR),
  "grpo.dualClip": grpo(1.001, mergeSettings(FAR, { grpo: { clipLow: 0.0001, clipHigh: 0.0001 } })),
  "grpo.kl": grpo("k1"),
  "grpo.klCoefficient": grpo(1, FAR),
  "grpo.entropyCoefficient": grpo(0.1),
  "grpo.denominator": grpoMulti("fixed-length"),
  "grpo.loss": grpo("cispo", FAR),
  "grpo.dropEqualGroups": grpoMulti(true),
  "grpo.temperature": grpo(0.7),
  "grpo.topK": grpo(2),
  "grpo.sharePrompt": pieces(grpo(false)),
  "grpo.rolloutRows": [pieces(grpo(3)), pieces(evaluation(1))],
  "grpo.scoreRows": pieces(grpo(2)),

  "control.enabled": control(false),
  "control.steps": control(2),

  "evaluation.itemsPerEpisode": evaluation(2),
  "evaluation.maxItems": evaluation(1),
  "evaluation.samples": [evaluation(2), report(2)],
  "evaluation.temperature": [evaluation(0.5), imagined(0.5)],
  "evaluation.topK": [evaluation(2), imagined(2)],
  "evaluation.topP": [evaluation(0.5), imagined(0.5)],
  "evaluation.rejectRepeating": evaluationMulti(true, { evaluation: { itemsPerEpisode: 8 } }),
  "evaluation.maxAttempts": evaluationMulti(1, { evaluation: { itemsPerEpisode: 8, rejectRepeating: true } }),
  "evaluation.baselineAnswers": evaluation(3),
  "evaluation.baselineClips": evaluation(4),
  "evaluation.every": grpo(1),
  "evaluation.metrics": [evaluation(["mse"]), report(["mse"])],
  "evaluation.gifs": report(1),
  "evaluation.gifFrames": report(3, { evaluation: { gifs: 1, gifFrames: 2 } }),

  "lpips.vgg": evaluation(files.otherLpips, LPIPS),
  "lpips.linear": evaluation(files.otherLpips, LPIPS),
};

const ROWS_BY_STAGE = Map.groupBy(
  Object.entries(ROWS).flatMap(([field, own]) => [own].flat().map((row) => ({ field, row }))),
  ({ row }) => row.stage,
);

/** Names of all fields of the schema; a list is one field. */
function fieldNames(): string[] {
  interface Node {
    properties?: Record<string, Node>;
  }
  const visit = (node: Node, path: string): string[] =>
    node.properties
      ? Object.entries(node.properties).flatMap(([name, child]) => visit(child, path ? `${path}.${name}` : name))
      : [path];
  return visit(z.toJSONSchema(robotVideoSchema, { io: "input" }) as Node, "");
}

const only = (field: string, value: unknown): Plain =>
  field.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Plain;

const seen = new Map<string, ReturnType<Looker["look"]>>();
/** A context is looked at once. */
function before({ stage, context }: Row): ReturnType<Looker["look"]> {
  const key = JSON.stringify([stage, context]);
  if (!seen.has(key)) seen.set(key, looker.look(stage, context));
  return seen.get(key)!;
}

Deno.test("every field of the robot-video configuration has its row", () => {
  assert.deepEqual(Object.keys(ROWS).sort(), fieldNames().sort());
});

Deno.test("no field that changes something is said to have no effect where it does", () => {
  for (const [field, own] of Object.entries(ROWS)) {
    for (const { to, context } of [own].flat()) {
      const config = robotVideoSchema.parse(mergeSettings(context, only(field, to)));
      assert.deepEqual(idleFields(robotVideoSchema, config, only(field, to)), []);
    }
  }
});

Deno.test("two looks at one configuration see the same", async () => {
  for (const [stage, [{ row }]] of ROWS_BY_STAGE) {
    assert.deepEqual(await looker.look(stage, row.context), await before(row), stage);
  }
});

for (const [stage, rows] of ROWS_BY_STAGE) {
  Deno.test(`each field that ${stage} reads changes what it does`, async () => {
    const idle: string[] = [];
    for (const { field, row } of rows) {
      const { to, context, sees, refused } = row;
      try {
        const first = await before(row), then = await looker.look(stage, context, only(field, to));
        if (refused || isDeepStrictEqual(first[sees], then[sees])) idle.push(field);
      } catch (error) {
        if (!(error instanceof UserError && refused?.test(error.message))) idle.push(`${field}: ${error}`);
      }
    }
    assert.deepEqual(idle, [], `fields of which ${stage} shows nothing`);
  });
}
