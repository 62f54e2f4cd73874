/**
 * A browser for the built-in site alone, without a browser: it asks the site for pages, keeps what Chromium keeps (tabs, history,
 * a cookie, what was typed into a page, the focus), and reports the same accessibility trees, thousands a second.
 *
 * It knows the elements of `page.ts` and nothing else: no layout (a page counts as seen whole, so scrolling changes nothing), no
 * scripts, no screenshots. Of keys it knows Enter, Space and Tab; others do nothing.
 */
import type { WebAction } from "../../worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../worlds/web_page/browser.ts";
import { type DescribedPage, describePage, PageNumbering } from "../../worlds/web_page/accessibility_tree.ts";
import { typedOption } from "../../worlds/web_page/typed_option.ts";
import { DocumentState, elementAt } from "./document_state.ts";
import { type Button, type ElementPath, type PlacedElement, placedElements, type SitePage } from "./page.ts";
import { locatedText } from "./located_text.ts";
import { elementPathOfKey, optionOfKey, pageTree } from "./page_tree.ts";
import { SHOP_ORIGIN, type ShopSite, type SiteRequest } from "./shop_site.ts";

/** How a simulated browser is opened. */
export interface SimulatedBrowserOptions {
  /** Trees are cut after so many lines; all are shown when left out. */
  readonly maxLines?: number;
}

/** A loaded document. */
interface LoadedDocument {
  readonly key: string;
  readonly url: string;
  readonly page: SitePage;
  readonly state: DocumentState;
}

/** A tab: addresses visited, and the document that is shown. */
interface Tab {
  readonly history: string[];
  position: number;
  document: LoadedDocument;
}

const BLANK_URL = "about:blank";
const BLANK_PAGE: SitePage = { title: "", header: [], body: [] };
/** Redirects followed before a page counts as broken. */
const MOST_REDIRECTS = 10;

/** A browser for the built-in site. */
export class SimulatedBrowser implements WebBrowser {
  readonly #site: ShopSite;
  readonly #options: SimulatedBrowserOptions;
  #numbering = new PageNumbering();
  #tabs: Tab[] = [];
  #current = 0;
  #session: string | undefined;
  #documentCount = 0;

  /** Opens a browser with one empty tab. */
  constructor(site: ShopSite, options: SimulatedBrowserOptions = {}) {
    this.#site = site;
    this.#options = options;
    this.#tabs = [this.#blankTab()];
  }

