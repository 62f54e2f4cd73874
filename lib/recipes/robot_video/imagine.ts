/** Frames that a single-step model imagines, one after the other. */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { rollout } from "../../train/rollout.ts";
import type { VideoClip } from "../../worlds/robot_video/clips.ts";
import { singleStepQuestion } from "../../worlds/robot_video/single_step_sequences.ts";
import type { RobotVideoWorld } from "../../worlds/robot_video/single_step_world.ts";
import type { Tokens } from "../../worlds/world.ts";

/**
 * Lets the model imagine: it predicts frame after frame from its own predictions and the actions that were really taken.
 * Clips go side by side, since a step of many costs little more than a step of one.
 *
 * @param clips History frames, then the frames that the actions led to; a clip's length decides how many are imagined.
 * @param options.stream Leading part of the names of the random streams; a frame's number and its clip's complete them.
 * @returns For each clip bytes [S, H, W, 3]: the history frames as they were, then the imagined ones.
 */
export async function imagine(
  model: CausalTransformer,
  world: RobotVideoWorld,
  bins: { encode(actions: Float32Array): Int32Array },
  clips: readonly VideoClip[],
  history: number,
  options: { sampling: SamplingOptions; stream: readonly [seed: number, purpose: number, first: number] },
): Promise<Uint8Array[]> {
  const bytes = ({ height, width }: VideoClip) => height * width * 3;
  const histories = clips.map((clip) => ({
    ...clip,
    frames: clip.frames.subarray(0, history * bytes(clip)),
    length: history,
  }));
  const frames: Tokens[][] = (await world.frameTokens(histories)).map((tokens) => [...tokens]);
  const bin = ({ actions, actionWidth }: VideoClip, t: number) =>
    bins.encode(actions.subarray(t * actionWidth, (t + 1) * actionWidth));
  const answers: Tokens[][] = clips.map(() => []);
  const answerLength = world.tokenizer.tokensPerFrame + 1;
  const [seed, purpose, first] = options.stream;
  for (let t = history; clips.some((clip) => t < clip.length); t++) {
    const running = [...clips.keys()].filter((i) => t < clips[i].length);
    const drawn = await rollout(model, {
      questions: running.map((i) =>
        singleStepQuestion(
          world.vocabulary,
          frames[i].slice(t - history, t),
          Array.from({ length: history }, (_, h) => bin(clips[i], t - history + h)),
        )
      ),
      plans: running.map(() => ({
        tokens: new Int32Array(answerLength),
        sampled: new Uint8Array(answerLength).fill(1),
      })),
      groupSize: 1,
      sampling: options.sampling,
      stream: [seed, purpose, first + t],
      promptNumbers: running,
    });
    running.forEach((i, row) => {
      const answer = drawn.answers[row];
      answers[i].push(answer);
      frames[i].push(answer.subarray(0, answerLength - 1).map((id) => Math.min(id, world.vocabulary.frameTokens - 1)));
    });
  }
  const out: Uint8Array[] = [];
  for (const [i, clip] of clips.entries()) {
    const size = bytes(clip), shown = new Uint8Array(clip.length * size);
    shown.set(clip.frames.subarray(0, history * size));
    if (answers[i].length > 0) {
      const decoded = await world.decode(answers[i]);
      const pixels = await decoded.frames.data();
      for (let p = 0; p < pixels.length; p++) shown[history * size + p] = Math.round(255 * pixels[p]);
      world.release(decoded);
    }
    out.push(shown);
  }
  return out;
}
