/**
 * A page that replays every trial of a comparison step by step: the page as the agent saw it, what was proposed, what was
 * predicted and how much of it came true, the scores, the choice. One file that needs nothing else; trials are packed in it and
 * unpacked when they are looked at.
 */
import { join } from "node:path";
import sharp from "sharp";
import { gzipSync } from "fflate";
import type { StepRecord } from "./web_task_run.ts";
import { checkIsFile } from "../../io/plain_file.ts";
import { cannotRead } from "../../io/random_access.ts";
import { page, scriptJson } from "../../report/html.ts";
import { MetricLog } from "../../runs/metric_log.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { parseChanges } from "../../worlds/web_page/f1_reward.ts";
import { itemChanges } from "../../worlds/web_page/item_changes.ts";
import { trialFolder } from "./trials.ts";
import replayHtml from "./replay.html" with { type: "text" };
import { type AgentTrialResult, conditionName } from "./agent_results.ts";

/** Width of a screenshot on the page, in pixels. */
const SHOT_WIDTH = 720;

/** An item and its sign: new, updated, deleted. */
type SignedItem = readonly [sign: "+" | "~" | "−", item: string];

/** Writes the page of a comparison's trials. @throws {UserError} When a trial's steps are damaged. */
export async function replayPage(run: RunFolder, results: readonly AgentTrialResult[]): Promise<string> {
  const trials = [];
  for (const result of results) {
    const { condition, site, task, seed, objective, area, kind, success, answer, parts, error } = result;
    const folder = run.file(trialFolder(result));
    const records = await new MetricLog(join(folder, "steps.jsonl")).read() as unknown as StepRecord[];
    const steps = await Promise.all(records.map(async (record, i) => ({
      ...shown(record, records[i + 1]),
      screenshot: await screenshot(join(folder, `step_${record.step}.png`)),
    })));
    const packed = gzipSync(new TextEncoder().encode(JSON.stringify({ answer, parts, error, steps })));
    trials.push({ condition, site, task, seed, objective, area, kind, success, data: packed.toBase64() });
  }
  const names = {
    conditions: Object.fromEntries(results.map(({ condition }) => [condition, conditionName(condition)])),
    roles: {
      policy: "policy",
      worldModel: "world model",
      summarizer: "summarizer",
      translator: "translator",
      value: "value",
    },
  };
  const data = `<script type="application/json" id="trials">${scriptJson({ trials, names })}</script>`;
  return page("Web agents, step by step", "", `${data}\n${replayHtml}`);
}

/** What the page shows of a step. @param next The step after it, which tells what really changed. */
function shown(record: StepRecord, next: StepRecord | undefined) {
  const { stage: _stage, candidates, ...rest } = record as StepRecord & { stage?: string };
  return {
    ...rest,
    candidates: candidates.map(({ prediction, ...each }) => ({
      ...each,
      ...prediction === undefined ? {} : { lines: predictedItems(prediction) },
    })),
    truth: next && trueItems(record.observation, next.observation),
  };
}

function predictedItems(prediction: string): SignedItem[] {
  const { new: added, updated, deleted } = parseChanges(prediction);
  const signed = (items: Iterable<string>, sign: SignedItem[0]) =>
    [...items].filter((item) => item !== "None").map((item): SignedItem => [sign, item]);
  return [...signed(added, "+"), ...signed(updated, "~"), ...signed(deleted, "−")];
}

function trueItems(before: string, after: string): SignedItem[] {
  const { newItems, updatedItems, deletedItems } = itemChanges(before, after);
  return [
    ...newItems.map((item): SignedItem => ["+", item]),
    ...updatedItems.map((item): SignedItem => ["~", item]),
    ...deletedItems.map((item): SignedItem => ["−", item]),
  ];
}

/** A picture small enough for a page with many; undefined where there is none. */
async function screenshot(path: string): Promise<string | undefined> {
  let bytes: Uint8Array;
  try {
    await checkIsFile(path);
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw cannotRead(path, error);
  }
  const small = await sharp(bytes).resize({ width: SHOT_WIDTH, withoutEnlargement: true }).webp({ quality: 70 })
    .toBuffer();
  return `data:image/webp;base64,${new Uint8Array(small).toBase64()}`;
}
