/**
 * Interfaces of configurations, written out from their schemas. A field is declared once, in its schema; but a type that is inferred
 * from one shows no field in the documentation, and no registry takes it (`deno publish`: slow types). So the text that follows from
 * the schemas is a file of its own, which `deno task docs` writes and a test holds to them.
 */
import { z } from "zod";

interface JsonSchema {
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
}

/** An interface to be written: its name, the sentence above it, and what it is the output of. */
export interface SchemaInterface {
  name: string;
  doc: string;
  schema: z.ZodType;
  /** False where the fields' defaults are those of one use among several. @default {true} */
  saysDefaults?: boolean;
}

/** The text of a file of interfaces, formatted. @param head What its first comment says. */
export async function interfaceFile(head: string, interfaces: readonly SchemaInterface[]): Promise<string> {
  const parts = interfaces.map(({ name, doc, schema, saysDefaults = true }) => {
    const json = z.toJSONSchema(schema, {
      io: "output",
      override: ({ jsonSchema }) => saysDefaults || delete jsonSchema.default,
    });
    return `${comment(doc)}export interface ${name} ${typeOf(json as JsonSchema)}\n`;
  });
  return await format([comment(head), ...parts].join("\n"));
}

function comment(text: string): string {
  const lines: string[] = [""];
  for (const word of text.replaceAll("*/", "* /").split(/ (?!\{)/)) {
    if (lines.at(-1)!.length + word.length > 110) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) === "" ? "" : " ") + word;
  }
  return lines.length === 1 ? `/** ${text} */\n` : `/**\n${lines.map((line) => ` * ${line}\n`).join("")} */\n`;
}

function typeOf(schema: JsonSchema): string {
  const { type, anyOf, items, properties } = schema;
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...schema, type: each })).join(" | ");
  if (anyOf) return anyOf.map(typeOf).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (properties) return `{\n${Object.entries(properties).map(fieldOf).join("")}}`;
  if (type === "array" && items) {
    const item = typeOf(items);
    return item.startsWith("{") || /^\w+$/.test(item) ? `${item}[]` : `(${item})[]`;
  }
  if (type === "integer") return "number";
  if (type && ["string", "number", "boolean", "null"].includes(type)) return type;
  throw new Error(`no type is known for ${JSON.stringify(schema)}`);
}

function fieldOf([name, schema]: [string, JsonSchema]): string {
  const { description, default: standard, properties } = schema;
  // An object's own default is that of its fields.
  const suffix = standard === undefined || (properties && !description)
    ? ""
    : ` @default {${JSON.stringify(standard)}}`;
  // Losses are a list that grows by a line: their names are no type.
  const type = name === "loss" ? "string" : typeOf(schema);
  return `${comment(`${description ?? SECTIONS[name] ?? fail(name)}.${suffix}`)}${name}: ${type};\n`;
}

/** What a part of a configuration is about. */
export const SECTIONS: Readonly<Record<string, string>> = {
  data: "Episodes or transitions to train with and to judge by",
  tokenizer: "The tokenizer: a given one, or the sizes and the training of a new one",
  model: "The transformer: a given one, or the sizes of a new one",
  likelihood: "Likelihood training",
  grpo: "Training by GRPO",
  control: "The control: likelihood training that goes on for as long as GRPO took",
  evaluation: "What is judged, and how answers are drawn for it",
  lpips: "Files of LPIPS' weights",
  metric: "Name of the metric",
  weight: "How much it counts; positive",
  binary: "With the reward `binary`",
  taskSpecific: "With the reward `taskSpecific`",
  rank: "Rank r",
};

function fail(name: string): never {
  throw new Error(`the field ${name} says nothing of itself: give it .describe(…)`);
}

async function format(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error(`deno fmt refused:\n${text}`);
  return new TextDecoder().decode(stdout);
}
