/**
 * Commands in a real terminal: a pseudo-terminal of a given width (`script` of util-linux), in which keys are pressed, and what can
 * be seen on its screen in the end. Of control sequences it understands those that the commands use.
 */
import { join } from "node:path";
import { ROOT } from "./tiny_run.ts";

const ESCAPE = "\x1b";

/** Whether this machine has what is needed. */
export const hasTerminal = Deno.build.os === "linux" && (() => {
  try {
    return new Deno.Command("script", { args: ["--version"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
})();

/** Control sequences, and everything else character by character. */
const SEQUENCES = new RegExp(`${ESCAPE}\\[[\\d;]*[A-Za-z]|[^]`, "gu");
/** Longest wait for anything. */
const PATIENCE_MS = 120_000;

/** A command in a terminal. */
export class Terminal {
  /** What was written to it so far. */
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<void>;

  /** Starts a command of the project. */
  constructor(task: string, args: readonly string[], readonly columns: number) {
    const command = [Deno.execPath(), "run", "-A", "--no-check", join(ROOT, "tasks", `${task}.ts`), ...args];
    const line = `stty cols ${columns} rows 50; exec ${command.map((word) => `'${word}'`).join(" ")}`;
    this.#child = new Deno.Command("script", {
      args: ["--quiet", "--return", "--flush", "--command", line, "/dev/null"],
      env: { OMP_NUM_THREADS: "1", NO_COLOR: "1", SHELL: "/bin/sh" },
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.#read = this.#listen();
  }

  async #listen() {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.output += text;
  }

  /** Waits until something was written to it. */
  async until(pattern: RegExp): Promise<void> {
    let ended = false;
    this.#read.then(() => ended = true);
    const last = performance.now() + PATIENCE_MS;
    while (!ended && performance.now() < last && !pattern.test(this.output)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (pattern.test(this.output)) return;
    await this.close();
    throw new Error(`${pattern} was never written: ${this.output}`);
  }

  /** Presses keys: `\x03` is Ctrl-C. */
  async press(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Closes its window: the command gets SIGHUP, and can write to it no more. */
  async close(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#keys.close().catch(() => {});
    await this.#read;
  }

  /** Waits for the command's end. */
  async end(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#keys.close().catch(() => {});
    await this.#read;
    return code;
  }

  /** The lines that are to be seen, those that were too long for it in several. */
  screen(): string[] {
    const lines = [""];
    let column = 0;
    const wipe = () => lines[lines.length - 1] = lines.at(-1)!.slice(0, column);
    // Deno draws on it too, while it starts, and clears what it drew.
    const own = this.output.split(`${ESCAPE}[J`).at(-1)!;
    for (const [piece] of own.matchAll(SEQUENCES)) {
      if (piece === "\r") column = 0;
      else if (piece === "\n") lines.push(" ".repeat(column));
      else if (piece === `${ESCAPE}[K`) wipe();
      else if (piece.startsWith(`${ESCAPE}[`)) throw new Error(`an unknown sequence: ${JSON.stringify(piece)}`);
      else {
        if (column === this.columns) {
          lines.push("");
          column = 0;
        }
        const line = lines.at(-1)!.padEnd(column);
        lines[lines.length - 1] = line.slice(0, column) + piece + line.slice(column + 1);
        column++;
      }
    }
    return lines.map((line) => line.trimEnd());
  }
}
