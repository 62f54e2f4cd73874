/** Evaluators against a Python reference of WebArena's rules (`fixtures/make_evaluators.py`). */
import assert from "node:assert/strict";
import { UserError } from "../../../../lib/base/user_error.ts";
import type { WebAction } from "../../../../lib/worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../../../lib/worlds/web_page/browser.ts";
import {
  evaluateTask,
  type JudgeQuestion,
  matchUrl,
  missingMeans,
} from "../../../../lib/studies/web_agents/tasks/evaluators.ts";
import { unescapeHtml } from "../../../../lib/studies/web_agents/tasks/unescape_html.ts";
import type { PageCheck, TaskEvaluation, WebTask } from "../../../../lib/worlds/web_page/web_task.ts";
import { wordTokens } from "../../../../lib/studies/web_agents/tasks/word_tokens.ts";

const CASES: {
  tokens: [text: string, tokens: string[]][];
  answers: [approach: string, value: string | string[], answer: string, score: 0 | 1][];
  urls: [reference: string, note: TaskEvaluation["urlNote"], url: string, score: 0 | 1][];
  escaped: [text: string, plain: string][];
} = JSON.parse(await Deno.readTextFile(new URL("./fixtures/evaluators.json", import.meta.url)));

/** A page as a browser that evaluators look through; remembers what it was asked. */
class PageStub implements WebBrowser {
  readonly asked: [locator: string, url: string | undefined][] = [];
  constructor(readonly url: string, readonly texts: Record<string, string | Error> = {}) {}

  observe(): Promise<Observation> {
    return Promise.resolve({ tree: "", url: this.url, tabs: [], nodes: new Map() });
  }
  locate(locator: string, url?: string): Promise<string> {
    this.asked.push([locator, url]);
    const text = this.texts[locator] ?? "";
    return text instanceof Error ? Promise.reject(text) : Promise.resolve(text);
  }
  reset = () => this.observe();
  perform = (_: WebAction) => this.observe();
  screenshot = () => Promise.resolve(undefined);
  [Symbol.asyncDispose] = () => Promise.resolve();
}

function taskWith(evaluation: Partial<TaskEvaluation>): WebTask {
  return {
    taskId: 7,
    sites: ["shopping"],
    intent: "Do it.",
    startUrls: ["http://shop.test/"],
    requiresReset: false,
    requiresLogin: false,
    evaluation: { types: [], urlNote: "GOLD in PRED", ...evaluation },
  };
}

const NAMES: Record<string, string> = {
  exact_match: "exactMatch",
  must_include: "mustInclude",
  must_exclude: "mustExclude",
  one_of: "oneOf",
};

Deno.test("evaluators: tokens are NLTK's", () => {
  for (const [text, tokens] of CASES.tokens) assert.deepEqual(wordTokens(text), tokens, text);
  // NLTK's sentence model is not reproduced: a full stop before white space ends a sentence.
  assert.deepEqual(wordTokens("it is 5. ok"), ["it", "is", "5", ".", "ok"]);
});

Deno.test("evaluators: HTML's names and numbers of characters", () => {
  for (const [text, plain] of CASES.escaped) assert.equal(unescapeHtml(text), plain);
});

Deno.test("evaluators: answers are judged as by the reference", async () => {
  assert.ok(CASES.answers.length > 1000);
  assert.ok(CASES.answers.some((each) => each[3] === 0) && CASES.answers.some((each) => each[3] === 1));
  for (const [approach, value, answer, score] of CASES.answers) {
    const task = taskWith({ types: ["string_match"], referenceAnswers: { [NAMES[approach]]: value } });
    const { success, parts } = await evaluateTask(task, { browser: new PageStub("about:blank"), answer });
    assert.equal(success, score, `${approach} ${JSON.stringify(value)} of ${JSON.stringify(answer)}`);
    assert.ok(parts.every(({ type, why }) => type === "string_match" && why.startsWith("answer ")));
  }
});

Deno.test("evaluators: addresses are judged as by the reference", () => {
  for (const [referenceUrl, urlNote, url, score] of CASES.urls) {
    const part = matchUrl({ types: ["url_match"], referenceUrl, urlNote }, url);
    assert.equal(part.score, score, `${referenceUrl} (${urlNote}) of ${url}`);
  }
});

