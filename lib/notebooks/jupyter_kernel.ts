/**
 * A Deno Jupyter kernel as a child process: start, execute code, collect what it shows, kill. No Python, no installed kernel.
 *
 * The kernel may publish outputs after it reported the cell as done, and may even stamp them with the next cell's id. So
 * after each execution a silent "fence" output is requested: all that arrives before the fence belongs to that execution.
 * Protocol: https://jupyter-client.readthedocs.io/en/stable/messaging.html
 */
import { createHmac } from "node:crypto";
import { ZmtpSocket } from "./zmtp.ts";

/** How a kernel is started. */
export interface KernelOptions {
  /** Working directory; the notebook's own folder, from which deno.json is searched upwards. */
  cwd: string;
  /** Added to the environment. */
  env?: Record<string, string>;
  /** Time that the start may take, in milliseconds; 60,000 unless told. */
  startMs?: number;
}

/** A message of the kernel, parsed: its type and its content. */
export interface KernelMessage {
  /** As in "stream" or "display_data". */
  type: string;
  /** The message's content by Jupyter's protocol. */
  // deno-lint-ignore no-explicit-any
  content: any;
}

/** What `execute` gives: the kernel's reply. */
export interface ExecuteReply {
  /** How the execution ended. */
  status: "ok" | "error" | "aborted";
  /** The number in In[n]. */
  execution_count: number | null;
  ename?: string;
  evalue?: string;
  /** Lines; may hold terminal colours. */
  traceback?: string[];
}

/** The cell ran out of time; the kernel was killed. */
export class KernelTimeoutError extends Error {
  /** The class by name. */
  override readonly name = "KernelTimeoutError";
}

/** The kernel process is gone, or its messages cannot be read any more. */
export class KernelDiedError extends Error {
  /** The class by name. */
  override readonly name = "KernelDiedError";
}

const HOST = "127.0.0.1";
const FENCE_TYPE = "application/x-rlvr-fence";
const FENCE_MS = 15_000;
const START_ATTEMPTS = 3;
const DELIMITER = "<IDS|MSG>";

interface Pending {
  reply: PromiseWithResolvers<KernelMessage>;
  idle: PromiseWithResolvers<void>;
}

