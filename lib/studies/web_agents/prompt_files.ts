/**
 * Prompts, which are files: one a role, with the messages of a conversation and typed slots.
 *
 *     === system
 *     What the model is to do.
 *
 *     === example user          pairs of worked examples, as many as one likes
 *     === example assistant
 *
 *     === user
 *     OBJECTIVE: {{objective}}
 *
 * A file is checked when it is loaded: its slots must be exactly those of its role, so a prompt with a slot misspelt or forgotten
 * never reaches a model. What is filled in stands as it is: `{{…}}` in a page's text is text.
 *
 * The built-in prompts follow the published ones in structure; the sentences are ours. Source: RLVR-World App. D; WebArena;
 * WMA (Chae et al., 2025).
 */
import { join } from "node:path";
import { readTextFile } from "../../io/plain_file.ts";
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import type { TextMessage } from "../../serving/chat_client.ts";
import fuzzyMatch from "./prompts/fuzzy_match.txt" with { type: "text" };
import pictureQuestion from "./prompts/picture_question.txt" with { type: "text" };
import policy from "./prompts/policy.txt" with { type: "text" };
import salientChanges from "./prompts/salient_changes.txt" with { type: "text" };
import translate from "./prompts/translate.txt" with { type: "text" };
import unachievableMatch from "./prompts/unachievable_match.txt" with { type: "text" };
import value from "./prompts/value.txt" with { type: "text" };
import valueShare from "./prompts/value_share.txt" with { type: "text" };

/** The slots of each prompt. */
export const PROMPT_SLOTS = {
  /** Proposes an action; `previousAction` is one or, a line each, all. */
  policy: ["observation", "url", "objective", "previousAction"],
  /** Predicts what changes; only where a file is given, else the prompt that world models are trained with. */
  world_model: ["url", "objective", "previousActions", "observation", "action"],
  /** Sums predicted changes up. */
  salient_changes: ["newItems", "deletedItems", "updatedItems"],
  /** Describes the state that they amount to. */
  translate: ["url", "objective", "previousActions", "observation", "action", "keyChanges"],
  /** Scores that state from 1 to 5. */
  value: ["url", "objective", "previousActions", "observation", "action", "nextState"],
  /** Scores it from 0 to 1. */
  value_share: ["url", "objective", "previousActions", "observation", "action", "nextState"],
  /** Compares an answer with a reference, for tasks whose evaluator needs a judge. */
  fuzzy_match: ["question", "reference", "answer"],
  /** Compares the reasons for which a task is said to be impossible. */
  unachievable_match: ["question", "reference", "answer"],
  /** Asks about a picture, which is sent with the user's message. */
  picture_question: ["question"],
} as const;

/** Name of a prompt; its file is `NAME.txt`. */
export type PromptName = keyof typeof PROMPT_SLOTS;

/** What is filled into a prompt. */
export type PromptValues<Name extends PromptName> = Record<typeof PROMPT_SLOTS[Name][number], string>;

const BUILT_IN: Partial<Record<PromptName, string>> = {
  policy,
  salient_changes: salientChanges,
  translate,
  value,
  value_share: valueShare,
  fuzzy_match: fuzzyMatch,
  unachievable_match: unachievableMatch,
  picture_question: pictureQuestion,
};

/** One prompt, parsed and checked. */
export class Prompt<Name extends PromptName> {
  readonly #messages: readonly TextMessage[];

