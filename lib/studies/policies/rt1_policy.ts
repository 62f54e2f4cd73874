/**
 * RT-1's released policies: TensorFlow SavedModels, run by the addon of tfjs-node (`deno task install-tfjs-node`).
 *
 * What a step is, as in the paper's evaluation: the frame is resized with padding to the model's size (256 × 320), the
 * instruction goes in as 512 numbers, the model's state is kept from step to step for each episode, its parts of the action
 * are put together in RT-1's order, and gripper commands below 0.01 are set to 0. Episodes are run one after the other, as
 * the released models were exported for a batch of one. The policies draw nothing at random: seeds change nothing.
 *
 * The released weights were not at hand when this was written: what is assumed of them (`rt1_signature.ts`) was checked
 * against TF-Agents' `PolicySaver` and the `policy_specs.pbtxt` published with RT-1, whose state is action_tokens, image,
 * step_num and t, and on a small SavedModel with that signature. State stays in TensorFlow's memory between steps.
 */

import { UserError } from "../../base/user_error.ts";
import { KeptValue, SavedModel, type SavedValue } from "../../tensor/tfjs/saved_model.ts";
import type { SavedTensor } from "../../tensor/tfjs/saved_model_file.ts";
import { RT1_ACTION, RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import { type InstructionEmbeddings, openEmbeddings } from "./instruction_embeddings.ts";
import {
  checkFrames,
  checkReset,
  type Policy,
  type PolicyFrame,
  setWithinRange,
} from "../../worlds/robot_video/policy.ts";
import { resizeWithPad } from "./resize_with_pad.ts";
import { bindRt1, RT1_OUTPUTS, type Rt1Binding } from "./rt1_signature.ts";

/** Gripper commands nearer to 0 than this are taken for 0: the Google robot's own setting. */
const GRIPPER_DEAD_ZONE = 1e-2;

interface Episode {
  embedding: SavedValue;
  state: Record<string, SavedValue | KeptValue>;
}

/** A policy with RT-1's signature. */
export class Rt1Policy implements Policy {
  /** "rt1:" and the folder. */
  readonly name: string;
  /** 13. */
  readonly actionWidth: number = RT1_ACTION_WIDTH;
  readonly #model: SavedModel;
  readonly #binding: Rt1Binding;
  readonly #embeddings: InstructionEmbeddings;
  #episodes: Episode[] = [];

  /**
   * A policy of a loaded model; both arguments are disposed of with it.
   *
   * @throws {UserError} if the model has another signature.
   */
  constructor(model: SavedModel, embeddings: InstructionEmbeddings) {
    this.name = `rt1:${model.folder}`;
    this.#model = model;
    this.#binding = bindRt1(model);
    this.#embeddings = embeddings;
  }

  /** Begins B episodes with the model's initial state. */
  reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    return settled(() => {
      checkReset(instructions, seeds);
      this.#forget();
      this.#episodes = instructions.map((instruction) => {
        const data = this.#embeddings.embed(instruction) as Float32Array<ArrayBuffer>;
        return { embedding: { shape: [1, data.length], data }, state: this.#initialState() };
      });
    });
  }

  /** One step of the model for each frame. */
  act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]> {
    return settled(() => {
      checkFrames(frames, this.#episodes.length);
      return frames.map((frame, i) => frame === null ? null : this.#step(this.#episodes[i], frame));
    });
  }

  /** Frees model and encoder. */
  dispose(): void {
    this.#forget();
    this.#model.dispose();
    this.#embeddings.dispose();
  }

  #forget(): void {
    for (const { state } of this.#episodes) freeState(state);
    this.#episodes = [];
  }

  #initialState(): Episode["state"] {
    const { state } = this.#binding;
    const signature = this.#model.signatures.get_initial_state;
    if (signature === undefined) {
      return Object.fromEntries(state.map(({ key, tensor }) => [key, filled(tensor, 0)]));
    }
    // Models for any batch size ask for it; they have one input, a whole number.
    const inputs = Object.fromEntries(
      Object.entries(signature.inputs).map(([name, tensor]) => [name, filled(tensor, 1)]),
    );
    const names = state.map(({ key }) => {
      const name = [key, `state/${key}`, `policy_state/${key}`].find((one) => signature.outputs[one] !== undefined);
      if (name !== undefined) return name;
      throw new UserError(
        `${this.#model.folder}: get_initial_state gives no ${key}: it gives ${
          Object.keys(signature.outputs).join(", ")
        }`,
      );
    });
    const { kept } = this.#model.runKeeping("get_initial_state", inputs, [], names);
    return Object.fromEntries(state.map(({ key }, i) => [key, kept[names[i]]]));
  }

  #step(episode: Episode, frame: PolicyFrame): Float32Array {
    const { signature, image, imageSize: [height, width], embedding, constants, outputs, state } = this.#binding;
    const inputs: Record<string, SavedValue | KeptValue> = {
      [image]: { shape: [1, height, width, 3], data: resizeWithPad(frame, height, width) },
      [embedding]: episode.embedding,
    };
    for (const { input, tensor, value } of constants) inputs[input] = filled(tensor, value);
    for (const { key, input } of state) inputs[input] = episode.state[key];
    const { values, kept } = this.#model.runKeeping(
      signature,
      inputs,
      outputs.filter((name) => name !== undefined),
      state.map(({ output }) => output),
    );
    freeState(episode.state);
    episode.state = Object.fromEntries(state.map(({ key, output }) => [key, kept[output]]));
    return this.#action(outputs.map((name) => name === undefined ? null : values[name]));
  }

  /** The parts as one action; numbers outside of RT-1's ranges are moved into them, as its own tokens would be. */
  #action(parts: readonly (SavedValue | null)[]): Float32Array {
    const action = new Float32Array(RT1_ACTION_WIDTH);
    let at = 0;
    parts.forEach((part, i) => {
      const { name, width } = RT1_OUTPUTS[i];
      if (part !== null) {
        if (part.data.length !== width) {
          throw new UserError(`${this.name}: ${name} must have ${width} numbers: received [${part.shape.join(", ")}]`);
        }
        for (let d = 0; d < width; d++) {
          const value = Number(part.data[d]);
          if (!Number.isFinite(value)) {
            throw new UserError(`${this.name}: ${RT1_ACTION_RANGES.names![at + d]} must be finite: received ${value}`);
          }
          setWithinRange(action, at + d, value);
        }
      }
      at += width;
    });
    const gripper = RT1_ACTION.gripperClosedness;
    if (Math.abs(action[gripper]) < GRIPPER_DEAD_ZONE) action[gripper] = 0;
    return action;
  }
}

