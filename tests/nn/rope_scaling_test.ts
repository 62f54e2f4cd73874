import assert from "node:assert/strict";
import { formatTransformerConfig, parseTransformerConfig } from "../../lib/models/transformer_config_json.ts";
import { longestSequence } from "../../lib/models/transformer_config.ts";
import { ropeTables } from "../../lib/nn/rope.ts";
import { ropeFrequencies } from "../../lib/nn/rope_scaling.ts";
import { forEachEngine } from "../support/engines.ts";

interface Case {
  name: string;
  config: Record<string, unknown>;
  frequencies: number[];
  attentionFactor: number;
}

const cases: Case[] = JSON.parse(
  await Deno.readTextFile(new URL("./fixtures/rope_scaling.json", import.meta.url)),
);

for (const { name, config, frequencies, attentionFactor } of cases) {
  Deno.test(`frequencies are Hugging Face's: ${name}`, () => {
    const parsed = parseTransformerConfig(JSON.stringify(config), "config.json");
    const ours = ropeFrequencies(parsed.headSize, parsed.ropeTheta, parsed.ropeScaling);
    assert.equal(ours.frequencies.length, frequencies.length);
    for (const [i, wanted] of frequencies.entries()) {
      // Four units in the last place of float32: the ramps subtract near-equal numbers.
      assert.ok(Math.abs(ours.frequencies[i] / wanted - 1) < 5e-7, `${i}: ${ours.frequencies[i]} for ${wanted}`);
    }
    assert.ok(Math.abs(ours.attentionFactor - attentionFactor) < 1e-12, `${ours.attentionFactor}`);
    const again = parseTransformerConfig(formatTransformerConfig(parsed), "again");
    assert.deepEqual(again, parsed);
  });
}

Deno.test("the stretch counts for the longest sequence", () => {
  const longest = (name: string) => {
    const { config } = cases.find((each) => each.name.startsWith(name))!;
    return longestSequence(parseTransformerConfig(JSON.stringify(config), "config.json"));
  };
  assert.deepEqual(["none", "linear", "dynamic", "llama3", "yarn"].map(longest), [4096, 12288, 4096, 131072, 131072]);
});

forEachEngine("tables of one size and another scaling are other tables", async (engine) => {
  const plain = ropeTables(engine, 8, 10_000, 4);
  const yarn = ropeTables(engine, 8, 10_000, 4, { type: "yarn", factor: 4, originalMaxPositions: 8 });
  assert.equal(ropeTables(engine, 8, 10_000, 4), plain);
  const [a, b] = [await plain.cosines.data(), await yarn.cosines.data()];
  assert.equal(a[0], 1);
  assert.ok(Math.abs(Number(b[0]) - (0.1 * Math.log(4) + 1)) < 1e-6);
});
