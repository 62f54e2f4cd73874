import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { frameClip } from "../../lib/report/frames.ts";
import {
  inNotebook,
  show,
  showClip,
  showFigure,
  showImage,
  showPng,
  showTable,
  updatingFigure,
  updatingText,
} from "../../lib/report/notebook.ts";
import { joinLines } from "../../lib/notebooks/notebook_file.ts";
import { runNotebook } from "../../lib/notebooks/notebook_runner.ts";

const here = dirname(fileURLToPath(import.meta.url));
const image = frameClip(new Uint8Array(3 * 8 * 8 * 3).fill(77), 3, 8, 8);

// deno-lint-ignore no-explicit-any
async function outputs(...sources: string[]): Promise<any[][]> {
  const head =
    'import * as report from "../../lib/report/notebook.ts";\nimport { frameClip } from "../../lib/report/frames.ts";';
  const cells = [head, ...sources].map((source) => ({ cell_type: "code" as const, source, metadata: {} }));
  const { notebook, failure } = await runNotebook({ nbformat: 4, cells }, { cwd: here, timeoutSeconds: 30 });
  assert.equal(failure, undefined, JSON.stringify(failure));
  return notebook.cells.slice(1).map((cell) => cell.outputs!);
}

Deno.test("outside a notebook the same calls do nothing", async () => {
  assert.equal(inNotebook(), false);
  const figure = { data: [], layout: {} };
  const values = [
    await showFigure(figure),
    await showTable(["name"], [["a"]]),
    await showImage(image),
    await showClip(image),
    await updatingFigure()(figure),
    await updatingText()("x"),
  ];
  assert.deepEqual(values, Array(6).fill(undefined));
});

Deno.test("an output above 2 MB is refused, outside a notebook too", async () => {
  await assert.rejects(
    show({ "text/plain": "x".repeat(2_100_000) }),
    /RangeError: one output may hold 2 MB: received 2\.1 MB \(text\/plain\); show fewer or smaller frames, or fewer points/,
  );
});

Deno.test("a screenshot is shown as it is; what is no PNG is refused", async () => {
  const png = await sharp({ create: { width: 5, height: 3, channels: 3, background: "red" } }).png().toBuffer();
  const [[shown]] = await outputs(`await report.showPng(Uint8Array.fromBase64("${png.toString("base64")}"));`);
  assert.deepEqual(shown.data["image/png"].replaceAll(/\s/g, ""), png.toString("base64"));
  assert.equal(joinLines(shown.data["text/plain"]), "[image 5 × 3]");
  await assert.rejects(
    showPng(new TextEncoder().encode("GIF89a")),
    /RangeError: png must be the bytes of a PNG: received 6 bytes of something else/,
  );
});

Deno.test("in a notebook figures, images, clips and tables appear in the forms that front ends draw", async () => {
  const [figures, images, clips, tables] = await outputs(
    "await report.showFigure({ data: [{ type: 'scatter', y: [1, 2] }], layout: { title: { text: 'T' } } });",
    "const c = frameClip(new Uint8Array(2 * 4 * 4 * 3).fill(9), 2, 4, 4);\nawait report.showImage(c);",
    "await report.showClip(c); await report.showGallery([{ label: 'one <b>', panels: { Truth: c, Base: c } }]);",
    "await report.showTable(['m', 'v'], [['<b>', 0.5], ['long name', 12]])",
  );
  assert.deepEqual(figures[0].data["application/vnd.plotly.v1+json"].data, [{ type: "scatter", y: [1, 2] }]);
  assert.equal(joinLines(figures[0].data["text/plain"]), "[figure: T]");
  const png = await sharp(Buffer.from(images[0].data["image/png"], "base64")).metadata();
  assert.deepEqual([png.format, png.width], ["png", 256]);
  const [, gifBytes] = /<img src="data:image\/gif;base64,([^"]*)"/.exec(clips[0].data["text/html"])!;
  const gif = await sharp(Buffer.from(gifBytes, "base64"), { animated: true }).metadata();
  assert.deepEqual([gif.format, gif.pages, gif.width], ["gif", 2, 256]);
  assert.match(clips[1].data["text/html"], /Truth[\s\S]*Base[\s\S]*one &lt;b&gt;/);
  assert.match(tables[0].data["text/html"], /<td>&lt;b&gt;<\/td><td>0\.5000<\/td>/);
  assert.equal(joinLines(tables[0].data["text/plain"]), "m               v\n<b>        0.5000\nlong name      12");
  assert.deepEqual([figures, images, clips, tables].map((list) => list.length), [1, 1, 2, 1]);
});

Deno.test("the updating text is one output that ends with its last state", async () => {
  const [shown] = await outputs(
    'const text = report.updatingText();\nfor (let i = 0; i <= 5; i++) await text(`step ${i}`);\nconsole.log("after")',
  );
  assert.equal(shown.length, 2);
  assert.equal(shown[0].data["text/plain"], "step 5");
});

Deno.test("a figure that updates replaces itself", async () => {
  const [shown] = await outputs(
    "const live = report.updatingFigure();\nfor (let i = 0; i < 3; i++) await live({ data: [{ y: [i] }], layout: {} });",
  );
  assert.equal(shown.length, 1);
  assert.deepEqual(shown[0].data["application/vnd.plotly.v1+json"].data, [{ y: [2] }]);
});

Deno.test("a refused output is an error of its cell", async () => {
  const [shown] = await outputs(
    'try { await report.show({ "text/plain": "x".repeat(3e6) }) } catch (error) { console.log(error.message) }',
  );
  assert.match(joinLines(shown[0].text), /^one output may hold 2 MB: received 3\.0 MB/);
});
