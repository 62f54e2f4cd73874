/**
 * Reads files of tasks in WebArena's form (`test.raw.json`, `config_files/7.json`): one task or a list of them.
 *
 * Everything that `evaluators.ts` could not judge is found here, before an agent has done anything: such a task is refused, or left out
 * and told. Wherever a task is used it may hold WebArena's placeholders (`__SHOPPING__/checkout`), which stand for where its sites are
 * served.
 */
import { z } from "zod";
import { readTextFile } from "../../../io/plain_file.ts";
import { UserError } from "../../../base/user_error.ts";
import { readLambda } from "./lambda_locator.ts";
import {
  dropUndefined,
  EVALUATOR_TYPES,
  type EvaluatorType,
  type ImageCheck,
  type PageCheck,
  type ReferenceAnswers,
  type TaskEvaluation,
  type WebTask,
} from "../../../worlds/web_page/web_task.ts";
import { readInequality } from "./text_matches.ts";

/** Where WebArena's sites are served: `{ __SHOPPING__: "http://shop.test" }`. */
export type SitePlaces = Readonly<Record<string, string>>;

/** A task that is left out. */
export interface SkippedTask {
  /** Its number; undefined where it has none. */
  readonly taskId?: number;
  /** Why, in one line. */
  readonly reason: string;
}

/** What {@linkcode loadTasks} takes besides the file. */
export interface LoadTasksOptions {
  /** Places of the placeholders that occur in the file. */
  readonly sites?: SitePlaces;
  /** Numbers of the tasks that are wanted; all when left out. */
  readonly taskIds?: readonly number[];
  /** Told each task that cannot be used, which is then left out. When left out, such a task is an error. */
  readonly onSkipped?: (task: SkippedTask) => void;
}

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined);
const texts = z.array(z.string()).min(1);
const inequalities = z.array(
  z.string().refine((text) => text.split(" |OR| ").every((each) => readInequality(each)), {
    error: ({ input }) => `must be inequalities like ">= 12": received ${JSON.stringify(input)}`,
  }),
).min(1);

const answersSchema = z.strictObject({
  exact_match: z.string().optional(),
  must_include: texts.optional(),
  must_exclude: texts.optional(),
  one_of: texts.optional(),
  required_values: inequalities.optional(),
  fuzzy_match: z.union([texts, z.string()]).optional(),
});

const contentsSchema = z.strictObject({
  exact_match: z.string().optional(),
  must_include: texts.optional(),
  must_exclude: texts.optional(),
  required_values: inequalities.optional(),
  fuzzy_match: z.string().min(1).optional(),
}).refine((contents) => Object.keys(contents).length === 1, {
  message: "must name exactly one of exact_match, must_include, must_exclude, required_values, fuzzy_match",
});

const pageCheckSchema = z.object({
  url: z.string().min(1),
  locator: z.string(),
  prep_actions: nullable(z.array(z.string())),
  required_contents: contentsSchema,
});

const imageCheckSchema = z.object({
  eval_image_url: z.string().min(1),
  eval_image_class: z.string().regex(/^(\..*)?$/s, "must be empty or a class, like .item-photos"),
  eval_vqa: z.array(z.object({ question: z.string().min(1), answer: z.string().min(1) })).default([]),
  eval_fuzzy_image_match: nullable(z.string().min(1)),
  ssim_threshold: z.number().min(-1).max(1).default(0.8),
}).refine((query) => query.eval_vqa.length > 0 || query.eval_fuzzy_image_match !== undefined, {
  message: "must ask something: eval_vqa or eval_fuzzy_image_match",
});

const taskSchema = z.object({
  task_id: z.number().int().min(0),
  sites: z.array(z.string()).default([]),
  intent: z.string().min(1),
  start_url: z.string().min(1),
  require_reset: z.boolean().default(false),
  require_login: z.boolean().default(false),
  storage_state: nullable(z.string().min(1)),
  eval: z.object({
    eval_types: z.array(z.enum(EVALUATOR_TYPES, {
      error: ({ input }) => `unknown evaluator ${JSON.stringify(input)}: known are ${EVALUATOR_TYPES.join(", ")}`,
    })).min(1),
    reference_answers: nullable(answersSchema),
    string_note: nullable(z.string()),
    reference_url: nullable(z.string()),
    url_note: nullable(z.enum(["GOLD in PRED", "EXACT"])),
    program_html: nullable(z.array(pageCheckSchema)),
    page_image_query: nullable(z.array(imageCheckSchema)),
  }),
});

type TaskJson = z.output<typeof taskSchema>;

/**
 * Reads a task file: a JSON list of tasks, or one task.
 *
 * A task cannot be used when it lacks a field, has one that cannot be judged (an unknown evaluator), or holds a placeholder that `sites`
 * does not name.
 *
 * @throws {UserError} When the file cannot be read, is no JSON, holds no task that can be used, has a number twice or lacks one that is
 * wanted; without `onSkipped`, at the first task that cannot be used.
 */
export async function loadTasks(path: string, options: LoadTasksOptions = {}): Promise<WebTask[]> {
  let content: string;
  try {
    content = await readTextFile(path);
  } catch (error) {
    throw new UserError(`task file ${path} cannot be read: ${(error as Error).message}`);
  }
  return parseTasks(content, path, options);
}

