/** What the registry knows of an engine: its names, what it finds on this machine, and how it is opened. */
import type { Engine } from "./engine.ts";

/** A way to compute that `auto` may take. */
export interface Offer {
  /** `auto` tries the smallest rank of all engines first. */
  rank: number;
  /** Where; the engine's own choice when left out. */
  device?: string;
  /** Why it was taken, for people. */
  why: string;
  /** Whether what was opened is what was offered. @default {always} */
  accepts?: (opened: Engine) => boolean;
}

/** What an engine finds on this machine before anything of it is loaded. */
export interface Findings {
  /** In any order; none when the engine is not there, or is not to be taken unasked. */
  offers: readonly Offer[];
  /** Why the engine is not there, and what to do: one line. */
  missing?: string;
  /** Why it offers nothing faster, and what to do: shown beside a slower offer that was taken. */
  advice?: string;
}

/** An engine as the registry lists it. */
export interface EngineEntry {
  /** As flags name it, its own name first. */
  readonly names: readonly string[];
  /** Devices that the doctor looks at, of an engine that computes where it is told to. */
  readonly devices?: readonly string[];
  /** Opening it may write to the terminal or end the process, so that the doctor lets another process ask. */
  readonly isUnruly?: boolean;
  /** Looks at the machine; loads nothing. `device` is what the user asks for. */
  find(device?: string): Findings;
  /** Imports the engine and opens it. @throws {UserError} When it is not there: says what to do. */
  open(device?: string): Promise<Engine>;
}
