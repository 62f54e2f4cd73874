/**
 * The real browser on a small site of its own: each action, what it is kept from doing, and pages that misbehave.
 *
 * Ignored where there is no Chromium.
 */
import assert from "node:assert/strict";
import { parseAction } from "../../../lib/worlds/web_page/actions.ts";
import { AllowedHosts } from "../../../lib/gyms/chromium/allowed_hosts.ts";
import { type Observation, WebActionError } from "../../../lib/worlds/web_page/browser.ts";
import { type ChromiumBrowser, type ChromiumOptions, openChromium } from "../../../lib/gyms/chromium/chromium.ts";
import { findChromium } from "../../../lib/gyms/chromium/find_chromium.ts";
import { hasChromium } from "../../support/chromium.ts";

const ignore = !hasChromium();

function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

const LINES = (body: string, title = "Page") =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><body>${body}</body></html>`;

const PAGES: Record<string, string> = {
  "/": LINES(
    `<a href="/second">Second</a> <a href="/second" target="_blank">Beside</a>
     <form action="/found"><label>Name <input name="q" value="Ann"></label>
     <label>Size <select name="s"><option>S</option><option>M</option></select></label>
     <label><input type="checkbox" name="c"> Gift</label><button>Go</button></form>
     <label>Day <input type="date"></label><label>Locked <input readonly value="x"></label>
     <details><summary>More</summary><p>Inside</p></details>
     <p id="hover" onmouseover="this.textContent = 'hovered'">rest</p>
     <div style="height: 3000px"></div><a href="/below">Below</a>`,
    "First",
  ),
  "/second": LINES("<h1>Second page</h1>", "Second"),
  "/script-link": LINES(`<button onclick="setTimeout(() => location.href = '/second', 5)">Later</button>`),
  "/away": LINES(
    `<a href="http://other.test/">Away</a> <a href="/redirect">Redirect</a> <a href="/file.zip" download>Download</a>
     <a href="/attachment">Attachment</a> <a href="file:///etc/hostname">File</a>
     <button onclick="window.open('http://other.test/')">Window away</button> <button onclick="window.open('/second')">Window</button>
     <button onclick="fetch('http://other.test/x').catch(() => document.title = 'refused')">Fetch</button>
     <button onclick="new WebSocket('ws://other.test/').onerror = () => document.title = 'no socket'">Socket</button>
     <button onclick="location = 'data:text/html,x'">Data</button>`,
  ),
  "/dialogs": LINES(
    `<button onclick="alert('hello')">Alert</button>
     <button onclick="document.title = String(confirm('sure?'))">Confirm</button>
     <button onclick="document.title = String(prompt('who?', 'me'))">Question</button>
     <button onclick="window.open('/alert')">Window</button> <a href="/second">Second</a>
     <button onclick="window.onbeforeunload = (event) => event.preventDefault()">Guard</button>
     <button onclick="Notification.requestPermission().then((it) => document.title = it)">Ask</button>`,
  ),
  "/alert": LINES(`<script>alert("in a window")</script>`),
  "/fields": LINES(
    `<form><label>Area <textarea data-field>old\nlines</textarea></label>
     <div data-field contenteditable role="textbox" aria-label="Rich"><p>old <b>rich</b></p></div>
     <label>Mail <input data-field type="email" value="a@b"></label>
     <label>Count <input data-field type="number" value="3"></label>
     <label>Secret <input data-field type="password" value="old"></label>
     <label>Day <input data-field type="date" id="day"></label><label>Hour <input data-field type="time"></label>
     <label>Tint <input data-field type="color"></label><label>Loud <input data-field type="range"></label>
     <label>Size <select data-field id="size"><option>Small</option><option value="m">Medium</option><option>Large</option>
       <option disabled>Sold out</option></select></label>
     <x-part data-field></x-part><x-rich data-field></x-rich><label>Long <input data-field></label>
     <label>Off <textarea disabled></textarea></label><label><input type="checkbox"> Tick</label>
     <label>File <input type="file"></label></form>
     <script>
       const part = (name, inside) => customElements.define(name, class extends HTMLElement {
         constructor() { super(); this.attachShadow({ mode: "open" }).innerHTML = inside; }
       });
       part("x-part", '<input aria-label="Inside" value="old">');
       part("x-rich", '<div contenteditable role="textbox" aria-label="Inside rich">old</div>');
       const valueOf = (field) => {
         const inner = field.shadowRoot?.firstChild ?? field;
         return inner.localName === "select" ? inner.selectedOptions[0].label : inner.value ?? inner.textContent;
       };
       // As frameworks do, which hear of a person's changes but not of their own.
       const heard = [], pressed = [];
       for (const field of [day, size]) {
         const { get, set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value");
         let known = field.value;
         Object.defineProperty(field, "value", { get() { return get.call(this); }, set(it) { known = it; set.call(this, it); } });
         field.addEventListener("input", () => get.call(field) !== known && !heard.includes(field.id) && heard.push(field.id));
       }
       addEventListener("keydown", (event) => pressed.push(event.key));
     </script>`,
    "Fields",
  ),
  "/many": LINES(`<button onclick="for (let i = 0; i < 9; i++) open('/second')">Many</button>`),
};

function respond(request: Request): Response {
  const { pathname, search, hostname } = new URL(request.url);
  // Whatever another host's name leads to is not this server's to answer: tests look for this text.
  if (hostname !== "shop.test") {
    return new Response(LINES("another host was reached"), { headers: { "content-type": "text/html" } });
  }
  if (pathname === "/redirect") return Response.redirect("http://other.test/landing");
  if (pathname === "/attachment") {
    return new Response("x", {
      headers: { "content-disposition": "attachment; filename=x.bin", "content-type": "application/octet-stream" },
    });
  }
  if (pathname === "/found") return page(LINES(`<p>${decodeURIComponent(search)}</p>`, "Found"));
  if (pathname === "/cookie") {
    const seen = request.headers.get("cookie") ?? "none";
    return page(LINES(`<p id="seen">${seen}</p>`, "Cookie"), { "set-cookie": "visited=yes" });
  }
  return pathname in PAGES ? page(PAGES[pathname]) : new Response("not there", { status: 404 });
}

function page(html: string, headers: Record<string, string> = {}): Response {
  return new Response(html, { headers: { "content-type": "text/html", ...headers } });
}

interface Opened {
  browser: ChromiumBrowser;
  server: Deno.HttpServer<Deno.NetAddr>;
}

/** Starting a browser takes longer than most tests, so those with the same options share one; each resets it. */
const opened = new Map<string, Promise<Opened>>();
const shared = { ignore, sanitizeOps: false, sanitizeResources: false };

Deno.test.afterAll(async () => {
  for (const { browser, server } of await Promise.all(opened.values())) {
    await browser.close();
    await server.shutdown();
  }
});

async function open(options: ChromiumOptions): Promise<Opened> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, respond);
  const hosts = { "shop.test": `127.0.0.1:${server.addr.port}` };
  return { server, browser: await openChromium({ hosts, settling: { quiet: 25 }, maxTabs: 4, ...options }) };
}

async function withBrowser(
  run: (browser: ChromiumBrowser, t: (text: string) => Promise<Observation>) => Promise<void>,
  options: ChromiumOptions = {},
): Promise<void> {
  const key = JSON.stringify(options);
  if (!opened.has(key)) opened.set(key, open(options));
  const { browser } = await opened.get(key)!;
  await run(browser, (text) => browser.perform(parseAction(text)));
}

/** The action on the node of that name: `act("click", "Second")`. */
function at(observation: Observation, action: string, name: string, rest = ""): string {
  const found = [...observation.nodes].find(([, node]) => node.name === name && node.role !== "StaticText");
  assert.ok(found, `no ${name} in\n${observation.tree}`);
  return `${action} [${found[0]}]${rest}`;
}

function hasLine(observation: Observation, pattern: RegExp): void {
  assert.match(observation.tree, pattern);
}

Deno.test("chromium: every action does what a person would do", shared, async () => {
  await withBrowser(async (browser, act) => {
    const first = await browser.reset(["http://shop.test/"]);
    assert.ok(
      first.tree.startsWith("Tab 0 (current): First\n\n[1] RootWebArea 'First' focused: True\n\t[2] link 'Second'\n"),
    );
    hasLine(first, /textbox 'Name' required: False\n\t+\[\d+\] StaticText 'Ann'/);
    assert.doesNotMatch(first.tree, /Below/);

    let now = await act(at(first, "type", "Name", " [Bob é] [0]"));
    hasLine(now, /textbox 'Name' focused: True required: False\n\t+\[\d+\] StaticText 'Bob é'/);
    now = await act(at(now, "click", "M"));
    hasLine(now, /option 'S' selected: False\n\t+\[\d+\] option 'M' selected: True/);
    now = await act(at(now, "click", "Gift"));
    hasLine(now, /checkbox 'Gift' focused: True checked: true/);
    now = await act(at(now, "click", "More"));
    hasLine(now, /DisclosureTriangle 'More' focused: True expanded: True\n\t+\[\d+\] StaticText 'Inside'/);
    const resting = [...now.nodes].find(([, node]) => node.name === "rest")![0];
    now = await act(`hover [${resting}]`);
    hasLine(now, /StaticText 'hovered'/);
    now = await act("scroll [down]");
    hasLine(now, /link 'Below'/);
    assert.doesNotMatch(now.tree, /link 'Second'/);
    now = await act("scroll [up]");
    now = await act(at(now, "click", "Go"));
    assert.equal(now.url, "http://shop.test/found?q=Bob+%C3%A9&s=M&c=on");

    now = await act("go_back");
    assert.equal(now.url, "http://shop.test/");
    now = await act("go_forward");
    assert.equal(now.url, "http://shop.test/found?q=Bob+%C3%A9&s=M&c=on");
    now = await act("go_forward");
    assert.equal(now.tabs.length, 1);
    now = await act("goto [http://shop.test/]");
    now = await act(at(now, "type", "Name", " [x y] [1]"));
    assert.equal(now.url, "http://shop.test/found?q=x+y&s=S");
    now = await act("goto [http://shop.test/]");
    now = await act("press [tab]");
    hasLine(now, /link 'Second' focused: True/);
    now = await act("press [Enter]");
    assert.equal(now.url, "http://shop.test/second");
    await act("go_back");
    now = await act("go_back");
    now = await act("stop [done]");
    now = await act("this is no action");
    assert.equal(now.tabs.length, 1);
  });
});

Deno.test("chromium: every kind of field takes what a person would give it, and nothing else", shared, async () => {
  await withBrowser(async (browser, act) => {
    let now = await browser.reset(["http://shop.test/fields"]);
    const values = async () =>
      JSON.parse(await browser.locate("JSON.stringify([...document.querySelectorAll('[data-field]')].map(valueOf))"));
    const texts: readonly [name: string, text: string, value?: string][] = [
      ["Area", "two words [and brackets]"],
      ["Rich", "typed anew"],
      ["Mail", "b@c.test"],
      ["Count", "42"],
      ["Secret", "pass word"],
      ["Day", "2024-05-31"],
      ["Hour", "14:30"],
      ["Tint", "#FF8800", "#ff8800"],
      ["Loud", "70"],
      ["Size", "large", "Large"],
      ["Inside", "in a shadow"],
      ["Inside rich", "in a shadow too"],
      // Longer than what is typed in one breath.
      ["Long", "word ".repeat(60).trim()],
    ];
    for (const [name, text] of texts) now = await act(at(now, "type", name, ` [${text}] [0]`));
    assert.deepEqual(await values(), texts.map(([, text, value = text]) => value));
    const refused: readonly [name: string, text: string, message: RegExp][] = [
      ["Day", "tomorrow", /cannot be done: it takes a date like 2024-05-31$/],
      ["Loud", "loud", /it takes a number of its range$/],
      ["Size", "Huge", /its list has no option "Huge": there are "Small", "Medium", "Large"$/],
      ["Size", "Sold out", /its list has no option "Sold out"/],
      ["Off", "x", /it is disabled or read-only$/],
      ["Tick", "x", /it takes no text$/],
      ["File", "x", /it takes no text$/],
    ];
    for (const [name, text, message] of refused) {
      await assert.rejects(act(at(now, "type", name, ` [${text}] [1]`)), message, name);
    }
    assert.deepEqual(await values(), texts.map(([, text, value = text]) => value));
    // A page that follows its fields learns of all of them: what it heard of the list and the date.
    assert.equal(await browser.locate("heard.join()"), "day,size");
    // An option's text names its list as well, and so do the parts of a date.
    now = await act(at(now, "type", "Small", " [Med] [1]"));
    now = await act(at(now, "type", "Month Month", " [07] [0]"));
    const [, , , , , day, , , , size] = await values();
    assert.deepEqual([day, size], ["2024-07-31", "Medium"]);
    assert.equal(now.url, "http://shop.test/fields");
    await act("press [esc]");
    await act("press [ctrl+K]");
    await act("press [arrowleft]");
    await act("press [space]");
    assert.equal(await browser.locate("pressed.slice(-5).join()"), "Escape,Control,k,ArrowLeft, ");
  });
});

Deno.test("chromium: tabs are opened, by actions and by pages, looked at and closed", shared, async () => {
  await withBrowser(async (browser, act) => {
    let now = await browser.reset(["http://shop.test/second", "http://shop.test/"]);
    assert.deepEqual(now.tabs, [{ title: "Second", isCurrent: true }, { title: "First", isCurrent: false }]);
    now = await act("tab_focus [1]");
    now = await act(at(now, "click", "Beside"));
    assert.deepEqual(now.tabs.map(({ title }) => title), ["Second", "First", "Second"]);
    assert.equal(now.url, "http://shop.test/second");
    now = await act("new_tab");
    assert.equal(now.url, "about:blank");
    assert.match(
      now.tree,
      /^Tab 0: Second \| Tab 1: First \| Tab 2: Second \| Tab 3 \(current\): \n\n\[1\] RootWebArea '' focused: True$/,
    );
    now = await act("go_back");
    assert.equal(now.url, "about:blank");
    now = await act("tab_focus [1]");
    assert.equal(now.url, "http://shop.test/");
    now = await act("close_tab");
    assert.equal(now.tabs.at(-1)!.isCurrent, true);
    await act("close_tab");
    await act("close_tab");
    now = await act("close_tab");
    assert.deepEqual([now.tabs.length, now.url], [1, "about:blank"]);
    await assert.rejects(act("tab_focus [1]"), new WebActionError("tab_focus [1]: there is no such tab, only 0 to 0"));

    now = await act("goto [http://shop.test/many]");
    now = await act(at(now, "click", "Many"));
    assert.ok(now.tabs.length <= 4, `${now.tabs.length} tabs`);
  });
});

Deno.test("chromium: a navigation that a script starts later is waited for", shared, async () => {
  await withBrowser(async (browser, act) => {
    const first = await browser.reset(["http://shop.test/script-link"]);
    const now = await act(at(first, "click", "Later"));
    assert.equal(now.url, "http://shop.test/second");
    hasLine(now, /heading 'Second page'/);
  });
});

Deno.test("chromium: actions that cannot be done say so in one line and change nothing", shared, async () => {
  await withBrowser(async (browser, act) => {
    const first = await browser.reset(["http://shop.test/"]);
    const cases: [string, RegExp][] = [
      ["click [999]", /^click \[999\]: there is no \[999\] on the page$/],
      [at(first, "type", "Second", " [x]"), /^type \[\d+\] \[x\] \[1\] cannot be done: it takes no text$/],
      [at(first, "type", "Locked", " [x]"), /cannot be done: it is disabled or read-only$/],
      ["press [Fuu]", /^press \[Fuu\]: there is no such key/],
      ["goto [http://other.test/]", /^"http:\/\/other.test\/" may not be opened: allowed hosts are shop.test$/],
      ["goto [shop.test]", /^"shop.test" is not an address/],
      ["goto [file:///etc/hostname]", /only http and https addresses may$/],
      ["goto [data:text/html,x]", /only http and https addresses may$/],
      ["goto [chrome://version]", /only http and https addresses may$/],
      ["goto [http://shop.test/attachment]", /is a download|could not be opened/],
    ];
    for (const [action, message] of cases) {
      await assert.rejects(act(action), (error: Error) => {
        assert.ok(error instanceof WebActionError, `${action}: ${error}`);
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n"));
        return true;
      });
    }
    assert.equal((await browser.observe()).tree, first.tree);
    await assert.rejects(browser.reset(["http://other.test/"]), WebActionError);
  });
});

Deno.test("chromium: a page reaches no other host, no file and no disk", shared, async () => {
  await withBrowser(async (browser, act) => {
    const start = "http://shop.test/away";
    let now = await browser.reset([start]);
    const notes: string[] = [];
    for (const name of ["Away", "Redirect", "Window away"]) {
      await assert.rejects(act(at(now, "click", name)), (error: Error) => {
        assert.ok(error instanceof WebActionError);
        assert.match(error.message, /other\.test.* may not be opened/, name);
        return true;
      });
      now = await browser.observe();
      assert.deepEqual([now.url, now.tabs.length], [start, 1], name);
      notes.push(...now.notes ?? []);
    }
    for (const name of ["Download", "Attachment"]) {
      await assert.rejects(act(at(now, "click", name)), /is a download, which is refused/);
      now = await browser.observe();
      assert.equal(now.url, start);
    }
    for (const name of ["File", "Data"]) {
      now = await act(at(now, "click", name));
      assert.deepEqual([now.url, now.tabs.length], [start, 1], name);
    }
    now = await act(at(now, "click", "Fetch"));
    assert.equal(now.tabs[0].title, "refused");
    now = await act(at(now, "click", "Socket"));
    now = await browser.observe();
    assert.equal(now.tabs[0].title, "no socket");
    now = await act(at(now, "click", "Window"));
    assert.equal(now.tabs.length, 2);
    assert.ok(notes.some((note) => note.includes("other.test")));
  });
});

Deno.test("chromium: dialogs are dismissed and noted, permissions are not given", shared, async () => {
  await withBrowser(async (browser, act) => {
    let now = await browser.reset(["http://shop.test/dialogs"]);
    now = await act(at(now, "click", "Alert"));
    assert.deepEqual(now.notes, ['dialog alert "hello" was dismissed']);
    now = await act(at(now, "click", "Confirm"));
    assert.equal(now.tabs[0].title, "false");
    assert.deepEqual(now.notes, ['dialog confirm "sure?" was dismissed']);
    now = await act(at(now, "click", "Question"));
    assert.equal(now.tabs[0].title, "null");
    now = await act(at(now, "click", "Window"));
    assert.deepEqual(now.notes, ['dialog alert "in a window" was dismissed']);
    assert.equal(now.url, "http://shop.test/alert");
    now = await act("close_tab");
    // A page that asks whether it may be left is left, whatever leads away from it.
    for (const leave of ["goto [http://shop.test/second]", "link"]) {
      now = await act(at(now, "click", "Guard"));
      now = await act(leave === "link" ? at(now, "click", "Second") : leave);
      assert.deepEqual([now.url, now.notes], ["http://shop.test/second", ['dialog beforeunload "" was accepted']]);
      now = await act("goto [http://shop.test/dialogs]");
    }
    now = await act(at(now, "click", "Guard"));
    now = await act("close_tab");
    assert.equal(now.url, "about:blank");
    now = await act("goto [http://shop.test/dialogs]");
    now = await act(at(now, "click", "Ask"));
    assert.notEqual(now.tabs[0].title, "granted");
  });
});

Deno.test(
  "chromium: a reset forgets cookies; parts of pages are read for evaluators; trees are cut",
  { ignore },
  async () => {
    await withBrowser(async (browser, act) => {
      await browser.reset(["http://shop.test/cookie"]);
      assert.equal(await browser.locate("document.querySelector('#seen').outerText"), "none");
      assert.equal(
        await browser.locate("document.querySelector('#seen').outerText", "http://shop.test/cookie"),
        "visited=yes",
      );
      assert.equal(await browser.locate("document.querySelector('#none').outerText"), "");
      assert.equal(await browser.locate("[1, 2].map((x) => x * 2)"), "[2,4]");
      assert.match(await browser.locate(""), /<p id="seen">none<\/p>/);
      await assert.rejects(browser.locate("", "http://other.test/"), /may not be opened/);
      let now = await act("goto [http://shop.test/cookie]");
      hasLine(now, /visited=yes/);
      now = await browser.reset(["http://shop.test/cookie"]);
      hasLine(now, /StaticText 'none'/);
      now = await act("goto [http://shop.test/]");
      assert.equal(now.tree.split("\n").length, 2 + 5);
      assert.ok(now.linesLeftOut! > 5);
      const picture = await browser.screenshot();
      assert.deepEqual([...picture!.slice(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
    }, { maxLines: 5 });
  },
);

Deno.test("chromium: where it is looked for, and what is said when it is not there", () => {
  assert.throws(
    () => findChromium("/nowhere/chromium"),
    /executable must be the path of a Chromium or Chrome: "\/nowhere/,
  );
});

Deno.test("allowed hosts: names, ports, all below a name", () => {
  const hosts = new AllowedHosts(["127.0.0.1:8080", "*.wiki.test"], { "shop.test": "127.0.0.1:9" });
  const may = (url: string) => hosts.refusal(url) === undefined;
  assert.ok(
    [
      ...["http://shop.test/x", "http://shop.test:80/x", "https://shop.test:443/x", "https://shop.test"],
      ...["https://a.b.wiki.test/", "http://wiki.test", "http://127.0.0.1:8080/", "about:blank"],
    ].every(may),
  );
  const refused = [
    ...[
      "http://127.0.0.1/",
      "http://evilshop.test",
      "http://shop.test.evil.test",
      "http://shop.test:8080/",
      "https://shop.test:80/",
      "http://shop.test:443/",
      "http://a.wiki.test:22/",
      "http://evilwiki.test",
      "ftp://shop.test/",
    ],
    ...["file:///x", "javascript:1", "http://user@evil.test/", "http://shop.test@evil.test/", "", "about:srcdoc"],
  ];
  assert.deepEqual(refused.filter(may), []);
  const others = new AllowedHosts(["[0:0::1]:8080", "FE80::1", "münchen.test", "*.日本.test"]);
  const named = ["http://[::1]:8080/", "http://[fe80::1]/", "http://münchen.test/", "http://xn--mnchen-3ya.test/"];
  assert.deepEqual([...named, "https://a.日本.test/x"].filter((url) => others.refusal(url) !== undefined), []);
  assert.notEqual(others.refusal("http://[::1]/"), undefined);
  assert.notEqual(others.refusal("http://munchen.test/"), undefined);
  for (const strange of ["", "a/b", "u@shop.test", "[::1", "a b", "*", "shop.test:x", "http://shop.test", "a,b"]) {
    assert.throws(() => new AllowedHosts([strange]), RangeError, strange);
  }
  assert.throws(() => new AllowedHosts([]), /must name at least one host/);
  assert.throws(() => new AllowedHosts(["a b, MAP * x"]), /received "a b, MAP \* x"/);
});

Deno.test("chromium: hosts with an IPv6 number, and names in other scripts", {
  ignore: ignore || !hasIpv6(),
}, async () => {
  const serve = (hostname: string) =>
    Deno.serve({ hostname, port: 0, onListen() {} }, ({ url }) => page(LINES(new URL(url).hostname, "Host")));
  await using server = serve("::1");
  const [named, numbered] = [`127.0.0.1`, `[::1]`].map((host) => `${host}:${server.addr.port}`);
  await using browser = await openChromium({ allowedHosts: [numbered], hosts: { "münchen.test": numbered } });
  let now = await browser.reset([`http://${numbered}/`]);
  assert.equal(now.url, `http://${numbered}/`);
  now = await browser.perform(parseAction("goto [http://münchen.test/]"));
  assert.equal(now.url, "http://xn--mnchen-3ya.test/");
  for (const url of [`http://${named}/`, "http://[::1]:1/", "http://[::2]/"]) {
    await assert.rejects(browser.perform(parseAction(`goto [${url}]`)), /may not be opened/);
  }
});
