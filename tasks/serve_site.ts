/** `deno task serve-site`: the built-in shop on this machine, to be looked at in a browser. */
import { serveSite } from "../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../lib/gyms/shop/shop_site.ts";
import { siteTasks, writeSiteTasks } from "../lib/gyms/shop/site_tasks.ts";
import { UserError } from "../lib/base/user_error.ts";
import { checkOutput, type Command, readFlags, runCommand } from "./cli.ts";

const COMMAND: Command = {
  name: "serve-site",
  summary: "Serve the built-in shop on this machine: prints its address. Another seed is another shop.",
  flags: {
    seed: { value: "N", description: "What the shop's catalogue follows from", default: "0" },
    port: { value: "N", description: "Port on this machine", default: "any that is free" },
    "allow-reset": { description: "POST /reset undoes everything that was done" },
    out: { value: "FILE", description: "Write the shop's tasks there in WebArena's form, and end without serving" },
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const port = flags.integer("port", 1) ?? 0, out = flags.text("out");
  if (port > 65535) throw new UserError(`--port must be in 1..65535: received ${port}`);
  const site = new ShopSite({ seed: flags.integer("seed") ?? 0 });
  await checkOutput(out, "tasks.json");
  if (out !== undefined) {
    await writeSiteTasks(site, out);
    console.log(`${siteTasks(site).length} tasks of the shop with seed ${site.seed}: ${out}`);
    return;
  }
  await using served = serveSite(site, { port, allowsReset: flags.has("allow-reset") });
  console.log(`the shop with seed ${site.seed} is at ${served.origin}/ (Ctrl-C ends it)`);
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}, { stopping: "closing the shop" });
