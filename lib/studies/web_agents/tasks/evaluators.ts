/**
 * Judges what an agent has done by WebArena's rules: the answer it gave (`string_match`), the page it stopped on (`url_match`), what
 * pages hold afterwards (`program_html`) and show (`page_image_query`). A task succeeds when every evaluator that it names does.
 *
 * Nothing here asks a language model: `fuzzy_match` and questions about pictures go to judges that the caller gives. Helpers that
 * WebArena's `func:` calls are in `task_helpers.ts`; those that ask a site's own interface are given by the caller too.
 *
 * Source: WebArena (Zhou et al., 2024), §3.2, and its evaluation harness; ` |OR| ` in answers, `must_exclude`, `one_of`,
 * `required_values`, `EXACT` and `page_image_query` as in VisualWebArena's, from which the paper's agent has its own.
 */
import { UserError } from "../../../base/user_error.ts";
import { WebActionError, type WebBrowser } from "../../../worlds/web_page/browser.ts";
import { readLambda } from "./lambda_locator.ts";
import { isMissingFile, matchPictures, type PictureJudge } from "./page_pictures.ts";
import { type HelperPage, readHelperCall, type TaskHelpers } from "./task_helpers.ts";
import { cleanAnswer, excludesText, includesText, isExactMatch, isWithin, quote } from "./text_matches.ts";
import { unescapeHtml } from "./unescape_html.ts";
import type {
  EvaluatorType,
  PageCheck,
  ReferenceAnswers,
  TaskEvaluation,
  WebTask,
} from "../../../worlds/web_page/web_task.ts";

/** What a judge is asked about an answer. */
export interface JudgeQuestion {
  /** `same`: does the answer mean the reference; `unachievable`: does it give the reason why the task cannot be done. */
  readonly kind: "same" | "unachievable";
  /** What the agent was asked. */
  readonly intent: string;
  /** What the task holds to be right. */
  readonly reference: string;
  /** Cleaned as {@linkcode cleanAnswer} does. */
  readonly answer: string;
}

/** Decides whether an answer is right where words alone cannot. */
export type AnswerJudge = (question: JudgeQuestion) => Promise<boolean>;

/**
 * How a run is judged.
 *
 * @internal
 */
export interface EvaluationOptions {
  /** The browser where the agent stopped. */
  readonly browser: WebBrowser;
  /** What it answered; empty when it stopped without. */
  readonly answer: string;
  /** For `fuzzy_match`. */
  readonly judge?: AnswerJudge;
  /** For questions about pictures. */
  readonly pictureJudge?: PictureJudge;
  /** For `func:`, besides those of `task_helpers.ts`. */
  readonly helpers?: TaskHelpers;
}

/** One condition of a task. */
export interface EvaluationPart {
  /** Which evaluator it belongs to. */
  readonly type: EvaluatorType;
  /** 1 where it holds. */
  readonly score: 0 | 1;
  /** In words: what was looked for, where, and whether it was there. */
  readonly why: string;
}

/**
 * How a run was judged.
 *
 * @internal
 */
export interface TaskResult {
  /** 1 when every part holds. */
  readonly success: 0 | 1;
  /** In the order of the task. */
  readonly parts: readonly EvaluationPart[];
}

/**
 * Judges a finished run of a task: its answer, the address, the pages.
 *
 * @throws {UserError} When the task needs a judge or a helper that was not given.
 */
export async function evaluateTask(task: WebTask, options: EvaluationOptions): Promise<TaskResult> {
  const missing = missingMeans(task, options);
  if (missing !== undefined) throw new UserError(`task_id ${task.taskId}: ${missing}`);
  const { types, programHtml = [], pageImages = [] } = task.evaluation;
  const parts: EvaluationPart[] = [];
  for (const type of types) {
    if (type === "string_match") parts.push(...await matchAnswer(task, options));
    else if (type === "url_match") parts.push(matchUrl(task.evaluation, (await options.browser.observe()).url));
    else if (type === "program_html") {
      for (const check of programHtml) parts.push(...await matchPage(check, options));
    } else {
      for (const check of pageImages) {
        const url = await addressOf(check.url, options);
        for (const { holds, why } of await matchPictures({ ...check, url }, options.browser, options.pictureJudge)) {
          parts.push({ type, score: holds ? 1 : 0, why });
        }
      }
    }
  }
  return { success: parts.every(({ score }) => score === 1) ? 1 : 0, parts };
}

