/**
 * The part of a string that `string_body.ts`, which see, has taken, and what must be known of it: to look through it again at
 * every quote would take ever longer.
 */
import { isSpaceCharacter } from "./text.ts";

export class KeptText {
  /** How many braces are open in it. */
  openBraces = 0;
  /** Its last character, `""` of nothing. */
  last = "";
  /** All but the last character. */
  #body = "";
  #length = 0;
  #classStart: number | undefined;
  #upToSpace = 0;

  /** All of it. */
  get text(): string {
    return this.#body + this.last;
  }

  /** Whether nothing has been taken. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Whether its last character is no white space; false of nothing. */
  get endsVisibly(): boolean {
    return this.#length > this.#upToSpace;
  }

  /** Whether a regular expression's class `[…` without white space is open. */
  get isInCharacterClass(): boolean {
    return this.#classStart !== undefined && this.#upToSpace <= this.#classStart;
  }

  /** Takes characters. */
  append(content: string): void {
    for (const c of content) {
      this.#body += this.last;
      this.last = c;
      this.#length++;
      if (c === "{") this.openBraces++;
      else if (c === "}" && this.openBraces > 0) this.openBraces--;
      else if (c === "[") this.#classStart = this.#length;
      else if (c === "]") this.#classStart = undefined;
      else if (isSpaceCharacter(c)) this.#upToSpace = this.#length;
    }
  }

  /** Takes at least one character, all letters and digits. */
  appendPlain(content: string): void {
    this.#body += this.last + content;
    this.last = "";
    this.#length += content.length;
  }

  /** Replaces the backslash at its end, which nothing keeps track of. */
  replaceLast(by: string): void {
    this.last = "";
    this.#length--;
    this.append(by);
  }
}
