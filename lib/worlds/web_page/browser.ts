/**
 * What a browser is to everything that reads and acts on web pages: the real one (`gyms/chromium/chromium.ts`) and the built-in
 * site's simulated one (`gyms/shop/simulated_browser.ts`) are told apart by nothing else.
 *
 * A page is seen as its accessibility tree in WebArena's text form, one line a node: `[id] role 'name' key: value …`, indented
 * by depth, below a line of tabs. Ids are what actions point at.
 *
 * Source: WebArena (Zhou et al., 2024), §2.3; RLVR-World §5.2, App. A.3.
 */
import type { PageNode, WebAction } from "./actions.ts";

/** A node of an accessibility tree, after the nodes that say nothing have been left out. */
export interface AccessibilityNode {
  /** What it is: `link`, `button`, `StaticText`, … */
  readonly role: string;
  /** What it is called; may be empty. */
  readonly name: string;
  /** What else is said of it, in order: `required: False`, `expanded: True`, `url`… is not. */
  readonly properties: Readonly<Record<string, string | number | boolean>>;
  /** Tells the node from the others of its document, for as long as the document lives. */
  readonly key: string | number;
  /** Nodes below it, in document order. */
  readonly children: readonly AccessibilityNode[];
}

/**
 * A tab of the browser.
 *
 * @internal
 */
export interface BrowserTab {
  /** Title of its page. */
  readonly title: string;
  /** Whether it is the one that is seen. */
  readonly isCurrent: boolean;
}

/** What is seen after an action. */
export interface Observation {
  /** The text form, the line of tabs included. */
  readonly tree: string;
  /** Address of the current tab. */
  readonly url: string;
  /** All tabs in order, the current one marked. */
  readonly tabs: readonly BrowserTab[];
  /** Nodes by their ids, in document order. */
  readonly nodes: ReadonlyMap<number, PageNode>;
  /** Set where the tree was cut to the limit: how many lines were left out. */
  readonly linesLeftOut?: number;
  /**
   * What has happened since the last look and cannot be seen on the page, a line each: dialogs, refused requests, pages that did not
   * settle or answer, tabs that were lost. Left out where there is nothing to say.
   */
  readonly notes?: readonly string[];
}

/**
 * An action that could not be done. It may have changed the page all the same (a click that leads where one may not go still moves the
 * focus): look again before going on. The message is one line for a person.
 */
export class WebActionError extends Error {
  /** `WebActionError`. */
  override readonly name = "WebActionError";
}

/** A browser with one user's session. */
export interface WebBrowser extends AsyncDisposable {
  /** Forgets all (cookies, storage, tabs) and opens a tab for each address; the first is current. The sites are not reset. */
  reset(urls: readonly string[]): Promise<Observation>;
  /** The current tab as it is now. */
  observe(): Promise<Observation>;
  /**
   * Does an action, waits for the page to settle, and looks. What goes wrong with the page meanwhile is noted with what is seen.
   *
   * @throws {WebActionError} When the id is not on the page, an address is not allowed, there is no such tab, …
   */
  perform(action: WebAction): Promise<Observation>;
  /**
   * Text of the part of a page that a WebArena locator names, for evaluators: `""` is the page's whole HTML,
   * `document.querySelector('#id').outerText` (or `.value`, `.innerText`) a part; the real browser runs any JavaScript
   * expression.
   *
   * @param url A page to be opened for this in a tab of its own, with the session's cookies; the current page when left out.
   */
  locate(locator: string, url?: string): Promise<string>;
  /** A PNG of what is seen; undefined where there is nothing to photograph (a simulated browser). */
  screenshot(): Promise<Uint8Array | undefined>;
}
