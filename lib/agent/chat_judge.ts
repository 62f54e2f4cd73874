/**
 * A model behind an endpoint as the judge of answers that words alone cannot judge. As in WebArena, only an answer that is called
 * correct counts; a partly correct one does not.
 */
import { UserError } from "../files/user_error.ts";
import type { AnswerJudge } from "../worlds/web_page/tasks/evaluators.ts";
import type { ChatClient } from "./chat_client.ts";
import type { PromptSet } from "./prompt_files.ts";

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
    const { value: [text], problems = [] } = await client.ask(messages, 1, stream);
    const word = /\b(partially|incorrect|correct|different|same)\b/i.exec(text)?.[1].toLowerCase();
    if (word === undefined) {
      throw new UserError(`the judge gave no verdict: ${problems[0] ?? JSON.stringify(text.slice(0, 100))}`);
    }
    return word === (kind === "same" ? "correct" : "same");
  };
}
