/** What a run ran on, for `environment.json`: enough to explain later why two runs differ. */
import os from "node:os";

/** The machine and the software of a run. */
export interface RunEnvironment {
  /** When this was asked, ISO 8601. */
  date: string;
  /** Version of Deno. */
  deno: string;
  /** Version of V8. */
  v8: string;
  /** Operating system and release, such as `linux 6.1.0`. */
  os: string;
  /** Processor architecture, such as `x86_64`. */
  arch: string;
  /** Model name of the first processor. */
  cpu: string;
  /** Number of logical processor cores. */
  cpuCores: number;
  /** Of the machine, in all. */
  memoryBytes: number;
  /** The commit of this project's checkout, with `-dirty` where files differ; null outside of a checkout. */
  commit: string | null;
  /** What the caller knows: engine, device, versions. */
  [key: string]: unknown;
}

/**
 * Looks at the machine, the runtime and the checkout.
 *
 * @param extra what only the caller knows: engine, device, versions.
 */
export async function describeEnvironment(extra: Record<string, unknown> = {}): Promise<RunEnvironment> {
  const cpus = os.cpus();
  return {
    date: new Date().toISOString(),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    os: `${Deno.build.os} ${os.release()}`,
    arch: Deno.build.arch,
    cpu: cpus[0]?.model ?? "unknown",
    cpuCores: cpus.length,
    memoryBytes: os.totalmem(),
    commit: await findCommit(),
    ...extra,
  };
}

async function findCommit(): Promise<string | null> {
  if (import.meta.dirname === undefined) return null; // loaded from a registry
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", import.meta.dirname, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    return null; // no git, or not allowed to run it
  }
}

/** The most memory that this process held, in bytes: the system's own record where it keeps one. */
export function peakMemory(): number {
  try {
    const kilobytes = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
    if (kilobytes) return Number(kilobytes) * 1024;
  } catch { /* not Linux */ }
  return Deno.memoryUsage().rss;
}
