/**
 * Rolling policies out: one loop for the true simulator and for a world model, several episodes at a time.
 *
 * A policy sees the newest frame, acts, and the environment answers with the next frame, until the policy says that it is done
 * or the longest length is reached; the frame after the last action is what success is judged by. Start i begins with the
 * same frame and the same seed of the policy in every environment, so that roll-outs can be compared start by start.
 *
 * Source: RLVR-World §6.4, App. A.5.
 */
import type { VectorEnv } from "../../worlds/robot_video/environment.ts";
import type { Policy } from "../../worlds/robot_video/policy.ts";

/** What to roll out. */
export interface PolicyRolloutRequest<Start extends { instruction?: string }> {
  /** Where; its limits end what a policy does not. */
  env: VectorEnv<Start>;
  policy: Policy;
  /** One a roll-out. */
  starts: readonly (Start & { instruction: string })[];
  /** Of the environment's random numbers, and with the start's number of the policy's. */
  seed: number;
  /** Whether all frames of a start are kept; the final one always is. Default: none. */
  keepFrames?: (start: number) => boolean;
  /** Called after each step with the number of roll-outs that still run; may throw to stop. */
  onStep?: (step: number, running: number) => void | Promise<void>;
}

/** One roll-out. */
export interface PolicyRollout {
  /** Actions taken. */
  steps: number;
  /** Whether the policy ended it. */
  terminated: boolean;
  /** Whether the goal is reached at the end; null where the environment does not know. */
  success: boolean | null;
  /** The frame after the last action. */
  final: Uint8Array;
  /** From the first to the final one, where they were to be kept. */
  frames?: Uint8Array[];
  /** Whether the goal is reached at each of `frames`. */
  successes?: (boolean | null)[];
}

/**
 * Rolls a policy out from every start. See the file's head.
 *
 * @returns One roll-out a start, in order.
 * @throws {RangeError} When there is no start, or the environment has no largest number of steps: random policies never end.
 */
export async function rollOut<Start extends { instruction?: string }>(
  request: PolicyRolloutRequest<Start>,
): Promise<PolicyRollout[]> {
  const { env, policy, starts, seed, keepFrames = () => false, onStep } = request;
  if (env.limits.maxSteps === undefined) {
    throw new RangeError("rollOut needs an environment with maxSteps: random policies never end");
  }
  const first = await env.reset({ starts, seed });
  await policy.reset(starts.map(({ instruction }) => instruction), starts.map((_, i) => policySeed(seed, i)));
  const rollouts: PolicyRollout[] = first.observations.map(({ pixels }, i) => ({
    steps: 0,
    terminated: false,
    success: first.infos[i].success,
    final: pixels,
    ...keepFrames(i) ? { frames: [pixels], successes: [first.infos[i].success] } : {},
  }));
  const isRunning = starts.map(() => true);
  for (let { observations } = first; isRunning.includes(true);) {
    const actions = await policy.act(observations.map((frame, i) => isRunning[i] ? frame : null));
    const step = await env.step(actions);
    observations = step.observations;
    let taken = 0;
    rollouts.forEach((rollout, i) => {
      if (!isRunning[i]) return;
      const frame = observations[i].pixels;
      const { steps, success } = step.infos[i];
      Object.assign(rollout, { steps, success, terminated: step.terminated[i], final: frame });
      rollout.frames?.push(frame);
      rollout.successes?.push(success);
      // The frame that the last action leads to still belongs to the roll-out, as in the released loop.
      isRunning[i] = !step.terminated[i] && !step.truncated[i];
      taken = steps;
    });
    await onStep?.(taken, isRunning.filter(Boolean).length);
  }
  return rollouts;
}

/** The seed of a policy at a start: the same in every environment, and of no other seed's. */
function policySeed(seed: number, start: number): number {
  return seed * 1_000_003 + start;
}
