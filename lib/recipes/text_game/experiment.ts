/**
 * The text-game recipe: vocabulary → likelihood → GRPO by both rewards → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true differences of states
 *   grpo         it is trained on by GRPO, once by each reward that the configuration names
 *   evaluate     all of them on held-out transitions; result.json and report.html
 *
 * Source: RLVR-World §5.1.
 */
import { STREAM } from "../../base/streams.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Evaluations, EvaluationWatch, PolicyRecipe, RecipeContext, RecipeReport } from "../../runs/recipe.ts";
import { GoldMixture } from "../../worlds/text_game/mixing.ts";
import type { TextGameExample, TextGameResponse, TextGameWorld } from "../../worlds/text_game/world.ts";
import { LanguageExperiment, openLanguage } from "../language/experiment.ts";
import type { TextGameConfig, TextGameRewardName } from "./config.ts";
import { openTextGameData, type TextGameData } from "./data.ts";
import { evaluateTextGame, type TextGameEvaluation } from "./evaluation.ts";
import { textGameWorld } from "./tokens.ts";
import { textGameHeadline, textGameReport, type TextGameResult, textGameResult } from "./report.ts";

/** The experiment of text games, opened on its data and models: a recipe for `run`. */
export class TextGameExperiment extends LanguageExperiment<
  TextGameConfig,
  TextGameExample,
  TextGameData,
  readonly TextGameResponse[],
  TextGameWorld,
  TextGameEvaluation,
  TextGameResult
> {
  /** The command that it is run by. */
  readonly task = "train-text-game";
  /** What GRPO trains: one model a reward. */
  readonly policies: readonly PolicyRecipe<TextGameExample>[] = this.config.grpo.rewards.map((reward) => {
    const { promptsPerStep, scoring } = this.config.grpo;
    let mixture: ReturnType<TextGameExperiment["mixture"]> | undefined;
    const other = reward === "binary" ? "taskSpecific" : "binary";
    return this.policy({
      stage: `grpo-${reward}`,
      name: `rlvr-${reward}`,
      options: {
        reward: [{ metric: metricOf(reward, scoring), weight: 1 }],
        alsoMeasured: [metricOf(other, scoring)],
      },
      shownAs: "reward",
      servedAs: reward,
      batch: (step) => (mixture ??= this.mixture(reward))(step, promptsPerStep),
      truth: ({ target }) => target,
    });
  });

  /**
   * Opens the model's folder, data and tokenizer, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: RecipeContext<TextGameConfig>): Promise<TextGameExperiment> {
    const { config, config: { data }, signal } = context;
    const opened = await openLanguage<TextGameExample, TextGameData, TextGameWorld>(context, {
      files: [data.train, data.test, data.imitation],
      readData: () => openTextGameData(config, signal),
      worldOf: (tokenizer, vocabularySize, endTokens) => textGameWorld(tokenizer, vocabularySize, config, endTokens),
    });
    return new TextGameExperiment(context, opened);
  }

  /** Evaluates a model on the held-out transitions. */
  async evaluate(model: CausalTransformer, watch: EvaluationWatch = {}): Promise<TextGameEvaluation> {
    const { seed, grpo: { scoring }, evaluation: { rows, sampledAnswers } } = this.config;
    const { world, test: examples } = this;
    return await evaluateTextGame({ model, world, examples, scoring, seed, rows, sampledAnswers, ...watch });
  }

  /** Intervals and differences of the evaluations, by part of the data. */
  result(
    evaluations: Evaluations<TextGameEvaluation>,
  ): Pick<TextGameResult, "metrics" | "rewards" | "cutAnswers" | "baselines"> {
    return textGameResult(this, evaluations);
  }

  /** A sentence for each reward: accuracy before and after GRPO. */
  headline(result: TextGameResult): string {
    return textGameHeadline(result);
  }

  /** Tables, curves and telling answers for `report.html`. */
  report(result: TextGameResult, evaluations: Evaluations<TextGameEvaluation>): RecipeReport {
    return textGameReport(this, result, evaluations);
  }

  /** Examples of a step: epochs of the mixture in random order, one after the other. */
  private mixture(reward: TextGameRewardName): (step: number, count: number) => TextGameExample[] {
    const gold = this.train.filter((example) => example.isGold),
      others = this.train.filter((example) => !example.isGold);
    const wanted = Math.floor(this.config.grpo.othersPerGold[reward] * gold.length);
    const mixture = new GoldMixture({
      gold,
      others,
      drawn: others.length === 0 ? 0 : gold.length === 0 ? others.length : wanted,
      stream: [this.config.seed, STREAM.grpoBatch],
    });
    const epochs = new Map<number, TextGameExample[]>();
    const epochOf = (number: number) => {
      const epoch = epochs.get(number) ?? mixture.epoch(number);
      epochs.clear();
      epochs.set(number, epoch);
      return epoch;
    };
    return (step, count) =>
      Array.from({ length: count }, (_, i) => {
        const at = step * count + i;
        return epochOf(Math.floor(at / mixture.length))[at % mixture.length];
      });
  }
}

/** Name of the world's metric of a reward. */
export function metricOf(reward: TextGameRewardName, scoring: TextGameConfig["grpo"]["scoring"]): string {
  if (scoring === "released") return reward;
  return reward === "binary" ? "strictBinary" : "strictTaskSpecific";
}
