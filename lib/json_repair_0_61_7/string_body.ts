/**
 * Where a string ends in text that is nearly JSON and whose quotes are wrong.
 *
 * At every quote, comma and closing brace inside a string one must guess whether the writer meant to end it. The guesses,
 * and their order, are json_repair's (see `repair_json.ts`, which this belongs to).
 */
import { KeptText } from "./kept.ts";
import {
  bareKeyBeforeColon,
  classifyComma,
  CLOSING,
  endOfInlineContainer,
  memberFollows,
  memberStart,
  quotedMemberFollows,
} from "./lookahead.ts";
import { type EmptyAttempt, LEAP_EVERY } from "./members.ts";
import { isAlphanumeric, isLetter, isSpaceCharacter, type LenientText, QUOTES, stripEnd } from "./text.ts";

/** Everything between the opening quote and the end of a string. */
export class StringBody {
  readonly #t: LenientText;
  readonly #open: string;
  readonly #close: string;
  readonly #unquoted: boolean;
  readonly #doubled: boolean;
  readonly #attempt: EmptyAttempt | undefined;
  readonly #stop: `in ${string}`;
  readonly #kept = new KeptText();
  /** A quote inside the string was kept: the next one is its partner. */
  #unmatched = false;
  #containerPending = false;
  readonly #containers: string[] = [];
  #commasAreText = false;
  /** How many „ quotations are open. */
  #lowQuotes = 0;

  constructor(
    t: LenientText,
    open: string,
    close: string,
    unquoted: boolean,
    doubled: boolean,
    attempt: EmptyAttempt | undefined,
  ) {
    this.#t = t;
    this.#open = open;
    this.#close = close;
    this.#unquoted = unquoted;
    this.#doubled = doubled;
    this.#attempt = attempt;
    this.#stop = unquoted ? "in bare" : `in ${open}`;
  }

