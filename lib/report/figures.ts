/**
 * Plotly figures of a run: curves, metrics of base and RLVR with their intervals, best-of-N, group size.
 *
 * Pure functions from numbers to `{ data, layout }`. Nothing is drawn here: `notebook.ts` shows a figure in a notebook,
 * `html_report.ts` puts it on a page. Only trace types of Plotly's basic bundle are used (scatter), so pages stay small.
 */
import { colors, fontStack, runColors } from "./theme.ts";
import { type Interval, type MetricResult, relativeImprovement } from "./result.ts";

/**
 * What Plotly draws.
 *
 * @internal
 */
export interface PlotlyFigure {
  /** Traces. */
  data: Record<string, unknown>[];
  /** Layout of the whole figure. */
  layout: Record<string, unknown>;
}

/**
 * One line of a metric log: numbers by name beside the stage and step they belong to.
 *
 * @internal
 */
export interface CurveRecord {
  /** "tokenizer", "likelihood", "grpo"…; records of one stage stand together. */
  stage: string;
  /** Counts within the stage. */
  step: number;
  /** Values by metric; what is not a finite number leaves a gap. */
  [metric: string]: unknown;
}

/**
 * One metric over the steps of one or several runs: the raw values faint, their running average strong, and a dashed line
 * where a stage ends. Stages that never logged the metric take no room; values that are not finite leave a gap.
 *
 * @throws {RangeError} when no run logged the metric (naming those that exist) or `smoothing` is out of range.
 */
export function trainingCurve(
  runs: readonly {
    /** Name in the legend. */
    name: string;
    /** The log, in order. */
    records: readonly CurveRecord[];
  }[],
  metric: string,
  options: {
    /** Title; the metric's name unless told. */
    title?: string;
    /** Title of the vertical axis, with its unit; the metric's name unless told. */
    yTitle?: string;
    /** Share of the running average that each step keeps, in [0, 1); 0.9 unless told, 0 for none. */
    smoothing?: number;
    /** Logarithmic vertical axis. */
    logY?: boolean;
  } = {},
): PlotlyFigure {
  const { title = metric, yTitle = metric, smoothing = 0.9, logY = false } = options;
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw new RangeError(`smoothing must be at least 0 and below 1: received ${smoothing}`);
  }
  const series = runs.map((run) => ({ name: escapeLabel(run.name), ...layOutStages(run.records, metric) }));
  if (series.every(({ x }) => x.length === 0)) {
    const known = new Set(runs.flatMap((run) => run.records.flatMap((record) => Object.keys(record))));
    known.delete("stage");
    known.delete("step");
    throw new RangeError(
      `no run logged the metric ${JSON.stringify(metric)}: known are ${[...known].sort().join(", ") || "none"}`,
    );
  }
  const data = series.flatMap(({ name, x, y }, i) => {
    const color = runColors[i % runColors.length];
    const line = { type: "scatter", mode: "lines", x, name, legendgroup: name, showlegend: false };
    // A running average over a handful of points only hides them.
    if (smoothing === 0 || y.length < 12) {
      const mode = y.length < 40 ? "lines+markers" : "lines";
      return [{ ...line, mode, y, line: { color, width: 2 }, marker: { size: 5 }, showlegend: runs.length > 1 }];
    }
    return [
      { ...line, y, line: { color, width: 1 }, opacity: 0.28, hoverinfo: "skip" },
      { ...line, y: runningAverage(y, smoothing), line: { color, width: 2.4 }, showlegend: runs.length > 1 },
    ];
  });
  const stages = series.reduce(
    (longest, one) => one.stages.length > longest.length ? one.stages : longest,
    series[0].stages,
  );
  return {
    data,
    layout: baseLayout(title, {
      xaxis: axis("Optimizer step"),
      yaxis: { ...axis(yTitle), ...(logY ? logTicks(series.flatMap(({ y }) => y)) : {}) },
      ...stageMarks(stages),
      showlegend: runs.length > 1,
    }),
  };
}

/**
 * Base beside RLVR, one small panel a metric (each has its own unit), the mean as a dot and its 95 % interval as a bar.
 *
 * @throws {RangeError} when there is no metric.
 */