/**
 * Opens a policy's folder.
 *
 * @param embeddings a file of instruction embeddings or a sentence encoder's folder (`instruction_embeddings.ts`); without
 *   it `instruction_embeddings.npz` or `.json` in the policy's folder.
 * @throws {UserError} if tfjs-node is not installed, or a folder or file holds something else.
 */
export async function openRt1Policy(folder: string, options: { embeddings?: string } = {}): Promise<Rt1Policy> {
  const model = SavedModel.open(folder);
  try {
    bindRt1(model);
    return new Rt1Policy(model, await openEmbeddings(options.embeddings ?? await ownEmbeddings(folder)));
  } catch (error) {
    model.dispose();
    throw error;
  }
}

async function ownEmbeddings(folder: string): Promise<string> {
  for (const ending of ["npz", "json"]) {
    const path = `${folder}/instruction_embeddings.${ending}`;
    if ((await Deno.stat(path).catch(() => null))?.isFile) return path;
  }
  throw new UserError(
    `${folder} has no instruction_embeddings.npz or .json: RT-1 needs the instructions' 512 numbers; give a file of them or ` +
      "the folder of the Universal Sentence Encoder's SavedModel",
  );
}

/** A value of a tensor's shape, unknown extents being 1, with the same number everywhere. */
function filled({ dtype, shape }: SavedTensor, value: number): SavedValue {
  const extents = (shape ?? []).map((extent) => extent < 0 ? 1 : extent);
  const count = extents.reduce((product, extent) => product * extent, 1);
  if (dtype === "string") return { shape: extents, data: Array.from({ length: count }, () => "") };
  const array = dtype === "float32" ? Float32Array : dtype === "uint8" || dtype === "bool" ? Uint8Array : Int32Array;
  return { shape: extents, data: new array(count).fill(value) };
}

function freeState(state: Episode["state"]): void {
  for (const value of Object.values(state)) {
    if (value instanceof KeptValue) value.dispose();
  }
}

/** Runs something at once and gives its result, or what it throws, as a promise. */
function settled<T>(run: () => T): Promise<T> {
  return new Promise((resolve) => resolve(run()));
}