  read(): string {
    const t = this.#t;
    this.#scan();
    const stopped = t.peek();
    if (this.#unquoted && t.place === "key" && isSpaceCharacter(stopped)) {
      t.skipSpace();
      if (t.peek() !== ":" && t.peek() !== ",") return "";
    }
    if (stopped === this.#close) t.at++;
    const value = this.#kept.text;
    return stopped !== this.#close || this.#unquoted || value.endsWith("\n") ? stripEnd(value) : value;
  }

  /** Leaves the cursor where the string ends: at its closing quote, or at what made us stop. */
  #scan(): void {
    const t = this.#t;
    while (t.peek() !== "" && (t.peek() !== this.#close || this.#lowQuotes > 0)) {
      if (this.#attempt !== undefined && t.at % LEAP_EVERY === 0 && this.#leaps(this.#attempt)) return;
      this.#keepPlain();
      t.spend(1);
      const c = t.peek();
      if (this.#unquoted) {
        if (t.place === "key" && (c === ":" || isSpaceCharacter(c))) return;
        if (t.place === "array" && (c === "]" || c === ",")) return;
      }
      const escaped = this.#kept.last === "\\";
      if (c === "„" && !escaped) {
        this.#lowQuotes++;
        this.#keep();
        continue;
      }
      if (this.#lowQuotes > 0 && c === "”") {
        this.#lowQuotes--;
        this.#keep();
        continue;
      }
      if (this.#keepContainer(c, escaped)) continue;
      if (t.place === "value" && c === "," && !this.#containerPending && this.#containers.length === 0) {
        if (this.#commaEndsString()) return;
        this.#keep();
        continue;
      }
      if (this.#trackContainers(c)) {
        this.#keep();
        continue;
      }
      if (t.place === "value" && c === "}" && this.#kept.last !== this.#close) {
        if (this.#kept.openBraces > 0) {
          this.#keep();
          continue;
        }
        if (this.#braceEndsString()) return;
      }
      if (t.peek() === "]" && c === "]" && t.isOpen("array") && this.#kept.last !== this.#close) {
        if (t.charAt(t.find(this.#close, t.at)) === "") return;
      }
      if (t.place === "value" && c === "}") {
        const next = t.afterSpace(t.at + 1);
        if (t.startsWith("```", next)) {
          if (!this.#fenceBelongsToString(next)) return;
          this.#keep();
          continue;
        }
        if (t.charAt(next) === "") return;
      }
      this.#kept.append(c);
      t.at++;
      if (t.peek() === "") return;
      if (this.#kept.last === "\\" && this.#unescape()) continue;
      if (t.peek() === ":" && !this.#unquoted && t.place === "key" && this.#colonEndsKey()) return;
      if (this.#lowQuotes > 0 && t.peek() === '"') {
        this.#lowQuotes--;
        this.#keep();
        continue;
      }
      if (t.peek() === this.#close && t.place === "value" && this.#quoteIsInCharacterClass()) {
        this.#keep();
        continue;
      }
      if (t.peek() === this.#close && !this.#kept.isEmpty && this.#kept.last !== "\\" && this.#quoteEndsString()) {
        return;
      }
    }
  }

  /** Takes letters and digits up to the last one before something else: one by one they would be taken as well. */
  #keepPlain(): void {
    const t = this.#t;
    if (this.#kept.last === "\\") return;
    const end = t.nextWhere("not plain", (each) => !isAlphanumeric(each), t.at) - 1;
    if (end <= t.at + 1) return;
    this.#kept.appendPlain(t.slice(t.at, end - 1));
    this.#kept.append(t.charAt(end - 1));
    t.spend(end - t.at);
    t.at = end;
  }

  /** Whether a key goes on as another one did, so that the attempt that it belongs to ends as that did. */
  #leaps(attempt: EmptyAttempt): boolean {
    const t = this.#t;
    // How it goes on must depend on the text from here on alone, and the key must not be empty however it ends.
    const isPlain = !this.#doubled && !this.#unmatched && this.#kept.endsVisibly && this.#kept.last !== "\\" &&
      this.#kept.last === t.charAt(t.at - 1);
    if (!isPlain) return false;
    if (this.#lowQuotes === 0) return attempt.leaps(this.#stop);
    // How many quotations are open does not matter if none will be closed.
    return t.next('"”', t.at) === t.length && attempt.leaps(`${this.#stop} low`);
  }

  /** Takes the current character as part of the string. */
  #keep(): void {
    this.#kept.append(this.#t.peek());
    this.#t.at++;
  }

  #keepContainer(c: string, escaped: boolean): boolean {
    const t = this.#t;
    if (escaped || !(c in CLOSING)) return false;
    const expected = this.#containerPending || (t.place === "value" && c === "{" && t.charAt(t.at - 1) !== "\\" &&
      bareKeyBeforeColon(t, t.afterSpace(t.at + 1)));
    if (!expected) return false;
    const end = endOfInlineContainer(t, t.at);
    if (end === undefined) return false;
    this.#containerPending = false;
    this.#containers.length = 0;
    this.#kept.append(t.slice(t.at, end));
    t.spend(end - t.at);
    t.at = end;
    return true;
  }

  /** Whether the character closes a container within the string and is to be kept. */
  #trackContainers(c: string): boolean {
    if (c === "{" || c === "[") {
      if (this.#containerPending) {
        this.#containers.push(c);
        this.#containerPending = false;
        return false;
      }
      if (this.#containers.length > 0) this.#containers.push(c);
    }
    const last = this.#containers.at(-1);
    if (last !== undefined && c === CLOSING[last]) {
      this.#containers.pop();
      return true;
    }
    return false;
  }

  #commaEndsString(): boolean {
    const kind = this.#commasAreText ? "text" : classifyComma(this.#t);
    if (kind === "member") return true;
    if (kind === "only text follows") this.#commasAreText = true;
    this.#containerPending = kind === "container";
    return false;
  }

  #braceEndsString(): boolean {
    const t = this.#t;
    t.skipSpace();
    let missing = t.charAt(t.at + 1) !== "\\";
    const quote = t.find(this.#close, t.at + 1);
    if (t.charAt(quote) !== "") {
      const after = t.afterSpace(quote + 1);
      const next = t.charAt(after);
      if (next === "" || next === "," || next === "}") return false;
      const key = t.find(this.#open, after);
      if (t.charAt(key) === "") return false;
      const colon = t.charAt(t.afterSpace(key + 1));
      return colon !== "" && colon !== ":" ? false : missing;
    }
    if (t.find(":", t.at + 1) < t.length) return true;
    const from = t.afterSpace(t.at + 1);
    if (t.find("}", from) - from > 1) missing = false;
    return missing;
  }

  #fenceBelongsToString(fence: number): boolean {
    const t = this.#t;
    let from = fence + 3;
    let keepContainer = false;
    const content = memberStart(t, from);
    if (t.charAt(content) in CLOSING) {
      const end = endOfInlineContainer(t, content);
      if (end !== undefined) {
        const after = t.afterSpace(end);
        if (t.charAt(after) === "" || t.charAt(after) === "}") return false;
        if (t.charAt(after) === ",") {
          const next = memberStart(t, after + 1);
          if (t.charAt(next) === "" || t.charAt(next) === "}" || memberFollows(t, next)) return false;
        }
        keepContainer = true;
        from = end;
      }
    }
    const quote = t.find(this.#close, from);
    const last = t.outlook(`last ${this.#close}`, (i, later) => later[i] = this.#mayCloseMember(i) ? i : later[i + 1]);
    if (last[quote] === t.length) return false;
    if (keepContainer) this.#containerPending = true;
    return true;
  }

  /** Whether an unescaped closing quote stands here, and after it what may follow a value. */
  #mayCloseMember(place: number): boolean {
    const t = this.#t;
    if (t.charAt(place) !== this.#close || t.isEscaped(place)) return false;
    const after = t.charAt(t.afterSpace(place + 1));
    return after === "" || ",}]".includes(after);
  }

  /** Undoes the escape whose backslash is the last character kept; false where it is to be kept as it is. */
  #unescape(): boolean {
    const t = this.#t;
    const c = t.peek();
    const active = this.#lowQuotes > 0 ? "\0" : this.#close;
    if (this.#lowQuotes > 0 && c === '"') {
      this.#kept.replaceLast(c);
      this.#lowQuotes--;
      t.at++;
      return true;
    }
    if (c === "\\") {
      let end = t.at + 1;
      while (t.charAt(end) === "\\") end++;
      t.spend(end - t.at);
      const length = end - (t.at - 1);
      if (length % 2 === 0 && t.charAt(end) !== active) {
        this.#kept.replaceLast("\\".repeat(length / 2));
        t.at = end;
        return true;
      }
    }
    if (c === active || "tnrb\\".includes(c)) {
      this.#kept.replaceLast({ t: "\t", n: "\n", r: "\r", b: "\b" }[c] ?? c);
      t.at++;
      while (this.#kept.last === "\\" && t.peek() !== "" && (t.peek() === active || t.peek() === "\\")) {
        this.#kept.replaceLast(t.peek());
        t.at++;
        t.spend(1);
      }
      return true;
    }
    if (c === "u" || c === "x") {
      const digits = t.slice(t.at + 1, t.at + 1 + (c === "u" ? 4 : 2));
      if (digits.length === (c === "u" ? 4 : 2) && /^[0-9a-fA-F]+$/.test(digits)) {
        this.#kept.replaceLast(String.fromCharCode(parseInt(digits, 16)));
        t.at += 1 + digits.length;
        return true;
      }
    } else if (c === "„" || (QUOTES.includes(c) && c !== active)) {
      this.#kept.replaceLast(c);
      t.at++;
      return true;
    }
    return false;
  }

  /** In a key without its closing quote, the colon ends it. */
  #colonEndsKey(): boolean {
    const t = this.#t;
    const opening = t.find(this.#open, t.at + 1);
    if (t.charAt(opening) === "") return true;
    const closing = t.find(this.#close, opening + 1);
    if (t.charAt(closing) === "") return false;
    const after = t.charAt(t.afterSpace(closing + 1));
    return after === "," || after === "}";
  }

  #quoteIsInCharacterClass(): boolean {
    const t = this.#t;
    return this.#kept.isInCharacterClass && t.find("]", t.at + 1) < t.length;
  }

  /**
   * At a closing quote: whether it ends the string. Where it does not, it may already have been taken into the string; the
   * scan goes on with the character then current, and ends by itself at a closing quote that was not taken.
   */
  #quoteEndsString(): boolean {
    const t = this.#t;
    if (this.#doubled && t.charAt(t.at + 1) === this.#close) {
      t.at++;
      return false;
    }
    if (this.#unquoted && t.place === "value") {
      const next = t.next(this.#open + this.#close, t.at + 1);
      if (t.charAt(next) !== "" && t.charAt(t.afterSpace(next + 1)) === ":") {
        t.at--;
        return true;
      }
      return false;
    }
    if (this.#unmatched) {
      this.#unmatched = false;
      this.#keep();
      return false;
    }
    let i = this.#nextStructure();
    let next = t.charAt(i);
    if (next === "," && t.place === "value") {
      i = t.afterSpace(t.find(this.#close, i + 1) + 1);
      next = t.charAt(i);
      if (next === "}" || next === ",") this.#keep();
      return false;
    }
    if (next !== this.#close || t.charAt(i - 1) === "\\") return false;
    if (t.afterSpace(t.at + 1) >= i && !(t.place === "value" && quotedMemberFollows(t, i))) return true;
    if (t.place === "value") {
      if (quotedMemberFollows(t, i)) {
        this.#keep();
        return false;
      }
      if (t.charAt(this.#endOfPiece(t.find(this.#close, i + 1) + 1)) !== ":") {
        this.#unmatched = !this.#unmatched;
        this.#keep();
      }
      return false;
    }
    if (t.place === "array") {
      if (!this.#isLastOfPair(i)) return true;
      this.#unmatched = !this.#unmatched;
      this.#keep();
      return false;
    }
    if (t.place === "key") this.#keep();
    return false;
  }

  /** The next quote, or before it the next character that would end a value in one of the open containers. */
  #nextStructure(): number {
    const t = this.#t, from = t.at + 1;
    let next = t.next(this.#open + this.#close, from);
    if (t.isOpen("key")) next = Math.min(next, t.next(":}", from));
    else if (t.isOpen("value")) next = Math.min(next, t.next("}", from));
    if (t.isOpen("array")) next = Math.min(next, t.next("],", from));
    if (t.place === "value") {
      const comma = t.next(",", from);
      if (comma < next && comma < t.nextWhere("letter", isLetter, from)) next = comma;
    }
    return next;
  }

  /** The next character that may end a key or a value, a closing quote without a backslash among them. */
  #endOfPiece(place: number): number {
    const t = this.#t;
    return t.outlook(`end of piece ${this.#close}`, (i, later) => {
      const c = t.charAt(i);
      later[i] = ":,]}".includes(c) || (c === this.#close && t.charAt(i - 1) !== "\\") ? i : later[i + 1];
    })[Math.min(place, t.length)];
  }

  /** Whether between a quote and the next closing bracket (or the end) an odd number of quotes stands. */
  #isLastOfPair(quote: number): boolean {
    const t = this.#t, targets = `${this.#close}]`;
    const odd = t.outlook(`pairs ${this.#close}`, (i, later) => {
      const next = t.charAt(i) === this.#close ? t.find(targets, i + 1) : t.length;
      later[i] = t.charAt(next) === this.#close ? 1 - later[next] : 0;
    }, 0);
    return odd[quote] === 1;
  }
}
