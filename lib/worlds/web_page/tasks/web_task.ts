/**
 * Tasks for web agents in WebArena's form: what is asked, where it begins, and how it is judged.
 *
 * A file holds one task or a list of them. Everything that `evaluators.ts` could not judge is refused here, before an agent has done
 * anything. Addresses may hold WebArena's placeholders (`__SHOPPING__/checkout`), which stand for where its sites are served.
 *
 * Source: WebArena (Zhou et al., 2024), §3.2 and its `config_files`; `must_exclude`, `one_of` and `url_note: EXACT` are from its
 * successors' evaluators, which the paper's agent uses.
 */
import { z } from "zod";
import { UserError } from "../../../files/user_error.ts";

/** How a task can be judged; several of a task must all hold. */
export const EVALUATOR_TYPES = ["string_match", "url_match", "program_html"] as const;
/** One of {@linkcode EVALUATOR_TYPES}. */
export type EvaluatorType = typeof EVALUATOR_TYPES[number];

/** What an answer must be; all that is given must hold. */
export interface ReferenceAnswers {
  /** The answer is this. */
  readonly exactMatch?: string;
  /** Each stands in the answer; ` |OR| ` between alternatives. */
  readonly mustInclude?: readonly string[];
  /** None stands in the answer. */
  readonly mustExclude?: readonly string[];
  /** At least one stands in the answer. */
  readonly oneOf?: readonly string[];
  /** A judge finds the answer to mean each; `"N/A"`: the answer says that the task cannot be done. */
  readonly fuzzyMatch?: readonly string[] | "N/A";
}

/** What a page, or a part of it, must hold. */
export interface PageCheck {
  /** `last` for the page where the agent stopped, an address, or `func:` and a call of a helper. */
  readonly url: string;
  /** JavaScript that gives the part's text (`document.querySelector('#total').outerText`), empty for the whole page, or `func:`. */
  readonly locator: string;
  /** JavaScript that is run before. */
  readonly prepActions?: readonly string[];
  /** Exactly one of these. */
  readonly required:
    | { readonly exactMatch: string }
    | { readonly mustInclude: readonly string[] }
    | { readonly mustExclude: readonly string[] };
}

/** How a task is judged. */
export interface TaskEvaluation {
  /** Which evaluators judge. */
  readonly types: readonly EvaluatorType[];
  /** With `string_match`. */
  readonly referenceAnswers?: ReferenceAnswers;
  /** Why the task cannot be done, for tasks that cannot. */
  readonly stringNote?: string;
  /** With `url_match`; ` |OR| ` between alternatives. */
  readonly referenceUrl?: string;
  /** How addresses are compared. */
  readonly urlNote: "GOLD in PRED" | "EXACT";
  /** With `program_html`. */
  readonly programHtml?: readonly PageCheck[];
}

/** A task. */
export interface WebTask {
  /** Tells it from the others of its file. */
  readonly taskId: number;
  /** Kinds of sites it is about: `shopping`, `shopping_admin`, `reddit`, … */
  readonly sites: readonly string[];
  /** What the agent is asked. */
  readonly intent: string;
  /** Pages that are open at the start; the last is the current one. */
  readonly startUrls: readonly string[];
  /** Whether the sites must be reset before it. */
  readonly requiresReset: boolean;
  /** Whether the agent must be signed in. */
  readonly requiresLogin: boolean;
  /** How it is judged. */
  readonly evaluation: TaskEvaluation;
}

/** Where WebArena's sites are served: `{ __SHOPPING__: "http://shop.test" }`. */
export type SitePlaces = Readonly<Record<string, string>>;

/** What {@linkcode loadTasks} takes besides the file. */
export interface LoadTasksOptions {
  /** Places of the placeholders that occur in the file. */
  readonly sites?: SitePlaces;
}

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined);
const texts = z.array(z.string()).min(1);

const answersSchema = z.strictObject({
  exact_match: z.string().optional(),
  must_include: texts.optional(),
  must_exclude: texts.optional(),
  one_of: texts.optional(),
  fuzzy_match: z.union([texts, z.string()]).optional(),
});

