/**
 * Blind labels: did a robot reach its goal, as people say who see the final frame and the task's text and nothing else.
 *
 * A file of labels (`{id, success, labeller, at}` a line) is only ever appended to; `success: null` takes the labeller's earlier
 * answer back. Here it is read, with what is missing, double or unknown; labellers are compared, and successes counted. The
 * items are in `items.ts`, the page in `page.html`.
 */
import { UserError } from "../../base/user_error.ts";
import { type LabelKey, nameField, readLines } from "./items.ts";

/** One answer of one labeller. */
export interface Label {
  id: string;
  /** Whether the goal is reached. */
  success: boolean;
  /** Who says so. */
  labeller: string;
  /** When, as an ISO date; empty where the file does not say. */
  at: string;
}

/** One line of a file of labels. */
export function labelLine(label: Omit<Label, "success"> & { success: boolean | null }): string {
  const { id, success, labeller, at } = label;
  return JSON.stringify({ id, success, labeller, at }) + "\n";
}

/** What a file of labels holds, and what is wrong with it. */
export interface LabelReading {
  /** The answers that count: of known items, the last of each labeller. In the order in which items were first answered. */
  labels: Label[];
  /** Items without an answer, by labeller; labellers who answered every item are not listed. */
  missing: Map<string, string[]>;
  /** Items that one labeller answered more than once without taking the first answer back. */
  duplicates: { id: string; labeller: string; times: number; agree: boolean }[];
  /** Ids that are none of the items'. */
  unknown: string[];
  /** Whether the last line is cut off, as when the machine stopped while it was written; it does not count. */
  cutOff: boolean;
}

/**
 * Reads labels, and says what is missing, double or unknown.
 *
 * @param paths One or more files; those of several labellers go together.
 * @param ids The items' ids; without them nothing is missing or unknown.
 * @throws {UserError} When a file cannot be read, or a line is no label.
 */
export async function readLabels(paths: string | readonly string[], ids?: Iterable<string>): Promise<LabelReading> {
  const known = ids === undefined ? undefined : new Set(ids);
  const answers = new Map<string, { label: Label | null; given: boolean[] }>();
  const unknown = new Set<string>();
  let cutOff = false;
  for (const path of typeof paths === "string" ? [paths] : paths) {
    const read = await readLines(path);
    cutOff ||= read.cutOff;
    for (const { where, value } of read.lines) {
      const id = nameField(where, value, "id"),
        labeller = nameField(where, value, "labeller"),
        { success, at = "" } = value;
      if (typeof success !== "boolean" && success !== null) {
        throw new UserError(
          `${where}: success must be true, false or null: received ${JSON.stringify(success) ?? "nothing"}`,
        );
      }
      if (typeof at !== "string") {
        throw new UserError(`${where}: at must be a date as text: received ${JSON.stringify(at)}`);
      }
      if (known && !known.has(id)) {
        unknown.add(id);
        continue;
      }
      const name = JSON.stringify([labeller, id]);
      const answer = answers.get(name) ?? { label: null, given: [] };
      answer.label = success === null ? null : { id, success, labeller, at };
      answer.given = success === null ? [] : [...answer.given, success];
      answers.set(name, answer);
    }
  }
  const labels = [...answers.values()].flatMap(({ label }) => label ?? []);
  const duplicates = [...answers.values()].flatMap(({ label, given }) =>
    label && given.length > 1
      ? [{
        id: label.id,
        labeller: label.labeller,
        times: given.length,
        agree: given.every((each) => each === given[0]),
      }]
      : []
  );
  const missing = new Map<string, string[]>();
  for (const labeller of labellersOf(labels)) {
    const own = new Set(labels.filter((label) => label.labeller === labeller).map(({ id }) => id));
    const gaps = [...known ?? []].filter((id) => !own.has(id));
    if (gaps.length > 0) missing.set(labeller, gaps);
  }
  return { labels, missing, duplicates, unknown: [...unknown], cutOff };
}

