/** Starting a Chromium: which program, with which flags, and what is said when it does not start. */
import type { Browser } from "playwright-core";
import { UserError } from "../../base/user_error.ts";
import type { AllowedHosts } from "./allowed_hosts.ts";
import { findChromium } from "./find_chromium.ts";

/** Flags that keep the browser from talking to anyone by itself. */
const QUIET_FLAGS = [
  "--no-first-run",
  "--no-default-browser-check",
  "--no-pings",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--disable-sync",
  "--disable-quic",
  "--disable-gpu",
  // A proxy that the environment names would be asked in place of the hosts on the list, and is none of them.
  "--no-proxy-server",
  // Without it WebRTC sends datagrams to whomever a page names; the flag that begins with --force does nothing here.
  "--webrtc-ip-handling-policy=disable_non_proxied_udp",
];

/**
 * Starts a Chromium that resolves only the hosts on the list.
 *
 * @param options.executable Path of the program; found by itself when left out.
 * @param options.isHeaded Whether there is a window. Default false.
 * @throws {UserError} When there is none, or it does not start.
 */
export async function launchChromium(
  allowedHosts: AllowedHosts,
  options: { readonly executable?: string; readonly isHeaded?: boolean },
): Promise<Browser> {
  const executablePath = findChromium(options.executable);
  const sandbox = Deno.build.os === "windows" || Deno.uid() !== 0 ? [] : ["--no-sandbox"];
  // Loaded when a browser is wanted: it would be half a second of every start.
  const { chromium } = await import("playwright-core");
  try {
    return await chromium.launch({
      executablePath,
      headless: !options.isHeaded,
      args: [...QUIET_FLAGS, ...sandbox, `--host-resolver-rules=${allowedHosts.resolverRules()}`],
      // Signals are the program's to answer: it saves first.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (options.isHeaded && /Missing X server|DISPLAY/.test(message)) {
      throw new UserError(
        "Chromium has no screen for a window here: sign in by --steps-file, or on a machine with one",
      );
    }
    const reason = message.replaceAll(/\s+/g, " ").slice(0, 300);
    throw new UserError(`Chromium ${JSON.stringify(executablePath)} did not start: ${reason}`);
  }
}
