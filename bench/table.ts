/** The table that people read. */
import type { Measurement, PeakMemory, Spread } from "./measure.ts";

/** The machine's limits, as measured in the same run. */
export interface Ceilings {
  /** Floating-point operations a second of a large float32 product. */
  flopsPerSecond: number;
  /** Bytes a second of a large copy, read and written. */
  bytesPerSecond: number;
}

/** One row a case: both times, their ratio, the goal, the share of the machine's limit, peak memory. */
export function formatTable(measurements: readonly Measurement[], ceilings: Ceilings | undefined): string {
  const rows = measurements.map((each) => [
    each.title,
    speedText(each, each.ours),
    each.theirs ? speedText(each, each.theirs) + (each.against ? ` (ours, ${each.against})` : "") : "—",
    each.ratio ? `${each.ratio.median.toFixed(2)}×` : "—",
    goalText(each),
    ceilings ? limitText(each, ceilings) : "",
    each.memory ? memoryText(each.memory.ours, each.memory.theirs) + loadedText(each) : "",
  ]);
  const header = ["", "ours", "PyTorch", "PyTorch / ours", "goal", "of the machine's limit", "peak memory (idle)"];
  return alignColumns([header, ...rows]);
}

/** Time of a run or of one operator; frames per second where a run makes frames. */
export function speedText(
  { operators, frames }: Pick<Measurement, "operators" | "frames">,
  { median }: Spread,
): string {
  if (frames !== undefined) return `${(frames / median).toPrecision(3)} frames/s`;
  return formatTime(median / (operators ?? 1));
}

/** `12.3 ms`. */
export function formatTime(seconds: number): string {
  for (const [unit, scale] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]] as const) {
    if (seconds >= scale || unit === "µs") return `${(seconds / scale).toPrecision(3)} ${unit}`;
  }
  return `${seconds} s`;
}

function goalText({ ratio, goal }: Measurement): string {
  if (goal === undefined) return "";
  if (!ratio) return `≥ ${goal}×`;
  return `≥ ${goal}× ${ratio.median >= goal ? "reached" : "MISSED"}`;
}

function limitText({ ours, flops, bytes }: Measurement, ceilings: Ceilings): string {
  const share = (rate: number, limit: number) => `${Math.round(100 * rate / limit)} %`;
  if (flops !== undefined) {
    const rate = flops / ours.median;
    return `${share(rate, ceilings.flopsPerSecond)} (${(rate / 1e9).toPrecision(3)} GFLOP/s)`;
  }
  if (bytes !== undefined) {
    const rate = bytes / ours.median;
    return `${share(rate, ceilings.bytesPerSecond)} (${(rate / 1e9).toPrecision(3)} GB/s)`;
  }
  return "";
}

function memoryText(ours: PeakMemory, theirs: PeakMemory | undefined): string {
  const text = ({ peakBytes, idleBytes }: PeakMemory) =>
    peakBytes === null || idleBytes === null ? "?" : `${megabytes(peakBytes)} (${megabytes(idleBytes)})`;
  return `${text(ours)} / ${theirs ? text(theirs) : "—"} MB`;
}

/** `; 1.04 / 1.10 × the 3088 MB loaded, ≤ 1.1 reached`: peak less idle. */
function loadedText({ memory, loaded }: Measurement): string {
  if (!loaded) return "";
  const share = ({ peakBytes, idleBytes }: PeakMemory) =>
    peakBytes === null || idleBytes === null ? NaN : (peakBytes - idleBytes) / loaded.bytes;
  const text = (value: number) => Number.isNaN(value) ? "?" : value.toFixed(2);
  const ours = share(memory!.ours), { memoryGoal } = loaded;
  const verdict = memoryGoal === undefined || Number.isNaN(ours)
    ? ""
    : `, ≤ ${memoryGoal} ${ours <= memoryGoal ? "reached" : "MISSED"}`;
  const theirs = memory!.theirs ? text(share(memory!.theirs)) : "—";
  return `; ${text(ours)} / ${theirs} × the ${megabytes(loaded.bytes)} MB loaded${verdict}`;
}

function megabytes(bytes: number): string {
  return Math.round(bytes / 1e6).toString();
}

/** Text columns, the first on the left, the others on the right. */
function alignColumns(rows: readonly string[][]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => [...row[i]].length)));
  const pad = (text: string, i: number) => {
    const space = " ".repeat(widths[i] - [...text].length);
    return i === 0 ? text + space : space + text;
  };
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