export function metricPanels(metrics: Record<string, MetricResult>): PlotlyFigure {
  const names = Object.keys(metrics);
  if (names.length === 0) throw new RangeError("metrics must hold at least one metric: received none");
  const columns = Math.min(names.length, 3), rows = Math.ceil(names.length / columns);
  const data: PlotlyFigure["data"] = [], layout: Record<string, unknown> = {}, annotations: unknown[] = [];
  const gapX = 0.11, gapY = rows > 1 ? 0.3 / rows : 0;
  const width = (1 - gapX * (columns - 1)) / columns, height = (1 - gapY * (rows - 1)) / rows;
  names.forEach((name, i) => {
    const metric = metrics[name], suffix = i === 0 ? "" : String(i + 1);
    const left = (i % columns) * (width + gapX), top = 1 - Math.floor(i / columns) * (height + gapY);
    (["base", "rlvr"] as const).forEach((model) => {
      data.push({
        ...intervalMarks([model === "base" ? "Base" : "RLVR"], [metric[model]], colors[model]),
        xaxis: `x${suffix}`,
        yaxis: `y${suffix}`,
        showlegend: false,
      });
    });
    layout[`xaxis${suffix}`] = {
      ...axis(),
      type: "category",
      domain: [left, left + width],
      anchor: `y${suffix}`,
      range: [-0.6, 1.6],
      showgrid: false,
    };
    layout[`yaxis${suffix}`] = { ...axis(), domain: [Math.max(0, top - height), top], anchor: `x${suffix}`, nticks: 5 };
    const arrow = metric.better === "lower" ? "↓" : "↑", unit = metric.unit ? ` (${metric.unit})` : "";
    annotations.push({
      text: `<b>${escapeLabel(name)}</b>${escapeLabel(unit)} ${arrow}`,
      x: 0.5,
      y: 1,
      xref: `x${suffix} domain`,
      yref: `y${suffix} domain`,
      yanchor: "bottom",
      showarrow: false,
      font: { size: 13 },
    });
  });
  return {
    data,
    layout: {
      ...baseLayout("", {}),
      ...layout,
      annotations,
      height: 60 + 210 * rows,
      margin: { l: 56, r: 16, t: 36, b: 36 },
    },
  };
}

/**
 * Relative improvement of every metric on one axis, to the right of 0 where RLVR is better, with the interval of the paired
 * difference (drawn only where `difference` is known) divided by the base's mean.
 */
export function improvementFigure(metrics: Record<string, MetricResult>): PlotlyFigure {
  const rows = Object.entries(metrics).filter(([, metric]) => Number.isFinite(relativeImprovement(metric))).reverse();
  const percent = rows.map(([, metric]) => 100 * relativeImprovement(metric));
  const reach = rows.map(([, { better, base, difference }], i) => {
    if (!difference) return { plus: 0, minus: 0 };
    const scale = (better === "lower" ? -100 : 100) / Math.abs(base.mean);
    const ends = [difference.low * scale, difference.high * scale].sort((a, b) => a - b);
    return { plus: Math.max(0, ends[1] - percent[i]), minus: Math.max(0, percent[i] - ends[0]) };
  });
  const tint = percent.map((value, i) =>
    !rows[i][1].difference
      ? colors.muted
      : value - reach[i].minus > 0
      ? colors.good
      : value + reach[i].plus < 0
      ? colors.bad
      : colors.muted
  );
  return {
    data: rows.map(([name], i) => ({
      type: "scatter",
      mode: "markers",
      x: [percent[i]],
      y: [escapeLabel(name)],
      marker: { size: 11, color: tint[i] },
      error_x: {
        type: "data",
        symmetric: false,
        array: [reach[i].plus],
        arrayminus: [reach[i].minus],
        thickness: 2.2,
        width: 5,
        color: tint[i],
      },
      hovertemplate: "%{y}: %{x:.2f} %<extra></extra>",
      showlegend: false,
    })),
    layout: baseLayout("", {
      height: 90 + 42 * rows.length,
      margin: { l: 90, r: 24, t: 16, b: 48 },
      xaxis: {
        ...axis("Improvement over the base (% of its value)"),
        rangemode: "tozero",
        zeroline: true,
        zerolinecolor: colors.muted,
      },
      yaxis: { ...axis(), type: "category", showgrid: false, automargin: true, range: [-0.6, rows.length - 0.4] },
    }),
  };
}

