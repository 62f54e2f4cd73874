/**
 * Knowing when a page has come to rest: no navigation under way, the document loaded, the network idle, the DOM quiet.
 *
 * A navigation that an action starts must not be missed, or the page before it would be taken for the page after. All that is
 * asked here goes through one DevTools session: its messages come in order, and Chromium says that a navigation is requested
 * before it answers a question that was asked after the action.
 */
import type { CDPSession, Page, Request } from "playwright-core";
import { PageError, within } from "./page_error.ts";
import { QUIET_DOCUMENT } from "./page_scripts.ts";

/** How long to wait for what. Milliseconds. */
export interface SettlingTimes {
  /** How long the DOM must not have changed. */
  readonly quiet: number;
  /** How long requests of a loaded page are waited for: some pages never stop asking. */
  readonly network: number;
  /**
   * Ends all waiting: for a page to come to rest, and for its answer to one question or one input. An address may take three times that
   * until its page begins to load.
   */
  readonly limit: number;
}

/** A requested navigation that has not begun after so many milliseconds will not begin (mailto:, javascript:, refused). */
const NAVIGATION_BEGINS_WITHIN = 3000;
/** A page that says at the limit that it is restless is given so many milliseconds to say it. */
const ANSWER_GRACE = 1000;
/** Requests that stay open by design. */
const OPEN_ENDED: ReadonlySet<string> = new Set(["websocket", "eventsource", "ping"]);

/** What came of waiting. */
export interface Settled {
  /** Why the page is not at rest; it may still be looked at. Undefined when it is at rest. */
  readonly unrest?: string;
  /** Whether the page answered when it was last asked. It does not while a navigation waits for a server, or a script runs on. */
  readonly isAnswering: boolean;
}

/** Watches one page. */
export class SettlingWatch {
  private readonly requests = new Set<Request>();
  private isLoading = false;
  private requestedAt: number | undefined;
  private mainFrame = "";
  private wake: (() => void) | undefined;
  private isOver = false;

  private constructor(private readonly session: CDPSession, private readonly gone: Promise<never>) {}

  /**
   * Begins to watch.
   *
   * @param session The one that all actions of the page go through.
   * @param gone Rejects when the page is closed or crashes.
   */
  static async start(page: Page, session: CDPSession, gone: Promise<never>): Promise<SettlingWatch> {
    const watch = new SettlingWatch(session, gone);
    gone.catch(() => {
      watch.isOver = true;
      watch.wake?.();
    });
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
   * @throws {PageError} When the page is gone.
   */
  async settle(times: SettlingTimes): Promise<Settled> {
    const start = performance.now();
    const left = () => times.limit - (performance.now() - start);
    let unrest = "it does not answer", isAnswering = true;
    while (left() > 0) {
      const quiet = await this.waitForQuietDocument(times.quiet, left());
      isAnswering = quiet !== "unanswered";
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
      if (quiet === "quiet") return { isAnswering };
      unrest = isAnswering ? "it goes on changing" : "it does not answer";
    }
    return { unrest, isAnswering };
  }

  private isNavigating(): boolean {
    if (this.requestedAt !== undefined && performance.now() - this.requestedAt > NAVIGATION_BEGINS_WITHIN) {
      this.requestedAt = undefined;
    }
    return this.isLoading || this.requestedAt !== undefined;
  }

  /** Whether the DOM has been quiet. `restless` as well when the document went away meanwhile. */
  private async waitForQuietDocument(quiet: number, limit: number): Promise<"quiet" | "restless" | "unanswered"> {
    const asked = this.session.send("Runtime.evaluate", {
      expression: `(${QUIET_DOCUMENT})(${quiet}, ${Math.max(1, limit)})`,
      awaitPromise: true,
      returnByValue: true,
    });
    const late = () => new PageError("late");
    try {
      const { result } = await within(Promise.race([asked, this.gone]), limit + ANSWER_GRACE, late);
      return result.value === true ? "quiet" : "restless";
    } catch (error) {
      if (this.isOver) throw error;
      if (error instanceof PageError) return "unanswered";
      // Between two documents there is nobody to ask.
      await this.waitFor(() => false, Math.min(20, limit));
      return "restless";
    }
  }

  /** Polls, since not every change has an event; events shorten the wait. */
  private async waitFor(condition: () => boolean, limit: number): Promise<boolean> {
    const end = performance.now() + limit;
    while (!condition() && !this.isOver) {
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