const pageCheckSchema = z.object({
  url: z.string().min(1),
  locator: z.string(),
  prep_actions: nullable(z.array(z.string())),
  required_contents: z.strictObject({
    exact_match: z.string().optional(),
    must_include: texts.optional(),
    must_exclude: texts.optional(),
  }).refine((contents) => Object.keys(contents).length === 1, {
    message: "must name exactly one of exact_match, must_include, must_exclude",
  }),
});

const taskSchema = z.object({
  task_id: z.number().int().min(0),
  sites: z.array(z.string()).default([]),
  intent: z.string().min(1),
  start_url: z.string().min(1),
  require_reset: z.boolean().default(false),
  require_login: z.boolean().default(false),
  eval: z.object({
    eval_types: z.array(z.enum(EVALUATOR_TYPES, {
      error: ({ input }) => `unknown evaluator ${JSON.stringify(input)}: known are ${EVALUATOR_TYPES.join(", ")}`,
    })).min(1),
    reference_answers: nullable(answersSchema),
    string_note: nullable(z.string()),
    reference_url: nullable(z.string()),
    url_note: nullable(z.enum(["GOLD in PRED", "EXACT"])),
    program_html: nullable(z.array(pageCheckSchema)),
  }),
});

type TaskJson = z.output<typeof taskSchema>;

/**
 * Reads a task file: a JSON list of tasks, or one task.
 *
 * @throws {UserError} When the file cannot be read, is no JSON, or a task lacks a field, has one that cannot be judged (an unknown
 * evaluator), repeats another's id, or holds a placeholder that `sites` does not name.
 */
export async function loadTasks(path: string, options: LoadTasksOptions = {}): Promise<WebTask[]> {
  let content: string;
  try {
    content = await Deno.readTextFile(path);
  } catch (error) {
    throw new UserError(`task file ${path} cannot be read: ${(error as Error).message}`);
  }
  return parseTasks(content, path, options);
}

/** {@linkcode loadTasks} for a file's content. */
export function parseTasks(content: string, file: string, { sites = {} }: LoadTasksOptions = {}): WebTask[] {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw new UserError(`task file ${file} is no JSON: ${(error as Error).message.replaceAll(/\s+/g, " ")}`);
  }
  const list = Array.isArray(json) ? json : [json];
  if (list.length === 0) throw new UserError(`task file ${file} holds no task: write a list of tasks, or one`);
  const tasks = list.map((each, index) => parseTask(each, `task file ${file}, ${nameOf(each, index)}`, sites));
  const seen = new Set<number>();
  for (const { taskId } of tasks) {
    if (seen.has(taskId)) throw new UserError(`task file ${file} has task_id ${taskId} twice: ids must differ`);
    seen.add(taskId);
  }
  return tasks;
}

function nameOf(json: unknown, index: number): string {
  const id = (json as { task_id?: unknown } | null)?.task_id;
  return id === undefined ? `task number ${index + 1}` : `task_id ${JSON.stringify(id)}`;
}

