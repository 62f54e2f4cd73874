/**
 * Judges what an agent has done by WebArena's rules: the answer it gave (`string_match`), the page it stopped on (`url_match`), what
 * pages hold afterwards (`program_html`). A task succeeds when every evaluator that it names does.
 *
 * Nothing here asks a language model: `fuzzy_match` goes to a judge that the caller gives. Helpers that WebArena's `func:` calls
 * (they ask its sites' own interfaces) are given by the caller too, except `reddit_get_post_url`, which only reads an address.
 *
 * Source: WebArena (Zhou et al., 2024), §3.2, and its evaluation harness; ` |OR| ` in answers, `must_exclude`, `one_of` and `EXACT`
 * as in the harness of the agents that descend from VisualWebArena's.
 */
import { UserError } from "../../../files/user_error.ts";
import { WebActionError, type WebBrowser } from "../browser/browser.ts";
import { unescapeHtml } from "./unescape_html.ts";
import type { EvaluatorType, PageCheck, ReferenceAnswers, TaskEvaluation, WebTask } from "./web_task.ts";
import { wordTokens } from "./word_tokens.ts";

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

/** A helper that a task calls: `func:name('a', __last_url__)` calls it with the arguments as texts. */
export type TaskHelper = (args: readonly string[]) => Promise<string> | string;

