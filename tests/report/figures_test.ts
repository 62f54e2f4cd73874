import assert from "node:assert/strict";
import {
  bestOfNFigure,
  groupSizeFigure,
  horizonFigure,
  improvementFigure,
  metricPanels,
  type PlotlyFigure,
  trainingCurve,
} from "../../lib/report/figures.ts";
import type { MetricResult } from "../../lib/report/result.ts";

// deno-lint-ignore no-explicit-any
const traces = (figure: PlotlyFigure) => figure.data as any[];
// deno-lint-ignore no-explicit-any
const layout = (figure: PlotlyFigure) => figure.layout as any;
const interval = (mean: number, half = 0.5) => ({ mean, low: mean - half, high: mean + half, n: 32 });

const records = [
  ...[1, 2, 3].map((step) => ({ stage: "tokenizer", step, "loss/l1": 1 / step })),
  ...[1, 2, 3, 4].map((step) => ({ stage: "likelihood", step, loss: 10 - step })),
  ...[1, 2].map((step) => ({ stage: "grpo", step, loss: step === 1 ? NaN : 5, reward: step })),
];

Deno.test("stages follow one another on one axis; those without the metric take no room", () => {
  const figure = trainingCurve([{ name: "a", records }], "loss");
  const [line] = traces(figure);
  assert.deepEqual(line.x, [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(line.y, [9, 8, 7, 6, null, 5]);
  assert.deepEqual(layout(figure).shapes.map((shape: { x0: number }) => shape.x0), [4]);
  assert.deepEqual(layout(figure).annotations.map((one: { text: string }) => one.text), ["likelihood", "grpo"]);
  assert.equal(layout(figure).xaxis.title.text, "Optimizer step");
  const reward = trainingCurve([{ name: "a", records }], "reward");
  assert.deepEqual([traces(reward)[0].x, layout(reward).shapes], [[1, 2], undefined]);
});

Deno.test("the running average is the bias-corrected exponential one, beside the raw values", () => {
  // By pandas: Series([0, 1] * 8).ewm(alpha=0.5).mean()
  const pandas = [0, 0.6666666667, 0.2857142857, 0.6666666667, 0.3225806452, 0.6666666667, 0.3307086614, 0.6666666667];
  const long = Array.from({ length: 16 }, (_, i) => ({ stage: "s", step: i, value: i % 2 }));
  const [raw, smooth] = traces(trainingCurve([{ name: "a", records: long }], "value", { smoothing: 0.5 }));
  assert.deepEqual(raw.y, long.map(({ value }) => value));
  pandas.forEach((value, i) => assert.ok(Math.abs(smooth.y[i] - value) < 1e-9, `${i}: ${smooth.y[i]}`));
  assert.equal(traces(trainingCurve([{ name: "a", records: long }], "value", { smoothing: 0 })).length, 1);
});

Deno.test("several runs are told apart by colour and named", () => {
  const figure = trainingCurve([{ name: "seed 0", records }, { name: "seed 1", records }], "reward");
  const [first, second] = traces(figure);
  assert.deepEqual([first.name, second.name, first.showlegend], ["seed 0", "seed 1", true]);
  assert.notEqual(first.line.color, second.line.color);
});

Deno.test("a metric that nobody logged is an error that names those that were", () => {
  assert.throws(
    () => trainingCurve([{ name: "a", records }], "lpips"),
    /RangeError: no run logged the metric "lpips": known are loss, loss\/l1, reward/,
  );
  assert.throws(() => trainingCurve([], "lpips"), /no run logged the metric "lpips": known are none/);
  assert.throws(
    () => trainingCurve([], "loss", { smoothing: 1 }),
    /smoothing must be at least 0 and below 1: received 1/,
  );
});

const metrics: Record<string, MetricResult> = {
  LPIPS: { better: "lower", base: interval(10), rlvr: interval(9), difference: interval(-1, 0.2) },
  PSNR: { better: "higher", unit: "dB", base: interval(20), rlvr: interval(22), difference: interval(2, 1) },
  SSIM: { better: "higher", base: interval(50), rlvr: interval(45), difference: interval(-5, 1) },
  MSE: { better: "lower", base: interval(1), rlvr: interval(0.5) },
  MAE: { better: "lower", base: interval(1), rlvr: interval(1.1), difference: interval(0.1, 0.3) },
};

Deno.test("metric panels show both models with the distances to their interval's ends", () => {
  const figure = metricPanels(metrics);
  assert.equal(traces(figure).length, 10);
  const [base, rlvr] = traces(figure);
  assert.deepEqual([base.x, base.y, rlvr.y], [["Base"], [10], [9]]);
  assert.deepEqual([base.error_y.array, base.error_y.arrayminus], [[0.5], [0.5]]);
  assert.deepEqual([traces(figure)[2].xaxis, traces(figure)[2].yaxis], ["x2", "y2"]);
  assert.match(layout(figure).annotations[1].text, /PSNR.*dB.*↑/);
  assert.throws(() => metricPanels({}), /at least one metric: received none/);
});

Deno.test("improvement points right when a metric got better and is coloured by its interval", () => {
  const byName = new Map(traces(improvementFigure(metrics)).map((trace) => [trace.y[0], trace]));
  const at = (name: string) => {
    const { x: [x], error_x: { array: [plus], arrayminus: [minus] } } = byName.get(name);
    return [x, plus, minus].map((value) => Math.round(value * 1e6) / 1e6);
  };
  assert.deepEqual(at("LPIPS"), [10, 2, 2]);
  assert.deepEqual(at("PSNR"), [10, 5, 5]);
  assert.deepEqual(at("SSIM"), [-10, 2, 2]);
  const color = (name: string) => byName.get(name).marker.color;
  assert.equal(color("LPIPS"), color("PSNR"));
  // Without an interval nothing is claimed.
  assert.equal(color("MSE"), color("MAE"));
  assert.equal(new Set(["LPIPS", "SSIM", "MAE"].map(color)).size, 3);
});

Deno.test("best of N carries the single sample of RLVR across", () => {
  const points = (values: number[]) => values.map((mean, i) => ({ n: 10 ** i, value: interval(mean, 0.1) }));
  const figure = bestOfNFigure({ base: points([5, 4, 3]), rlvr: points([4, 3.8, 3.6]) }, "LPIPS", "lower");
  assert.deepEqual(traces(figure).map(({ x }) => x), [[1, 10, 100], [1, 10, 100]]);
  assert.deepEqual([layout(figure).shapes[0].y0, layout(figure).shapes[0].y1, layout(figure).xaxis.type], [
    4,
    4,
    "log",
  ]);
});

Deno.test("along the rollout: a point a predicted frame and model, ticks at whole frames", () => {
  const curves = { base: [1, 2, 4].map((mean) => interval(mean)), rlvr: [1, 1.5, 2].map((mean) => interval(mean)) };
  const figure = horizonFigure(curves, "MAE", "lower");
  const [base, rlvr] = traces(figure);
  assert.deepEqual([base.y, rlvr.y], [[1, 2, 4], [1, 1.5, 2]]);
  assert.deepEqual(base.error_y.array, [0.5, 0.5, 0.5]);
  assert.deepEqual(layout(figure).xaxis.tickvals, [1, 2, 3]);
  for (const { x } of [base, rlvr]) assert.deepEqual(x.map(Math.round), [1, 2, 3]);
});

Deno.test("group sizes are sorted", () => {
  const points = [16, 4, 8].map((groupSize) => ({ groupSize, value: interval(groupSize) }));
  assert.deepEqual(traces(groupSizeFigure(points, "LPIPS", "lower"))[0].x, [4, 8, 16]);
});

Deno.test("figures are plain JSON, and names from outside cannot bring markup into labels", () => {
  const hostile = '<img src=x onerror="alert(1)">';
  const figures = [
    metricPanels({ [hostile]: metrics.LPIPS }),
    improvementFigure({ [hostile]: metrics.LPIPS }),
    trainingCurve(
      [{ name: hostile, records: [{ stage: hostile, step: 1, x: 1 }, { stage: "b", step: 1, x: 1 }] }],
      "x",
      {
        title: hostile,
      },
    ),
  ];
  for (const figure of figures) {
    assert.deepEqual(JSON.parse(JSON.stringify(figure.data)), figure.data);
    assert.ok(!JSON.stringify(figure).includes("<img"));
  }
});