  /** {@inheritDoc WebBrowser.reset} */
  reset(urls: readonly string[]): Promise<Observation> {
    return this.#attempt(() => {
      for (const url of urls) checkAddress(url);
      this.#session = undefined;
      this.#numbering = new PageNumbering();
      this.#tabs = (urls.length > 0 ? urls : [BLANK_URL]).map((url) => {
        const tab = this.#blankTab();
        this.#goto(tab, url);
        return tab;
      });
      this.#current = 0;
    });
  }

  /** {@inheritDoc WebBrowser.observe} */
  observe(): Promise<Observation> {
    return this.#attempt(() => {});
  }

  /** {@inheritDoc WebBrowser.perform} */
  perform(action: WebAction): Promise<Observation> {
    return this.#attempt(() => this.#perform(action));
  }

  /**
   * {@inheritDoc WebBrowser.locate}
   *
   * @throws {WebActionError} When the locator is neither empty nor of the form `document.querySelector('#id').outerText`
   * (or `innerText`, `textContent`, `value`; or `getElementById`), or the address is not the site's.
   */
  locate(locator: string, url?: string): Promise<string> {
    return new Promise((resolve) => {
      const document = url === undefined ? this.#tab.document : this.#load({ method: "GET", path: checkAddress(url) });
      resolve(locatedText(document.page, document.state, locator));
    });
  }

  /** Nothing: there is nothing to photograph. */
  screenshot(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /**
   * An independent copy, the site included: what is done in one leaves the other as it is. For looking ahead with the truth itself.
   */
  clone(): SimulatedBrowser {
    const copy = new SimulatedBrowser(this.#site.clone(), this.#options);
    copy.#numbering = this.#numbering.clone();
    copy.#tabs = this.#tabs.map(({ history, position, document }) => ({
      history: [...history],
      position,
      document: { ...document, state: document.state.clone() },
    }));
    copy.#current = this.#current;
    copy.#session = this.#session;
    copy.#documentCount = this.#documentCount;
    return copy;
  }

  /** Closes nothing: there is nothing open. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  get #tab(): Tab {
    return this.#tabs[this.#current];
  }

  /** Does something and looks; what it throws rejects the promise. */
  #attempt(act: () => void): Promise<Observation> {
    return new Promise((resolve) => {
      act();
      const { keys: _, ...observation } = this.#look();
      resolve(observation);
    });
  }

  #look(): DescribedPage {
    const { document } = this.#tab;
    return describePage({
      root: pageTree(document.page, document.state),
      url: document.url,
      tabs: this.#tabs.map((tab, index) => ({ title: tab.document.page.title, isCurrent: index === this.#current })),
      documentKey: document.key,
      numbering: this.#numbering,
      maxLines: this.#options.maxLines,
    });
  }

  #perform(action: WebAction): void {
    switch (action.kind) {
      case "click":
        return this.#click(this.#keyOf(action.id));
      case "hover":
        return void this.#keyOf(action.id);
      case "type":
        return this.#type(action.id, action.text, action.pressEnter);
      case "press":
        return this.#press(action.keys);
      case "newTab":
        this.#tabs.push(this.#blankTab());
        this.#current = this.#tabs.length - 1;
        return;
      case "closeTab":
        this.#numbering.forget(this.#tab.document.key);
        this.#tabs.splice(this.#current, 1);
        if (this.#tabs.length === 0) this.#tabs.push(this.#blankTab());
        this.#current = this.#tabs.length - 1;
        return;
      case "tabFocus":
        if (action.index >= this.#tabs.length) {
          throw new WebActionError(`there is no tab ${action.index}: the last is ${this.#tabs.length - 1}`);
        }
        this.#current = action.index;
        return;
      case "goto":
        return this.#goto(this.#tab, action.url);
      case "goBack":
        return this.#goInHistory(-1);
      case "goForward":
        return this.#goInHistory(1);
      case "scroll":
      case "stop":
      case "none":
        return;
    }
  }

  /** The key of the node that an id names on the current page. */
  #keyOf(id: number): string {
    const { nodes, keys } = this.#look();
    const key = keys.get(id);
    if (key !== undefined && nodes.has(id)) return String(key);
    throw new WebActionError(`there is no node [${id}] on the page: ids are ${idRange([...nodes.keys()])}`);
  }

  #click(key: string): void {
    const { page, state } = this.#tab.document;
    const path = elementPathOfKey(key);
    const placed = path === undefined ? undefined : elementAt(page, path);
    state.focus = undefined;
    state.start = path;
    state.isLeftByTab = false;
    if (!placed) return;
    const { element } = placed;
    if (isFocusable(placed)) state.focus = path;
    switch (element.kind) {
      case "link":
      case "button":
      case "disclosure":
        return this.#activate(placed);
      case "checkbox":
        state.checks.set(placed.path, !state.isChecked(placed.path, element));
        return;
      case "combobox": {
        const option = optionOfKey(key);
        if (option !== undefined) state.values.set(placed.path, element.options[option]);
        return;
      }
    }
  }

  #type(id: number, text: string, pressEnter: boolean): void {
    const { page, state } = this.#tab.document;
    const path = elementPathOfKey(this.#keyOf(id));
    const placed = path === undefined ? undefined : elementAt(page, path);
    if (placed?.element.kind === "textbox") {
      state.values.set(placed.path, text.replaceAll(/[\r\n]/g, ""));
    } else if (placed?.element.kind === "combobox") {
      state.values.set(placed.path, placed.element.options[typedOption(placed.element.options, text)]);
    } else {
      throw new WebActionError(`[${id}] takes no text: type into a textbox`);
    }
    state.focus = state.start = placed.path;
    state.isLeftByTab = false;
    // In a list, Enter would only close it.
    if (pressEnter && placed.element.kind === "textbox") this.#press("Enter");
  }

  #press(keys: string): void {
    const { page, state } = this.#tab.document;
    const placed = state.focus === undefined ? undefined : elementAt(page, state.focus);
    switch (keys) {
      case "Tab":
      case "Shift+Tab":
        return moveFocus(page, state, keys === "Tab" ? 1 : -1);
      case "Enter":
        if (placed?.element.kind === "textbox" || placed?.element.kind === "checkbox") this.#submitFrom(placed);
        else if (placed) this.#activate(placed);
        return;
      case "Space":
      case " ":
        if (placed?.element.kind === "checkbox") {
          state.checks.set(placed.path, !state.isChecked(placed.path, placed.element));
        } else if (placed && placed.element.kind !== "link") this.#activate(placed);
        return;
    }
  }

  /** What a click, or Enter on the focused element, does to it. */
  #activate(placed: PlacedElement): void {
    const { element, path } = placed;
    const { state } = this.#tab.document;
    if (element.kind === "link") this.#follow({ method: "GET", path: element.href });
    else if (element.kind === "button") this.#submit(placed, element);
    else if (element.kind === "disclosure" && !state.open.delete(path)) state.open.add(path);
  }

  /** Sends the form around a field as Enter does: by its first button. */
  #submitFrom({ form }: PlacedElement): void {
    if (!form) return;
    const button = placedElements(this.#tab.document.page).find((each) =>
      each.form?.path === form.path && each.element.kind === "button"
    );
    if (button) this.#submit(button, button.element as Button);
  }

  #submit({ form }: PlacedElement, button: Button): void {
    if (!form) return;
    const { page, state } = this.#tab.document;
    const { method, action } = form.element;
    const values = state.formValues(page, form.path), path = button.action ?? action;
    if (method === "post") this.#follow({ method: "POST", path, form: values });
    else this.#follow({ method: "GET", path: `${path}?${new URLSearchParams(values)}` }, { fromForm: true });
  }

  #goto(tab: Tab, url: string): void {
    const path = checkAddress(url);
    if (path === BLANK_URL) this.#show(tab, this.#blankDocument(), url === tab.document.url);
    else this.#follow({ method: "GET", path }, { tab });
  }

  /** Leaves the current page for what a request brings. */
  #follow(request: SiteRequest, { tab = this.#tab, fromForm = false }: { tab?: Tab; fromForm?: boolean } = {}): void {
    // As in Chromium, a link to the address that is already shown loads it again, without another entry of the history; a form
    // makes one.
    const isReload = !fromForm && request.method === "GET" && SHOP_ORIGIN + request.path === tab.document.url;
    // The blank page that every tab begins with is no place to go back to.
    const isFirst = tab.position === 0 && tab.document.url === BLANK_URL;
    this.#show(tab, this.#load(request), isReload || isFirst);
  }

  #show(tab: Tab, document: LoadedDocument, replacesEntry: boolean): void {
    this.#numbering.forget(tab.document.key);
    if (!replacesEntry) tab.position++;
    tab.history.length = replacesEntry ? tab.history.length : tab.position;
    tab.history[tab.position] = document.url;
    tab.document = document;
  }

  #goInHistory(step: 1 | -1): void {
    const tab = this.#tab, url = tab.history[tab.position + step];
    if (url === undefined) return;
    this.#numbering.forget(tab.document.key);
    tab.position += step;
    tab.document = url === BLANK_URL ? this.#blankDocument() : this.#load({ method: "GET", path: checkAddress(url) });
  }

  /** Asks the site, following redirects. */
  #load(request: SiteRequest): LoadedDocument {
    let next = request;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const response = this.#site.handle({ ...next, session: this.#session });
      this.#session = response.session;
      if (response.page) {
        return { key: this.#newKey(), url: SHOP_ORIGIN + next.path, page: response.page, state: new DocumentState() };
      }
      next = { method: "GET", path: response.redirect! };
    }
    throw new Error(`site redirects more than ${MOST_REDIRECTS} times from ${request.path}`);
  }

  #blankTab(): Tab {
    return { history: [BLANK_URL], position: 0, document: this.#blankDocument() };
  }

  #blankDocument(): LoadedDocument {
    return { key: this.#newKey(), url: BLANK_URL, page: BLANK_PAGE, state: new DocumentState() };
  }

  #newKey(): string {
    return String(++this.#documentCount);
  }
}

