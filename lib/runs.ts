/**
 * Runs: the training of a world's models from the first stage to the report, resumed where it was stopped.
 *
 * A recipe is what a run differs by: data, models, batches, policies with their rewards, what is judged and shown
 * ({@linkcode OpenRecipe}). {@linkcode run} gives it stages, resuming, a control, evaluation, result and report. The paper's three
 * experiments are recipes: {@linkcode RobotVideoExperiment}, {@linkcode TextGameExperiment}, {@linkcode WebPageExperiment}; their
 * configurations say every field with its default ({@linkcode TextGameConfig} and the like), `textGameConfig(preset, changes)` checks
 * one. A recipe of one's own is an object: `tests/recipes/toy_recipe.ts` in the repository has one in a hundred lines.
 *
 * @example A tiny run of text games, with the demo's code: seconds instead of minutes, and nothing learnt.
 * ```ts
 * import { openEngine, RunFolder, silentProgress } from "@rlvr-world/rlvr-world";
 * import { run, TextGameExperiment, textGameConfig } from "@rlvr-world/rlvr-world/runs";
 *
 * const { engine } = await openEngine({ engine: "wasm" });
 * const config = textGameConfig("demo", {
 *   data: { games: ["boil-tea"], perGame: 30, heldOutPerGame: 3, maxQuestionTokens: 1200, maxAnswerTokens: 48 },
 *   tokenizer: { vocabularySize: 400, pattern: "long" },
 *   model: { hiddenSize: 16, layers: 1, heads: 2, intermediateSize: 32 },
 *   likelihood: { steps: 4, batch: 4, microBatch: 4, warmupSteps: 1, decaySteps: 1 },
 *   grpo: { rewards: ["binary"], steps: 1, promptsPerStep: 2, miniBatchPrompts: 2, groupSize: 2, decaySteps: 0 },
 *   evaluation: { samples: 1, sampledAnswers: 1 },
 * });
 * const path = await Deno.makeTempDir();
 * const folder = await RunFolder.create(`${path}/tiny`, { config });
 * const experiment = await TextGameExperiment.open({ engine, config, run: folder, progress: silentProgress });
 * const { result, report } = await run(experiment); // or some stages: run(experiment, ["likelihood", "grpo"])
 * console.log(experiment.headline(result!));
 * console.log(report); // …/tiny/report.html
 * folder.close();
 * engine.close();
 * await Deno.remove(path, { recursive: true });
 * ```
 *
 * @module
 */
export { run } from "./runs/run.ts";
export type { ModelStore, OpenRecipe, PolicyRecipe, RecipeConfig } from "./runs/recipe.ts";

// Robot video
export { type RobotVideoConfig, robotVideoConfig } from "./recipes/robot_video/config.ts";
export { RobotVideoExperiment } from "./recipes/robot_video/experiment.ts";
export type { VideoEvaluation } from "./recipes/robot_video/evaluation.ts";

// Text games
export { type TextGameConfig, textGameConfig } from "./recipes/text_game/config.ts";
export { TextGameExperiment } from "./recipes/text_game/experiment.ts";
export { findTextGameFiles } from "./recipes/text_game/data.ts";
export { accuracyTable, tellingRows } from "./recipes/text_game/report.ts";

// Web pages
export { type WebPageConfig, webPageConfig } from "./recipes/web_page/config.ts";
export { WebPageExperiment } from "./recipes/web_page/experiment.ts";
export { findWebPageFiles } from "./recipes/web_page/data.ts";
export { unchangedPageBaseline } from "./recipes/web_page/evaluation.ts";
export { markedAnswer } from "./recipes/web_page/marks.ts";
export { openWebPageModel, type WebPageModel } from "./recipes/web_page/web_page_model.ts";
export { tellingPages, webPageScoreReport } from "./recipes/web_page/report.ts";
