/**
 * Our side: reads one JSON request a line, answers with one JSON line. `../reference/worker.py` is its twin and lists the
 * requests. It ends when its input does.
 */
import type { Engine } from "../../lib/tensor/engine.ts";
import { type EngineName, openEngine } from "../../lib/tensor/registry.ts";
import type { CaseSizes } from "../case.ts";
import { jsonLines } from "../json_lines.ts";
import { chooseClock, type ClockName, seconds } from "./clock.ts";
import { LANGUAGE } from "./language.ts";
import { MODELS } from "./models.ts";
import { OPERATORS } from "./operators.ts";
import { VIDEO } from "./video.ts";
import type { Prepare, Work } from "./work.ts";

/** What `open` answers with. */
export interface OpenedSide {
  engine: { name: string; backend: string; device: string; version: string; description: string };
  /** Threads that the engine computes with. */
  threads: number;
  idleBytes: number | null;
}

type Request =
  | { do: "open"; engine?: EngineName; device?: string; clock?: ClockName }
  | { do: "prepare"; kind: string; sizes: CaseSizes; folder: string }
  | { do: "time"; count: number }
  | { do: "memory" }
  | { do: "release" };

const KINDS: Readonly<Record<string, Prepare>> = { ...OPERATORS, ...MODELS, ...LANGUAGE, ...VIDEO };

let engine: Engine | undefined, work: Work | undefined;

async function answer(request: Request): Promise<Record<string, unknown>> {
  switch (request.do) {
    case "open": {
      chooseClock(request.clock ?? "wall");
      engine = (await openEngine({ engine: request.engine, device: request.device })).engine;
      const { name, backend, device, version, description } = engine;
      const threads = (engine as { threads?: number }).threads ?? 1;
      const opened: OpenedSide = {
        engine: { name, backend, device, version, description },
        threads,
        idleBytes: peakBytes(),
      };
      return { ...opened };
    }
    case "prepare": {
      work?.dispose();
      work = await KINDS[request.kind](engine!, request.sizes, request.folder);
      return { check: await work.check() ?? null, shared: work.shared ?? null };
    }
    case "time":
      return { seconds: await time(work!, request.count) };
    case "memory":
      return { peakBytes: peakBytes() };
    case "release":
      work?.dispose();
      work = undefined;
      return {};
  }
}

/** Seconds of one run, the mean of `count`. */
async function time({ run }: Work, count: number): Promise<number> {
  await engine!.synchronize();
  let own = 0, counted = false;
  const start = seconds();
  for (let i = 0; i < count; i++) {
    // Awaiting what is no promise would add a turn of the event loop to every operator.
    const result = run();
    const ofRun = result instanceof Promise ? await result : result;
    if (typeof ofRun === "number") {
      own += ofRun;
      counted = true;
    }
  }
  await engine!.synchronize();
  return (counted ? own : seconds() - start) / count;
}

/** The most memory that this process ever held; null where the system does not say. */
function peakBytes(): number | null {
  try {
    const line = /^VmHWM:\s*(\d+) kB/m.exec(Deno.readTextFileSync("/proc/self/status"));
    return line ? Number(line[1]) * 1024 : null;
  } catch {
    return null;
  }
}

const output = new TextEncoder();
// Ctrl-C is the parent's to handle; it ends this process.
if (Deno.build.os !== "windows") Deno.addSignalListener("SIGINT", () => {});
for await (const request of jsonLines(Deno.stdin.readable)) {
  let reply: Record<string, unknown>;
  try {
    reply = await answer(request as Request);
  } catch (error) {
    reply = { error: (error as Error).message, userError: (error as Error).name === "UserError" };
  }
  const bytes = output.encode(JSON.stringify(reply) + "\n");
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
engine?.close();
Deno.exit(0);
