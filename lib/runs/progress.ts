/**
 * How far a run is: one line that rewrites itself in a terminal, plain lines in a log, one updating output in a notebook.
 *
 * Training code knows only the interface. Where text goes is the caller's business: each implementation is given a writer
 * and a clock, and prints nothing by itself.
 */
import { visible } from "../base/user_error.ts";

/**
 * Values shown beside the progress, by name: numbers are shortened, text is shown as it is.
 *
 * @internal
 */
export type ProgressMetrics = Record<string, number | string>;

/** Where training code reports to. */
export interface Progress {
  /** Begins a stage of `total` steps (Infinity when that is not known); ends the stage before. */
  stage(name: string, total: number, options?: {
    /** What is counted, in the plural; "steps" unless told. */
    unit?: string;
    /** The step at which a resumed stage goes on; 0 unless told. */
    start?: number;
  }): void;
  /** Says that `n` steps of the stage are done. */
  step(n: number, metrics?: ProgressMetrics): void;
  /** A line that stays: a checkpoint was saved, a group was dropped. */
  note(line: string): void;
  /** Ends the last stage. The object may be used again. */
  done(): void;
}

/** Takes text as it is; line ends are part of it. */
export type TextWriter = (text: string) => void;

/**
 * What all implementations are given.
 *
 * @internal
 */
export interface ProgressOptions {
  /** Milliseconds that only grow; `performance.now` unless told. */
  now?: () => number;
}

/** A progress that says nothing. */
export const silentProgress: Progress = { stage() {}, step() {}, note() {}, done() {} };

/** Options of {@link terminalProgress}. */
export interface TerminalOptions extends ProgressOptions {
  /** Width of the terminal in characters, asked at each drawing; 100 unless told. */
  columns?: () => number;
  /** Whether colours may be used; false when the environment has NO_COLOR. */
  color?: boolean;
}

/** Milliseconds between two drawings: more often than the eye needs costs time on slow terminals. */
const TERMINAL_MS = 100, NOTEBOOK_MS = 500;

/** One line that rewrites itself: bar, percentage, metrics, steps a second, time left. A finished stage leaves its last line. */
export function terminalProgress(write: TextWriter, options: TerminalOptions = {}): Progress {
  const { now = () => performance.now(), columns = () => 100, color = false } = options;
  let drawnAt = -Infinity, drawn = false;
  const draw = (stage: StageState, final: boolean) => {
    // A line that wraps cannot be rewritten; the terminal itself adds "^C".
    const { line, head, bar } = fit(stage, { final, now: now(), width: Math.max(20, columns() - 3) });
    const painted = color ? paint(line, head, bar) : line;
    write(`\r\x1b[K${painted}${final ? "\n" : ""}`);
    drawn = !final;
    drawnAt = now();
  };
  return stagedProgress(now, {
    begin: (stage) => draw(stage, false),
    step: (stage) => (now() - drawnAt >= TERMINAL_MS || stage.n >= stage.total) && draw(stage, false),
    note: (line, stage) => {
      write(`${drawn ? "\r\x1b[K" : ""}${line}\n`);
      if (stage) draw(stage, false);
    },
    end: (stage) => draw(stage, true),
  });
}

/** Options of {@link plainProgress}. */
export interface PlainOptions extends ProgressOptions {
  /** Least seconds between two lines of a stage; 5 unless told. */
  everySeconds?: number;
  /** Share of a stage after which a line is due even if little time has passed since the last; 0.1 unless told. */
  everyShare?: number;
}

/**
 * Lines for logs and pipes: one when a stage begins, one when it ends, and between them one every few seconds or tenth of
 * the stage, whichever comes later, but at least one a minute.
 */
export function plainProgress(write: TextWriter, options: PlainOptions = {}): Progress {
  const { now = () => performance.now(), everySeconds = 5, everyShare = 0.1 } = options;
  let writtenAt = 0, writtenN = 0;
  const print = (stage: StageState, final = false) => {
    const { name, position, values, tail } = describe(stage, final, now());
    write(joined(name, position, ...values, ...tail) + "\n");
    writtenAt = now();
    writtenN = stage.n;
  };
  return stagedProgress(now, {
    begin: (stage) => {
      const total = Number.isFinite(stage.total) ? `${stage.total} ${stage.unit}` : stage.unit;
      write(`${stage.name}: ${total}${stage.start > 0 ? `, going on after ${stage.start}` : ""}\n`);
      writtenAt = now();
      writtenN = stage.start;
    },
    step: (stage) => {
      const seconds = (now() - writtenAt) / 1000;
      const share = Number.isFinite(stage.total) ? (stage.n - writtenN) / stage.total : 1;
      if (seconds >= everySeconds && (share >= everyShare - 1e-9 || seconds >= 60)) print(stage);
    },
    note: (line) => write(`${line}\n`),
    end: (stage) => print(stage, true),
  });
}

