/**
 * Results of web pages: transitions of one shop or task are no independent ones, resampling follows the run's seed, and every model's
 * numbers stand in their own places.
 */
import assert from "node:assert/strict";
import { webPageConfig } from "../../../lib/recipes/web_page/config.ts";
import { nearestAnswer, type WebPageEvaluation } from "../../../lib/recipes/web_page/evaluation.ts";
import { webPageResult } from "../../../lib/recipes/web_page/report.ts";
import { webPageScoreTable } from "../../../lib/recipes/web_page/scores.ts";
import { meanInterval, pairedDifference } from "../../../lib/report/intervals.ts";
import { scoreChanges } from "../../../lib/worlds/web_page/f1_reward.ts";
import type { WebPageExample, WebPageResponse, WebPageWorld } from "../../../lib/worlds/web_page/world.ts";

/** A value a shop, before and after. */
const BEFORE = [0.1, 0.2, 0.25, 0.4, 0.45, 0.6, 0.8, 0.9], AFTER = [0.3, 0.2, 0.45, 0.5, 0.85, 0.5, 0.9, 1];
/** Transitions of each shop: all alike, so that they say no more than one. */
const EACH = 5;
const SEED = 3;

const spread = (values: readonly number[]) => Float64Array.from(values.flatMap((value) => Array(EACH).fill(value)));

/** What each metric makes of a shop's value: no two the same. */
const METRICS: Record<string, (value: number) => number> = {
  f1: (value) => value,
  precision: (value) => value ** 2,
  recall: (value) => Math.sqrt(value),
  f1Sampled: (value) => value / 2,
  precisionSampled: (value) => value ** 3,
  recallSampled: (value) => 0.7 * value,
};

/** @param cut Answers that did not end. */
function evaluation(values: readonly number[], cut: number): WebPageEvaluation {
  const of = (name: string) => spread(values.map(METRICS[name]));
  const ended = Array.from({ length: values.length * EACH }, (_, i) => i >= cut);
  return {
    greedy: { f1: of("f1"), precision: of("precision"), recall: of("recall") },
    sampled: { f1: of("f1Sampled"), precision: of("precisionSampled"), recall: of("recallSampled") },
    ...{ responses: ended.map(() => ""), ended },
  };
}

const EXAMPLES = BEFORE.flatMap((_, shop) =>
  Array.from({ length: EACH }, (_, i): WebPageExample => ({
    name: `shop ${shop}, step ${i}`,
    group: `shop ${shop}`,
    question: "",
    target: "",
    truth: "New items:\nNone\n\nDeleted items:\nNone\n\nUpdated items:\nNone",
    asked: undefined,
  }))
);
/** Bounds of an interval, which transitions that say the same do not narrow. */
const bounds = ({ mean, low, high }: { mean: number; low: number; high: number }) => [mean, low, high];

Deno.test("web page results: intervals are over shops, not over transitions, of every metric and difference", () => {
  const { metrics, cutAnswers } = webPageResult(
    { config: webPageConfig("demo", { seed: SEED }), test: EXAMPLES },
    { likelihood: evaluation(BEFORE, 1), rlvr: evaluation(AFTER, 2) },
  );
  assert.deepEqual(Object.keys(metrics), Object.keys(METRICS));
  assert.deepEqual(cutAnswers, { likelihood: 1 / 40, rlvr: 2 / 40 });
  const seed = { seed: SEED },
    close = (found: number[], expected: number[], name: string) =>
      found.forEach((each, i) =>
        assert.ok(Math.abs(each - expected[i]) < 1e-12, `${name}: ${found}, expected ${expected}`)
      );
  for (const [name, { base, rlvr, difference }] of Object.entries(metrics)) {
    const before = BEFORE.map(METRICS[name]), after = AFTER.map(METRICS[name]);
    close(bounds(base), bounds(meanInterval(before, seed)), name);
    close(bounds(rlvr), bounds(meanInterval(after, seed)), name);
    close(bounds(difference!), bounds(pairedDifference(before, after, seed)), name);
    assert.equal(base.n, BEFORE.length * EACH);
  }
  const narrow = meanInterval(spread(BEFORE), seed);
  assert.ok(
    metrics.f1.base.high - metrics.f1.base.low > 2 * (narrow.high - narrow.low),
    "the test sees the difference",
  );
});

