/** Finding a package's wheel in a Python index (PEP 503), which also says what its SHA-256 must be. */
import { readAnswer } from "../../io/answer.ts";
import { UserError } from "../../base/user_error.ts";
import { fetchSecurely } from "./download.ts";

/** A wheel in an index. */
export interface Wheel {
  /** Its file's name. */
  name: string;
  url: string;
  /** What it must be, in hexadecimal digits. */
  sha256: string;
}

/** A wheel that is wanted; whichever Python it is for. */
export interface WantedWheel {
  /** The index: `https://pypi.org/simple`. */
  index: string;
  /** The package. */
  name: string;
  /** Its version, with the local part if it has one: `2.13.0+cpu`. */
  version: string;
  os: typeof Deno.build.os;
  arch: typeof Deno.build.arch;
}

/** Bytes of an index page: the largest are of a few hundred thousand. */
const MAX_PAGE_BYTES = 2 ** 25;

/** The wheel for the newest Python in an index page's HTML; one without a stated SHA-256 is none. */
export function wheelOf(
  html: string,
  page: string,
  { version, os, arch }: Omit<WantedWheel, "index">,
): Wheel | undefined {
  const platform = os === "darwin"
    ? new RegExp(`macosx_[0-9_]+_${arch === "aarch64" ? "arm64" : arch}\\.whl$`)
    : new RegExp(`manylinux[\\w.]*_${arch}\\.whl$`);
  const python = (name: string) => Number(/-cp3(\d+)-/.exec(name)?.[1] ?? 0);
  const wheels: Wheel[] = [];
  for (const [, href] of html.matchAll(/<a\s[^<>]*href="([^"<>]+)"/g)) {
    const url = URL.parse(href.replaceAll("&amp;", "&"), page);
    const name = url?.pathname.split("/").at(-1)?.replaceAll(/%2b/gi, "+");
    const sha256 = /^#sha256=([0-9a-f]{64})$/.exec(url?.hash ?? "")?.[1];
    if (!url || !name || !sha256 || name.split("-")[1] !== version || !platform.test(name)) continue;
    url.hash = "";
    wheels.push({ name, url: url.href, sha256 });
  }
  return wheels.sort((a, b) => python(b.name) - python(a.name))[0];
}

/**
 * Finds a wheel.
 *
 * @param instead What to do without the index, for messages.
 * @throws {UserError} When the index cannot be reached or has no such wheel.
 */
export async function chooseWheel(wanted: WantedWheel, instead: string, signal?: AbortSignal): Promise<Wheel> {
  const page = `${wanted.index}/${wanted.name}/`;
  let html: string;
  try {
    const response = await fetchSecurely(page, { headers: { accept: "text/html" }, signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw new UserError(`${page} answered ${response.status}: ${instead}`);
    }
    html = new TextDecoder().decode(await readAnswer(response, MAX_PAGE_BYTES));
  } catch (error) {
    if (signal?.aborted || error instanceof UserError) throw error;
    throw new UserError(`cannot reach ${new URL(page).host} (${(error as Error).message.split("\n")[0]}): ${instead}`);
  }
  const found = wheelOf(html, page, wanted);
  if (found) return found;
  const { version, os, arch } = wanted;
  throw new UserError(`${page} has no wheel of ${version} with a SHA-256 for ${os} on ${arch}: ${instead}`);
}
