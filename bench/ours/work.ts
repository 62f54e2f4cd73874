/** What one side of a case is: prepared once, run many times, judged by one number. */
import type { Engine } from "../../lib/tensor/engine.ts";
import type { CaseSizes } from "../case.ts";

/** Work that is ready to run. */
export interface Work {
  /** One run. May return the seconds that count, where a run has parts that do not. */
  run(): void | Promise<number | void>;
  /** One number of the result, which the other side must reach as well; undefined where results are random. */
  check(): Promise<number | undefined>;
  /** What the other side needs to do the same work. */
  shared?: Record<string, unknown>;
  /** Gives everything back. */
  dispose(): void;
}

/** Prepares the work of a case. @param folder An empty folder that both sides see. */
export type Prepare = (engine: Engine, sizes: CaseSizes, folder: string) => Promise<Work> | Work;