Deno.test("evaluators: every evaluator of a task must hold", async () => {
  const task = taskWith({
    types: ["string_match", "url_match"],
    referenceAnswers: { mustInclude: ["5"] },
    referenceUrl: "http://shop.test/cart",
  });
  const judged = async (answer: string, url: string) =>
    (await evaluateTask(task, { browser: new PageStub(url), answer })).success;
  assert.equal(await judged("5", "http://shop.test/cart?page=2"), 1);
  assert.equal(await judged("6", "http://shop.test/cart"), 0);
  assert.equal(await judged("5", "http://shop.test/"), 0);
});

const TOTAL = "document.querySelector('#total').outerText";

async function judgePage(check: Partial<PageCheck>, texts: Record<string, string | Error>) {
  const browser = new PageStub("http://shop.test/now", texts);
  const programHtml = [{ url: "last", locator: TOTAL, required: { exactMatch: "" }, ...check }];
  const { success } = await evaluateTask(taskWith({ types: ["program_html"], programHtml }), { browser, answer: "" });
  return { success, asked: browser.asked };
}

Deno.test("evaluators: parts of pages", async () => {
  const required = { mustInclude: ["Total", "$24.00 |OR| 24 dollars"] };
  assert.deepEqual(await judgePage({ required }, { [TOTAL]: "total: $24.00" }), {
    success: 1,
    asked: [[TOTAL, undefined]],
  });
  assert.equal((await judgePage({ required }, { [TOTAL]: "total: $25.00" })).success, 0);
  // What stands in a page is found inside a longer text too: tokens are for answers.
  assert.equal((await judgePage({ required: { mustInclude: ["5"] } }, { [TOTAL]: "15" })).success, 1);
  assert.equal((await judgePage({ required: { mustExclude: ["5"] } }, { [TOTAL]: "15" })).success, 1);
  assert.equal((await judgePage({ required: { mustExclude: ["5"] } }, { [TOTAL]: "no 5 left" })).success, 0);
  assert.equal((await judgePage({ required: { exactMatch: "A & B" } }, { [TOTAL]: " a &amp; b " })).success, 1);
  // A part that is not there, or whose expression fails, is empty.
  assert.equal((await judgePage({ required: { mustInclude: ["x"] } }, {})).success, 0);
  assert.equal(
    (await judgePage({ required: { mustInclude: ["x"] } }, { [TOTAL]: new Error("no such element") })).success,
    0,
  );
});

Deno.test("evaluators: a whole page, another page, preparations, helpers", async () => {
  const whole = await judgePage(
    { url: "http://shop.test/p", locator: "", required: { mustInclude: ["kettle"] } },
    { "": "<p>Kettle</p>" },
  );
  assert.deepEqual(whole, { success: 1, asked: [["", "http://shop.test/p"]] });
  const { asked } = await judgePage({ prepActions: ["open()", "wait()"] }, {});
  assert.deepEqual(asked, [[`(() => { try { open(); wait() } catch { } return ${TOTAL}; })()`, undefined]]);
  const post = taskWith({
    types: ["program_html"],
    programHtml: [
      {
        url: "func:reddit_get_post_url('__last_url__')",
        locator: "func:stars(__page__, 'B1', \"x\")",
        required: { exactMatch: "4" },
      },
      { url: "func:reddit_get_post_url('__last_url__')", locator: TOTAL, required: { exactMatch: "" } },
    ],
  });
  const given: string[][] = [];
  const browser = new PageStub("http://forum.test/f/books/12/some-title");
  const helpers = { stars: (args: readonly string[]) => (given.push([...args]), "4") };
  assert.equal((await evaluateTask(post, { browser, answer: "", helpers })).success, 1);
  assert.deepEqual(given, [["B1", "x"]]);
  assert.deepEqual(browser.asked, [[TOTAL, "http://forum.test/f/books/12/"]]);
});

Deno.test("evaluators: what a browser cannot do is an error, not a failed task", async () => {
  await assert.rejects(judgePage({}, { [TOTAL]: new WebActionError("needs a real browser") }), WebActionError);
});

Deno.test("evaluators: meaning is left to a judge", async () => {
  const questions: JudgeQuestion[] = [];
  const judge = (
    question: JudgeQuestion,
  ) => (questions.push(question), Promise.resolve(question.answer.includes("noon")));
  const browser = new PageStub("about:blank");
  const task = taskWith({ types: ["string_match"], referenceAnswers: { fuzzyMatch: ["12:00"] } });
  assert.equal((await evaluateTask(task, { browser, answer: "at Noon", judge })).success, 1);
  assert.deepEqual(questions, [{ kind: "same", intent: "Do it.", reference: "12:00", answer: "at noon" }]);
  assert.equal((await evaluateTask(task, { browser, answer: " ", judge })).success, 0);
  assert.equal(questions.length, 1);
  const impossible = taskWith({
    types: ["string_match"],
    referenceAnswers: { fuzzyMatch: "N/A" },
    stringNote: "there is no such shop",
  });
  assert.equal((await evaluateTask(impossible, { browser, answer: "n/a", judge })).success, 1);
  assert.equal(questions.length, 1);
  assert.equal((await evaluateTask(impossible, { browser, answer: "closed at noon", judge })).success, 1);
  assert.deepEqual(questions[1], {
    kind: "unachievable",
    intent: "Do it.",
    reference: "there is no such shop",
    answer: "closed at noon",
  });
});

