/**
 * What the training commands share: a run that is begun or resumed, its stages, its folder, and what is said at the end.
 *
 * A command says which configuration, experiment and stages are its own; each new world's command does the same.
 */
import { idleFields } from "../lib/runs/fields.ts";
import { type ConfigSpec, describeFields, mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { DiskError, isSystemError } from "../lib/base/disk_error.ts";
import { UserError } from "../lib/base/user_error.ts";
import { formatSeconds } from "../lib/report/html.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/runs/progress.ts";
import type { OpenRecipe, RecipeContext } from "../lib/runs/recipe.ts";
import { run } from "../lib/runs/run.ts";
import { RunFolder } from "../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../lib/runs/stage.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flag, type Flags, readFlags, runCommand } from "./cli.ts";
import { newestRun, runName } from "./run_names.ts";

/** What is a training command's own. */
export interface TrainingCommand<Config extends { preset: string }, Stage extends string> {
  /** As in `deno task NAME`. */
  name: string;
  /** One or two lines. */
  summary: string;
  /** What is taken where no preset is named, for the help. */
  defaultPreset: string;
  /** Flags for data and models. */
  flags: Record<string, Flag>;
  stages: readonly Stage[];
  /** Fields, presets, what may change on resuming. */
  spec: ConfigSpec;
  /** Preset of a run that names none. */
  presetOf(flags: Flags): string;
  /** Fields of the configuration that its flags stand for. */
  settings(
    flags: Flags,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> | Record<string, unknown>;
  /** @throws {UserError} When a value is not what it should be. */
  configOf(preset: string, overrides: Record<string, unknown>): Config;
  /** Opens the recipe on data, models and the run's folder. */
  // deno-lint-ignore no-explicit-any -- whatever it trains on and is judged by
  open(context: RecipeContext<Config>): Promise<OpenRecipe<any, any, any, any> & { dispose?(): void }>;
}

/** Its flags and the text below them: presets and fields. */
function commandOf(
  own: Omit<TrainingCommand<{ preset: string }, string>, "configOf" | "open" | "presetOf" | "settings">,
): Command {
  const { name, summary, defaultPreset, flags, stages, spec } = own;
  return {
    name,
    summary,
    flags: {
      preset: { value: "NAME", description: "Values to start from, by name: see below", default: defaultPreset },
      ...flags,
      out: { value: "FOLDER", description: "Folder of the run", default: `runs/${name}-PRESET-TIME` },
      resume: { description: "Go on with the run in --out (or the newest one)" },
      stage: { value: stages.join("|"), description: "Run this stage only", repeated: true },
      seed: { value: "N", description: "Seed of every random number", default: "0" },
      ...ENGINE_FLAGS,
      set: { value: "FIELD=VALUE", description: "Any field of the configuration", repeated: true },
    },
    epilogue: () =>
      [
        "Presets:",
        ...Object.entries(spec.presets).map(([name, { description }]) => `  ${name}: ${description}`),
        "",
        "Fields for --set, with the demo's values:",
        ...describeFields(spec),
      ].join("\n"),
  };
}

/** Reads the flags, begins or resumes the run, trains, and says what came of it. */
export async function runTraining<Config extends { preset: string }, Stage extends string>(
  own: TrainingCommand<Config, Stage>,
): Promise<void> {
  const { name, spec } = own;
  await runCommand(async (signal) => {
    const flags = readFlags(commandOf(own), Deno.args);
    const stages = readStages(flags, own.stages);
    const resuming = flags.has("resume");
    const given = flags.text("out");
    const out = given ?? (resuming ? await newestRun(name) : runName(`${name}-${own.presetOf(flags)}`));
    const progress = progressFor(Deno.stderr);
    const config = resuming
      ? await storedConfig(own, out, flags, progress, signal)
      : own.configOf(own.presetOf(flags), await overrides(own, flags, progress, signal));
    for (const line of idleFields(spec.schema, config, parseSettings(flags.list("set")))) {
      progress.note(`--set ${line}`);
    }
    if (!resuming && given !== undefined) await refuseRun(given);
    const { engine, reason } = await openEngine(engineChoice(flags));
    try {
      progress.note(reason);
      const environment = { engine: engine.description };
      const folder = resuming
        ? () => RunFolder.open(out, { config, environment, mayChange: [...spec.mayChange] })
        : () => RunFolder.create(out, { config, environment, unique: given === undefined });
      let begun = resuming ? out : undefined;
      const openRun = async () => {
        const opened = await folder();
        progress.note(`run folder: ${opened.path}`);
        begun = opened.path;
        return opened;
      };
      try {
        using owned = new DisposableStack();
        const recipe = await own.open({ engine, config, run: openRun, progress, signal });
        owned.defer(() => recipe.dispose?.());
        owned.use(recipe.context.run);
        const { seconds, result, report } = await run(recipe, stages);
        console.log(Object.entries(seconds).map(([stage, s]) => `${stage} ${formatSeconds(s)}`).join(", "));
        if (result) console.log(`${recipe.headline(result)}\nreport: ${report}`);
      } catch (error) {
        progress.done();
        if (begun === undefined) {
          throw error instanceof RunInterruptedError ? new RunInterruptedError("stopped before the run began") : error;
        }
        const resume = `resume with: ${resumeCommand(name, begun, stages)}`;
        if (error instanceof DiskError || isSystemError(error)) throw new DiskError(`${error.message}; ${resume}`);
        // What the user has to mend first says so itself; for anything else, what has been saved is there to go on from.
        if (!(error instanceof UserError)) console.error(resume);
        throw error;
      }
    } finally {
      engine.close();
    }
  });
}

/** Fields that flags stand for, and `--set`. */
async function overrides(
  own: Pick<TrainingCommand<never, string>, "settings">,
  flags: Flags,
  progress: Progress,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const seed = flags.integer("seed"), named = await own.settings(flags, progress, signal);
  return mergeSettings(seed === undefined ? named : { seed, ...named }, parseSettings(flags.list("set")));
}

/** What continues the run; the same stages, from their newest checkpoints. */
function resumeCommand(name: string, out: string, stages: readonly string[] = []): string {
  const quoted = /^[\w./:@%+,=-]+$/.test(out) ? out : `'${out.replaceAll("'", `'\\''`)}'`;
  return [`deno task ${name} --resume --out`, quoted, ...stages.map((stage) => `--stage ${stage}`)].join(" ");
}

/** Says at once what `RunFolder.create` would say after the data were read. */
async function refuseRun(out: string): Promise<void> {
  const isRun = await RunFolder.read(out).then(() => true, () => false);
  if (isRun) {
    throw new UserError(`${out} already holds a run: continue it with --resume, or choose another folder with --out`);
  }
}

async function storedConfig<Config extends { preset: string }, Stage extends string>(
  own: TrainingCommand<Config, Stage>,
  out: string,
  flags: Flags,
  progress: Progress,
  signal: AbortSignal,
): Promise<Config> {
  using run = await RunFolder.read(out);
  const { preset, ...stored } = run.config as Config;
  const asked = flags.text("preset");
  if (asked !== undefined && asked !== preset) {
    throw new UserError(`${out} was started with --preset ${preset}, now ${asked}: leave it out, or start another run`);
  }
  return own.configOf(preset, mergeSettings(stored, await overrides(own, flags, progress, signal)));
}

function readStages<Stage extends string>(flags: Flags, known: readonly Stage[]): Stage[] | undefined {
  const asked = flags.list("stage");
  for (const stage of asked) {
    if (!(known as readonly string[]).includes(stage)) {
      throw new UserError(`--stage must be one of ${known.join(", ")}: received "${stage}"`);
    }
  }
  return asked.length > 0 ? asked as Stage[] : undefined;
}
