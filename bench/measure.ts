/**
 * Timing a case on both sides: in turns, ours first, so that whatever else the machine does hits both alike; the ratio
 * is the median over rounds of the ratio within a round.
 */
import type { BenchCase } from "./case.ts";
import type { Reply, Side } from "./side.ts";

/** A number and how it was spread over the rounds. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** What was measured of one case. */
export interface Measurement {
  name: string;
  title: string;
  /** Seconds of one run. */
  ours: Spread;
  /** Of the other side; absent where PyTorch could not be asked. */
  theirs?: Spread;
  /** PyTorch's (or the other side's) time over ours: above 1 we are faster. */
  ratio?: Spread;
  goal?: number;
  /** Runs of one round, and rounds. */
  runs: { ours: number; theirs?: number; rounds: number };
  flops?: number;
  bytes?: number;
  operators?: number;
  /** Frames that one run makes. */
  frames?: number;
  /** What the other side is, where it is not PyTorch but this library too. */
  against?: string;
  /** Bytes of what was loaded, and our peak memory (what is idle taken off) over them that we want, at most. */
  loaded?: { bytes: number; memoryGoal?: number };
  /** Of processes that did nothing else; null where the system does not say. */
  memory?: { ours: PeakMemory; theirs?: PeakMemory };
}

/** Resident memory of a process. */
export interface PeakMemory {
  peakBytes: number | null;
  /** The most before the case was prepared: runtime and libraries. */
  idleBytes: number | null;
}

/** A block of runs takes about so many seconds, so that the clock and a turn of the event loop do not matter. */
const BLOCK_SECONDS = 0.2;
/** Relative difference of the two sides' results that rounding may cause. */
const TOLERANCE = 2e-3;

/** Median, least and most. @throws {RangeError} When there are no numbers. */
export function spreadOf(numbers: readonly number[]): Spread {
  if (numbers.length === 0) throw new RangeError("spreadOf: needs at least one number: received none");
  const sorted = numbers.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], most: sorted[sorted.length - 1] };
}

/**
 * Prepares a case on both sides, makes sure that both compute the same, and times them in turns.
 *
 * @param theirs Undefined where PyTorch is not there.
 * @param folder Where our side leaves the model for the other.
 * @throws {Error} When the two sides' results differ.
 */
export async function measure(
  each: BenchCase,
  ours: Side,
  theirs: Side | undefined,
  { rounds, folder, blockSeconds = BLOCK_SECONDS }: { rounds: number; folder: string; blockSeconds?: number },
): Promise<Measurement> {
  const { kind, sizes, against } = each;
  const prepared = await ours.ask({ do: "prepare", kind, sizes, folder });
  const other = await theirs?.ask({
    do: "prepare",
    kind,
    sizes: against?.sizes ?? sizes,
    folder,
    shared: prepared.shared,
  });
  if (other) checkSame(each, prepared, other);
  const block = async (side: Side, count: number) => (await side.ask({ do: "time", count })).seconds as number;
  const countFor = async (side: Side) => {
    await block(side, 1);
    return Math.max(1, Math.min(100_000, Math.round(blockSeconds / Math.max(1e-7, await block(side, 1)))));
  };
  const ourCount = await countFor(ours), theirCount = theirs && await countFor(theirs);
  const ourSeconds: number[] = [], theirSeconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ourSeconds.push(await block(ours, ourCount));
    if (theirs) theirSeconds.push(await block(theirs, theirCount!));
  }
  await ours.ask({ do: "release" });
  await theirs?.ask({ do: "release" });
  const { name, title, goal, memoryGoal, flops, bytes, operators, frames } = each;
  const loadedBytes = (prepared.shared as Record<string, unknown> | null)?.bytes;
  return {
    name,
    title,
    ours: spreadOf(ourSeconds),
    theirs: theirs && spreadOf(theirSeconds),
    ratio: theirs && spreadOf(theirSeconds.map((seconds, i) => seconds / ourSeconds[i])),
    goal,
    runs: { ours: ourCount, theirs: theirCount, rounds },
    flops,
    bytes,
    operators,
    frames,
    against: against?.title,
    loaded: typeof loadedBytes === "number" ? { bytes: loadedBytes, memoryGoal } : undefined,
  };
}

function checkSame({ name, against }: BenchCase, ours: Reply, theirs: Reply): void {
  if (ours.check === null && theirs.check === null) return;
  const [a, b] = [Number(ours.check), Number(theirs.check)];
  if (!(Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b)))) {
    const other = against ? `that of ${against.title}` : "PyTorch's";
    throw new Error(`${name}: our result ${a} and ${other}, ${b}, differ: the two sides do not do the same work`);
  }
}
