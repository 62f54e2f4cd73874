/**
 * The server of the play page: the page itself, and a WebSocket over which each player drives a game of their own. Games share the
 * model's weights; since an engine computes one thing at a time, steps of all players take turns.
 */
import { Buffer } from "node:buffer";
import { PlayGame, type Playground, type PlayView } from "./game.ts";
import {
  type LocalServer,
  type LocalServerOptions,
  pageResponse,
  serveLocally,
  styleResponse,
  textResponse,
} from "../serving/local_server.ts";
import { parseRequest, type PlayRequest } from "./messages.ts";
import page from "./play_page.html" with { type: "text" };

/** Options of {@linkcode servePlay}. */
export interface PlayServerOptions extends LocalServerOptions {
  /** What is played. */
  playground: Playground;
  /** Players at one time; each holds a cache of the model. Default 4. */
  maxPlayers?: number;
  /** Told of defects: what went wrong that is not a player's fault. */
  onDefect?: (error: unknown) => void;
}

/** Requests of one player that may wait: the page sends one at a time. */
const MOST_WAITING = 16;

/** Starts the server. @throws {UserError} When the port cannot be had. */
export function servePlay(options: PlayServerOptions): LocalServer {
  const { playground, maxPlayers = 4, signal } = options;
  const players = new Set<WebSocket>();
  let turn: Promise<unknown> = Promise.resolve();
  /** Does some work when all that was asked for before is done. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const own = turn.then(work);
    turn = own.catch(() => {});
    return own;
  };
  signal?.addEventListener("abort", () => players.forEach((socket) => socket.close(1001, "the server has ended")));

  return serveLocally(options, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return pageResponse(page);
    if (pathname === "/page.css") return styleResponse();
    if (pathname !== "/play") return textResponse(404, "there is only the page /");
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return textResponse(426, "this address is for the page's own connection");
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    if (players.size >= maxPlayers) {
      socket.onopen = () => {
        say(socket, {
          type: "error",
          message: `${maxPlayers} players are here already: close one of their pages first`,
        });
        socket.close(1013, "full");
      };
      return response;
    }
    players.add(socket);
    new Player(socket, playground, inTurn, options.onDefect ?? (() => {}), () => players.delete(socket));
    return response;
  });
}

/** One connection. */
class Player {
  readonly #socket: WebSocket;
  readonly #ground: Playground;
  readonly #inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly #onDefect: (error: unknown) => void;
  #game: PlayGame | undefined;
  #waiting = 0;

  constructor(
    socket: WebSocket,
    ground: Playground,
    inTurn: <T>(work: () => Promise<T>) => Promise<T>,
    onDefect: (error: unknown) => void,
    onEnd: () => void,
  ) {
    this.#socket = socket;
    this.#ground = ground;
    this.#inTurn = inTurn;
    this.#onDefect = onDefect;
    socket.onopen = () => say(socket, welcome(ground));
    socket.onmessage = ({ data }) => void this.#hear(data);
    socket.onerror = () => {};
    socket.onclose = () => {
      onEnd();
      // A step that is on its way still needs the game.
      void inTurn(() => {
        this.#game?.[Symbol.dispose]();
        this.#game = undefined;
        return Promise.resolve();
      });
    };
  }

  async #hear(data: unknown): Promise<void> {
    if (this.#waiting >= MOST_WAITING) {
      return say(this.#socket, { type: "error", message: "too many requests at once: wait for the answers" });
    }
    this.#waiting++;
    try {
      const request = parseRequest(data);
      const answer = await this.#inTurn(() => this.#answer(request));
      if (answer) say(this.#socket, answer);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!(error instanceof RangeError)) this.#onDefect(error);
      say(this.#socket, { type: "error", message });
    } finally {
      this.#waiting--;
    }
  }

  async #answer(request: PlayRequest): Promise<object | undefined> {
    // Nobody waits for the answer any more.
    if (this.#socket.readyState !== WebSocket.OPEN) return undefined;
    const game = this.#game ??= await PlayGame.open(this.#ground);
    const began = performance.now();
    if (request.type === "save") {
      const { name, mediaType, bytes } = await game.save(request.format, request.framesPerSecond);
      return { type: "file", name, mediaType, data: base64(bytes) };
    }
    const view = request.type === "reset"
      ? await game.reset(request.start, request.seed)
      : await game.step(request.action);
    return viewMessage(view, performance.now() - began);
  }
}

function welcome(ground: Playground): object {
  const { title, facts, modelName, height, width, controls, starts } = ground;
  return { type: "welcome", title, facts, modelName, height, width, controls, starts };
}

function viewMessage({ frames, ...view }: PlayView, milliseconds: number): object {
  const encoded = Object.fromEntries(Object.entries(frames).map(([side, pixels]) => [side, base64(pixels)]));
  return { type: "view", ...view, frames: encoded, milliseconds };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function say(socket: WebSocket, message: object): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}