  /**
   * Reads a prompt.
   *
   * @param text The file's text.
   * @param source What messages call it.
   * @throws {UserError} When its form or its slots are wrong, named.
   */
  constructor(readonly name: Name, text: string, readonly source: string) {
    this.#messages = parseMessages(text, source);
    const found = new Set(this.#messages.flatMap(({ content }) => [...content.matchAll(SLOT)].map(([, slot]) => slot)));
    const slots: readonly string[] = PROMPT_SLOTS[name];
    const strange = [...found].filter((slot) => !slots.includes(slot)),
      missing = slots.filter((slot) => !found.has(slot));
    if (strange.length > 0 || missing.length > 0) {
      const list = (names: readonly string[]) => names.map((each) => `{{${each}}}`).join(", ");
      throw new UserError(
        `${source}: the slots of a ${name} prompt are ${list(slots)}: ` +
          [
            strange.length > 0 ? `${list(strange)} is none` : "",
            missing.length > 0 ? `${list(missing)} is missing` : "",
          ]
            .filter((part) => part !== "").join(", "),
      );
    }
  }

  /** The conversation with its slots filled. */
  fill(values: PromptValues<Name>): TextMessage[] {
    const texts = values as Record<string, string>;
    return this.#messages.map(({ role, content }) => ({
      role,
      content: content.replace(SLOT, (_, slot: string) => texts[slot]),
    }));
  }
}

/** Prompts of all roles. */
export type PromptSet = { readonly [Name in Exclude<PromptName, "world_model">]: Prompt<Name> } & {
  /** Undefined: the prompt that world models are trained with. */
  readonly world_model?: Prompt<"world_model">;
};

/**
 * The built-in prompts; those of a folder of one's own in their place, where it has files of their names.
 *
 * @throws {UserError} When the folder cannot be read, has a text file of another name, or a file of it is wrong.
 */
export async function loadPrompts(folder?: string): Promise<PromptSet> {
  const texts: Partial<Record<PromptName, [text: string, source: string]>> = {};
  for (const [name, text] of Object.entries(BUILT_IN)) texts[name as PromptName] = [text, `the built-in ${name}.txt`];
  if (folder !== undefined) {
    for (const file of await textFiles(folder)) {
      const name = file.slice(0, -".txt".length), path = join(folder, file);
      if (!Object.hasOwn(PROMPT_SLOTS, name)) {
        throw new UserError(
          `${path} is no role's prompt: they are ${Object.keys(PROMPT_SLOTS).map((each) => `${each}.txt`).join(", ")}`,
        );
      }
      texts[name as PromptName] = [await readText(path), path];
    }
  }
  return Object.fromEntries(
    Object.entries(texts).map(([name, [text, source]]) => [name, new Prompt(name as PromptName, text, source)]),
  ) as unknown as PromptSet;
}

const SLOT = /\{\{([^{}\s]*)\}\}/g;
const HEADING = /^=== (system|example user|example assistant|user)\s*$/;

function parseMessages(text: string, source: string): TextMessage[] {
  const sections: { heading: string; lines: string[] }[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.startsWith("===")) {
      const [, heading] = HEADING.exec(line) ?? [];
      if (heading === undefined) {
        throw new UserError(
          `${source}, line ${
            i + 1
          }: a heading is one of === system, === example user, === example assistant, === user: ` +
            `received ${JSON.stringify(line)}`,
        );
      }
      sections.push({ heading, lines: [] });
    } else if (sections.length > 0) sections.at(-1)!.lines.push(line);
    else if (line.trim() !== "") {
      throw new UserError(`${source}, line ${i + 1}: text before the first heading: begin with === system or === user`);
    }
  }
  const order = sections.map(({ heading }) => heading).join(", ");
  if (!/^(?:system(?:, |$))?(?:example user, example assistant(?:, |$))*(?:user)?$/.test(order) || order === "") {
    throw new UserError(
      `${source}: the parts must be system, then examples in pairs, then user: received ${order || "nothing"}`,
    );
  }
  return sections.map(({ heading, lines }) => ({
    role: heading.replace("example ", "") as TextMessage["role"],
    content: lines.join("\n").trim(),
  }));
}

async function textFiles(folder: string): Promise<string[]> {
  try {
    const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    return names.filter((name) => name.endsWith(".txt")).sort();
  } catch (error) {
    throw new UserError(`cannot read the prompts of ${folder}: ${(error as Error).message}`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (error) {
    throw cannotRead(path, error);
  }
}
