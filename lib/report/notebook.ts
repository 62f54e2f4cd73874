/**
 * Showing things in a Deno Jupyter notebook: figures, images, clips, tables, text that updates. Outside a notebook the same
 * calls do nothing, so that code can be shared between a notebook and a task. None returns a value: as a cell's last
 * expression it would be shown a second time.
 *
 * The kernel may drop an output that is published in a cell's last moment, and corrupts messages above about 4 MB. So every
 * function here waits a little after showing, and refuses outputs above 2 MB. Await them all.
 */
import { Buffer } from "node:buffer";
import { type ShownClip, shrink, upscale } from "./frames.ts";
import type { PlotlyFigure } from "./figures.ts";
import { GALLERY_STYLE, type GalleryClip, galleryHtml, type GalleryOptions } from "./gallery.ts";
import { encodeGif } from "./gif.ts";
import { formatNumber, longColumns } from "./html.ts";
import { encodePng } from "./png.ts";
import { relativeImprovement, type RunResult } from "./result.ts";
import { alignedText, intervalText, tableHtml } from "./tables.ts";
import { monoStack } from "./theme.ts";

/** Content of an output by MIME type, in one form or several. */
export type MimeBundle = Record<string, unknown>;

/** Bytes of one output above which it is refused. */
export const MAX_OUTPUT_BYTES = 2_000_000;

/** Whether this code runs inside the Deno Jupyter kernel. */
export function inNotebook(): boolean {
  try {
    return typeof Deno.jupyter?.broadcast === "function";
  } catch {
    return false; // outside a kernel already the access throws
  }
}

/**
 * Shows one output under the cell, given in several forms by MIME type; a front end takes the richest that it can draw.
 *
 * @param id Outputs shown again with the same id replace each other when `update` is set.
 * @throws {RangeError} when the output is above {@link MAX_OUTPUT_BYTES}, in a notebook or not.
 */
export async function show(bundle: MimeBundle, id?: string, update = false): Promise<void> {
  const bytes = Buffer.byteLength(JSON.stringify(bundle));
  if (bytes > MAX_OUTPUT_BYTES) {
    throw new RangeError(
      `one output may hold ${MAX_OUTPUT_BYTES / 1e6} MB: received ${(bytes / 1e6).toFixed(1)} MB (${
        Object.keys(bundle).join(", ")
      }); show fewer or smaller frames, or fewer points`,
    );
  }
  if (!inNotebook()) return;
  await Deno.jupyter.broadcast(update ? "update_display_data" : "display_data", {
    data: bundle,
    metadata: {},
    transient: id === undefined ? {} : { display_id: id },
  });
  // 20 ms save small outputs from being lost at a cell's end, 150 ms one of 1 MB (both measured).
  await new Promise((resolve) => setTimeout(resolve, 20 + 130 * bytes / 1e6));
}

/** Shows a figure by its MIME type: JupyterLab and VS Code draw it themselves, a rendered page brings plotly.js once. */
export async function showFigure(figure: PlotlyFigure): Promise<void> {
  await show(figureBundle(figure));
}

/** Shows the frame of a clip of one frame, or its first, as PNG; small frames are enlarged to about 256 pixels. */
export async function showImage(image: ShownClip): Promise<void> {
  const { frames, h, w } = enlarge({ ...image, t: 1, frames: image.frames.subarray(0, image.h * image.w * 3) });
  const png = encodePng(frames, h, w);
  await show({ "image/png": Buffer.from(png).toString("base64"), "text/plain": `[image ${image.w} × ${image.h}]` });
}

/**
 * Shows a picture that is a PNG already: a screenshot.
 *
 * @throws {RangeError} When it is none.
 */
export async function showPng(png: Uint8Array): Promise<void> {
  const isPng = png.length > 24 && [0x89, 0x50, 0x4e, 0x47].every((byte, i) => png[i] === byte);
  if (!isPng) throw new RangeError(`png must be the bytes of a PNG: received ${png.length} bytes of something else`);
  // The header's first fields, right behind the signature.
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const size = `${view.getUint32(16)} × ${view.getUint32(20)}`;
  await show({ "image/png": Buffer.from(png).toString("base64"), "text/plain": `[image ${size}]` });
}

