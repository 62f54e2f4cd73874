/**
 * One player's game: the same actions in a model and, where there is one, in the true simulator beside it, and a recording of
 * what was seen. It knows nothing of sockets or pages; several players have a game each.
 */
import { writeNpz } from "../io/npz.ts";
import { frameClip, type ShownClip, sideBySide } from "../report/frames.ts";
import { encodeGif } from "../report/gif.ts";
import type { TableTopEnv, TableTopStart } from "../gyms/table_top/table_top_env.ts";
import type { WorldModelEnv } from "../worlds/robot_video/world_model_env.ts";
import type { Controls } from "./controls.ts";

/** Where a game starts. */
export interface PlayStart {
  /** The first frame, [H, W, 3]. */
  frame: Uint8Array;
  /** The task's text, where there is one. */
  instruction?: string;
  /** The same in the simulator. */
  scene?: TableTopStart;
}

/** What can be played. */
export interface Playground {
  /** Heading of the page. */
  title: string;
  /** What is behind it: preset, engine, … A line each. */
  facts: string[];
  /** What the model's frames are called; null: there is only the simulator. */
  modelName: string | null;
  /** H, in pixels. */
  height: number;
  /** W, in pixels. */
  width: number;
  /** Keys and buttons. */
  controls: Controls;
  /** How many starts there are; null: as many as one likes. */
  starts: number | null;
  /** A start. */
  start(number: number): Promise<PlayStart>;
  /** Environments of a game's own. */
  open(): Promise<{ model?: WorldModelEnv; simulator?: TableTopEnv } & Disposable>;
}

/** One of the two views. */
export type Side = "model" | "simulator";

/** What is seen after a reset or a step. */
export interface PlayView {
  /** Number of the start. */
  start: number;
  /** Of the model's random numbers. */
  seed: number;
  /** Actions since then. */
  step: number;
  /** RGB bytes [H, W, 3] of each view there is. */
  frames: Partial<Record<Side, Uint8Array>>;
  /** The last action; null after a reset. */
  action: number[] | null;
  instruction: string | null;
  /** Whether the simulator's goal is reached; null where there is none. */
  success: boolean | null;
  /** Whether the model dropped its history before this frame. */
  windowSlid: boolean;
  /** Whether the action ended the episode. */
  ended: boolean;
  /** Frames recorded, and how many can be. */
  recorded: { frames: number; most: number };
}

/** A file to be given to the player. */
export interface PlayFile {
  /** Without a folder. */
  name: string;
  /** MIME. */
  mediaType: string;
  /** Its content. */
  bytes: Uint8Array;
}

/** Bytes of frames that a recording holds at most, and frames: GIFs of more are too large to be shown to anyone. */
const MOST_BYTES = 128 * 2 ** 20, MOST_FRAMES = 1000;
/** Side of a GIF's view to aim at: small frames are shown with larger pixels. */
const GIF_WIDTH = 256;

export class PlayGame implements Disposable {
  readonly #ground: Playground;
  readonly #envs: Awaited<ReturnType<Playground["open"]>>;
  readonly #most: number;
  #view: Omit<PlayView, "recorded"> | undefined;
  #frames: Partial<Record<Side, Uint8Array>>[] = [];
  #actions: number[][] = [];

  private constructor(ground: Playground, envs: Awaited<ReturnType<Playground["open"]>>) {
    this.#ground = ground;
    this.#envs = envs;
    this.#most = Math.min(MOST_FRAMES, Math.max(2, Math.floor(MOST_BYTES / (ground.height * ground.width * 3))));
  }

  /** A game that has not begun. */
  static async open(ground: Playground): Promise<PlayGame> {
    return new PlayGame(ground, await ground.open());
  }

