/** Where runs are kept whose folder was not named: `runs/COMMAND-PRESET-TIME`. */
import { join } from "node:path";
import { UserError } from "../lib/base/user_error.ts";

const RUNS = "runs";

/** Folder of a run that begins now; another may have taken it in the same second. @param name Command and preset. */
export function runName(name: string): string {
  const time = new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  return join(RUNS, `${name}-${time}`);
}

/** Folder of a command's run that was written to last. @throws {UserError} When there is none. */
export async function newestRun(command: string): Promise<string> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(RUNS)) {
      if (name === command || name.startsWith(`${command}-`)) names.push(name);
    }
  } catch { /* no runs yet: said below */ }
  // What is written to in a run: its log while it trains, its environment when it is begun or resumed.
  const times = await Promise.all(names.map(async (name) => {
    const written = await Promise.all(
      ["metrics.jsonl", "environment.json"].map((file) => Deno.stat(join(RUNS, name, file)).catch(() => undefined)),
    );
    return Math.max(...written.map((each) => each?.mtime?.getTime() ?? 0));
  }));
  const at = times.indexOf(Math.max(...times));
  if (!(times[at] > 0)) throw new UserError(`--resume found no run in ${RUNS}/: name its folder with --out`);
  return join(RUNS, names[at]);
}
