/**
 * One tab of Chromium: what its page looks like, and what a hand can do to it. All goes through one DevTools session, to which nodes
 * are known by their DOM nodes' ids; which of them an action may point at, and under which number, is not known here.
 */
import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { accessibilityTree, type Rectangle } from "./accessibility.ts";
import type { AllowedHosts } from "./allowed_hosts.ts";
import { type AccessibilityNode, WebActionError } from "../../worlds/web_page/browser.ts";
import { isBrowserError, PageError, reasonOf, within } from "./page_error.ts";
import {
  CHOOSE_OPTION,
  CHOOSE_PLACE,
  FIELD_KIND,
  OPTION_NAMES,
  PAGE_FACTS,
  SELECT_ALL,
  SET_VALUE,
} from "./page_scripts.ts";
import { type SettlingTimes, SettlingWatch } from "./settling.ts";
import { typedOption } from "../../worlds/web_page/typed_option.ts";

/** What a page looks like now. */
export interface TabView {
  /** Its nodes. */
  readonly root: AccessibilityNode;
  readonly url: string;
  /** Its title. */
  readonly title: string;
  /** Changes with each document that is loaded. */
  readonly documentKey: string;
}

/** What all tabs of a browser share. */
export interface TabRules {
  /** Where pages may go. */
  readonly allowedHosts: AllowedHosts;
  /** When a page counts as settled. */
  readonly times: SettlingTimes;
  /** Called with what happened and cannot be seen on the page, in one line. */
  readonly note: (text: string) => void;
}

/** An address whose page has not begun to load after so many times the limit of an answer cannot be opened. */
const NAVIGATION_LIMITS = 3;
/** How long what was stopped may take to answer. Milliseconds. */
const FREED_WITHIN = 2000;

/** What fields take whose value is set as a whole. */
const VALUE_EXAMPLES: Readonly<Record<string, string>> = {
  date: "a date like 2024-05-31",
  time: "a time like 14:30",
  month: "a month like 2024-05",
  week: "a week like 2024-W22",
  "datetime-local": "a date and time like 2024-05-31T14:30",
  color: "a colour like #ff8800",
  range: "a number of its range",
};

interface NavigationOptions {
  waitUntil: "commit";
  timeout: number;
}

/** A tab. */
export class ChromiumTab {
  /** Title when it was last looked at. */
  title = "";
  /** Windows that its page has asked for and that have not been taken over yet. */
  windowsAsked = 0;
  /** Why its page was last refused to go elsewhere; cleared by who reads it. */
  refusal: string | undefined;
  private hasCrashed = false;
  /** Its page did not even answer when it was told to stop: the next questions are given less time. */
  private isStuck = false;

  private constructor(
    readonly page: Page,
    private readonly session: CDPSession,
    private readonly watch: SettlingWatch,
    private readonly gone: Promise<never>,
    private readonly rules: TabRules,
  ) {}

  /**
   * Takes over a page that exists.
   *
   * @throws {PageError} When the page does not answer.
   */
  static async of(page: Page, context: BrowserContext, rules: TabRules): Promise<ChromiumTab> {
    const { promise: gone, reject } = Promise.withResolvers<never>();
    gone.catch(() => {});
    page.on("close", () => reject(new PageError("its page has been closed")));
    const opening = (async () => {
      const session = await context.newCDPSession(page);
      const tab = new ChromiumTab(page, session, await SettlingWatch.start(page, session, gone), gone, rules);
      page.on("crash", () => {
        tab.hasCrashed = true;
        rules.note(`page ${page.url()} crashed: its tab is closed`);
        reject(new PageError("its page has crashed"));
      });
      await tab.guard();
      // Without it every look at the accessibility tree would build it anew.
      await session.send("Accessibility.enable");
      return tab;
    })();
    return await within(opening, rules.times.limit, () => new PageError(`page ${page.url()} does not answer`));
  }

  /** Whether its page has been closed or has crashed: nothing can be asked of it any more. */
  get isGone(): boolean {
    return this.hasCrashed || this.page.isClosed();
  }

