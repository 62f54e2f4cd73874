/** Words of an objective and of a page, as the programs that stand for models compare them. */

/** Words that say nothing about what is wanted. */
const EMPTY_WORDS: ReadonlySet<string> = new Set(
  ("a an and any are as at be been by can could do does for from give go has have how i if in into is it its just let like list " +
    "make me my name number of on one open or out page please put say set show site so tell than that the their them then there " +
    "these they this to up us use want was what when where which who whose will with would you your").split(" "),
);

/** The words that say something, small, plural ends dropped. */
export function contentWords(text: string): Set<string> {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+(?:[.'-][\p{L}\p{N}]+)*/gu) ?? [];
  return new Set(words.filter((word) => !EMPTY_WORDS.has(word)).map(stem));
}

/** Drops the end of a plural: "reviews" and "review" are one word, "address" stays. */
export function stem(word: string): string {
  return /[^su]s$/.test(word) && word.length > 3 ? word.slice(0, -1) : word;
}
