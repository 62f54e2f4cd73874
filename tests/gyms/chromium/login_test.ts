/**
 * Logins: steps that sign in, what is kept and for whom, what is loaded. In Chromium, on a small site of its own.
 *
 * Ignored where there is no Chromium, but for the files.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../../lib/base/user_error.ts";
import { AllowedHosts } from "../../../lib/gyms/chromium/allowed_hosts.ts";
import { openChromium } from "../../../lib/gyms/chromium/chromium.ts";
import { performLoginSteps, readLoginSteps } from "../../../lib/gyms/chromium/login_steps.ts";
import { allowedStorageState, readStorageState } from "../../../lib/gyms/chromium/storage_state.ts";
import { withFolder } from "../../support/files.ts";
import { hasChromium } from "../../support/chromium.ts";
import { PASSWORD, serveLoginSite } from "../../support/login_site.ts";

const options = { ignore: !hasChromium(), sanitizeOps: false, sanitizeResources: false };
const STEPS = [
  "click [link 'Sign in']",
  "type [textbox 'Name'] [Ann] [0]",
  "type [textbox 'Password'] [${SHOP_PASSWORD}] [0]",
  `click [button "Sign in"]`,
];

async function steps(folder: string, list: unknown = STEPS) {
  const path = join(folder, "steps.json");
  await Deno.writeTextFile(path, JSON.stringify(list));
  return await readLoginSteps(path);
}

Deno.test(
  "login: steps sign in, the file is its owner's alone, another browser begins with it, other hosts' parts are left out",
  options,
  async () => {
    await withFolder(async (folder) => {
      await using site = serveLoginSite();
      const file = join(folder, "login.json"), start = [`${site.origin}/`];
      const variable = (name: string) => name === "SHOP_PASSWORD" ? PASSWORD : undefined;
      {
        await using browser = await openChromium({ allowedHosts: [site.host] });
        await browser.reset(start);
        await assert.rejects(browser.saveStorageState(file), /nothing to keep in .*: the site has set no cookie/);
        const page = await performLoginSteps(browser, start, await steps(folder), variable);
        assert.match(page.tree, /heading 'Hello Ann'/);
        await browser.saveStorageState(file);
      }
      assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
      assert.ok(!(await Deno.readTextFile(file)).includes(PASSWORD));

      const state = await readStorageState(file);
      state.cookies.push({ ...state.cookies[0], name: "other", domain: "127.0.0.2" });
      state.origins.push({ origin: "http://127.0.0.2:1", localStorage: [{ name: "x", value: "y" }] });
      await using browser = await openChromium({ allowedHosts: [site.host], storageState: state });
      for (let profile = 0; profile < 2; profile++) {
        const page = await browser.reset(start);
        assert.match(page.tree, /heading 'Hello Ann'/);
        assert.match(page.tree, /StaticText 'seen before: yes'/);
      }
      const copy = join(folder, "copy.json");
      const loaded = await browser.saveStorageState(copy);
      assert.deepEqual(loaded.cookies.map(({ name, domain }) => [name, domain]), [["session", "127.0.0.1"]]);
      assert.deepEqual(loaded.origins.map(({ origin }) => origin), [site.origin]);
    });
  },
);

Deno.test("login: a step that cannot be done says which, and never tells what it typed", options, async () => {
  await withFolder(async (folder) => {
    await using site = serveLoginSite();
    await using browser = await openChromium({ allowedHosts: [site.host] });
    const attempt = async (list: string[], variables: Record<string, string> = {}) =>
      await performLoginSteps(browser, [`${site.origin}/login`], await steps(folder, list), (name) => variables[name]);
    const cases: [string[], Record<string, string>, RegExp][] = [
      [
        ["type [textbox 'Nome'] [Ann] [0]"],
        {},
        /^step 1 of .*: http.* has no textbox "Nome": it has "Name", "Password"$/,
      ],
      [["goto [http://other.test/]"], {}, /^step 1 of .*steps.json, goto .* may not be opened/],
      [
        ["type [button 'Sign in'] [${P}] [0]"],
        { P: "hush" },
        /, type \[button 'Sign in'\] \[\$\{P\}\] \[0\], could not be done: .*\[\$\{P\}\].*takes no text$/,
      ],
      [["type [textbox 'Password'] [${P}] [0]"], {}, /needs the environment variable P: it is not set$/],
    ];
    for (const [list, variables, message] of cases) {
      await assert.rejects(attempt(list, variables), (error: Error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, message);
        assert.ok(!error.message.includes("hush"), error.message);
        return true;
      });
    }
  });
});

Deno.test("login: files that are none", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.json");
    const write = (text: string) => Deno.writeTextFile(path, text);
    await assert.rejects(
      readStorageState(path),
      /^UserError: storage state .*x.json is not there: make one with deno task web-login$/,
    );
    await write(`{"cookies": "secret`);
    await assert.rejects(readStorageState(path), /^UserError: storage state .*x.json is no JSON: make one/);
    await write(`{"cookies": [{"name": "a", "value": 1, "domain": "a.test"}]}`);
    await assert.rejects(readStorageState(path), /^UserError: storage state .*x.json: cookies.0.value: /);
    // As other tools write it, without what is usual.
    await write(`{"cookies": [{"name": "a", "value": "1", "domain": ".a.test", "path": "/"}]}`);
    assert.deepEqual((await readStorageState(path)).origins, []);
    for (const list of [{}, [], [1], ["dance"], ["click [button Sign in]"], ["stop [x]"]]) {
      await assert.rejects(steps(folder, list), UserError, JSON.stringify(list));
    }
  });
});

Deno.test("login: whose cookies and storage are loaded", () => {
  const hosts = new AllowedHosts(["shop.test:8080", "*.wiki.test", "[::1]:80"]);
  const cookie = {
    name: "n",
    value: "v",
    path: "/",
    expires: -1,
    httpOnly: false,
    secure: false,
    sameSite: "Lax",
  } as const;
  const domains = [
    "shop.test",
    ".shop.test",
    ".test",
    "a.shop.test",
    "evilshop.test",
    "wiki.test",
    ".a.wiki.test",
    "[::1]",
    "wiki.test.evil",
  ];
  const origins = ["http://shop.test:8080", "http://shop.test", "https://b.wiki.test", "http://evil.test"];
  const { cookies, origins: kept } = allowedStorageState({
    cookies: domains.map((domain) => ({ ...cookie, domain })),
    origins: origins.map((origin) => ({ origin, localStorage: [] })),
  }, hosts);
  assert.deepEqual(cookies.map(({ domain }) => domain), [
    "shop.test",
    ".shop.test",
    ".test",
    "wiki.test",
    ".a.wiki.test",
    "[::1]",
  ]);
  assert.deepEqual(kept.map(({ origin }) => origin), ["http://shop.test:8080", "https://b.wiki.test"]);
});