/**
 * One point of {@link bestOfNFigure}: the metric of the best of `n` samples.
 *
 * @internal
 */
export interface BestOfPoint {
  /** Samples N that the best was taken of. */
  n: number;
  /** Mean over clips of each clip's best sample. */
  value: Interval;
}

/**
 * The metric of the best among N samples, for each model, over N on a logarithmic axis. RLVR's single sample is carried
 * across as a dotted line: where the base crosses it, that many samples are worth one of RLVR's (paper Fig. 4a).
 */
export function bestOfNFigure(
  curves: { base: readonly BestOfPoint[]; rlvr: readonly BestOfPoint[] },
  metric: string,
  better: "lower" | "higher",
): PlotlyFigure {
  const data = (["base", "rlvr"] as const).map((model) => ({
    ...intervalMarks(curves[model].map(({ n }) => n), curves[model].map(({ value }) => value), colors[model]),
    mode: "lines+markers",
    line: { color: colors[model], width: 2.2 },
    name: model === "base" ? "Base" : "RLVR",
  }));
  const single = curves.rlvr.find(({ n }) => n === 1)?.value.mean;
  const ticks = [...new Set([...curves.base, ...curves.rlvr].map(({ n }) => n))].sort((a, b) => a - b);
  return {
    data,
    layout: baseLayout(`Best of N samples`, {
      xaxis: { ...axis("Samples N (log scale)"), type: "log", tickvals: ticks, ticktext: ticks.map(String) },
      yaxis: axis(`${metric} of the best sample (${better} is better)`),
      ...(single === undefined ? {} : {
        shapes: [{
          type: "line",
          xref: "paper",
          x0: 0,
          x1: 1,
          y0: single,
          y1: single,
          line: { color: colors.rlvr, width: 1.2, dash: "dot" },
        }],
      }),
    }),
  };
}

/** The final metric of runs that differ in group size G only, over G on a logarithmic axis. */
export function groupSizeFigure(
  points: readonly { groupSize: number; value: Interval }[],
  metric: string,
  better: "lower" | "higher",
): PlotlyFigure {
  const sorted = [...points].sort((a, b) => a.groupSize - b.groupSize), sizes = sorted.map((point) => point.groupSize);
  return {
    data: [{
      ...intervalMarks(sizes, sorted.map(({ value }) => value), colors.rlvr),
      mode: "lines+markers",
      line: { color: colors.rlvr, width: 2.2 },
      name: "RLVR",
    }],
    layout: baseLayout("Group size", {
      xaxis: { ...axis("Samples a group G (log scale)"), type: "log", tickvals: sizes, ticktext: sizes.map(String) },
      yaxis: axis(`${metric} after training (${better} is better)`),
      showlegend: false,
    }),
  };
}

/**
 * A metric at each of the frames that are predicted from one question, base and RLVR: how fast errors grow along a rollout.
 *
 * @param curves One interval a frame, first predicted to last.
 */
export function horizonFigure(
  curves: { base: readonly Interval[]; rlvr: readonly Interval[] },
  metric: string,
  better: "lower" | "higher",
): PlotlyFigure {
  const frames = curves.base.map((_, i) => i + 1);
  return {
    data: (["base", "rlvr"] as const).map((model, i) => ({
      // Side by side, so that intervals do not hide one another.
      ...intervalMarks(frames.map((frame) => frame + (i - 0.5) * 0.08), curves[model], colors[model]),
      mode: "lines+markers",
      line: { color: colors[model], width: 2.2 },
      name: model === "base" ? "Base" : "RLVR",
      customdata: frames,
      hovertemplate: "frame %{customdata}: %{y:.4g}<extra></extra>",
    })),
    layout: baseLayout("Along the rollout", {
      xaxis: { ...axis("Predicted frame"), tickvals: frames, ticktext: frames.map(String) },
      yaxis: axis(`${metric} (${better} is better)`),
    }),
  };
}

