/**
 * A comparison of web agents from its settings: who the roles are, what the tasks are, and what is written at the end. Everything
 * that can be wrong with the settings is found before the first task.
 */
import { ChangeValue } from "./built_in/change_value.ts";
import { NoisyPolicy } from "./built_in/noisy_policy.ts";
import { ListSummarizer, ListTranslator } from "./built_in/program_roles.ts";
import { chatJudge, chatPictureJudge } from "./chat_judge.ts";
import {
  ChatPolicy,
  type ChatRoleOptions,
  ChatSummarizer,
  ChatTranslator,
  ChatValue,
  ChatWorldModel,
  type ToldHistory,
  type ValueScale,
} from "./chat_roles.ts";
import { loadPrompts } from "./prompt_files.ts";
import { shoppingHelpers } from "./shopping_helpers.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { UserError } from "../../base/user_error.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { Progress } from "../../runs/progress.ts";
import { RunFolder } from "../../runs/run_folder.ts";
import { STREAM } from "../../base/streams.ts";
import { findChromium } from "../../gyms/chromium/find_chromium.ts";
import { missingMeans } from "./tasks/evaluators.ts";
import type { SkippedTask } from "./tasks/task_file.ts";
import { compareWebAgents, type WebAgentComparison } from "./trials.ts";
import {
  type AgentCondition,
  type ConditionName,
  type SharedRoles,
  withLocalModel,
  withOracle,
  withoutWorldModel,
  withServedModel,
} from "./agent_conditions.ts";
import { type EndpointChoice, Endpoints } from "./agent_endpoints.ts";
import { replayPage } from "./replay.ts";
import { webAgentReportHtml, type WebAgentResult } from "./agent_report.ts";
import { type AgentTask, builtInTasks, chromiumOpener, fileTasks, openSimulated, withLogins } from "./agent_tasks.ts";
import { openWebPageModel, type WebPageModel } from "../../recipes/web_page/web_page_model.ts";

/** What is compared. Plain JSON: it is the folder's `config.json`. */
export interface WebAgentSettings {
  /** A run of train-web, for the conditions `likelihood` and `rlvr`. */
  run: string | null;
  /** World models that are compared: `none`, a model of the run, the site itself. */
  conditions: ConditionName[];
  /** A task file; null: the built-in site's tasks. */
  tasks: string | null;
  /** Numbers of the tasks that are done; null: all. */
  taskIds: number[] | null;
  /** Where sites of a task file are served, by placeholder. */
  sites: Record<string, string>;
  /** Seeds of the built-in site. */
  siteSeeds: number[];
  /** Seeds of the agents: each task is done once with each. */
  seeds: number[];
  /** What shows the pages: the simulated browser, or Chromium. */
  browser: "simulated" | "chromium";
  /** Hosts that Chromium may reach besides those where tasks begin. */
  allowedHosts: string[];
  /** File of a login that every task begins with, in place of those that tasks name; null: theirs. */
  storageState: string | null;
  /** Seconds that a page in Chromium may take to settle or to answer; three times that to begin to load. */
  pageLimit: number;
  /** Roles behind endpoints; the others are the built-in programs. */
  endpoints: EndpointChoice;
  /** Folder with prompts of one's own. */
  prompts: string | null;
  /** What a policy behind an endpoint is told of the actions so far. */
  history: ToldHistory;
  /** Scale of a value behind an endpoint. */
  valueScale: ValueScale;
  /** Characters of a page that endpoints are told; null: as in the paper. */
  pageCharacters: number | null;
  /** Actions that are looked at. */
  branching: number;
  /** Samples of the policy; null: as in the paper. */
  samples: number | null;
  /** How often each candidate is scored; the mean counts. */
  valueSamples: number;
  /** Actions of a task at most; null: its solution's and `slack`, 5 where it is not known. */
  maxSteps: number | null;
  /** Actions that an agent may need beyond the known solution's. */
  slack: number;
  /** Share of the steps in which the built-in policy's likeliest action is wrong. */
  confusion: number;
  /** Whether a trained model says its likeliest answer, or draws one as the paper's agent does. */
  greedy: boolean;
  /** Tasks that are done side by side. */
  workers: number;
}