/** How a run is judged. */
export interface EvaluationOptions {
  /** The browser where the agent stopped. */
  readonly browser: WebBrowser;
  /** What it answered; empty when it stopped without. */
  readonly answer: string;
  /** For `fuzzy_match`. */
  readonly judge?: AnswerJudge;
  /** For `func:`, by name. */
  readonly helpers?: Readonly<Record<string, TaskHelper>>;
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

/** How a run was judged. */
export interface TaskResult {
  /** 1 when every part holds. */
  readonly success: 0 | 1;
  /** In the order of the task. */
  readonly parts: readonly EvaluationPart[];
}

/**
 * Judges a finished run.
 *
 * @throws {UserError} When the task needs a judge or a helper that was not given.
 */
export async function evaluateTask(task: WebTask, options: EvaluationOptions): Promise<TaskResult> {
  requireMeans([task], options);
  const parts: EvaluationPart[] = [];
  for (const type of task.evaluation.types) {
    if (type === "string_match") parts.push(...await matchAnswer(task, options));
    else if (type === "url_match") {
      parts.push(matchUrl(task.evaluation, (await options.browser.observe()).url));
    } else {
      for (const check of task.evaluation.programHtml!) parts.push(...await matchPage(check, options));
    }
  }
  return { success: parts.every(({ score }) => score === 1) ? 1 : 0, parts };
}

/**
 * Refuses tasks that could not be judged, before anything is run.
 *
 * @throws {UserError} When a task needs a judge or a helper that is not given; names the first such task.
 */
export function requireMeans(tasks: readonly WebTask[], given: Pick<EvaluationOptions, "judge" | "helpers">): void {
  for (const { taskId, evaluation } of tasks) {
    if (evaluation.types.includes("string_match") && evaluation.referenceAnswers?.fuzzyMatch && !given.judge) {
      throw new UserError(`task_id ${taskId} has fuzzy_match, which needs a judge: name a model that judges answers`);
    }
    for (const { url, locator } of evaluation.programHtml ?? []) {
      for (const expression of [url, locator]) {
        if (expression.startsWith("func:")) helperOf(expression, given.helpers, taskId);
      }
    }
  }
}

/** An answer without the white space and the quotes around it, in small letters. */
export function cleanAnswer(answer: string): string {
  const trimmed = answer.trim();
  const [first, last] = [trimmed.at(0), trimmed.at(-1)];
  const isQuoted = first === last && (first === "'" || first === '"');
  return (isQuoted ? trimmed.slice(1, -1) : trimmed).toLowerCase();
}

/** Whether an answer is the reference, both cleaned. */
export function isExactMatch(reference: string, answer: string): boolean {
  return cleanAnswer(reference) === cleanAnswer(answer);
}

/**
 * Whether the reference stands in the answer, both cleaned.
 *
 * @param asToken Look for a reference of one character among the answer's tokens: `2` is not in `12`.
 */
export function includesText(reference: string, answer: string, asToken = false): boolean {
  const wanted = cleanAnswer(reference), given = cleanAnswer(answer);
  if (asToken && [...wanted].length === 1 && wordTokens(wanted).length === 1) return wordTokens(given).includes(wanted);
  return given.includes(wanted);
}

/** Whether the reference does not stand in the answer, both cleaned; one of a single token is looked for among tokens. */
export function excludesText(reference: string, answer: string): boolean {
  const wanted = cleanAnswer(reference), given = cleanAnswer(answer);
  return wordTokens(wanted).length === 1 ? !wordTokens(given).includes(wanted) : !given.includes(wanted);
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
  const query = new URLSearchParams(search);
  // Python's parse_qs drops names without a value.
  for (const [name, value] of [...query]) if (value === "") query.delete(name, value);
  return { base: withoutSlash(base), query };
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
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
  return required.mustExclude.map((reference) => {
    const holds = excludesText(reference, content);
    return part(holds, holds ? "rightly lacks" : "wrongly has", reference);
  });
}

async function locatedContent(check: PageCheck, { browser, helpers }: EvaluationOptions): Promise<string> {
  const lastUrl = check.url.includes("__last_url__") || check.locator.includes("__last_url__")
    ? (await browser.observe()).url
    : "";
  const call = (expression: string) => {
    const { helper, args } = helperOf(expression, helpers);
    return helper(args.map((each) => each.replaceAll("__last_url__", lastUrl)));
  };
  const url = check.url.startsWith("func:") ? await call(check.url) : check.url;
  if (check.locator.startsWith("func:")) return await call(check.locator);
  try {
    return await browser.locate(withPreparation(check), url === "last" ? undefined : url);
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

/** A call as tasks write it: `func:name('a', "b", __page__)`. */
function helperOf(
  expression: string,
  helpers: EvaluationOptions["helpers"] = {},
  taskId?: number,
): { helper: TaskHelper; args: string[] } {
  const place = taskId === undefined ? "" : `task_id ${taskId}: `;
  const match = /^func:\s*([a-z_]\w*)\((.*)\)$/is.exec(expression.trim());
  if (!match) {
    throw new UserError(`${place}${quote(expression)} is not a call of a helper: write func:name('argument')`);
  }
  const [, name, list] = match;
  const known = { reddit_get_post_url: postUrl, ...helpers } as Record<string, TaskHelper>;
  if (!Object.hasOwn(known, name)) {
    throw new UserError(
      `${place}helper ${name} is not known: known are ${Object.keys(known).join(", ")}; give it to judge such tasks`,
    );
  }
  const args = [...list.matchAll(/'([^']*)'|"([^"]*)"|([^,\s]+)/g)].map(([, a, b, c]) => a ?? b ?? c);
  return { helper: known[name], args };
}

/** Address of a forum post without what follows its number: `http://host/f/books/12/title` → `http://host/f/books/12/`. */
function postUrl([address = ""]: readonly string[]): string {
  const url = URL.parse(address), [, f, forum, post] = url?.pathname.split("/") ?? [];
  return url && f === "f" && post !== undefined ? `${url.protocol}//${url.host}/f/${forum}/${post}/` : address;
}

/** Longest quotation in a reason, in characters. */
const LONGEST_QUOTE = 120;

function quote(content: string): string {
  const line = content.replaceAll(/\s+/g, " ");
  return JSON.stringify(line.length > LONGEST_QUOTE ? `${line.slice(0, LONGEST_QUOTE - 1)}…` : line);
}
