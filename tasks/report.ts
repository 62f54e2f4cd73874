/**
 * `deno task report`: runs notebooks with the Deno kernel and renders each as one HTML page that needs no network.
 */
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { UserError } from "../lib/base/user_error.ts";
import { joinLines, type Notebook, readNotebook, writeNotebook } from "../lib/notebooks/notebook_file.ts";
import { renderNotebook } from "../lib/notebooks/notebook_html.ts";
import { type CellFailure, runNotebook } from "../lib/notebooks/notebook_runner.ts";
import { STOP_SIGNALS } from "./cli.ts";

const HELP = `Runs notebooks with the Deno kernel and renders each as one HTML page that needs no network.

Usage: deno task report NOTEBOOK.ipynb… [flags]

  --out FOLDER      where the pages go (default: runs/notebooks)
  --timeout S       seconds that one cell may take (default: 600)
  --in-place        save the outputs into the notebook when all cells passed
  --no-run          render the outputs that the notebook holds, without running it
  --set KEY=VALUE   environment variable for the notebook; may be repeated
  --help            show this text

Each notebook runs in a fresh kernel, in its own folder. The first cell that fails ends its run: the cell and its
error are shown, the page is written as far as it came, the notebook stays as it was, and the exit code is 1.`;

interface ReportFlags {
  notebooks: string[];
  out: string;
  timeoutSeconds: number;
  inPlace: boolean;
  run: boolean;
  env: Record<string, string>;
}

/** Reads the flags; `undefined` when help was asked for. */
function readFlags(args: string[]): ReportFlags | undefined {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["_", "out", "timeout", "set"],
    boolean: ["in-place", "run", "help"],
    negatable: ["run"],
    collect: ["set"],
    default: { out: "runs/notebooks", timeout: "600", run: true },
    unknown: (argument: string, key?: string) => {
      if (key === undefined) return true; // a positional argument
      unknown.push(argument);
      return false;
    },
  });
  if (flags.help) return undefined;
  if (unknown.length > 0) throw new UserError(`unknown flag ${unknown[0]}: see deno task report --help`);
  const notebooks = flags._.map(String);
  if (notebooks.length === 0) throw new UserError("no notebook was named: deno task report NOTEBOOK.ipynb…");
  const timeoutSeconds = flags.timeout === "" ? NaN : Number(flags.timeout);
  if (!(timeoutSeconds > 0 && timeoutSeconds < 2_000_000)) {
    throw new UserError(
      `--timeout must be a number of seconds above 0 and below 2000000: received ${JSON.stringify(flags.timeout)}`,
    );
  }
  if (flags.out === "") throw new UserError("--out must name a folder: received nothing");
  if (!flags.run && flags["in-place"]) throw new UserError("--in-place saves the outputs of a run: leave out --no-run");
  const names = notebooks.map(pageName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) {
    throw new UserError(
      `two notebooks would be written to ${JSON.stringify(twice)}: render them into different --out folders`,
    );
  }
  const env = Object.fromEntries((flags.set as string[]).map((pair) => {
    const [, key, value] = /^([^=\0]+)=([^\0]*)$/s.exec(pair) ?? [];
    if (key === undefined) throw new UserError(`--set must be KEY=VALUE: received ${JSON.stringify(pair)}`);
    return [key, value];
  }));
  return { notebooks, out: flags.out, timeoutSeconds, inPlace: flags["in-place"], run: flags.run, env };
}

/** Runs and renders one notebook; whether all its cells passed. */
async function report(path: string, notebook: Notebook, flags: ReportFlags, signal: AbortSignal): Promise<boolean> {
  let shown = notebook, failure: CellFailure | undefined;
  if (flags.run) {
    console.log(`${path}: running`);
    const run = await runNotebook(notebook, {
      cwd: dirname(resolve(path)),
      env: flags.env,
      timeoutSeconds: flags.timeoutSeconds,
      onCell: (cell, total) => console.log(`  cell ${cell} of ${total}`),
      signal,
    });
    ({ notebook: shown, failure } = run);
    if (failure) console.error(describe(path, failure));
    else console.log(`${path}: all cells passed in ${run.seconds.toFixed(1)} s`);
    if (flags.inPlace && !failure) await writeNotebook(path, shown);
  }
  const target = join(flags.out, pageName(path));
  const html = await renderNotebook(shown, basename(path, ".ipynb"));
  await writeFileAtomic(target, html);
  console.log(`${path}: wrote ${target} (${(html.length / 1e6).toFixed(1)} MB)`);
  return !failure;
}

/** The failed cell for the terminal: number, source with line numbers, error, traceback. */
function describe(path: string, { cell, source, ename, evalue, traceback }: CellFailure): string {
  const lines = joinLines(source).split("\n").map((line, i) => `  ${String(i + 1).padStart(3)} | ${line}`);
  const trace = traceback.length > 0 && traceback[0].includes(evalue)
    ? traceback
    : [`${ename}: ${evalue}`, ...traceback];
  return [`${path}: cell ${cell} failed`, ...lines, "", ...trace.map((line) => `  ${line}`)].join("\n");
}

function pageName(path: string): string {
  return `${basename(path).replace(/\.ipynb$/, "")}.html`;
}

async function main(args: string[]): Promise<number> {
  const flags = readFlags(args);
  if (!flags) {
    console.log(HELP);
    return 0;
  }
  // All are read before any is run: a mistyped third name should not cost the time of the first two.
  const notebooks: Notebook[] = [];
  for (const path of flags.notebooks) notebooks.push(await readNotebook(path));
  await Deno.mkdir(flags.out, { recursive: true }).catch((error) => {
    throw new UserError(`cannot create the folder ${JSON.stringify(flags.out)} (--out): ${error.message}`);
  });
  const interrupt = new AbortController();
  const onInterrupt = () => interrupt.abort();
  for (const name of STOP_SIGNALS) Deno.addSignalListener(name, onInterrupt);
  try {
    let passed = true;
    for (const [i, path] of flags.notebooks.entries()) {
      passed = await report(path, notebooks[i], flags, interrupt.signal) && passed;
    }
    return passed ? 0 : 1;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    console.error("interrupted: the kernel was stopped, and nothing of this notebook was written");
    return 130; // as a shell reports Ctrl-C
  } finally {
    for (const name of STOP_SIGNALS) Deno.removeSignalListener(name, onInterrupt);
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`error: ${error.message}`);
    Deno.exit(2);
  }
}