function parseTask(json: unknown, place: string, sites: SitePlaces): WebTask {
  const parsed = taskSchema.safeParse(json);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new UserError(`${place}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const task = parsed.data;
  const evaluation = readEvaluation(task.eval, place, sites);
  return {
    taskId: task.task_id,
    sites: task.sites,
    intent: task.intent,
    startUrls: task.start_url.split(" |AND| ").map((url) => placed(url, sites, `${place}: start_url`)),
    requiresReset: task.require_reset,
    requiresLogin: task.require_login,
    evaluation,
  };
}

function readEvaluation(json: TaskJson["eval"], place: string, sites: SitePlaces): TaskEvaluation {
  const { eval_types: types, reference_answers: answers, program_html: checks, reference_url: url } = json;
  const need = (type: EvaluatorType, field: string, value: unknown) => {
    const isMissing = value === undefined || value === "" ||
      (typeof value === "object" && Object.keys(value as object).length === 0);
    if (types.includes(type) && isMissing) throw new UserError(`${place}: eval.${field}: ${type} needs it`);
  };
  need("string_match", "reference_answers", answers);
  need("url_match", "reference_url", url);
  need("program_html", "program_html", checks);
  const fuzzy = answers?.fuzzy_match;
  if (typeof fuzzy === "string" && fuzzy !== "N/A") {
    throw new UserError(`${place}: eval.reference_answers.fuzzy_match must be a list or "N/A": received "${fuzzy}"`);
  }
  return {
    types,
    referenceAnswers: answers && dropUndefined({
      exactMatch: answers.exact_match,
      mustInclude: answers.must_include,
      mustExclude: answers.must_exclude,
      oneOf: answers.one_of,
      fuzzyMatch: fuzzy as ReferenceAnswers["fuzzyMatch"],
    }),
    stringNote: json.string_note,
    referenceUrl: types.includes("url_match") ? placed(url!, sites, `${place}: eval.reference_url`) : undefined,
    urlNote: json.url_note ?? "GOLD in PRED",
    programHtml: types.includes("program_html")
      ? checks!.map((check, index) => readCheck(check, `${place}: eval.program_html.${index}`, sites))
      : undefined,
  };
}

function readCheck(
  check: z.output<typeof pageCheckSchema>,
  place: string,
  sites: SitePlaces,
): PageCheck {
  const locator = check.locator.trim();
  if (locator !== "" && !/^(document\.|\[\.\.\.document\.|func:)/.test(locator)) {
    throw new UserError(
      `${place}.locator must be empty, begin with document. or [...document., or with func:: received ${
        JSON.stringify(locator)
      }`,
    );
  }
  const { exact_match: exact, must_include: include, must_exclude: exclude } = check.required_contents;
  return {
    url: placed(check.url, sites, `${place}.url`),
    locator,
    prepActions: check.prep_actions,
    required: exact !== undefined
      ? { exactMatch: exact }
      : include !== undefined
      ? { mustInclude: include }
      : { mustExclude: exclude! },
  };
}

/** An address with its placeholders replaced. */
function placed(address: string, sites: SitePlaces, place: string): string {
  return address.replaceAll(/__[A-Z]+(?:_[A-Z]+)*__/g, (placeholder) => {
    if (Object.hasOwn(sites, placeholder)) return sites[placeholder].replace(/\/$/, "");
    throw new UserError(`${place}: ${placeholder} is not known: say where that site is served`);
  });
}

/** A task as WebArena writes it; `parseTasks` reads it back. */
export function taskJson(task: WebTask): Record<string, unknown> {
  const { types, referenceAnswers: answers, stringNote, referenceUrl, urlNote, programHtml } = task.evaluation;
  return {
    sites: task.sites,
    task_id: task.taskId,
    require_login: task.requiresLogin,
    storage_state: null,
    start_url: task.startUrls.join(" |AND| "),
    geolocation: null,
    intent: task.intent,
    require_reset: task.requiresReset,
    eval: {
      eval_types: types,
      reference_answers: answers === undefined ? null : dropUndefined({
        exact_match: answers.exactMatch,
        must_include: answers.mustInclude,
        must_exclude: answers.mustExclude,
        one_of: answers.oneOf,
        fuzzy_match: answers.fuzzyMatch,
      }),
      ...stringNote === undefined ? {} : { string_note: stringNote },
      reference_url: referenceUrl ?? "",
      ...referenceUrl === undefined ? {} : { url_note: urlNote },
      program_html: (programHtml ?? []).map(({ url, locator, prepActions, required }) => ({
        url,
        locator,
        ...prepActions === undefined ? {} : { prep_actions: prepActions },
        required_contents: dropUndefined({
          exact_match: "exactMatch" in required ? required.exactMatch : undefined,
          must_include: "mustInclude" in required ? required.mustInclude : undefined,
          must_exclude: "mustExclude" in required ? required.mustExclude : undefined,
        }),
      })),
    },
  };
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}
