/**
 * The report of a run: one HTML file that can be mailed, opened without a network and read by someone who has not seen the
 * project. What it says comes from `result.json`'s numbers; it computes nothing but relative improvements.
 */
import { dirname } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { improvementFigure, metricPanels, type PlotlyFigure } from "./figures.ts";
import { GALLERY_STYLE, type GalleryClip, galleryHtml, type GalleryOptions, stripsHtml } from "./gallery.ts";
import {
  CHIP_STYLE,
  chips,
  escapeHtml,
  figureHtml,
  formatBytes,
  formatNumber,
  formatSeconds,
  longColumns,
  page,
  plotlyScript,
  section,
} from "./html.ts";
import { type Interval, type MetricResult, relativeImprovement, type RunResult, verdict } from "./result.ts";
import { tableHtml } from "./tables.ts";
import { colors, monoStack } from "./theme.ts";

/** A figure of the report with the words around it. */
export interface ReportFigure {
  title: string;
  /** The figure; its own title is left out. */
  figure: PlotlyFigure;
  /** A sentence of explanation. */
  caption?: string;
}

/**
 * A table of the report. Cells are text; numbers are printed with four digits.
 *
 * @internal
 */
export interface ReportTable {
  title: string;
  /** Column headings. */
  columns: readonly string[];
  /** One list of cells a row. */
  rows: readonly (readonly (string | number)[])[];
  /** A sentence of explanation. */
  caption?: string;
}

/** All that a report shows. Only title and result are needed; an empty part leaves no heading behind. */
export interface ReportContent {
  title: string;
  /** The headline sentence; made from the first metric (see {@link headline}) unless told. */
  summary?: string;
  /** The headline numbers. */
  result: RunResult;
  /** What base and RLVR are here, above their table; where there is more than one of a kind. */
  comparison?: string;
  /** Figures of the training. */
  curves?: readonly ReportFigure[];
  /** How metrics change along a rollout of several frames. */
  horizon?: readonly ReportFigure[];
  /** Held-out clips, played and as strips. */
  clips?: readonly GalleryClip[];
  /** Speed of the GIFs, length of the strips. */
  clipOptions?: GalleryOptions;
  /** More tables, each a section. */
  tables?: readonly ReportTable[];
  /** All settings of the run; shown folded. */
  config?: unknown;
  /** Versions, device and machine; shown folded. */
  environment?: unknown;
}

/**
 * Writes the report to `path` as one self-contained page; an older one is replaced as a whole.
 *
 * @throws whatever the file system reports.
 */
export async function writeReport(path: string, content: ReportContent): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, await renderReport(content));
}

/** The report as HTML; {@link writeReport} writes it to a file. */
export async function renderReport(content: ReportContent): Promise<string> {
  const { title, result, curves = [], horizon = [], clips = [], tables = [] } = content;
  const { task, preset, engine, device, seed } = result;
  const metrics = Object.keys(result.metrics).length > 0;
  const overview = metrics ? [improvementFigure(result.metrics), metricPanels(result.metrics)] : [];
  const body = [
    `<header>${chips([task, `preset ${preset}`, `${engine} on ${device}`, `seed ${seed}`])}<h1>${
      escapeHtml(title)
    }</h1>`,
    `<p class="headline">${escapeHtml(content.summary ?? headline(result))}</p></header>`,
    metrics
      ? section("Base against RLVR", resultTable(result.metrics) + overviewFigures(overview), {
        lead: content.comparison,
      })
      : "",
    horizon.length > 0 ? section("Along the rollout", figureCards(horizon, "horizon")) : "",
    clips.length > 0
      ? section("Held-out clips", galleryHtml(clips, content.clipOptions), {
        lead: "Every GIF plays its panels in step.",
      })
      : "",
    curves.length > 0 ? section("Training", figureCards(curves, "figure")) : "",
    ...tables.map((table) => section(table.title, plainTable(table), { lead: table.caption })),
    clips.length > 0 ? section("Frame by frame", stripsHtml(clips, content.clipOptions)) : "",
    section(
      "Run",
      runFacts(result) + details("Configuration", content.config) + details("Environment", content.environment),
    ),
  ];
  return page(
    title,
    `<style>${GALLERY_STYLE}${REPORT_STYLE}</style>\n` +
      await plotlyScript([...overview, ...[...horizon, ...curves].map(({ figure }) => figure)]),
    `<main>${body.filter((part) => part !== "").join("\n")}</main>`,
  );
}

