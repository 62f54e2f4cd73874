/**
 * A gallery of predicted clips: truth, base and RLVR playing in one GIF, so that they stay in step, and the same frames as
 * strips to look at in peace. Labels are HTML.
 */
import { pickFrames, type ShownClip, shrink, sideBySide, strip } from "./frames.ts";
import { encodeGif } from "./gif.ts";
import { escapeHtml } from "./html.ts";
import { dataUri, encodePng } from "./png.ts";

/**
 * One clip of the gallery.
 *
 * @internal
 */
export interface GalleryClip {
  /** What is seen: "Held-out clip 3 · push the red block". */
  label: string;
  /** A line under it, such as the clip's own numbers. */
  note?: string;
  /** Panels from left to right by their label, usually Truth, Base, RLVR; all of one size. */
  panels: Record<string, ShownClip>;
}

/**
 * Options of {@link galleryHtml}.
 *
 * @internal
 */
export interface GalleryOptions {
  /** Time a frame stays, in milliseconds; 250 unless told. */
  delayMs?: number;
  /** Frames a strip shows at most; 8 unless told. */
  stripFrames?: number;
}

/** Pixels that a panel is at least wide, so that small frames do not look lost when the image is saved from the page. */
const MIN_PANEL_WIDTH = 128;

/** Frames above these widths are averaged down: a page shows no more of them, and a report of 50 MB is no use. */
const MAX_PANEL_WIDTH = 256, MAX_STRIP_FRAME_WIDTH = 128;

/** The panels as one GIF. */
export function galleryGif(clip: GalleryClip, options: GalleryOptions = {}): Uint8Array {
  const panels = Object.values(clip.panels).map((panel) => shrink(panel, MAX_PANEL_WIDTH));
  const joined = sideBySide(panels);
  const scale = Math.max(1, Math.ceil(MIN_PANEL_WIDTH / panels[0].w));
  return encodeGif(joined.frames, joined.t, joined.h, joined.w, { delayMs: options.delayMs ?? 250, scale });
}

/** The gallery as HTML: a card with GIF and strips for every clip. */
export function galleryHtml(clips: readonly GalleryClip[], options: GalleryOptions = {}): string {
  const cards = clips.map((clip) => {
    const labels = Object.keys(clip.panels);
    const gif = dataUri("image/gif", galleryGif(clip, options));
    return `<figure class="card clip${labels.length > 3 ? " wide" : ""}">
<div class="panels" style="grid-template-columns:repeat(${labels.length},1fr)">${labels.map(panelLabel).join("")}</div>
<img class="${rendering(clip)}" src="${gif}" alt="${escapeHtml(`${clip.label}: ${labels.join(", ")} side by side`)}">
<figcaption><b>${escapeHtml(clip.label)}</b>${
      clip.note === undefined ? "" : `<span class="muted">${escapeHtml(clip.note)}</span>`
    }</figcaption>
</figure>`;
  });
  return `<div class="clips">${cards.join("\n")}</div>`;
}

/** Strips of the clips' frames over time, one row a panel. */
export function stripsHtml(clips: readonly GalleryClip[], options: GalleryOptions = {}): string {
  return clips.map((clip) => {
    const rows = Object.entries(clip.panels).map(([label, frames]) => {
      const image = strip(shrink(pickFrames(frames, options.stripFrames ?? 8), MAX_STRIP_FRAME_WIDTH));
      const png = dataUri("image/png", encodePng(image.frames, image.h, image.w));
      return `${panelLabel(label)}<img class="${rendering(clip)}" src="${png}" alt="${
        escapeHtml(`${clip.label}: ${label}`)
      }">`;
    });
    return `<figure class="card strip"><figcaption><b>${
      escapeHtml(clip.label)
    }</b><span class="muted">time →</span></figcaption>
<div class="rows">${rows.join("\n")}</div></figure>`;
  }).join("\n");
}

/** Small frames keep their pixels when a page enlarges them; large ones are shown near their size, where that would look rough. */
function rendering(clip: GalleryClip): "pixels" | "smooth" {
  return Object.values(clip.panels)[0].w <= 96 ? "pixels" : "smooth";
}

function panelLabel(label: string): string {
  const known = /^(truth|base|rlvr)\b/i.exec(label)?.[1].toLowerCase();
  return `<span class="panel ${known ?? ""}">${escapeHtml(label)}</span>`;
}

/** Style of the gallery; the page that uses it includes it once. */
export const GALLERY_STYLE = `
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 16px; }
figure { margin: 0; }
.clip { padding: 14px; }
.clip.wide { grid-column: 1 / -1; }
.panels { display: grid; gap: 2px; margin-bottom: 6px; }
.panel { font-size: 13px; font-weight: 600; display: inline-flex; align-items: center; gap: 6px; }
.panels .panel { justify-content: center; }
.panel::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: #cfd5df; }
.panel.truth::before { background: #1c2430; }
.panel.base::before { background: #98a2b3; }
.panel.rlvr::before { background: #1f6feb; }
.clip img, .strip img { display: block; width: 100%; border-radius: 4px; }
.pixels { image-rendering: pixelated; }
figcaption { display: flex; justify-content: space-between; gap: 12px; font-size: 14px; margin-top: 10px; flex-wrap: wrap; }
.strip { margin-bottom: 14px; }
.strip figcaption { margin: 0 0 8px; }
.rows { display: grid; grid-template-columns: auto 1fr; gap: 4px 14px; align-items: center; }
`;
