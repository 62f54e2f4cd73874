/**
 * A real browser: Chromium through playwright-core, seen and acted on as WebArena does.
 *
 * Each action is a person's: the pointer goes to the middle of a node, keys are pressed one by one. Two things are done otherwise
 * than in WebArena. Typing replaces what stands in a field (there, the new text lands wherever the click put the caret). And an
 * action is over when the page has settled, not after a fixed time.
 *
 * What goes wrong with a page is no end: a script that never returns and a server that never answers are stopped at the limit of time, a
 * tab that is closed or crashes is a tab less, an address that cannot be had leaves the page as it was. All of it is noted with what is
 * seen then. A Chromium that has ended is started again by the next reset.
 *
 * The page under test is not trusted. Each reset has a fresh profile; nothing is downloaded, no file, `data:` or `chrome:` address is
 * opened, no permission is given, dialogs are dismissed, and only the hosts on a list can be reached, by whatever way. Chromium's own
 * sandbox stays on, except when this process is root, where Chromium does not start with it: do not run as root on pages of strangers.
 */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { formatAction, type WebAction } from "../../worlds/web_page/actions.ts";
import { AllowedHosts } from "./allowed_hosts.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../worlds/web_page/browser.ts";
import { ChromiumTab, type TabRules, type TabView } from "./chromium_tab.ts";
import { launchChromium } from "./launch_chromium.ts";
import { isBrowserError, reasonOf, within } from "./page_error.ts";
import { allowedStorageState, type StorageState, writeStorageState } from "./storage_state.ts";
import type { SettlingTimes } from "./settling.ts";
import { describePage, KeyNumbering, type Numbering, PageNumbering } from "../../worlds/web_page/accessibility_tree.ts";

/** Actions that point at a node. */
type NodeAction = Extract<WebAction, { id: number }>;

/**
 * How to open a Chromium.
 *
 * @internal
 */
export interface ChromiumOptions {
  /**
   * Hosts that pages may reach: `shop.test` (by http and https on their usual ports), `127.0.0.1:8080`, `*.wikipedia.org`. Those of
   * `hosts` need not be listed.
   */
  readonly allowedHosts?: readonly string[];
  /** Where hosts are really served: `{"shop.test": "127.0.0.1:8080"}`. */
  readonly hosts?: Readonly<Record<string, string>>;
  /** Path of the program; found by itself when left out ({@linkcode findChromium}). */
  readonly executable?: string;
  /** Size of the viewport in CSS pixels. Default 1280 × 2048. */
  readonly viewport?: { readonly width: number; readonly height: number };
  /** `document` (default): 1, 2, 3, … within each document; `browser`: the browser's own node ids, as WebArena has them. */
  readonly numbering?: "document" | "browser";
  /** Trees are cut after so many lines. */
  readonly maxLines?: number;
  /** When a page counts as settled, in milliseconds. Default: quiet 100, network 2,000, limit 10,000. */
  readonly settling?: Partial<SettlingTimes>;
  /** More tabs are closed as soon as pages open them. Default 10. */
  readonly maxTabs?: number;
  /** A login that each profile begins with; the parts of hosts that may not be reached are left out. */
  readonly storageState?: StorageState;
  /** Whether there is a window to be seen and used by a person. Default false. */
  readonly isHeaded?: boolean;
  /** Ends waiting: whatever the browser is asked is given up with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a Chromium that reaches the allowed hosts and no others; every reset is a fresh profile.
 *
 * @throws {UserError} When there is none, or it does not start.
 * @throws {RangeError} When the hosts are no hosts.
 */
export async function openChromium(options: ChromiumOptions): Promise<ChromiumBrowser> {
  const allowedHosts = new AllowedHosts(options.allowedHosts ?? [], options.hosts);
  return new ChromiumBrowser(await launchChromium(allowedHosts, options), allowedHosts, options);
}

/** How long a profile may take to go. Milliseconds. */
const CLOSING_LIMIT = 5000;
/** Notes kept until the next look. */
const MOST_NOTES = 100;

/**
 * A running Chromium with one session. Open it with {@linkcode openChromium}; close it with `await using` or `close()`.
 *
 * @internal
 */
export class ChromiumBrowser implements WebBrowser {
  private readonly rules: TabRules;
  private readonly viewport: { readonly width: number; readonly height: number };
  private readonly maxTabs: number;
  private readonly maxLines: number | undefined;
  private numbering: Numbering = new PageNumbering();
  private context: BrowserContext | undefined;
  private tabs: ChromiumTab[] = [];
  private current = 0;
  private newWindows: Page[] = [];
  private isOpeningTab = false;
  private notes: string[] = [];
  private view: TabView | undefined;
  private keys: ReadonlyMap<number, string | number> = new Map();

