/**
 * The fields of a configuration as its schema declares them: names, types, ranges, defaults, meanings, and which other fields they
 * depend on. Help, documentation and checks read them from here.
 */
import { z } from "zod";

/** A field of a configuration. */
export interface ConfigField {
  /** Dotted, as `--set` takes it. */
  readonly path: string;
  /** Type and range: `integer ≥ 1 or null`. */
  readonly type: string;
  /** Where nothing else is asked for. */
  readonly default: unknown;
  /** What it is, in a line. */
  readonly meaning: string;
  /** The values that there are, where they are few. */
  readonly choices: readonly string[] | undefined;
  /** Without these it has no effect: `grpo.loss=dual-clip`, `model.lora≠null`. */
  readonly onlyWith: readonly string[];
  /** Fields of an object that may be null or is set as a whole. */
  readonly parts: readonly ConfigField[];
}

/** What is used of a JSON schema. */
interface Node {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly anyOf?: readonly Node[];
  readonly items?: Node;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly onlyWith?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/**
 * Fields that have no effect unless others have some value.
 *
 * @param condition `field=value` or `field≠value`; the field by its dotted path, one of the same section by its name.
 * @param fields Each keeps the conditions that it has already.
 *
 * @internal
 */
export function onlyWith<Fields extends Record<string, z.ZodType>>(condition: string, fields: Fields): Fields {
  const withCondition = Object.entries(fields).map(([name, field]) => {
    const { onlyWith = [], ...meta } = field.meta() ?? {};
    return [name, field.meta({ ...meta, onlyWith: [condition, ...onlyWith as string[]] })];
  });
  return Object.fromEntries(withCondition) as Fields;
}

/**
 * The same fields with some other defaults, such as those of a demo.
 *
 * @internal
 */
export function withDefaults<Fields extends Record<string, z.ZodDefault<z.ZodType>>>(
  fields: Fields,
  defaults: Partial<z.output<z.ZodObject<Fields>>>,
): Fields {
  const changed = Object.entries(defaults).map(([name, value]) =>
    [name, fields[name].unwrap().default(value).meta(fields[name].meta()!)] as const
  );
  return { ...fields, ...Object.fromEntries(changed) };
}

/** Every field of a schema, sections opened. @internal */
export function fieldsOf(schema: z.ZodType): ConfigField[] {
  const within = (node: Node, section: string): ConfigField[] =>
    Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
      const path = section === "" ? name : `${section}.${name}`;
      // A section has no meaning of its own; an object that has one is a value.
      if (child.properties && child.description === undefined) return within(child, path);
      const object = child.properties ? child : child.anyOf?.find(({ properties }) => properties);
      return {
        path,
        type: typeOf(child),
        default: child.default,
        meaning: child.description ?? "",
        choices: child.enum,
        onlyWith: (child.onlyWith ?? []).map((condition) =>
          condition.split(/[=≠]/)[0].includes(".") ? condition : `${section}.${condition}`
        ),
        parts: object ? within(object, path) : [],
      };
    });
  return within(z.toJSONSchema(schema, { io: "input" }) as Node, "");
}

function typeOf(node: Node): string {
  if (node.anyOf) return node.anyOf.map(typeOf).join(" or ");
  if (node.const !== undefined) return String(node.const);
  if (node.enum) return `one of ${node.enum.join(", ")}`;
  if (node.type === "array") return `list of ${typeOf(node.items!)}`;
  if (node.type === "object") return `{ ${Object.keys(node.properties ?? {}).join(", ")} }`;
  const bounds = [
    ["≥", node.minimum],
    [">", node.exclusiveMinimum],
    ["≤", node.maximum],
    ["<", node.exclusiveMaximum],
  ] as const;
  const range = bounds.flatMap(([sign, bound]) =>
    bound === undefined || Math.abs(bound) === Number.MAX_SAFE_INTEGER ? [] : [`${sign} ${bound}`]
  );
  return [[node.type].flat().join(" or "), range.join(", ")].filter((each) => each !== "").join(" ");
}

/**
 * One line for each given field that has no effect in a configuration, because of another field's value.
 *
 * @param given Nested values as `--set` gives them; of other fields nothing is said.
 *
 * @internal
 */
export function idleFields(schema: z.ZodType, config: object, given: Record<string, unknown>): string[] {
  const at = (values: object, path: string) =>
    path.split(".").reduce<unknown>((value, name) => (value as Record<string, unknown> | null)?.[name], values);
  return fieldsOf(schema).flatMap(({ path, onlyWith }) => {
    if (at(given, path) === undefined) return [];
    const unmet = onlyWith.find((condition) => {
      const [, field, sign, value] = /^([\w.]+)([=≠])(.*)$/.exec(condition)!;
      return (String(at(config, field)) === value) !== (sign === "=");
    });
    if (unmet === undefined) return [];
    const [field] = unmet.split(/[=≠]/);
    return [`${path} has no effect: it needs ${unmet}, and ${field} is ${String(at(config, field))}`];
  });
}
