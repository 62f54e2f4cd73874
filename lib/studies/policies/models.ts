/**
 * A run's models as policy evaluation needs them: something to roll policies out in, and what its tokenizer leaves of a frame.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { tidy } from "../../tensor/scope.ts";
import { tensor } from "../../tensor/tensor.ts";
import type { FramePredictor } from "../../worlds/robot_video/frame_predictor.ts";
import { singleStepPredictor } from "../../worlds/robot_video/single_step_predictor.ts";
import { multiStepPredictor } from "../../worlds/robot_video/multi_step_predictor.ts";
import { writePixels } from "../../worlds/robot_video/single_step_world.ts";
import type { RobotVideoExperiment } from "../../recipes/robot_video/experiment.ts";

/** Frames that a tokenizer works on at once. */
const FRAMES_AT_ONCE = 64;

/** How frames are drawn where the caller says nothing: as the experiment's evaluation does. */
export function predictionSampling({ config }: RobotVideoExperiment): SamplingOptions {
  const { temperature, topK, topP } = config.evaluation;
  return { temperature, topK, topP };
}

/** Interactive prediction with a model of an experiment, of whichever kind. The model stays the caller's. */
export async function predictorOf(
  experiment: RobotVideoExperiment,
  model: CausalTransformer,
  options: { sampling?: SamplingOptions; maxRows?: number } = {},
): Promise<FramePredictor> {
  const { config, data: { bins } } = experiment, { sampling = predictionSampling(experiment), maxRows } = options;
  const prediction = await experiment.prediction();
  return prediction.kind === "single-step"
    ? singleStepPredictor({
      model,
      tokenizer: prediction.tokenizer,
      bins,
      sampling,
      maxRows,
      history: config.data.history,
    })
    : multiStepPredictor({
      model,
      tokenizer: prediction.tokenizer,
      bins,
      sampling,
      maxRows,
      horizon: config.data.frames - 1,
    });
}

/** Two frames of an episode, RGB bytes [H, W, 3] each. */
export interface FramePair {
  /** The episode's first. */
  first: Uint8Array;
  /** A later one. */
  final: Uint8Array;
}

/**
 * Later frames of episodes as a model with the experiment's tokenizer shows them: encoded and decoded, in a multi-step model with
 * the first frame as context. What such frames lack of true ones is the tokenizer's loss, and nothing that a transformer did.
 */
export async function asModelShows(
  experiment: RobotVideoExperiment,
  pairs: readonly FramePair[],
): Promise<Uint8Array[]> {
  const prediction = await experiment.prediction(), { engine } = experiment;
  const { height, width } = experiment.data.source, size = height * width * 3;
  const shown: Uint8Array[] = [];
  for (let from = 0; from < pairs.length; from += FRAMES_AT_ONCE) {
    const some = pairs.slice(from, from + FRAMES_AT_ONCE), count = some.length;
    const pixels = (of: (pair: FramePair) => Uint8Array) => {
      const numbers = new Float32Array(count * size);
      some.forEach((pair, i) => writePixels(of(pair), numbers, i * size));
      return numbers;
    };
    const decoded = tidy(() => {
      const final = tensor(engine, pixels(({ final }) => final), [count, height, width, 3]);
      if (prediction.kind === "single-step") {
        return prediction.tokenizer.decode(prediction.tokenizer.encode(final));
      }
      const first = tensor(engine, pixels(({ first }) => first), [count, height, width, 3]);
      const tokens = prediction.tokenizer.encode(first, final.reshape([count, 1, height, width, 3]));
      return prediction.tokenizer.decode(tokens.context, tokens.frames).reshape([count, height, width, 3]);
    });
    const numbers = await decoded.data();
    decoded.dispose();
    for (let i = 0; i < count; i++) {
      shown.push(Uint8Array.from({ length: size }, (_, p) => Math.round(255 * numbers[i * size + p])));
    }
  }
  return shown;
}
