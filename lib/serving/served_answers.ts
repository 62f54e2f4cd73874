/**
 * Rollouts from a server of OpenAI's completions interface, such as vLLM: GRPO's answers are sampled there, the update is
 * computed here.
 *
 * With LoRA the server follows the policy: before each step the adapter is written where the server can read it, loaded
 * under a new name (servers keep what they computed by name), and the one before is unloaded. Without LoRA the server's
 * weights stay what they are; the sampler says so, and the ratio corrects for it as far as it can. How requests are made
 * and tried again is `completions_client.ts`.
 */
import { join } from "node:path";
import { UserError } from "../base/user_error.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { saveAdapters } from "../models/lora_files.ts";
import type { AnswerSampler, SampledAnswers, SampleRequest } from "../train/answer_sampler.ts";
import type { CompletionsClient } from "./completions_client.ts";

/** Options of {@linkcode ServedAnswers}. */
export interface ServedAnswersOptions {
  /** The policy: its adapters go to the server, and its vocabulary is what answers are checked by. */
  model: CausalTransformer;
  /** Folder for adapters, by a path that the server can read as well; each is removed after its step. */
  folder: string;
  /** What adapters are named by, before the step's number: not used before on this server. */
  name: string;
  /** Name or folder of the model that adapters belong to, for their configuration. */
  baseModel?: string;
  /** Told what the user should know, in one line. */
  onNote?: (note: string) => void;
}

export class ServedAnswers implements AnswerSampler {
  /** True with LoRA. */
  readonly followsPolicy: boolean;
  readonly #client: CompletionsClient;
  readonly #options: ServedAnswersOptions;
  #loaded: { name: string; folder: string } | undefined;

  constructor(client: CompletionsClient, options: ServedAnswersOptions) {
    this.#client = client;
    this.#options = options;
    this.followsPolicy = options.model.adapters !== undefined;
    if (!this.followsPolicy) {
      options.onNote?.(
        "rollouts: without LoRA the server keeps its weights while the policy here moves away from them; the ratio is " +
          "taken to the server's log-probabilities, which corrects for it as far as the clip allows (model.lora follows)",
      );
    }
  }

  /**
   * Samples one step's answers.
   *
   * @throws {UserError} When the server does not load the adapter, keeps failing, or gives tokens that the policy lacks.
   * @throws {RangeError} When answers do not end themselves.
   */
  async sample({ openAnswers, ...request }: SampleRequest): Promise<SampledAnswers> {
    if (!openAnswers) throw new RangeError("a server samples answers that end themselves: give openAnswers");
    const [, , step] = request.stream;
    if (this.followsPolicy) await this.#loadPolicy(step);
    const { answers, logProbabilities, ended, retries } = await this.#client.generate({ ...request, ...openAnswers });
    const { vocabularySize } = this.#options.model.config;
    for (const answer of answers) {
      if (answer.length === 0) {
        throw new UserError("the server gave an answer without a token: it cannot be trained on");
      }
      const strange = answer.find((token) => token >= vocabularySize);
      if (strange !== undefined) {
        throw new UserError(
          `the server gave token ${strange}, the policy has ${vocabularySize}: serve the model that is trained here`,
        );
      }
    }
    return { answers, logProbabilities, ended, retries };
  }

  /** Makes the server forget the last adapter, and removes its files. */
  async close(): Promise<void> {
    await this.#unload();
  }

  async #loadPolicy(step: number): Promise<void> {
    const { model, baseModel, name: prefix } = this.#options;
    const name = `${prefix}-${step}`, folder = join(this.#options.folder, name);
    await saveAdapters(model, folder, { baseModel });
    await this.#client.loadAdapter(name, folder);
    const before = this.#loaded;
    this.#loaded = { name, folder };
    // Requests ask for the new one by now.
    if (before && before.name !== name) await this.#forget(before);
  }

  async #unload(): Promise<void> {
    const last = this.#loaded;
    this.#loaded = undefined;
    if (last) await this.#forget(last);
  }

  async #forget({ name, folder }: { name: string; folder: string }): Promise<void> {
    try {
      await this.#client.unloadAdapter(name);
    } catch (error) {
      // A server that was restarted does not know it any more; training can go on either way.
      if (!(error instanceof UserError)) throw error;
      this.#options.onNote?.(`rollouts: the server did not unload ${name}: ${error.message}`);
    }
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}
