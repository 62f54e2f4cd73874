/**
 * What a policy evaluation says to people: a headline, tables as the paper's Table 13, the dot plot of model against truth,
 * roll-outs side by side, and where model and truth disagree. One page that needs nothing else; the same parts serve the
 * notebook and the terminal.
 */
import type { PlotlyFigure } from "../../report/figures.ts";
import { frameClip } from "../../report/frames.ts";
import { GALLERY_STYLE, type GalleryClip, galleryHtml } from "../../report/gallery.ts";
import {
  CHIP_STYLE,
  chips,
  escapeHtml,
  figureHtml,
  formatNumber,
  formatSeconds,
  page,
  plotlyScript,
  section,
} from "../../report/html.ts";
import { fixed, intervalText, percent, tableCard, type TextTable } from "../../report/tables.ts";
import { colors, fontStack, runColors } from "../../report/theme.ts";
import type { PolicyTrial } from "./evaluation.ts";
import type { PolicyEvaluationResult } from "./files.ts";
import type { JudgeReport } from "./judge.ts";
import { type PolicyTable, type RateAgreement, TRUTH } from "./table.ts";

/** What a world is called on a page. */
export function worldName(world: string): string {
  return { [TRUTH]: "Truth", base: "Base", rlvr: "RLVR" }[world] ?? world;
}

/** Success rates in per cent, a row a task and world, a column a policy. */
export function rateTable({ tasks, worlds, policies, cells }: PolicyTable): TextTable {
  const cell = (task: string, policy: string, world: string) => {
    const found = cells.find((each) => each.task === task && each.policy === policy)?.rates[world];
    return found ? intervalText(found, (rate) => percent(rate, 0)) : "—";
  };
  return {
    columns: ["Task", "World", ...policies],
    rows: tasks.flatMap((task) =>
      worlds.map((world) => [task, worldName(world), ...policies.map((policy) => cell(task, policy, world))])
    ),
  };
}

/** Gap in percentage points and Pearson's r of each model: over all cells, and over the policies of each task. */
export function agreementTable({ tasks, models }: PolicyTable): TextTable {
  const pair = (each: RateAgreement | undefined) =>
    each ? `${each.gap.toFixed(1)} / ${each.r === undefined ? "—" : fixed(each.r, 3)}` : "—";
  return {
    columns: ["Model", "Gap (points)", "Pearson r", ...tasks.map((task) => `${task}: gap / r`)],
    rows: Object.entries(models).map(([model, all]) => [
      worldName(model),
      intervalText(all.gapInterval, (gap) => fixed(gap, 1)),
      all.rInterval ? intervalText(all.rInterval, (r) => fixed(r, 3)) : "—",
      ...tasks.map((task) => pair(all.tasks[task])),
    ]),
  };
}

/** Starts of each cell counted by success in truth and in the model: where a rate is off, and to which side. */
export function confusionTable({ cells, models }: PolicyTable): TextTable {
  return {
    columns: ["Model", "Task", "Policy", "Both succeed", "Truth only", "Model only", "Both fail"],
    rows: Object.keys(models).flatMap((model) =>
      cells.flatMap(({ task, policy, confusion }) => {
        const found = confusion[model];
        if (!found) return [];
        const { both, truthOnly, modelOnly, neither } = found;
        return [[worldName(model), task, policy, ...[both, truthOnly, modelOnly, neither].map(String)]];
      })
    ),
  };
}

/** How good the judge is on roll-outs of the true simulator that it has not seen. */
export function judgeTable({ quality, tasks, trueFrames }: JudgeReport): TextTable {
  const rows = [
    ["all tasks", quality] as const,
    ...Object.entries(tasks),
    ["all tasks, frames as the simulator draws them", trueFrames] as const,
  ];
  const share = (value: number) => Number.isNaN(value) ? "—" : `${percent(value)} %`;
  return {
    columns: ["Judged", "Accuracy", "Precision", "Recall", "Episodes", "Successes"],
    rows: rows.map(([name, { accuracy, precision, recall, n, successes }]) => [
      name,
      ...[accuracy, precision, recall].map(share),
      ...[n, successes].map(String),
    ]),
  };
}

