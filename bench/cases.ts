/**
 * What is measured: one list for both sides, so that they cannot differ in their sizes. How each side does the work is in `ours/`
 * and `reference/`.
 */
import type { BenchCase } from "./case.ts";
import { languageCases } from "./language_cases.ts";
import { videoCases } from "./video_cases.ts";

const FLOAT = 4;

const product = (numbers: readonly number[]) => numbers.reduce((all, n) => all * n, 1);

function matmul(name: string, m: number, k: number, n: number): BenchCase {
  return {
    name,
    title: `matrix product ${m}×${k}×${n}`,
    kind: "matmul",
    sizes: { m, k, n },
    flops: 2 * m * k * n,
    goal: 0.95,
    needs: "torch",
    ownProcesses: false,
  };
}

/** @param shape [B, H, W, C]; as many channels come out. */
function convolution(shape: readonly number[], backward: boolean): BenchCase {
  return {
    name: backward ? "conv2d-backward" : "conv2d",
    title: `convolution 3×3 of [${shape}]${backward ? ", forward and backward" : ""}`,
    kind: "conv2d",
    sizes: { shape, backward },
    flops: 2 * product(shape) * shape[3] * 9 * (backward ? 3 : 1),
    goal: 0.95,
    needs: "torch",
    ownProcesses: false,
  };
}

/** @param shape [B, H, T, D]. */
function attention(shape: readonly number[], backward: boolean): BenchCase {
  // Half of the pairs are masked; the backward pass of the fused kernels costs 2.5 forward passes.
  return {
    name: backward ? "attention-backward" : "attention",
    title: `causal attention [${shape}]${backward ? ", forward and backward" : ""}`,
    kind: "attention",
    sizes: { shape, backward },
    flops: 2 * product(shape) * shape[2] * (backward ? 3.5 : 1),
    goal: 0.95,
    needs: "torch",
    ownProcesses: false,
  };
}

/** Sizes of the transformer that the last cases train and sample: Llama's shape with the robot-video vocabulary. */
const MODEL = { vocabulary: 4633, width: 256, layers: 4, heads: 4, inner: 1024 };

/** Operations of one token's forward pass, attention left out. */
function forwardFlops(model: typeof MODEL): number {
  const { width, layers, inner, vocabulary } = model;
  return 2 * (layers * (4 * width * width + 3 * width * inner) + vocabulary * width);
}

function likelihood(rows: number, length: number, model: typeof MODEL): BenchCase {
  return {
    name: "likelihood",
    title: `likelihood step, ${rows} × ${length} tokens`,
    kind: "likelihood",
    sizes: { rows, length, ...model },
    flops: 3 * rows * length * forwardFlops(model),
    goal: 0.95,
    needs: "transformers",
    ownProcesses: true,
  };
}

interface GroupSizes {
  prompts: number;
  group: number;
  promptLength: number;
  answerLength: number;
}

function update(name: string, note: string, shape: GroupSizes, model: typeof MODEL, options: {
  sharePrompt: boolean;
  allLogits: boolean;
  goal?: number;
}): BenchCase {
  const { goal, ...choices } = options;
  const { prompts, group, promptLength, answerLength } = shape;
  return {
    name,
    title: `GRPO update, ${promptLength} + ${group} × ${answerLength} tokens${note}`,
    kind: "update",
    sizes: { ...shape, ...model, ...choices },
    flops: 3 * prompts * group * (promptLength + answerLength) * forwardFlops(model),
    goal,
    needs: "transformers",
    ownProcesses: true,
  };
}

function rollouts(name: string, shape: GroupSizes, model: typeof MODEL): BenchCase {
  const { prompts, group, promptLength, answerLength } = shape;
  return {
    name,
    title: `rollouts, ${prompts} × ${group} answers of ${answerLength} tokens after ${promptLength}`,
    kind: "rollout",
    sizes: { ...shape, ...model },
    flops: prompts * group * (promptLength + answerLength) * forwardFlops(model),
    goal: 3,
    needs: "transformers",
    ownProcesses: true,
  };
}

