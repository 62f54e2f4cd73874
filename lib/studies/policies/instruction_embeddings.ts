/**
 * Instructions as numbers, the form in which RT-1 takes them: 512 of the Universal Sentence Encoder Large v5. They come from
 * a file that was made elsewhere, or from the encoder's own SavedModel.
 *
 *     .json   {"open the drawer": [512 numbers], …}
 *     .npz    an array [512] or [1, 512] for each instruction, under the instruction as its name:
 *             numpy.savez(path, **{text: encoder([text])[0].numpy() for text in texts})
 *     folder  a SavedModel: texts [N] in, float32 [N, 512] out
 */

import { readNpz } from "../../io/npz.ts";
import { readTextFile } from "../../io/plain_file.ts";
import { UserError } from "../../base/user_error.ts";
import { SavedModel } from "../../tensor/tfjs/saved_model.ts";

/** Numbers for instructions. */
export interface InstructionEmbeddings {
  /**
   * The numbers of one instruction.
   *
   * @throws {UserError} if there are none for it.
   */
  embed(instruction: string): Float32Array;
  /** Frees the encoder, where there is one. */
  dispose(): void;
}

/** How many numbers the Universal Sentence Encoder gives. */
export const EMBEDDING_WIDTH = 512;

/**
 * Opens a file of embeddings, or an encoder.
 *
 * @throws {UserError} if it is missing, damaged, or holds something else.
 */
export async function openEmbeddings(path: string): Promise<InstructionEmbeddings> {
  const kind = await Deno.stat(path).catch(() => null);
  if (kind === null) throw new UserError(`there are no instruction embeddings at ${path}`);
  if (kind.isDirectory) return openEncoder(path);
  const table = new Map<string, Float32Array>();
  if (path.endsWith(".npz")) {
    for (const [text, { data }] of Object.entries(await readNpz(path))) {
      table.set(text, checked(Array.from<number | bigint>(data as Float32Array), text, path));
    }
  } else {
    let json: unknown;
    try {
      json = JSON.parse(await readTextFile(path));
    } catch (error) {
      throw new UserError(`${path} cannot be read as JSON (${(error as Error).message.split("\n")[0]})`);
    }
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new UserError(`${path} must be {"instruction": [${EMBEDDING_WIDTH} numbers], …}`);
    }
    for (const [text, values] of Object.entries(json)) table.set(text, checked(values, text, path));
  }
  return {
    embed(instruction: string): Float32Array {
      const embedding = table.get(instruction);
      if (embedding !== undefined) return embedding;
      const there = [...table.keys()].slice(0, 5).map((text) => JSON.stringify(text)).join(", ");
      throw new UserError(
        `${path} has no embedding of ${JSON.stringify(instruction)}: it has ${table.size} (${there}${
          table.size > 5 ? ", …" : ""
        })`,
      );
    },
    dispose() {},
  };
}

function openEncoder(folder: string): InstructionEmbeddings {
  const model = SavedModel.open(folder);
  const signature = model.signatures.serving_default;
  const inputs = Object.entries(signature?.inputs ?? {}), outputs = Object.entries(signature?.outputs ?? {});
  const output = outputs.find(([, { dtype, shape }]) => dtype === "float32" && shape?.at(-1) === EMBEDDING_WIDTH) ??
    (outputs.length === 1 && outputs[0][1].shape === null ? outputs[0] : undefined);
  if (inputs.length !== 1 || inputs[0][1].dtype !== "string" || output === undefined) {
    model.dispose();
    throw new UserError(
      `${folder} is no sentence encoder: serving_default must take one text and give float32 [N, ${EMBEDDING_WIDTH}]; it ` +
        `takes ${inputs.map(([name, { dtype }]) => `${name} (${dtype})`).join(", ") || "nothing"} and gives ${
          outputs.map(([name, { dtype, shape }]) => `${name} (${dtype} [${shape}])`).join(", ") || "nothing"
        }`,
    );
  }
  const [input] = inputs[0], [name] = output;
  const known = new Map<string, Float32Array>();
  return {
    embed(instruction: string): Float32Array {
      let embedding = known.get(instruction);
      if (embedding === undefined) {
        const answer = model.run("serving_default", { [input]: { shape: [1], data: [instruction] } }, [name])[name];
        embedding = checked([...answer.data as Float32Array], instruction, folder);
        known.set(instruction, embedding);
      }
      return embedding;
    },
    dispose: () => model.dispose(),
  };
}

function checked(values: unknown, text: string, path: string): Float32Array {
  if (
    !Array.isArray(values) || values.length !== EMBEDDING_WIDTH ||
    !values.every((value) => typeof value === "number" && Number.isFinite(value))
  ) {
    const received = Array.isArray(values) ? `${values.length} values` : typeof values;
    throw new UserError(
      `${path}: the embedding of ${
        JSON.stringify(text)
      } must be ${EMBEDDING_WIDTH} finite numbers: received ${received}`,
    );
  }
  return Float32Array.from(values);
}
