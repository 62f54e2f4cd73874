/** What the commands that train language models share: the flags for data, model and server, and the fields they stand for. */
import { resolveWithProgress } from "../lib/recipes/hub_folder.ts";
import { LANGUAGE_STAGES } from "../lib/recipes/language/experiment.ts";
import { runTraining, type TrainingCommand } from "./training_command.ts";

/** What is one world's own. */
type LanguageTraining<Config extends { preset: string }> =
  & Omit<TrainingCommand<Config, typeof LANGUAGE_STAGES[number]>, "stages" | "flags" | "settings">
  & {
    /** What `--data` may be, and what is taken without it. */
    data: { forms: string; builtIn: string };
    /** The fields that a file or folder of transitions stands for. */
    findFiles(path: string, test: string | undefined): Promise<object>;
    /** The file of held-out transitions that a path means. */
    findTest(path: string): Promise<string>;
  };

/** Trains; see `runTraining`. */
export function runLanguageTraining<Config extends { preset: string }>(
  { data, findFiles, findTest, ...own }: LanguageTraining<Config>,
): Promise<void> {
  return runTraining({
    ...own,
    stages: LANGUAGE_STAGES,
    flags: {
      data: {
        value: "FILE|FOLDER|hub:…",
        description: `Transitions (${data.forms}), or a folder with train and test`,
        default: data.builtIn,
      },
      test: { value: "FILE", description: "Held-out transitions", default: "of the folder, or a part of --data" },
      "strict-data": { description: "End at the first row that cannot be used, rather than skip and count it" },
      model: {
        value: "FOLDER|hub:ORG/NAME",
        description: "A language model as transformers saves it, or a PEFT adapter",
      },
      rollouts: { value: "URL", description: "A server of OpenAI's completions interface that samples GRPO's answers" },
    },
    async settings(flags, progress, signal) {
      const found = (path: string) => resolveWithProgress(path, progress, { signal });
      const path = flags.text("data"), heldOut = flags.text("test");
      const folder = flags.text("model"), rollouts = flags.text("rollouts");
      const test = heldOut && await findTest(await found(heldOut));
      return {
        data: {
          ...test === undefined ? {} : { test },
          ...path === undefined ? {} : await findFiles(await found(path), test),
          ...flags.has("strict-data") ? { strict: true } : {},
        },
        model: folder === undefined ? {} : { folder },
        grpo: rollouts === undefined ? {} : { rollouts },
      };
    },
  });
}
