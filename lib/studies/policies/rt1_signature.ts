/**
 * Which input and output of a SavedModel is what, for policies with RT-1's signature.
 *
 * TF-Agents' `PolicySaver`, which wrote the released policies, names the inputs of the signature `action` by their path in
 * the pair (time step, policy state) and its outputs by their path in the policy step:
 *
 *     0/step_type, 0/reward, 0/discount, 0/observation/image, 0/observation/natural_language_embedding, 0/observation/…,
 *     1/…   →   action/world_vector, action/…, state/…
 *
 * A policy that was exported by hand may leave the prefixes out and call its one signature `serving_default`; a state is
 * then what is both an input and an output. Observations other than image and embedding are fed zeros, as RT-1's published
 * inference code does. The state begins with what `get_initial_state` gives, or zeros where there is no such signature.
 */

import { UserError } from "../../base/user_error.ts";
import type { SavedModel } from "../../tensor/tfjs/saved_model.ts";
import type { SavedTensor } from "../../tensor/tfjs/saved_model_file.ts";
import { EMBEDDING_WIDTH } from "./instruction_embeddings.ts";

/** The parts of RT-1's action in the order of its 13 numbers; what a model does not have is zeros. */
export const RT1_OUTPUTS: readonly { name: string; width: number; optional: boolean }[] = [
  { name: "base_displacement_vector", width: 2, optional: true },
  { name: "base_displacement_vertical_rotation", width: 1, optional: true },
  { name: "gripper_closedness_action", width: 1, optional: false },
  { name: "rotation_delta", width: 3, optional: false },
  { name: "terminate_episode", width: 3, optional: false },
  { name: "world_vector", width: 3, optional: false },
];

/** The names of a model's inputs and outputs by what they are. */
export interface Rt1Binding {
  /** The signature: `action` or `serving_default`. */
  signature: string;
  /** The input that takes the image: uint8 [1, H, W, 3]. */
  image: string;
  /** H and W. */
  imageSize: [height: number, width: number];
  /** The input that takes the instruction: float32 [1, 512]. */
  embedding: string;
  /** Other inputs of the time step, and what they are fed. */
  constants: { input: string; tensor: SavedTensor; value: number }[];
  /** The outputs of {@linkcode RT1_OUTPUTS}; undefined where there is none. */
  outputs: (string | undefined)[];
  /** What is carried from step to step. */
  state: { key: string; input: string; output: string; tensor: SavedTensor }[];
}

/** What a step of an episode is for TF-Agents: neither the first nor the last; reward 0, discount 1. */
const TIME_STEP: Readonly<Record<string, number>> = { step_type: 1, reward: 0, discount: 1 };

/**
 * Finds out what is what.
 *
 * @throws {UserError} if the model has another signature: it says what it has and what is needed.
 */
export function bindRt1(model: SavedModel): Rt1Binding {
  const { folder, signatures } = model;
  const signature = ["action", "serving_default"].find((name) => signatures[name] !== undefined);
  if (signature === undefined) {
    throw new UserError(
      `${folder} is no RT-1 policy: it needs a signature named action or serving_default and has ${
        Object.keys(signatures).join(", ") || "none"
      }`,
    );
  }
  const { inputs, outputs } = signatures[signature];
  const problems: string[] = [];
  const find = (tensors: Record<string, SavedTensor>, leaf: string) =>
    Object.keys(tensors).find((name) => name === leaf || name.endsWith(`/${leaf}`));
  const isObservation = (name: string) => !/^(1|policy_state|state)\//.test(name);
  const observations = Object.fromEntries(Object.entries(inputs).filter(([name]) => isObservation(name)));

  const image = find(observations, "image");
  const [, height, width, channels] = image === undefined ? [] : inputs[image].shape ?? [];
  if (image === undefined) problems.push("an input image");
  else if (inputs[image].dtype !== "uint8" || channels !== 3 || !(height > 0 && width > 0)) {
    problems.push(`${image} as uint8 [1, H, W, 3], not ${described(inputs[image])}`);
  }
  const embedding = find(observations, "natural_language_embedding");
  if (embedding === undefined) problems.push("an input natural_language_embedding");
  else if (inputs[embedding].dtype !== "float32" || inputs[embedding].shape?.at(-1) !== EMBEDDING_WIDTH) {
    problems.push(`${embedding} as float32 [1, ${EMBEDDING_WIDTH}], not ${described(inputs[embedding])}`);
  }
  const actions = Object.fromEntries(Object.entries(outputs).filter(([name]) => !/^(state|policy_state)\//.test(name)));
  const found = RT1_OUTPUTS.map(({ name, width, optional }) => {
    const output = find(actions, name);
    if (output === undefined && !optional) problems.push(`an output ${name}`);
    if (output !== undefined && outputs[output].shape !== null && outputs[output].shape.at(-1) !== width) {
      problems.push(`${output} of width ${width}, not ${described(outputs[output])}`);
    }
    return output;
  });

  const state: Rt1Binding["state"] = [], constants: Rt1Binding["constants"] = [];
  for (const [input, tensor] of Object.entries(inputs)) {
    if (input === image || input === embedding) continue;
    const key = input.replace(/^(1|policy_state|state)\//, "");
    const output = [`state/${key}`, `policy_state/${key}`, `1/${key}`, key].find((name) => outputs[name] !== undefined);
    if (output !== undefined) state.push({ key, input, output, tensor });
    else if (!isObservation(input)) problems.push(`an output state/${key} for the state ${input}`);
    else constants.push({ input, tensor, value: TIME_STEP[input.split("/").at(-1)!] ?? 0 });
  }
  if (problems.length > 0) {
    throw new UserError(
      `${folder} has no RT-1 signature: ${signature} lacks ${problems.join("; ")}. Its inputs are ${
        list(inputs)
      }; its outputs are ${list(outputs)}`,
    );
  }
  return {
    signature,
    image: image!,
    imageSize: [height, width],
    embedding: embedding!,
    constants,
    outputs: found,
    state,
  };
}

function described({ dtype, shape }: SavedTensor): string {
  return `${dtype} ${shape === null ? "of any shape" : `[${shape.join(", ")}]`}`;
}

function list(tensors: Record<string, SavedTensor>): string {
  return Object.entries(tensors).map(([name, tensor]) => `${name} (${described(tensor)})`).join(", ") || "none";
}
