/**
 * The objective on groups of answers, differentiable by hidden states and head; log-probabilities come chunk by chunk. Nothing is
 * updated here: that is `grpo.ts`.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { tokenLogProbabilities, tokenLossAndSums } from "../nn/log_probabilities.ts";
import type { Engine } from "../tensor/engine.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";
import { uploadTogether } from "../tensor/upload.ts";
import { advantageOf, type SpokenToken, spokenTokens, type TrainedGroup } from "./answer_groups.ts";
import { headOptions, type PredictingStates, type ReadingOptions } from "./answer_states.ts";
import {
  answerCoefficients,
  answerObjective,
  lossOf,
  type ObjectiveOptions,
  tokenObjective,
  type TokenTerms,
} from "./objective.ts";

/** What the loss needs of the trainer's choices. */
export interface PolicyLossOptions extends ReadingOptions, ObjectiveOptions {}

/**
 * The weighted loss of some groups, and sums for the log: `clipped`, `mismatch` (of the sampler's log-probabilities), and `kl`
 * where there is a reference.
 *
 * @param states From `predictingStates`.
 */
export function policyLoss(
  model: CausalTransformer,
  { states_nD, targets_n }: PredictingStates,
  groups: readonly TrainedGroup[],
  options: PolicyLossOptions,
): { loss: Tensor; aux: Record<string, Tensor> } {
  const { engine } = model, head = headOptions(model, options);
  const spoken = spokenTokens(groups);
  const numbers = (of: (token: SpokenToken<TrainedGroup>) => number) => ({ data: Float32Array.from(spoken, of) });
  const [weights_n, advantages_n, sampler_n] = uploadTogether(engine, [
    { data: Float32Array.from(groups.flatMap(({ weights_n }) => [...weights_n])) },
    numbers(advantageOf),
    numbers(({ group, g, t }) => group.sampler_GT[g][t]),
  ]);
  const old_n = groups[0].old_n && concat(groups.map((group) => group.old_n!));
  const reference_n = groups[0].reference_n && concat(groups.map((group) => group.reference_n!));

  let ofAnswers_n: ReturnType<typeof answerCoefficients> | undefined;
  if (lossOf(options).ratioOf === "answer") {
    const { logProbabilities } = tokenLogProbabilities(states_nD.detach(), model.head.detach(), targets_n, head);
    ofAnswers_n = coefficientsOf(engine, spoken, logProbabilities, old_n ?? logProbabilities, advantages_n, options);
  }
  const withEntropy = options.entropyCoefficient !== 0;
  const { loss, sums } = tokenLossAndSums(states_nD, model.head, targets_n, (logProbabilities, start, entropy) => {
    const chunk = (x_n: Tensor) => x_n.narrow(0, start, logProbabilities.shape[0]);
    const terms: TokenTerms = {
      logProbabilities,
      oldLogProbabilities: old_n && chunk(old_n),
      referenceLogProbabilities: reference_n && chunk(reference_n),
      advantages: chunk(advantages_n),
      weights: chunk(weights_n),
      entropy: withEntropy ? entropy : undefined,
    };
    const { loss, clipped, kl } = ofAnswers_n
      ? answerObjective(terms, {
        coefficients: chunk(ofAnswers_n.coefficients),
        loss: chunk(ofAnswers_n.loss),
        clipped: chunk(ofAnswers_n.clipped),
      }, options)
      : tokenObjective(terms, options);
    const mismatch = logProbabilities.detach().sub(chunk(sampler_n)).abs().mul(terms.weights).sum();
    return { loss, sums: { clipped: clipped.detach(), mismatch, ...kl ? { kl: kl.detach() } : {} } };
  }, { ...head, withEntropy });
  return { loss, aux: sums };
}

/** {@linkcode answerCoefficients} of every spoken token [n], from numbers of spoken tokens. */
function coefficientsOf(
  engine: Engine,
  spoken: readonly SpokenToken[],
  current_n: Tensor,
  old_n: Tensor,
  advantages_n: Tensor,
  options: ObjectiveOptions,
) {
  const lengths_N: number[] = [], firsts_N: number[] = [];
  for (const [i, { p, g }] of spoken.entries()) {
    if (i === 0 || spoken[i - 1].p !== p || spoken[i - 1].g !== g) {
      firsts_N.push(i);
      lengths_N.push(0);
    }
    lengths_N[lengths_N.length - 1]++;
  }
  // Answers side by side, filled up to the longest; what fills up is masked.
  const rows = lengths_N.length, longest = Math.max(...lengths_N);
  const fill_NT = new Int32Array(rows * longest), mask_NT = new Float32Array(rows * longest);
  const back_n = new Int32Array(spoken.length);
  for (const [n, length] of lengths_N.entries()) {
    for (let t = 0; t < length; t++) {
      fill_NT[n * longest + t] = firsts_N[n] + t;
      mask_NT[n * longest + t] = 1;
      back_n[firsts_N[n] + t] = n * longest + t;
    }
  }
  const fill = tensor(engine, fill_NT), back = tensor(engine, back_n);
  const sideBySide = (x_n: Tensor) => x_n.gather(fill).reshape([rows, longest]);
  const { coefficients, loss, clipped } = answerCoefficients(
    sideBySide(current_n),
    sideBySide(old_n),
    tensor(engine, mask_NT, [rows, longest]),
    advantages_n.gather(tensor(engine, Int32Array.from(firsts_N))).reshape([rows, 1]),
    options,
  );
  const flat = (x_NT: Tensor) => x_NT.reshape([rows * longest]).gather(back);
  return { coefficients: flat(coefficients), loss: flat(loss), clipped: flat(clipped) };
}