  /** Requests go out only to allowed hosts, at each step of a redirect; nothing is downloaded; a page that cannot be had leaves the one before. */
  private async guard(): Promise<void> {
    const { page, session, rules } = this;
    page.on("download", (download) => {
      this.refusal = `${shorten(download.url())} is a download, which is refused`;
      rules.note(this.refusal);
      download.cancel().catch(() => {});
    });
    session.on("Page.windowOpen", () => this.windowsAsked++);
    session.on("Fetch.requestPaused", (paused) => {
      const { requestId, request, resourceType, frameId, responseErrorReason: error, responseHeaders } = paused;
      const leavesPage = resourceType === "Document" && frameId === this.watch.mainFrameId;
      const refusal = rules.allowedHosts.refusal(request.url) ??
        (!leavesPage
          ? undefined
          : isAttachment(responseHeaders)
          ? `${shorten(request.url)} is a download, which is refused`
          : error === undefined || error === "Aborted"
          ? undefined
          : lostPage(request.url, error));
      if (refusal === undefined) {
        session.send("Fetch.continueRequest", { requestId }).catch(() => {});
        return;
      }
      rules.note(refusal);
      // An aborted navigation leaves the page as it is; a blocked one would put Chromium's error page in its place.
      session.send("Fetch.failRequest", { requestId, errorReason: leavesPage ? "Aborted" : "BlockedByClient" })
        .catch(() => {});
      if (leavesPage) {
        this.refusal = refusal;
        this.watch.navigationIsOver();
      }
    });
    const patterns = [
      { urlPattern: "*", requestStage: "Request" },
      { urlPattern: "*", resourceType: "Document", requestStage: "Response" },
    ] as const;
    await session.send("Fetch.enable", { patterns: [...patterns] });
  }

  /** Waits until the page has come to rest, or the limit of time is over, which is noted. */
  async settle(): Promise<void> {
    if (this.isStuck) return;
    const limit = this.patience;
    try {
      const { unrest, isAnswering } = await this.watch.settle({ ...this.rules.times, limit });
      if (unrest === undefined) return;
      this.rules.note(`page ${this.page.url()} had not settled after ${limit} ms (${unrest}): seen as it is`);
      if (!isAnswering) await this.free();
    } catch (error) {
      if (!isBrowserError(error)) throw error;
    }
  }

  /** How long an answer is waited for. Milliseconds. */
  private get patience(): number {
    const { limit } = this.rules.times;
    return this.isStuck ? Math.min(limit, FREED_WITHIN) : limit;
  }

  /**
   * Waits for an answer of the page, or for input, which comes back only when the page's own handlers have.
   *
   * @throws {PageError} When there is none; what holds the page up has been stopped then.
   */
  private async answered<T>(answer: Promise<T>): Promise<T> {
    const limit = this.patience;
    const silent = new PageError(`page ${this.page.url()} did not answer for ${limit} ms: what it did was stopped`);
    try {
      return await within(Promise.race([answer, this.gone]), limit, () => silent);
    } catch (error) {
      if (error === silent) await this.free();
      throw error;
    }
  }

  /** Stops what keeps the page from answering: a navigation whose server is silent, a script without an end. */
  private async free(): Promise<void> {
    if (this.isStuck) return;
    const timed = { timeout: FREED_WITHIN };
    const [, ended] = await Promise.allSettled([
      this.session.send("Page.stopLoading", undefined, timed),
      this.session.send("Runtime.terminateExecution", undefined, timed),
    ]);
    this.isStuck = ended.status === "rejected";
  }

  /**
   * Looks at the page.
   *
   * @throws {PageError} When it is gone, or does not answer even when it has been stopped.
   */
  async view(): Promise<TabView> {
    for (let attempt = 1;; attempt++) {
      try {
        const view = await this.answered(this.tryView());
        this.isStuck = false;
        return view;
      } catch (error) {
        const isOver = attempt >= (error instanceof PageError ? 2 : 3) || this.isStuck || this.isGone;
        if (isOver || !isBrowserError(error)) throw error;
        // A page may go elsewhere by itself while it is looked at; a part of it, at any time.
        await this.settle();
      }
    }
  }

  private async tryView(): Promise<TabView> {
    const [{ frameTree: { frame } }, { result }, { nodes }, { documents }] = await Promise.all([
      this.session.send("Page.getFrameTree"),
      this.session.send("Runtime.evaluate", { expression: PAGE_FACTS, returnByValue: true }),
      this.session.send("Accessibility.getFullAXTree", {}),
      this.session.send("DOMSnapshot.captureSnapshot", { computedStyles: [] }),
    ]);
    const [title, x, y, width, height]: [string, number, number, number, number] = result.value;
    const { layout, nodes: { backendNodeId = [] } } = documents[0];
    const rectangles = new Map<number, Rectangle | undefined>(backendNodeId.map((node) => [node, undefined]));
    layout.nodeIndex.forEach((node, index) => {
      const [left, top, boxWidth, boxHeight] = layout.bounds[index];
      rectangles.set(backendNodeId[node], [left - x, top - y, boxWidth, boxHeight]);
    });
    this.title = title;
    return {
      root: accessibilityTree(nodes, { rectangles, viewport: { width, height } }),
      // Chromium's own page about an answer without content is known by the address that was asked for.
      url: frame.unreachableUrl ?? this.page.url(),
      title,
      documentKey: frame.loaderId,
    };
  }