/**
 * What a comparison runs in.
 *
 * @internal
 */
export interface WebAgentContext {
  out: string;
  /** Writes to `out-2`, `out-3`… where there is a folder `out` already; false when left out. */
  unique?: boolean;
  /** Whether the folder's comparison goes on. */
  resume: boolean;
  /** Opens the engine, where a model is asked. */
  openEngine: () => Promise<Engine>;
  /** Requests to endpoints: how long one may take, how often it is tried again, how many at a time. */
  requests?: { timeoutSeconds?: number; retries?: number; concurrency?: number };
  /** How far it is. */
  progress: Progress;
  /** Stops it; what has been done is kept. */
  signal?: AbortSignal;
}

/** Settings that a comparison may be resumed with although they differ. */
const MAY_CHANGE = ["conditions", "taskIds", "siteSeeds", "seeds", "workers"];

/**
 * Runs a comparison and writes its folder.
 *
 * @returns What `result.json` holds, and the paths of the pages.
 * @throws {UserError} When something that the settings name is not what it should be.
 * @throws {RunInterruptedError} When the signal stops it.
 */
export async function runWebAgents(
  settings: WebAgentSettings,
  context: WebAgentContext,
): Promise<{ result: WebAgentResult; report: string; replay: string }> {
  const { progress, signal } = context;
  const endpoints = new Endpoints(settings.endpoints, { ...context.requests, signal });
  const prompts = await loadPrompts(settings.prompts ?? undefined);
  const means = evaluationMeans(settings, context, endpoints, prompts);
  const { tasks: read, skipped } = await readTasks(settings, means);
  for (const note of skippedNotes(skipped)) progress.note(note);
  if (settings.browser === "chromium") findChromium();
  const shared = sharedRoles(settings, endpoints, prompts);
  checkSettings(settings, read, shared);
  const lost: SkippedTask[] = [], { tasks: taskFile, storageState } = settings;
  const tasks = await withLogins(read, { taskFile, storageState, onSkipped: (task) => void lost.push(task) });
  for (const note of [...skippedNotes(lost), ...signedOutNotes(tasks)]) progress.note(note);
  await endpoints.check();

  using owned = new DisposableStack();
  const conditions = await openConditions(settings, context, { shared, endpoints, prompts, owned });
  using run = await openFolder(settings, context);
  const { results, table, seconds } = await compareWebAgents({
    run,
    conditions,
    tasks,
    seeds: settings.seeds,
    openSession: settings.browser === "simulated"
      ? openSimulated
      : chromiumOpener(settings.allowedHosts, settings.sites, { pageLimit: settings.pageLimit, signal }),
    workers: settings.workers,
    agent: {
      branching: settings.branching,
      samples: settings.samples ?? undefined,
      valueSamples: settings.valueSamples,
    },
    means,
    takesScreenshots: settings.browser === "chromium",
    progress,
    signal,
  });
  const result: WebAgentResult = {
    task: "web-agent",
    table,
    skipped: [...skipped, ...lost],
    retries: endpoints.retries(),
    settings: { ...settings },
    seconds,
  };
  await run.writeResult(result);
  const replay = run.file("replay.html"), report = run.file("report.html");
  await writeFileAtomic(replay, await replayPage(run, results));
  await writeFileAtomic(report, await webAgentReportHtml(result, results, "replay.html"));
  return { result, report, replay };
}

type Prompts = Awaited<ReturnType<typeof loadPrompts>>;
type Means = NonNullable<WebAgentComparison["means"]>;

/** Judges and helpers, where there are endpoints and sites for them. */
function evaluationMeans(
  { seeds, sites }: WebAgentSettings,
  { requests, signal }: WebAgentContext,
  endpoints: Endpoints,
  prompts: Prompts,
): Means {
  const client = endpoints.of("judge"), stream = [seeds[0], STREAM.agent], shop = sites.__SHOPPING__;
  return {
    ...client
      ? { judge: chatJudge(client, prompts, stream), pictureJudge: chatPictureJudge(client, prompts, stream) }
      : {},
    helpers: shop === undefined ? {} : shoppingHelpers(shop, { ...requests, signal }),
  };
}

