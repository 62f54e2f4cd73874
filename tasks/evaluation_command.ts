/**
 * What the commands that score answers of language models share: which of their three uses is meant, the models of a run or one
 * by its name, the transitions to judge by, and the way from model to model.
 */
import { breather } from "../lib/base/breather.ts";
import { evaluateModel } from "../lib/runs/evaluate.ts";
import type { EvaluationWatch } from "../lib/runs/recipe.ts";
import { type ExampleEncoder, fittingQuestions, spread } from "../lib/recipes/language/data.ts";
import type { LanguageConfig } from "../lib/recipes/language/fields.ts";
import { resolveWithProgress } from "../lib/recipes/hub_folder.ts";
import { mergeSettings } from "../lib/runs/settings.ts";
import { UserError } from "../lib/base/user_error.ts";
import { CausalTransformer } from "../lib/models/causal_transformer.ts";
import type { Engine } from "../lib/tensor/engine.ts";
import type { Progress } from "../lib/runs/progress.ts";
import { RunFolder } from "../lib/runs/run_folder.ts";
import { writeLines } from "../lib/io/lines.ts";
import type { LanguageExample } from "../lib/worlds/language_tokens.ts";
import type { Flags } from "./cli.ts";

/** What is scored: answers of a file, of a run's models, of one model. */
export type EvaluationUse = "answers" | "run" | "model";

/** How a command reads its flags. */
export interface EvaluationUses {
  /** Flags that mean something in each use, of those that do not in every one. */
  flags: Record<EvaluationUse, readonly string[]>;
  /** Uses that need `--data`. */
  needData: readonly EvaluationUse[];
  /** Names that `--which` may have. */
  models: readonly string[];
}

/** Which use the flags mean. @throws {UserError} When they mean none or several, or name what has no meaning in it. */
export function readEvaluationUse(flags: Flags, { flags: known, needData, models }: EvaluationUses): EvaluationUse {
  const uses = (Object.keys(known) as EvaluationUse[]).filter((name) => flags.text(name) !== undefined);
  if (uses.length !== 1) {
    throw new UserError("name one of --answers FILE, --run FOLDER and --model FOLDER: what is to be scored");
  }
  const [use] = uses;
  for (const name of new Set(Object.values(known).flat())) {
    if ((flags.has(name) || flags.list(name).length > 0) && !known[use].includes(name)) {
      throw new UserError(`--${name} has no meaning with --${use}: leave it out`);
    }
  }
  if (needData.includes(use) && flags.text("data") === undefined) {
    throw new UserError(`--${use} needs the transitions to judge by: --data FILE`);
  }
  if (use === "answers" && flags.text("out") === undefined) {
    throw new UserError("--answers needs a file for the scores: --out FILE");
  }
  for (const which of flags.list("which")) {
    if (!models.includes(which)) {
      throw new UserError(`--which must be one of ${models.join(", ")}: received "${which}"`);
    }
  }
  return use;
}

/** Models to evaluate, by name, and the configuration that they are asked with. */
export interface EvaluatedModels<Config> {
  /** Every value. */
  config: Config;
  /** Folders of the models. */
  models: Record<string, string>;
}

/** A preset with some values changed, checked. */
type ConfigOf<Config> = (preset: string, values: Record<string, unknown>) => Config;

/**
 * The models of a run (`--run`, `--which`) and its configuration.
 *
 * @param names Of models that a run may have.
 * @param settings Values that flags change.
 * @throws {UserError} When the run has no such model.
 */
export async function modelsOfRun<Config>(
  flags: Flags,
  names: readonly string[],
  configOf: ConfigOf<Config>,
  settings: Record<string, unknown>,
): Promise<EvaluatedModels<Config>> {
  const path = flags.text("run")!;
  using run = await RunFolder.read(path);
  const { preset, ...stored } = run.config as { preset: string };
  const config = configOf(preset, mergeSettings(stored, settings));
  const asked = flags.list("which"), models: Record<string, string> = {};
  for (const name of names) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const folder = run.file(`models/${name}`);
    if ((await Deno.stat(folder).catch(() => undefined))?.isDirectory) models[name] = folder;
  }
  const missing = asked.filter((name) => !(name in models));
  if (missing.length > 0) throw new UserError(`${path} has no model ${missing.join(", ")}: run that stage first`);
  if (Object.keys(models).length === 0) throw new UserError(`${path} has no model yet: run its stages first`);
  return { config, models };
}

/**
 * One model by its folder or its place on the hub (`--model`, `--preset`).
 *
 * @param defaultPreset What a model without a run is asked with: the paper's prompts and limits.
 * @param settings Values that flags change.
 */
export async function modelByName<Config>(
  flags: Flags,
  defaultPreset: string,
  configOf: ConfigOf<Config>,
  settings: Record<string, unknown>,
  progress: Progress,
): Promise<EvaluatedModels<Config>> {
  const name = flags.text("model")!, preset = flags.text("preset") ?? defaultPreset;
  // What the presets' training computes in is another matter: this runs on every engine, unless told.
  const named = { model: { folder: name, computeType: "float32" } };
  const config = configOf(preset, mergeSettings(named, settings));
  return { config, models: { [name]: await resolveWithProgress(name, progress) } };
}

