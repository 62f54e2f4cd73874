/**
 * The memory that gradients of a small model need, with and without checkpointing.
 *
 * As a program it prints what its process needed on LibTorch, in bytes: checkpointed_peak.ts LAYERS true|false
 */
import { hiddenValueAndGrad } from "../../lib/models/checkpointed_gradient.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { openTorchEngine } from "../../lib/tensor/torch/engine.ts";
import { randomTokens, smallModel } from "../support/small_transformer.ts";

/** Bytes that are held at most while gradients are computed, beyond those before. */
export function peak(engine: Engine, layers: number, checkpointing: boolean, ofProcess = false): number {
  const model = smallModel(engine, { layers, hiddenSize: 64, feedForwardSize: 192, maxPositions: 256 });
  model.attachAdapters({ rank: 2, alpha: 2, targets: "all-linear", seed: 1 });
  const tokens = randomTokens(engine, 4, ofProcess ? 256 : 32, 37, 1);
  engine.resetPeak();
  const before = ofProcess ? ofStatus("VmRSS") : engine.memory().bytes;
  const { value, gradients } = hiddenValueAndGrad(
    model,
    () => model.hiddenPass(tokens),
    (hidden) => hidden.square().mean(),
    { checkpointing },
  );
  const used = (ofProcess ? ofStatus("VmHWM") : engine.memory().peakBytes) - before;
  for (const each of [value, ...gradients, tokens, model]) each.dispose();
  return used;
}

/** A size of this process, in bytes. */
function ofStatus(field: "VmRSS" | "VmHWM"): number {
  const line = Deno.readTextFileSync("/proc/self/status").split("\n").find((each) => each.startsWith(`${field}:`))!;
  return Number(line.replace(/\D/g, "")) * 1024;
}

if (import.meta.main) {
  const [layers, checkpointing] = Deno.args;
  console.log(peak(await openTorchEngine({ device: "cpu" }), Number(layers), checkpointing === "true", true));
}
