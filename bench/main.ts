/**
 * `deno task bench`: our operators, updates, rollouts, loading and decoding of frames against PyTorch doing the same work in
 * the same run.
 *
 * Each side is a process of its own that is kept alive; they work in turns. Results are compared before anything is timed.
 * Every run prints a table and appends a line to `bench/results.jsonl`. Nothing here is a test: times depend on the machine.
 */
import { fileURLToPath } from "node:url";
import { UserError } from "../lib/base/user_error.ts";
import { describeEnvironment } from "../lib/runs/run_environment.ts";
import { type Command, ENGINE_FLAGS, engineChoice, readFlags, runCommand } from "../tasks/cli.ts";
import { benchCases, ceilings } from "./cases.ts";
import type { BenchCase } from "./case.ts";
import { measure, type Measurement } from "./measure.ts";
import type { OpenedSide } from "./ours/worker.ts";
import { type Reply, Side } from "./side.ts";
import { type Ceilings, formatTable, speedText } from "./table.ts";

const RESULTS = new URL("./results.jsonl", import.meta.url);

const COMMAND: Command = {
  name: "bench",
  summary:
    "Measures operators, updates, rollouts, loading and decoding against PyTorch doing the same work in the same run.",
  flags: {
    only: { value: "NAME,…", description: "These cases only" },
    quick: { description: "Tiny sizes that only show that everything runs; nothing is recorded" },
    python: { value: "PATH", description: "A Python with torch and transformers", default: "RLVR_PYTHON, or python3" },
    rounds: { value: "N", description: "Turns of each side; the median counts", default: "7" },
    clock: {
      value: "wall|cpu",
      description: "cpu: the time that each process's threads compute, for a busy machine with OMP_NUM_THREADS=1",
      default: "wall",
    },
    json: { description: "Print the record instead of the table" },
    ...ENGINE_FLAGS,
  },
  epilogue: () => ["Cases:", ...benchCases(false).map((each) => `  ${each.name.padEnd(22)}${each.title}`)].join("\n"),
};

/** A pair of processes that have been asked what they are. */
interface Pair {
  ours: Side;
  theirs: Side | undefined;
  opened: OpenedSide;
  /** What PyTorch's side said; `missing` names what it lacks. */
  other: Reply;
}

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const quick = flags.has("quick"), asJson = flags.has("json");
  const rounds = flags.integer("rounds", 1) ?? (quick ? 2 : 7);
  const cases = chooseCases(flags.text("only"), quick);
  const asked = flags.text("python");
  const python = asked ?? Deno.env.get("RLVR_PYTHON") ?? "python3";
  const { engine, device } = engineChoice(flags);
  const clock = flags.text("clock") ?? "wall";
  if (clock !== "wall" && clock !== "cpu") throw new UserError(`--clock must be wall or cpu: received "${clock}"`);
  const note = (text: string) => console.error(text);
  const options = { rounds, ...(quick && { blockSeconds: 0 }) };
  const folder = await Deno.makeTempDir({ prefix: "rlvr-bench-" });
  const sides: Side[] = [];

  const openOurs = async () => {
    const ours = new Side("our side", Deno.execPath(), ["run", "-A", import.meta.resolve("./ours/worker.ts")], signal);
    sides.push(ours);
    return { ours, opened: await ours.ask({ do: "open", engine, device, clock }) as unknown as OpenedSide };
  };
  /** This library on both sides. */
  const openTwice = async (): Promise<Pair> => {
    const first = await openOurs(), second = await openOurs();
    return { ...first, theirs: second.ours, other: { missing: [], idleBytes: second.opened.idleBytes } };
  };
  const open = async (): Promise<Pair> => {
    const { ours, opened } = await openOurs();
    const pair: Pair = { ours, theirs: undefined, opened, other: { missing: ["python"] } };
    let theirs: Side;
    try {
      theirs = new Side(
        "PyTorch",
        python,
        ["-B", fileURLToPath(new URL("./reference/worker.py", import.meta.url))],
        signal,
      );
    } catch (error) {
      if (asked !== undefined) throw error;
      return pair;
    }
    sides.push(theirs);
    // PyTorch gets as many threads as LibTorch; beside an engine with one, those that it would take by itself.
    const threads = opened.engine.name === "torch" ? opened.threads : navigator.hardwareConcurrency;
    const where = opened.engine.name === "torch" ? opened.engine.device : "cpu";
    pair.other = await theirs.ask({ do: "open", threads, device: where, clock });
    const missing = pair.other.missing as string[];
    if (missing.length > 0 && asked !== undefined) {
      throw new UserError(
        `--python ${python} has no ${missing.join(", ")}: ${asked} -m pip install torch transformers`,
      );
    }
    if (!missing.some((each) => each.startsWith("torch"))) pair.theirs = theirs;
    return pair;
  };
  const close = async ({ ours, theirs }: Pair) => {
    await ours.close();
    await theirs?.close();
  };

  try {
    const common = await open();
    note(`ours: ${common.opened.engine.description}`);
    note(describeOther(common, python));
    note(`load of the machine: ${Deno.loadavg()[0].toFixed(1)} (below 1 before a measurement that is to be kept)`);
    const limits = await measureCeilings(common, quick, { ...options, folder });
    const measurements: Measurement[] = [];
    for (const each of cases) {
      if (each.onlyTorch && common.opened.engine.name !== "torch") {
        note(`  ${each.name}: left out, it needs the torch engine`);
        continue;
      }
      const pair = each.against ? await openTwice() : each.ownProcesses ? await open() : common;
      const theirs = (pair.other.missing as string[]).includes(each.needs) ? undefined : pair.theirs;
      // The goals are the torch engine's: PyTorch's own library, called from here.
      const goal = common.opened.engine.name === "torch" ? each.goal : undefined;
      const result = await measure({ ...each, goal }, pair.ours, theirs, { ...options, folder });
      if (each.ownProcesses) {
        result.memory = await peakMemory(pair, theirs);
        await close(pair);
      }
      measurements.push(result);
      note(`  ${each.name}: ${briefly(result)}`);
    }
    await close(common);
    const record = {
      ...await describeEnvironment(),
      load: Deno.loadavg()[0],
      engine: common.opened.engine,
      threads: common.opened.threads,
      reference: common.other.versions ?? null,
      rounds,
      clock,
      ceilings: limits,
      measurements,
    };
    if (!quick) await Deno.writeTextFile(RESULTS, JSON.stringify(record) + "\n", { append: true });
    if (asJson) console.log(JSON.stringify(record));
    else console.log(`\n${ceilingText(limits)}\n\n${formatTable(measurements, limits)}`);
  } catch (error) {
    if (!signal.aborted) throw error;
    note("stopped: nothing was recorded");
    Deno.exitCode = 130;
  } finally {
    sides.forEach((each) => each.kill());
    await Deno.remove(folder, { recursive: true });
  }
});

