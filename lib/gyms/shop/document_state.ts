/**
 * What a person has done to a loaded page without leaving it: what was typed, chosen, checked and opened, and where the focus is.
 * A browser keeps this for each document and forgets it with the document.
 */
import {
  type ElementPath,
  type Field,
  type FormValues,
  type PlacedElement,
  placedElements,
  type SitePage,
} from "./page.ts";

/** State of one loaded document. */
export class DocumentState {
  /** Texts and choices that differ from what was loaded. */
  readonly values = new Map<ElementPath, string>();
  /** Boxes that differ from what was loaded. */
  readonly checks = new Map<ElementPath, boolean>();
  /** Disclosures that are open. */
  readonly open = new Set<ElementPath>();
  /** The element that the keyboard goes to; none: the page itself. */
  focus: ElementPath | undefined;
  /** Where the last click or jump went, which is where the Tab key goes on from. */
  start: ElementPath | undefined;
  /** Whether the Tab key has led out of the page: then not even the page has the focus. */
  isLeftByTab = false;

  /** An independent copy. */
  clone(): DocumentState {
    const copy = new DocumentState();
    for (const [path, value] of this.values) copy.values.set(path, value);
    for (const [path, value] of this.checks) copy.checks.set(path, value);
    for (const path of this.open) copy.open.add(path);
    copy.focus = this.focus;
    copy.start = this.start;
    copy.isLeftByTab = this.isLeftByTab;
    return copy;
  }

  /** A field's text or choice now. */
  valueOf(path: ElementPath, field: Extract<Field, { value: string }>): string {
    return this.values.get(path) ?? field.value;
  }

  /** Whether a box is checked now. */
  isChecked(path: ElementPath, field: Extract<Field, { isChecked: boolean }>): boolean {
    return this.checks.get(path) ?? field.isChecked;
  }

  /** What is sent with a form as it stands. */
  formValues(page: SitePage, formPath: ElementPath): FormValues {
    const values: Record<string, string> = {};
    for (const { path, element, form } of placedElements(page)) {
      if (element.kind === "form" && path === formPath) Object.assign(values, element.hidden);
      if (form?.path !== formPath) continue;
      if (element.kind === "textbox" || element.kind === "combobox") {
        values[element.name] = this.valueOf(path, element);
      } else if (element.kind === "checkbox" && this.isChecked(path, element)) values[element.name] = "1";
    }
    return values;
  }
}

/** The element at a path. */
export function elementAt(page: SitePage, path: ElementPath): PlacedElement | undefined {
  return placedElements(page).find((placed) => placed.path === path);
}