  /** Use {@linkcode openChromium}. */
  constructor(
    private browser: Browser,
    private readonly allowedHosts: AllowedHosts,
    private readonly options: ChromiumOptions,
  ) {
    this.viewport = options.viewport ?? { width: 1280, height: 2048 };
    this.maxTabs = options.maxTabs ?? 10;
    this.maxLines = options.maxLines;
    const times = { quiet: 100, network: 2000, limit: 10_000, ...options.settling };
    this.rules = { allowedHosts, times, note: (text) => this.note(text) };
  }

  /** Keeps what cannot be seen on the page for the next look; the same once. */
  private note(text: string): void {
    if (this.notes.length < MOST_NOTES && !this.notes.includes(text)) this.notes.push(text);
  }

  /**
   * {@inheritDoc WebBrowser.reset}
   *
   * @throws {WebActionError} When an address may not be opened or cannot be.
   * @throws {UserError} When Chromium had ended and does not start again.
   */
  reset(urls: readonly string[]): Promise<Observation> {
    return this.guarded(async () => {
      for (const url of urls) {
        const refusal = this.allowedHosts.refusal(url);
        if (refusal !== undefined) throw new WebActionError(refusal);
      }
      await this.openProfile();
      for (const url of urls.length > 0 ? urls : ["about:blank"]) {
        const tab = await this.openTab();
        if (url !== "about:blank") await tab.goto(url);
        await this.settle();
        await this.look();
      }
      if (this.current !== 0) {
        this.current = 0;
        await this.tab().toFront();
        await this.look();
      }
      return this.observation();
    });
  }

  /** A fresh profile in place of the last; in a Chromium of its own where that one has ended. */
  private async openProfile(): Promise<void> {
    const last = this.context?.close() ?? Promise.resolve();
    const isClosed = await within(last, CLOSING_LIMIT, () => new Error("late")).then(() => true, () => false);
    if (!isClosed) await this.browser.close().catch(() => {});
    if (!this.browser.isConnected()) this.browser = await launchChromium(this.allowedHosts, this.options);
    this.tabs = [];
    this.newWindows = [];
    this.notes = [];
    this.numbering = this.options.numbering === "browser" ? new KeyNumbering() : new PageNumbering();
    this.context = await this.browser.newContext({
      // A person's window is as large as they make it.
      ...this.options.isHeaded ? { viewport: null } : { viewport: this.viewport, deviceScaleFactor: 1 },
      acceptDownloads: false,
      serviceWorkers: "block",
      permissions: [],
      locale: "en-US",
      timezoneId: "UTC",
      storageState: this.options.storageState && allowedStorageState(this.options.storageState, this.allowedHosts),
    });
    this.context.on("page", (page) => {
      if (!this.isOpeningTab) this.newWindows.push(page);
    });
    this.context.on("dialog", (dialog) => {
      // A page that asks whether it may be left is left.
      const isLeft = dialog.type() === "beforeunload";
      this.note(`dialog ${dialog.type()} ${JSON.stringify(dialog.message())} was ${isLeft ? "accepted" : "dismissed"}`);
      (isLeft ? dialog.accept() : dialog.dismiss()).catch(() => {});
    });
  }

  /** {@inheritDoc WebBrowser.observe} */
  observe(): Promise<Observation> {
    return this.guarded(async () => {
      await this.settle();
      await this.look();
      return this.observation();
    });
  }

  /** {@inheritDoc WebBrowser.perform} */
  perform(action: WebAction): Promise<Observation> {
    return this.guarded(async () => {
      await this.dropClosedTabs();
      const tab = this.tab();
      tab.refusal = undefined;
      try {
        await this.act(tab, action);
      } catch (error) {
        if (!isBrowserError(error) || !this.browser.isConnected()) throw error;
        this.note(`${formatAction(action)}: ${reasonOf(error)}`);
      }
      await this.settle();
      await this.look();
      if (tab.refusal !== undefined) throw new WebActionError(`${formatAction(action)}: ${tab.refusal}`);
      return this.observation();
    });
  }