  /**
   * Begins anew.
   *
   * @param start Number of the start; numbers beyond the last begin again at the first.
   */
  async reset(start: number, seed: number): Promise<PlayView> {
    const number = this.#ground.starts === null ? start : start % this.#ground.starts;
    const { frame, instruction, scene } = await this.#ground.start(number);
    const { model, simulator } = this.#envs;
    this.#view = undefined;
    const imagined = await model?.reset({ frame, instruction, seed });
    const real = scene && await simulator?.reset({ ...scene, instruction });
    const frames: PlayView["frames"] = {};
    if (imagined) frames.model = imagined.observation.pixels;
    if (real) frames.simulator = real.observation.pixels;
    this.#frames = [frames];
    this.#actions = [];
    this.#view = {
      start: number,
      seed,
      step: 0,
      frames,
      action: null,
      instruction: instruction ?? null,
      success: real?.info.success ?? null,
      windowSlid: false,
      ended: false,
    };
    return this.#seen();
  }

  /**
   * One step further.
   *
   * @throws {RangeError} When the action has another width or a value out of its range, before the first reset, or when the
   *   episode has ended: what a player can do wrong.
   */
  async step(action: readonly number[]): Promise<PlayView> {
    const before = this.#view;
    if (!before) throw new RangeError("nothing has begun: reset first");
    if (before.ended) throw new RangeError(`the episode has ended at step ${before.step}: reset first`);
    const { model, simulator } = this.#envs;
    const imagined = await model?.step(action);
    const real = before.frames.simulator && await simulator?.step(action);
    const frames: PlayView["frames"] = {};
    if (imagined) frames.model = imagined.observation.pixels;
    if (real) frames.simulator = real.observation.pixels;
    if (this.#frames.length < this.#most) {
      this.#frames.push(frames);
      this.#actions.push([...action]);
    }
    this.#view = {
      ...before,
      step: before.step + 1,
      frames,
      action: [...action],
      success: real ? real.info.success : null,
      windowSlid: imagined?.info.windowSlid ?? false,
      ended: imagined?.terminated ?? (real ? real.terminated : false),
    };
    return this.#seen();
  }

  /**
   * What was seen since the reset, as a GIF (views side by side) or as an episode: `image` [T, H, W, 3] and `action` [T, A], which
   * `deno task train-video --data` reads; the simulator's frames beside a model's are `simulator`.
   *
   * @param framesPerSecond Of the GIF.
   * @throws {RangeError} Before the first reset.
   */
  async save(format: "gif" | "npz", framesPerSecond: number): Promise<PlayFile> {
    if (!this.#view) throw new RangeError("nothing has begun: reset first");
    const { height, width, controls } = this.#ground, t = this.#frames.length;
    const name = `play-start-${this.#view.start}-${t}-frames.${format}`;
    const sides = Object.keys(this.#frames[0]) as Side[];
    const views: ShownClip[] = sides.map((side) => {
      const all = new Uint8Array(t * height * width * 3);
      this.#frames.forEach((frames, i) => all.set(frames[side]!, i * height * width * 3));
      return frameClip(all, t, height, width);
    });
    if (format === "gif") {
      const { frames, h, w } = sideBySide(views);
      const scale = Math.max(1, Math.round(GIF_WIDTH / width));
      const delayMs = Math.max(20, 1000 / framesPerSecond);
      return { name, mediaType: "image/gif", bytes: encodeGif(frames, t, h, w, { delayMs, scale }) };
    }
    // The action at a frame leads to the next one; nothing is done at the last.
    const actions = [...this.#actions, controls.rest].flat();
    const shape = [t, height, width, 3];
    const path = await Deno.makeTempFile({ suffix: ".npz" });
    try {
      await writeNpz(path, {
        image: { dtype: "uint8", shape, data: views[0].frames },
        action: { dtype: "float32", shape: [t, controls.rest.length], data: Float32Array.from(actions) },
        ...(views.length > 1 ? { simulator: { dtype: "uint8", shape, data: views[1].frames } } : {}),
      });
      return { name, mediaType: "application/octet-stream", bytes: await Deno.readFile(path) };
    } finally {
      await Deno.remove(path);
    }
  }

  /** Gives back what the model holds. */
  [Symbol.dispose](): void {
    this.#envs[Symbol.dispose]();
  }

  #seen(): PlayView {
    return { ...this.#view!, recorded: { frames: this.#frames.length, most: this.#most } };
  }
}