/** What is wrong with a file of labels, a line each; empty when nothing is. */
export function labelProblems({ labels, missing, duplicates, unknown, cutOff }: LabelReading): string[] {
  const items = (ids: readonly string[]) => `${ids.length} ${ids.length === 1 ? "item" : "items"} (${shortList(ids)})`;
  const lines = [...missing].map(([labeller, ids]) => `${labeller} has not answered ${items(ids)}`);
  if (labels.length === 0) lines.push("there is no answer");
  for (const { id, labeller, times, agree } of duplicates) {
    lines.push(`${labeller} answered ${id} ${times} times${agree ? "" : ", differently"}: the last answer counts`);
  }
  if (unknown.length > 0) lines.push(`answers to ${items(unknown)} that are none of the items' are left out`);
  if (cutOff) lines.push("the last line is cut off and does not count");
  return lines;
}

/** How far two labellers agree. */
export interface LabelAgreement {
  /** Who. */
  labellers: readonly [string, string];
  /** Items that both answered. */
  items: number;
  /** Share of those with equal answers, 0 … 1; NaN without any. */
  share: number;
  /**
   * Cohen's kappa, (share − chance) / (1 − chance): 1 agree on all, 0 as much as by chance. NaN where chance alone says 1, as when
   * both always give the same answer.
   */
  kappa: number;
}

/** The agreement of every two labellers, on the items that both answered. */
export function agreement(labels: readonly Label[]): LabelAgreement[] {
  const names = labellersOf(labels);
  const of = (labeller: string) =>
    new Map(labels.filter((label) => label.labeller === labeller).map(({ id, success }) => [id, success]));
  return names.flatMap((first, i) =>
    names.slice(i + 1).map((second) => {
      const a = of(first), b = of(second);
      const both = [...a.keys()].filter((id) => b.has(id)), items = both.length;
      const count = (test: (id: string) => boolean) => both.filter(test).length / items;
      const share = count((id) => a.get(id) === b.get(id));
      const yesA = count((id) => a.get(id)!), yesB = count((id) => b.get(id)!);
      const chance = yesA * yesB + (1 - yesA) * (1 - yesB);
      return {
        labellers: [first, second] as const,
        items,
        share,
        kappa: chance === 1 ? NaN : (share - chance) / (1 - chance),
      };
    })
  );
}

/** Successes of one policy in one model at one task. */
export interface SuccessCount {
  /** Where it ran. */
  model: string;
  /** Whose actions. */
  policy: string;
  /** At what. */
  task: string;
  /** Items that were judged. */
  n: number;
  /** Those of them that reached the goal. */
  successes: number;
  /** Items on which labellers are evenly split; they count neither way and are not in `n`. */
  tied: number;
}

/**
 * Counts successes by model, policy and task, in the key's order. Where several people judged an item, the majority's answer counts.
 *
 * @throws {UserError} When a label's item is not in the key.
 */
export function successCounts(labels: readonly Label[], key: ReadonlyMap<string, LabelKey>): SuccessCount[] {
  const votes = new Map<string, number>();
  for (const { id, success } of labels) {
    if (!key.has(id)) {
      throw new UserError(`the key has no item "${id}", which was labelled: give the key of these items`);
    }
    votes.set(id, (votes.get(id) ?? 0) + (success ? 1 : -1));
  }
  const cells = new Map<string, SuccessCount>();
  for (const { id, model, policy, task } of key.values()) {
    const name = JSON.stringify([model, policy, task]);
    const cell = cells.get(name) ?? { model, policy, task, n: 0, successes: 0, tied: 0 };
    cells.set(name, cell);
    const vote = votes.get(id);
    if (vote === undefined) continue;
    if (vote === 0) cell.tied++;
    else {
      cell.n++;
      if (vote > 0) cell.successes++;
    }
  }
  return [...cells.values()];
}

function labellersOf(labels: readonly Label[]): string[] {
  return [...new Set(labels.map(({ labeller }) => labeller))];
}

/** The first few of some ids. */
function shortList(ids: readonly string[]): string {
  return ids.length <= 5 ? ids.join(", ") : `${ids.slice(0, 5).join(", ")}, …`;
}
