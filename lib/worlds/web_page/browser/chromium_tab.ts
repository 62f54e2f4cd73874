/**
 * One tab of Chromium: what its page looks like, and what a hand can do to it. All goes through one DevTools session, to which nodes
 * are known by their DOM nodes' ids; which of them an action may point at, and under which number, is not known here.
 */
import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { accessibilityTree, type Rectangle } from "./accessibility.ts";
import type { AllowedHosts } from "./allowed_hosts.ts";
import { type AccessibilityNode, WebActionError } from "./browser.ts";
import { type SettlingTimes, SettlingWatch } from "./settling.ts";

/** What a page looks like now. */
export interface TabView {
  /** Its nodes. */
  readonly root: AccessibilityNode;
  /** Its address. */
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

/** A page that has not answered for so many milliseconds hangs. */
const ANSWER_WITHIN = 10_000;
/** An address whose page has not begun to load after so many milliseconds cannot be opened. */
const NAVIGATION_LIMIT = 30_000;

/** A tab. */
export class ChromiumTab {
  /** Title when it was last looked at. */
  title = "";
  /** Windows that its page has asked for and that have not been taken over yet. */
  windowsAsked = 0;
  /** Why its page was last refused to go elsewhere; cleared by who reads it. */
  refusal: string | undefined;

  private constructor(
    readonly page: Page,
    private readonly session: CDPSession,
    private readonly watch: SettlingWatch,
    private readonly rules: TabRules,
  ) {}

  /** Takes over a page that exists. */
  static async of(page: Page, context: BrowserContext, rules: TabRules): Promise<ChromiumTab> {
    const session = await context.newCDPSession(page);
    const tab = new ChromiumTab(page, session, await SettlingWatch.start(page, session), rules);
    await tab.guard();
    // Without it every look at the accessibility tree would build it anew.
    await session.send("Accessibility.enable");
    return tab;
  }

  /** Requests go out only to allowed hosts, at each step of a redirect; dialogs are answered with no. */
  private async guard(): Promise<void> {
    const { page, session, rules } = this;
    page.on("dialog", (dialog) => {
      rules.note(`dialog ${dialog.type()} ${JSON.stringify(dialog.message())} was dismissed`);
      // A page that asks whether it may be left is left.
      (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()).catch(() => {});
    });
    page.on("download", (download) => {
      this.refusal = `${JSON.stringify(download.url())} is a download, which is refused`;
      rules.note(this.refusal);
      download.cancel().catch(() => {});
    });
    session.on("Page.windowOpen", () => this.windowsAsked++);
    session.on("Fetch.requestPaused", ({ requestId, request, resourceType, frameId }) => {
      const refusal = rules.allowedHosts.refusal(request.url);
      if (refusal === undefined) {
        session.send("Fetch.continueRequest", { requestId }).catch(() => {});
        return;
      }
      const leavesPage = resourceType === "Document" && frameId === this.watch.mainFrameId;
      rules.note(refusal);
      // An aborted navigation leaves the page as it is; a blocked one would put Chromium's error page in its place.
      session.send("Fetch.failRequest", { requestId, errorReason: leavesPage ? "Aborted" : "BlockedByClient" })
        .catch(() => {});
      if (leavesPage) {
        this.refusal = refusal;
        this.watch.navigationIsOver();
      }
    });
    await session.send("Fetch.enable", { patterns: [{ urlPattern: "*", requestStage: "Request" }] });
  }

  /** Waits until the page has come to rest, or the limit of time is over, which is noted. */
  async settle(): Promise<void> {
    const unrest = await this.watch.settle(this.rules.times);
    if (unrest === undefined) return;
    this.rules.note(
      `page ${this.page.url()} had not settled after ${this.rules.times.limit} ms (${unrest}): seen as it is`,
    );
  }

  /**
   * Looks at the page.
   *
   * @throws {WebActionError} When the page does not answer: it is busy for ever, or has crashed.
   */
  async view(): Promise<TabView> {
    try {
      return await this.tryView();
    } catch (error) {
      // A page may go elsewhere by itself while it is looked at.
      if (!isGone(error)) throw this.unanswered(error);
    }
    await this.settle();
    try {
      return await this.tryView();
    } catch (error) {
      throw this.unanswered(error);
    }
  }

