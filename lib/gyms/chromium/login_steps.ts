/**
 * Steps that sign in, from a file: a JSON list of actions in which nodes are named by what they are, since nobody knows their numbers.
 *
 *     ["type [textbox 'Email'] [ann@shop.test] [0]", "type [textbox 'Password'] [${SHOP_PASSWORD}] [0]", "click [button 'Sign In']"]
 *
 * `${NAME}` in what is typed stands for a variable of the environment, so that no password need stand in a file; what it holds is
 * never told.
 */
import { readTextFile } from "../../io/plain_file.ts";
import { UserError } from "../../base/user_error.ts";
import { parseAction } from "../../worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../worlds/web_page/browser.ts";

/** A step as it was written, with the file and its number. */
export interface LoginStep {
  /** As it was written. */
  readonly text: string;
  /** `step 2 of login.json`. */
  readonly place: string;
}

/** `click [button 'Sign In']`: an action, a role, a name, the rest. */
const NAMED = /^(click|hover|type) ?\[([A-Za-z]+) (?:'(.*?)'|"(.*?)")\](?=\s*(?:\[|$))(.*)$/s;

/**
 * Reads steps.
 *
 * @throws {UserError} When the file cannot be read, is no list of texts, or holds what is no action.
 */
export async function readLoginSteps(path: string): Promise<LoginStep[]> {
  let steps: unknown;
  try {
    steps = JSON.parse(await readTextFile(path));
  } catch (error) {
    const reason = (error as Error).message.replaceAll(/\s+/g, " ");
    throw new UserError(`steps ${path} cannot be read as JSON: ${reason}`);
  }
  if (!Array.isArray(steps) || steps.length === 0 || steps.some((step) => typeof step !== "string")) {
    throw new UserError(`steps ${path} must be a list of actions, like ["click [button 'Sign In']"]`);
  }
  return (steps as string[]).map((text, index) => {
    const step = { text, place: `step ${index + 1} of ${path}` }, { kind } = parseAction(numbered(text, 1));
    if (kind === "none" || kind === "stop") {
      throw new UserError(
        `${step.place} must be an action, like click [button 'Sign In']: received ${JSON.stringify(text)}`,
      );
    }
    return step;
  });
}

/**
 * Does the steps, one after the other, and returns the last page.
 *
 * @param variable Reads a variable of the environment.
 * @throws {UserError} When a step's node is not on the page, its variable is not set, or it cannot be done.
 */
export async function performLoginSteps(
  browser: WebBrowser,
  startUrls: readonly string[],
  steps: readonly LoginStep[],
  variable: (name: string) => string | undefined,
): Promise<Observation> {
  let observation = await done(() => browser.reset(startUrls), "the site", []);
  for (const { text, place } of steps) {
    const secrets: [name: string, value: string][] = [];
    const filled = numbered(text, nodeOf(text, observation, place)).replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
      const value = variable(name);
      if (value === undefined) throw new UserError(`${place} needs the environment variable ${name}: it is not set`);
      secrets.push([name, value]);
      return value;
    });
    observation = await done(() => browser.perform(parseAction(filled)), `${place}, ${text},`, secrets);
  }
  return observation;
}

/** The text with a node's number in place of its role and name. */
function numbered(text: string, id: number): string {
  return text.trim().replace(NAMED, (_, action, _role, _single, _double, rest) => `${action} [${id}]${rest}`);
}

function nodeOf(text: string, { nodes, url }: Observation, place: string): number {
  const [, , role, single, double] = NAMED.exec(text.trim()) ?? [];
  if (role === undefined) return 0;
  const name = single ?? double;
  const found = [...nodes].find(([, node]) => node.role === role && node.name.trim() === name.trim());
  if (found) return found[0];
  const there = [...nodes.values()].filter((node) => node.role === role && node.name !== "").slice(0, 8)
    .map((node) => JSON.stringify(node.name)).join(", ");
  throw new UserError(
    `${place}: ${url} has no ${role} ${JSON.stringify(name)}: it has ${there || `no ${role} with a name`}`,
  );
}

/** An action's page; what cannot be done is told without what must not be. */
async function done(
  look: () => Promise<Observation>,
  what: string,
  secrets: readonly [name: string, value: string][],
): Promise<Observation> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof WebActionError)) throw error;
    const told = secrets.reduce(
      (text, [name, value]) => value === "" ? text : text.replaceAll(value, `\${${name}}`),
      error.message,
    );
    throw new UserError(`${what} could not be done: ${told}`);
  }
}
