/**
 * The small change of HTML pages: escaping, numbers, the page around the content. Everything that ends up in a page goes
 * through `escapeHtml` or `scriptJson`, since names and values come from files that others wrote.
 */
import { colors, fontStack, monoStack } from "./theme.ts";
import type { PlotlyFigure } from "./figures.ts";

/** Text as HTML, safe in content and in quoted attributes. */
export function escapeHtml(text: unknown): string {
  return String(text)
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;").replaceAll("'", "&#39;");
}

/** A value as JSON that may stand inside `<script>`: no `<`, so neither `</script>` nor `<!--`. */
export function scriptJson(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replaceAll("<", "\\u003c");
}

/** A number as people read it: four significant digits, thousands grouped, no exponent where it can be avoided. */
export function formatNumber(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "—" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(digits - 2).replace("-", "−");
  const decimals = size === 0 ? 0 : Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(size))));
  const grouped = value.toLocaleString("en-US", {
    minimumFractionDigits: Number.isInteger(value) ? 0 : decimals,
    maximumFractionDigits: decimals,
  });
  return grouped.replace("-", "−");
}

/** Characters above which a table's cell is text to be read: set on the left in a fixed-width face, and wrapped. */
const LONG_TEXT = 60;

/** Of each column of a table, whether it holds such text in some row; it is then set so in all, to begin in one line. */
export function longColumns(rows: readonly (readonly unknown[])[]): boolean[] {
  const width = Math.max(0, ...rows.map((row) => row.length));
  return Array.from(
    { length: width },
    (_, column) => rows.some((row) => typeof row[column] === "string" && row[column].length > LONG_TEXT),
  );
}

/** Seconds as "7.3 s", "4 min 05 s" or "2 h 11 min". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "—";
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
  const whole = Math.round(seconds), two = (n: number) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`;
}

/** Bytes as "312 MiB" or "2.4 GiB". */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "—";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  for (; bytes >= 1000 && power < units.length - 1; power++) bytes /= 1024;
  return `${bytes >= 100 || power === 0 ? bytes.toFixed(0) : bytes.toPrecision(2)} ${units[power]}`;
}

/** The element and the script that draw a figure; the page must hold plotly.js (see `plotlyScript`). */
export function figureHtml(figure: PlotlyFigure, id: string): string {
  const height = typeof figure.layout.height === "number" ? figure.layout.height : 320;
  return `<div class="figure" id="${escapeHtml(id)}" style="min-height:${height}px"></div>
<script>Plotly.newPlot(${scriptJson(id)},${scriptJson(figure.data)},${scriptJson(figure.layout)},` +
    `{responsive:true,displaylogo:false,displayModeBar:false})</script>`;
}

/**
 * plotly.js as a `<script>`, or nothing when there is no figure. Figures of scatter, bar and pie traces get the basic bundle
 * (1.2 MB); any other trace brings the full one (4.8 MB).
 */
export async function plotlyScript(figures: readonly PlotlyFigure[]): Promise<string> {
  if (figures.length === 0) return "";
  const basic = new Set<unknown>([undefined, "scatter", "bar", "pie"]);
  const { default: source } = figures.every((figure) => figure.data.every((trace) => basic.has(trace.type)))
    ? await import("plotly.js-basic-dist-min/plotly-basic.min.js", { with: { type: "text" } })
    : await import("plotly.js-dist-min/plotly.min.js", { with: { type: "text" } });
  // Inside a script only these two end or change the parser's state; both stand in string literals, where \x3c is "<".
  return `<script>${source.replaceAll(/<(?=\/script|!--)/gi, "\\x3c")}</script>`;
}

/** A section of a page. @param words A sentence of explanation: `lead` above the content, `note` below it. */
export function section(title: string, html: string, { lead, note }: { lead?: string; note?: string } = {}): string {
  const words = (text: string | undefined, kind: string) =>
    text === undefined ? "" : `<p class="muted small ${kind}">${escapeHtml(text)}</p>`;
  return `<section><h2>${escapeHtml(title)}</h2>${words(lead, "lead")}${html}${words(note, "note")}</section>`;
}

/** Short facts about what made a page, for the line above its heading; {@linkcode CHIP_STYLE} sets them. */
export function chips(texts: readonly string[]): string {
  return `<p class="kicker">${texts.map((text) => `<span class="chip">${escapeHtml(text)}</span>`).join("")}</p>`;
}

/** How {@linkcode chips} look. */
export const CHIP_STYLE = `
.kicker { margin: 0 0 14px; display: flex; flex-wrap: wrap; gap: 8px; }
.chip { font-size: 13px; color: ${colors.muted}; background: #fff; border: 1px solid ${colors.line}; border-radius: 99px; padding: 2px 11px; }`;

/** A complete page. `head` and `body` are HTML already; the title is text. Nothing on it may be fetched from anywhere. */
export function page(title: string, head: string, body: string): string {
  const policy = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
${head}
</head>
<body>
${body}
</body>
</html>
`;
}

const PAGE_STYLE = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 ${fontStack}; color: ${colors.text}; background: #f6f7f9; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 72px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 12px; letter-spacing: -0.015em; }
h2 { font-size: 21px; margin: 44px 0 14px; letter-spacing: -0.01em; }
h3 { font-size: 16px; margin: 26px 0 8px; }
a { color: ${colors.rlvr}; }
code, pre { font-family: ${monoStack}; font-size: 0.87em; }
pre code { font-size: inherit; }
.card { background: #fff; border: 1px solid ${colors.line}; border-radius: 12px; padding: 18px 20px; }
.muted { color: ${colors.muted}; }
.small { font-size: 14px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 9px 12px; border-bottom: 1px solid ${colors.line}; vertical-align: top; }
th { font-size: 13px; font-weight: 600; color: ${colors.muted}; }
th:first-child, td:first-child { text-align: left; }
tbody tr:last-child td { border-bottom: 0; }
.scroll { overflow-x: auto; }
.figure { width: 100%; }
img { max-width: 100%; }
@media print { body { background: #fff; } main { padding: 0; } }
`;
