/**
 * What a page of the built-in site is: a small tree of typed elements. It is written once, by the site's logic, and read twice: as
 * HTML (`page_html.ts`) for real browsers, and as an accessibility tree (`page_tree.ts`) for the simulated one. A test holds both
 * to the same tree in Chromium.
 *
 * The elements are those whose accessibility is the same in every Chromium: links, buttons, fields with a name of their own, texts,
 * one kind of table, one kind of disclosure. There is no client-side script.
 */

/** A field's name and value in a form. */
export type FormValues = Readonly<Record<string, string>>;

export interface Heading {
  /** Which element it is. */
  readonly kind: "heading";
  /** 1 or 2. */
  readonly level: 1 | 2;
  readonly text: string;
}

export interface TextLine {
  /** Which element it is. */
  readonly kind: "text";
  readonly text: string;
  /** How it looks: `price` is large, `note` grey, `message` says what has just been done, `error` what was refused. */
  readonly look?: "price" | "note" | "message" | "error";
  /** Names it for locators. */
  readonly id?: string;
}

/** A link to another page of the site. */
export interface Link {
  /** Which element it is. */
  readonly kind: "link";
  readonly text: string;
  /** Path and query: `/product/copper-kettle`. */
  readonly href: string;
  /** Looks like a button. */
  readonly isStrong?: boolean;
  /** Names it for locators. */
  readonly id?: string;
}

/** A field of one line of text. */
export interface TextBox {
  /** Which element it is. */
  readonly kind: "textbox";
  /** Its name in the form. */
  readonly name: string;
  /** What it is called on the page. */
  readonly label: string;
  /** What stands in it when the page has loaded. */
  readonly value: string;
  /** Shows dots for what is typed. */
  readonly isSecret?: boolean;
  /** Names it for locators. */
  readonly id?: string;
}

/** A field with one choice of several. */
export interface ComboBox {
  /** Which element it is. */
  readonly kind: "combobox";
  /** Its name in the form. */
  readonly name: string;
  /** What it is called on the page. */
  readonly label: string;
  /** The choices, at least one, all different. */
  readonly options: readonly string[];
  /** The choice that is made when the page has loaded. */
  readonly value: string;
  /** Names it for locators. */
  readonly id?: string;
}

/** A box that is checked or not; checked, it is sent as `1`. */
export interface CheckBox {
  /** Which element it is. */
  readonly kind: "checkbox";
  /** Its name in the form. */
  readonly name: string;
  /** What it is called on the page. */
  readonly label: string;
  /** Whether it is checked when the page has loaded. */
  readonly isChecked: boolean;
  /** Names it for locators. */
  readonly id?: string;
}

/** A button that sends its form. */
export interface Button {
  /** Which element it is. */
  readonly kind: "button";
  readonly text: string;
  /** Where the form goes when this button sends it, in place of the form's own address. */
  readonly action?: string;
  /** Stands out. */
  readonly isStrong?: boolean;
}

/** Fields and the buttons that send them. Forms do not stand inside forms. */
export interface Form {
  /** Which element it is. */
  readonly kind: "form";
  /** How it is sent. */
  readonly method: "get" | "post";
  /** Path it is sent to. */
  readonly action: string;
  /** Sent along, unseen. */
  readonly hidden?: FormValues;
  /** What is in it. */
  readonly children: readonly PageElement[];
  /** `row`: beside each other. */
  readonly look?: "row";
}

/** Elements that belong together; says nothing in the accessibility tree. */
export interface Group {
  /** Which element it is. */
  readonly kind: "group";
  /** How its children stand: in a box with a picture, boxes below each other, beside each other, a grid, below each other. */
  readonly look: "card" | "cards" | "row" | "columns" | "plain";
  /** What is in it. */
  readonly children: readonly PageElement[];
  /** Names it for locators. */
  readonly id?: string;
}

/** A line that hides what is below it until it is clicked. */
export interface Disclosure {
  /** Which element it is. */
  readonly kind: "disclosure";
  /** The line. */
  readonly summary: string;
  /** What is in it. */
  readonly children: readonly PageElement[];
}

/** A table with a heading over each column. */
export interface Table {
  /** Which element it is. */
  readonly kind: "table";
  /** Headings of the columns. */
  readonly columns: readonly string[];
  /** Rows of cells; each holds one text or link. */
  readonly rows: readonly (readonly (TextLine | Link)[])[];
  /** Names it for locators. */
  readonly id?: string;
}

/** A picture that says nothing: a coloured tile, chosen by the number. */
export interface Tile {
  /** Which element it is. */
  readonly kind: "tile";
  /** Whole number; equal numbers look alike. */
  readonly hue: number;
  /** One or two letters. */
  readonly letters: string;
}

/** What a page is made of. */
export type PageElement =
  | Heading
  | TextLine
  | Link
  | TextBox
  | ComboBox
  | CheckBox
  | Button
  | Form
  | Group
  | Disclosure
  | Table
  | Tile;

/** Fields of forms. */
export type Field = TextBox | ComboBox | CheckBox;

/** A page. */
export interface SitePage {
  /** For the tab. */
  readonly title: string;
  /** What every page begins with: links and the search. */
  readonly header: readonly PageElement[];
  /** The page's own. */
  readonly body: readonly PageElement[];
}

/**
 * Says what an element is to its page: `0`, `0.2`, `1.3.0`: its position in the header (`0`) or the body (`1`), level by level.
 * Positions hold as long as the document lives, since a page never changes its elements.
 */
export type ElementPath = string;

/** An element with its place. */
export interface PlacedElement {
  readonly path: ElementPath;
  /** The element. */
  readonly element: PageElement;
  /** The form around it. */
  readonly form?: { readonly path: ElementPath; readonly element: Form };
  /** Paths of the disclosures around it, outermost first. */
  readonly disclosures: readonly ElementPath[];
}

/** All elements of a page in document order, those in closed disclosures too. */
export function placedElements(page: SitePage): PlacedElement[] {
  const found: PlacedElement[] = [];
  const visit = (
    elements: readonly PageElement[],
    path: ElementPath,
    around: Pick<PlacedElement, "form" | "disclosures">,
  ) => {
    elements.forEach((element, index) => {
      const here = `${path}.${index}`;
      found.push({ path: here, element, ...around });
      visit(childrenOf(element), here, {
        form: element.kind === "form" ? { path: here, element } : around.form,
        disclosures: element.kind === "disclosure" ? [...around.disclosures, here] : around.disclosures,
      });
    });
  };
  visit(page.header, "0", { disclosures: [] });
  visit(page.body, "1", { disclosures: [] });
  return found;
}

/** The elements right below one; a table's are its cells' contents, row by row. */
export function childrenOf(element: PageElement): readonly PageElement[] {
  if (element.kind === "table") return element.rows.flat();
  return "children" in element ? element.children : [];
}

export function heading(text: string, level: 1 | 2 = 1): Heading {
  return { kind: "heading", level, text };
}

export function text(content: string, options: Omit<TextLine, "kind" | "text"> = {}): TextLine {
  return { kind: "text", text: content, ...options };
}

/** A link. */
export function link(content: string, href: string, options: Omit<Link, "kind" | "text" | "href"> = {}): Link {
  return { kind: "link", text: content, href, ...options };
}

/** A group. */
export function group(look: Group["look"], children: readonly PageElement[], id?: string): Group {
  return { kind: "group", look, children, id };
}

/** A form that is sent with POST. */
export function postForm(action: string, children: readonly PageElement[], look?: Form["look"]): Form {
  return { kind: "form", method: "post", action, children, look };
}
