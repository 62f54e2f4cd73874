/**
 * `deno task web-login`: signs in to a site and keeps the login in a file, for `record-web --storage-state`, `web-agent --storage-state`
 * and the `storage_state` of WebArena's tasks.
 *
 * By hand in a window of Chromium, or by steps from a file. Only the site's hosts are reached.
 */
import { UserError } from "../lib/base/user_error.ts";
import { RunInterruptedError } from "../lib/runs/stage.ts";
import { WebActionError } from "../lib/worlds/web_page/browser.ts";
import { type ChromiumBrowser, openChromium } from "../lib/gyms/chromium/chromium.ts";
import { performLoginSteps, readLoginSteps } from "../lib/gyms/chromium/login_steps.ts";
import { checkOutput, type Command, readFlags, runCommand } from "./cli.ts";
import { siteAddresses } from "./site_addresses.ts";

const COMMAND: Command = {
  name: "web-login",
  summary:
    "Sign in to a web site, in a window or by steps from a file, and keep the login for record-web and web-agent.",
  flags: {
    site: { value: "URL", description: "Page to sign in at; only its host is reached", repeated: true },
    "allow-host": { value: "HOST", description: "Another host that pages may reach", repeated: true },
    "steps-file": {
      value: "FILE",
      description: "Actions that sign in, a JSON list",
      default: "none: a window is opened, and you do",
    },
    "page-limit": { value: "SECONDS", description: "That a page may take to settle or answer", default: "10" },
    out: { value: "FILE.json", description: "Where the login is kept, readable by you alone" },
  },
  epilogue: () =>
    [
      `Steps name nodes by role and name: ["type [textbox 'Email'] [me@shop.test] [0]", "type [textbox 'Password'] [\${PASSWORD}] [0]",`,
      `"click [button 'Sign In']"]. \${PASSWORD} is read from the environment. In a window: sign in, then press Enter here or close it.`,
    ].join("\n"),
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const sites = siteAddresses(flags.list("site")), out = flags.text("out"), stepsFile = flags.text("steps-file");
  if (sites.length === 0) throw new UserError("--site is missing: name the page to sign in at");
  if (out === undefined) throw new UserError("--out is missing: name the file to write, such as --out login.json");
  await checkOutput(out, "login.json");
  const steps = stepsFile === undefined ? undefined : await readLoginSteps(stepsFile);
  const allowedHosts = [...sites.map((site) => new URL(site).host), ...flags.list("allow-host")];
  const limit = (flags.integer("page-limit", 1) ?? 10) * 1000;
  await using browser = await openChromium({
    allowedHosts,
    settling: { limit },
    isHeaded: steps === undefined,
    signal,
  });
  try {
    if (steps) {
      const { url, tabs } = await performLoginSteps(browser, sites, steps, (name) => Deno.env.get(name));
      console.log(`the last page is ${url}, ${JSON.stringify(tabs.find(({ isCurrent }) => isCurrent)?.title ?? "")}`);
    } else await byHand(browser, sites);
    const { cookies, origins } = await browser.saveStorageState(out);
    const hosts = [...new Set(cookies.map(({ domain }) => domain))].join(", ") || "no host";
    console.log(`${out}: ${cookies.length} cookies of ${hosts}, the storage of ${origins.length} sites`);
  } catch (error) {
    if (signal.aborted) throw new RunInterruptedError("stopped; nothing was written");
    throw error instanceof WebActionError ? new UserError(`nothing was written: ${error.message}`) : error;
  }
}, { stopping: "closing the browser" });
// Who closed the window has not pressed Enter, which is still waited for.
Deno.exit();

/** Returns when whoever sits there says that it is done. */
async function byHand(browser: ChromiumBrowser, sites: readonly string[]): Promise<void> {
  await browser.reset(sites);
  console.error("sign in in the window, then press Enter here or close the window");
  await Promise.race([browser.untilClosed(), enterPressed()]);
}

async function enterPressed(): Promise<void> {
  const reader = Deno.stdin.readable.getReader();
  try {
    // Where there is no terminal nobody can press it.
    if ((await reader.read()).done) await new Promise(() => {});
  } finally {
    reader.releaseLock();
  }
}