/** @throws {UserError} When a name is none of a case. */
function chooseCases(only: string | undefined, quick: boolean): BenchCase[] {
  const all = benchCases(quick);
  if (only === undefined) return all;
  return only.split(",").map((name) => {
    const found = all.find((each) => each.name === name.trim());
    if (!found) {
      throw new UserError(`--only: there is no case "${name}": choose among ${all.map((c) => c.name).join(", ")}`);
    }
    return found;
  });
}

function describeOther({ theirs, other }: Pair, python: string): string {
  const missing = other.missing as string[];
  if (!theirs) {
    const reason = missing.includes("python") ? `there is no ${python}` : `${python} has no ${missing.join(", ")}`;
    return `PyTorch: ${reason}: our numbers alone (--python PATH names a Python that has it)`;
  }
  const { torch, transformers } = other.versions as Record<string, string>;
  const models = transformers
    ? `, transformers ${transformers}`
    : ", no transformers: pip install transformers for all";
  return `PyTorch ${torch}${models} (${python})`;
}

/** The best of both sides: a limit that either reached is one. */
async function measureCeilings(
  { ours, theirs }: Pair,
  quick: boolean,
  options: Parameters<typeof measure>[3],
): Promise<Ceilings> {
  const { matrix, memory } = ceilings(quick);
  const least = ({ ours, theirs }: Measurement) => Math.min(ours.least, theirs?.least ?? Infinity);
  return {
    flopsPerSecond: matrix.flops! / least(await measure(matrix, ours, theirs, options)),
    bytesPerSecond: memory.bytes! / least(await measure(memory, ours, theirs, options)),
  };
}

async function peakMemory({ ours, opened, other }: Pair, theirs: Side | undefined): Promise<Measurement["memory"]> {
  const peak = async (side: Side) => (await side.ask({ do: "memory" })).peakBytes as number | null;
  return {
    ours: { peakBytes: await peak(ours), idleBytes: opened.idleBytes },
    theirs: theirs && { peakBytes: await peak(theirs), idleBytes: other.idleBytes as number | null },
  };
}

function briefly(measurement: Measurement): string {
  const { ours, theirs, ratio, against = "PyTorch" } = measurement, text = `ours ${speedText(measurement, ours)}`;
  return ratio ? `${text}, ${against} ${speedText(measurement, theirs!)}, ${ratio.median.toFixed(2)}×` : text;
}

function ceilingText({ flopsPerSecond, bytesPerSecond }: Ceilings): string {
  return `machine's limits, measured: ${(flopsPerSecond / 1e9).toPrecision(3)} GFLOP/s, ` +
    `${(bytesPerSecond / 1e9).toPrecision(3)} GB/s`;
}
