/** Judging models, one after the other: what is the same whatever they are judged on. */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { Progress } from "./progress.ts";

/** Which model is evaluated, how, and where it is said how far that is. */
export interface ModelEvaluation<Evaluation> {
  /** What the model is called in the progress line. */
  name: string;
  /** Where it is said how far the evaluation is. */
  progress: Progress;
  /** Plural of what is evaluated, such as `clips`, for the progress line. */
  counted: string;
  /** The model, or undefined where there is none (yet). */
  load(): Promise<CausalTransformer | undefined>;
  /** Evaluates a model, telling how far it is: first that nothing is done, and so how much there is to do. */
  evaluate(model: CausalTransformer, onProgress: (done: number, total: number) => void): Promise<Evaluation>;
}

/** Loads a model, evaluates it with a progress line and gives it back; undefined where there is no model. */
export async function evaluateModel<Evaluation>(
  { name, progress, counted, load, evaluate }: ModelEvaluation<Evaluation>,
): Promise<Evaluation | undefined> {
  const model = await load();
  if (!model) return undefined;
  let announced = 0;
  try {
    return await evaluate(model, (done, total) => {
      if (total !== announced) progress.stage(`evaluate ${name}`, announced = total, { unit: counted });
      progress.step(done);
    });
  } finally {
    progress.done();
    model.dispose();
  }
}
