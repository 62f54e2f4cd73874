/**
 * The web-page recipe: vocabulary → likelihood → GRPO by F1 → evaluation.
 *
 *   likelihood   a language model, new or given, imitates the true changes of items
 *   grpo         it is trained on by GRPO; the reward is the F1 of the changes that an answer lists
 *   evaluate     both on held-out transitions; result.json and report.html
 *
 * Source: RLVR-World §5.2.
 */
import { STREAM } from "../../base/streams.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Evaluations, EvaluationWatch, PolicyRecipe, RecipeContext, RecipeReport } from "../../runs/recipe.ts";
import { Philox } from "../../tensor/random.ts";
import type { WebPageExample, WebPageResponse, WebPageWorld } from "../../worlds/web_page/world.ts";
import { LanguageExperiment, openLanguage } from "../language/experiment.ts";
import type { WebPageConfig } from "./config.ts";
import { cutObservations, openWebPageData, type WebPageData } from "./data.ts";
import { evaluateWebPage, type WebPageEvaluation } from "./evaluation.ts";
import { webPageWorld } from "./web_page_model.ts";
import { webPageHeadline, webPageReport, type WebPageResult, webPageResult } from "./report.ts";

/** The experiment of web pages, opened on its data and models: a recipe for `run`. */
export class WebPageExperiment extends LanguageExperiment<
  WebPageConfig,
  WebPageExample,
  WebPageData,
  readonly WebPageResponse[],
  WebPageWorld,
  WebPageEvaluation,
  WebPageResult
> {
  /** The command that it is run by. */
  readonly task = "train-web";
  /** The policy that GRPO trains: one, rewarded by F1. */
  readonly policies: readonly PolicyRecipe<WebPageExample>[] = [this.policy({
    stage: "grpo",
    name: "rlvr",
    options: {
      reward: [{ metric: "f1", weight: 1 }],
      alsoMeasured: ["precision", "recall"],
      credit: this.config.grpo.credit === "item" ? "part" : "answer",
      creditDiscount: this.config.grpo.creditDiscount,
    },
    shownAs: "F1",
    servedAs: "f1",
    batch: (step) => this.#grpoBatch(step),
    truth: ({ truth }) => truth,
  })];

  /**
   * Opens the model's folder, data and tokenizer, and only then makes the run's folder, if it is to be made.
   *
   * @throws {UserError} When something that the configuration names is not what it should be; nothing is written then.
   */
  static async open(context: RecipeContext<WebPageConfig>): Promise<WebPageExperiment> {
    const { config, config: { data }, progress, signal } = context, note = (text: string) => progress.note(text);
    const opened = await openLanguage<WebPageExample, WebPageData, WebPageWorld>(context, {
      files: [data.train, data.test],
      readData: () => openWebPageData(config, signal),
      worldOf: (tokenizer, vocabularySize, endTokens) => webPageWorld(tokenizer, vocabularySize, config, endTokens),
      prepare: (examples, tokenizer, what) => cutObservations(examples, tokenizer, config, what, note, signal),
    });
    return new WebPageExperiment(context, opened);
  }

  /** Evaluates a model on the held-out transitions. */
  async evaluate(model: CausalTransformer, watch: EvaluationWatch = {}): Promise<WebPageEvaluation> {
    const { seed, evaluation: { rows, sampledAnswers, temperature, topP } } = this.config;
    const { world, test: examples } = this, sampling = { temperature, topP };
    return await evaluateWebPage({ model, world, examples, seed, rows, sampledAnswers, sampling, ...watch });
  }

  /** Intervals and differences of the evaluations, by metric. */
  result(evaluations: Evaluations<WebPageEvaluation>): Pick<WebPageResult, "metrics" | "cutAnswers" | "baselines"> {
    return webPageResult(this, evaluations);
  }

  /** One sentence: F1 before and after. */
  headline(result: WebPageResult): string {
    return webPageHeadline(result);
  }

  /** Tables and telling answers for `report.html`. */
  report(result: WebPageResult, evaluations: Evaluations<WebPageEvaluation>): RecipeReport {
    return webPageReport(this, result, evaluations);
  }

  /** Examples of a step: epochs of all in random order, one after the other. */
  #grpoBatch(step: number): WebPageExample[] {
    const { promptsPerStep } = this.config.grpo, orders = new Map<number, Int32Array>();
    return Array.from({ length: promptsPerStep }, (_, i) => {
      const at = step * promptsPerStep + i, epoch = Math.floor(at / this.train.length);
      let order = orders.get(epoch);
      if (!order) {
        orders.set(epoch, order = new Philox(this.config.seed, STREAM.grpoBatch, epoch).permutation(this.train.length));
      }
      return this.train[order[at % this.train.length]];
    });
  }
}
