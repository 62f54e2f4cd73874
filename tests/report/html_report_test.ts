import assert from "node:assert/strict";
import { join } from "node:path";
import { frameClip } from "../../lib/report/frames.ts";
import { trainingCurve } from "../../lib/report/figures.ts";
import {
  escapeHtml,
  formatBytes,
  formatNumber,
  formatSeconds,
  plotlyScript,
  scriptJson,
} from "../../lib/report/html.ts";
import { headline, renderReport, type ReportContent, writeReport } from "../../lib/report/html_report.ts";
import type { RunResult } from "../../lib/report/result.ts";

const interval = (mean: number, half: number) => ({ mean, low: mean - half, high: mean + half, n: 64 });
const result: RunResult = {
  task: "train-video",
  preset: "demo",
  engine: "torch",
  device: "cpu",
  seed: 7,
  metrics: {
    LPIPS: {
      better: "lower",
      base: interval(0.2, 0.01),
      rlvr: interval(0.15, 0.01),
      difference: interval(-0.05, 0.004),
    },
    PSNR: { better: "higher", unit: "dB", base: interval(25, 1), rlvr: interval(24, 1), difference: interval(-1, 0.5) },
    SSIM: { better: "higher", base: interval(0.8, 0.1), rlvr: interval(0.81, 0.1), difference: interval(0.01, 0.05) },
  },
  seconds: { likelihood: 61, grpo: 7250 },
  peakMemoryBytes: 2_147_483_648,
};
const frames = (value: number) => frameClip(new Uint8Array(2 * 8 * 8 * 3).fill(value), 2, 8, 8);
const content: ReportContent = {
  title: "A run",
  result,
  curves: [{
    title: "Reward",
    caption: "higher is better",
    figure: trainingCurve(
      [{ name: "run", records: [1, 2].map((step) => ({ stage: "grpo", step, reward: step })) }],
      "reward",
    ),
  }],
  clips: [1, 2].map((i) => ({
    label: `Clip ${i}`,
    note: "a note",
    panels: { Truth: frames(10), Base: frames(90), RLVR: frames(20) },
  })),
  tables: [{ title: "Reward parts", columns: ["Part", "Weight"], rows: [["MAE", 1.5]] }],
  config: { grpo: { groupSize: 16, levels: [7, 5] }, empty: {} },
  environment: { deno: "2.9.6" },
};

