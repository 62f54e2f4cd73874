/**
 * Training of the judge of robot episodes on episodes whose success is known, and how good it is on held-out ones.
 *
 * Binary cross-entropy by AdamW. A batch holds as many successes as failures of each task (where there are both), so that the
 * judge does not learn how often a task succeeds: that would pull the rates of all policies towards each other.
 */
import { STREAM } from "../../base/streams.ts";
import type { JudgedEpisode, SuccessClassifier } from "../../models/success_classifier.ts";
import { AdamW } from "../../nn/optimizer.ts";
import { cosineSchedule } from "../../nn/schedules.ts";
import { valueAndGrad } from "../../tensor/gradient.ts";
import { Philox } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { TrainingDivergedError } from "../../train/diverged.ts";

/** An episode whose success is known. */
export interface LabelledEpisode extends JudgedEpisode {
  /** Name of its task: successes and failures are balanced within one. */
  task: string;
  /** Whether it reached its goal. */
  success: boolean;
}

/** How a judge is trained. */
export interface SuccessTrainingOptions {
  /** Updates. */
  steps: number;
  /** Episodes of an update. Default 64. */
  batch?: number;
  /** Highest rate; it falls to 0 by half a cosine. Default 2e-3. */
  learningRate?: number;
  /** Decoupled. Default 1e-2. */
  weightDecay?: number;
  /** Of the batches. */
  seed: number;
  /** Called after each update with its loss, nats an episode. */
  onStep?: (step: number, loss: number) => void | Promise<void>;
}

const WARMUP_SHARE = 0.05;

/**
 * Trains a judge in place.
 *
 * @throws {RangeError} When there is no episode.
 * @throws {TrainingDivergedError} When the loss is not finite.
 */
export async function trainSuccessClassifier(
  judge: SuccessClassifier,
  episodes: readonly LabelledEpisode[],
  options: SuccessTrainingOptions,
): Promise<void> {
  const { steps, batch = 64, learningRate = 2e-3, weightDecay = 1e-2, seed, onStep } = options;
  if (episodes.length === 0) throw new RangeError("a judge needs episodes to learn from: received none");
  const strata = stratify(episodes);
  const schedule = cosineSchedule(learningRate, {
    warmupSteps: Math.min(steps - 1, Math.ceil(WARMUP_SHARE * steps)),
    totalSteps: steps,
  });
  const optimizer = new AdamW(judge.parameters, { learningRate, weightDecay });
  const leaves = [...judge.parameters.values()];
  try {
    for (let step = 0; step < steps; step++) {
      const random = new Philox(seed, STREAM.judgeBatch, step);
      const chosen = Array.from({ length: batch }, (_, i) => {
        const own = strata[i % strata.length];
        return own[random.integer(0, own.length)];
      });
      const labels = Float32Array.from(chosen, ({ success }) => Number(success));
      const inputs = judge.batch(chosen), targets = tensor(judge.engine, labels, [batch]);
      const { value, gradients } = valueAndGrad(() => {
        const logits = judge.logits(inputs.first, inputs.final, inputs.words);
        // softplus(x) − y·x is −log p(y) of a logit x.
        return logits.softplus().sub(targets.mul(logits)).mean();
      }, leaves);
      const loss = await value.item();
      if (!Number.isFinite(loss)) throw new TrainingDivergedError("the judge's loss", step, loss);
      optimizer.step(gradients, { learningRate: schedule(step) });
      for (const each of [inputs.first, inputs.final, inputs.words, targets, value, ...gradients]) each.dispose();
      await onStep?.(step + 1, loss);
    }
  } finally {
    optimizer.dispose();
  }
}

/** How good a judge is on some episodes. */
export interface JudgeQuality {
  /** Share of right answers. */
  accuracy: number;
  /** Share of real successes among those that it calls successes; NaN where it calls none so. */
  precision: number;
  /** Share of the real successes that it finds; NaN where there are none. */
  recall: number;
  /** Episodes. */
  n: number;
  /** Real successes among them. */
  successes: number;
}

/** Judges episodes whose success is known. @throws {RangeError} When there is none. */
export async function judgeQuality(
  judge: SuccessClassifier,
  episodes: readonly LabelledEpisode[],
): Promise<JudgeQuality> {
  const probabilities = await judge.judge(episodes);
  return qualityOf(episodes.map(({ success }) => success), [...probabilities].map((p) => p >= 0.5));
}

/** Accuracy, precision and recall of answers. @throws {RangeError} When there is none, or the lists are not parallel. */
export function qualityOf(truth: readonly boolean[], said: readonly boolean[]): JudgeQuality {
  if (truth.length !== said.length || truth.length === 0) {
    throw new RangeError(
      `truth and answers must be parallel and not empty: received ${truth.length} and ${said.length}`,
    );
  }
  const count = (a: boolean, b: boolean) => truth.filter((each, i) => each === a && said[i] === b).length;
  const hits = count(true, true), misses = count(true, false), falseAlarms = count(false, true);
  return {
    accuracy: (hits + count(false, false)) / truth.length,
    precision: hits / (hits + falseAlarms),
    recall: hits / (hits + misses),
    n: truth.length,
    successes: hits + misses,
  };
}

/** Episodes by task and success. */
function stratify(episodes: readonly LabelledEpisode[]): LabelledEpisode[][] {
  const strata = new Map<string, LabelledEpisode[]>();
  for (const episode of episodes) {
    const key = JSON.stringify([episode.task, episode.success]), own = strata.get(key) ?? [];
    own.push(episode);
    strata.set(key, own);
  }
  return [...strata.values()];
}