/** The tasks that are to be done, and those of the file that cannot be judged. @throws {UserError} When none can. */
async function readTasks(
  settings: WebAgentSettings,
  means: Means,
): Promise<{ tasks: AgentTask[]; skipped: SkippedTask[] }> {
  const { siteSeeds, sites, taskIds } = settings, skipped: SkippedTask[] = [];
  const limits = { maxSteps: settings.maxSteps ?? undefined, slack: settings.slack };
  if (settings.tasks === null) {
    const all = builtInTasks(siteSeeds, limits);
    const strange = taskIds?.filter((id) => !all.some(({ task }) => task.taskId === id)) ?? [];
    if (strange.length > 0) {
      throw new UserError(`the built-in site of these seeds has no task_id ${strange.join(", ")}`);
    }
    return { tasks: all.filter(({ task }) => taskIds?.includes(task.taskId) ?? true), skipped };
  }
  const onSkipped = (task: SkippedTask) => void skipped.push(task);
  const read = await fileTasks(settings.tasks, {
    ...limits,
    siteSeeds,
    sites,
    taskIds: taskIds ?? undefined,
    onSkipped,
  });
  const tasks = read.filter(({ task }) => {
    const reason = missingMeans(task, means);
    if (reason !== undefined && !skipped.some(({ taskId }) => taskId === task.taskId)) {
      skipped.push({ taskId: task.taskId, reason });
    }
    return reason === undefined;
  });
  if (tasks.length === 0) {
    const [{ taskId, reason }] = skipped;
    throw new UserError(`no task of ${settings.tasks} can be judged: task_id ${taskId}: ${reason}`);
  }
  return { tasks, skipped };
}

/** Tasks that are left out, a line a reason. */
function skippedNotes(skipped: readonly SkippedTask[]): string[] {
  const byReason = Map.groupBy(skipped, ({ reason }) => reason);
  return [...byReason].map(([reason, tasks]) => {
    const word = tasks.length === 1 ? "task is" : "tasks are";
    return `${tasks.length} ${word} left out (${idList(tasks)}): ${reason}`;
  });
}

/** A line where tasks that need a login have none; the built-in site is signed in to from the start. */
function signedOutNotes(tasks: readonly AgentTask[]): string[] {
  const isSignedOut = ({ task, site, login }: AgentTask) => task.requiresLogin && site === null && !login;
  const signedOut = tasks.filter(isSignedOut).map(({ task }) => task);
  if (signedOut.length === 0) return [];
  const [word, verb] = signedOut.length === 1 ? ["task", "begins"] : ["tasks", "begin"];
  return [
    `${signedOut.length} ${word} with require_login ${verb} signed out (${idList(signedOut)}): ` +
    `there is no storage_state; name a login for all tasks with --storage-state`,
  ];
}

function idList(tasks: readonly { taskId?: number }[]): string {
  const ids = tasks.map(({ taskId }) => taskId ?? "?");
  return `task_id ${ids.slice(0, 10).join(", ")}${ids.length > 10 ? ", …" : ""}`;
}

/** Roles behind endpoints where they are named, the built-in programs where not. */
function sharedRoles(settings: WebAgentSettings, endpoints: Endpoints, prompts: Prompts): SharedRoles {
  const chat = (role: Parameters<Endpoints["of"]>[0]) => {
    const client = endpoints.of(role);
    return client && chatRole(client, prompts, settings);
  };
  const policy = chat("policy"),
    summarizer = chat("summarizer"),
    translator = chat("translator"),
    value = chat("value");
  return {
    policyFor: policy
      ? () => new ChatPolicy(policy, settings.history)
      : ({ solution }) => new NoisyPolicy(solution!, { confusion: settings.confusion }),
    summarizer: summarizer ? new ChatSummarizer(summarizer) : new ListSummarizer(),
    translator: translator ? new ChatTranslator(translator) : new ListTranslator(),
    value: value ? new ChatValue(value, settings.valueScale) : new ChangeValue(),
  };
}

