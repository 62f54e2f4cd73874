/**
 * One side of the comparison: a process that is kept alive and told what to do, so that neither start-up nor the other
 * side's memory counts.
 */
import { UserError } from "../lib/base/user_error.ts";
import { jsonLines } from "./json_lines.ts";

/** Answer of a side. */
export type Reply = Record<string, unknown>;

/** A process that answers requests one by one. */
export class Side {
  readonly #process: Deno.ChildProcess;
  readonly #replies: AsyncGenerator<unknown>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onAbort = () => this.kill();

  /**
   * @param name For messages.
   * @param signal Ends the process when it is aborted.
   * @throws {UserError} When the program cannot be started.
   */
  constructor(readonly name: string, command: string, args: string[], readonly signal: AbortSignal) {
    try {
      this.#process = new Deno.Command(command, { args, stdin: "piped", stdout: "piped", stderr: "inherit" }).spawn();
    } catch (error) {
      throw new UserError(`${name}: ${command} cannot be started: ${(error as Error).message}`);
    }
    this.#replies = jsonLines(this.#process.stdout);
    this.#input = this.#process.stdin.getWriter();
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.kill();
  }

  /** Asks, and waits for the answer. @throws {Error} When the process ended or answers with an error. */
  async ask(request: Reply): Promise<Reply> {
    try {
      await this.#input.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    } catch { /* it ended: said below */ }
    const { value, done } = await this.#replies.next();
    this.signal.throwIfAborted();
    if (done) throw new Error(`${this.name} ended while it was asked to ${request.do}: see its messages above`);
    const reply = value as Reply;
    if (typeof reply.error === "string") {
      const text = `${this.name}: ${reply.error}`;
      throw reply.userError === true ? new UserError(reply.error) : new Error(text);
    }
    return reply;
  }

  /** Lets the process end. */
  async close(): Promise<void> {
    this.signal.removeEventListener("abort", this.#onAbort);
    try {
      await this.#input.close();
    } catch { /* it has ended */ }
    await this.#process.status;
  }

  /** Ends the process at once. */
  kill(): void {
    try {
      this.#process.kill("SIGKILL");
    } catch { /* it has ended */ }
  }
}