/** Shows a clip as a GIF; small frames are enlarged to about 256 pixels. */
export async function showClip(clip: ShownClip, options: { delayMs?: number } = {}): Promise<void> {
  const { frames, t, h, w } = enlarge(clip);
  const gif = encodeGif(frames, t, h, w, options);
  // An <img> in HTML: not every front end takes image/gif as a form of its own.
  const source = `data:image/gif;base64,${Buffer.from(gif).toString("base64")}`;
  await show({
    "text/html": `<img src="${source}" alt="clip">`,
    "text/plain": `[clip of ${t} frames, ${clip.w} × ${clip.h}]`,
  });
}

/** Shows clips as in the report: truth, base and RLVR side by side under their labels, one output a clip. */
export async function showGallery(clips: readonly GalleryClip[], options: GalleryOptions = {}): Promise<void> {
  for (const clip of clips) {
    const panels = Object.keys(clip.panels).length;
    const html = `<style>${GALLERY_STYLE}</style><div style="max-width:${panels * 220}px">${
      galleryHtml([clip], options)
    }</div>`;
    await show({ "text/html": html, "text/plain": `[${clip.label}: ${Object.keys(clip.panels).join(" | ")}]` });
  }
}

const LONG_CELL = ` style="text-align:left;font:12.5px/1.5 ${
  monoStack.replaceAll('"', "'")
};white-space:pre-wrap;overflow-wrap:anywhere"`;

/** Shows rows as a table; numbers are printed with four digits. */
export async function showTable(
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): Promise<void> {
  const cells = rows.map((row) => row.map((value) => typeof value === "number" ? formatNumber(value) : value));
  // Said cell by cell: front ends set tables to the right and keep no style sheet of ours.
  const styles = longColumns(cells).map((isLong) => isLong ? LONG_CELL : "");
  const text = alignedText([columns, ...cells], "right");
  await show({ "text/html": tableHtml(columns, cells, styles), "text/plain": text });
}

/** Shows the metrics of a run, base against RLVR, with their 95 % intervals. */
export function showResult(result: RunResult): Promise<void> {
  const rows = Object.entries(result.metrics).map(([name, metric]) => {
    const share = 100 * relativeImprovement(metric);
    const [base, rlvr] = [metric.base, metric.rlvr].map((each) => intervalText(each, (value) => formatNumber(value)));
    const label = `${name}${metric.unit ? ` (${metric.unit})` : ""} ${metric.better === "lower" ? "↓" : "↑"}`;
    const percent = Number.isFinite(share) ? `${share > 0 ? "+" : ""}${formatNumber(share, 3)} %` : "—";
    return [label, base, rlvr, percent, metric.rlvr.n];
  });
  return showTable(["Metric", "Base", "RLVR", "Improvement", "Items"], rows);
}

/**
 * A line of text that replaces itself: the first call shows it, later ones update it. What `notebookProgress` writes to.
 *
 * @param id Unlike any other in this notebook; made up unless told.
 */
export function updatingText(id: string = crypto.randomUUID()): (text: string) => Promise<void> {
  let shown = false;
  return async (text) => {
    const update = shown;
    shown = true;
    await show({ "text/plain": text }, id, update);
  };
}

/**
 * A figure that replaces itself, for a curve that grows while a cell runs: the first call shows it, later ones update it.
 *
 * @param id Unlike any other in this notebook; made up unless told.
 */
export function updatingFigure(id: string = crypto.randomUUID()): (figure: PlotlyFigure) => Promise<void> {
  let shown = false;
  return async (figure) => {
    const update = shown;
    shown = true;
    await show(figureBundle(figure), id, update);
  };
}

function figureBundle(figure: PlotlyFigure): MimeBundle {
  const title = (figure.layout.title as { text?: string } | undefined)?.text ?? "";
  return { "application/vnd.plotly.v1+json": { ...figure }, "text/plain": `[figure${title && `: ${title}`}]` };
}

function enlarge(clip: ShownClip): ShownClip {
  const small = shrink(clip, 640);
  return upscale(small, Math.max(1, Math.floor(256 / small.w)));
}
