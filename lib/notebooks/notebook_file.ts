/** Notebook files (nbformat 4): reading with checks, and writing the way Jupyter does, so that a diff shows what changed. */
import { readTextFile } from "../io/plain_file.ts";
import { UserError } from "../base/user_error.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import type { MimeBundle } from "../report/notebook.ts";

/** What a code cell gave, in the order in which it appeared. */
export type CellOutput =
  | { output_type: "stream"; name: string; text: string | string[] }
  | { output_type: "display_data"; data: MimeBundle; metadata: Record<string, unknown> }
  | {
    output_type: "execute_result";
    data: MimeBundle;
    metadata: Record<string, unknown>;
    execution_count: number | null;
  }
  | { output_type: "error"; ename: string; evalue: string; traceback: string[] };

/** One cell; fields that are not named here are kept as they are. */
export interface NotebookCell {
  /** What the cell holds. */
  cell_type: "code" | "markdown" | "raw";
  /** Its text, whole or in lines. */
  source: string | string[];
  /** Of code cells. */
  outputs?: CellOutput[];
  /** The number in In[n]; null before a run. */
  execution_count?: number | null;
  /** Anything else is kept. */
  [other: string]: unknown;
}

/** A notebook; fields that are not named here are kept as they are. */
export interface Notebook {
  cells: NotebookCell[];
  /** Major version of the format: 4. */
  nbformat: number;
  /** Anything else is kept. */
  [other: string]: unknown;
}

/** Text that nbformat allows to be cut into lines. */
export function joinLines(text: unknown): string {
  return Array.isArray(text) ? text.join("") : typeof text === "string" ? text : "";
}

/**
 * Reads a notebook.
 *
 * @throws {UserError} when the file is missing, is not JSON, or is not a notebook of nbformat 4; names the file.
 */
export async function readNotebook(path: string): Promise<Notebook> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.IsADirectory || (await isFolder(path))
      ? "it is a folder: name a .ipynb file in it"
      : (error as Error).message;
    throw new UserError(`cannot read the notebook ${JSON.stringify(path)}: ${reason}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`the notebook ${JSON.stringify(path)} is not valid JSON: ${oneLine((error as Error).message)}`);
  }
  const fault = faultOf(value);
  if (fault) throw new UserError(`${JSON.stringify(path)} is not a notebook: ${fault}`);
  return value as Notebook;
}

/**
 * Writes a notebook byte for byte as Jupyter would: keys sorted, one space of indentation, text cut into lines, a newline
 * at the end.
 */
export async function writeNotebook(path: string, notebook: Notebook): Promise<void> {
  const cells = notebook.cells.map((cell) => {
    const source = cutLines(joinLines(cell.source));
    return cell.cell_type === "code"
      ? { ...cell, source, outputs: (cell.outputs ?? []).map(cutOutput) }
      : { ...cell, source };
  });
  await writeFileAtomic(path, JSON.stringify(sortKeys({ ...notebook, cells }), null, 1) + "\n");
}

function faultOf(value: unknown): string | undefined {
  if (!isRecord(value)) return "its JSON is not an object";
  const { cells, nbformat } = value as Partial<Notebook>;
  if (nbformat !== 4) return `nbformat must be 4: received ${brief(nbformat)}`;
  if (!Array.isArray(cells)) return "it has no list of cells";
  for (const [i, cell] of cells.entries()) {
    if (!isRecord(cell)) return `cell ${i + 1} is not an object`;
    if (!["code", "markdown", "raw"].includes(cell.cell_type)) {
      return `cell ${i + 1} has the unknown type ${brief(cell.cell_type)}`;
    }
    const { source } = cell;
    if (!isText(source)) return `cell ${i + 1} has no source text`;
    if (cell.cell_type !== "code") continue;
    const outputs: unknown = cell.outputs ?? [];
    if (!Array.isArray(outputs)) return `the outputs of cell ${i + 1} are not a list`;
    for (const [j, output] of outputs.entries()) {
      const fault = outputFault(output);
      if (fault) return `output ${j + 1} of cell ${i + 1} ${fault}`;
    }
  }
  // Whoever walks through it may do so by recursion.
  if (nestsDeeper(value, MAX_DEPTH)) return `its JSON nests deeper than ${MAX_DEPTH} levels`;
  return undefined;
}

/** Levels of lists and objects in a notebook; figures have some ten. */
const MAX_DEPTH = 100;

/** Why a value cannot be shown as an output of a cell: `has no text`; undefined where it can. */
export function outputFault(value: unknown): string | undefined {
  if (!isRecord(value)) return "is not an object";
  switch (value.output_type) {
    case "stream":
      return isText(value.text) ? undefined : "has no text";
    case "display_data":
    case "execute_result":
      if (!isRecord(value.data)) return "has no data by type";
      return nestsDeeper(value.data, MAX_DEPTH) ? `nests deeper than ${MAX_DEPTH} levels` : undefined;
    case "error":
      if (typeof value.ename !== "string" || typeof value.evalue !== "string") {
        return "has no name or message of its error";
      }
      return Array.isArray(value.traceback) && isText(value.traceback) ? undefined : "has no traceback of texts";
    default:
      return `has the unknown type ${brief(value.output_type)}`;
  }
}

/** A value as JSON, for messages: deep ones only by their kind. */
function brief(value: unknown): string {
  return typeof value === "object" && value !== null ? "an object" : JSON.stringify(value)?.slice(0, 80) ?? "none";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string | string[] {
  return typeof value === "string" || Array.isArray(value) && value.every((line) => typeof line === "string");
}

/** Whether lists and objects lie inside one another beyond a level; without recursion, so that it can be asked of any. */
function nestsDeeper(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((each) => typeof each === "object" && each !== null ? Object.values(each) : [])
      .filter((each) => typeof each === "object");
  }
  return false;
}

function cutOutput(output: CellOutput): CellOutput {
  if (output.output_type === "stream") return { ...output, text: cutLines(joinLines(output.text)) };
  if (output.output_type === "error") return output;
  const data = Object.fromEntries(
    Object.entries(output.data).map(([type, content]) => [
      type,
      typeof content === "string" && /^text\/|^image\/svg/.test(type) ? cutLines(content) : content,
    ]),
  );
  return { ...output, data };
}

function cutLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? [];
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isDirectory, () => false);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").slice(0, 200);
}
