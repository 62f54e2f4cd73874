/** A page in headless Chromium, by its DevTools protocol: enough to press keys, to ask the page and to take pictures. */

/** Where Chromium is, or undefined. */
export function findChromium(): string | undefined {
  const places = [Deno.env.get("CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return places.find((place) => {
    try {
      return place !== undefined && Deno.statSync(place).isFile;
    } catch {
      return false;
    }
  });
}

/** A page that is open. */
export class BrowserPage implements AsyncDisposable {
  /** Errors of scripts and refused requests, as the console has them. */
  readonly problems: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #socket: WebSocket;
  readonly #folder: string;
  readonly #answers = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  #last = 0;

  private constructor(child: Deno.ChildProcess, socket: WebSocket, folder: string) {
    this.#child = child;
    this.#socket = socket;
    this.#folder = folder;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.id !== undefined) {
        const waiting = this.#answers.get(message.id)!;
        if (message.error) waiting.reject(new Error(message.error.message));
        else waiting.resolve(message.result);
      } else if (message.method === "Runtime.exceptionThrown") {
        this.problems.push(message.params.exceptionDetails.exception?.description ?? "exception");
      } else if (message.method === "Log.entryAdded" && message.params.entry.level === "error") {
        this.problems.push(message.params.entry.text);
      }
    };
  }

  /** Starts Chromium and opens an address. */
  static async open(chromium: string, url: string, width = 1280, height = 900): Promise<BrowserPage> {
    const folder = await Deno.makeTempDir();
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"];
    const child = new Deno.Command(chromium, {
      args: [...flags, `--user-data-dir=${folder}`, `--window-size=${width},${height}`, "about:blank"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const port = await until(
      "Chromium's port",
      async () => (await Deno.readTextFile(`${folder}/DevToolsActivePort`).catch(() => "")).split("\n")[0] || undefined,
    );
    const pages = await until("a page", async () => {
      const response = await fetch(`http://127.0.0.1:${port}/json`).catch(() => undefined);
      const all = response ? await response.json() as { type: string; webSocketDebuggerUrl: string }[] : [];
      return all.find(({ type }) => type === "page");
    });
    const socket = new WebSocket(pages.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const page = new BrowserPage(child, socket, folder);
    try {
      for (const domain of ["Page", "Runtime", "Log"]) await page.send(`${domain}.enable`);
      await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
      await page.send("Page.navigate", { url });
      return page;
    } catch (error) {
      await page[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Sends a command of the protocol. */
  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#last, waiting = Promise.withResolvers<Record<string, unknown>>();
    this.#answers.set(id, waiting);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return waiting.promise;
  }

  /** The value of an expression in the page. */
  async ask(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    }) as { result: { value: unknown }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? "exception in the page");
    return result.value;
  }

  /** Waits until an expression is true. */
  async see(expression: string, seconds = 30): Promise<void> {
    await until(expression, async () => await this.ask(expression).catch(() => false) || undefined, seconds);
  }

  /** Presses a key for a while. */
  async press(code: string, milliseconds = 0): Promise<void> {
    const key = code.replace(/^Key/, "").toLowerCase();
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", code, key });
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", code, key });
  }

  /** Writes a picture of the page. */
  async picture(path: string): Promise<void> {
    const { data } = await this.send("Page.captureScreenshot") as { data: string };
    await Deno.writeFile(path, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
  }

  /** Ends Chromium. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.send("Browser.close").catch(() => {});
    await this.#child.status;
    if (this.#socket.readyState !== WebSocket.CLOSED) {
      await new Promise((resolve) => {
        this.#socket.onclose = resolve;
        this.#socket.close();
      });
    }
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
  }
}

/** Asks until there is an answer. */
async function until<T>(what: string, ask: () => Promise<T | undefined>, seconds = 30): Promise<T> {
  for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  throw new Error(`waited ${seconds} s in vain for ${what}`);
}
