/**
 * Locators that begin with `lambda:`, which VisualWebArena's tasks have: small functions in JavaScript that look something up on a page.
 * They are read by the grammar below, and what a page is asked is written anew from what was read; nothing else of a task file reaches
 * it. So a locator can look, but not change, send or start anything.
 *
 *     lambda     = "lambda:" ( expression | function | "(" function ")" "(" ")" ) [ ";" ]
 *     function   = "(" ")" "=>" ( block | expression )
 *     block      = "{" { statement } "}"
 *     statement  = "return" expression [ ";" ]
 *                | [ "const" | "let" | "var" ] name "=" expression [ ";" ]        a name of its own, no field
 *                | "try" block "catch" [ "(" name ")" ] block
 *     expression = either [ "?" expression ":" expression ]
 *     either     = part { ( "||" | "??" ) part }
 *     part       = value { [ "?" ] "." name | [ "?." ] "[" number "]" | [ "?." ] "(" [ argument { "," argument } ] ")" }
 *     argument   = expression | ( name | "(" name ")" ) "=>" expression
 *     value      = string | number | name | "(" expression ")" | "[" "..." expression "]"
 *
 * Strings stand in ' or ". A name is one of the function's own, `document`, `Array` before `.from`, `Number`, `String`, `parseInt`,
 * `parseFloat`, `true`, `false`, `null` or `undefined`; after a full stop, one of those that only read: see `FIELDS`.
 */

/** What can be read of documents, elements, lists and texts, or called on them without changing anything. */
const FIELDS = new Set(
  `querySelector querySelectorAll getElementById getElementsByClassName getElementsByTagName closest matches
  body children firstElementChild lastElementChild nextElementSibling previousElementSibling parentElement selectedOptions
  title textContent innerText outerText value checked href src alt id className dateTime getAttribute hasAttribute
  from length at find filter map some every includes indexOf slice join
  startsWith endsWith split substr substring trim toLowerCase toUpperCase toString replace replaceAll`.split(/\s+/),
);
const GLOBALS = new Set("document Array Number String parseInt parseFloat true false null undefined".split(" "));
/** A sign, a name, a number or a string. */
const TOKEN =
  /\s*(?:(=>|\.\.\.|\?\.|\?\?|\|\||[(){}[\].,;:?=])|([A-Za-z_$][\w$]*)|(\d+(?:\.\d+)?)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))/y;
/** Deepest nesting that is read. */
const DEEPEST = 50;

interface Token {
  readonly kind: "sign" | "name" | "number" | "string" | "end";
  readonly text: string;
  /** Where it ends. */
  readonly end: number;
}

/**
 * A locator as the JavaScript expression that a page is asked; its value is empty where the locator's counts as false.
 *
 * @throws {SyntaxError} When it is not of the grammar: what stands where.
 */
export function readLambda(locator: string): string {
  return new LambdaReader(locator.replace(/^\s*lambda:/, "")).read();
}

/** Reads from left to right; each method reads one part of the grammar and gives the JavaScript for it. */
class LambdaReader {
  #token: Token;
  #start = 0;
  #depth = 0;
  readonly #names = new Set<string>();

  constructor(private readonly source: string) {
    this.#token = this.#next();
  }

  read(): string {
    // Only a function can be called, and only a function begins with an empty list of names.
    const isCalled = this.#peek("(", "(", ")", "=>");
    if (isCalled) this.#expect("(");
    const isFunction = this.#peek("(", ")", "=>");
    const code = isFunction ? `(${this.#function()})()` : this.#expression();
    if (isCalled) {
      this.#expect(")");
      this.#expect("(");
      this.#expect(")");
    }
    this.#take(";");
    if (this.#token.kind !== "end") this.#refuse();
    return `(${code}) || ""`;
  }

  #function(): string {
    for (const sign of ["(", ")", "=>"]) this.#expect(sign);
    return `() => ${this.#token.text === "{" ? this.#block() : `(${this.#expression()})`}`;
  }

  #block(): string {
    return this.#nested(() => {
      this.#expect("{");
      const statements: string[] = [];
      while (!this.#take("}")) statements.push(this.#statement());
      return `{ ${statements.join(" ")} }`;
    });
  }