/** {@linkcode loadTasks} for a file's content. */
export function parseTasks(content: string, file: string, options: LoadTasksOptions = {}): WebTask[] {
  const { sites = {}, taskIds, onSkipped } = options;
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw new UserError(`task file ${file} is no JSON: ${(error as Error).message.replaceAll(/\s+/g, " ")}`);
  }
  const list = (Array.isArray(json) ? json : [json]).map((each, index) => ({ json: each, index, id: idOf(each) }));
  if (list.length === 0) throw new UserError(`task file ${file} holds no task: write a list of tasks, or one`);
  const known = new Set<unknown>();
  for (const { id } of list) {
    if (id !== undefined && known.has(id)) {
      throw new UserError(`task file ${file} has task_id ${JSON.stringify(id)} twice: ids must differ`);
    }
    known.add(id);
  }
  const missing = taskIds?.filter((id) => !known.has(id)) ?? [];
  if (missing.length > 0) throw new UserError(`task file ${file} has no task_id ${missing.join(", ")}`);
  const tasks: WebTask[] = [];
  let firstProblem: UserError | undefined;
  for (const { json, index, id } of list) {
    if (taskIds && !taskIds.includes(id as number)) continue;
    try {
      tasks.push(parseTask(json, sites));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const name = id === undefined ? `task number ${index + 1}` : `task_id ${JSON.stringify(id)}`;
      const problem = new UserError(`task file ${file}, ${name}: ${error.message}`);
      if (!onSkipped) throw problem;
      firstProblem ??= problem;
      onSkipped({ taskId: typeof id === "number" ? id : undefined, reason: error.message });
    }
  }
  if (tasks.length === 0) throw firstProblem;
  return tasks;
}

function idOf(json: unknown): unknown {
  return (json as { task_id?: unknown } | null)?.task_id;
}

/** @throws {UserError} When the task cannot be used: the field and why. */
function parseTask(json: unknown, sites: SitePlaces): WebTask {
  const parsed = taskSchema.safeParse(json);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new UserError(`${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const task = parsed.data;
  return placed({
    taskId: task.task_id,
    sites: task.sites,
    intent: task.intent,
    startUrls: task.start_url.split(" |AND| "),
    storageState: task.storage_state,
    requiresReset: task.require_reset,
    requiresLogin: task.require_login,
    evaluation: readEvaluation(task.eval),
  }, sites);
}

/** Keeps what the task's evaluators look at. */
function readEvaluation(json: TaskJson["eval"]): TaskEvaluation {
  const { eval_types: types, reference_answers: answers, reference_url: url } = json;
  const { program_html: checks, page_image_query: images } = json;
  /** What an evaluator needs; undefined where the task has not that evaluator. */
  const needed = <T>(type: EvaluatorType, field: string, value: T | undefined): T | undefined => {
    if (!types.includes(type)) return undefined;
    const isMissing = value === undefined || value === "" ||
      (typeof value === "object" && Object.keys(value as object).length === 0);
    if (isMissing) throw new UserError(`eval.${field}: ${type} needs it`);
    return value;
  };
  const wanted = needed("string_match", "reference_answers", answers), fuzzy = wanted?.fuzzy_match;
  if (typeof fuzzy === "string" && fuzzy !== "N/A") {
    throw new UserError(`eval.reference_answers.fuzzy_match must be a list or "N/A": received "${fuzzy}"`);
  }
  return {
    types,
    referenceAnswers: wanted && dropUndefined({
      exactMatch: wanted.exact_match,
      mustInclude: wanted.must_include,
      mustExclude: wanted.must_exclude,
      oneOf: wanted.one_of,
      requiredValues: wanted.required_values,
      fuzzyMatch: fuzzy as ReferenceAnswers["fuzzyMatch"],
    }),
    stringNote: json.string_note,
    referenceUrl: needed("url_match", "reference_url", url),
    urlNote: json.url_note ?? "GOLD in PRED",
    programHtml: needed("program_html", "program_html", checks)?.map(readPageCheck),
    pageImages: needed("page_image_query", "page_image_query", images)?.map(readImageCheck),
  };
}

function readPageCheck(check: z.output<typeof pageCheckSchema>, index: number): PageCheck {
  const place = `eval.program_html.${index}.locator`, locator = check.locator.trim();
  if (locator.startsWith("lambda:")) {
    try {
      readLambda(locator);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new UserError(`${place}: ${error.message}`);
    }
  } else if (locator !== "" && !/^(document\.|\[\.\.\.document\.|func:)/.test(locator)) {
    throw new UserError(
      `${place} must be empty, begin with document. or [...document., or with func: or lambda:: received ${
        JSON.stringify(locator)
      }`,
    );
  }
  const contents = check.required_contents;
  return {
    url: check.url,
    locator,
    prepActions: check.prep_actions,
    required: contents.exact_match !== undefined
      ? { exactMatch: contents.exact_match }
      : contents.must_include !== undefined
      ? { mustInclude: contents.must_include }
      : contents.must_exclude !== undefined
      ? { mustExclude: contents.must_exclude }
      : contents.required_values !== undefined
      ? { requiredValues: contents.required_values }
      : { fuzzyMatch: contents.fuzzy_match! },
  };
}

function readImageCheck(query: z.output<typeof imageCheckSchema>): ImageCheck {
  return {
    url: query.eval_image_url,
    selector: query.eval_image_class,
    questions: query.eval_vqa,
    sameAs: query.eval_fuzzy_image_match?.split(" |OR| ") ?? [],
    threshold: query.ssim_threshold,
  };
}

/** The same with the placeholders of all its texts replaced. @throws {UserError} When one is not known. */
function placed<T>(value: T, sites: SitePlaces): T {
  if (typeof value === "string") {
    return value.replaceAll(/__[A-Z]+(?:_[A-Z]+)*__/g, (placeholder) => {
      if (Object.hasOwn(sites, placeholder)) return sites[placeholder].replace(/\/$/, "");
      throw new UserError(`${placeholder} is not known: say where that site is served`);
    }) as T;
  }
  if (Array.isArray(value)) return value.map((each) => placed(each, sites)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, placed(each, sites)])) as T;
}
