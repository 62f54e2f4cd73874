/**
 * Knowing when a page has come to rest: no navigation under way, the document loaded, the network idle, the DOM quiet.
 *
 * A navigation that an action starts must not be missed, or the page before it would be taken for the page after. All that is
 * asked here goes through one DevTools session: its messages come in order, and Chromium says that a navigation is requested
 * before it answers a question that was asked after the action.
 */
import type { CDPSession, Page, Request } from "playwright-core";

/** How long to wait for what. Milliseconds. */
export interface SettlingTimes {
  /** How long the DOM must not have changed. */
  readonly quiet: number;
  /** How long requests of a loaded page are waited for: some pages never stop asking. */
  readonly network: number;
  /** Ends all waiting. */
  readonly limit: number;
}

/** A requested navigation that has not begun after so many milliseconds will not begin (mailto:, javascript:, refused). */
const NAVIGATION_BEGINS_WITHIN = 3000;
/** Requests that stay open by design. */
const OPEN_ENDED: ReadonlySet<string> = new Set(["websocket", "eventsource", "ping"]);

/** Watches one page. */
export class SettlingWatch {
  private readonly requests = new Set<Request>();
  private isLoading = false;
  private requestedAt: number | undefined;
  private mainFrame = "";
  private wake: (() => void) | undefined;

  private constructor(private readonly page: Page, private readonly session: CDPSession) {}

  /** Begins to watch. The session must be the one that all actions of the page go through. */
  static async start(page: Page, session: CDPSession): Promise<SettlingWatch> {
    const watch = new SettlingWatch(page, session);
    const ends = (request: Request) => watch.requests.delete(request) && watch.wake?.();
    page.on("request", (request) => !OPEN_ENDED.has(request.resourceType()) && watch.requests.add(request));
    page.on("requestfinished", ends);
    page.on("requestfailed", ends);
    session.on("Page.frameRequestedNavigation", ({ frameId, disposition }) => {
      if (frameId === watch.mainFrame && disposition === "currentTab") watch.requestedAt = performance.now();
    });
    session.on("Page.navigatedWithinDocument", ({ frameId }) => {
      if (frameId === watch.mainFrame) watch.navigationIsOver();
    });
    session.on("Page.frameStartedLoading", ({ frameId }) => {
      if (frameId !== watch.mainFrame) return;
      watch.requestedAt = undefined;
      watch.isLoading = true;
    });
    session.on("Page.frameStoppedLoading", ({ frameId }) => {
      if (frameId !== watch.mainFrame) return;
      watch.isLoading = false;
      watch.navigationIsOver();
    });
    await session.send("Page.enable");
    watch.mainFrame = (await session.send("Page.getFrameTree")).frameTree.frame.id;
    return watch;
  }

  /** Id of the page's main frame. */
  get mainFrameId(): string {
    return this.mainFrame;
  }

  /** A requested navigation was refused, or has ended. */
  navigationIsOver(): void {
    this.requestedAt = undefined;
    this.wake?.();
  }

  /**
   * Waits until the page is at rest.
   *
   * @returns Why it is not, when the limit came first; the page may still be looked at. Undefined when it is at rest.
   */
  async settle(times: SettlingTimes): Promise<string | undefined> {
    const start = performance.now();
    const left = () => times.limit - (performance.now() - start);
    let unrest = "it does not answer";
    while (left() > 0) {
      const isQuiet = await this.waitForQuietDocument(times.quiet, left());
      if (this.isNavigating()) {
        unrest = "it is loading";
        await this.waitFor(() => !this.isNavigating(), left());
        continue;
      }
      if (this.requests.size > 0) {
        unrest = "it waits for the network";
        const hasEnded = await this.waitFor(
          () => this.requests.size === 0 || this.isNavigating(),
          Math.min(times.network, left()),
        );
        // What has been open for so long stays open: it is not waited for again.
        if (!hasEnded) this.requests.clear();
        continue;
      }
      if (isQuiet) return undefined;
      unrest = "it goes on changing";
    }
    return unrest;
  }

  private isNavigating(): boolean {
    if (this.requestedAt !== undefined && performance.now() - this.requestedAt > NAVIGATION_BEGINS_WITHIN) {
      this.requestedAt = undefined;
    }
    return this.isLoading || this.requestedAt !== undefined;
  }

  /** True when the DOM has been quiet; false when the document went away meanwhile or never was. */
  private async waitForQuietDocument(quiet: number, limit: number): Promise<boolean> {
    try {
      const { result } = await this.session.send("Runtime.evaluate", {
        expression: `(${quietDocument})(${quiet}, ${Math.max(1, limit)})`,
        awaitPromise: true,
        returnByValue: true,
      }, { timeout: limit + 1000 });
      return result.value === true;
    } catch (error) {
      if (this.page.isClosed()) throw error;
      return false;
    }
  }

  /** Polls, since not every change has an event; events shorten the wait. */
  private async waitFor(condition: () => boolean, limit: number): Promise<boolean> {
    const end = performance.now() + limit;
    while (!condition()) {
      if (performance.now() >= end) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 20);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return true;
  }
}

/** Runs in the page: resolves to true once nothing has changed for `quiet` milliseconds, to false after `limit`. */
const quietDocument = `(quiet, limit) => new Promise((resolve) => {
  const finish = (isQuiet) => { observer.disconnect(); clearTimeout(last); resolve(isQuiet); };
  let timer = setTimeout(() => finish(true), quiet);
  const observer = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => finish(true), quiet);
  });
  const last = setTimeout(() => { clearTimeout(timer); finish(false); }, limit);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
})`;