/** Puts the stages of one run one after the other on a common axis, but for those without a value. */
function layOutStages(records: readonly CurveRecord[], metric: string) {
  const x: number[] = [], y: (number | null)[] = [], stages: { name: string; start: number; end: number }[] = [];
  for (let first = 0, next = 0; first < records.length; first = next) {
    const name = records[first].stage, start = stages.at(-1)?.end ?? 0;
    while (next < records.length && records[next].stage === name) next++;
    const logged = records.slice(first, next).filter((record) => metric in record);
    const values = logged.map((record) => finiteOrNull(record[metric]));
    if (values.every((value) => value === null)) continue;
    x.push(...logged.map(({ step }) => start + step));
    y.push(...values);
    stages.push({ name, start, end: start + logged.reduce((last, { step }) => Math.max(last, step), 0) });
  }
  return { x, y, stages };
}

function finiteOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Exponential running average, corrected for its start; a gap stays a gap. */
function runningAverage(values: readonly (number | null)[], keep: number): (number | null)[] {
  let average = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = keep * average + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return average / weight;
  });
}

/** A dashed line at the end of every stage but the last, and the stages' names along the top. */
function stageMarks(stages: readonly { name: string; start: number; end: number }[]): Record<string, unknown> {
  if (stages.length < 2) return {};
  return {
    shapes: stages.slice(1).map(({ start }) => ({
      type: "line",
      x0: start,
      x1: start,
      yref: "paper",
      y0: 0,
      y1: 1,
      line: { color: colors.muted, width: 1, dash: "dash" },
    })),
    annotations: stages.map(({ name, start, end }) => ({
      text: escapeLabel(name),
      x: (start + end) / 2,
      yref: "paper",
      y: 1,
      yanchor: "bottom",
      showarrow: false,
      font: { size: 12, color: colors.muted },
    })),
  };
}

/** Dots with the interval as an error bar. */
function intervalMarks(x: readonly (number | string)[], values: readonly Interval[], color: string) {
  return {
    type: "scatter",
    mode: "markers",
    x,
    y: values.map(({ mean }) => mean),
    marker: { size: 9, color },
    error_y: {
      type: "data",
      symmetric: false,
      array: values.map(({ mean, high }) => high - mean),
      arrayminus: values.map(({ mean, low }) => mean - low),
      thickness: 1.8,
      width: 5,
      color,
    },
    hovertemplate: "%{x}: %{y:.4g}<extra></extra>",
  };
}

/** A logarithmic axis with ticks at 1, 2 and 5 of every decade: Plotly's own labels leave out the decade. */
function logTicks(values: readonly (number | null)[]): Record<string, unknown> {
  const positive = values.filter((value) => value !== null && value > 0) as number[];
  const low = positive.reduce((a, b) => Math.min(a, b), Infinity), high = positive.reduce((a, b) => Math.max(a, b), 0);
  if (positive.length === 0 || high / low > 1e4) return { type: "log", dtick: 1 };
  const ticks: number[] = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
    ticks.push(...[1, 2, 5].map((digit) => Number(`${digit}e${decade}`)));
  }
  return { type: "log", tickvals: ticks, ticktext: ticks.map(String) };
}

function axis(title?: string): Record<string, unknown> {
  return {
    ...(title === undefined
      ? {}
      : { title: { text: escapeLabel(title), standoff: 10, font: { size: 12, color: colors.muted } } }),
    gridcolor: colors.line,
    linecolor: colors.line,
    zeroline: false,
    automargin: true,
    tickfont: { size: 11.5, color: colors.muted },
  };
}

function baseLayout(title: string, rest: Record<string, unknown>): Record<string, unknown> {
  return {
    ...(title === "" ? {} : {
      title: {
        text: escapeLabel(title),
        x: 0,
        xref: "paper",
        y: 1,
        yref: "container",
        yanchor: "top",
        pad: { t: 6 },
        font: { size: 15 },
      },
    }),
    font: { family: fontStack, size: 13, color: colors.text },
    paper_bgcolor: "white",
    plot_bgcolor: "white",
    height: 320,
    margin: { l: 64, r: 18, t: title === "" ? 44 : 68, b: 52 },
    // At the very top of the figure, above the names of the stages.
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "top", yref: "container" },
    hoverlabel: { font: { family: fontStack } },
    ...rest,
  };
}

/** Plotly reads a little HTML in labels: a name from a configuration must not be able to use it. */
function escapeLabel(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
