/** Which gradients an update is made with, which are skipped, and which end a training. */
import { TrainingDivergedError } from "./diverged.ts";

/** Updates in a row whose gradient is not finite: one or two may be a batch's fault, then it is the weights'. */
const LARGEST_SKIPPED = 3;

/** Advantages below it may have a gradient that is rounded to 0. */
const ROUNDING = 1e-6;

/** An update's gradient, and what it is judged by. */
export interface WatchedGradient {
  /** Of the training, from 0. */
  step: number;
  /** The first step whose weights are no good where this gradient is not. */
  since: number;
  /** Global L2 norm before clipping. */
  norm: number;
  /** Largest |advantage| of the tokens that must all pull, since none is clipped yet; 0 where some may be. */
  largestPull: number;
}

/** Watches the gradients of a training, in order. */
export class GradientWatch {
  /** Updates skipped since the last one that was made, and the first step whose weights allowed none. */
  #skipped = { inARow: 0, since: 0 };

  /**
   * Whether an update can be made with a gradient: it is finite. One that is not is skipped, as in the released video code.
   *
   * @throws {TrainingDivergedError} When it is the third in a row that is not, or exactly 0 though tokens pull.
   */
  isUsable({ step, since, norm, largestPull }: WatchedGradient): boolean {
    const { inARow, since: first } = this.#skipped, isFinite = Number.isFinite(norm);
    this.#skipped = { inARow: isFinite ? 0 : inARow + 1, since: inARow > 0 ? first : since };
    if (this.#skipped.inARow === LARGEST_SKIPPED) {
      const what = "the number of updates in a row without a finite gradient";
      throw new TrainingDivergedError(what, step, LARGEST_SKIPPED, this.#skipped.since);
    }
    if (norm === 0 && largestPull > ROUNDING) {
      throw new TrainingDivergedError("the gradient's norm, with answers that earned differently,", step, 0);
    }
    return isFinite;
  }
}
