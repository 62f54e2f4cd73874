/** A line to say on standard error: in a terminal in place of a line of progress that is under way, and of the terminal's "^C". */
export function freshLine(text: string): string {
  return Deno.stderr.isTerminal() ? `\r\x1b[K${text.trimStart()}` : text;
}