  /** Clicks in the middle of a node. A closed list only gets the focus; an option is chosen. */
  async click(node: number): Promise<void> {
    const kind = await this.callOn(node, CHOOSE_OPTION);
    if (kind === "done") return;
    // Chromium asks for it some time after the click, when nobody waits for it any more.
    if (kind === "download") throw new WebActionError("it is a download, which is refused");
    const [x, y] = await this.middleOf(node);
    await this.answered(this.page.mouse.click(x, y));
  }

  /** Moves the pointer over a node. */
  async hover(node: number): Promise<void> {
    const [x, y] = await this.middleOf(node);
    await this.answered(this.page.mouse.move(x, y));
  }

  /**
   * Puts a text into a field, in place of what stands in it; of a list, chooses the option of that name.
   *
   * @throws {WebActionError} When the node takes no text, or not this one.
   */
  async type(node: number, text: string, pressEnter: boolean): Promise<void> {
    const kind = String(await this.callOn(node, FIELD_KIND));
    if (kind === "none") throw new WebActionError("it takes no text");
    if (kind === "locked") throw new WebActionError("it is disabled or read-only");
    if (kind === "list") {
      const place = typedOption(await this.callOn(node, OPTION_NAMES) as (string | null)[], text);
      await this.callOn(node, CHOOSE_PLACE, place);
      // Enter would only close the list.
      return;
    }
    if (kind === "keys") {
      const [x, y] = await this.middleOf(node);
      await this.answered(this.page.mouse.click(x, y));
      await this.callOn(node, SELECT_ALL);
      // One key after the other: a long text may take longer than one answer.
      for (const key of text) await this.answered(this.page.keyboard.type(key));
    } else if (!await this.callOn(node, SET_VALUE, text)) {
      throw new WebActionError(`it takes ${VALUE_EXAMPLES[kind]}`);
    }
    if (pressEnter) await this.answered(this.page.keyboard.press("Enter"));
  }

  /**
   * Presses keys together, like `Control+a`. `Meta` is `Control`, except on a Mac.
   *
   * @throws {WebActionError} When there is no such key.
   */
  async press(keys: string): Promise<void> {
    try {
      const named = Deno.build.os === "darwin" ? keys : keys.replaceAll("Meta", "Control");
      await this.answered(this.page.keyboard.press(named));
    } catch (error) {
      if (!(error instanceof Error && error.message.includes("Unknown key"))) throw error;
      throw new WebActionError(
        `press [${keys}]: there is no such key (keys are named like Enter, Control+a, ArrowDown)`,
      );
    }
  }

  /** Scrolls by the height of the viewport. */
  async scroll(direction: "up" | "down"): Promise<void> {
    const sign = direction === "down" ? "+" : "-";
    const expression = `(document.scrollingElement ?? document.body).scrollTop ${sign}= innerHeight`;
    await this.answered(this.session.send("Runtime.evaluate", { expression }));
  }

  /**
   * Opens an address and waits until its page has begun to load.
   *
   * @throws {WebActionError} When it may not be opened or cannot be; the page before stays then.
   */
  async goto(url: string): Promise<void> {
    const refusal = this.rules.allowedHosts.refusal(url);
    if (refusal !== undefined) throw new WebActionError(refusal);
    await this.navigate(url, (options) => this.page.goto(url, options));
  }

  /**
   * One page back or forward; where there is none, nothing happens.
   *
   * @throws {WebActionError} When it cannot be had again; the page stays then.
   */
  async moveInHistory(step: -1 | 1): Promise<void> {
    const { currentIndex, entries } = await this.answered(this.session.send("Page.getNavigationHistory"));
    const entry = entries[currentIndex + step];
    // The blank page that every tab begins with is not a place to go back to.
    if (!entry || currentIndex + step === 0 && entry.url === "about:blank") return;
    const move = (options: NavigationOptions) => step === -1 ? this.page.goBack(options) : this.page.goForward(options);
    await this.navigate(entry.url, move, " (a form's answer is not sent for again)");
  }

