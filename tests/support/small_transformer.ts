/**
 * What the transformer's tests share: tiny models, tokens, and gradients as host numbers.
 */
import { fileURLToPath } from "node:url";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { keep, tidy } from "../../lib/tensor/scope.ts";
import { type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import type { ReadData } from "../../lib/tensor/dtype.ts";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { transformerConfig, type TransformerOptions } from "../../lib/models/transformer_config.ts";

/** Folder of a fixture model made by `fixtures/make_tiny_transformers.py`. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../models/fixtures/${name}`, import.meta.url));
}

/** A model of two blocks with grouped heads and weights large enough that attention matters. */
export function smallModel(
  engine: Engine,
  options: Partial<TransformerOptions> = {},
  settings: { seed?: number; computeType?: "bfloat16" } = {},
): CausalTransformer {
  const config = transformerConfig({
    vocabularySize: 37,
    hiddenSize: 32,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    feedForwardSize: 48,
    maxPositions: 64,
    initializerRange: 0.2,
    ...options,
  });
  return CausalTransformer.initialize(engine, config, { seed: 5, ...settings });
}

/** The same model with float64 parameters. */
export function inFloat64(model: CausalTransformer): CausalTransformer {
  const parameters = new Map([...model.parameters].map(([name, each]) => [name, keep(each.cast("float64"))]));
  return new CausalTransformer(model.engine, model.config, parameters);
}

/** Random tokens [rows, length]. */
export function randomTokens(engine: Engine, rows: number, length: number, vocabulary: number, seed = 1): Tensor {
  const random = new Philox(seed, rows, length);
  const ids = Int32Array.from({ length: rows * length }, () => random.integer(0, vocabulary));
  return tensor(engine, ids, [rows, length]);
}

/** Reads a tensor and frees it. */
export async function take(x: Tensor): Promise<ReadData> {
  const data = await x.data();
  x.dispose();
  return data;
}

/** Value and gradients by every parameter of a loss of the model. */
export async function gradientsOf(
  model: CausalTransformer,
  loss: () => Tensor,
): Promise<{ value: number; gradients: Map<string, ReadData> }> {
  const names = [...model.parameters.keys()];
  const { value, gradients } = tidy(() => valueAndGrad(loss, [...model.parameters.values()]));
  const read = new Map<string, ReadData>();
  for (let i = 0; i < names.length; i++) read.set(names[i], await take(gradients[i]));
  return { value: Number((await take(value))[0]), gradients: read };
}

/** A Python with these modules, if there is one: beside LIBTORCH, or on the path. */
export async function findPythonWith(...modules: string[]): Promise<string | undefined> {
  const library = Deno.env.get("LIBTORCH");
  const candidates = [library?.replace(/\/lib\/python.*$/, "/bin/python"), "python3"];
  const program = "import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in sys.argv[1:]))";
  for (const candidate of candidates) {
    if (!candidate) continue;
    try {
      const { success } = await new Deno.Command(candidate, {
        args: ["-c", program, ...modules],
        stdout: "null",
        stderr: "null",
      }).output();
      if (success) return candidate;
    } catch {
      // No such program: try the next.
    }
  }
  return undefined;
}
