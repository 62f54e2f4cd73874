/**
 * First values of a causal transformer's parameters: normal numbers of the configuration's range, ones in norms, zeros in biases;
 * the same on every engine. A parameter's numbers depend on its place among all and on the seed, on nothing else.
 */
import { STREAM } from "../base/streams.ts";
import { constantInitial, normalInitial } from "../nn/initializers.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { type TransformerConfig, transformerParameterShapes } from "./transformer_config.ts";

/**
 * First values, kept and float32.
 *
 * @param seed Of the run.
 * @param wanted Which parameters; all when left out.
 */
export function initialParameters(
  engine: Engine,
  config: TransformerConfig,
  seed: number,
  wanted: (name: string) => boolean = () => true,
): Parameters {
  const parameters: Parameters = new Map();
  let index = 0;
  for (const [name, shape] of transformerParameterShapes(config)) {
    const random = new Philox(seed, STREAM.transformerWeights, index++);
    if (!wanted(name)) continue;
    parameters.set(
      name,
      name.endsWith("norm.weight")
        ? constantInitial(engine, shape, 1)
        : name.endsWith(".bias")
        ? constantInitial(engine, shape, 0)
        : normalInitial(engine, shape, random, config.initializerRange),
    );
  }
  return parameters;
}