/** Success in the models over success in truth: on the diagonal a model says what really happens. */
export function policySuccessFigure(table: PolicyTable): PlotlyFigure {
  const symbols = ["circle", "diamond", "square", "triangle-up", "cross", "star"];
  const models = Object.keys(table.models);
  const data = models.flatMap((model, m) => {
    const color = model === "base" || model === "rlvr" ? colors[model] : runColors[m % runColors.length];
    return table.tasks.map((task, t) => {
      const cells = table.cells.filter((each) => each.task === task && each.rates[TRUTH] && each.rates[model]);
      const bar = (world: string) => ({
        type: "data",
        symmetric: false,
        array: cells.map(({ rates }) => 100 * (rates[world].high - rates[world].mean)),
        arrayminus: cells.map(({ rates }) => 100 * (rates[world].mean - rates[world].low)),
        thickness: 1,
        width: 0,
        color,
      });
      return {
        type: "scatter",
        mode: "markers",
        name: `${worldName(model)}, ${escapeHtml(task)}`,
        x: cells.map(({ rates }) => 100 * rates[TRUTH].mean),
        y: cells.map(({ rates }) => 100 * rates[model].mean),
        text: cells.map(({ policy }) => escapeHtml(policy)),
        error_x: bar(TRUTH),
        error_y: bar(model),
        marker: { size: 11, color, symbol: symbols[t % symbols.length], line: { color: "white", width: 1 } },
        hovertemplate: `%{text}: truth %{x:.0f} %, model %{y:.0f} %<extra>${worldName(model)}, ${
          escapeHtml(task)
        }</extra>`,
      };
    });
  });
  const axis = (text: string) => ({
    title: { text, standoff: 10, font: { size: 12, color: colors.muted } },
    range: [-4, 104],
    gridcolor: colors.line,
    linecolor: colors.line,
    zeroline: false,
    automargin: true,
    tickfont: { size: 11.5, color: colors.muted },
  });
  return {
    data,
    layout: {
      font: { family: fontStack, size: 13, color: colors.text },
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      height: 480,
      margin: { l: 64, r: 18, t: 14, b: 52 },
      xaxis: axis("Success in truth (%)"),
      yaxis: axis("Success in the model (%)"),
      legend: { orientation: "v", x: 1.02, xanchor: "left", y: 1, yanchor: "top" },
      shapes: [{
        type: "line",
        layer: "below",
        x0: 0,
        y0: 0,
        x1: 100,
        y1: 100,
        line: { color: colors.muted, width: 1, dash: "dash" },
      }],
    },
  };
}

/** One or two sentences: how near the models come, and what RLVR changed. */
export function policyHeadline({ table }: PolicyEvaluationResult): string {
  const { base, rlvr } = table.models, cells = (n: number) => `${n} ${n === 1 ? "cell" : "cells"} of task and policy`;
  if (base && rlvr && table.difference) {
    const { low, high } = table.difference;
    const verdict = high < 0
      ? "the 95 % interval of the difference excludes zero"
      : low > 0
      ? "worse, and the 95 % interval of the difference excludes zero"
      : "the 95 % interval of the difference includes zero";
    const r = (value?: number) => value === undefined ? "not defined" : fixed(value, 2);
    return `Success rates in the RLVR model are ${
      rlvr.gap.toFixed(1)
    } points off the truth on average, those in the base model ` +
      `${base.gap.toFixed(1)} points (${verdict}). Pearson's r with the truth: RLVR ${r(rlvr.r)}, base ${
        r(base.r)
      }, over ` +
      `${cells(rlvr.n)}.`;
  }
  const [found] = Object.entries(table.models);
  if (found) {
    const [name, { gap, r, n }] = found;
    return `Success rates in ${worldName(name)} are ${gap.toFixed(1)} points off the truth on average` +
      `${r === undefined ? "" : `; Pearson's r is ${r.toFixed(2)}`}, over ${cells(n)}.`;
  }
  return table.cells.length > 0
    ? "Success rates in the models alone: there is no truth to compare them with."
    : "Nobody has judged these roll-outs yet: label their final frames, then read the labels.";
}

