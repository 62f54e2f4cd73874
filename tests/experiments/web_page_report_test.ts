/** Intervals of the web page's results: transitions of one shop or task are no independent ones. */
import assert from "node:assert/strict";
import type { WebPageExperiment } from "../../lib/experiments/web_page.ts";
import { webPageConfig } from "../../lib/experiments/web_page_config.ts";
import type { WebPageEvaluation } from "../../lib/experiments/web_page_evaluation.ts";
import { type WebPageResult, webPageResult } from "../../lib/experiments/web_page_report.ts";
import { webPageScoreTable } from "../../lib/experiments/web_page_scores.ts";
import { meanInterval, pairedDifference } from "../../lib/report/intervals.ts";
import type { WebPageExample } from "../../lib/worlds/web_page/world.ts";

/** A value a shop, before and after. */
const BEFORE = [0.1, 0.2, 0.25, 0.4, 0.45, 0.6, 0.8, 0.9], AFTER = [0.3, 0.2, 0.45, 0.5, 0.85, 0.5, 0.9, 1];
/** Transitions of each shop: all alike, so that they say no more than one. */
const EACH = 5;
const SEED = 3;

const spread = (values: readonly number[]) => Float64Array.from(values.flatMap((value) => Array(EACH).fill(value)));

function evaluation(values: readonly number[]): WebPageEvaluation {
  const scores = { f1: spread(values), precision: spread(values), recall: spread(values) };
  const ended = Array(values.length * EACH).fill(true);
  return { greedy: scores, sampled: scores, responses: ended.map(() => ""), ended };
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
  const experiment = {
    config: webPageConfig("demo", { seed: SEED }),
    engine: { name: "none", backend: "none", version: "0", device: "cpu" },
    test: EXAMPLES,
  } as unknown as WebPageExperiment;
  const { metrics }: WebPageResult = webPageResult(
    experiment,
    { likelihood: evaluation(BEFORE), rlvr: evaluation(AFTER) },
    {},
    0,
  );
  assert.deepEqual(Object.keys(metrics), [
    "f1",
    "precision",
    "recall",
    "f1Sampled",
    "precisionSampled",
    "recallSampled",
  ]);
  const seed = { seed: SEED },
    close = (found: number[], expected: number[], name: string) =>
      found.forEach((each, i) =>
        assert.ok(Math.abs(each - expected[i]) < 1e-12, `${name}: ${found}, expected ${expected}`)
      );
  for (const [name, { base, rlvr, difference }] of Object.entries(metrics)) {
    close(bounds(base), bounds(meanInterval(BEFORE, seed)), name);
    close(bounds(rlvr), bounds(meanInterval(AFTER, seed)), name);
    close(bounds(difference!), bounds(pairedDifference(BEFORE, AFTER, seed)), name);
    assert.equal(base.n, BEFORE.length * EACH);
  }
  const narrow = meanInterval(spread(BEFORE), seed);
  assert.ok(
    metrics.f1.base.high - metrics.f1.base.low > 2 * (narrow.high - narrow.low),
    "the test sees the difference",
  );
});

Deno.test("web page scores: the table's intervals likewise", () => {
  const table = webPageScoreTable({ model: evaluation(BEFORE) }, { examples: EXAMPLES, seed: SEED });
  const [mean, low, high] = bounds(meanInterval(BEFORE, { seed: SEED })).map((each) => (100 * each).toFixed(1));
  for (const row of table.split("\n").filter((line) => /^(f1|precision|recall)/.test(line))) {
    assert.ok(row.includes(`${mean} [${low}, ${high}]`), row);
  }
});