/** A running kernel. Close it, also after an error. */
export class JupyterKernel implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #key: string;
  readonly #connectionFile: string;
  readonly #session: string = crypto.randomUUID();
  readonly #pending = new Map<string, Pending>();
  readonly #fences = new Map<string, () => void>();
  readonly #broken = Promise.withResolvers<never>();
  #shell!: ZmtpSocket;
  #iopub!: ZmtpSocket;
  #sink: ((message: KernelMessage) => void) | undefined;
  #graceTimers: ReturnType<typeof setTimeout>[] = [];
  #stderrTail = "";
  #closing: Promise<void> | undefined;

  private constructor(process: Deno.ChildProcess, key: string, connectionFile: string) {
    this.#process = process;
    this.#key = key;
    this.#connectionFile = connectionFile;
    this.#broken.promise.catch(() => {}); // each request races it; nobody may be waiting right now
    process.status.then(({ code, signal }) => {
      const how = signal ? `signal ${signal}` : `exit code ${code}`;
      const said = plainLines(this.#stderrTail).filter((line) => !line.includes("is unstable")).join(" · ");
      this.#broken.reject(new KernelDiedError(`the kernel ended with ${how}${said ? `: ${said}` : ""}`));
    });
    this.#collectStderr();
  }

  /**
   * Starts a kernel and waits until it answers.
   *
   * @throws {KernelDiedError} when it ends at once.
   * @throws {KernelTimeoutError} when it does not answer in time.
   */
  static async start(options: KernelOptions): Promise<JupyterKernel> {
    for (let attempt = 1;; attempt++) {
      try {
        return await JupyterKernel.#startOnce(options);
      } catch (error) {
        // Another process may have taken one of the ports between our looking and the kernel's listening.
        if (!(error instanceof KernelDiedError) || attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #startOnce(options: KernelOptions): Promise<JupyterKernel> {
    const [shell_port, iopub_port, stdin_port, control_port, hb_port] = freePorts(5);
    const key = crypto.randomUUID();
    const connectionFile = await Deno.makeTempFile({ prefix: "deno-kernel-", suffix: ".json" });
    await Deno.writeTextFile(
      connectionFile,
      JSON.stringify({
        ...{ shell_port, iopub_port, stdin_port, control_port, hb_port, key },
        ...{ ip: HOST, transport: "tcp", signature_scheme: "hmac-sha256", kernel_name: "deno" },
      }),
    );
    const process = new Deno.Command(Deno.execPath(), {
      args: ["jupyter", "--kernel", "--conn", connectionFile],
      cwd: options.cwd,
      env: options.env,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const kernel = new JupyterKernel(process, key, connectionFile);
    try {
      await kernel.#within(
        options.startMs ?? 60_000,
        "the kernel did not start",
        kernel.#connect(shell_port, iopub_port),
      );
      return kernel;
    } catch (error) {
      await kernel.close();
      throw error;
    }
  }

  /**
   * Runs code. `onMessage` gets every output message that belongs to it, in order; it is not called afterwards.
   *
   * @throws {KernelTimeoutError} after `timeoutMs`, or when the kernel is still busy after the code's end; the kernel is killed.
   * @throws {KernelDiedError} when the kernel dies meanwhile or a message is corrupt.
   */
  async execute(code: string, onMessage: (message: KernelMessage) => void, timeoutMs: number): Promise<ExecuteReply> {
    this.#sink = onMessage;
    try {
      const content = {
        code,
        silent: false,
        store_history: true,
        user_expressions: {},
        allow_stdin: false,
        stop_on_error: true,
      };
      const limit = `the cell did not finish within ${timeoutMs / 1000} s`;
      const reply = await this.#within(timeoutMs, limit, this.#request("execute_request", content));
      await this.#within(
        FENCE_MS,
        "the kernel stayed busy after the cell's end (a timer that threw, or one without end)",
        this.#fence(),
      );
      return reply.content as ExecuteReply;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      this.#sink = undefined;
    }
  }

  /** Kills the kernel and frees what it used. May be called twice. */
  close(): Promise<void> {
    return this.#closing ??= this.#end();
  }

  async #end(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#process.status;
    for (const timer of this.#graceTimers) clearTimeout(timer);
    this.#shell?.close();
    this.#iopub?.close();
    await Deno.remove(this.#connectionFile).catch(() => {});
  }

  /** Closes the kernel at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #connect(shellPort: number, iopubPort: number): Promise<void> {
    this.#shell = await this.#connectWhenListening("DEALER", shellPort);
    this.#iopub = await this.#connectWhenListening("SUB", iopubPort);
    this.#receiveLoop(this.#shell, (message, parent) => {
      if (message.type.endsWith("_reply")) this.#pending.get(parent)?.reply.resolve(message);
    });
    let heard = false;
    this.#receiveLoop(this.#iopub, (message, parent) => {
      heard = true;
      this.#onPublished(message, parent);
    });
    // A subscription takes effect some time after it was sent: ask until something is heard.
    while (!heard && !this.#closing) {
      this.#request("kernel_info_request", {}).catch(() => {});
      await delay(25);
    }
  }

  async #connectWhenListening(kind: "DEALER" | "SUB", port: number): Promise<ZmtpSocket> {
    while (true) {
      if (this.#closing) throw new KernelDiedError("the kernel was closed");
      try {
        return await ZmtpSocket.connect(kind, HOST, port);
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await delay(20);
      }
    }
  }

  async #receiveLoop(socket: ZmtpSocket, onMessage: (message: KernelMessage, parent: string) => void): Promise<void> {
    try {
      while (true) {
        const { message, parent } = this.#unpack(await socket.receive());
        onMessage(message, parent);
      }
    } catch (error) {
      if (this.#closing) return;
      const corrupt = new KernelDiedError(
        `a message of the kernel could not be read (${(error as Error).message}): keep single outputs below 2 MB`,
      );
      // If the process has ended, its own end says more than the closed connection; it is known within moments.
      this.#graceTimers.push(setTimeout(() => this.#broken.reject(corrupt), 500));
    }
  }

  #onPublished(message: KernelMessage, parent: string): void {
    const { type, content } = message;
    const fence = content?.data?.[FENCE_TYPE];
    if (fence !== undefined) this.#fences.get(fence)?.();
    else if (type !== "status") this.#sink?.(message);
    else if (content.execution_state === "idle") this.#pending.get(parent)?.idle.resolve();
  }

  /** Sends a request and waits for its reply and for the kernel to be idle again. */
  async #request(type: string, content: unknown): Promise<KernelMessage> {
    const header = {
      ...{ msg_id: crypto.randomUUID(), session: this.#session, username: "report" },
      ...{ date: new Date().toISOString(), msg_type: type, version: "5.3" },
    };
    const pending = { reply: Promise.withResolvers<KernelMessage>(), idle: Promise.withResolvers<void>() };
    this.#pending.set(header.msg_id, pending);
    try {
      const parts = [header, {}, {}, content].map((part) => new TextEncoder().encode(JSON.stringify(part)));
      const encoder = new TextEncoder();
      await this.#shell.send([encoder.encode(DELIMITER), encoder.encode(this.#sign(parts)), ...parts]);
      const [reply] = await Promise.all([pending.reply.promise, pending.idle.promise]);
      return reply;
    } finally {
      this.#pending.delete(header.msg_id);
    }
  }

  async #fence(): Promise<void> {
    const id = crypto.randomUUID(), seen = Promise.withResolvers<void>();
    this.#fences.set(id, seen.resolve);
    const data = `{ ${JSON.stringify(FENCE_TYPE)}: ${JSON.stringify(id)} }`;
    const code = `await Deno.jupyter.broadcast("display_data", { data: ${data}, metadata: {}, transient: {} })`;
    const quiet = {
      silent: true,
      store_history: false,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: false,
    };
    await this.#request("execute_request", { code, ...quiet });
    await seen.promise;
    this.#fences.delete(id);
  }

  #sign(parts: readonly Uint8Array[]): string {
    const hmac = createHmac("sha256", this.#key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
  }

  #unpack(frames: readonly Uint8Array[]): { message: KernelMessage; parent: string } {
    const decoder = new TextDecoder();
    const start = frames.findIndex((frame) => frame.length === DELIMITER.length && decoder.decode(frame) === DELIMITER);
    const parts = frames.slice(start + 2, start + 6);
    if (start < 0 || parts.length < 4) throw new Error("it is not a Jupyter message");
    if (this.#sign(parts) !== decoder.decode(frames[start + 1])) throw new Error("its signature is wrong");
    const [header, parent, , content] = parts.map((part) => JSON.parse(decoder.decode(part)));
    return { message: { type: header.msg_type, content: content ?? {} }, parent: parent?.msg_id ?? "" };
  }

  /** The work, or an error when the kernel dies or the time is over. */
  async #within<T>(ms: number, message: string, work: Promise<T>): Promise<T> {
    work.catch(() => {}); // once the race is lost nobody else looks at it
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new KernelTimeoutError(message)), ms);
    try {
      return await Promise.race([work, this.#broken.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #collectStderr(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#stderrTail = (this.#stderrTail + text).slice(-2000);
    }
  }
}

function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: HOST, port: 0 }));
  const ports = listeners.map((listener) => (listener.addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

/** Lines that say something, without terminal colours. */
function plainLines(text: string): string[] {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/\x1b\[[0-9;]*m/g, "").split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