/**
 * What an evaluation says: a headline, the tables behind it (success rates, agreement with the truth, starts counted by success in
 * truth and model; the judge's quality where a classifier judged) and model against truth as a figure.
 */
export function policySummary(result: PolicyEvaluationResult): {
  /** One sentence or a few. */
  headline: string;
  /** Success in per cent with its interval, a row a task and world, a column a policy. */
  rates: TextTable;
  /** Gap in percentage points and Pearson's r of each model. */
  agreement: TextTable;
  /** Starts of each policy by success in truth and model. */
  confusion: TextTable;
  /** Accuracy, precision and recall of the classifier that judged; absent where people judged. */
  judge?: TextTable;
  /** Success in the models over success in truth. */
  figure: PlotlyFigure;
} {
  const { table, judge } = result;
  return {
    headline: policyHeadline(result),
    rates: rateTable(table),
    agreement: agreementTable(table),
    confusion: confusionTable(table),
    ...(judge.kind === "classifier" && judge.report ? { judge: judgeTable(judge.report) } : {}),
    figure: policySuccessFigure(table),
  };
}

/** Options of {@linkcode rolloutClips}. */
export interface ClipChoice {
  /** H of the frames. */
  height: number;
  /** W of the frames. */
  width: number;
  /** Of the first roll-outs of each task and policy, at most so many clips in all. Default 8. */
  examples?: number;
  /** Roll-outs that end well in truth and badly in a model, or the other way, at most so many clips. Default 6. */
  disagreements?: number;
}

/** Roll-outs from one start side by side: one of each task and policy, and some in which a model and the truth disagree. */
export function rolloutClips(
  trials: readonly PolicyTrial[],
  { height, width, examples = 8, disagreements = 6 }: ClipChoice,
): { examples: GalleryClip[]; disagreements: GalleryClip[] } {
  const groups = new Map<string, PolicyTrial[]>();
  for (const trial of trials) {
    if (!trial.rollout.frames) continue;
    const key = JSON.stringify([trial.task, trial.policy, trial.start]), own = groups.get(key) ?? [];
    own.push(trial);
    groups.set(key, own);
  }
  const all = [...groups.values()];
  const disagree = all.filter((group) => {
    const truth = group.find(({ world }) => world === TRUTH)?.success;
    return typeof truth === "boolean" && group.some(({ success }) => success !== null && success !== truth);
  });
  // One of each cell before a second of any.
  const spread = (from: readonly PolicyTrial[][], count: number) => {
    const rank = new Map<string, number>();
    return from.map((group) => {
      const cell = JSON.stringify([group[0].task, group[0].policy]), place = rank.get(cell) ?? 0;
      rank.set(cell, place + 1);
      return { group, place };
    }).sort((a, b) => a.place - b.place).slice(0, count).map(({ group }) => toClip(group, height, width));
  };
  return {
    examples: spread(all.filter((group) => group[0].start === 0), examples),
    disagreements: spread(disagree, disagreements),
  };
}

function toClip(group: readonly PolicyTrial[], height: number, width: number): GalleryClip {
  const longest = Math.max(...group.map(({ rollout }) => rollout.frames!.length)), size = height * width * 3;
  const panels = group.map(({ world, rollout: { frames, steps }, success }) => {
    const pixels = new Uint8Array(longest * size);
    // A roll-out that ended earlier stands still.
    for (let t = 0; t < longest; t++) pixels.set(frames![Math.min(t, steps)], t * size);
    const judged = success === null ? "" : success ? ": success" : ": failure";
    return [`${worldName(world)}${judged}`, frameClip(pixels, longest, height, width)] as const;
  });
  const { instruction, policy, start } = group[0];
  const steps = group.map(({ world, rollout }) => `${worldName(world)} ${rollout.steps}`).join(", ");
  return {
    label: `${policy}: ${instruction}`,
    note: `start ${start}; steps: ${steps}`,
    panels: Object.fromEntries(panels),
  };
}

