/**
 * What notebooks and reports show: figures, tables, clips of frames, and how sure a number is.
 *
 * `show…` functions put something under a notebook's cell (in Jupyter with Deno's kernel, or in pages that `deno task report` makes);
 * `updating…` ones give a place that is written over while something is trained. Figures are Plotly's JSON, clips are frames
 * [T, H, W, 3] of bytes. Intervals are bootstrapped by groups (episodes, tasks), so that what belongs together is not counted as
 * independent.
 *
 * @example How sure a mean over clips of episodes is, and a curve of a log.
 * ```ts
 * import { meanInterval, pairedDifference, trainingCurve } from "@rlvr-world/rlvr-world/report";
 *
 * const groups = [0, 0, 1, 1, 2, 2, 3, 3]; // the episode of each clip
 * const base = Float64Array.of(3, 4, 2, 3, 5, 4, 3, 4), rlvr = Float64Array.of(2, 3, 2, 2, 4, 3, 3, 3);
 * const { mean, low, high } = meanInterval(base, { groups });
 * console.log(`${mean} [${low}, ${high}]`);
 * const difference = pairedDifference(base, rlvr, { groups });
 * console.log(`RLVR − base: ${difference.mean} [${difference.low}, ${difference.high}]`);
 *
 * const records = Array.from({ length: 50 }, (_, step) => ({ stage: "grpo", step, reward: 1 - Math.exp(-step / 10) }));
 * const figure = trainingCurve([{ name: "seed 0", records }], "reward", { yTitle: "Mean reward" });
 * console.log(`${figure.data.length} lines to be drawn by Plotly`);
 * ```
 *
 * @module
 */

// Shown in a notebook
export {
  showClip,
  showFigure,
  showGallery,
  showPng,
  showResult,
  showTable,
  updatingFigure,
  updatingText,
} from "./report/notebook.ts";
export { notebookProgress } from "./runs/progress.ts";

// Figures and clips
export { bestOfNFigure, groupSizeFigure, horizonFigure, trainingCurve } from "./report/figures.ts";
export { heatMaps } from "./report/heat_maps.ts";
export { errorMap, frameClip, strip, toBytes } from "./report/frames.ts";

// Numbers with their uncertainty
export { meanInterval, pairedDifference } from "./report/intervals.ts";
export type { Interval } from "./report/result.ts";
