/**
 * Sampling answers that end when the model says so: text.
 *
 * As in `rollout.ts` a question is read once for its G samples and every sample has a random stream of its own. Questions
 * may have any lengths. A sample that has ended leaves the batch, so that later steps have fewer rows; a question all of
 * whose samples have ended gives its keys and values back.
 */
import { breather } from "../base/breather.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import {
  checkSamplingOptions,
  sampleTokens,
  type SamplingOptions,
  seenTokens,
  withSeenTokens,
} from "../nn/sampling.ts";
import { Philox } from "../tensor/random.ts";
import { tidy } from "../tensor/scope.ts";
import { stack, type Tensor, tensor } from "../tensor/tensor.ts";
import type { Engine } from "../tensor/engine.ts";
import type { OpenAnswers, Tokens } from "../worlds/world.ts";

/** Which answers of open length to sample. */
export interface GenerationRequest extends OpenAnswers {
  /** P questions of any lengths. */
  questions: readonly Tokens[];
  /** G, answers a question. */
  groupSize: number;
  /** Temperature, truncation, penalty of repetition. */
  sampling: SamplingOptions;
  /** Leading part of the names of the samples' random streams: (seed, purpose, step). */
  stream: readonly [seed: number, purpose: number, step: number];
  /** Number of each prompt within the step, for its stream's name. @default {0 … P − 1} */
  promptNumbers?: readonly number[];
  /** Number of the first sample of each group, for its stream's name. @default {0} */
  firstSample?: number;
  /** At most so many answers at a time; prompts are never split from their group. @default {Infinity} */
  maxRows?: number;
  /** Called after each batch of prompts with the number of prompts that are done. */
  onProgress?: (done: number) => void;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. @default {breather()} */
  breathe?: () => Promise<void>;
}

/** Sampled answers. Rows are prompt 0's G samples, then prompt 1's, … */
export interface Generation {
  /** [P·G] answers, the token that ended each included. */
  answers: Tokens[];
  /** [P·G], one number a token: log p under the distribution that it was drawn from. */
  logProbabilities: Float32Array[];
  /** [P·G]: whether the model ended the answer, rather than `maxTokens`. */
  ended: boolean[];
}

/** One answer on its way. */
interface Sample {
  /** Place of the answer among all P·G. */
  row: number;
  stream: Philox;
  tokens: number[];
  logProbabilities: number[];
  ended: boolean;
}

/** Decoding steps between two looks at what was sampled: on a GPU every look waits for all that was asked of it. */
const LOOK_EVERY = { cpu: 1, gpu: 16 };
/** Share of rows that must have ended before the cache is packed anew. */
const WORTH_PACKING = 0.25;

/**
 * Samples answers; see the file's head.
 *
 * @throws {RangeError} When an option is out of its range, there is no question, or one is too long for the model.
 */
export async function generate(model: CausalTransformer, request: GenerationRequest): Promise<Generation> {
  const { questions, groupSize, maxTokens, endTokens, sampling } = request;
  checkSamplingOptions(sampling);
  if (questions.length === 0) throw new RangeError("generate: needs at least one question: received none");
  for (const [name, value] of Object.entries({ groupSize, maxTokens })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`generate: ${name} must be at least 1: received ${value}`);
    }
  }
  if (endTokens.length === 0) throw new RangeError("generate: endTokens must name the token that ends an answer");
  const samples = questions.map((_, p) =>
    Array.from({ length: groupSize }, (_, g): Sample => ({
      row: p * groupSize + g,
      stream: new Philox(...request.stream, request.promptNumbers?.[p] ?? p, (request.firstSample ?? 0) + g),
      tokens: [],
      logProbabilities: [],
      ended: false,
    }))
  );
  // Questions of similar length go together: less is masked.
  const order = [...questions.keys()].sort((a, b) => questions[a].length - questions[b].length || a - b);
  const promptsAtOnce = Math.max(1, Math.floor((request.maxRows ?? Infinity) / groupSize));
  for (let from = 0; from < order.length; from += promptsAtOnce) {
    const part = order.slice(from, from + promptsAtOnce);
    await generateBatch(model, request, part.map((p) => questions[p]), part.map((p) => samples[p]));
    request.onProgress?.(Math.min(order.length, from + promptsAtOnce));
  }
  const flat = samples.flat();
  return {
    answers: flat.map((sample) => Int32Array.from(sample.tokens)),
    logProbabilities: flat.map((sample) => Float32Array.from(sample.logProbabilities)),
    ended: flat.map((sample) => sample.ended),
  };
}

