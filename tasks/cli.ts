/**
 * What the commands share: strict flags, help, one-line errors with exit code 2, Ctrl-C.
 *
 * A command declares its flags once; unknown ones are refused by name with the nearest known one.
 */
import { parseArgs } from "@std/cli/parse-args";
import { dirname, join, resolve } from "node:path";
import { isSystemError } from "../lib/base/disk_error.ts";
import { UserError } from "../lib/base/user_error.ts";
import { ENGINE_NAMES, type EngineChoice, type EngineName } from "../lib/tensor/registry.ts";
import { RunInterruptedError } from "../lib/runs/stage.ts";
import { TrainingDivergedError } from "../lib/train/diverged.ts";
import { freshLine } from "./fresh_line.ts";

/** One flag of a command. */
export interface Flag {
  /** What stands for its value in the help; absent: the flag has none. */
  value?: string;
  /** One line. */
  description: string;
  /** May be given several times. */
  repeated?: boolean;
  /** For the help. */
  default?: string;
}

/** A command's flags and texts. */
export interface Command {
  /** As in `deno task NAME`. */
  name: string;
  /** One or two lines. */
  summary: string;
  flags: Record<string, Flag>;
  /** Text below the flags. */
  epilogue?: () => string;
}

/** Values of a command's flags. */
export interface Flags {
  text(name: string): string | undefined;
  list(name: string): string[];
  has(name: string): boolean;
  /** @throws {UserError} When the value is no integer of at least `least`. */
  integer(name: string, least?: number): number | undefined;
}

/**
 * Reads a command's flags; prints the help and exits where it is asked for.
 *
 * @throws {UserError} When a flag is unknown, lacks its value, or there are positional arguments.
 */
export function readFlags(command: Command, args: readonly string[]): Flags {
  const names = Object.keys(command.flags);
  checkForm(command, args);
  const takes = names.filter((name) => command.flags[name].value !== undefined);
  const parsed = parseArgs(args, {
    string: takes,
    boolean: [...names.filter((name) => !takes.includes(name)), "help"],
    collect: takes.filter((name) => command.flags[name].repeated),
    alias: { help: "h" },
    unknown: (argument, key) => {
      if (key !== undefined) {
        const near = nearest(key, names);
        throw new UserError(
          `unknown flag ${argument}${
            near ? `: did you mean --${near}?` : ""
          } (deno task ${command.name} --help lists all)`,
        );
      }
      return true;
    },
  });
  if (parsed.help) {
    console.log(helpText(command));
    Deno.exit(0);
  }
  if (parsed._.length > 0) {
    throw new UserError(`unexpected argument "${parsed._[0]}": every value needs a flag (--help lists them)`);
  }
  return {
    text: (name) => parsed[name] as string | undefined,
    list: (name) => (parsed[name] ?? []) as string[],
    has: (name) => parsed[name] === true,
    integer(name, least = 0) {
      const text = parsed[name] as string | undefined;
      if (text === undefined) return undefined;
      const value = Number(text);
      if (!Number.isSafeInteger(value) || value < least || text.trim() === "") {
        throw new UserError(`--${name} must be an integer of at least ${least}: received "${text}"`);
      }
      return value;
    },
  };
}

/** Refuses a flag that lacks its value, has one where there is none to give, or is given twice where one counts. */
function checkForm(command: Command, args: readonly string[]): void {
  const seen = new Set<string>();
  for (const [i, argument] of args.entries()) {
    const [, name, value] = /^--([^=]+)(=.*)?$/s.exec(argument) ?? [];
    if (name === undefined || !Object.hasOwn(command.flags, name)) continue;
    const flag = command.flags[name];
    if (flag.value === undefined && value !== undefined) {
      throw new UserError(`--${name} takes no value: received "${argument}"`);
    }
    // Parsers differ in whether the next flag may be taken for the value.
    const given = value === undefined ? args[i + 1] : value.slice(1);
    if (
      flag.value !== undefined &&
      (given === undefined || given === "" || (value === undefined && given.startsWith("--")))
    ) {
      throw new UserError(`--${name} needs a value: --${name} ${flag.value}`);
    }
    if (seen.has(name) && !flag.repeated) throw new UserError(`--${name} was given twice: leave one of them out`);
    seen.add(name);
  }
}

/** Flags of every command that computes. */
export const ENGINE_FLAGS: Record<string, Flag> = {
  engine: { value: ENGINE_NAMES.join("|"), description: "Who computes", default: "auto" },
  device: { value: "cpu|cuda|cuda:N", description: "Where", default: "the best there is" },
};

/** Reads `ENGINE_FLAGS`. @throws {UserError} When there is no such engine. */
export function engineChoice(flags: Flags): EngineChoice {
  const engine = flags.text("engine");
  if (engine !== undefined && !(ENGINE_NAMES as readonly string[]).includes(engine)) {
    throw new UserError(`--engine must be one of ${ENGINE_NAMES.join(", ")}: received "${engine}"`);
  }
  return { engine: engine as EngineName | undefined, device: flags.text("device") };
}

