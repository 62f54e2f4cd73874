/**
 * Prompts that ask what an action changes on a page.
 *
 * `instructions` has the structure of the published prompt (role, what is given, action formats, rules, answer format with
 * examples, then the task's fields on lines of fixed form) in our own words: for models that follow instructions, as one
 * message of a user. `compact` holds only what differs from question to question: for models that are trained from nothing.
 *
 * Source: RLVR-World App. D.
 */
import { parseAction } from "./actions.ts";
import { pageItems } from "./items.ts";
import type { WebQuestion } from "./transition.ts";

/**
 * Form of a prompt.
 *
 * @internal
 */
export type WebPromptStyle = "compact" | "instructions";

const FENCE = "```";

const INSTRUCTIONS =
  `You simulate a web browser for an autonomous agent. From the page as it is and the action that the agent \
takes on it, work out by reasoning what the page will be next.

You are given:
The objective: what the user of the agent wants to reach in the end.
The current page's accessibility tree: a simplified picture of the page, one element a line.
The URL of the page.
The previous action: what the agent did before; it may help to understand where it stands.
The current action: what the agent does now, whose effect you predict.

Actions have these forms:

On the page:
${FENCE}click [id]${FENCE}: clicks the element with that id.
${FENCE}type [id] [content]${FENCE}: types the content into the field with that id and then presses Enter, unless a third \
bracket says 0.
${FENCE}hover [id]${FENCE}: moves the pointer over the element with that id.
${FENCE}press [key_comb]${FENCE}: presses keys together, such as Ctrl+v.
${FENCE}scroll [down]${FENCE} or ${FENCE}scroll [up]${FENCE}: scrolls the page.

With tabs:
${FENCE}new_tab${FENCE}: opens an empty tab.
${FENCE}tab_focus [tab_index]${FENCE}: goes to the tab with that number.
${FENCE}close_tab${FENCE}: closes the current tab.

Between pages:
${FENCE}goto [url]${FENCE}: opens an address.
${FENCE}go_back${FENCE}: goes back to the page before.
${FENCE}go_forward${FENCE}: undoes a go_back.

At the end:
${FENCE}stop [answer]${FENCE}: the agent holds the task for done and gives its answer, if one was asked for.

Keep to three rules:
1. Reason from the page and the action before you answer.
2. Predict the next state itself; do not describe how you would find it out.
3. Give the result in the format below, exactly.

The format is three sections, titled "New items:", "Deleted items:" and "Updated items:", with an empty line between them. \
Below its title each section has one item a line, or the word None when it has no item. An item has the form \
[ID] type 'content' [attributes]: ID is its number, type its kind (link, button, StaticText and so on), content its text, and \
the attributes are pairs key: value with spaces between (required, orientation, hasPopup, expanded, selected, controls, \
focused and the like); where it has none they are left out.

Two items:
[104] link 'Track your parcel'
[87] combobox 'Size' hasPopup: menu expanded: False

A whole answer:
New items:
[131] StaticText 'Your basket has been updated.'
[132] button 'Dismiss'

Deleted items:
None

Updated items:
[58] spinbutton 'Quantity' required: False focused: True

Here is the task.`;

const CLOSING = "Now give the result directly, in the format above.";

/** The prompt of a question. */
export function buildWebPrompt(question: WebQuestion, style: WebPromptStyle): string {
  return style === "compact" ? compactPrompt(question) : instructionPrompt(question);
}

function instructionPrompt({ url, objective, previousActions, observation, action }: WebQuestion): string {
  return [
    INSTRUCTIONS,
    "",
    `URL: ${url}`,
    ` OBJECTIVE: ${objective}`,
    ` PREVIOUS ACTION: ${previousActions.join("\n")}`,
    ` CURRENT OBSERVATION: ${observation}`,
    ` CURRENT ACTION: ${action}`,
    "",
    CLOSING,
  ].join("\n");
}

/** Items stand here as they stand in answers, and the action comes last, with what it points at. */
function compactPrompt({ url, previousActions, observation, action }: WebQuestion): string {
  return [
    `was: ${previousActions.at(-1) ?? "None"}`,
    `url: ${url.replace(/^https?:\/\/[^/]*/, "") || "/"}`,
    ...observation.split("\n").filter((line) => line.trim() !== "").map((line) => line.trim()),
    `do: ${action}${pointedAt(observation, action)}`,
    "",
  ].join("\n");
}

function pointedAt(observation: string, action: string): string {
  const parsed = parseAction(action);
  if (!("id" in parsed)) return "";
  const item = pageItems(observation).find((each) => each.id === parsed.id);
  return item === undefined ? "" : ` ${item.text}`;
}

/** Fields of a prompt with instructions, ours or the published one, in their order. */
const FIELDS = ["URL: ", " OBJECTIVE: ", " PREVIOUS ACTION: ", " CURRENT OBSERVATION: ", " CURRENT ACTION: "];

/** The question that a prompt with instructions asks, or undefined where it has not the fields. */
export function parseWebPrompt(prompt: string): WebQuestion | undefined {
  // Instructions may name the fields; pages may hold any text. The last URL line that the others follow is the task's: seen
  // from the end, the last line of each field that the next ones follow.
  const start = FIELDS.reduceRight((end, field) => lineStart(prompt, field, end - 1 - field.length), prompt.length + 1);
  if (start === -1) return undefined;
  const values: string[] = [];
  let from = start + FIELDS[0].length;
  for (const field of FIELDS.slice(1)) {
    const at = prompt.indexOf(`\n${field}`, from - 1);
    values.push(prompt.slice(from, at));
    from = at + 1 + field.length;
  }
  const [url, objective, previous, observation] = values;
  const action = prompt.slice(from).split("\n", 1)[0].trim();
  return { url: url.trim(), objective: objective.trim(), previousActions: previous.split("\n"), observation, action };
}

/** Where the last line begins, at `most` at the latest, that starts so; −1 where there is none. */
function lineStart(text: string, beginning: string, most: number): number {
  if (most < 0) return -1;
  const at = most === 0 ? -1 : text.lastIndexOf(`\n${beginning}`, most - 1);
  return at === -1 && !text.startsWith(beginning) ? -1 : at + 1;
}
