/**
 * The roles as models behind endpoints: what each is asked, and how its answer is read.
 *
 * All are told all actions so far; the policy can be told the last one alone, as WebArena's is. Only the world model sees actions as
 * they were proposed (`click [12]`), the others with what stands at the id. Pages longer than a limit are cut at a line's end, as
 * WebArena cuts them; the limit counts characters here, since a served model's tokens are not known.
 *
 * Source: RLVR-World App. A.3, App. D; its `world_model_agent.py`, which tells the policy all actions.
 */
import { buildWebPrompt } from "../../worlds/web_page/prompt.ts";
import { NO_ACTION, type WebQuestion } from "../../worlds/web_page/transition.ts";
import type { ChatClient, ChatRequestMessage } from "../../serving/chat_client.ts";
import type { PromptSet } from "./prompt_files.ts";
import type {
  AgentState,
  Candidate,
  PolicyRole,
  SummarizerRole,
  TranslatorRole,
  ValueRole,
  WorldModelRole,
} from "./roles.ts";
import { addUsage, type Reply, usageOf } from "../../serving/usage.ts";

/** What a chat role needs. */
export interface ChatRoleOptions {
  /** Whom to ask. */
  client: ChatClient;
  /** What to say. */
  prompts: PromptSet;
  /** Characters of a page at most; 15,360 when left out: the paper's 3,840 tokens at four characters each. */
  maxPageCharacters?: number;
}

/** What a policy is told of the actions so far: all, as the released agent's, or the last, as WebArena's. */
export const TOLD_HISTORIES = ["all", "last"] as const;
/**
 * One of them.
 *
 * @internal
 */
export type ToldHistory = typeof TOLD_HISTORIES[number];

/** Proposes actions. */
export class ChatPolicy implements PolicyRole {
  /** Nothing is sent yet. @param history What it is told of the actions so far. */
  constructor(private readonly options: ChatRoleOptions, private readonly history: ToldHistory = "all") {}

  /** {@inheritDoc PolicyRole.propose} */
  async propose(state: AgentState, samples: number): Promise<Reply<string[]>> {
    const messages = this.options.prompts.policy.fill({
      observation: cutPage(state.observation.tree, this.options.maxPageCharacters),
      url: state.url,
      objective: state.objective,
      previousAction: this.history === "all" ? previousActions(state) : state.history.at(-1)?.described ?? NO_ACTION,
    });
    return await this.options.client.ask(messages, samples, streamOf(state, 0, 0), state.signal);
  }
}

/** The question to a world model about a candidate. */
export function questionOf(state: AgentState, { text }: Pick<Candidate, "text">): WebQuestion {
  return {
    url: state.url,
    objective: state.objective,
    previousActions: [NO_ACTION, ...state.history.map(({ described }) => described)],
    observation: state.observation.tree,
    action: text,
  };
}

/** Predicts what actions change: by a prompt file, or by the prompt that world models are trained with. */
export class ChatWorldModel implements WorldModelRole {
  constructor(private readonly options: ChatRoleOptions) {}

  /** {@inheritDoc WorldModelRole.predict} */
  async predict(state: AgentState, candidates: readonly Candidate[]): Promise<Reply<string[]>> {
    const { prompts, maxPageCharacters } = this.options;
    return await askEach(this.options, state, 1, candidates, (candidate) => {
      const asked = questionOf(state, candidate);
      const question = { ...asked, observation: cutPage(asked.observation, maxPageCharacters) };
      return prompts.world_model
        ? prompts.world_model.fill({ ...question, previousActions: question.previousActions.join("\n") })
        : [{ role: "user", content: buildWebPrompt(question, "instructions") }];
    });
  }
}

/** Sums changes up. */
export class ChatSummarizer implements SummarizerRole {
  constructor(private readonly options: ChatRoleOptions) {}

  /** {@inheritDoc SummarizerRole.summarize} */
  async summarize(
    state: AgentState,
    candidates: Parameters<SummarizerRole["summarize"]>[1],
  ): Promise<Reply<string[]>> {
    return await askEach(
      this.options,
      state,
      2,
      candidates,
      ({ sections }) =>
        this.options.prompts.salient_changes.fill({
          newItems: sections.newItems ?? "None",
          deletedItems: sections.deletedItems ?? "None",
          updatedItems: sections.updatedItems ?? "None",
        }),
    );
  }
}

/** Describes expected states. */
export class ChatTranslator implements TranslatorRole {
  constructor(private readonly options: ChatRoleOptions) {}