/**
 * Refuses an `--out` that cannot be written: before the work, not after it.
 *
 * @param example Name of a file to suggest.
 * @throws {UserError} When its folder does not exist, or it is a folder itself.
 */
export async function checkOutput(path: string | undefined, example: string): Promise<void> {
  if (path === undefined) return;
  const folder = dirname(resolve(path));
  const isFolder = async (each: string) => (await Deno.stat(each).catch(() => undefined))?.isDirectory ?? false;
  if (!await isFolder(folder)) throw new UserError(`--out ${path}: there is no folder ${folder}`);
  if (await isFolder(path)) {
    throw new UserError(`--out ${path} is a folder: name a file, such as ${join(path, example)}`);
  }
}

/** The help of a command. */
export function helpText(command: Command): string {
  const rows = Object.entries({ ...command.flags, help: { description: "Show this text" } as Flag }).map(
    ([name, flag]) =>
      [
        `  --${name}${flag.value ? ` ${flag.value}` : ""}`,
        flag.description + (flag.default ? ` (default: ${flag.default})` : "") + (flag.repeated ? " (repeatable)" : ""),
      ] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return [
    `deno task ${command.name} [flags]`,
    "",
    command.summary,
    "",
    ...rows.map(([left, right]) => left.padEnd(width) + right),
    ...(command.epilogue ? ["", command.epilogue()] : []),
  ].join("\n");
}

/**
 * What asks a command to stop: Ctrl-C; SIGTERM, which a batch system that takes a machine back sends first; SIGHUP, when the
 * terminal is closed.
 */
export const STOP_SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** What the worker that hears signals is told. */
export interface StopWatcherStart {
  /** Which. */
  signals: readonly Deno.Signal[];
  /** What the first is answered with. */
  text: string;
}

/**
 * Runs a command: a user's error, or what the system refuses (a full disk), is one line and exit code 2; a stop by Ctrl-C is one
 * line and exit code 130; divergence one line and exit code 1; anything else is a defect and keeps its trace.
 *
 * @param main Gets a signal that is aborted, with a `RunInterruptedError` as its reason, when the user asks to stop.
 * @param options.stopping What the first Ctrl-C is answered with.
 */
export async function runCommand(
  main: (signal: AbortSignal) => Promise<void>,
  { stopping = "stopping after this step, to save" }: { stopping?: string } = {},
): Promise<void> {
  outliveTerminal();
  const stop = new AbortController();
  using _watcher = await watchForStop(stopping, () => stop.abort(new RunInterruptedError("stopped")));
  try {
    await main(stop.signal);
  } catch (error) {
    if (error instanceof RunInterruptedError) return end(130, error.message);
    if (error instanceof TrainingDivergedError) return end(1, `error: ${error.message}`);
    if (error instanceof UserError || isSystemError(error)) return end(2, `error: ${error.message}`);
    throw error;
  }
}

/** Ends the process with a line. */
function end(code: number, line: string): void {
  console.error(freshLine(line));
  Deno.exit(code);
}

/**
 * From here on printing says nothing where nobody can read it, a closed terminal or, of messages, a log on a full disk. It would
 * throw, and what a command still has to save is worth more than what it has to say. What a command was asked for is another
 * matter: where standard output is a file, a full disk is an error.
 */
function outliveTerminal(): void {
  for (const name of ["log", "error"] as const) {
    const print = console[name];
    console[name] = (...values) => {
      try {
        print(...values);
      } catch (error) {
        if (name === "log" && !isClosedTerminal(error)) throw error;
      }
    };
  }
}

/** Whether this is the system's EIO, which is what a closed terminal answers. */
function isClosedTerminal(error: unknown): boolean {
  return error instanceof Error && error.message.includes("(os error 5)");
}

/** Hears the signals until it is disposed; a second one ends the process, whatever this thread is doing. */
async function watchForStop(text: string, onStop: () => void): Promise<Disposable> {
  const worker = new Worker(new URL("./stop_watcher.ts", import.meta.url), { type: "module" });
  await new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<"listening" | "stop">) => data === "listening" ? resolve() : onStop();
    worker.onerror = ({ message }) => reject(new Error(`the watcher for Ctrl-C did not start: ${message}`));
    worker.postMessage({ signals: STOP_SIGNALS, text } satisfies StopWatcherStart);
  });
  return { [Symbol.dispose]: () => worker.terminate() };
}

/** The name that is at most two edits away, if there is one. */
function nearest(given: string, names: readonly string[]): string | undefined {
  const distance = (a: string, b: string) => {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length];
  };
  const ranked = names.map((name) => [distance(given, name), name] as const).sort((a, b) => a[0] - b[0]);
  return ranked[0] && ranked[0][0] <= 2 ? ranked[0][1] : undefined;
}
