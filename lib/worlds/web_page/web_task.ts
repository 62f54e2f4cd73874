/**
 * Tasks for web agents in WebArena's form: what is asked, where it begins, and how it is judged. Reading them from files is
 * `studies/web_agents/tasks/task_file.ts`' affair.
 *
 * Source: WebArena (Zhou et al., 2024), §3.2 and its `config_files`; `must_exclude`, `one_of`, `required_values`, `url_note: EXACT`
 * and `page_image_query` are from VisualWebArena's (Koh et al., 2024), whose evaluators the paper's agent uses.
 */

/** How a task can be judged; several of a task must all hold. */
export const EVALUATOR_TYPES = ["string_match", "url_match", "program_html", "page_image_query"] as const;
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
  /** The answer is a number for which each holds: `>= 12`; ` |OR| ` between alternatives. */
  readonly requiredValues?: readonly string[];
  /** A judge finds the answer to mean each; `"N/A"`: the answer says that the task cannot be done. */
  readonly fuzzyMatch?: readonly string[] | "N/A";
}

/** What a page, or a part of it, must hold. */
export interface PageCheck {
  /** `last` for the page where the agent stopped, an address, or `func:` and a call of a helper. */
  readonly url: string;
  /**
   * JavaScript that gives the part's text (`document.querySelector('#total').outerText`), empty for the whole page, `func:` and a
   * call of a helper, or `lambda:` and what `studies/web_agents/tasks/lambda_locator.ts` reads.
   */
  readonly locator: string;
  /** JavaScript that is run before. */
  readonly prepActions?: readonly string[];
  /** Exactly one of these. */
  readonly required:
    | { readonly exactMatch: string }
    | { readonly mustInclude: readonly string[] }
    | { readonly mustExclude: readonly string[] }
    | { readonly requiredValues: readonly string[] }
    | { readonly fuzzyMatch: string };
}

/** What a picture on a page must show. */
export interface ImageCheck {
  /** As a {@linkcode PageCheck}'s. */
  readonly url: string;
  /** Class of elements whose pictures are meant (`.item-photos`); empty for all of the page. */
  readonly selector: string;
  /** Questions, of each of which one picture's answer must have the text; a judge that sees answers them. */
  readonly questions: readonly { readonly question: string; readonly answer: string }[];
  /** Files or addresses of pictures, of which one must be on the page. */
  readonly sameAs: readonly string[];
  /** Structural similarity above which two pictures are the same. */
  readonly threshold: number;
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
  /** With `page_image_query`. */
  readonly pageImages?: readonly ImageCheck[];
}

/**
 * A task.
 *
 * @internal
 */
export interface WebTask {
  /** Tells it from the others of its file. */
  readonly taskId: number;
  /** Kinds of sites it is about: `shopping`, `shopping_admin`, `reddit`, … */
  readonly sites: readonly string[];
  /** What the agent is asked. */
  readonly intent: string;
  /** Pages that are open at the start, a tab each; the first is the current one. */
  readonly startUrls: readonly string[];
  /** File of cookies and storage with which the agent is signed in; undefined: none. */
  readonly storageState?: string;
  /** Whether the sites must be reset before it. */
  readonly requiresReset: boolean;
  /** Whether the agent must be signed in. */
  readonly requiresLogin: boolean;
  /** How it is judged. */
  readonly evaluation: TaskEvaluation;
}

/** A task as WebArena writes it; `loadTasks` reads it back. */
export function taskJson(task: WebTask): Record<string, unknown> {
  const { types, referenceAnswers: answers, stringNote, referenceUrl, urlNote, programHtml, pageImages } =
    task.evaluation;
  return {
    sites: task.sites,
    task_id: task.taskId,
    require_login: task.requiresLogin,
    storage_state: task.storageState ?? null,
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
        required_values: answers.requiredValues,
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
          required_values: "requiredValues" in required ? required.requiredValues : undefined,
          fuzzy_match: "fuzzyMatch" in required ? required.fuzzyMatch : undefined,
        }),
      })),
      ...pageImages === undefined ? {} : {
        page_image_query: pageImages.map(({ url, selector, questions, sameAs, threshold }) => ({
          eval_image_url: url,
          eval_image_class: selector,
          ...questions.length === 0 ? {} : { eval_vqa: questions },
          ...sameAs.length === 0 ? {} : { eval_fuzzy_image_match: sameAs.join(" |OR| "), ssim_threshold: threshold },
        })),
      },
    },
  };
}

/** An object without the fields that hold nothing. */
export function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}
