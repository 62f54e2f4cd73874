/** Training stopped because of a number that no training has. What was saved before it went wrong is still good. */
export class TrainingDivergedError extends Error {
  override readonly name = "TrainingDivergedError";

  /**
   * @param what Which number, e.g. `the likelihood loss`.
   * @param step At which step.
   * @param value Its value.
   * @param since The first step that began with weights that are no good. @default {step}
   */
  constructor(what: string, readonly step: number, value: number, readonly since: number = step) {
    super(
      `${what} is ${
        Number(value.toPrecision(4))
      } at step ${step}: training stopped and the last checkpoint was kept; ` +
        `lower the learning rate or the gradient clip, then resume`,
    );
  }
}
