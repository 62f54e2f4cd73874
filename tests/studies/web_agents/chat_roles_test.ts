/** What the roles behind endpoints are asked, and how their answers are read. */
import assert from "node:assert/strict";
import { ChatClient } from "../../../lib/serving/chat_client.ts";
import { chatJudge, chatPictureJudge, JUDGE_SAMPLING } from "../../../lib/studies/web_agents/chat_judge.ts";
import { ChatPolicy, ChatSummarizer, ChatValue, readScores } from "../../../lib/studies/web_agents/chat_roles.ts";
import { loadPrompts } from "../../../lib/studies/web_agents/prompt_files.ts";
import type { AgentState, PredictedCandidate } from "../../../lib/studies/web_agents/roles.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { parseAction } from "../../../lib/worlds/web_page/actions.ts";
import { said, serveChat } from "../../support/chat_server.ts";

const STATE: AgentState = {
  objective: "Find it",
  observation: { tree: "[1] link 'A'\n[2] link 'B'", url: "http://shop.test/", tabs: [], nodes: new Map() },
  url: "http://onestopmarket.com/",
  history: ["click [1]", "go_back", "click [2]"].map((each) => ({ action: parseAction(each), described: `${each}!` })),
  stream: [1],
};
const CANDIDATE = {
  described: "click [1]!",
  description: "A list",
  sections: { newItems: "[3] heading 'C'" },
} as PredictedCandidate;

/** Asks with an answer and gives the last request's messages and body. */
async function asked(
  answer: string,
  ask: (client: ChatClient, prompts: Awaited<ReturnType<typeof loadPrompts>>) => Promise<unknown>,
) {
  await using server = serveChat(() => answer);
  const result = await ask(new ChatClient(server.base, { retries: 0 }), await loadPrompts());
  const { body } = server.requests.at(-1)!;
  return { result, body, messages: body.messages as { role: string; content: unknown }[] };
}

Deno.test("policy: told all actions so far, or the last one, or that there is none", async () => {
  const told = async (state: AgentState, ...history: ["all" | "last"] | []) => {
    const { body } = await asked(
      "",
      (client, prompts) => new ChatPolicy({ client, prompts }, ...history).propose(state, 1),
    );
    return said(body).split("PREVIOUS ACTION: ").at(-1);
  };
  // The released agent's, and the default.
  const all = "None\nclick [1]!\ngo_back!\nclick [2]!";
  assert.equal(await told(STATE), all);
  assert.equal(await told(STATE, "all"), all);
  assert.equal(await told(STATE, "last"), "click [2]!");
  for (const history of ["all", "last"] as const) assert.equal(await told({ ...STATE, history: [] }, history), "None");
});

Deno.test("roles: pages are cut to the setting", async () => {
  const { body } = await asked(
    "",
    (client, prompts) => new ChatPolicy({ client, prompts, maxPageCharacters: 15 }).propose(STATE, 1),
  );
  assert.match(said(body), /OBSERVATION:\n\[1\] link 'A'\n\(1 more lines are left out\)\nURL/);
});

Deno.test("summarizer: changes stand in the system message, the user's is empty, as released", async () => {
  const { messages } = await asked(
    "1. x",
    (client, prompts) => new ChatSummarizer({ client, prompts }).summarize(STATE, [CANDIDATE]),
  );
  assert.deepEqual(messages.map(({ role }) => role), ["system", "user"]);
  assert.match(messages[0].content as string, /New items:\n\[3\] heading 'C'\n\nDeleted items:\nNone\n/);
  assert.equal(messages[1].content, "");
});

Deno.test("value: the scale decides what is asked and what is read", async () => {
  const scored = async (answer: string, ...scale: ["1-5" | "0-1"] | []) => {
    const { result, body } = await asked(
      answer,
      (client, prompts) => new ChatValue({ client, prompts }, ...scale).score(STATE, [CANDIDATE], 2),
    );
    return { scores: (result as { value: number[][] }).value[0], isShare: /a number from 0 to 1/.test(said(body)) };
  };
  assert.deepEqual(await scored("[Score]: 4"), { scores: [4, 4], isShare: false });
  assert.deepEqual(await scored("[Score] 0.4", "0-1"), { scores: [0.4, 0.4], isShare: true });
  assert.deepEqual(await scored("[Score]: 4", "0-1"), { scores: [], isShare: true });
});

Deno.test("scores from 1 to 5: the last step of the scale and nothing else", () => {
  const read = (answer: string) => readScores([answer], "1-5")[0];
  assert.equal(read("[Rationale]: good\n[Score]: 4"), 4);
  assert.equal(read("[Score]:5 of 5"), 5);
  for (const none of ["[Score]: 0", "[Score]: 6", "Score: 3", "", "[score]: 3"]) assert.equal(read(none), 0, none);
});

Deno.test("scores from 0 to 1: those that are read, as released; the others do not count", () => {
  const cases: [answer: string, scores: number[]][] = [
    ["[Score] 0.7", [0.7]],
    ["[Score]: 0.7", [0.7]],
    ["a score of 0.25.", [0.25]],
    ["Score: 1", [1]],
    ["value score: 0", [0]],
    ["[Score] .5", [0.5]],
    ["[Score] 1.5", []],
    ["[Score] 0.7.1", []],
    ["[Score] ...", []],
    ["[Score] 2, then a score of 0.5", []],
    ["good", []],
    ["", []],
  ];
  for (const [answer, scores] of cases) assert.deepEqual(readScores([answer], "0-1"), scores, answer);
});

Deno.test("judge: a verdict is read as WebArena reads it", async () => {
  const judged = async (kind: "same" | "unachievable", answer: string) =>
    (await asked(
      answer,
      (client, prompts) =>
        chatJudge(client, prompts, [1])({ kind, intent: "When?", reference: "noon", answer: "at 12" }),
    )).result;
  for (const yes of ["correct", "Correct.", "The answer is CORRECT"]) {
    assert.equal(await judged("same", yes), true, yes);
  }
  for (const no of ["incorrect", "Partially correct", "Not correct: it is incorrect"]) {
    assert.equal(await judged("same", no), false, no);
  }
  assert.equal(await judged("unachievable", "Same"), true);
  assert.equal(await judged("unachievable", "different, not the same"), false);
  const isVerdictError = (error: Error) => error instanceof UserError && /gave no verdict: "well"/.test(error.message);
  await assert.rejects(judged("same", "well"), isVerdictError);
  await using down = serveChat(() => Response.json({ error: { message: "no" } }, { status: 400 }));
  const ask = chatJudge(new ChatClient(down.base, { retries: 0 }), await loadPrompts(), [1]);
  await assert.rejects(
    ask({ kind: "same", intent: "", reference: "a", answer: "b" }),
    /judge does not answer: .*400: no/,
  );
});

Deno.test("judge of pictures: the picture goes with the question", async () => {
  const picture = { bytes: new Uint8Array([1, 2, 3]), type: "image/png" };
  const { result, messages } = await asked(
    "Yes",
    (client, prompts) => chatPictureJudge(client, prompts, [1])(picture, "Red?"),
  );
  assert.equal(result, "Yes");
  assert.deepEqual(messages.at(-1), {
    role: "user",
    content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AQID" } }, { type: "text", text: "Red?" }],
  });
});

Deno.test("judge: sampled as WebArena's", () => {
  assert.deepEqual(JUDGE_SAMPLING, { temperature: 0, topP: 1, maxTokens: 768 });
});