/** The page without scripts and images' bytes: what is left is what this project wrote. */
const markup = (html: string) => html.replaceAll(/<script>[\s\S]*?<\/script>/g, "").replaceAll(/base64,[^"]*/g, "");

Deno.test("the report holds the numbers, their direction and the verdict", async () => {
  const html = markup(await renderReport(content));
  assert.match(html, /<h1>A run<\/h1>/);
  const row = (name: string) => html.split("<tr>").find((part) => part.includes(`<b>${name}</b>`))!;
  assert.match(row("LPIPS"), /lower is better">↓/);
  assert.match(row("LPIPS"), /0\.200\d*<span class="range">0\.190\d* … 0\.210/);
  assert.match(row("LPIPS"), /class="pill better">\+25\.0 %/);
  assert.match(row("PSNR"), /dB[\s\S]*class="pill worse">−4 %/);
  assert.match(row("SSIM"), /class="pill unclear">\+1\.25 %/);
  assert.match(html, /2 h 01 min/);
  assert.match(html, /2\.0 GiB/);
  assert.match(html, /<code>grpo\.groupSize<\/code><\/td><td><code>16</);
  assert.match(html, /<code>grpo\.levels<\/code><\/td><td><code>\[7,5\]</);
  assert.match(html, /<td>MAE<\/td><td>1\.500<\/td>/);
});

Deno.test("the report holds one GIF a clip and one strip a panel", async () => {
  const html = await renderReport(content);
  assert.equal(html.match(/data:image\/gif;base64,R0lGODlh/g)?.length, 2);
  assert.equal(html.match(/data:image\/png;base64,iVBORw0KGgo/g)?.length, 6);
});

Deno.test("the headline is one true sentence", () => {
  assert.equal(
    headline(result),
    "Reinforcement learning on the metric itself lowers LPIPS from 0.2000 to 0.1500 (25.0 % better; " +
      "the 95 % interval of the difference excludes zero), on 64 held-out items.",
  );
  assert.match(headline(result, "PSNR"), /lowers PSNR from 25 to 24 dB \(4 % worse; .* excludes zero\)/);
  assert.match(headline(result, "SSIM"), /raises SSIM .*1\.25 % better; .* includes zero\)/);
  assert.equal(headline({ ...result, metrics: {} }), "This run has not been evaluated.");
});

Deno.test("the page fetches nothing, and its policy forbids it", async () => {
  const html = await renderReport(content);
  assert.match(html, /Content-Security-Policy" content="default-src 'none'; img-src data: blob:;/);
  assert.doesNotMatch(markup(html), /(src|href)="(?!data:)/);
  assert.doesNotMatch(markup(html), /url\(|@import|<link/);
  assert.equal(html.match(/plotly\.js \(basic - minified\)/g)?.length, 1);
});

Deno.test("values that hold markup stay text, wherever they stand", async () => {
  const hostile = `</script></style><script>alert(1)</script><img src=x onerror='alert(2)'>"`;
  const html = await renderReport({
    ...content,
    title: hostile,
    summary: hostile,
    result: {
      ...result,
      task: hostile,
      device: hostile,
      metrics: { [hostile]: { ...result.metrics.LPIPS, unit: hostile } },
    },
    curves: [{
      ...content.curves![0],
      title: hostile,
      caption: hostile,
      figure: { data: [{ name: hostile }], layout: {} },
    }],
    clips: [{ label: hostile, note: hostile, panels: { [hostile]: frames(1) } }],
    tables: [{ title: hostile, caption: hostile, columns: [hostile], rows: [[hostile]] }],
    config: { [hostile]: hostile, list: [hostile] },
    environment: hostile,
  });
  const clean = await renderReport(content);
  const count = (text: string, what: RegExp) => text.match(what)?.length ?? 0;
  // One script for plotly.js and one a figure (overview of two, one curve), as in the clean report.
  assert.equal(count(html, /<script\b/gi), count(clean, /<script\b/gi));
  assert.equal(count(html, /<\/script/gi), count(clean, /<\/script/gi));
  assert.equal(count(html, /<\/style/gi), count(clean, /<\/style/gi));
  assert.doesNotMatch(markup(html), /<img src=x|onerror='/);
  assert.equal(JSON.parse(scriptJson(hostile)), hostile);
  assert.equal(escapeHtml(`<&>"'`), "&lt;&amp;&gt;&quot;&#39;");
});

Deno.test("a report without figures, clips and metrics has no empty sections and no plotly.js", async () => {
  const html = await renderReport({ title: "Empty", result: { ...result, metrics: {} } });
  assert.deepEqual([...html.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, title]) => title), ["Run"]);
  assert.ok(html.length < 10_000);
});

Deno.test("plotly.js comes as the small bundle where that will do, and parses inside a page", async () => {
  const small = await plotlyScript([{ data: [{ type: "scatter" }, { type: "bar" }], layout: {} }]);
  const full = await plotlyScript([{ data: [{ type: "heatmap" }], layout: {} }]);
  assert.ok(small.length < 1.5e6 && full.length > 3e6);
  for (const script of [small, full]) {
    const body = script.slice("<script>".length, -"</script>".length);
    assert.doesNotMatch(body, /<\/script|<!--/i);
    new Function(body); // throws where the escaping broke the code
  }
});

Deno.test("writing replaces an older report as a whole and makes the folder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "run", "report.html");
    await writeReport(path, { title: "First", result });
    await writeReport(path, { title: "Second", result });
    assert.match(await Deno.readTextFile(path), /<h1>Second<\/h1>/);
    assert.deepEqual([...Deno.readDirSync(join(folder, "run"))].map(({ name }) => name), ["report.html"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("numbers, times and sizes are written for people", () => {
  const numbers = [0.12345, 12.3456, 1234.56, 1234567, 0, 5, -0.5, 0.00001234, NaN, Infinity, 2e12];
  assert.deepEqual(numbers.map((value) => formatNumber(value)), [
    ...["0.1235", "12.35", "1,235", "1,234,567", "0", "5", "−0.5000", "1.23e−5", "—", "∞", "2.00e+12"],
  ]);
  assert.deepEqual([0.04, 7.25, 59.96, 61, 3599.7, 7260].map(formatSeconds), [
    ...["0.0 s", "7.3 s", "1 min 00 s", "1 min 01 s", "1 h 00 min", "2 h 01 min"],
  ]);
  assert.deepEqual([12, 2048, 5e8, 2.4e9].map(formatBytes), ["12 B", "2.0 KiB", "477 MiB", "2.2 GiB"]);
});

Deno.test("a column with long text is set as text, in every row", async () => {
  const long = "{'modified': []} ".repeat(9);
  const tables = [{
    title: "Answers",
    columns: ["Said by", "Answer", "Reward"],
    rows: [["A", long, 1], ["B", "x", 0]],
  }];
  const html = await renderReport({ title: "Long", result: { ...result, metrics: {} }, tables });
  assert.match(html, /<th>Said by<\/th><th class="long">Answer<\/th><th>Reward<\/th>/);
  assert.match(html, /<td>A<\/td><td class="long">[^<]+<\/td><td>1<\/td>/);
  assert.match(html, /<td>B<\/td><td class="long">x<\/td><td>0<\/td>/);
});