async function generateBatch(
  model: CausalTransformer,
  { groupSize, maxTokens, endTokens, sampling, breathe = breather() }: GenerationRequest,
  questions: readonly Tokens[],
  samples: readonly Sample[][],
): Promise<void> {
  const { engine } = model;
  const room = model.config.maxPositions - Math.max(...questions.map((question) => question.length));
  if (room < 1) {
    throw new RangeError(
      `generate: a question of ${
        Math.max(...questions.map((question) => question.length))
      } tokens leaves no room for an answer ` +
        `within the model's ${model.config.maxPositions} positions`,
    );
  }
  const maxNewTokens = Math.min(maxTokens, room);
  const lookEvery = engine.device === "cpu" ? LOOK_EVERY.cpu : LOOK_EVERY.gpu;
  const penalizes = (sampling.repetitionPenalty ?? 1) !== 1;
  const { cache, hidden } = model.prefill(questions, { group: groupSize, maxNewTokens });
  // Rows of the batch: prompt by prompt, as many of each; ended ones may still be among them.
  let rows: Sample[] = samples.flat();
  let groups: Sample[][] = samples.map((group) => [...group]);
  let state: Tensor | undefined = tidy(() => {
    const [count, width] = hidden.shape;
    return hidden.reshape([count, 1, width]).broadcastTo([count, groupSize, width])
      .reshape([count * groupSize, width]);
  });
  hidden.dispose();
  let seen = penalizes
    ? seenTokens(
      engine,
      questions.flatMap((question) => new Array<Tokens>(groupSize).fill(question)),
      model.config.vocabularySize,
    )
    : undefined;
  let pending: Drawn[] = [];
  let uniforms: Tensor | undefined;
  try {
    for (let t = 0; t < maxNewTokens; t++) {
      await breathe();
      // Between two looks the rows stay: what they draw with is uploaded at once.
      if (pending.length === 0) {
        uniforms?.dispose();
        uniforms = uniformNumbers(engine, rows, Math.min(lookEvery, maxNewTokens - t));
      }
      const isLast = t === maxNewTokens - 1;
      const next = tidy(() => {
        const own = uniforms!.narrow(0, pending.length, 1).reshape([rows.length]);
        const drawn = sampleTokens(model.logits(state!, cache), own, sampling, seen);
        return {
          tokens: drawn.tokens,
          logProbabilities: drawn.logProbabilities,
          state: isLast ? undefined : model.decode(cache, drawn.tokens),
          seen: seen && withSeenTokens(seen, drawn.tokens),
        };
      });
      state?.dispose();
      seen?.dispose();
      state = next.state;
      seen = next.seen;
      pending.push(next);
      if (pending.length < lookEvery && !isLast) continue;
      await collect(pending, rows, endTokens);
      pending = [];
      const live = rows.filter((sample) => !sample.ended).length;
      if (live === 0 || isLast) break;
      if (live > (1 - WORTH_PACKING) * rows.length) continue;
      const packed = pack(groups);
      if (!packed) continue;
      const indices = tensor(engine, Int32Array.from(packed.rows));
      const kept = tidy(() => [state!.gather(indices), seen?.gather(indices)] as const);
      indices.dispose();
      state?.dispose();
      seen?.dispose();
      [state, seen] = kept;
      cache.select(packed.selection);
      groups = packed.groups;
      rows = groups.flat();
    }
  } finally {
    cache.dispose();
    state?.dispose();
    seen?.dispose();
    uniforms?.dispose();
    for (const look of pending) {
      look.tokens.dispose();
      look.logProbabilities.dispose();
    }
  }
}

/** What one step drew for all rows. */
interface Drawn {
  tokens: Tensor;
  logProbabilities: Tensor;
}

/** The next numbers of each row's stream, [steps, rows]. Of a row that ends before, nobody asks what is left. */
function uniformNumbers(engine: Engine, rows: readonly Sample[], steps: number): Tensor {
  const numbers = new Float32Array(steps * rows.length);
  rows.forEach(({ stream }, row) => {
    for (let step = 0; step < steps; step++) numbers[step * rows.length + row] = stream.uniform();
  });
  return tensor(engine, numbers, [steps, rows.length]);
}

/** Reads what was sampled, all steps at once, and gives each sample its own, up to its end. */
async function collect(
  pending: readonly Drawn[],
  rows: readonly Sample[],
  endTokens: readonly number[],
): Promise<void> {
  // Tokens are whole numbers that float32 holds.
  const both = tidy(() =>
    stack([
      ...pending.map(({ tokens }) => tokens.cast("float32")),
      ...pending.map(({ logProbabilities }) => logProbabilities.cast("float32")),
    ])
  );
  const numbers = await both.data(), count = rows.length;
  both.dispose();
  for (const [step, { tokens, logProbabilities }] of pending.entries()) {
    tokens.dispose();
    logProbabilities.dispose();
    rows.forEach((sample, row) => {
      if (sample.ended) return;
      const token = Number(numbers[step * count + row]);
      sample.tokens.push(token);
      sample.logProbabilities.push(Number(numbers[(pending.length + step) * count + row]));
      sample.ended = endTokens.includes(token);
    });
  }
}

/**
 * Which rows stay: questions with living samples, as many samples of each as the one with the most has. Undefined where
 * that would save nothing.
 */
function pack(groups: readonly Sample[][]) {
  const width = groups[0].length;
  const living = groups.map((group) => group.filter((sample) => !sample.ended).length);
  const most = Math.max(...living);
  if (most === width && living.every((count) => count > 0)) return undefined;
  const rows: number[] = [], kept: Sample[][] = [];
  const selection: { prompt: number; samples: number[] }[] = [];
  groups.forEach((group, prompt) => {
    if (living[prompt] === 0) return;
    // Ended ones fill up where a question has fewer living samples than another.
    const order = [...group.keys()].sort((a, b) => Number(group[a].ended) - Number(group[b].ended) || a - b);
    const samples = order.slice(0, most);
    selection.push({ prompt, samples });
    kept.push(samples.map((place) => group[place]));
    rows.push(...samples.map((place) => prompt * width + place));
  });
  return { rows, selection, groups: kept };
}
