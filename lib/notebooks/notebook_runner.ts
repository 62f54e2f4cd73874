/**
 * Runs a notebook from its first cell to its last in a fresh kernel and files the outputs under their cells, as "Restart and
 * run all" does. Stops at the first cell that fails. It writes no file: see `notebook_file.ts` and `notebook_html.ts`.
 */
import {
  type ExecuteReply,
  JupyterKernel,
  KernelDiedError,
  type KernelMessage,
  KernelTimeoutError,
} from "./jupyter_kernel.ts";
import { type CellOutput, joinLines, type Notebook, type NotebookCell, outputFault } from "./notebook_file.ts";

/** Options of {@link runNotebook}. */
export interface RunNotebookOptions {
  /** The notebook's folder: the kernel's working directory. */
  cwd: string;
  /** Added to the kernel's environment. */
  env?: Record<string, string>;
  /** Seconds that one cell may take; 600 unless told. */
  timeoutSeconds?: number;
  /** Called before each code cell that has code, counting from 1. */
  onCell?: (cell: number, total: number) => void;
  /** Called with what cells print, as it comes. */
  onText?: (text: string) => void;
  /** Ends the run and kills the kernel. */
  signal?: AbortSignal;
}

/** The cell that ended a run. */
export interface CellFailure {
  /** Counts code cells that have code, from 1. */
  cell: number;
  /** The cell's code. */
  source: string;
  ename: string;
  evalue: string;
  /** May hold terminal colours. */
  traceback: string[];
}

/** What came out of a run. */
export interface NotebookRun {
  /** A copy of the notebook with the outputs of this run; cells after a failed one have none. */
  notebook: Notebook;
  /** The cell that ended the run, where one failed. */
  failure?: CellFailure;
  /** Wall-clock time of the run. */
  seconds: number;
}

/**
 * Runs a notebook. Errors of its cells, a cell that takes too long and a kernel that dies are reported as `failure`.
 *
 * @throws {RangeError} when `timeoutSeconds` is not positive.
 * @throws {KernelDiedError | KernelTimeoutError} when no kernel could be started.
 * @throws the signal's reason when it was aborted.
 */
export async function runNotebook(source: Notebook, options: RunNotebookOptions): Promise<NotebookRun> {
  const { timeoutSeconds = 600, signal } = options;
  // setTimeout cannot wait longer than 2^31 ms.
  if (!(timeoutSeconds > 0 && timeoutSeconds < 2_000_000)) {
    throw new RangeError(`timeoutSeconds must be positive and below 2,000,000: received ${timeoutSeconds}`);
  }
  signal?.throwIfAborted();
  const started = performance.now();
  const notebook = structuredClone(source);
  const cells = notebook.cells.filter((cell) => cell.cell_type === "code");
  for (const cell of cells) Object.assign(cell, { outputs: [], execution_count: null });
  const withCode = cells.filter((cell) => joinLines(cell.source).trim() !== "");

  await using kernel = await JupyterKernel.start({ cwd: options.cwd, env: options.env });
  const abort = () => void kernel.close();
  signal?.addEventListener("abort", abort);
  const displays: Displays = new Map();
  let failure: CellFailure | undefined;
  try {
    for (const [i, cell] of withCode.entries()) {
      signal?.throwIfAborted();
      options.onCell?.(i + 1, withCode.length);
      failure = await runCell(kernel, cell, displays, timeoutSeconds * 1000, options.onText);
      signal?.throwIfAborted();
      if (failure) {
        failure.cell = i + 1;
        break;
      }
    }
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  return { notebook, failure, seconds: (performance.now() - started) / 1000 };
}

/** Outputs by display id: an update changes all that carry the id, also in earlier cells. */
type Displays = Map<string, Extract<CellOutput, { data: unknown }>[]>;

async function runCell(
  kernel: JupyterKernel,
  cell: NotebookCell,
  displays: Displays,
  timeoutMs: number,
  onText?: (text: string) => void,
): Promise<CellFailure | undefined> {
  const outputs: CellOutput[] = cell.outputs ??= [];
  const source = joinLines(cell.source);
  const collect = collector(outputs, displays, onText);
  let reply: ExecuteReply;
  try {
    reply = await kernel.execute(source, collect, timeoutMs);
  } catch (error) {
    if (!(error instanceof KernelTimeoutError || error instanceof KernelDiedError)) throw error;
    reply = { status: "error", execution_count: null, ename: error.name, evalue: error.message, traceback: [] };
  }
  cell.execution_count = reply.execution_count ?? null;
  if (reply.status === "ok") return undefined;
  // A syntax error ends a cell without an error output of its own.
  let shown = outputs.find((output) => output.output_type === "error");
  if (!shown) {
    const { ename = "Error", evalue = "the cell was not executed", traceback = [] } = reply;
    shown = evalue === "Execution failed"
      ? { output_type: "error", ename: "SyntaxError", ...await syntaxError(source) }
      : { output_type: "error", ename, evalue, traceback };
    outputs.push(shown);
  }
  const { ename, evalue, traceback } = shown;
  return { cell: 0, source, ename, evalue, traceback };
}

/** What is wrong with code that the kernel refused without a word: Deno's formatter parses it too, and says. */
async function syntaxError(source: string): Promise<{ evalue: string; traceback: string[] }> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--no-config", "--ext=ts", "-"],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source)).catch(() => {}); // it may have given up reading
  await writer.close().catch(() => {});
  const { success, stderr } = await process.output();
  // "error: SyntaxError: what\n  |\n2 | code\n  |  ~\n    at file:…:2:11", then the formatter's own stack.
  const [message, place] = new TextDecoder().decode(stderr).split(/\n\s+at file:\S*?(?=:\d+:\d+\n)/);
  if (success || place === undefined) {
    const evalue = "the kernel could not compile this cell: is a name declared twice, or import.meta used?";
    return { evalue, traceback: [] };
  }
  const [what, ...excerpt] = message.split("\n");
  const [, line, column] = place.split(/[:\n]/);
  const evalue = `${what.replace(/^error: (SyntaxError: )?/, "")} (line ${line}, column ${column})`;
  return { evalue, traceback: [`SyntaxError: ${evalue}`, ...excerpt] };
}

