/**
 * Words and signs of an English text as NLTK's `word_tokenize` separates them, which WebArena's evaluators use so that a reference
 * answer of one token (`2`) is not found inside another (`12`).
 *
 * Written from the Penn Treebank's rules. One difference: NLTK first cuts the text into sentences with a trained model; here a full
 * stop ends a sentence when white space follows.
 */

/** Suffixes that are tokens of their own: `don't` → `do n't`. */
const CONTRACTIONS = /([^' ])('s|'m|'d|'ll|'re|'ve|n't|')(?= )/gi;
/** Words that are two: `cannot` → `can not`. */
const JOINED_WORDS = /\b(can)(not)\b|\b(gim)(me)\b|\b(gon)(na)\b|\b(got)(ta)\b|\b(lem)(me)\b|\b(wan)(na)(?=\s)/gi;
/** Opening quotes before a word: a straight one opens after a space or a bracket. */
const OPENING_QUOTES = /(^|[ ([{<])("|'{2})/g;

/** The tokens of a text. */
export function wordTokens(text: string): string[] {
  const sentences = text.split(/(?<=[^.]\.)\s+/);
  return sentences.flatMap((sentence) => sentenceTokens(sentence));
}

function sentenceTokens(sentence: string): string[] {
  const separated = sentence
    .replaceAll(/[«“‘„]|`+/g, " $& ")
    .replaceAll(OPENING_QUOTES, "$1 `` ")
    // An opening single quote, unless it begins a contraction.
    .replaceAll(/(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)/gi, "' ")
    .replaceAll(/([:,])(?=\D|$)/g, " $1 ")
    .replaceAll(/\.{2,}/g, " $& ")
    .replaceAll(/[;@#$%&?!*\u2012-\u2015]/g, " $& ")
    // The full stop at the end of the sentence, brackets, quotes and spaces after it allowed, and then other white space.
    .replace(/([^.])\.([\])}>"'»”’ ]*)(?<! )\s*$/, "$1 . $2")
    .replaceAll(/[[\](){}<>]/g, " $& ")
    .replaceAll("--", " -- ")
    .replaceAll(/[»”’]/g, " $& ")
    .replaceAll(/''|"/g, " '' ");
  const tokens = ` ${separated} `.replaceAll(CONTRACTIONS, "$1 $2").replaceAll(JOINED_WORDS, (_, ...groups) => {
    const [head, tail] = groups.slice(0, 12).filter((part) => part !== undefined);
    return `${head} ${tail}`;
  });
  return tokens.split(/\s+/).filter((token) => token !== "");
}
