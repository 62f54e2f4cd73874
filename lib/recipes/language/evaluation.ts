/**
 * Evaluations of language models, one after the other: what is the same whatever a model is judged on.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Progress } from "../../runs/progress.ts";

/** Gets how many transitions are done. */
export type EvaluationProgress = (done: number, total: number) => void;

/** One model's evaluation. */
export interface ModelEvaluation<Evaluation> {
  /** What the model is called in the progress line. */
  name: string;
  /** Where it is said how far the evaluation is. */
  progress: Progress;
  /** The model, or undefined where there is none (yet). */
  load(): Promise<CausalTransformer | undefined>;
  /** The evaluation itself. */
  evaluate(model: CausalTransformer, onProgress: EvaluationProgress): Promise<Evaluation>;
}

/** Loads a model, evaluates it with a progress line and gives it back; undefined where there is no model. */
export async function evaluateModel<Evaluation>(
  { name, progress, load, evaluate }: ModelEvaluation<Evaluation>,
): Promise<Evaluation | undefined> {
  const model = await load();
  if (!model) return undefined;
  try {
    progress.stage(`evaluate ${name}`, 1);
    return await evaluate(model, (done, total) => {
      progress.step(done / total, { transitions: `${done}/${total}` });
    });
  } finally {
    progress.done();
    model.dispose();
  }
}
