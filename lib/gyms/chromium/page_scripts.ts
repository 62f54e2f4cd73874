/** What is run inside pages: JavaScript functions as text, called on a node of the page (`this`) where nothing else is said. */

/** Title, scroll position, size of the viewport: an expression. */
export const PAGE_FACTS = "[document.title, scrollX, scrollY, innerWidth, innerHeight]";

/** The field that a node belongs to: it or what is around it, also where the node is a part that the browser made (a shadow root). */
const FIELD_OF = `(node) => {
  const element = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  const host = element?.getRootNode()?.host;
  const field = element?.closest?.("input, textarea, select");
  return field ?? (host instanceof HTMLInputElement || host instanceof HTMLTextAreaElement ? host : element);
}`;

/** Chooses an option of a list, as a person would with the list open: `done` where there was a list, `download` for a link to one. */
export const CHOOSE_OPTION = `function () {
  const element = this.nodeType === Node.TEXT_NODE ? this.parentElement : this;
  if (element?.closest?.("a[href][download]")) return "download";
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

/**
 * How a node takes text: `keys`; the type of a field whose value is set as a whole (`date`, `color`, …); `list` (its options are chosen);
 * `locked` or `none`.
 */
export const FIELD_KIND = `function () {
  const field = (${FIELD_OF})(this);
  if (field instanceof HTMLSelectElement) return field.disabled ? "locked" : "list";
  if (field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) {
    if (field.disabled || field.readOnly) return "locked";
    // A part of a date (its month, its year) is typed into like any other field.
    if (this !== field && /^(date|time|month|week|datetime-local)$/.test(field.type)) return "keys";
    if (/^(date|time|month|week|datetime-local|color|range)$/.test(field.type)) return field.type;
    return /^(text|textarea|search|url|tel|email|password|number)$/.test(field.type) ? "keys" : "none";
  }
  return field?.isContentEditable ? "keys" : "none";
}`;

/** What the options of a node's list are called; null for those that cannot be chosen. */
export const OPTION_NAMES = `function () {
  return [...(${FIELD_OF})(this).options].map((option) =>
    option.disabled || option.closest("optgroup")?.disabled ? null : option.label.trim());
}`;

/** Chooses the option at a place of a node's list. */
export const CHOOSE_PLACE = `function (place) {
  const list = (${FIELD_OF})(this), option = list.options[place];
  list.focus();
  if (option.selected) return;
  option.selected = true;
  list.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
  list.dispatchEvent(new Event("change", { bubbles: true }));
}`;

/** Selects all that stands in a field that has the focus. */
export const SELECT_ALL = `function () {
  let root = document, field = document.activeElement;
  while (field?.shadowRoot?.activeElement) [root, field] = [field.shadowRoot, field.shadowRoot.activeElement];
  if (typeof field?.select === "function") field.select();
  else if (field?.isContentEditable) (root.getSelection?.() ?? getSelection()).selectAllChildren(field);
}`;

/** Sets a field's value as a choice in its picker would; false, and nothing is changed, where it does not take that value. */
export const SET_VALUE = `function (value) {
  const field = (${FIELD_OF})(this), before = field.value;
  // A page may have put a property of its own over the field's, to learn of changes by scripts; this is a person's.
  const property = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  property.set.call(field, value.trim());
  if (field.value.toLowerCase() !== value.trim().toLowerCase()) {
    property.set.call(field, before);
    return false;
  }
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
  field.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}`;

/** Resolves to true once nothing has changed for `quiet` milliseconds, to false after `limit`; called on nothing. */
export const QUIET_DOCUMENT = `(quiet, limit) => new Promise((resolve) => {
  const finish = (isQuiet) => { observer.disconnect(); clearTimeout(last); resolve(isQuiet); };
  let timer = setTimeout(() => finish(true), quiet);
  const observer = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => finish(true), quiet);
  });
  const last = setTimeout(() => { clearTimeout(timer); finish(false); }, limit);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
})`;
