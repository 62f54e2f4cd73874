/** Colours and type shared by figures, reports and rendered notebooks, so that a series looks the same everywhere. */

/** Colours of the things that are compared, told apart by lightness too, for readers who do not see hue and for grey print. */
export const colors = {
  text: "#1c2430",
  muted: "#667085",
  line: "#e3e7ee",
  truth: "#1c2430",
  base: "#98a2b3",
  rlvr: "#1f6feb",
  good: "#127a4b",
  bad: "#b42318",
} as const;

/** Colours of runs that have no fixed meaning, in the order in which they are used. */
export const runColors = [
  "#1f6feb",
  "#e07a1f",
  "#127a4b",
  "#a3399b",
  "#b42318",
  "#0f8b9d",
  "#7a5c1e",
  "#4b5563",
] as const;

/** The system's own sans-serif face: nothing is fetched. */
export const fontStack =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial, sans-serif';

/** The system's own fixed-width face. */
export const monoStack = 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace';
