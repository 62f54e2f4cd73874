/**
 * `deno task docs`: writes what follows from the schemas of configurations, where every field is declared once: the reference
 * `docs/configuration.md`, a JSON schema a command in `docs/schemas/`, which editors check a configuration by, and the
 * configurations' types, since a type that is inferred shows no field in the documentation and no registry takes it. A test fails
 * where what is there is not what this writes.
 */
import { dirname, join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { ROBOT_VIDEO } from "../lib/recipes/robot_video/config.ts";
import { TEXT_GAME } from "../lib/recipes/text_game/config.ts";
import { WEB_PAGE } from "../lib/recipes/web_page/config.ts";
import { type ConfigField, fieldsOf } from "../lib/runs/fields.ts";
import { checkedConfig, type ConfigSpec } from "../lib/runs/settings.ts";
import {
  languageLikelihoodSchema,
  languageModelSchema,
  languageTokenizerSchema,
} from "../lib/recipes/language/fields.ts";
import { GRPO_SCHEMA } from "../lib/train/grpo_options.ts";
import { interfaceFile, type SchemaInterface, SECTIONS } from "./schema_interface.ts";

/** By the command that reads it. */
const SPECS: Readonly<Record<string, ConfigSpec>> = {
  "train-video": ROBOT_VIDEO,
  "train-text-game": TEXT_GAME,
  "train-web": WEB_PAGE,
};

/** Files of types, by the path from the project's root, and where their schemas are. */
const TYPE_FILES: Readonly<Record<string, { schemas: string; interfaces: readonly SchemaInterface[] }>> = {
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
      schema: ROBOT_VIDEO.schema,
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
      schema: TEXT_GAME.schema,
    }],
  },
  "lib/recipes/web_page/config_type.ts": {
    schemas: "recipes/web_page/config.ts",
    interfaces: [{
      name: "WebPageConfig",
      doc:
        "A checked configuration of web pages, as `webPageConfig` makes it. Defaults are those of the preset `demo`.",
      schema: WEB_PAGE.schema,
    }],
  },
};

/** Every file, by its path from the project's root. */
export async function documentation(): Promise<Record<string, string>> {
  const types = await Promise.all(
    Object.entries(TYPE_FILES).map(async ([path, { schemas, interfaces }]) => {
      const head =
        `Written by \`deno task docs\` from the schemas of \`${schemas}\`, where every field is declared: change it there.`;
      return [path, await interfaceFile(head, interfaces)];
    }),
  );
  const schemas = Object.entries(SPECS).map(([command, { schema }]) => {
    const content = { title: `Configuration of ${command}`, ...z.toJSONSchema(schema, { io: "input" }) };
    return [`docs/schemas/${command.replaceAll("-", "_")}.json`, JSON.stringify(content, null, 2) + "\n"];
  });
  const pages = Object.entries(SPECS).map(([command, spec]) => pageOf(command, spec));
  return { "docs/configuration.md": [HEAD, ...pages].join("\n"), ...Object.fromEntries([...schemas, ...types]) };
}

const HEAD = `# Configuration

Written by \`deno task docs\` from the schemas in \`lib/recipes\`; change those, not this page.

None of these fields has to be set: a command without flags trains its demo. To change something, take the preset that is nearest
(\`--preset NAME\`), then set single fields over it: \`--set grpo.steps=10 --set data.folder=episodes\`. A value is read as JSON where it is
JSON (\`10\`, \`null\`, \`["mae"]\`), else as text. An unknown field or a value out of range is refused before anything is loaded.

How long a run takes is mostly \`likelihood.steps\`, \`grpo.steps\` and the sizes in \`model\`; whether it fits into memory,
\`likelihood.microBatch\`, \`grpo.microBatchPrompts\`, \`grpo.rolloutRows\` and \`logitChunk\`, which say how much is computed at once.

In the tables, "Default" is what the preset \`demo\` has, "Presets" are those with another value, and "Only with" says what a field needs
to have any effect; a command tells you when you set one in vain. Editors complete and check the same fields by the JSON schemas in
[schemas](schemas).

${
  Object.entries(SPECS).map(([command, { schema }]) => `- [${command}](#${command}): ${sectionLinks(command, schema)}`)
    .join("\n")
}
`;

function sectionLinks(command: string, schema: z.ZodType): string {
  return [...sectionsOf(schema).keys()].map((section) => `[${section}](#${command}-${section})`).join(", ");
}

/** Fields by their section; those of none are `run`'s. */
function sectionsOf(schema: z.ZodType): Map<string, ConfigField[]> {
  return Map.groupBy(
    fieldsOf(schema).filter(({ path }) => path !== "preset"),
    ({ path }) => path.includes(".") ? path.split(".")[0] : "run",
  );
}

function pageOf(command: string, spec: ConfigSpec): string {
  const values = Object.keys(spec.presets).map((preset) =>
    [preset, checkedConfig(spec, preset, {}) as object] as const
  );
  return [
    `## ${command}`,
    "",
    ...Object.entries(spec.presets).map(([name, { description }]) => `- \`${name}\`: ${description}`),
    ...[...sectionsOf(spec.schema)].flatMap(([section, fields]) => [
      "",
      `### ${command}: ${section}`,
      "",
      `${section === "run" ? "The run as a whole; these fields have no section in their names" : SECTIONS[section]}.`,
      "",
      "| Field | Meaning | Type and range | Default | Presets | Only with |",
      "| --- | --- | --- | --- | --- | --- |",
      ...fields.flatMap((field) => [field, ...field.parts]).map((field) => rowOf(field, values)),
    ]),
    "",
  ].join("\n");
}

function rowOf(field: ConfigField, presets: readonly (readonly [name: string, config: object])[]): string {
  const usual = JSON.stringify(field.default);
  const byValue = Map.groupBy(presets, ([, config]) => JSON.stringify(valueAt(config, field.path)));
  // Of an object that is null there, its parts have no value.
  const others = [...byValue].filter(([value]) => value !== undefined && value !== usual);
  const cells = [
    `\`${field.path}\``,
    field.meaning,
    field.type,
    usual === undefined ? "" : `\`${usual}\``,
    others.map(([value, names]) => `${names.map(([name]) => name).join(", ")}: \`${value}\``).join("; "),
    field.onlyWith.map((condition) => `\`${condition}\``).join(", "),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function valueAt(config: object, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => (value as Record<string, unknown> | null)?.[name], config);
}

if (import.meta.main) {
  const root = join(import.meta.dirname!, "..");
  for (const [path, text] of Object.entries(await documentation())) {
    await Deno.mkdir(dirname(join(root, path)), { recursive: true });
    await writeFileAtomic(join(root, path), text);
    console.log(path);
  }
}