/**
 * One sentence on one metric (the first unless told): what RLVR did to it, by how much, and whether the interval of the
 * difference excludes zero.
 */
export function headline(result: RunResult, name: string = Object.keys(result.metrics)[0]): string {
  const metric = result.metrics[name];
  if (!metric) return "This run has not been evaluated.";
  const { base, rlvr, difference } = metric, unit = metric.unit ? ` ${metric.unit}` : "";
  const share = relativeImprovement(metric);
  const change = rlvr.mean === base.mean ? "leaves" : rlvr.mean < base.mean ? "lowers" : "raises";
  const amount = Number.isFinite(share)
    ? `${formatNumber(100 * Math.abs(share), 3)} % ${share >= 0 ? "better" : "worse"}`
    : "no relative change is defined";
  const sure = {
    better: "; the 95 % interval of the difference excludes zero",
    worse: "; the 95 % interval of the difference excludes zero",
    unclear: difference ? "; the 95 % interval of the difference includes zero" : "",
  }[verdict(metric)];
  const values = change === "leaves"
    ? `at ${formatNumber(base.mean)}${unit}`
    : `from ${formatNumber(base.mean)} to ${formatNumber(rlvr.mean)}${unit} (${amount}${sure})`;
  return `Reinforcement learning on the metric itself ${change} ${name} ${values}, on ${rlvr.n} held-out items.`;
}

function resultTable(metrics: Record<string, MetricResult>): string {
  const rows = Object.entries(metrics).map(([name, metric]) => {
    const share = relativeImprovement(metric), judged = verdict(metric);
    const direction = metric.better === "lower" ? "↓" : "↑";
    const percent = Number.isFinite(share) ? `${share > 0 ? "+" : ""}${formatNumber(100 * share, 3)} %` : "—";
    return `<tr><td><b>${escapeHtml(name)}</b>${
      metric.unit ? ` <span class="muted">${escapeHtml(metric.unit)}</span>` : ""
    }
<span class="direction" title="${metric.better} is better">${direction}</span></td>
<td>${intervalCell(metric.base)}</td><td>${intervalCell(metric.rlvr)}</td>
<td>${metric.difference ? intervalCell(metric.difference, true) : "—"}</td>
<td><span class="pill ${judged}">${percent}</span></td><td>${formatNumber(metric.rlvr.n)}</td></tr>`;
  });
  return `<div class="card scroll"><table><thead><tr><th>Metric</th><th>Base</th><th>RLVR</th><th>Difference</th>
<th>Relative improvement</th><th>Items</th></tr></thead><tbody>${rows.join("\n")}</tbody></table>
<p class="muted small note">↓ lower is better, ↑ higher is better. Small numbers: 95 % confidence interval over held-out items.
Difference: RLVR − base on the same items. Coloured where its interval excludes zero.</p></div>`;
}

function intervalCell({ mean, low, high }: Interval, signed = false): string {
  // All three with the digits that the interval's width makes worth reading.
  const width = Math.abs(high - low), scale = Math.max(Math.abs(mean), Math.abs(low), Math.abs(high));
  const digits = width > 0 && scale > 0 ? Math.min(7, Math.max(3, Math.ceil(Math.log10(scale / width)) + 2)) : 4;
  const show = (value: number) => (signed && value > 0 ? "+" : "") + formatNumber(value, digits);
  return `${show(mean)}<span class="range">${show(low)} … ${show(high)}</span>`;
}

function overviewFigures([improvement, panels]: PlotlyFigure[]): string {
  const height = Math.max(improvement.layout.height as number, panels.layout.height as number);
  improvement.layout.height = panels.layout.height = height;
  return `<div class="overview"><div class="card">${figureHtml(improvement, "figure-improvement")}</div>
<div class="card">${
    figureHtml(panels, "figure-metrics")
  }<p class="muted small note">Mean and 95 % interval. Axes do not start at zero.</p></div></div>`;
}

function figureCards(figures: readonly ReportFigure[], id: string): string {
  return `<div class="figures">${figures.map((each, i) => figureCard(each, `${id}-${i}`)).join("\n")}</div>`;
}

