/**
 * Writes transitions as the benchmark's JSONL: one row a line, with the benchmark's keys in its order.
 *
 * Not here: reading such files (`../jsonl.ts`).
 *
 * Source: GPT-simulator, `data/train.zip`.
 */

import { gzipSync } from "fflate";
import { writeFileAtomic } from "../../../files/atomic.ts";
import type { GameScore, GameState, TextGameTransition } from "../state.ts";

/** A line of the benchmark's files. */
export interface BenchmarkRow {
  /** The game's name. */
  game: string;
  /** The row's number within its game. */
  state_id: number;
  /** Before the action. */
  current_state: GameState;
  /** After the action's own effect; its `lastAction` is the action. */
  action_state: GameState;
  /** After the passing of time as well. */
  tick_state: GameState;
  /** The score before. */
  current_score_state: GameScore;
  /** The score afterwards. */
  next_score_state: GameScore;
}

/**
 * The transition as a row.
 *
 * @throws {TypeError} when the transition has no state between action and tick, which the benchmark's form needs.
 */
export function benchmarkRow(transition: TextGameTransition): BenchmarkRow {
  const { game, stateId, current, currentScore, next, nextScore, actionState } = transition;
  if (actionState === undefined) {
    throw new TypeError(`transition ${stateId} of ${game} has no actionState: a benchmark row needs one`);
  }
  return {
    game,
    state_id: stateId,
    current_state: current,
    action_state: actionState,
    tick_state: next,
    current_score_state: currentScore,
    next_score_state: nextScore,
  };
}

/** Writes transitions to a `.jsonl` or, where the path ends so, `.jsonl.gz` file. The file is whole or the old one. */
export async function writeBenchmarkRows(path: string, transitions: readonly TextGameTransition[]): Promise<void> {
  const text = transitions.map((transition) => `${JSON.stringify(benchmarkRow(transition))}\n`).join("");
  // No time in the header: the same transitions give the same bytes.
  await writeFileAtomic(path, path.endsWith(".gz") ? gzipSync(new TextEncoder().encode(text), { mtime: 1 }) : text);
}