Deno.test("evaluators: what a part of a page means is left to a judge, one of the references is enough", async () => {
  const asked: string[] = [];
  const judge = ({ reference, answer }: JudgeQuestion) => {
    asked.push(`${reference}: ${answer}`);
    return Promise.resolve(reference === "late");
  };
  const required = { fuzzyMatch: "early |OR| late |OR| never" };
  const task = taskWith({ types: ["program_html"], programHtml: [{ url: "last", locator: TOTAL, required }] });
  const judged = async (text: string) =>
    (await evaluateTask(task, { browser: new PageStub("http://shop.test/", { [TOTAL]: text }), answer: "", judge }))
      .success;
  assert.equal(await judged("Past Noon"), 1);
  assert.deepEqual(asked, ["early: past noon", "late: past noon"]);
  assert.equal(await judged(""), 0);
});

Deno.test("evaluators: helpers look at the page of their check", async () => {
  const check = {
    url: "func:reddit_get_post_url('__last_url__')",
    locator: "func:get_query_text(__page__, '.desc')",
    required: { mustInclude: ["blue"] },
  };
  const texts = { 'document.querySelector(".desc").textContent': "A blue pan" };
  const browser = new PageStub("http://forum.test/f/books/12/some-title", texts);
  const task = taskWith({ types: ["program_html"], programHtml: [check] });
  assert.equal((await evaluateTask(task, { browser, answer: "" })).success, 1);
  assert.deepEqual(browser.asked, [['document.querySelector(".desc").textContent', "http://forum.test/f/books/12/"]]);
});

Deno.test("evaluators: numbers", async () => {
  const judged = async (requiredValues: string[], answer: string) => {
    const task = taskWith({ types: ["string_match"], referenceAnswers: { requiredValues } });
    return (await evaluateTask(task, { browser: new PageStub("about:blank"), answer })).success;
  };
  assert.equal(await judged([">= 60", "<= 120"], "1,00"), 1);
  assert.equal(await judged([">= 60", "<= 120"], "121"), 0);
  assert.equal(await judged(["== 3 |OR| == 5"], "'5'"), 1);
  assert.equal(await judged([">= 0"], "about 5"), 0);
});

Deno.test("evaluators: what a task cannot be judged without is named before anything runs", async () => {
  const fuzzy = taskWith({ types: ["string_match"], referenceAnswers: { fuzzyMatch: ["a"] } });
  assert.match(missingMeans(fuzzy, {})!, /^fuzzy_match needs a judge/);
  assert.equal(missingMeans(fuzzy, { judge: () => Promise.resolve(true) }), undefined);
  await assert.rejects(evaluateTask(fuzzy, { browser: new PageStub("about:blank"), answer: "b" }), (error) => {
    assert.ok(error instanceof UserError);
    return error.message.startsWith("task_id 7: fuzzy_match needs a judge");
  });
  const page = (locator: string, required: PageCheck["required"] = { exactMatch: "" }) =>
    taskWith({ types: ["program_html"], programHtml: [{ url: "last", locator, required }] });
  assert.match(missingMeans(page("", { fuzzyMatch: "a" }), {})!, /^fuzzy_match needs a judge/);
  assert.match(missingMeans(page("func:latest_order()"), {})!, /^helper latest_order is not known/);
  assert.match(missingMeans(page("func:constructor()"), {})!, /^helper constructor is not known/);
  assert.match(missingMeans(page("func:latest order"), {})!, /is not a call of a helper/);
  assert.equal(missingMeans(page("func:latest_order()"), { helpers: { latest_order: () => "" } }), undefined);
  assert.equal(missingMeans(page("func:get_query_text(__page__, '.a')"), {}), undefined);
  const questions = [{ question: "Red?", answer: "yes" }];
  const picture = taskWith({
    types: ["page_image_query"],
    pageImages: [{ url: "last", selector: "", questions, sameAs: [], threshold: 0.8 }],
  });
  assert.match(missingMeans(picture, {})!, /^eval_vqa needs a judge that sees/);
});