const UNCHECKED = "A classifier of an earlier evaluation judged. There is no truth here to check it with.";

/** The report as one page of HTML. */
export async function policyReportHtml(
  result: PolicyEvaluationResult,
  clips: { examples: readonly GalleryClip[]; disagreements: readonly GalleryClip[] },
): Promise<string> {
  const { table, judge, engine, device, seed, seconds, settings } = result;
  const compared = Object.keys(table.models).length > 0;
  const figure = compared ? policySuccessFigure(table) : undefined;
  const times = Object.entries(seconds).map(([name, value]) => `${name} ${formatSeconds(value)}`).join(" · ");
  const body = [
    `<header>${
      chips([result.task, result.preset, `${engine} on ${device}`, `seed ${seed}`])
    }<h1>Robot policies, judged in a world model</h1>`,
    `<p class="headline">${escapeHtml(policyHeadline(result))}</p></header>`,
    compared
      ? section(
        "How near to the truth",
        `<div class="near">${tableCard(agreementTable(table))}<div class="card">${
          figureHtml(figure!, "success")
        }</div></div>`,
        {
          note:
            "Gap: mean absolute difference of success rates in percentage points. Over all cells of task and policy, with the 95 % " +
            "interval when starts are drawn anew; beside it over the policies of each task. On the diagonal a model says what " +
            "really happens; bars are 95 % intervals.",
        },
      )
      : "",
    table.cells.length > 0
      ? section(
        "Success rates",
        tableCard(rateTable(table)),
        { note: "Per cent, with Wilson's 95 % interval. Starts are the same in every world and for every policy." },
      )
      : "",
    judge.kind === "classifier" && judge.report
      ? section(
        "The judge",
        tableCard(judgeTable(judge.report)),
        {
          note:
            "A small classifier sees the first frame, the final frame and the instruction. Here are its answers on this evaluation's " +
            "roll-outs in truth, of which it has seen none, against the simulator's rule; unless said otherwise with the frames as the " +
            "model's tokenizer leaves them. What counts as success in truth is always the rule's answer.",
        },
      )
      : section("The judge", `<p>${escapeHtml(judge.kind === "classifier" ? UNCHECKED : judge.note)}</p>`),
    compared
      ? section(
        "Start by start",
        tableCard(confusionTable(table)),
        {
          note:
            "How many starts end well in truth and in the model. A rate can be right although single starts end differently.",
        },
      )
      : "",
    clips.examples.length > 0
      ? section(
        "Roll-outs",
        galleryHtml(clips.examples),
        { note: "The first start of each task and policy; the same in every world." },
      )
      : "",
    clips.disagreements.length > 0 ? section("Where they disagree", galleryHtml(clips.disagreements)) : "",
    section(
      "Run",
      `<p class="muted">${escapeHtml(times)}</p>${
        tableCard({
          columns: ["Setting", "Value"],
          rows: Object.entries(settings).map(([name, value]) => [
            name,
            typeof value === "number" ? formatNumber(value) : typeof value === "string" ? value : JSON.stringify(value),
          ]),
        })
      }`,
    ),
  ];
  return page(
    "Robot policies, judged in a world model",
    `<style>${GALLERY_STYLE}${STYLE}</style>\n${await plotlyScript(figure ? [figure] : [])}`,
    `<main>${body.filter((part) => part !== "").join("\n")}</main>`,
  );
}

const STYLE = `${CHIP_STYLE}
.headline { font-size: 19px; line-height: 1.5; margin: 0; max-width: 70ch; }
.note { margin: 10px 0 0; max-width: 90ch; }
.near { display: grid; gap: 16px; }
.near .figure { max-width: 760px; margin: 0 auto; }
td, th { white-space: nowrap; }
td.name, th.name { text-align: left; white-space: normal; }
`;