/** The flag of commands that read data, and the field that it stands for. */
export const STRICT_DATA = {
  flag: { description: "End at the first row that cannot be used, rather than skip and count it" },
  /** The fields that flags stand for: none where it is not given. */
  settings: (flags: Flags): Record<string, unknown> => flags.has("strict-data") ? { data: { strict: true } } : {},
};

/** Transitions and their rows in the file that they come from. */
export interface JudgedExamples<Example> {
  /** Transitions. */
  examples: Example[];
  /** Row of each. */
  rows: number[];
}

/** Where a command has its transitions from. */
export interface ExampleSource<Example> {
  /** The run's file of held-out transitions, or null: its split of other data. */
  test: string | null;
  /** Held-out transitions of the run's split; notes get what there is to say about them. */
  ofRun(notes: string[]): Promise<readonly Example[]>;
  /** Transitions of a file or folder that is here; notes likewise. */
  ofFile(path: string, notes: string[]): Promise<JudgedExamples<Example>>;
}

/** Transitions to judge by: `--data`, or the run's; `--limit` of them, from all over the file. */
export async function readJudged<Example>(
  flags: Flags,
  { test, ofRun, ofFile }: ExampleSource<Example>,
  progress: Progress,
): Promise<JudgedExamples<Example>> {
  const limit = flags.integer("limit", 1) ?? null, file = flags.text("data") ?? test, notes: string[] = [];
  let examples: readonly Example[], rows: number[];
  if (file === null) {
    examples = await ofRun(notes);
    rows = [...examples.keys()];
  } else {
    ({ examples, rows } = await ofFile(await resolveWithProgress(file, progress), notes));
  }
  for (const note of notes) progress.note(note);
  const chosen = spread([...examples.keys()], limit);
  return { examples: chosen.map((i) => examples[i]), rows: chosen.map((i) => rows[i]) };
}

/** An evaluation of several models on the same transitions. */
export interface ModelsEvaluation<Config, Example, Tokens, Evaluation> extends EvaluatedModels<Config> {
  /** Who computes. */
  engine: Engine;
  /** Reads what to judge by: called once all models' folders have been found sound. */
  judged(): Promise<JudgedExamples<Example>>;
  /** Where it is said how far the evaluation is. */
  progress: Progress;
  /** Stops it. */
  signal: AbortSignal;
  /** A model's tokenizer and world. */
  readTokens(folder: string): Promise<Tokens>;
  /** Changes transitions before it is seen whether they fit a model; leaves them when left out. */
  prepare?(examples: readonly Example[], tokens: Tokens): Promise<Example[]>;
  /** Judges one model. */
  evaluate(
    model: CausalTransformer,
    tokens: Tokens,
    examples: readonly Example[],
    watch: EvaluationWatch,
  ): Promise<Evaluation>;
}

/** Has models answer, one after the other. Returns their evaluations, and the transitions that fit them. */
export async function evaluateModels<
  Config extends LanguageConfig,
  Example extends LanguageExample,
  Tokens extends { world: ExampleEncoder<Example>; maxPositions: number; notes: readonly string[] },
  Evaluation,
>(request: ModelsEvaluation<Config, Example, Tokens, Evaluation>): Promise<
  { evaluations: Record<string, Evaluation>; fitting: JudgedExamples<Example> }
> {
  const { engine, config, progress, signal } = request;
  const evaluations: Record<string, Evaluation> = {};
  const breathe = breather(signal);
  const models: { name: string; folder: string; tokens: Tokens }[] = [];
  for (const [name, folder] of Object.entries(request.models)) {
    const tokens = await request.readTokens(folder);
    for (const note of tokens.notes) progress.note(note);
    models.push({ name, folder, tokens });
  }
  const judged = await request.judged();
  let fitting: JudgedExamples<Example> | undefined;
  for (const { name, folder, tokens } of models) {
    // All models of a run have one tokenizer: what fits the first fits the others.
    const { examples } = fitting ??= await fittingQuestions(
      { ...judged, examples: await request.prepare?.(judged.examples, tokens) ?? judged.examples },
      tokens.world,
      config,
      { maxPositions: tokens.maxPositions, note: (text) => progress.note(`held-out data: ${text}`), signal },
    );
    const evaluation = await evaluateModel({
      name,
      progress,
      counted: "transitions",
      load: () => CausalTransformer.load(engine, folder, config.model),
      evaluate: (model, onProgress) => request.evaluate(model, tokens, examples, { onProgress, breathe }),
    });
    evaluations[name] = evaluation!;
  }
  return { evaluations, fitting: fitting! };
}

/**
 * Writes answers and their scores where `--out` names a file.
 *
 * @param linesOf Lines of one model's answers; the name is given where there are several models.
 */
export async function writeEvaluations<Evaluation>(
  flags: Flags,
  evaluations: Record<string, Evaluation>,
  linesOf: (evaluation: Evaluation, name: string | undefined) => Iterable<string>,
): Promise<void> {
  const out = flags.text("out"), names = Object.keys(evaluations);
  if (out === undefined) return;
  await writeLines(out, names.flatMap((name) => [...linesOf(evaluations[name], names.length > 1 ? name : undefined)]));
  console.log(`answers and their scores: ${out}`);
}
