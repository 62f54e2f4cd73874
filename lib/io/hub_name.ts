/**
 * Names of repositories on the Hugging Face hub: `hub:org/name`, `hub:org/name@revision`, `hub:datasets/org/name`.
 */
import { UserError } from "../base/user_error.ts";

/** What a `hub:` name names. */
export interface HubName {
  /** What the repository holds. */
  type: "model" | "dataset";
  /** `org/name`, or `name` alone for the oldest ones. */
  repository: string;
  /** Branch, tag or commit: `main` when the name has none. */
  revision: string;
}

/** Whether a model or data is named by its place on the hub rather than by a path. */
export function isHubName(text: string): boolean {
  return text.startsWith("hub:");
}

/** Reads a `hub:` name. @throws {UserError} When it is not of the form `hub:[datasets/]org/name[@revision]`. */
export function parseHubName(text: string): HubName {
  const match = /^hub:(datasets\/)?((?:[\w][\w.-]*\/)?[\w][\w.-]*)(?:@([\w][\w./-]*))?$/.exec(text);
  if (!match || /--|\.\.|\/\/|\/$/.test(match[2] + "@" + (match[3] ?? ""))) {
    throw new UserError(
      `${JSON.stringify(text)} is not a name on the hub: write hub:org/name, hub:org/name@revision or ` +
        `hub:datasets/org/name`,
    );
  }
  return { type: match[1] ? "dataset" : "model", repository: match[2], revision: match[3] ?? "main" };
}
