/**
 * What a comparison of web agents says to people: rates by condition, kind of site and kind of task with intervals, differences
 * trial by trial, what it cost, what went wrong. The same tables serve the page, the terminal and the notebook.
 */
import type { RoleName } from "./planning_agent.ts";
import type { PlotlyFigure } from "../../report/figures.ts";
import { escapeHtml, figureHtml, formatNumber, formatSeconds, page, plotlyScript, section } from "../../report/html.ts";
import { intervalText, percent, points, tableCard, type TextTable } from "../../report/tables.ts";
import { colors, fontStack, runColors } from "../../report/theme.ts";
import type { SkippedTask } from "./tasks/task_file.ts";
import {
  agentHeadline,
  type AgentTrialResult,
  conditionName,
  errorLines,
  type SuccessRow,
  type SuccessTable,
} from "./agent_results.ts";

/**
 * `result.json` of a comparison.
 *
 * @internal
 */
export interface WebAgentResult {
  /** The command. */
  task: "web-agent";
  /** Rates and differences. */
  table: SuccessTable;
  /** Tasks that could not be judged, and were left out. */
  skipped: readonly SkippedTask[];
  /** Tries of endpoints beyond the first, by what they were for. */
  retries: Record<string, number>;
  /** What was compared: models, sites, seeds, limits. */
  settings: Record<string, unknown>;
  /** Seconds by condition. */
  seconds: Record<string, number>;
}

/** Success in per cent: a row over all, one a kind of site, one a kind of task; a column a condition. */
export function agentSuccessRows({ conditions, all, byKind, byArea }: SuccessTable): TextTable {
  const named = (rows: readonly SuccessRow[], word: string) =>
    rows.map((row) => ({ ...row, group: `${word} ${row.group}` }));
  const rows = [{ ...all, group: "all tasks" }, ...named(byKind, "kind:"), ...named(byArea, "site:")];
  return {
    columns: ["Tasks", "Trials", ...conditions.map(conditionName)],
    rows: rows.map(({ group, rates }) => [
      group,
      String(Math.max(0, ...Object.values(rates).map(({ n }) => n))),
      ...conditions.map((name) => rates[name] ? intervalText(rates[name], (rate) => percent(rate, 0)) : "—"),
    ]),
  };
}

/** Differences in points. */
export function agentDifferenceRows({ differences }: SuccessTable): TextTable {
  return {
    columns: ["From", "To", "Points", "95 % interval", "Trials"],
    rows: differences.map(({ from, to, difference: { mean, low, high, n } }) => [
      conditionName(from),
      conditionName(to),
      points(mean),
      `${points(low)} … ${points(high)}`,
      String(n),
    ]),
  };
}

/** Costs by condition and role. */
export function agentCostRows({ conditions, costs, steps, errors }: SuccessTable): TextTable {
  return {
    columns: ["Agent", "Role", "Queries", "Failed", "Prompt tokens", "Answer tokens", "Seconds"],
    rows: conditions.flatMap((name) => [
      ...Object.entries(costs[name]).map(([role, usage]) => [
        conditionName(name),
        ROLES[role as RoleName],
        ...[usage.queries, usage.failed, usage.promptTokens, usage.answerTokens].map((each) => formatNumber(each)),
        usage.seconds.toFixed(1),
      ]),
      [
        conditionName(name),
        `${steps[name].toFixed(1)} actions a task`,
        "",
        errors[name] > 0 ? `${errors[name]} ${errors[name] === 1 ? "task" : "tasks"} could not go on` : "",
        "",
        "",
        "",
      ],
    ]),
  };
}

const ROLES: Record<RoleName, string> = {
  policy: "policy",
  worldModel: "world model",
  summarizer: "summarizer",
  translator: "translator",
  value: "value",
};

/** A colour of each condition, the same in every figure. */
function colorOf(condition: string): string {
  const own: Record<string, string> = {
    none: colors.base,
    likelihood: runColors[1],
    rlvr: colors.rlvr,
    oracle: colors.truth,
  };
  return own[condition] ?? runColors[3];
}

/** Rates with their intervals: a row a group, a dot a condition. */
export function agentSuccessFigure({ conditions, all, byKind, byArea }: SuccessTable): PlotlyFigure {
  const groups = [all, ...byKind, ...byArea], slots = conditions.length + 1;
  // Group 0 is at the top; within a group the first condition is.
  const place = (group: number, condition: number) => -(group * slots + condition);
  const data = conditions.map((name, c) => {
    const shown = groups.flatMap(({ rates }, g) => rates[name] ? [{ rate: rates[name], y: place(g, c) }] : []);
    return {
      type: "scatter",
      mode: "markers",
      name: conditionName(name),
      x: shown.map(({ rate }) => 100 * rate.mean),
      y: shown.map(({ y }) => y),
      error_x: {
        type: "data",
        symmetric: false,
        array: shown.map(({ rate }) => 100 * (rate.high - rate.mean)),
        arrayminus: shown.map(({ rate }) => 100 * (rate.mean - rate.low)),
        thickness: 1.6,
        width: 0,
        color: colorOf(name),
      },
      marker: { size: 10, color: colorOf(name), line: { color: "white", width: 1 } },
      hovertemplate: `%{x:.0f} %<extra>${escapeHtml(conditionName(name))}</extra>`,
    };
  });
  return {
    data,
    layout: {
      font: { family: fontStack, size: 13, color: colors.text },
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      height: 90 + 16 * groups.length * slots,
      margin: { l: 150, r: 18, t: 40, b: 48 },
      xaxis: {
        title: { text: "Tasks that succeed (%)", standoff: 8, font: { size: 12, color: colors.muted } },
        range: [-2, 102],
        gridcolor: colors.line,
        zeroline: false,
      },
      yaxis: {
        tickvals: groups.map((_, g) => place(g, (conditions.length - 1) / 2)),
        ticktext: groups.map(({ group }) => escapeHtml(group === "all" ? "all tasks" : group)),
        gridcolor: "white",
        zeroline: false,
        automargin: true,
      },
      legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom" },
    },
  };
}

