/** Rolls a policy out in the true table-top world, for tests. */
import type { Philox } from "../../../../lib/tensor/random.ts";
import { isTerminal, type Policy, type PolicyFrame } from "../../../../lib/worlds/robot_video/policy.ts";
import { START_TASK_STEPS, type StartState, startWorld } from "../../../../lib/gyms/table_top/start_states.ts";
import { taskSucceeded } from "../../../../lib/gyms/table_top/tasks.ts";

/** How each episode ended. */
export interface Outcome {
  success: boolean;
  steps: number;
  ended: boolean;
}

/** Runs one episode from each start; `spoil` may change what the policy sees. */
export async function rollOut(
  policy: Policy,
  starts: readonly StartState[],
  { side = 32, seed = 0, spoil = (frame) => frame }: {
    side?: number;
    seed?: number;
    spoil?: (frame: PolicyFrame) => PolicyFrame;
  } = {},
): Promise<Outcome[]> {
  const worlds = starts.map((start) => startWorld(start));
  const outcomes: Outcome[] = starts.map(() => ({ success: false, steps: 0, ended: false }));
  await policy.reset(starts.map(({ instruction }) => instruction), starts.map((_, i) => 1000 * seed + i));
  for (let t = 0; t < START_TASK_STEPS && outcomes.some(({ ended }) => !ended); t++) {
    const actions = await policy.act(
      worlds.map((world, i) =>
        outcomes[i].ended ? null : spoil({ pixels: world.render(side, side), height: side, width: side })
      ),
    );
    actions.forEach((action, i) => {
      if (action === null) return;
      worlds[i].step(action);
      outcomes[i].steps++;
      outcomes[i].ended = isTerminal(action);
    });
  }
  outcomes.forEach((outcome, i) => outcome.success = taskSucceeded(worlds[i].state, starts[i].task));
  return outcomes;
}

/** A frame as a learned model might draw it: each pixel mixed with its neighbours, and noise of a standard deviation. */
export function blurred({ pixels, height, width }: PolicyFrame, random: Philox, noise: number): PolicyFrame {
  const out = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    const c = i % 3, column = Math.floor(i / 3) % width, row = Math.floor(i / 3 / width);
    let sum = 0, count = 0;
    for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(width - 1, column + 1); x++) {
        const weight = y === row && x === column ? 4 : 1;
        sum += weight * pixels[(y * width + x) * 3 + c];
        count += weight;
      }
    }
    out[i] = Math.min(Math.max(Math.round(sum / count + noise * random.normal()), 0), 255);
  }
  return { pixels: out, height, width };
}