  /**
   * Everything that the browser is asked from outside: what goes wrong with it or with a page is a `WebActionError`, and a signal ends
   * the waiting.
   */
  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.options;
    signal?.throwIfAborted();
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const stop = () => reject(signal!.reason);
    signal?.addEventListener("abort", stop);
    const working = work();
    working.catch(() => {});
    try {
      return await Promise.race([working, stopped]);
    } catch (error) {
      if (!isBrowserError(error)) throw error;
      throw new WebActionError(
        this.browser.isConnected() ? reasonOf(error) : "Chromium has ended: a reset starts it again",
      );
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Does one action, waiting for nothing. */
  private async act(tab: ChromiumTab, action: WebAction): Promise<void> {
    switch (action.kind) {
      case "click":
      case "hover":
      case "type":
        return await this.actOnNode(tab, action);
      case "press":
        return await tab.press(action.keys);
      case "scroll":
        return await tab.scroll(action.direction);
      case "goto":
        return await tab.goto(action.url);
      case "goBack":
        return await tab.moveInHistory(-1);
      case "goForward":
        return await tab.moveInHistory(1);
      case "newTab":
        if (this.tabs.length >= this.maxTabs) {
          throw new WebActionError(`new_tab: there are ${this.maxTabs} tabs already`);
        }
        await this.openTab();
        return;
      case "closeTab":
        return await this.closePage(tab.page);
      case "tabFocus":
        if (action.index >= this.tabs.length) {
          throw new WebActionError(
            `tab_focus [${action.index}]: there is no such tab, only 0 to ${this.tabs.length - 1}`,
          );
        }
        this.current = action.index;
        return await this.tab().toFront();
      case "stop":
      case "none":
        return;
    }
  }

  /** The same for actions that point at a node. */
  private async actOnNode(tab: ChromiumTab, action: NodeAction): Promise<void> {
    const key = this.keys.get(action.id);
    if (key === undefined) throw new WebActionError(`${formatAction(action)}: there is no [${action.id}] on the page`);
    // Of a text in a field, the key begins with the field's.
    const node = Number.parseInt(String(key));
    try {
      if (action.kind === "type") await tab.type(node, action.text, action.pressEnter);
      else if (action.kind === "hover") await tab.hover(node);
      else await tab.click(node);
    } catch (error) {
      if (!(error instanceof WebActionError)) throw error;
      throw new WebActionError(`${formatAction(action)} cannot be done: ${error.message}`);
    }
  }

  /** Lets the current page come to rest, takes over the windows that it has opened, and drops tabs that are gone. */
  private async settle(): Promise<void> {
    await this.dropClosedTabs();
    const opener = this.tab();
    await opener.settle();
    const end = performance.now() + this.rules.times.limit;
    while (this.newWindows.length < opener.windowsAsked && performance.now() < end && !opener.isGone) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    opener.windowsAsked = 0;
    for (const page of this.newWindows.splice(0)) {
      const isOwn = this.tabs.some((tab) => tab.page === page);
      if (isOwn || page.isClosed()) continue;
      try {
        await this.takeOver(page, opener);
      } catch (error) {
        if (!isBrowserError(error) || !this.browser.isConnected()) throw error;
        if (page.isClosed()) continue;
        this.note(`a window was closed: ${reasonOf(error)}`);
        await this.closePage(page);
      }
    }
    await this.dropClosedTabs();
  }

  /** Closes a page, whatever state it is in. */
  private async closePage(page: Page): Promise<void> {
    await within(page.close(), CLOSING_LIMIT, () => new Error("late")).catch(() => {});
  }

  /** Makes a window that a page has opened a tab, if it may be one. */
  private async takeOver(page: Page, opener: ChromiumTab): Promise<void> {
    if (this.tabs.length >= this.maxTabs) {
      this.rules.note(`a window was closed: there are ${this.maxTabs} tabs already`);
      await this.closePage(page);
      return;
    }
    const tab = await ChromiumTab.of(page, this.context!, this.rules);
    await tab.settle();
    const address = (await tab.history()).at(-1) ?? "about:blank";
    const refusal = tab.refusal ?? this.allowedHosts.refusal(address);
    if (refusal !== undefined) {
      opener.refusal = refusal;
      this.rules.note(refusal);
      await this.closePage(page);
      return;
    }
    this.tabs.push(tab);
    this.current = this.tabs.length - 1;
  }

  /** Forgets tabs that pages have closed, and those whose pages have crashed. */
  private async dropClosedTabs(): Promise<void> {
    const current = this.tabs[this.current];
    const open = this.tabs.filter((tab) => !tab.isGone);
    if (open.length === this.tabs.length && open.length > 0) return;
    for (const tab of this.tabs) if (tab.isGone && !tab.page.isClosed()) await this.closePage(tab.page);
    this.tabs = open;
    if (open.length === 0) await this.openTab();
    // As in WebArena, after a tab was closed the last one is seen.
    else this.current = open.includes(current) ? open.indexOf(current) : open.length - 1;
    await this.tab().toFront();
  }

  /** Opens an empty tab and makes it the current one. */
  private async openTab(): Promise<ChromiumTab> {
    this.isOpeningTab = true;
    try {
      const tab = await this.newTab();
      this.tabs.push(tab);
      this.current = this.tabs.length - 1;
      return tab;
    } finally {
      this.isOpeningTab = false;
    }
  }

  /** Asks the browser for a tab, twice if need be: on a machine that has no time left, a page can end before it is held. */
  private async newTab(): Promise<ChromiumTab> {
    for (let attempt = 1;; attempt++) {
      const page = await this.context!.newPage();
      try {
        return await ChromiumTab.of(page, this.context!, this.rules);
      } catch (error) {
        if (!page.isClosed() || attempt === 2 || !this.browser.isConnected()) throw error;
      }
    }
  }

  /** Looks at the current tab; one that cannot be seen any more is closed, and the tab that is current then is looked at. */
  private async look(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      await this.dropClosedTabs();
      const tab = this.tab();
      try {
        this.view = await tab.view();
        return;
      } catch (error) {
        if (!isBrowserError(error) || !this.browser.isConnected() || attempt === this.maxTabs) throw error;
        if (!tab.isGone) this.note(`the tab of page ${tab.page.url()} was closed: ${reasonOf(error)}`);
        await this.closePage(tab.page);
      }
    }
  }

