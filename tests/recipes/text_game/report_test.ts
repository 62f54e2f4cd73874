/** Results of text games: whose numbers stand where, and that resampling follows the run's seed. */
import assert from "node:assert/strict";
import { textGameConfig } from "../../../lib/recipes/text_game/config.ts";
import { mostFrequent, type TextGameEvaluation, unchangedBaseline } from "../../../lib/recipes/text_game/evaluation.ts";
import { textGameResult } from "../../../lib/recipes/text_game/report.ts";
import { textGameScoreTable } from "../../../lib/recipes/text_game/scores.ts";
import { meanInterval, pairedDifference } from "../../../lib/report/intervals.ts";
import { builtInTransitions } from "../../../lib/gyms/games/crawl.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import { exampleOf } from "../../../lib/worlds/text_game/world.ts";

const SEED = 3;
/** Among them one of which the two scorings think differently where nothing is said to change. */
const EXAMPLES = builtInTransitions({ seed: 0, perGame: 40, heldOutPerGame: 1, games: ["mix-paint-toy"] }).train.map((
  each,
) => exampleOf(each, { style: "compact", strictness: "strict" }));

/** Numbers that no other evaluation has, nor another part of this one. */
function evaluation(start: number): TextGameEvaluation {
  const numbers = (shift: number) => Float64Array.from(EXAMPLES, (_, i) => ((start + shift + i) ** 2 % 17) / 17);
  const ended = EXAMPLES.map((_, i) => i >= start);
  return {
    ...{ binary: numbers(0), taskSpecific: numbers(5), sampledBinary: numbers(9) },
    ...{ responses: ended.map(() => ""), ended },
  };
}

const MODELS = { likelihood: evaluation(1), "rlvr-binary": evaluation(2), "rlvr-taskSpecific": evaluation(4) };

function result(scoring: "released" | "strict" = "strict", seed = SEED) {
  return textGameResult({ config: textGameConfig("demo", { seed, grpo: { scoring } }), test: EXAMPLES }, MODELS);
}

Deno.test("text game results: every interval is that of its model, its transitions and the run's seed", () => {
  const { metrics, cutAnswers } = result(), models = Object.values(MODELS);
  const parts = { changed: true, unchanged: false, all: undefined };
  const expected = Object.entries(parts).flatMap(([name, isChanged]) => [
    [name, "binary", isChanged] as const,
    [`${name}Sampled`, "sampledBinary", isChanged] as const,
  ]);
  assert.deepEqual(Object.keys(metrics), [...expected.map(([name]) => name), "taskSpecific"]);
  for (const [name, key, isChanged] of [...expected, ["taskSpecific", "taskSpecific", undefined] as const]) {
    const rows = [...EXAMPLES.keys()].filter((i) => isChanged === undefined || EXAMPLES[i].isChanged === isChanged);
    assert.ok(rows.length >= 4, `${name}: ${rows.length} rows`);
    const of = (each: TextGameEvaluation) => rows.map((row) => each[key]![row]), options = { seed: SEED };
    const [base, binary, specific] = models.map(of);
    const baseline = of(unchangedBaseline(EXAMPLES, "strict"));
    assert.deepEqual(metrics[name], {
      better: "higher",
      base: meanInterval(base, options),
      rlvr: meanInterval(binary, options),
      difference: pairedDifference(base, binary, options),
      byReward: { binary: meanInterval(binary, options), taskSpecific: meanInterval(specific, options) },
      differences: {
        binary: pairedDifference(base, binary, options),
        taskSpecific: pairedDifference(base, specific, options),
      },
      unchangedBaseline: meanInterval(baseline, options),
    }, name);
  }
  assert.deepEqual(cutAnswers, { likelihood: 1 / 40, "rlvr-binary": 2 / 40, "rlvr-taskSpecific": 4 / 40 });
  assert.notDeepEqual(result("strict", SEED + 1).metrics.all.base, metrics.all.base);
});

Deno.test("text game results: the baseline is scored as the models are", () => {
  const nothing = '{"modified": [], "removed": [], "score": {}}';
  const means = (["released", "strict"] as const).map((scoring) => {
    const scores = EXAMPLES.map(({ current, next }) => scoreResponse(nothing, current, next, scoring));
    const mean = scores.reduce((sum, each) => sum + each.taskSpecific, 0) / scores.length;
    assert.ok(Math.abs(result(scoring).metrics.taskSpecific.unchangedBaseline.mean - mean) < 1e-12, scoring);
    return mean;
  });
  assert.notEqual(means[0], means[1], "the test sees the difference");
});

Deno.test("text game scores: the table's intervals follow its seed", () => {
  for (const seed of [SEED, SEED + 1]) {
    const table = textGameScoreTable({ model: MODELS.likelihood }, { examples: EXAMPLES, scoring: "strict", seed });
    const { mean, low, high } = meanInterval(MODELS.likelihood.binary, { seed });
    const cell = [mean, low, high].map((each) => (100 * each).toFixed(1));
    assert.match(table, new RegExp(`^all, % right +40 +${cell[0]} \\[${cell[1]}, ${cell[2]}\\] `, "m"));
  }
});

Deno.test("text game results: each reward's greedy answers on changed transitions against all that costs nothing", () => {
  const config = textGameConfig("demo", { seed: SEED });
  const majority = (model: TextGameEvaluation, shift: number) => ({
    ...model,
    majorityBinary: model.binary.map((_, i) => Number((i + shift) % 3 === 0)),
  });
  const models = {
    likelihood: majority(MODELS.likelihood, 0),
    "rlvr-binary": majority(MODELS["rlvr-binary"], 1),
    "rlvr-taskSpecific": majority(MODELS["rlvr-taskSpecific"], 2),
  };
  const { baselines } = textGameResult({ config, test: EXAMPLES }, models);
  assert.deepEqual(Object.keys(baselines), ["binary", "taskSpecific"]);
  const rows = [...EXAMPLES.keys()].filter((i) => EXAMPLES[i].isChanged);
  const changed = (values: Float64Array) => rows.map((row) => values[row]);
  for (const reward of ["binary", "taskSpecific"] as const) {
    const greedy = changed(models[`rlvr-${reward}`].binary), [first, ...others] = baselines[reward]!.rows;
    assert.deepEqual(first.value, meanInterval(greedy, { seed: SEED }));
    const found = Object.fromEntries(others.map(({ name, difference }) => [name, difference]));
    const { binary, sampledBinary, majorityBinary } = models.likelihood;
    const expected = { greedy: binary, "as it is drawn": sampledBinary!, "majority of 8": majorityBinary };
    for (const [name, values] of Object.entries(expected)) {
      const difference = pairedDifference(changed(values), greedy, { seed: SEED });
      assert.deepEqual(found[`likelihood, ${name}`], difference, `${reward}, ${name}`);
    }
  }
  assert.equal(mostFrequent(["b", "a", "c", "a"]), 1);
  assert.equal(mostFrequent(["b", "a", "a", "b"]), 0);
});