/** Path and query of an address of the site, `about:blank` as it is. @throws {WebActionError} When it is another's. */
function checkAddress(address: string): string {
  if (address === BLANK_URL) return address;
  const url = URL.parse(address);
  if (!url) {
    throw new WebActionError(`"${address}" is not an address: write it with its scheme, like ${SHOP_ORIGIN}/`);
  }
  if (url.origin !== SHOP_ORIGIN) {
    throw new WebActionError(`"${address}" may not be opened: the simulated browser knows ${SHOP_ORIGIN} only`);
  }
  return url.pathname + url.search;
}

function isFocusable({ element }: PlacedElement): boolean {
  return ["link", "button", "textbox", "combobox", "checkbox", "disclosure"].includes(element.kind);
}

/** Moves the focus to the next (or previous) element that can have it; past the last, out of the page. */
function moveFocus(page: SitePage, state: DocumentState, step: 1 | -1): void {
  const placed = placedElements(page).filter(({ disclosures }) => disclosures.every((path) => state.open.has(path)));
  const from = state.focus ?? state.start;
  let index = from === undefined ? -1 : placed.findIndex(({ path }) => path === from);
  if (index < 0 && step < 0) index = placed.length;
  do index += step; while (index >= 0 && index < placed.length && !isFocusable(placed[index]));
  const target: ElementPath | undefined = placed[index]?.path;
  state.focus = state.start = target;
  state.isLeftByTab = target === undefined;
}

function idRange(ids: readonly number[]): string {
  return ids.length === 0 ? "none" : `${ids[0]} to ${Math.max(...ids)}`;
}