/**
 * One updating output in a notebook: a line for every stage, and the latest notes below them.
 *
 * @param display Shows the text in place of what it showed before (see `updatingText` in `lib/report/notebook.ts`). Its
 * promise is not awaited by the training loop; updates that come while one is under way wait, and only the latest is shown.
 */
export function notebookProgress(
  display: (text: string) => Promise<void>,
  options: ProgressOptions = {},
): Progress & { flush(): Promise<void> } {
  const { now = () => performance.now() } = options;
  const lines: string[] = [], notes: string[] = [];
  let drawnAt = -Infinity, waiting: string | undefined, running: Promise<void> | undefined;
  const pump = async () => {
    while (waiting !== undefined) {
      const text = waiting;
      waiting = undefined;
      await display(text);
    }
    running = undefined;
  };
  const draw = (stage: StageState | undefined, final: boolean) => {
    if (stage) {
      const { name, position, values, tail } = describe(stage, final, now());
      lines[lines.length - 1] = joined(name, position, final ? "" : barText(stage, 24), ...values, ...tail);
    }
    drawnAt = now();
    waiting = [...lines, ...notes].join("\n");
    running ??= pump();
  };
  const progress = stagedProgress(now, {
    begin: (stage) => {
      lines.push("");
      draw(stage, false);
    },
    step: (stage) => now() - drawnAt >= NOTEBOOK_MS && draw(stage, false),
    note: (line, stage) => {
      notes.push(line);
      if (notes.length > 5) notes.shift();
      draw(stage, false);
    },
    end: (stage) => draw(stage, true),
  });
  return {
    ...progress,
    /** Waits until the last state is shown; await it at the end of the cell. */
    flush: async () => void await running,
  };
}

/** What is known of the stage under way. */
interface StageState {
  name: string;
  unit: string;
  start: number;
  total: number;
  n: number;
  metrics: ProgressMetrics;
  beganAt: number;
  /** (time, n) of recent steps, oldest first: the rate is theirs, so that it follows a change of speed. */
  recent: { at: number; n: number }[];
}

interface StageHandlers {
  begin(stage: StageState): void;
  step(stage: StageState): void;
  note(line: string, stage: StageState | undefined): void;
  end(stage: StageState): void;
}

/** The bookkeeping that all implementations share: which stage is open, what was seen last. */
function stagedProgress(now: () => number, handlers: StageHandlers): Progress {
  let stage: StageState | undefined;
  const done = () => {
    const ended = stage;
    stage = undefined;
    if (ended) handlers.end(ended);
  };
  return {
    stage(name, total, { unit = "steps", start = 0 } = {}) {
      if (!(total >= 0)) {
        throw new RangeError(`total of stage ${JSON.stringify(name)} must be 0 or more: received ${total}`);
      }
      done();
      const beganAt = now();
      stage = { name, unit, start, total, n: start, metrics: {}, beganAt, recent: [{ at: beganAt, n: start }] };
      handlers.begin(stage);
    },
    step(n, metrics = {}) {
      if (!stage) throw new Error("progress: step() before stage()");
      stage.n = n;
      stage.metrics = { ...stage.metrics, ...metrics };
      remember(stage, now());
      handlers.step(stage);
    },
    // Pages, servers and files have their words in notes.
    note: (line) => handlers.note(line.split("\n").map(visible).join("\n"), stage),
    done,
  };
}

/** Keeps steps of the last 30 s (and always two), thinned out so that fast loops do not pile them up. */
function remember({ recent, n }: StageState, at: number): void {
  const last = recent.at(-1)!;
  if (recent.length > 1 && at - recent[recent.length - 2].at < 250) Object.assign(last, { at, n });
  else recent.push({ at, n });
  while (recent.length > 2 && at - recent[1].at > 30_000) recent.shift();
}

/** What there is to say of a stage. */
interface Description {
  name: string;
  /** Percentage and step, such as `12 %  12/100`. */
  position: string;
  /** Name and value of each metric, the more important first. */
  values: string[];
  /** Speed, and the time left or taken. */
  tail: string[];
}

