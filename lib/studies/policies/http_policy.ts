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
 * What goes wrong on the way is tried again as `serving/json_client.ts` says; all else that is wrong ends the episode with an error
 * that names the address.
 */

import { JsonClient, type JsonClientOptions } from "../../serving/json_client.ts";
import { UserError } from "../../base/user_error.ts";
import { RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import {
  checkedAction,
  checkFrames,
  checkReset,
  type Policy,
  type PolicyFrame,
} from "../../worlds/robot_video/policy.ts";

/** Seconds that a robot's answer may take, where nothing else is said. */
const TIMEOUT_SECONDS = 60;

/** A policy that answers over HTTP. */
export class HttpPolicy implements Policy {
  /** The address. */
  readonly name: string;
  /** 13. */
  readonly actionWidth: number = RT1_ACTION_WIDTH;
  readonly #server: JsonClient;
  #session = "";
  #episodes = 0;
  #step = 0;

  /**
   * A policy at an address; nothing is asked yet.
   *
   * @param options `timeoutSeconds` is 60 when left out.
   * @throws {UserError} if the address is none.
   * @throws {RangeError} if an option is out of its range.
   */
  constructor(url: string, options: JsonClientOptions = {}) {
    this.#server = new JsonClient(url, { timeoutSeconds: TIMEOUT_SECONDS, ...options });
    this.name = this.#server.base;
  }

  /** Tells the server what to do. */
  async reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    checkReset(instructions, seeds);
    this.#session = crypto.randomUUID();
    this.#episodes = 0;
    await this.#server.json("/reset", { body: { session: this.#session, instructions, seeds } });
    this.#episodes = instructions.length;
    this.#step = 0;
  }

  /** Sends the frames and returns what the server answers, checked. */
  async act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]> {
    checkFrames(frames, this.#episodes);
    if (frames.every((frame) => frame === null)) return frames.map(() => null);
    const body = {
      session: this.#session,
      step: this.#step,
      frames: frames.map((frame) =>
        frame === null
          ? null
          : { height: frame.height, width: frame.width, pixels: new Uint8Array(frame.pixels).toBase64() }
      ),
    };
    const answer = await this.#server.json("/act", { body });
    this.#step++;
    const source = `policy ${this.name}/act`;
    const actions = (answer as { actions?: unknown } | null)?.actions;
    if (!Array.isArray(actions)) {
      throw new UserError(`${source} must answer {"actions": […]}: received no list of actions`);
    }
    if (actions.length !== frames.length) {
      throw new UserError(`${source} must answer ${frames.length} actions, one a frame: received ${actions.length}`);
    }
    return frames.map((frame, i) => frame === null ? null : checkedAction(actions[i], `${source}, action ${i}`));
  }
}
