/** Training stopped because a loss or a gradient is no longer a finite number. The last checkpoint is still good. */
export class TrainingDivergedError extends Error {
  override readonly name = "TrainingDivergedError";

  /**
   * @param what Which number, e.g. `the likelihood loss`.
   * @param step At which step.
   * @param value Its value.
   */
  constructor(what: string, readonly step: number, value: number) {
    super(
      `${what} is ${value} at step ${step}: training stopped and the last checkpoint was kept; ` +
        `lower the learning rate or the gradient clip, then resume`,
    );
  }
}