/** The machine's own limits: measured like cases, used to judge them. */
export function ceilings(quick: boolean): { matrix: BenchCase; memory: BenchCase } {
  const elements = quick ? 1 << 20 : 1 << 26;
  return {
    matrix: { ...matmul("matrix-rate", quick ? 256 : 1536, quick ? 256 : 1536, quick ? 256 : 1536), goal: undefined },
    memory: {
      name: "memory-bandwidth",
      title: `copy of ${elements} numbers`,
      kind: "copy",
      sizes: { elements },
      bytes: 2 * elements * FLOAT,
      needs: "torch",
      ownProcesses: false,
    },
  };
}

/** All cases. @param quick Small sizes that only show that everything runs. */
export function benchCases(quick: boolean): BenchCase[] {
  const image = quick ? [2, 8, 8, 8] : [8, 64, 64, 64], heads = quick ? [2, 2, 16, 8] : [8, 8, 320, 32];
  const tensors = quick ? 10 : 100, each = quick ? 100 : 250_000, chain = quick ? 10 : 200;
  const model = quick ? { vocabulary: 50, width: 16, layers: 2, heads: 2, inner: 32 } : MODEL;
  const one = quick
    ? { prompts: 1, group: 4, promptLength: 8, answerLength: 4 }
    : { prompts: 1, group: 16, promptLength: 256, answerLength: 64 };
  const four = { ...one, prompts: 4 };
  const plain = { sharePrompt: true, allLogits: true, goal: 3 };
  return [
    quick ? matmul("matmul-square", 32, 32, 32) : matmul("matmul-square", 512, 512, 512),
    quick ? matmul("matmul", 64, 16, 32) : matmul("matmul", 2048, 256, 1024),
    convolution(image, false),
    convolution(image, true),
    attention(heads, false),
    attention(heads, true),
    {
      name: "group-norm",
      title: `group norm of [${image}]`,
      kind: "groupNorm",
      sizes: { shape: image, groups: quick ? 4 : 32 },
      bytes: 2 * product(image) * FLOAT,
      goal: 0.95,
      needs: "torch",
      ownProcesses: false,
    },
    {
      name: "adamw",
      title: `AdamW, ${tensors} tensors of ${each}`,
      kind: "adamW",
      sizes: { tensors, each },
      // Parameter and two moments read and written, gradient read.
      bytes: 7 * tensors * each * FLOAT,
      goal: 0.95,
      needs: "torch",
      ownProcesses: false,
    },
    {
      name: "host-forward",
      title: "host: one [8, 8] product, forward",
      kind: "chain",
      sizes: { chain, backward: false },
      operators: chain,
      goal: 1,
      needs: "torch",
      ownProcesses: false,
    },
    {
      name: "host-backward",
      title: "host: one [8, 8] product, forward and backward",
      kind: "chain",
      sizes: { chain, backward: true },
      operators: chain,
      goal: 1,
      needs: "torch",
      ownProcesses: false,
    },
    {
      name: "host-gradient",
      title: "host: product, sum and gradient, all alone",
      kind: "chain",
      sizes: { chain: 1, backward: true },
      operators: 1,
      goal: 1,
      needs: "torch",
      ownProcesses: false,
    },
    likelihood(quick ? 2 : 16, quick ? 8 : 320, model),
    update("update", "", one, model, plain),
    update("update-answer-logits", "; PyTorch: logits of answers only", one, model, {
      ...plain,
      allLogits: false,
      goal: undefined,
    }),
    update("update-unshared", "; ours: prompt not shared", one, model, {
      ...plain,
      sharePrompt: false,
      goal: undefined,
    }),
    rollouts("rollouts", one, model),
    rollouts("rollouts-4", four, model),
    ...languageCases(quick),
    ...videoCases(quick),
  ];
}