Deno.test("web page scores: the table's intervals likewise", () => {
  const table = webPageScoreTable({ model: evaluation(BEFORE, 0) }, { examples: EXAMPLES, seed: SEED });
  for (const [name, of] of Object.entries(METRICS)) {
    const [mean, low, high] = bounds(meanInterval(BEFORE.map(of), { seed: SEED })).map((each) =>
      (100 * each).toFixed(1)
    );
    const row = name.replace("Sampled", " of drawn answers");
    assert.match(table, new RegExp(`^${row}, % +${mean} \\[${low}, ${high}\\]`, "m"));
  }
});

Deno.test("web page results: RLVR's greedy answers against greedy, drawn and nearest ones of likelihood, and against none", () => {
  const config = webPageConfig("demo", { seed: SEED }), judged = { config, test: EXAMPLES };
  const withNearest = (values: readonly number[], nearest: readonly number[]) => {
    const scores = spread(nearest);
    return { ...evaluation(values, 0), nearest: { f1: scores, precision: scores, recall: scores } };
  };
  const near = BEFORE.map((value) => value + 0.05);
  const likelihood = withNearest(BEFORE, near), rlvr = withNearest(AFTER, AFTER);
  const { baselines } = webPageResult(judged, { likelihood, rlvr });
  assert.deepEqual(baselines!.rows.map(({ name, kind }) => [name, kind]), [
    ["RLVR, greedy", "rlvr"],
    ["RLVR, as it is drawn", "rlvr"],
    ["RLVR, nearest of 4", "rlvr"],
    ["likelihood, greedy", "baseline"],
    ["likelihood, as it is drawn", "baseline"],
    ["likelihood, nearest of 4", "baseline"],
    ["always “nothing changes”", "baseline"],
  ]);
  // "Nothing changes" is what all the examples say.
  assert.equal(baselines!.strongest, "always “nothing changes”");
  const row = baselines!.rows[5], expected = pairedDifference(near, AFTER, { seed: SEED });
  assert.ok(Math.abs(row.difference!.mean - expected.mean) < 1e-12);
  assert.ok(Math.abs(row.difference!.low - expected.low) < 1e-12, "shops are drawn together");
  assert.equal(webPageResult(judged, { likelihood }).baselines, undefined);
});

Deno.test("web pages: the nearest answer is the one that agrees most with the others by F1", () => {
  const world = {
    score: ({ response, example }: WebPageResponse) => scoreChanges(response, example.truth),
  } as WebPageWorld;
  const answer = (...items: string[]): WebPageResponse => ({
    example: EXAMPLES[0],
    response: `New items:\n${items.join("\n")}\n\nDeleted items:\nNone\n\nUpdated items:\nNone`,
  });
  const answers = [answer("x", "y"), answer("a", "b", "c"), answer("a", "b"), answer("a", "c"), answer("z")];
  // Written out: agreement of each with the others, with "None" in two sections of each.
  const f1 = (i: number, j: number) => scoreChanges(answers[i].response, answers[j].response).f1;
  const sums = answers.map((_, i) => answers.reduce((sum, _, j) => i === j ? sum : sum + f1(i, j), 0));
  assert.equal(sums.indexOf(Math.max(...sums)), 1);
  assert.equal(nearestAnswer(world, answers), 1);
  assert.equal(nearestAnswer(world, [answers[4], answers[2], answers[2]]), 1);
  assert.equal(nearestAnswer(world, [answers[0], answers[0]]), 0);
});