/** Turns messages into outputs of one cell. */
function collector(outputs: CellOutput[], displays: Displays, onText?: (text: string) => void) {
  let clearBeforeNext = false;
  const add = (output: CellOutput) => {
    if (clearBeforeNext) outputs.length = 0;
    clearBeforeNext = false;
    // An error ends a cell, but on a busy machine the kernel sends what had been written before after it.
    const error = outputs.at(-1)?.output_type === "error" ? outputs.pop() : undefined;
    const last = outputs.at(-1);
    if (output.output_type === "stream" && last?.output_type === "stream" && last.name === output.name) {
      last.text = joinLines(last.text) + joinLines(output.text);
    } else {
      outputs.push(output);
    }
    if (error) outputs.push(error);
  };
  /** A cell can send whatever it likes; what is no output is said in its place. */
  const checked = (output: CellOutput): CellOutput => {
    const fault = outputFault(output);
    return fault === undefined
      ? output
      : { output_type: "stream", name: "stderr", text: `(left out: an output that ${fault})\n` };
  };
  return ({ type, content }: KernelMessage) => {
    if (type === "stream") {
      const output = checked({ output_type: "stream", name: content.name, text: content.text });
      if (output.output_type === "stream") onText?.(joinLines(output.text));
      add(output);
    } else if (type === "display_data" || type === "execute_result") {
      const shown = { data: content.data, metadata: content.metadata ?? {} };
      const output = checked(
        type === "display_data"
          ? { output_type: type as "display_data", ...shown }
          : { output_type: type as "execute_result", ...shown, execution_count: content.execution_count ?? null },
      );
      const id = content.transient?.display_id;
      if (id && "data" in output) displays.set(id, [...(displays.get(id) ?? []), output]);
      add(output);
    } else if (type === "update_display_data") {
      const shown = { data: content.data, metadata: content.metadata ?? {} };
      const output = checked({ output_type: "display_data", ...shown });
      if ("data" in output) {
        for (const each of displays.get(content.transient?.display_id) ?? []) Object.assign(each, shown);
      } else add(output);
    } else if (type === "clear_output") {
      if (content.wait) clearBeforeNext = true;
      else outputs.length = 0;
    } else if (type === "error") {
      const { ename, evalue, traceback = [] } = content;
      add(checked({ output_type: "error", ename, evalue, traceback }));
    }
  };
}