  private async navigate(
    url: string,
    begin: (options: NavigationOptions) => Promise<unknown>,
    hint = "",
  ): Promise<void> {
    this.refusal = undefined;
    try {
      await begin({ waitUntil: "commit", timeout: NAVIGATION_LIMITS * this.patience });
    } catch (error) {
      if (this.isGone || !isBrowserError(error)) throw error;
      const reason = reasonOf(error);
      // An answer without content has a page of Chromium's own; a page may send its visitors on at once. Both are there to be seen.
      if (/ERR_HTTP_RESPONSE_CODE_FAILURE|interrupted by another navigation/.test(reason)) return;
      const { refusal } = this;
      // What may still come would come when nobody expects it any more.
      if (refusal === undefined) await this.free();
      throw new WebActionError((refusal ?? lostPage(url, reason)) + hint);
    }
  }

  /** Addresses of the pages that this tab has gone to or tried to, the latest last. */
  async history(): Promise<string[]> {
    const { currentIndex, entries } = await this.answered(this.session.send("Page.getNavigationHistory"));
    return entries.slice(0, currentIndex + 1).map((entry) => entry.url);
  }

  /** Value of a JavaScript expression as text; `""` for none, and where the expression fails. */
  async evaluate(expression: string): Promise<string> {
    const { result, exceptionDetails } = await this.answered(this.session.send("Runtime.evaluate", {
      expression: `(() => ${expression})()`,
      awaitPromise: true,
      returnByValue: true,
    }));
    const { value } = result;
    if (exceptionDetails || value === undefined || value === null) return "";
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  /** Makes it the tab that is seen. Whether its page still answers shows when it is looked at. */
  async toFront(): Promise<void> {
    await this.answered(this.page.bringToFront()).catch((error) => {
      if (!isBrowserError(error)) throw error;
    });
  }

  /** The page's whole HTML. */
  async html(): Promise<string> {
    return await this.answered(this.page.content());
  }

  /** A PNG of what is seen. */
  async screenshot(): Promise<Uint8Array> {
    return new Uint8Array(await this.answered(this.page.screenshot({ type: "png" })));
  }

  private async middleOf(node: number): Promise<[x: number, y: number]> {
    const gone = "it is not on the page any more, or drawn nowhere";
    const backendNodeId = node;
    await this.askOf(gone, this.session.send("DOM.scrollIntoViewIfNeeded", { backendNodeId }));
    const { quads } = await this.askOf(gone, this.session.send("DOM.getContentQuads", { backendNodeId }));
    if (quads.length === 0) throw new WebActionError(gone);
    // A link over two lines has two: the middle of both together may be beside the link.
    const [x1, y1, x2, y2, x3, y3, x4, y4] = quads[0];
    return [(x1 + x2 + x3 + x4) / 4, (y1 + y2 + y3 + y4) / 4];
  }

  private async callOn(node: number, functionDeclaration: string, ...values: (string | number)[]): Promise<unknown> {
    const resolved = this.session.send("DOM.resolveNode", { backendNodeId: node });
    const { object: { objectId } } = await this.askOf("it is not on the page any more", resolved);
    const { result } = await this.answered(this.session.send("Runtime.callFunctionOn", {
      objectId,
      functionDeclaration,
      arguments: values.map((value) => ({ value })),
      returnByValue: true,
      userGesture: true,
    }));
    return result.value;
  }

  /** An answer about a node. @throws {WebActionError} With `missing`, when the page says that it has no such node. */
  private async askOf<T>(missing: string, answer: Promise<T>): Promise<T> {
    try {
      return await this.answered(answer);
    } catch (error) {
      if (error instanceof PageError || !isBrowserError(error)) throw error;
      throw new WebActionError(missing);
    }
  }
}

/** Why a page did not come, in one line. */
function lostPage(url: string, reason: string): string {
  return `${shorten(url)} could not be opened: ${reason}`;
}

function isAttachment(headers: readonly { name: string; value: string }[] = []): boolean {
  return headers.some(({ name, value }) => /^content-disposition$/i.test(name) && /^\s*attachment/i.test(value));
}

function shorten(url: string): string {
  return JSON.stringify(url.length > 120 ? `${url.slice(0, 117)}…` : url);
}
