/**
 * The interfaces of configurations are what their schemas say: field by field, with meaning and default.
 * RLVR_UPDATE_FIXTURES=1 writes them anew after a schema has changed.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  languageLikelihoodSchema,
  languageModelSchema,
  languageTokenizerSchema,
} from "../../lib/recipes/language/fields.ts";
import { robotVideoSchema } from "../../lib/recipes/robot_video/config.ts";
import { textGameSchema } from "../../lib/recipes/text_game/config.ts";
import { webPageSchema } from "../../lib/recipes/web_page/config.ts";
import { GRPO_SCHEMA } from "../../lib/train/grpo_options.ts";
import { interfaceFile, type SchemaInterface } from "../support/schema_interface.ts";

const ROOT = join(import.meta.dirname!, "../..");

const FILES: Record<string, { schemas: string; interfaces: SchemaInterface[] }> = {
  "lib/train/grpo_fields_type.ts": {
    schemas: "train/grpo_options.ts",
    interfaces: [{
      name: "GrpoFields",
      doc: "What a configuration of any world says of GRPO, with the defaults of the paper where it names them.",
      schema: GRPO_SCHEMA,
    }],
  },
  "lib/recipes/robot_video/config_type.ts": {
    schemas: "recipes/robot_video/config.ts",
    interfaces: [{
      name: "RobotVideoConfig",
      doc:
        "A checked configuration of robot video, as `robotVideoConfig` makes it. Defaults are those of the preset `demo`.",
      schema: robotVideoSchema,
    }],
  },
  "lib/recipes/language/field_types.ts": {
    schemas: "recipes/language/fields.ts",
    interfaces: [
      {
        name: "LanguageTokenizerFields",
        doc: "The vocabulary that is trained where no language model is given.",
        schema: languageTokenizerSchema("code"),
        saysDefaults: false,
      },
      {
        name: "LanguageModelFields",
        doc: "The language model: a given one, or the sizes of a new one.",
        schema: languageModelSchema({ hiddenSize: 64, heads: 2, intermediateSize: 192 }),
        saysDefaults: false,
      },
      {
        name: "LanguageLikelihoodFields",
        doc: "Likelihood training of a language model.",
        schema: languageLikelihoodSchema({ steps: 3000, decaySteps: 1500, learningRate: 4e-3 }),
        saysDefaults: false,
      },
    ],
  },
  "lib/recipes/text_game/config_type.ts": {
    schemas: "recipes/text_game/config.ts",
    interfaces: [{
      name: "TextGameConfig",
      doc:
        "A checked configuration of text games, as `textGameConfig` makes it. Defaults are those of the preset `demo`.",
      schema: textGameSchema,
    }],
  },
  "lib/recipes/web_page/config_type.ts": {
    schemas: "recipes/web_page/config.ts",
    interfaces: [{
      name: "WebPageConfig",
      doc:
        "A checked configuration of web pages, as `webPageConfig` makes it. Defaults are those of the preset `demo`.",
      schema: webPageSchema,
    }],
  },
};

for (const [path, { schemas, interfaces }] of Object.entries(FILES)) {
  Deno.test(`${path} says what the schemas say`, async () => {
    const head =
      `Written out from the schemas of \`${schemas}\`, where every field is declared: change it there, then run ` +
      `tests/recipes/config_types_test.ts with RLVR_UPDATE_FIXTURES=1.`;
    const text = await interfaceFile(head, interfaces);
    if (Deno.env.get("RLVR_UPDATE_FIXTURES")) await Deno.writeTextFile(join(ROOT, path), text);
    assert.equal(await Deno.readTextFile(join(ROOT, path)), text);
  });
}
