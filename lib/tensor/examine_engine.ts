/**
 * Whether one engine opens, and what it says of itself. Run as a program with the engine's name, it prints the finding as JSON:
 * graphics drivers and TensorFlow write what they like to the terminal of the process that opens them, or end it, so another one asks.
 */
import { UserError } from "../base/user_error.ts";
import { BYTES_PER_ELEMENT, type DType } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { type EngineName, openEngine } from "./registry.ts";

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
  /** Types of numbers that do not exist there. */
  lacks?: DType[];
  /** What it says of itself, or why it is not there. */
  text: string;
}

/** Opens an engine, asks it to describe itself, and closes it. Never throws. */
export async function examineEngine(engine: string, asked?: string): Promise<ExaminedEngine> {
  let opened: Engine | undefined;
  try {
    ({ engine: opened } = await openEngine({ engine: engine as EngineName, device: asked }));
    const { device, version, description } = opened;
    const lacks = (Object.keys(BYTES_PER_ELEMENT) as DType[]).filter((dtype) => !opened!.supports(dtype));
    return { engine, device, available: true, version, lacks, text: description };
  } catch (error) {
    return missingEngine(engine, asked, (error as Error).message);
  } finally {
    opened?.close();
  }
}

/** The same in a process of its own, which may fail. What it writes to its terminal is not shown. Never throws. */
export async function examineEngineApart(engine: string, device?: string): Promise<ExaminedEngine> {
  try {
    const args = ["run", "--quiet", "--allow-all", import.meta.url, engine, ...device === undefined ? [] : [device]];
    const { code, signal, stdout } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
    if (code !== 0) throw new UserError(`looking for it ended with ${signal ?? `exit code ${code}`}`);
    return JSON.parse(new TextDecoder().decode(stdout));
  } catch (error) {
    return missingEngine(engine, device, (error as Error).message);
  }
}

/** An engine that is not there, and why: the first line of `text`. */
export function missingEngine(engine: string, device: string | undefined, text: string): ExaminedEngine {
  return { engine, device: device ?? "", available: false, text: text.split("\n")[0] };
}

if (import.meta.main) {
  const [engine, device] = Deno.args;
  console.log(JSON.stringify(await examineEngine(engine, device)));
  // A driver's own threads may keep the process alive.
  Deno.exit(0);
}