  /** {@inheritDoc TranslatorRole.translate} */
  async translate(
    state: AgentState,
    candidates: Parameters<TranslatorRole["translate"]>[1],
  ): Promise<Reply<string[]>> {
    return await askEach(
      this.options,
      state,
      3,
      candidates,
      ({ described, salientChanges }) =>
        this.options.prompts.translate.fill({
          ...commonValues(state, described, this.options),
          keyChanges: salientChanges,
        }),
    );
  }
}

/** Scales of values: 1 to 5 in whole numbers, as the paper's agent has it, or 0 to 1, as its trained value models. */
export const VALUE_SCALES = ["1-5", "0-1"] as const;
/**
 * One of them.
 *
 * @internal
 */
export type ValueScale = typeof VALUE_SCALES[number];

/** Scores expected states. */
export class ChatValue implements ValueRole {
  constructor(private readonly options: ChatRoleOptions, private readonly scale: ValueScale = "1-5") {}

  /** {@inheritDoc ValueRole.score} */
  async score(
    state: AgentState,
    candidates: Parameters<ValueRole["score"]>[1],
    samples: number,
  ): Promise<Reply<number[][]>> {
    const { client, prompts } = this.options;
    const prompt = this.scale === "1-5" ? prompts.value : prompts.value_share;
    const replies = await Promise.all(candidates.map(({ described, description }, i) => {
      const messages = prompt.fill({ ...commonValues(state, described, this.options), nextState: description });
      return client.ask(messages, samples, streamOf(state, 4, i), state.signal);
    }));
    return together(replies, (texts) => readScores(texts, this.scale));
  }
}

/**
 * The scores that answers state. As released, an answer without a score of the scale counts as 0 on the scale of 1 to 5, and not at all
 * on the scale of 0 to 1.
 */
export function readScores(answers: readonly string[], scale: ValueScale): number[] {
  if (scale === "0-1") return answers.map(readShare).filter((each) => each !== undefined);
  return answers.map((answer) => {
    const score = Number(/\[Score\]:\s*(\d+)/.exec(answer)?.[1] ?? 0);
    return score >= 1 && score <= 5 ? score : 0;
  });
}

/** Where a score of 0 to 1 stands in an answer, the first that fits. */
const SHARE_PATTERNS = [/\[Score\]:?\s*([\d.]+)/, /score of\s*([\d.]+)/, /score:\s*([\d.]+)/i];

function readShare(answer: string): number | undefined {
  const text = SHARE_PATTERNS.map((each) => each.exec(answer)?.[1]).find((each) => each !== undefined);
  const digits = text?.replace(/(?<!\.)\.+$/, ""), score = digits ? Number(digits) : NaN;
  return score >= 0 && score <= 1 ? score : undefined;
}

/** A page cut at a line's end to at most so many characters, with a line that says so. */
export function cutPage(tree: string, maxCharacters = 15_360): string {
  if (tree.length <= maxCharacters) return tree;
  const end = tree.lastIndexOf("\n", maxCharacters);
  const kept = tree.slice(0, end === -1 ? maxCharacters : end);
  return `${kept}\n(${tree.slice(kept.length).split("\n").length - 1} more lines are left out)`;
}

function previousActions(state: AgentState): string {
  return [NO_ACTION, ...state.history.map(({ described }) => described)].join("\n");
}

function commonValues(state: AgentState, described: string, { maxPageCharacters }: ChatRoleOptions) {
  return {
    url: state.url,
    objective: state.objective,
    previousActions: previousActions(state),
    observation: cutPage(state.observation.tree, maxPageCharacters),
    action: described,
  };
}

/** One query for each candidate, all at once. */
async function askEach<T>(
  { client }: ChatRoleOptions,
  state: AgentState,
  role: number,
  candidates: readonly T[],
  messages: (candidate: T) => ChatRequestMessage[],
): Promise<Reply<string[]>> {
  const replies = await Promise.all(
    candidates.map((each, i) => client.ask(messages(each), 1, streamOf(state, role, i), state.signal)),
  );
  return together(replies, ([text]) => text);
}

function together<T>(replies: readonly Reply<string[]>[], read: (texts: string[]) => T): Reply<T[]> {
  const usage = addUsage(...replies.map((each) => each.usage));
  return {
    value: replies.map(({ value }) => read(value)),
    // They were waited for at the same time.
    usage: usageOf({ ...usage, seconds: Math.max(0, ...replies.map((each) => each.usage.seconds)) }),
    problems: [...new Set(replies.flatMap(({ problems = [] }) => problems))],
  };
}

function streamOf(state: AgentState, role: number, candidate: number): number[] {
  return [...state.stream, role, candidate];
}
