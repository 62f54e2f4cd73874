/**
 * `deno task web-agent`: agents that look ahead with a world model before they act in a browser, against one that does not.
 *
 * Without flags: the built-in site's tasks in the simulated browser, without a world model and with the site itself as one. With
 * `--run`: a trained model before and after RLVR as well. With endpoints: any model in any role, on any site, in Chromium.
 */
import { TOLD_HISTORIES, VALUE_SCALES } from "../lib/studies/web_agents/chat_roles.ts";
import { plainText } from "../lib/report/tables.ts";
import { CONDITION_NAMES, type ConditionName } from "../lib/studies/web_agents/agent_conditions.ts";
import { ENDPOINT_ROLES, type EndpointChoice, type EndpointRole } from "../lib/studies/web_agents/agent_endpoints.ts";
import { agentDifferenceRows, agentSuccessRows } from "../lib/studies/web_agents/agent_report.ts";
import { agentHeadline, errorLines } from "../lib/studies/web_agents/agent_results.ts";
import { runWebAgents, type WebAgentSettings } from "../lib/studies/web_agents/agent_run.ts";
import { UserError } from "../lib/base/user_error.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { progressFor } from "../lib/runs/progress.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";
import { newestRun, runName } from "./run_names.ts";

/** Tasks side by side in the simulated browser: as many questions as a small model answers well at once. */
const SIMULATED_WORKERS = 128;

const COMMAND: Command = {
  name: "web-agent",
  summary: "Lets web agents do tasks with and without a world model, and compares how often they succeed.",
  flags: {
    run: { value: "FOLDER", description: "A run of train-web: its likelihood and RLVR models" },
    "world-model": {
      value: "A,B,…",
      description: `Who looks ahead, of ${CONDITION_NAMES.join(", ")}`,
      default: "all that there are",
    },
    tasks: { value: "FILE", description: "Tasks in WebArena's form (.json)", default: "the built-in site's" },
    site: {
      value: "NAME=URL",
      description: "Where a site of a task file is served: SHOPPING=http://…",
      repeated: true,
    },
    "task-ids": { value: "N,N-N,…", description: "Tasks that are done, by task_id", default: "all that can be judged" },
    "site-seeds": { value: "N,N,…", description: "Seeds of the built-in site", default: "0,1,2" },
    seeds: { value: "N,N,…", description: "Seeds of the agents", default: "0" },
    browser: { value: "simulated|chromium", description: "Where the agents act", default: "simulated" },
    "allow-host": {
      value: "HOST",
      description: "A host that Chromium may reach besides the tasks' own",
      repeated: true,
    },
    "storage-state": {
      value: "FILE",
      description: "A login for all tasks, as deno task web-login makes it",
      default: "what each task names",
    },
    "page-limit": {
      value: "SECONDS",
      description: "That a page may take to settle or answer; three times that to begin to load",
      default: "10",
    },
    policy: {
      value: "URL",
      description: "A chat endpoint that proposes actions",
      default: "a built-in policy that errs",
    },
    summarizer: { value: "URL", description: "One that sums changes up", default: "the policy's, or a program" },
    translator: { value: "URL", description: "One that describes the next state", default: "the summarizer's" },
    value: { value: "URL", description: "One that scores it", default: "the policy's, or a program" },
    "world-model-url": { value: "URL", description: "A served world model, for the condition served" },
    judge: { value: "URL", description: "One that judges answers and pictures: for fuzzy_match and eval_vqa" },
    model: {
      value: "ROLE=NAME",
      description: `Model of an endpoint; ROLE: ${ENDPOINT_ROLES.join(", ")}`,
      repeated: true,
    },
    key: { value: "ROLE=VARIABLE", description: "Environment variable with an endpoint's key", repeated: true },
    completions: { value: "ROLE", description: "An endpoint without a chat interface (a base model)", repeated: true },
    "time-limit": { value: "SECONDS", description: "That one request may take", default: "120" },
    retries: { value: "N", description: "Tries of a request beyond the first", default: "5" },
    concurrency: { value: "N", description: "Requests at a time to one endpoint", default: "16" },
    prompts: { value: "FOLDER", description: "Prompts of one's own in place of lib/studies/web_agents/prompts" },
    history: {
      value: TOLD_HISTORIES.join("|"),
      description: "Actions that a policy is told: all, or the last as WebArena's agent",
      default: "all",
    },
    "value-scale": {
      value: VALUE_SCALES.join("|"),
      description: "Scores of a value: 1 to 5, or 0 to 1 as trained value models give",
      default: "1-5",
    },
    "page-characters": { value: "N", description: "Characters of a page that endpoints are told", default: "15360" },
    branching: { value: "N", description: "Actions that are looked at", default: "3" },
    samples: { value: "N", description: "Samples of the policy", default: "20" },
    "value-samples": { value: "N", description: "Scores of each action", default: "20" },
    "max-steps": { value: "N", description: "Actions of a task", default: "the solution's and --slack; 5 if unknown" },
    slack: { value: "N", description: "Actions beyond the solution's", default: "3" },
    confusion: { value: "SHARE", description: "How often the built-in policy prefers a wrong action", default: "0.6" },
    greedy: { description: "A trained model says its likeliest answer instead of a drawn one" },
    workers: { value: "N", description: "Tasks side by side", default: `${SIMULATED_WORKERS}; 1 in Chromium` },
    out: { value: "FOLDER", description: "Where everything is written", default: "runs/web-agent-TIME" },
    resume: {
      description: "Go on with the comparison in --out (or the newest one): trials that have a result are kept",
    },
    ...ENGINE_FLAGS,
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const settings = readSettings(flags), choice = engineChoice(flags);
  const progress = progressFor(Deno.stderr), resume = flags.has("resume"), out = flags.text("out");
  const { result, report, replay } = await runWebAgents(settings, {
    out: out ?? (resume ? await newestRun("web-agent") : runName("web-agent")),
    unique: out === undefined,
    resume,
    openEngine: async () => {
      const { engine, reason } = await openEngine(choice);
      progress.note(reason);
      return engine;
    },
    requests: {
      timeoutSeconds: flags.integer("time-limit", 1),
      retries: flags.integer("retries"),
      concurrency: flags.integer("concurrency", 1),
    },
    progress,
    signal,
  });
  console.log(`success in per cent [95 % interval]\n${plainText(agentSuccessRows(result.table))}\n`);
  if (result.table.differences.length > 0) console.log(`${plainText(agentDifferenceRows(result.table))}\n`);
  console.log(`${agentHeadline(result.table)}\nreport: ${report}\nreplay: ${replay}`);
  for (const line of errorLines(result.table)) console.error(line);
  // A condition without a result is not one that does badly.
  if (result.table.failed.length > 0) Deno.exit(1);
}, { stopping: "stopping; tasks that have ended are kept" });

