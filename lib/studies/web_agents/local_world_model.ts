/** A world model of one's own as a role: questions of all tasks that go on side by side are answered as one batch. */
import type { WebQuestion } from "../../worlds/web_page/transition.ts";
import { questionOf } from "./chat_roles.ts";
import type { LockStep } from "./lock_step.ts";
import type { AgentState, Candidate, WorldModelRole } from "./roles.ts";
import { type Reply, timed } from "../../serving/usage.ts";

/** A question, and the name of the random stream in which its answer is sampled. */
export interface WorldModelRequest {
  readonly question: WebQuestion;
  /** Seed, purpose, site, task, step, role, candidate. */
  readonly stream: readonly number[];
}

export class LocalWorldModel implements WorldModelRole {
  /** Asks nobody yet. @param batches Who answers. The task must have joined it. */
  constructor(private readonly batches: LockStep<WorldModelRequest, string>) {}

  /** {@inheritDoc WorldModelRole.predict} */
  predict(state: AgentState, candidates: readonly Candidate[]): Promise<Reply<string[]>> {
    const requests = candidates.map((each, i) => ({
      question: questionOf(state, each),
      stream: [...state.stream, 1, i],
    }));
    return timed(candidates.length, () => this.batches.ask(requests));
  }
}