function figureCard({ figure, title, caption }: ReportFigure, id: string): string {
  // The card has a heading of its own.
  const { title: _, ...layout } = figure.layout;
  const top = layout.showlegend === false && !layout.annotations ? 14 : 44;
  const bare = { data: figure.data, layout: { ...layout, margin: { l: 64, r: 18, t: top, b: 52 } } };
  return `<div class="card"><h3>${escapeHtml(title)}</h3>${figureHtml(bare, id)}${
    caption === undefined ? "" : `<p class="muted small note">${escapeHtml(caption)}</p>`
  }</div>`;
}

function plainTable({ columns, rows }: ReportTable): string {
  const cells = rows.map((row) => row.map((value) => typeof value === "number" ? formatNumber(value) : value));
  const classes = longColumns(rows).map((isLong) => isLong ? ' class="long"' : "");
  return `<div class="card scroll">${tableHtml(columns, cells, classes)}</div>`;
}

function runFacts({ seconds, peakMemoryBytes }: RunResult): string {
  const stages = Object.entries(seconds);
  const total = stages.reduce((sum, [, value]) => sum + value, 0);
  const facts = [
    ...stages.map(([stage, value]) => [stage, formatSeconds(value)]),
    ...(stages.length > 1 ? [["total", formatSeconds(total)]] : []),
    ["peak memory", formatBytes(peakMemoryBytes)],
  ];
  return `<div class="card facts">${
    facts.map(([name, value]) =>
      `<div><span class="muted small">${escapeHtml(name)}</span><b>${escapeHtml(value)}</b></div>`
    ).join("")
  }</div>`;
}

function details(title: string, value: unknown): string {
  if (value === undefined || value === null) return "";
  const rows = flatten(value).map(([key, text]) =>
    `<tr><td><code>${escapeHtml(key)}</code></td><td><code>${escapeHtml(text)}</code></td></tr>`
  );
  return `<details class="card"><summary>${
    escapeHtml(title)
  }</summary><div class="scroll"><table class="settings"><tbody>${rows.join("\n")}</tbody></table></div></details>`;
}

/** Nested settings as "a.b.c" and value; lists of plain values stay on one line. */
function flatten(value: unknown, path = ""): [string, string][] {
  const nested = typeof value === "object" && value !== null;
  if (!nested || (Array.isArray(value) && value.every((item) => typeof item !== "object"))) {
    return [[path, typeof value === "string" ? value : JSON.stringify(value) ?? String(value)]];
  }
  const entries = Object.entries(value);
  return entries.length === 0
    ? [[path, Array.isArray(value) ? "[]" : "{}"]]
    : entries.flatMap(([key, item]) => flatten(item, path === "" ? key : `${path}.${key}`));
}

const REPORT_STYLE = `${CHIP_STYLE}
.headline { font-size: 19px; line-height: 1.5; margin: 0; max-width: 70ch; white-space: pre-line; }
.lead { margin: -6px 0 14px; }
.note { margin: 12px 0 0; }
.range { display: block; font-size: 13px; color: ${colors.muted}; white-space: nowrap; }
.direction { color: ${colors.muted}; }
.pill { display: inline-block; padding: 1px 10px; border-radius: 99px; font-weight: 600; background: #eef0f4; color: ${colors.muted}; white-space: nowrap; }
.pill.better { background: #e3f5ec; color: ${colors.good}; }
.pill.worse { background: #fdeceb; color: ${colors.bad}; }
.overview { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 16px; margin-top: 16px; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.figures h3 { margin: 0 0 4px; }
.facts { display: flex; flex-wrap: wrap; gap: 12px 36px; }
.facts div { display: flex; flex-direction: column; }
details { margin-top: 14px; }
summary { cursor: pointer; font-weight: 600; }
.long { text-align: left; }
td.long { font: 13px/1.5 ${monoStack}; white-space: pre-wrap; overflow-wrap: anywhere; min-width: 14em; }
.settings td { text-align: left; padding: 5px 12px 5px 0; overflow-wrap: anywhere; }
.settings td:first-child { white-space: nowrap; color: ${colors.muted}; }
@media (max-width: 820px) { .overview { grid-template-columns: minmax(0, 1fr); } }
`;