function readSettings(flags: Flags): WebAgentSettings {
  const run = flags.text("run") ?? null, endpoints = readEndpoints(flags), tasks = flags.text("tasks") ?? null;
  const browser = flags.text("browser") ?? "simulated";
  if (browser !== "simulated" && browser !== "chromium") {
    throw new UserError(`--browser must be simulated or chromium: received "${browser}"`);
  }
  return {
    run,
    conditions: readConditions(flags, run, endpoints),
    tasks,
    taskIds: readTaskIds(flags),
    sites: readSites(flags),
    siteSeeds: integers(flags, "site-seeds") ?? [0, 1, 2],
    seeds: integers(flags, "seeds") ?? [0],
    browser,
    allowedHosts: flags.list("allow-host"),
    storageState: flags.text("storage-state") ?? null,
    pageLimit: flags.integer("page-limit", 1) ?? 10,
    endpoints,
    prompts: flags.text("prompts") ?? null,
    history: oneOf(flags, "history", TOLD_HISTORIES) ?? "all",
    valueScale: oneOf(flags, "value-scale", VALUE_SCALES) ?? "1-5",
    pageCharacters: flags.integer("page-characters", 1) ?? null,
    branching: flags.integer("branching", 1) ?? 3,
    samples: flags.integer("samples", 1) ?? null,
    valueSamples: flags.integer("value-samples", 1) ?? 20,
    maxSteps: flags.integer("max-steps", 1) ?? null,
    slack: flags.integer("slack", 1) ?? 3,
    confusion: readShare(flags, "confusion") ?? 0.6,
    greedy: flags.has("greedy"),
    workers: flags.integer("workers", 1) ?? (browser === "simulated" ? SIMULATED_WORKERS : 1),
  };
}

function readConditions(flags: Flags, run: string | null, endpoints: EndpointChoice): ConditionName[] {
  const text = flags.text("world-model");
  if (text === undefined) {
    const isBuiltIn = flags.text("tasks") === undefined;
    return [
      "none",
      ...run === null ? [] : ["likelihood", "rlvr"] as const,
      ...endpoints["world-model"] ? ["served"] as const : [],
      ...isBuiltIn ? ["oracle"] as const : [],
    ];
  }
  const names = words(text, "world-model");
  const strange = names.find((name, i) =>
    !(CONDITION_NAMES as readonly string[]).includes(name) || names.indexOf(name) !== i
  );
  if (strange !== undefined) {
    throw new UserError(`--world-model must be of ${CONDITION_NAMES.join(", ")}, each once: received "${strange}"`);
  }
  return names as ConditionName[];
}