/** Why a task could not be judged with what is given; undefined where it can. To be asked before anything is run. */
export function missingMeans(
  { evaluation }: WebTask,
  given: Pick<EvaluationOptions, "judge" | "pictureJudge" | "helpers">,
): string | undefined {
  const { referenceAnswers, programHtml = [], pageImages = [] } = evaluation;
  const isFuzzy = referenceAnswers?.fuzzyMatch || programHtml.some(({ required }) => "fuzzyMatch" in required);
  if (isFuzzy && !given.judge) return "fuzzy_match needs a judge: name a model that judges answers";
  if (pageImages.some(({ questions }) => questions.length > 0) && !given.pictureJudge) {
    return "eval_vqa needs a judge that sees: name a model that judges answers";
  }
  const lost = pageImages.flatMap(({ sameAs }) => sameAs).find(isMissingFile);
  if (lost !== undefined) return `picture ${lost} is not there (paths are taken from where the command runs)`;
  const expressions = [
    ...programHtml.flatMap(({ url, locator }) => [url, locator]),
    ...pageImages.map(({ url }) => url),
  ];
  try {
    for (const each of expressions) if (each.startsWith("func:")) readHelperCall(each, given.helpers);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
  return undefined;
}

async function matchAnswer({ intent, evaluation }: WebTask, options: EvaluationOptions): Promise<EvaluationPart[]> {
  const answers = evaluation.referenceAnswers!, given = cleanAnswer(options.answer), quoted = quote(options.answer);
  const part = (holds: boolean, why: string): EvaluationPart => ({ type: "string_match", score: holds ? 1 : 0, why });
  const parts: EvaluationPart[] = [];
  if (answers.exactMatch !== undefined) {
    const holds = isExactMatch(answers.exactMatch, given);
    parts.push(part(holds, `answer ${quoted} ${holds ? "is" : "is not"} ${quote(answers.exactMatch)}`));
  }
  for (const reference of answers.mustInclude ?? []) {
    const asToken = answers.mustInclude!.length === 1;
    const holds = reference.split(" |OR| ").some((each) => includesText(each, given, asToken));
    parts.push(part(holds, `answer ${quoted} ${holds ? "has" : "lacks"} ${quote(reference)}`));
  }
  for (const reference of answers.mustExclude ?? []) {
    const holds = excludesText(reference, given);
    parts.push(part(holds, `answer ${quoted} ${holds ? "lacks" : "has"} ${quote(reference)}, which it must not have`));
  }
  if (answers.oneOf) {
    const holds = answers.oneOf.some((each) => given.includes(cleanAnswer(each)));
    parts.push(
      part(holds, `answer ${quoted} ${holds ? "has one" : "has none"} of ${answers.oneOf.map(quote).join(", ")}`),
    );
  }
  for (const reference of answers.requiredValues ?? []) {
    const holds = isWithin(reference, given);
    parts.push(part(holds, `answer ${quoted} ${holds ? "is" : "is not"} ${reference}`));
  }
  if (answers.fuzzyMatch) {
    parts.push(...await matchMeaning(answers.fuzzyMatch, given, intent, evaluation, options.judge!));
  }
  return parts;
}

async function matchMeaning(
  references: NonNullable<ReferenceAnswers["fuzzyMatch"]>,
  answer: string,
  intent: string,
  { stringNote }: TaskEvaluation,
  judge: AnswerJudge,
): Promise<EvaluationPart[]> {
  if (references === "N/A") {
    // An answer that also says why is judged by the reason.
    const holds = isExactMatch("N/A", answer) ||
      await judge({ kind: "unachievable", intent, reference: stringNote ?? "", answer });
    const why = `answer ${quote(answer)} ${holds ? "says" : "does not say"} why the task cannot be done`;
    return [{ type: "string_match", score: holds ? 1 : 0, why }];
  }
  const parts: EvaluationPart[] = [];
  for (const reference of references) {
    // A judge is not asked about an answer that is not there.
    const holds = answer === "" ? reference === "" : await judge({ kind: "same", intent, reference, answer });
    const why = `answer ${quote(answer)} ${holds ? "means" : "does not mean"} ${quote(reference)}`;
    parts.push({ type: "string_match", score: holds ? 1 : 0, why });
  }
  return parts;
}

/** Whether a page's address is one of those asked for. */
export function matchUrl({ referenceUrl, urlNote }: TaskEvaluation, url: string): EvaluationPart {
  const references = referenceUrl!.split(" |OR| ").map(withoutSlash), given = withoutSlash(url);
  const holds = urlNote === "EXACT" ? references.includes(given) : isAddressWithin(references, given);
  const why = `stopped at ${quote(url)}, ${holds ? "as asked" : "not"} ${quote(referenceUrl!)}`;
  return { type: "url_match", score: holds ? 1 : 0, why };
}

/**
 * Host and path of some reference stand in the address's, and for every name behind the references' question marks the address has
 * one of the values that any of them gives.
 */
function isAddressWithin(references: readonly string[], given: string): boolean {
  const address = readAddress(given), wanted = references.map(readAddress);
  if (!wanted.some(({ base }) => address.base.includes(base))) return false;
  const names = new Set(wanted.flatMap(({ query }) => [...query.keys()]));
  return [...names].every((name) => {
    const possible = wanted.flatMap(({ query }) => query.getAll(name));
    return address.query.getAll(name).some((value) => possible.includes(value));
  });
}

function readAddress(address: string): { base: string; query: URLSearchParams } {
  const [, base = "", search = ""] = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/)?([^?#]*)(?:\?([^#]*))?/i.exec(address) ?? [];
  // Python's parse_qs drops names without a value.
  const query = new URLSearchParams([...new URLSearchParams(search)].filter(([, value]) => value !== ""));
  return { base: withoutSlash(base), query };
}

function withoutSlash(url: string): string {
  return url.replace(/(?<!\/)\/+$/, "");
}

async function matchPage(check: PageCheck, options: EvaluationOptions): Promise<EvaluationPart[]> {
  const content = unescapeHtml(await locatedContent(check, options));
  const place = `${check.locator === "" ? "page" : check.locator} of ${
    check.url === "last" ? "the last page" : check.url
  }`;
  const shown = check.locator === "" ? "" : ` (${quote(content)})`;
  const part = (holds: boolean, verb: string, reference: string): EvaluationPart => ({
    type: "program_html",
    score: holds ? 1 : 0,
    why: `${place}${shown} ${verb} ${quote(reference)}`,
  });
  // As released, a function that finds nothing fails, whatever is asked of what it finds.
  if (content === "" && check.locator.startsWith("lambda:")) {
    return [{ type: "program_html", score: 0, why: `${place} gives nothing` }];
  }
  const { required } = check;
  if ("exactMatch" in required) {
    const holds = isExactMatch(required.exactMatch, content);
    return [part(holds, holds ? "is" : "is not", required.exactMatch)];
  }
  if ("mustInclude" in required) {
    return required.mustInclude.map((reference) => {
      const holds = reference.split(" |OR| ").some((each) => includesText(each, content));
      return part(holds, holds ? "has" : "lacks", reference);
    });
  }
  if ("requiredValues" in required) {
    return required.requiredValues.map((reference) => {
      const holds = isWithin(reference, content);
      return part(holds, holds ? "is" : "is not", reference);
    });
  }
  if ("fuzzyMatch" in required) {
    const holds = await hasMeaning(required.fuzzyMatch.split(" |OR| "), content, options.judge!);
    return [part(holds, holds ? "means" : "does not mean", required.fuzzyMatch)];
  }
  return required.mustExclude.map((reference) => {
    const holds = excludesText(reference, content);
    return part(holds, holds ? "rightly lacks" : "wrongly has", reference);
  });
}

/** Whether a judge finds a part of a page to mean one of the references. */
async function hasMeaning(references: readonly string[], content: string, judge: AnswerJudge): Promise<boolean> {
  const answer = cleanAnswer(content);
  for (const reference of references) {
    // What was asked of the agent says nothing about a part of a page.
    if (answer !== "" && await judge({ kind: "same", intent: "", reference, answer })) return true;
  }
  return false;
}

async function locatedContent(check: PageCheck, options: EvaluationOptions): Promise<string> {
  const url = await addressOf(check.url, options);
  if (check.locator.startsWith("func:")) return await callHelper(check.locator, options, url);
  const locator = check.locator.startsWith("lambda:") ? readLambda(check.locator) : withPreparation(check);
  return await readPage(options.browser, locator, url);
}

/** The address that a check names; `last` stays as it is. */
async function addressOf(url: string, options: EvaluationOptions): Promise<string> {
  return url.startsWith("func:") ? await callHelper(url, options, "last") : url;
}

async function callHelper(expression: string, { browser, helpers }: EvaluationOptions, url: string): Promise<string> {
  const { helper, args } = readHelperCall(expression, helpers);
  const lastUrl = expression.includes("__last_url__") ? (await browser.observe()).url : "";
  const page: HelperPage = { read: (asked) => readPage(browser, asked, url) };
  return await helper(args.map((each) => each.replaceAll("__last_url__", lastUrl)), page);
}

/** Part of a page; empty where there is none. */
async function readPage(browser: WebBrowser, locator: string, url: string): Promise<string> {
  try {
    return await browser.locate(locator, url === "last" ? undefined : url);
  } catch (error) {
    // A page without the part is a page that fails the task; a browser that cannot look is not.
    if (error instanceof WebActionError || error instanceof UserError) throw error;
    return "";
  }
}

/** One expression that does the preparations first; one that fails is passed over, as are those after it. */
function withPreparation({ locator, prepActions = [] }: PageCheck): string {
  if (prepActions.length === 0 || locator === "") return locator;
  return `(() => { try { ${prepActions.join("; ")} } catch { } return ${locator}; })()`;
}
