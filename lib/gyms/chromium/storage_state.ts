/**
 * A login, kept in a file: cookies and what pages keep for themselves (local storage, databases), in Playwright's form, which
 * WebArena's tasks name as `storage_state`. Whoever has the file is logged in: it is written for its owner's eyes only, and what belongs
 * to hosts that may not be reached is not loaded.
 */
import type { BrowserContext } from "playwright-core";
import { z } from "zod";
import { claimAside } from "../../io/atomic.ts";
import { readTextFile } from "../../io/plain_file.ts";
import { UserError } from "../../base/user_error.ts";
import type { AllowedHosts } from "./allowed_hosts.ts";

const stateSchema = z.object({
  cookies: z.array(z.looseObject({
    name: z.string(),
    value: z.string(),
    domain: z.string().min(1),
    path: z.string().default("/"),
    expires: z.number().default(-1),
    httpOnly: z.boolean().default(false),
    secure: z.boolean().default(false),
    sameSite: z.enum(["Strict", "Lax", "None"]).default("Lax"),
  })).default([]),
  origins: z.array(z.looseObject({
    origin: z.string(),
    localStorage: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
  })).default([]),
});

/**
 * A login.
 *
 * @internal
 */
export interface StorageState {
  /** Cookies as browsers keep them: `expires` in seconds since 1970, −1 for the session. */
  cookies: {
    name: string;
    value: string;
    domain: string;
    path: string;
    expires: number;
    httpOnly: boolean;
    secure: boolean;
    sameSite: "Strict" | "Lax" | "None";
  }[];
  /** What pages of an origin (`http://shop.test:8080`) keep for themselves. */
  origins: { origin: string; localStorage: { name: string; value: string }[] }[];
}

/**
 * Reads a login.
 *
 * @throws {UserError} When the file cannot be read or is none; its content is never quoted.
 */
export async function readStorageState(path: string): Promise<StorageState> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    throw new UserError(
      isMissing
        ? `storage state ${path} is not there: make one with deno task web-login`
        : `storage state ${path} cannot be read: ${(error as Error).message}`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError(`storage state ${path} is no JSON: make one with deno task web-login`);
  }
  const parsed = stateSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [{ path: field, message }] = parsed.error.issues;
  throw new UserError(`storage state ${path}: ${field.length > 0 ? `${field.join(".")}: ` : ""}${message}`);
}

/** The part of a login that belongs to hosts which may be reached. */
export function allowedStorageState(state: StorageState, hosts: AllowedHosts): StorageState {
  return {
    cookies: state.cookies.filter(({ domain }) => hosts.mayHaveCookiesOf(domain)),
    origins: state.origins.filter(({ origin }) => hosts.refusal(origin) === undefined),
  };
}

/**
 * Writes the login of a browser's profile, readable by its owner alone.
 *
 * @throws {UserError} When there is nothing to keep.
 * @throws whatever the file system reports; the file that was there before is then unchanged.
 */
export async function writeStorageState(path: string, context: BrowserContext): Promise<StorageState> {
  const state = stateSchema.parse(await context.storageState({ indexedDB: true }));
  if (state.cookies.length === 0 && state.origins.length === 0) {
    throw new UserError(
      `nothing to keep in ${path}: the site has set no cookie and stored nothing, so nobody is signed in`,
    );
  }
  using aside = claimAside(path);
  try {
    await Deno.writeTextFile(aside.path, JSON.stringify(state, null, 2) + "\n", { createNew: true, mode: 0o600 });
    await Deno.rename(aside.path, path);
  } catch (error) {
    await Deno.remove(aside.path).catch(() => {});
    throw error;
  }
  return state;
}