/** Endpoints by role: summarizer and value are the policy's model where they are not named, as in the paper. */
function readEndpoints(flags: Flags): EndpointChoice {
  const policy = flags.text("policy"), summarizer = flags.text("summarizer") ?? policy;
  const urls: Record<EndpointRole, string | undefined> = {
    policy,
    "world-model": flags.text("world-model-url"),
    summarizer,
    translator: flags.text("translator") ?? summarizer,
    value: flags.text("value") ?? policy,
    judge: flags.text("judge"),
  };
  const models = byRole(flags, "model"), keys = byRole(flags, "key"), plain = flags.list("completions");
  for (const role of [...Object.keys(models), ...Object.keys(keys), ...plain] as EndpointRole[]) {
    if (!ENDPOINT_ROLES.includes(role)) {
      throw new UserError(`there is no role "${role}": they are ${ENDPOINT_ROLES.join(", ")}`);
    }
    if (urls[role] === undefined) {
      throw new UserError(`the ${role} is no endpoint: name its address, or leave its flags out`);
    }
  }
  const choice: EndpointChoice = {};
  for (const role of ENDPOINT_ROLES) {
    const url = urls[role];
    if (url === undefined) continue;
    // Whoever shares the policy's address shares its model and key.
    const shared = (own: Partial<Record<string, string>>) =>
      own[role] ?? (url === policy ? own.policy : undefined) ?? null;
    choice[role] = {
      url,
      model: shared(models),
      kind: plain.includes(role) ? "completions" : "chat",
      keyVariable: shared(keys),
    };
  }
  return choice;
}

function byRole(flags: Flags, name: string): Partial<Record<string, string>> {
  return Object.fromEntries(
    flags.list(name).map((text) => {
      const [, role, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
      if (role === undefined) throw new UserError(`--${name} must be ${COMMAND.flags[name].value}: received "${text}"`);
      return [role, value];
    }),
  );
}

/** `SHOPPING=http://…` as the placeholder `__SHOPPING__`. */
function readSites(flags: Flags): Record<string, string> {
  return Object.fromEntries(
    flags.list("site").map((text) => {
      const [, name, url] = /^([A-Z][A-Z_]*)=(.+)$/.exec(text) ?? [];
      if (name === undefined || !URL.canParse(url)) {
        throw new UserError(`--site must be like SHOPPING=http://localhost:7770: received "${text}"`);
      }
      return [`__${name}__`, url];
    }),
  );
}

/** `3,7-9` as 3, 7, 8, 9. */
function readTaskIds(flags: Flags): number[] | null {
  const text = flags.text("task-ids");
  if (text === undefined) return null;
  const ids = words(text, "task-ids").flatMap((part) => {
    const [, from, to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    if (from === undefined || Number(to) < Number(from) || Number(to) - Number(from) > 100_000) {
      throw new UserError(`--task-ids must be like 3,7-9: received "${text}"`);
    }
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i);
  });
  return [...new Set(ids)];
}

function oneOf<Name extends string>(flags: Flags, flag: string, names: readonly Name[]): Name | undefined {
  const given = flags.text(flag), name = names.find((each) => each === given);
  if (given !== undefined && name === undefined) {
    throw new UserError(`--${flag} must be one of ${names.join(", ")}: received "${given}"`);
  }
  return name;
}

function integers(flags: Flags, name: string): number[] | undefined {
  const text = flags.text(name);
  if (text === undefined) return undefined;
  const values = words(text, name).map(Number);
  const isSound = values.every((value, i) => Number.isSafeInteger(value) && value >= 0 && values.indexOf(value) === i);
  if (!isSound) throw new UserError(`--${name} must be whole numbers of at least 0, each once: received "${text}"`);
  return values;
}

function readShare(flags: Flags, name: string): number | undefined {
  const text = flags.text(name), value = Number(text);
  if (text === undefined) return undefined;
  if (!(value >= 0 && value <= 1)) throw new UserError(`--${name} must lie in [0, 1]: received "${text}"`);
  return value;
}

function words(text: string, flag: string): string[] {
  const parts = text.split(",").map((word) => word.trim());
  if (parts.includes("")) throw new UserError(`--${flag} must be values with commas between: received "${text}"`);
  return parts;
}
