/**
 * A policy behind HTTP: any language and any machine. The protocol is two requests with JSON bodies.
 *
 *     POST {url}/reset   {"session": "…", "instructions": ["open the drawer", …], "seeds": [7, …]}
 *       → 200 {} (anything that is JSON)
 *     POST {url}/act     {"session": "…", "step": 0,
 *                         "frames": [{"height": 256, "width": 320, "pixels": "base64 of H·W·3 bytes, RGB"} or null, …]}
 *       → 200 {"actions": [[13 numbers] or null, …]}
 *
 * There is one frame and one action for each instruction of the session's reset, in its order; null is an episode that has
 * ended. `step` counts from 0; a request that is sent again, after a failure, has the same `step`, so that a server with a
 * memory can tell. In Python a frame is `np.frombuffer(base64.b64decode(f["pixels"]), np.uint8).reshape(f["height"],
 * f["width"], 3)`. The 13 numbers are RT-1's (`RT1_ACTION_RANGES` has names and ranges): base_displacement_vector (2),
 * base_displacement_vertical_rotation, gripper_closedness_action, rotation_delta (3), terminate_episode (3: [1, 0, 0] ends
 * the episode), world_vector (3).
 *
 * Answers of 429 and 5xx, late answers and broken connections are tried again, waiting longer each time (or as
 * `Retry-After` says); all else that is wrong ends the episode with an error that names the address.
 */

import { UserError } from "../../../files/user_error.ts";
import { RT1_ACTION_WIDTH } from "../actions.ts";
import { checkedAction, checkFrames, checkReset, type Policy, type PolicyFrame } from "./policy.ts";

/** How patient an {@linkcode HttpPolicy} is. */
export interface HttpPolicyOptions {
  /** An answer must come within so many milliseconds. Default 60,000. */
  timeout?: number;
  /** How often a request is tried again. Default 4. */
  retries?: number;
  /** The wait before the first new try, in milliseconds; doubled each time, at most 30 s. Default 500. */
  backoff?: number;
  /** Sent with each request, such as an authorization. */
  headers?: Record<string, string>;
  /** Told before each wait: what went wrong, and how long the wait is. */
  onRetry?: (problem: string, milliseconds: number) => void;
}

const MAX_WAIT = 30_000;
/** A server that sends more than this is not answering the question. */
const MAX_ANSWER = 64 << 20;

/** A failure after which the same request may succeed. */
class Temporary extends Error {
  /** How long the server asks to wait, in milliseconds. */
  readonly wait: number | null;

  constructor(message: string, wait: number | null = null) {
    super(message);
    this.wait = wait;
  }
}

/** A policy that answers over HTTP. */
export class HttpPolicy implements Policy {
  /** The address. */
  readonly name: string;
  /** 13. */
  readonly actionWidth: number = RT1_ACTION_WIDTH;
  readonly #options: Required<Omit<HttpPolicyOptions, "onRetry">> & Pick<HttpPolicyOptions, "onRetry">;
  #session = "";
  #episodes = 0;
  #step = 0;

  /**
   * A policy at an address; nothing is asked yet.
   *
   * @throws {UserError} if the address is none.
   * @throws {RangeError} if an option is out of its range.
   */
  constructor(url: string, options: HttpPolicyOptions = {}) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new UserError(`a policy's address must start with http:// or https://: received ${JSON.stringify(url)}`);
    }
    this.name = url.replace(/\/+$/, "");
    this.#options = { timeout: 60_000, retries: 4, backoff: 500, headers: {}, ...options };
    const { timeout, retries, backoff } = this.#options;
    if (!(timeout > 0)) throw new RangeError(`timeout must be above 0 ms: received ${timeout}`);
    if (!(Number.isInteger(retries) && retries >= 0)) {
      throw new RangeError(`retries must be a whole number of at least 0: received ${retries}`);
    }
    if (!(backoff >= 0)) throw new RangeError(`backoff must be at least 0 ms: received ${backoff}`);
  }

  /** Tells the server what to do. */
  async reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    checkReset(instructions, seeds);
    this.#session = crypto.randomUUID();
    this.#episodes = 0;
    await this.#post("reset", { session: this.#session, instructions, seeds });
    this.#episodes = instructions.length;
    this.#step = 0;
  }

  /** Sends the frames and returns what the server answers, checked. */
  async act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]> {
    checkFrames(frames, this.#episodes);
    if (frames.every((frame) => frame === null)) return frames.map(() => null);
    const answer = await this.#post("act", {
      session: this.#session,
      step: this.#step,
      frames: frames.map((frame) =>
        frame === null
          ? null
          : { height: frame.height, width: frame.width, pixels: new Uint8Array(frame.pixels).toBase64() }
      ),
    });
    this.#step++;
    const source = `policy ${this.name}/act`;
    const actions = (answer as { actions?: unknown } | null)?.actions;
    if (!Array.isArray(actions)) {
      throw new UserError(`${source} must answer {"actions": […]}: received ${shortened(JSON.stringify(answer))}`);
    }
    if (actions.length !== frames.length) {
      throw new UserError(`${source} must answer ${frames.length} actions, one a frame: received ${actions.length}`);
    }
    return frames.map((frame, i) => frame === null ? null : checkedAction(actions[i], `${source}, action ${i}`));
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const url = `${this.name}/${path}`, text = JSON.stringify(body);
    const { retries, backoff, onRetry } = this.#options;
    for (let attempt = 0;; attempt++) {
      try {
        return await this.#once(url, text);
      } catch (error) {
        if (!(error instanceof Temporary)) throw error;
        if (attempt === retries) {
          throw new UserError(
            `policy ${url} ${error.message}, ${attempt + 1} time${attempt === 0 ? "" : "s"}: is it running?`,
          );
        }
        const wait = Math.min(error.wait ?? backoff * 2 ** attempt, MAX_WAIT);
        onRetry?.(`policy ${url} ${error.message}`, wait);
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #once(url: string, body: string): Promise<unknown> {
    const { timeout, headers } = this.#options;
    const signal = AbortSignal.timeout(timeout);
    let status: number, text: string;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
        signal,
      });
      status = response.status;
      if (status === 429 || status >= 500) {
        await response.body?.cancel();
        throw new Temporary(`answered ${status}`, retryAfter(response));
      }
      text = await limitedText(response, url);
    } catch (error) {
      if (error instanceof Temporary || error instanceof UserError) throw error;
      if (signal.aborted) throw new Temporary(`did not answer within ${timeout} ms`);
      throw new Temporary(`could not be reached (${shortened((error as Error).message)})`);
    }
    if (status < 200 || status >= 300) throw new UserError(`policy ${url} answered ${status}: ${shortened(text)}`);
    try {
      return JSON.parse(text);
    } catch {
      throw new UserError(`policy ${url} must answer JSON: received ${shortened(JSON.stringify(text))}`);
    }
  }
}

/** The body as text; an endless one is cut off with an error. */
async function limitedText(response: Response, url: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > MAX_ANSWER) throw new UserError(`policy ${url} answered more than ${MAX_ANSWER >> 20} MiB`);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}

/** The wait that a server asks for, in milliseconds; null if it says nothing of use. */
function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return seconds >= 0 ? seconds * 1000 : null;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