const GAP = "  ";

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== "").join(GAP);
}

/**
 * One line of at most `width` characters. What does not fit is left out as a whole, so that no number is cut: the position stays,
 * then the time, the speed, metrics as many as fit, and a bar.
 */
function fit(
  stage: StageState,
  { final, now, width }: { final: boolean; now: number; width: number },
): { line: string; head: string; bar: string } {
  const { name, position, values, tail } = describe(stage, final, now);
  const head = joined(shorten(name, Math.max(0, width - position.length - GAP.length)), position);
  const end = [tail, tail.slice(1), []].find((shortened) => joined(head, ...shortened).length <= width) ?? [];
  const shown: string[] = [];
  const room = () => width - joined(head, ...shown, ...end).length - GAP.length;
  for (const value of values) if (value.length <= room()) shown.push(value);
  const bar = final || room() < 6 ? "" : barText(stage, Math.min(24, room()));
  return { line: joined(head, bar, ...shown, ...end), head, bar };
}

function describe(stage: StageState, final: boolean, now: number): Description {
  const { name, unit, start, total, n, beganAt, recent } = stage;
  const values = Object.entries(stage.metrics).map(([key, value]) => `${key} ${shortValue(value)}`);
  const isTotalKnown = Number.isFinite(total);
  // A stage that ended early shows where, so that it does not look finished.
  const percent = String(total === 0 ? 100 : Math.floor(100 * Math.min(1, n / total))).padStart(3);
  const position = isTotalKnown ? `${percent} %  ${String(n).padStart(String(total).length)}/${total}` : `${n} ${unit}`;
  const elapsed = (now - beganAt) / 1000;
  const span = (recent[recent.length - 1].at - recent[0].at) / 1000;
  const rate = final ? (n - start) / elapsed : (n - recent[0].n) / span;
  const speed = Number.isFinite(rate) && rate > 0
    ? rate >= 1 ? `${shortRate(rate)} ${unit}/s` : `${shortRate(1 / rate)} s/${unit.replace(/s$/, "")}`
    : "";
  const left = !final && isTotalKnown && rate > 0 && Number.isFinite(rate)
    ? `${clock(Math.max(0, total - n) / rate)} left`
    : "";
  return { name, position, values, tail: [speed, final ? `in ${clock(elapsed)}` : left] };
}

/** Head in bold, bar in cyan. */
function paint(line: string, head: string, bar: string): string {
  const bold = `\x1b[1m${head}\x1b[0m${line.slice(head.length)}`;
  return bar === "" ? bold : bold.replace(bar, (text) => `\x1b[36m${text}\x1b[0m`);
}

function barText({ n, total }: StageState, width: number): string {
  if (!Number.isFinite(total)) return "";
  const filled = total === 0 ? width : Math.round(width * Math.min(1, n / total));
  return "█".repeat(filled) + "░".repeat(width - filled);
}

/** Four significant digits, without an exponent where it can be avoided. */
function shortValue(value: number | string): string {
  if (typeof value === "string") return value;
  if (!Number.isFinite(value) || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : size >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

/** A rate of 1 or more: it wobbles, so three digits say enough. */
function shortRate(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Seconds as "0:07", "12:30" or "2:05:00". */
function clock(seconds: number): string {
  const whole = Math.round(seconds), two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole % 3600 / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function shorten(text: string, width: number): string {
  return text.length <= width ? text : width < 2 ? "" : `${text.slice(0, width - 1).trimEnd()}…`;
}

/** The progress that fits a stream: rewriting in a terminal, plain lines anywhere else. */
export function progressFor(stream: {
  /** Writes some of the bytes and says how many. */
  writeSync(bytes: Uint8Array): number;
  /** Whether the stream is a terminal, which a person may watch. */
  isTerminal(): boolean;
}, options: { noColor?: boolean } = {}): Progress {
  const encoder = new TextEncoder();
  let isGone = false;
  const write = (text: string) => {
    if (isGone) return;
    try {
      for (let bytes = encoder.encode(text); bytes.length > 0;) bytes = bytes.subarray(stream.writeSync(bytes));
    } catch {
      // Whoever watched has closed the terminal or the pipe: no reason to lose the work.
      isGone = true;
    }
  };
  if (!stream.isTerminal()) return plainProgress(write);
  return terminalProgress(write, {
    color: !(options.noColor ?? Deno.noColor),
    columns: () => {
      try {
        return Deno.consoleSize().columns;
      } catch {
        return 100; // a terminal without a size
      }
    },
  });
}
