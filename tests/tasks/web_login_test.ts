/** `deno task web-login`: errors in one line; a login by steps, which `record-web` then begins with. */
import assert from "node:assert/strict";
import { readWebPageRows } from "../../lib/worlds/web_page/parquet.ts";
import { withFolder } from "../support/files.ts";
import { hasChromium } from "../support/chromium.ts";
import { PASSWORD, serveLoginSite } from "../support/login_site.ts";
import { runTask } from "../support/tiny_run.ts";

Deno.test("web-login: mistakes are one line and exit code 2, and nothing is written", async () => {
  await withFolder(async (folder) => {
    const out = ["--out", `${folder}/x.json`], site = ["--site", "http://127.0.0.1:1/"];
    for (
      const [args, says] of [
        [out, "--site is missing: name the page to sign in at"],
        [site, "--out is missing: name the file to write, such as --out login.json"],
        [
          ["--site", "shop.test", ...out],
          '--site must be an address like http://localhost:8080/: received "shop.test"',
        ],
        [[...site, "--out", "/nowhere/x.json"], "there is no folder /nowhere"],
        [[...site, ...out, "--steps-file", "/nowhere.json"], "steps /nowhere.json cannot be read"],
      ] as const
    ) {
      const { code, stderr } = await runTask("web_login", [...args]);
      assert.equal(code, 2, stderr);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      assert.ok(stderr.startsWith("error: ") && stderr.includes(says), stderr);
    }
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
  });
});

Deno.test("web-login: a login by steps, and a recording that begins with it", {
  ignore: !hasChromium(),
}, async () => {
  await withFolder(async (folder) => {
    await using site = serveLoginSite();
    const steps = `${folder}/steps.json`, login = `${folder}/login.json`, out = `${folder}/web.parquet`;
    await Deno.writeTextFile(
      steps,
      JSON.stringify([
        "type [textbox 'Name'] [Ann] [0]",
        "type [textbox 'Password'] [${SHOP_PASSWORD}] [1]",
      ]),
    );
    const made = await runTask("web_login", ["--site", `${site.origin}/login`, "--steps-file", steps, "--out", login], {
      env: { SHOP_PASSWORD: PASSWORD },
    });
    assert.equal(made.code, 0, made.stderr);
    assert.match(
      made.stdout,
      /^the last page is http:.*\/, "Shop"\n.*login.json: 1 cookies of 127.0.0.1, the storage of 1 sites\n$/,
    );
    assert.equal((await Deno.stat(login)).mode! & 0o777, 0o600);

    const args = ["--site", `${site.origin}/`, "--steps", "2", "--out", out];
    const recorded = await runTask("record_web", [...args, "--storage-state", login]);
    assert.equal(recorded.code, 0, recorded.stderr);
    for await (const row of readWebPageRows(out)) assert.match(JSON.stringify(row), /Hello Ann/);
  });
});