  #statement(): string {
    if (this.#take("try")) {
      const tried = this.#block();
      this.#expect("catch");
      if (this.#take("(")) {
        this.#name();
        this.#expect(")");
      }
      return `try ${tried} catch ${this.#block()}`;
    }
    let code: string;
    if (this.#take("return")) code = `return ${this.#expression()};`;
    else {
      for (const word of ["const", "let", "var"]) if (this.#take(word)) break;
      const name = this.#name();
      this.#expect("=");
      const value = this.#expression();
      this.#names.add(name);
      code = `var $${name} = ${value};`;
    }
    this.#take(";");
    return code;
  }

  #expression(): string {
    return this.#nested(() => {
      const condition = this.#either();
      if (!this.#take("?")) return condition;
      const yes = this.#expression();
      this.#expect(":");
      return `(${condition} ? ${yes} : ${this.#expression()})`;
    });
  }

  #either(): string {
    let code = this.#part();
    for (;;) {
      const sign = this.#take("||") ? "||" : this.#take("??") ? "??" : undefined;
      if (sign === undefined) return code;
      code = `(${code} ${sign} ${this.#part()})`;
    }
  }

  #part(): string {
    let code = this.#value();
    for (;;) {
      const dot = this.#take("?.") ? "?." : this.#take(".") ? "." : "";
      if (dot !== "." && this.#take("(")) code += `${dot}(${this.#arguments()})`;
      else if (dot !== "." && this.#take("[")) {
        if (this.#token.kind !== "number") this.#refuse();
        code += `${dot}[${this.#advance()}]`;
        this.#expect("]");
      } else if (dot !== "") {
        const name = this.#name();
        if (!FIELDS.has(name)) throw new SyntaxError(`lambda: .${name} may not be read: it is not of the grammar`);
        code += dot + name;
      } else return code;
    }
  }

  #arguments(): string {
    const list: string[] = [];
    while (!this.#take(")")) {
      if (list.length > 0) this.#expect(",");
      list.push(this.#argument());
    }
    return list.join(", ");
  }

  #argument(): string {
    const isInBrackets = this.#peek("(", undefined, ")", "=>");
    if (!isInBrackets && !this.#peek(undefined, "=>")) return this.#expression();
    if (isInBrackets) this.#expect("(");
    const name = this.#name(), isNew = !this.#names.has(name);
    if (isInBrackets) this.#expect(")");
    this.#expect("=>");
    this.#names.add(name);
    const code = `($${name}) => ${this.#expression()}`;
    if (isNew) this.#names.delete(name);
    return code;
  }

  #value(): string {
    const { kind, text } = this.#token;
    if (this.#take("(")) {
      const code = this.#expression();
      this.#expect(")");
      return `(${code})`;
    }
    if (this.#take("[")) {
      this.#expect("...");
      const code = this.#expression();
      this.#expect("]");
      return `[...${code}]`;
    }
    if (kind === "string") return JSON.stringify(unescaped(this.#advance()));
    if (kind === "number") return this.#advance();
    if (kind !== "name") this.#refuse();
    if (this.#names.has(text)) return `$${this.#advance()}`;
    // A list of any length is nothing to be looked up.
    const isKnown = text === "Array" ? this.#peek("Array", ".", "from") : GLOBALS.has(text);
    if (!isKnown) throw new SyntaxError(`lambda: ${text} is not known: it is not of the grammar`);
    return this.#advance();
  }

  #name(): string {
    if (this.#token.kind !== "name") this.#refuse();
    return this.#advance();
  }

  /** Whether the next tokens are these; undefined stands for any name. */
  #peek(...texts: (string | undefined)[]): boolean {
    const token = this.#token, start = this.#start;
    const fits = texts.every((text) => {
      const isHere = text === undefined ? this.#token.kind === "name" : this.#token.text === text;
      if (isHere) this.#advance();
      return isHere;
    });
    this.#token = token;
    this.#start = start;
    return fits;
  }

  #take(text: string): boolean {
    if (this.#token.text !== text || this.#token.kind === "string") return false;
    this.#advance();
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#refuse(`${text} was to follow`);
  }

  #advance(): string {
    const { text, end } = this.#token;
    this.#start = end;
    this.#token = this.#next();
    return text;
  }

  #next(): Token {
    TOKEN.lastIndex = this.#start;
    const match = TOKEN.exec(this.source);
    if (match) {
      const [, sign, name, number] = match, kind = sign ? "sign" : name ? "name" : number ? "number" : "string";
      return { kind, text: match[0].trimStart(), end: TOKEN.lastIndex };
    }
    if (this.source.slice(this.#start).trim() === "") return { kind: "end", text: "", end: this.source.length };
    return this.#refuse();
  }

  #nested(read: () => string): string {
    if (++this.#depth > DEEPEST) this.#refuse(`nested more than ${DEEPEST} deep`);
    const code = read();
    this.#depth--;
    return code;
  }

  #refuse(why = "it is not of the grammar"): never {
    const rest = this.source.slice(this.#start).trim();
    throw new SyntaxError(`lambda: at ${rest === "" ? "the end" : JSON.stringify(rest.slice(0, 40))}: ${why}`);
  }
}

/** What a string in quotes says. */
function unescaped(quoted: string): string {
  const named: Record<string, string> = { n: "\n", t: "\t", r: "\r" };
  return quoted.slice(1, -1).replaceAll(/\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)/gs, (_, sign: string) => {
    if (sign.length > 1) return String.fromCharCode(parseInt(sign.slice(1), 16));
    return named[sign] ?? sign;
  });
}
