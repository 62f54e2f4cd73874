/**
 * Which engine computes: by name, or the best that is there.
 *
 * `auto` prefers, in order: LibTorch on CUDA, TensorFlow on a GPU, LibTorch on the CPU, TensorFlow on the CPU, and WASM,
 * which needs nothing installed. Engines are imported when they are opened: one that is not used costs nothing, and the torch
 * engine loads no npm package.
 */
import { UserError } from "../base/user_error.ts";
import type { Engine } from "./engine.ts";
import type { EngineEntry } from "./engine_entry.ts";
import { tfjsEntries } from "./tfjs/entry.ts";
import { torchEntry } from "./torch/entry.ts";

/** Engines by the names that flags take. */
export const ENGINE_NAMES = ["auto", "torch", "tfjs", "wasm", "tensorflow", "webgpu"] as const;
/** `tfjs` is `wasm` under the library's name. */
export type EngineName = (typeof ENGINE_NAMES)[number];

/** All engines. A new one is its folder, its name above and its entry here. */
export const ENGINES: readonly EngineEntry[] = [torchEntry(), ...tfjsEntries()];

/**
 * Which engine, on what.
 *
 * @internal
 */
export interface EngineChoice {
  /** `auto` when left out. */
  engine?: EngineName;
  /** `cpu`, `cuda`, `cuda:1`; torch only. The engine's own choice when left out. */
  device?: string;
}

/**
 * An engine, and one line on why it is this one.
 *
 * @internal
 */
export interface OpenedEngine {
  /** Close it when done. */
  engine: Engine;
  /** What was taken, why, and what would be faster. */
  reason: string;
}

/**
 * Opens an engine: the best one that is found, or the one that is named.
 *
 * @throws {UserError} When the engine or device that was asked for is not there: says what to do. `auto` always finds one.
 */
export async function openEngine(choice: EngineChoice = {}): Promise<OpenedEngine> {
  return await openEngineFrom(ENGINES, choice);
}

/** `openEngine` where there are these engines. For tests. */
export async function openEngineFrom(
  entries: readonly EngineEntry[],
  { engine = "auto", device }: EngineChoice = {},
): Promise<OpenedEngine> {
  if (!ENGINE_NAMES.includes(engine)) {
    throw new UserError(`engine must be one of ${ENGINE_NAMES.join(", ")}: received ${JSON.stringify(engine)}`);
  }
  const wantsDevice = device !== undefined && device !== "cpu";
  const takers = entries.filter(({ devices }) => devices !== undefined);
  const named = entries.find(({ names }) => names.includes(engine));
  const entry = named ?? (wantsDevice ? takers[0] : undefined);
  if (entry === undefined) return await openBest(entries, device);
  if (wantsDevice && !takers.includes(entry)) {
    const names = takers.map(({ names: [name] }) => name).join(" or ");
    throw new UserError(`--device ${device} needs the ${names} engine: received --engine ${engine}`);
  }
  const opened = await entry.open(device);
  return { engine: opened, reason: `${opened.description}: ${named ? "asked for" : `the engine for ${device}`}` };
}

async function openBest(entries: readonly EngineEntry[], device: string | undefined): Promise<OpenedEngine> {
  const found = entries.map((entry) => ({ entry, ...entry.find(device) }));
  const offers = found.flatMap(({ entry, offers }) => offers.map((offer) => ({ entry, ...offer })));
  const failures: string[] = [];
  for (const offer of offers.sort((a, b) => a.rank - b.rank)) {
    let engine: Engine;
    try {
      engine = await offer.entry.open(offer.device);
    } catch (error) {
      failures.push((error as Error).message.split("\n")[0]);
      continue;
    }
    if (offer.accepts && !offer.accepts(engine)) {
      engine.close();
      continue;
    }
    const after = failures.length > 0 ? ` (after: ${failures.join("; ")})` : "";
    const advice = found.flatMap(({ advice }) => advice ?? []).map((text) => `; ${text}`).join("");
    return { engine, reason: `${engine.description}: ${offer.why}${after}${advice}` };
  }
  throw new UserError(`no engine opens: ${failures.join("; ")}`);
}