  private async tryView(): Promise<TabView> {
    const timed = { timeout: ANSWER_WITHIN };
    const [{ frameTree }, { result }, { nodes }, { documents }] = await Promise.all([
      this.session.send("Page.getFrameTree", undefined, timed),
      this.session.send("Runtime.evaluate", { expression: PAGE_FACTS, returnByValue: true }, timed),
      this.session.send("Accessibility.getFullAXTree", {}, timed),
      this.session.send("DOMSnapshot.captureSnapshot", { computedStyles: [] }, timed),
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
      url: this.page.url(),
      title,
      documentKey: frameTree.frame.loaderId,
    };
  }

  /** What the mouse or the keyboard does, which comes back only when the page's own handlers have. */
  private async answered<T>(input: Promise<T>): Promise<T> {
    let timer: number | undefined;
    const late = new Promise<never>((_, reject) => {
      const isLate = () => reject(this.unanswered(`nothing for ${ANSWER_WITHIN} ms`));
      timer = setTimeout(isLate, ANSWER_WITHIN) as unknown as number;
    });
    try {
      return await Promise.race([input, late]);
    } finally {
      clearTimeout(timer);
      // Whatever becomes of it after that is nobody's business.
      input.catch(() => {});
    }
  }

  private unanswered(error: unknown): WebActionError {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    return new WebActionError(`page ${this.page.url()} does not answer (${reason}): reset the browser`);
  }

  /** Clicks in the middle of a node. A closed list only gets the focus; an option is chosen. */
  async click(node: number): Promise<void> {
    if (await this.callOn(node, CHOOSE_OPTION) === "done") return;
    const [x, y] = await this.middleOf(node);
    await this.answered(this.page.mouse.click(x, y));
  }

  /** Moves the pointer over a node. */
  async hover(node: number): Promise<void> {
    const [x, y] = await this.middleOf(node);
    await this.answered(this.page.mouse.move(x, y));
  }

  /**
   * Puts a text into a field, in place of what stands in it.
   *
   * @throws {WebActionError} When the node takes no text.
   */
  async type(node: number, text: string, pressEnter: boolean): Promise<void> {
    const kind = await this.callOn(node, FIELD_KIND);
    if (kind === "none") throw new WebActionError("it takes no text");
    if (kind === "locked") throw new WebActionError("it is disabled or read-only");
    if (kind === "value") await this.callOn(node, SET_VALUE, text);
    else {
      const [x, y] = await this.middleOf(node);
      await this.answered(this.page.mouse.click(x, y));
      await this.callOn(node, SELECT_ALL);
      await this.answered(text === "" ? this.page.keyboard.press("Delete") : this.page.keyboard.type(text));
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
    await this.session.send("Runtime.evaluate", { expression }, { timeout: ANSWER_WITHIN });
  }

  /**
   * Opens an address and waits until its page has begun to load.
   *
   * @throws {WebActionError} When it may not be opened or cannot be; the page before is back then.
   */
  async goto(url: string): Promise<void> {
    const refusal = this.rules.allowedHosts.refusal(url);
    if (refusal !== undefined) throw new WebActionError(refusal);
    this.refusal = undefined;
    try {
      await this.page.goto(url, { waitUntil: "commit", timeout: NAVIGATION_LIMIT });
    } catch (error) {
      const [reason] = error instanceof Error
        ? error.message.replace(/^page\.goto: /, "").split("\n")
        : [String(error)];
      if (this.page.url().startsWith("chrome-error:")) await this.moveInHistory(-1);
      throw new WebActionError(this.refusal ?? `${url} could not be opened: ${reason}`);
    }
  }

  /** One page back or forward; where there is none, nothing happens. */
  async moveInHistory(step: -1 | 1): Promise<void> {
    const { currentIndex, entries } = await this.session.send("Page.getNavigationHistory");
    const entry = entries[currentIndex + step];
    // The blank page that every tab begins with is not a place to go back to.
    if (!entry || currentIndex + step === 0 && entry.url === "about:blank") return;
    const options = { waitUntil: "commit", timeout: NAVIGATION_LIMIT } as const;
    await (step === -1 ? this.page.goBack(options) : this.page.goForward(options));
  }

  /** Addresses of the pages that this tab has gone to or tried to, the latest last. */
  async history(): Promise<string[]> {
    const { currentIndex, entries } = await this.session.send("Page.getNavigationHistory");
    return entries.slice(0, currentIndex + 1).map((entry) => entry.url);
  }

  /** Value of a JavaScript expression as text; `""` for none, and where the expression fails. */
  async evaluate(expression: string): Promise<string> {
    const { result, exceptionDetails } = await this.session.send("Runtime.evaluate", {
      expression: `(() => ${expression})()`,
      awaitPromise: true,
      returnByValue: true,
    }, { timeout: ANSWER_WITHIN });
    const { value } = result;
    if (exceptionDetails || value === undefined || value === null) return "";
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  private async middleOf(node: number): Promise<[x: number, y: number]> {
    const timed = { timeout: ANSWER_WITHIN };
    try {
      await this.session.send("DOM.scrollIntoViewIfNeeded", { backendNodeId: node }, timed);
      const { quads } = await this.session.send("DOM.getContentQuads", { backendNodeId: node }, timed);
      // A link over two lines has two: the middle of both together may be beside the link.
      const [x1, y1, x2, y2, x3, y3, x4, y4] = quads[0];
      return [(x1 + x2 + x3 + x4) / 4, (y1 + y2 + y3 + y4) / 4];
    } catch {
      throw new WebActionError("it is not on the page any more, or drawn nowhere");
    }
  }

  private async callOn(node: number, functionDeclaration: string, ...values: string[]): Promise<unknown> {
    const timed = { timeout: ANSWER_WITHIN };
    let objectId: string | undefined;
    try {
      objectId = (await this.session.send("DOM.resolveNode", { backendNodeId: node }, timed)).object.objectId;
    } catch {
      throw new WebActionError("it is not on the page any more");
    }
    const { result } = await this.session.send("Runtime.callFunctionOn", {
      objectId,
      functionDeclaration,
      arguments: values.map((value) => ({ value })),
      returnByValue: true,
      userGesture: true,
    }, timed);
    return result.value;
  }
}

/** Whether an error says that the document went away while it was asked. */
function isGone(error: unknown): boolean {
  return error instanceof Error && /navigated|context was destroyed|Cannot find context|No frame/.test(error.message);
}

/** Title, scroll position, size of the viewport. */
const PAGE_FACTS = "[document.title, scrollX, scrollY, innerWidth, innerHeight]";

/** Chooses an option of a list, as a person would with the list open; `done` where there was a list. */
const CHOOSE_OPTION = `function () {
  const element = this.nodeType === Node.TEXT_NODE ? this.parentElement : this;
  const list = element?.closest?.("select");
  if (!list) return "click";
  const option = element.closest("option");
  if (list.disabled || option?.disabled) return "done";
  list.focus();
  if (!option || (option.selected && !list.multiple)) return "done";
  option.selected = list.multiple ? !option.selected : true;
  list.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
  list.dispatchEvent(new Event("change", { bubbles: true }));
  return "done";
}`;

/** How a node takes text: \`keys\`, \`value\` (dates and the like), \`locked\` or \`none\`. */
const FIELD_KIND = `function () {
  const element = this.nodeType === Node.TEXT_NODE ? this.parentElement : this;
  const field = element?.closest?.("input, textarea") ?? element?.getRootNode()?.host ?? element;
  if (field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) {
    if (field.disabled || field.readOnly) return "locked";
    if (/^(date|time|month|week|datetime-local|color|range)$/.test(field.type)) return "value";
    return /^(text|search|url|tel|email|password|number)$/.test(field.type) ? "keys" : "none";
  }
  return field?.isContentEditable ? "keys" : "none";
}`;

/** Selects all that stands in a field that has the focus. */
const SELECT_ALL = `function () {
  const field = document.activeElement;
  if (typeof field?.select === "function") field.select();
  else if (field?.isContentEditable) getSelection().selectAllChildren(field);
}`;

/** Sets a field's value as a choice in its picker would. */
const SET_VALUE = `function (value) {
  this.focus();
  this.value = value;
  this.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
  this.dispatchEvent(new Event("change", { bubbles: true }));
}`;
