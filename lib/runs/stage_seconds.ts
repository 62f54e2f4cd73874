/** How long each stage of a run took, over all its sittings: `seconds.json` in the run's folder. */
import { writeFileAtomic } from "../io/atomic.ts";
import { readTextFile } from "../io/plain_file.ts";
import type { RunFolder } from "./run_folder.ts";

const FILE = "seconds.json";

/** Seconds of a run's stages, kept in its folder. */
export class StageSeconds {
  private constructor(readonly values: Record<string, number>, readonly run: RunFolder) {}

  /** Reads what a run has so far. */
  static async open(run: RunFolder): Promise<StageSeconds> {
    const path = run.file(FILE);
    try {
      return new StageSeconds(JSON.parse(await readTextFile(path)), run);
    } catch {
      return new StageSeconds({}, run); // the first stage of a run
    }
  }

  /** Notes a stage's time; one that took none, since it was finished before, keeps what it has. */
  async record(stage: string, seconds: number): Promise<void> {
    if (seconds > 0) this.values[stage] = seconds;
    await writeFileAtomic(this.run.file(FILE), JSON.stringify(this.values, null, 2) + "\n");
  }
}