  /** What was seen last, with what has been noted since. */
  private observation(): Observation {
    const { root, url, documentKey } = this.view!;
    const tabs = this.tabs.map(({ title }, index) => ({ title, isCurrent: index === this.current }));
    const { numbering, maxLines } = this;
    const { keys, ...observation } = describePage({ root, url, tabs, documentKey, numbering, maxLines });
    this.keys = keys;
    const notes = this.notes.splice(0);
    return notes.length === 0 ? observation : { ...observation, notes };
  }

  /** The current tab. */
  private tab(): ChromiumTab {
    const tab = this.tabs[this.current];
    if (!tab) throw new Error("the browser has no tab yet: call reset first");
    return tab;
  }

  /** {@inheritDoc WebBrowser.locate} */
  locate(locator: string, url?: string): Promise<string> {
    return this.guarded(async () => {
      if (url === undefined) return await read(this.tab(), locator);
      const before = this.tab();
      const tab = await this.openTab();
      try {
        await tab.goto(url);
        await tab.settle();
        return await read(tab, locator);
      } finally {
        await this.closePage(tab.page);
        this.tabs = this.tabs.filter((each) => each !== tab);
        this.current = Math.max(0, this.tabs.indexOf(before));
      }
    });
  }

  /** {@inheritDoc WebBrowser.screenshot} */
  screenshot(): Promise<Uint8Array | undefined> {
    return this.guarded(async () => {
      try {
        return await this.tab().screenshot();
      } catch (error) {
        if (!isBrowserError(error)) throw error;
        this.note(`no screenshot: ${reasonOf(error)}`);
        return undefined;
      }
    });
  }

  /**
   * Writes the login of the session as it is now, for {@linkcode ChromiumOptions.storageState}.
   *
   * @throws whatever the file system reports.
   */
  saveStorageState(path: string): Promise<StorageState> {
    return this.guarded(() => writeStorageState(path, this.context!));
  }

  /** Resolves when the last tab has been closed by hand, or the browser has ended. */
  untilClosed(): Promise<void> {
    return this.guarded(async () => {
      while (this.browser.isConnected() && this.context!.pages().length > 0) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
  }

  /** Ends the browser; its profile is gone with it. */
  async close(): Promise<void> {
    await this.browser.close();
  }

  /** {@inheritDoc ChromiumBrowser.close} */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function read(tab: ChromiumTab, locator: string): Promise<string> {
  return locator.trim() === "" ? await tab.html() : await tab.evaluate(locator);
}
