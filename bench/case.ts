/**
 * One case of the bench: it names a kind of work, its sizes, what it costs at least (floating-point operations, or bytes moved
 * where it is bound by memory) and the ratio we want to reach.
 */

/** Sizes, as both sides read them. */
export type CaseSizes = Record<string, number | boolean | string | readonly number[]>;

/** One line of the table. */
export interface BenchCase {
  /** For `--only` and the records. */
  name: string;
  /** For people. */
  title: string;
  /** Which implementation, on both sides. */
  kind: string;
  sizes: CaseSizes;
  /** Floating-point operations of one run: of the plain algorithm, so that leaving work out shows as speed. */
  flops?: number;
  /** Bytes that one run must move. */
  bytes?: number;
  /** Operators of one run, where the time of one is shown. */
  operators?: number;
  /** Frames that one run makes, where frames per second are shown. */
  frames?: number;
  /** PyTorch's time over ours that we want, at least; absent: shown for comparison. */
  goal?: number;
  /** Our peak memory over what is loaded that we want, at most. */
  memoryGoal?: number;
  /** Whether the case is of what only the torch engine has. */
  onlyTorch?: boolean;
  /** What the other side needs. */
  needs: "torch" | "transformers" | "nothing";
  /** Where the other side is this library too: what it does otherwise. The ratio is then that of the two. */
  against?: { title: string; sizes: CaseSizes };
  /** Measured in processes of its own, whose peak memory is shown. */
  ownProcesses: boolean;
}