/** What a study of web agents says: a headline, the tables behind it, and success by condition as a figure. */
export function agentSummary({ table }: Pick<WebAgentResult, "table">): {
  /** One sentence or a few. */
  headline: string;
  /** Success in per cent with its interval, a row a condition. */
  success: TextTable;
  /** Differences of success between conditions, with their intervals. */
  differences: TextTable;
  /** Steps, queries, tokens and seconds of each condition. */
  costs: TextTable;
  /** Success by condition. */
  figure: PlotlyFigure;
} {
  return {
    headline: agentHeadline(table),
    success: agentSuccessRows(table),
    differences: agentDifferenceRows(table),
    costs: agentCostRows(table),
    figure: agentSuccessFigure(table),
  };
}

/** The report as one page of HTML. @param replay Name of the replay page beside it. */
export async function webAgentReportHtml(
  result: WebAgentResult,
  trials: readonly AgentTrialResult[],
  replay: string,
): Promise<string> {
  const { table, settings, seconds, retries, skipped } = result;
  const figure = agentSuccessFigure(table), errors = errorRows(trials);
  const facts = [
    ...Object.entries(seconds).map(([name, value]) => `${conditionName(name)} ${formatSeconds(value)}`),
    ...Object.entries(retries).filter(([, count]) => count > 0).map(([name, count]) =>
      `${name}: ${count} tries repeated`
    ),
  ];
  const body = [
    `<header><h1>Web agents that look before they act</h1><p class="headline">${escapeHtml(agentHeadline(table))}</p>
<p><a href="${escapeHtml(replay)}">Replay every task step by step</a></p></header>`,
    section(
      "Success",
      `<div class="card">${figureHtml(figure, "success")}</div>${tableCard(agentSuccessRows(table))}`,
      { note: "Per cent of the trials, with Wilson's 95 % interval. Trials that could not go on count as failures." },
    ),
    table.differences.length > 0
      ? section(
        "Differences",
        tableCard(agentDifferenceRows(table)),
        {
          note:
            "Trial by trial: the same task, site and seed under both. The interval is that of tasks drawn anew, with all their seeds.",
        },
      )
      : "",
    section(
      "Costs",
      tableCard(agentCostRows(table)),
      { note: "Seconds of queries at the same time are counted once a task; local models count no tokens." },
    ),
    errors.rows.length > 0
      ? section("What could not go on", `<p>${errorLines(table).map(escapeHtml).join("<br>")}</p>${tableCard(errors)}`)
      : "",
    skipped.length > 0
      ? section(
        "Left out",
        tableCard({
          columns: ["Task", "Why"],
          rows: skipped.map(({ taskId, reason }) => [String(taskId ?? ""), reason]),
        }),
        { note: "Tasks of the file that could not be judged; they are in none of the numbers." },
      )
      : "",
    section(
      "Run",
      `<p class="muted">${escapeHtml(facts.join(" · "))}</p>${
        tableCard({
          columns: ["Setting", "Value"],
          rows: Object.entries(settings).map(([name, value]) => [
            name,
            typeof value === "string" ? value : JSON.stringify(value),
          ]),
        })
      }`,
    ),
  ];
  return page(
    "Web agents that look before they act",
    `<style>${STYLE}</style>\n${await plotlyScript([figure])}`,
    `<main>${body.filter((part) => part !== "").join("\n")}</main>`,
  );
}

function errorRows(trials: readonly AgentTrialResult[]): TextTable {
  const failed = trials.filter(({ error }) => error !== undefined);
  return {
    columns: ["Agent", "Site", "Task", "Seed", "Why"],
    rows: failed.slice(0, 50).map(({ condition, site, task, seed, error }) => [
      conditionName(condition),
      site === null ? "" : String(site),
      String(task),
      String(seed),
      error!,
    ]),
  };
}

const STYLE = `
.headline { font-size: 19px; line-height: 1.5; margin: 0 0 10px; max-width: 75ch; }
.note { margin: 10px 0 0; max-width: 90ch; }
.card + .card { margin-top: 14px; }
td.name, th.name { text-align: left; overflow-wrap: anywhere; }
`;
