/** What a trained model's checkpoint holds: its parameters and its optimizer's moments. */
import type { AdamW, OptimizerState } from "../nn/optimizer.ts";
import { loadInto, type Parameters, toHost } from "../nn/parameters.ts";
import type { Checkpoint, CheckpointFiles } from "./checkpoint.ts";

/** Parameters and moments as files of a checkpoint. */
export async function saveModelState(parameters: Parameters, optimizer: AdamW): Promise<CheckpointFiles> {
  const { stepCount, tensors } = await optimizer.stateToHost();
  return {
    "model.safetensors": await toHost(parameters),
    "optimizer.safetensors": tensors,
    "optimizer.json": { stepCount },
  };
}

/**
 * Puts back what `saveModelState` gave.
 *
 * @throws {MissingFileError} When the checkpoint lacks a file; nothing has been changed then.
 * @throws {UserError} When the checkpoint is of a model of another shape.
 */
export async function loadModelState(checkpoint: Checkpoint, parameters: Parameters, optimizer?: AdamW): Promise<void> {
  checkpoint.require("model.safetensors", ...optimizer ? ["optimizer.json", "optimizer.safetensors"] : []);
  await loadInto(parameters, await checkpoint.tensors("model.safetensors"), { source: checkpoint.folder });
  if (!optimizer) return;
  const { stepCount } = await checkpoint.json<Pick<OptimizerState, "stepCount">>("optimizer.json");
  await optimizer.loadState(
    { stepCount, tensors: await checkpoint.tensors("optimizer.safetensors") },
    checkpoint.folder,
  );
}
