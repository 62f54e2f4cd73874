/** Where a Chromium is on this machine. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../base/user_error.ts";

/** Names of the program, best first: what Debian, other distributions and Google call it. */
const PROGRAM_NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"];

/** Where it is though no path leads there. */
const USUAL_PLACES = [
  "/usr/bin/chromium",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/**
 * Path of a Chromium: `executable`, else the environment's `CHROMIUM`, else the first on the `PATH`, else where it usually is.
 *
 * @throws {UserError} When there is none, with how to install it; when the given one is not there.
 */
export function findChromium(executable?: string): string {
  const named = executable ?? Deno.env.get("CHROMIUM");
  if (named) {
    if (existsSync(named)) return named;
    const source = executable === undefined ? "CHROMIUM" : "executable";
    throw new UserError(`${source} must be the path of a Chromium or Chrome: ${JSON.stringify(named)} is not there`);
  }
  const folders = (Deno.env.get("PATH") ?? "").split(Deno.build.os === "windows" ? ";" : ":").filter((path) => path);
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  const onPath = PROGRAM_NAMES.flatMap((name) => folders.map((folder) => join(folder, name + suffix)));
  const found = [...onPath, ...USUAL_PLACES].find((path) => existsSync(path));
  if (found) return found;
  throw new UserError(
    "no Chromium found: install one (Debian, Ubuntu: sudo apt-get install chromium; macOS: brew install --cask chromium), " +
      "or set CHROMIUM to the path of a Chromium or Chrome",
  );
}