function chatRole(
  client: ChatRoleOptions["client"],
  prompts: Prompts,
  { pageCharacters }: WebAgentSettings,
): ChatRoleOptions {
  return { client, prompts, maxPageCharacters: pageCharacters ?? undefined };
}

/** Finds what would go wrong with every task. */
function checkSettings(
  { conditions, browser, endpoints, storageState }: WebAgentSettings,
  tasks: readonly AgentTask[],
  shared: SharedRoles,
) {
  const unsolved = tasks.find(({ solution }) => !solution);
  if (unsolved && !endpoints.policy) {
    throw new UserError(
      `the built-in policy knows the built-in tasks alone, not task_id ${unsolved.task.taskId}: name a model with --policy URL`,
    );
  }
  const foreign = tasks.find(({ site }) => site === null);
  if (foreign && browser === "simulated") {
    throw new UserError(
      `task_id ${foreign.task.taskId} begins at ${
        foreign.task.startUrls[0]
      }, which the simulated browser does not know: use --browser chromium`,
    );
  }
  const signedIn = tasks.find(({ task }) => task.storageState !== undefined);
  if (browser === "simulated" && (signedIn || storageState)) {
    const what = storageState ? "--storage-state" : `the storage_state of task_id ${signedIn!.task.taskId}`;
    throw new UserError(`the simulated browser keeps no logins: ${what} needs --browser chromium`);
  }
  if (foreign && conditions.includes("oracle")) {
    throw new UserError(`the oracle is the built-in site itself: leave it out of --world-model for other sites`);
  }
  if (!shared.value && conditions.some((each) => each !== "none")) {
    throw new UserError("agents with a world model need a value model: name its endpoint with --value URL");
  }
}

interface Parts {
  shared: SharedRoles;
  endpoints: Endpoints;
  prompts: Prompts;
  owned: DisposableStack;
}

async function openConditions(
  settings: WebAgentSettings,
  context: WebAgentContext,
  { shared, endpoints, prompts, owned }: Parts,
): Promise<AgentCondition[]> {
  const conditions: AgentCondition[] = [];
  let engine: Engine | undefined;
  for (const name of settings.conditions) {
    if (name === "none") conditions.push(withoutWorldModel(shared));
    else if (name === "oracle") conditions.push(withOracle(shared));
    else if (name === "served") {
      const client = endpoints.of("world-model");
      if (!client) throw new UserError("the condition served needs an endpoint: --world-model-url URL");
      conditions.push(withServedModel(shared, new ChatWorldModel(chatRole(client, prompts, settings))));
    } else {
      if (settings.run === null) {
        throw new UserError(`the condition ${name} needs a trained model: name a run of train-web with --run FOLDER`);
      }
      engine ??= owned.adopt(await context.openEngine(), (each) => each.close());
      const model = owned.use(await openWebPageModel(engine, { run: settings.run, which: name }));
      conditions.push(withLocalModel(name, shared, answersOf(model, settings)));
    }
  }
  return conditions;
}

/** Answers of a trained model to a batch; drawn as the paper's client draws them, unless greedy. */
function answersOf(model: WebPageModel, { greedy, seeds }: WebAgentSettings) {
  let batch = 0;
  return async (requests: Parameters<Parameters<typeof withLocalModel>[2]>[0]) => {
    const questions = requests.map(({ question }) => question);
    const stream = [seeds[0], STREAM.agent, batch++] as const;
    const answers = await model.predict(questions, { greedy, temperature: 1, topP: 0.95, stream });
    return answers.map(([answer]) => answer);
  };
}

async function openFolder(settings: WebAgentSettings, { out, resume, unique }: WebAgentContext): Promise<RunFolder> {
  return resume
    ? await RunFolder.open(out, { config: settings, mayChange: MAY_CHANGE })
    : await RunFolder.create(out, { config: settings, unique });
}
