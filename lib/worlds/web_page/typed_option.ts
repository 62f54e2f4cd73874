/** Which option of a list is meant by a text that is typed into it. */
import { WebActionError } from "./browser.ts";

/**
 * The place of the option that is called so; where none is, of the first that begins so, as in a list that a person types into.
 * Case and spaces at the ends do not count.
 *
 * @param names What the options are called; null for those that cannot be chosen.
 * @throws {WebActionError} When there is no such option.
 */
export function typedOption(names: readonly (string | null)[], text: string): number {
  const wanted = text.trim().toLowerCase();
  const find = (fits: (name: string) => boolean) =>
    names.findIndex((name) => name !== null && fits(name.trim().toLowerCase()));
  const place = find((name) => name === wanted);
  if (place !== -1) return place;
  const first = wanted === "" ? -1 : find((name) => name.startsWith(wanted));
  if (first !== -1) return first;
  const there = names.filter((name) => name !== null).slice(0, 10).map((name) => `"${name}"`).join(", ");
  throw new WebActionError(`its list has no option "${text.trim()}": there are ${there || "none"}`);
}
