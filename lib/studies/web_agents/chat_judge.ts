/**
 * A model behind an endpoint as the judge of answers that words alone cannot judge, and of pictures. As in WebArena, an answer that is
 * called correct counts, one that is partly correct does not; and the judge says its likeliest words.
 */
import { UserError } from "../../base/user_error.ts";
import type { AnswerJudge } from "./tasks/evaluators.ts";
import type { PictureJudge } from "./tasks/page_pictures.ts";
import type { ChatClient, ChatClientOptions, ChatRequestMessage } from "../../serving/chat_client.ts";
import type { PromptSet } from "./prompt_files.ts";

/** How WebArena's judge is sampled. */
export const JUDGE_SAMPLING = { temperature: 0, topP: 1, maxTokens: 768 } as const satisfies ChatClientOptions;

/** Words of a verdict: any of the first says no, else the last says yes. */
const VERDICTS = {
  same: { no: ["partially correct", "incorrect"], yes: "correct" },
  unachievable: { no: ["different"], yes: "same" },
} as const;

/**
 * Makes a judge.
 *
 * @param stream Names the seeds of its queries.
 * @returns A judge that throws {@linkcode UserError} where the model does not answer, or answers something else.
 */
export function chatJudge(client: ChatClient, prompts: PromptSet, stream: readonly number[]): AnswerJudge {
  return async ({ kind, intent, reference, answer }) => {
    const values = { question: intent, reference, answer };
    const messages = kind === "same" ? prompts.fuzzy_match.fill(values) : prompts.unachievable_match.fill(values);
    const words = (await ask(client, messages, stream)).toLowerCase(), { no, yes } = VERDICTS[kind];
    if (no.some((each) => words.includes(each))) return false;
    if (words.includes(yes)) return true;
    throw new UserError(`the judge gave no verdict: ${JSON.stringify(words.slice(0, 100))}`);
  };
}

/**
 * Makes a judge of pictures, for models that see.
 *
 * @returns A judge that throws {@linkcode UserError} where the model does not answer.
 */
export function chatPictureJudge(client: ChatClient, prompts: PromptSet, stream: readonly number[]): PictureJudge {
  return async ({ bytes, type }, question) => {
    const picture = { type: "image_url", image_url: { url: `data:${type};base64,${bytes.toBase64()}` } } as const;
    const messages: ChatRequestMessage[] = prompts.picture_question.fill({ question }).map(({ role, content }) =>
      role === "user" ? { role, content: [picture, { type: "text", text: content }] } : { role, content }
    );
    return await ask(client, messages, stream);
  };
}

async function ask(
  client: ChatClient,
  messages: readonly ChatRequestMessage[],
  stream: readonly number[],
): Promise<string> {
  const { value: [text], problems = [] } = await client.ask(messages, 1, stream);
  if (problems.length > 0) throw new UserError(`the judge does not answer: ${problems[0]}`);
  return text;
}
