/**
 * Cases of language models: long prompts, answers of any length, checkpoints of gigabytes. See `case.ts`.
 *
 * They have Qwen2's shape: biases on queries, keys and values, fewer key heads than query heads.
 */
import type { BenchCase } from "./case.ts";

/** Sizes of the transformer that is trained and sampled. */
const MODEL = {
  architecture: "qwen2",
  vocabulary: 8192,
  width: 256,
  layers: 4,
  heads: 4,
  keyValueHeads: 2,
  inner: 1024,
};
const TINY = { ...MODEL, vocabulary: 64, width: 16, layers: 2, heads: 2, keyValueHeads: 1, inner: 32 };
/** Sizes of Qwen2-1.5B, whose embedding is its head. */
const QWEN2_1_5B = {
  architecture: "qwen2",
  vocabulary: 151_936,
  width: 1536,
  layers: 28,
  heads: 12,
  keyValueHeads: 2,
  inner: 8960,
};

/** Floating-point operations of one token's forward pass, attention left out. */
function forwardFlops({ width, layers, heads, keyValueHeads, inner, vocabulary }: typeof MODEL): number {
  const keys = width / heads * keyValueHeads;
  return 2 * (layers * (2 * width * width + 2 * width * keys + 3 * width * inner) + vocabulary * width);
}

function update(name: string, note: string, quick: boolean, options: { allLogits: boolean; goal?: number }): BenchCase {
  const { allLogits, goal } = options, model = quick ? TINY : MODEL;
  const shape = quick
    ? { prompts: 1, group: 3, promptLength: 12, answerLength: 5 }
    : { prompts: 1, group: 5, promptLength: 2500, answerLength: 800 };
  const { group, promptLength, answerLength } = shape;
  return {
    name,
    title: `log-probabilities and update, ${promptLength} + ${group} × ${answerLength} tokens${note}`,
    kind: "languageUpdate",
    sizes: { ...shape, ...model, sharePrompt: true, allLogits },
    // Forward for the log-probabilities; forward and backward for the update.
    flops: 4 * group * (promptLength + answerLength) * forwardFlops(model),
    goal,
    needs: "transformers",
    ownProcesses: true,
  };
}

/** @param lengths Of the prompts. @param meanLength Of the answers, but for the longest ones, which are cut. */
function generation(lengths: readonly number[], group: number, meanLength: number, maxTokens: number): BenchCase {
  const isTiny = maxTokens < 64, model = isTiny ? TINY : MODEL;
  return {
    name: "language-generation",
    title:
      `generation, ${lengths.length} × ${group} answers of about ${meanLength}, at most ${maxTokens} tokens after ${
        lengths[0]
      } … ${lengths.at(-1)}; PyTorch: padded on the left`,
    kind: "generation",
    sizes: { lengths, group, maxTokens, ends: Math.round(model.vocabulary / meanLength), ...model },
    goal: 3,
    needs: "transformers",
    ownProcesses: true,
  };
}

/** Cases of language models. @param quick Small sizes that only show that everything runs. */
export function languageCases(quick: boolean): BenchCase[] {
  const lengths = quick ? [4, 7, 11] : [64, 128, 192, 256, 320, 384, 448, 512];
  return [
    update("language-update", "", quick, { allLogits: true, goal: 1.8 }),
    update("language-update-answer-logits", "; PyTorch: logits of answers only", quick, { allLogits: false }),
    quick ? generation(lengths, 2, 4, 8) : generation(lengths, 8, 40, 160),
    {
      name: "loading",
      title: `loading bfloat16 of ${quick ? "a small model" : "Qwen2-1.5B's shape"}`,
      kind: "loading",
      sizes: quick ? TINY : QWEN2_1_5B,
      memoryGoal: 1.1,
      onlyTorch: true,
      needs: "transformers",
      ownProcesses: true,
    },
  ];
}
