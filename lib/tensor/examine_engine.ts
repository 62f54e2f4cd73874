/**
 * Whether one engine opens, and what it says of itself. Run as a program with the engine's name, it prints the finding as JSON:
 * graphics drivers and TensorFlow write what they like to the terminal of the process that opens them, or end it, so another one asks.
 */
import { UserError } from "../base/user_error.ts";
import type { Engine } from "./engine.ts";
import { openEngine } from "./registry.ts";

/** One engine on one device. */
export interface ExaminedEngine {
  /** As flags name it: `torch`, `tensorflow`, `wasm`, `webgpu`. */
  engine: string;
  /** `cpu`, `cuda`, or what the engine itself chose. */
  device: string;
  /** Whether it opens. */
  available: boolean;
  /** Of the library that computes. */
  version?: string;
  /** What it says of itself, or why it is not there. */
  text: string;
}

/** Engines that are examined. */
export type ExaminedName = "torch" | "tensorflow" | "wasm" | "webgpu";

/** Opens an engine, asks it to describe itself, and closes it. Never throws. */
export async function examineEngine(engine: ExaminedName, device?: string): Promise<ExaminedEngine> {
  let opened: Engine | undefined;
  try {
    ({ engine: opened } = await openEngine({ engine, device }));
    return { engine, device: opened.device, available: true, version: opened.version, text: opened.description };
  } catch (error) {
    return { engine, device: device ?? "", available: false, text: (error as Error).message.split("\n")[0] };
  } finally {
    opened?.close();
  }
}

/** The same in a process of its own, which may fail. What it writes to its terminal is not shown. Never throws. */
export async function examineEngineApart(engine: ExaminedName): Promise<ExaminedEngine> {
  try {
    const args = ["run", "--quiet", "--allow-all", import.meta.url, engine];
    const { code, signal, stdout } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
    if (code !== 0) throw new UserError(`looking for it ended with ${signal ?? `exit code ${code}`}`);
    return JSON.parse(new TextDecoder().decode(stdout));
  } catch (error) {
    return { engine, device: "", available: false, text: (error as Error).message.split("\n")[0] };
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(await examineEngine(Deno.args[0] as ExaminedName)));
  // A driver's own threads may keep the process alive.
  Deno.exit(0);
}
