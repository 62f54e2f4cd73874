/**
 * What a run of a language experiment shows of its configuration, for `config_fields.ts`, and rows of the fields that text games and web
 * pages share.
 *
 * Trainers do not train here: what they are made with and given is what is looked at, and what they do with it is their own tests' affair.
 */
import { basename, join } from "node:path";
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { type GrpoMetrics, type GrpoOptions, GrpoTrainer } from "../../lib/train/grpo.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { full } from "../../lib/tensor/tensor.ts";
import { CheckpointStore } from "../../lib/runs/checkpoint.ts";
import { type LikelihoodMetrics, type LikelihoodOptions, LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { type Progress, silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import type { LanguageExample } from "../../lib/worlds/language_tokens.ts";
import type { EncodedTransition } from "../../lib/worlds/world.ts";
import { countOf, digest, type FieldRow, type Plain, replace } from "./config_fields.ts";

/** What a trainer was made with, and what it was given to train with, step by step. */
export interface SeenTrainer<Options> {
  options: Options;
  /** The model's own. */
  model: {
    config: CausalTransformer["config"];
    computeType: string;
    adapters?: Plain;
    weights: string;
    types: string[];
    /** Which stage left it: see {@linkcode LanguageTrace.evaluated}. */
    mark: number;
  };
  /** Of GRPO: who the policy is held to, and which stage left that model. */
  reference?: "none" | "without-adapters" | "a model" | "the policy";
  referenceMark?: number;
  /** Whether a server samples. */
  isServed?: boolean;
  batches: string[][];
  /** Prompt tokens that likelihood training trains. */
  questionTokens: number;
}

/** What a run of a language experiment shows. */
export interface LanguageTrace {
  /** Why it ended. */
  error?: string;
  notes: string[];
  /** Questions and targets. */
  train: [string, string][];
  test: [string, string][];
  /** Of the vocabulary: its size, and a text in its tokens. */
  vocabulary: { size: number; tokens: number[] };
  modelFolder: string | null;
  /** Longest answers that are sampled. */
  maxAnswerTokens: number;
  /** What an answer with the token that ends it is scored as, where the true one is given. */
  scoreWithEnd: unknown;
  likelihood?: SeenTrainer<LikelihoodOptions>;
  /** One a stage. */
  grpo: SeenTrainer<GrpoOptions>[];
  /** Checkpoints by stage. */
  saves: Record<string, number>;
  /** Step of the best checkpoint by stage. */
  best: Record<string, number>;
  /** Lines of samples.jsonl. */
  samples: Plain[];
  /** Of the evaluation: groups that were sampled at once, and the tokens that were drawn: of all, and of each batch of groups. */
  prefills: { questions: number; group: number }[];
  drawn: string;
  draws: string[];
  /** Marks of the models that were evaluated, in order: 1 of a new model, 2 after likelihood, 3 after the first stage of GRPO, … */
  evaluated: number[];
  result?: Record<string, unknown>;
  report: string;
}

/** What {@linkcode traceLanguage} needs of an experiment. */
interface LanguageExperiment {
  readonly train: readonly LanguageExample[];
  readonly test: readonly LanguageExample[];
  readonly tokenizer: {
    readonly vocabularySize: number;
    encode(text: string): ArrayLike<number>;
    readonly eosToken?: { id: number };
  };
  readonly modelFolder: string | null;
  readonly world: {
    readonly openAnswers?: { readonly maxTokens: number };
    encodeOne(example: never): EncodedTransition;
    decode(answers: readonly Int32Array[], examples: readonly never[]): Promise<unknown[]>;
    score(response: never, scoring: never): unknown;
  };
  readonly run: RunFolder;
}

/** Opens an experiment and runs stages of it with trainers that only look. */
export async function traceLanguage<Experiment extends LanguageExperiment>({ folder, config, mayFail, open, run }: {
  /** For runs; each gets a folder of its own. */
  folder: string;
  config: object;
  /** Whether an error is something to be seen; otherwise nothing of the run is. */
  mayFail: boolean;
  open: (run: () => Promise<RunFolder>, progress: Progress) => Promise<Experiment>;
  run: (experiment: Experiment) => Promise<{ result?: unknown; report?: string }>;
}): Promise<LanguageTrace> {
  const trace: LanguageTrace = {
    ...{ notes: [], train: [], test: [], vocabulary: { size: 0, tokens: [] }, modelFolder: null, maxAnswerTokens: 0 },
    ...{ scoreWithEnd: undefined, grpo: [], saves: {}, best: {}, samples: [], prefills: [], drawn: "", draws: [] },
    ...{ evaluated: [], report: "" },
  };
  using spies = spyOnTraining(trace);
  const path = await Deno.makeTempDir({ dir: folder });
  try {
    const progress = { ...silentProgress, note: (text: string) => void trace.notes.push(text.replaceAll(path, "RUN")) };
    const experiment = await open(() => RunFolder.create(join(path, "run"), { config }), progress);
    using _ = experiment.run;
    const texts = ({ question, target }: LanguageExample): [string, string] => [JSON.stringify(question), target];
    trace.train = experiment.train.map(texts);
    trace.test = experiment.test.map(texts);
    const { tokenizer, world, test } = experiment;
    trace.vocabulary = {
      size: tokenizer.vocabularySize,
      tokens: [...Array.from(tokenizer.encode("[12] link 'a thing (ID: 3)'"))],
    };
    trace.modelFolder = experiment.modelFolder;
    trace.maxAnswerTokens = world.openAnswers!.maxTokens;
    const [response] = await world.decode([world.encodeOne(test[0] as never).answer.tokens as Int32Array], [
      test[0] as never,
    ]);
    trace.scoreWithEnd = world.score(response as never, "strict" as never);
    const { result, report } = await run(experiment);
    trace.result = result as LanguageTrace["result"];
    if (report !== undefined) trace.report = await Deno.readTextFile(report);
    await spies.finish();
    trace.samples = await experiment.run.samples.read();
    for (const stage of Object.keys(trace.saves)) {
      const marker = await Deno.readTextFile(experiment.run.file(`checkpoints/${stage}/best.json`)).catch(() =>
        undefined
      );
      if (marker !== undefined) trace.best[stage] = JSON.parse(marker).step;
    }
  } catch (error) {
    if (!mayFail) throw error;
    trace.error = (error as Error).message;
  } finally {
    await Deno.remove(path, { recursive: true });
  }
  return trace;
}

/** Puts lookers in the place of what trains, saves and samples, until it is disposed. */
function spyOnTraining(trace: LanguageTrace): Disposable & { finish(): Promise<void> } {
  using owned = new DisposableStack();
  const trainers = new Map<object, unknown>();
  const look = async <Options>(
    trainer: { model: CausalTransformer; options: Options },
  ): Promise<SeenTrainer<Options>> => {
    const known = trainers.get(trainer);
    if (known) return known as SeenTrainer<Options>;
    const seen = { options: trainer.options, model: await lookAt(trainer.model), batches: [], questionTokens: 0 };
    trainers.set(trainer, seen);
    return seen;
  };
  owned.use(replace(LikelihoodTrainer.prototype, "step", async function (step, batch): Promise<LikelihoodMetrics> {
    const seen = trace.likelihood = await look(this);
    seen.batches.push(batch.map((each) => digest([...each.question, ...each.answer.tokens])));
    seen.questionTokens += batch.reduce((sum, each) => sum + each.trainedQuestionTokens, 0);
    mark(this.model, 2);
    return { loss: 1 / (1 + step), gradientNorm: 1, learningRate: 1, tokens: 1 };
  }));
  owned.use(replace(GrpoTrainer.prototype, "step", async function (step, examples): Promise<GrpoMetrics> {
    const seen = await look(this);
    const isModel = this.reference instanceof CausalTransformer;
    if (this.reference === this.model) seen.reference = "the policy";
    else seen.reference = isModel ? "a model" : this.reference as "without-adapters" | undefined ?? "none";
    seen.referenceMark ??= isModel ? await markOf(this.reference as CausalTransformer) : undefined;
    seen.isServed = this.sampler !== undefined;
    if (!trace.grpo.includes(seen)) trace.grpo.push(seen);
    mark(this.model, 3 + trace.grpo.indexOf(seen));
    seen.batches.push(examples.map((each) => JSON.stringify(each)));
    // A server is really asked: what it is asked for is its own to see.
    if (this.sampler) {
      const [{ question, answer }] = await this.world.encode(examples), { groupSize, temperature } = this.options;
      await this.sampler.sample({
        questions: [question],
        plans: [answer],
        openAnswers: this.world.openAnswers,
        groupSize,
        sampling: { temperature },
        stream: [0, 0, 0],
        maxRows: groupSize,
      });
    }
    const [{ answer }] = await this.world.encode(examples);
    const number = {
      reward: step,
      bestReward: 1,
      rewardStd: 1,
      equalGroups: 0,
      duplicateAnswers: 0,
      largestAdvantage: 1,
      loss: 0,
      clipShare: 0,
    };
    return {
      ...{
        ...number,
        metrics: {},
        samplerMismatch: 0,
        entropy: 1,
        gradientNorm: 1,
        skippedUpdates: 0,
        tokens: 1,
        kl: 0.1,
      },
      seconds: { rollout: 0, reward: 0, update: 0 },
      sample: { truth: [], answers: [[...answer.tokens]], rewards: [], advantages: [] },
    };
  }));
  const save = CheckpointStore.prototype.save;
  owned.use(replace(CheckpointStore.prototype, "save", function (...args) {
    const stage = basename(this.folder);
    trace.saves[stage] = (trace.saves[stage] ?? 0) + 1;
    return save.apply(this, args);
  }));
  const { prefill, decode } = CausalTransformer.prototype, drawn: Promise<ArrayLike<number | bigint>>[][] = [];
  const marks: Promise<number>[] = [];
  owned.use(replace(CausalTransformer.prototype, "prefill", function (prompts, options) {
    trace.prefills.push({ questions: (prompts as ArrayLike<unknown>).length, group: options.group ?? 1 });
    drawn.push([]);
    marks.push(markOf(this));
    return prefill.call(this, prompts, options);
  }));
  owned.use(replace(CausalTransformer.prototype, "decode", function (cache, tokens) {
    drawn.at(-1)!.push(tokens.data());
    return decode.call(this, cache, tokens);
  }));
  const kept = owned.move();
  return {
    async finish() {
      const tokens = await Promise.all(drawn.map((own) => Promise.all(own)));
      trace.draws = tokens.map((own) => digest(own.map((each) => Array.from(each, Number))));
      trace.drawn = digest(trace.draws);
      trace.evaluated = [...new Set(await Promise.all(marks))];
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

const MARKED = "model.norm.weight";

/** Writes a stage's number into a model, in place of what the stage would have trained. */
function mark(model: CausalTransformer, stage: number): void {
  const parameter = model.parameters.get(MARKED)!;
  tidy(() => parameter.assign(full(model.engine, parameter.shape, stage, parameter.dtype)));
}

async function markOf(model: CausalTransformer): Promise<number> {
  return Number((await model.parameters.get(MARKED)!.data())[0]);
}

async function lookAt(model: CausalTransformer): Promise<SeenTrainer<unknown>["model"]> {
  const parameters = [...model.parameters.values()], { adapters } = model;
  const weights = await Promise.all(parameters.map(async (each) => Array.from(await each.data(), Number)));
  return {
    config: model.config,
    computeType: model.computeType,
    ...adapters ? { adapters: { ...adapters.options, layers: adapters.layers.length } } : {},
    weights: digest(weights),
    types: [...new Set(parameters.map(({ dtype }) => dtype))],
    mark: await markOf(model),
  };
}

/** A server of completions that refuses everything, and says what was asked for. */
export function refusingServer(): AsyncDisposable & { base: string } {
  const http = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    if (new URL(request.url).pathname === "/v1/models") return Response.json({ data: [{ id: "the only one" }] });
    const { model } = await request.json();
    return Response.json({ error: { message: `not from ${model}` } }, { status: 400 });
  });
  return { base: `http://127.0.0.1:${http.addr.port}`, [Symbol.asyncDispose]: () => http.shutdown() };
}

/**
 * Rows of the fields that text games and web pages share. Their contexts: `data`, `likelihood` and `grpo` (changed at once), `a given
 * model`, `adapters`, `a server`, `training`, `evaluation`, `everything`.
 *
 * @param server Address of a {@linkcode refusingServer}.
 * @param model Folder of a language model.
 */
export function languageRows(server: string, model: string): Record<string, FieldRow<LanguageTrace>> {
  type Row = FieldRow<LanguageTrace>;
  const first = ({ grpo: [stage] }: LanguageTrace) => stage;
  const likelihood = (name: keyof LikelihoodOptions, value: unknown, equals = value): Row => ({
    in: "likelihood",
    value,
    sees: (trace) => trace.likelihood!.options[name],
    equals,
  });
  const grpo = (name: keyof GrpoOptions, value: unknown, equals = value): Row => ({
    in: "grpo",
    value,
    sees: (trace) => first(trace).options[name],
    equals,
  });
  const size = (name: keyof CausalTransformer["config"], value: unknown): Row => ({
    in: "likelihood",
    value,
    sees: (trace) => trace.likelihood!.model.config[name],
    equals: value,
  });
  const both = (name: "checkpointing" | "logitChunk", value: unknown): Row => ({
    in: "training",
    value,
    sees: [(trace) => trace.likelihood!.options[name], (trace) => first(trace).options[name]],
    equals: value,
  });
  const adapter = (name: string, value: unknown): Row => ({
    in: "adapters",
    value,
    sees: [(trace) => trace.likelihood!.model.adapters![name], (trace) => first(trace).model.adapters![name]],
    equals: value,
  });
  return {
    preset: { in: "everything", value: "my own", sees: ({ result }) => result!.preset, equals: "my own" },
    seed: {
      in: "everything",
      value: 7,
      sees: [
        ({ train }) => train,
        (trace) => trace.likelihood!.batches,
        (trace) => trace.likelihood!.model.weights,
        (trace) => first(trace).batches,
        (trace) => first(trace).options.seed,
        ({ drawn }) => drawn,
        ({ result }) => result!.seed,
      ],
    },
    "tokenizer.vocabularySize": { in: "data", value: 420, sees: ({ vocabulary }) => vocabulary.size, equals: 420 },
    "tokenizer.pattern": { in: "data", value: "words", sees: ({ vocabulary }) => vocabulary.tokens },
    "model.folder": { in: "a given model", value: model, sees: ({ modelFolder }) => modelFolder, equals: model },
    "model.hiddenSize": size("hiddenSize", 24),
    "model.layers": size("layers", 2),
    "model.heads": size("heads", 3),
    "model.intermediateSize": size("feedForwardSize", 40),
    "model.initializerRange": size("initializerRange", 0.03),
    "model.computeType": {
      in: "training",
      value: "bfloat16",
      sees: [(trace) => trace.likelihood!.model.computeType, (trace) => first(trace).model.computeType],
      equals: "bfloat16",
    },
    "model.parameterType": {
      in: "adapters",
      value: "bfloat16",
      sees: (trace) => first(trace).model.types,
      equals: ["bfloat16"],
    },
    "model.checkpointing": both("checkpointing", true),
    "model.lora": {
      in: "training",
      value: { rank: 2 },
      sees: [(trace) => trace.likelihood!.model.adapters?.rank, (trace) => first(trace).model.adapters?.rank],
      equals: 2,
    },
    "model.lora.rank": adapter("rank", 3),
    "model.lora.alpha": adapter("alpha", 8),
    "model.lora.targets": adapter("targets", ["q_proj"]),
    "likelihood.steps": { in: "likelihood", value: 3, sees: (trace) => trace.likelihood!.batches.length, equals: 3 },
    "likelihood.trainsQuestions": {
      in: "likelihood",
      value: true,
      sees: (trace) => trace.likelihood!.questionTokens > 0,
      equals: true,
    },
    "likelihood.batch": { in: "likelihood", value: 4, sees: (trace) => trace.likelihood!.batches[0].length, equals: 4 },
    "likelihood.microBatch": likelihood("microBatch", 5),
    "likelihood.learningRate": likelihood("learningRate", 0.0123),
    "likelihood.warmupSteps": likelihood("warmupSteps", 1),
    "likelihood.decaySteps": {
      in: "likelihood",
      value: 2,
      sees: (trace) => trace.likelihood!.options.decay,
      equals: { steps: 2, totalSteps: 3 },
    },
    "likelihood.beta2": likelihood("beta2", 0.77),
    "likelihood.weightDecay": likelihood("weightDecay", 0.33),
    "likelihood.maxGradientNorm": likelihood("maxGradientNorm", 0.44),
    "grpo.steps": { in: "grpo", value: 5, sees: (trace) => first(trace).batches.length, equals: 5 },
    "grpo.promptsPerStep": { in: "grpo", value: 6, sees: (trace) => first(trace).batches[0].length, equals: 6 },
    "grpo.groupSize": grpo("groupSize", 7),
    "grpo.miniBatchPrompts": grpo("miniBatchPrompts", 3),
    "grpo.microBatchPrompts": grpo("microBatchPrompts", 4),
    "grpo.learningRate": grpo("learningRate", 0.00123),
    "grpo.decaySteps": grpo("decaySteps", 4),
    "grpo.dualClip": grpo("dualClip", 9),
    "grpo.entropyCoefficient": grpo("entropyCoefficient", 0.55),
    "grpo.adapters": {
      in: "adapters",
      value: false,
      sees: [(trace) => first(trace).model.adapters, (trace) => first(trace).reference === "a model" || undefined],
    },
    "grpo.rolloutRows": {
      in: "grpo",
      value: 21,
      sees: [(trace) => first(trace).options.rolloutRows, (trace) => first(trace).options.scoreRows],
      equals: 21,
    },
    "grpo.rollouts": { in: "training", value: server, sees: (trace) => first(trace).isServed, equals: true },
    "grpo.rolloutModel": {
      in: "a server",
      value: "another",
      sees: ({ error }) => /not from (.*)$/.exec(error ?? "")?.[1],
      equals: "another",
    },
    "grpo.epochs": grpo("epochs", 2),
    "grpo.weightDecay": grpo("weightDecay", 0.66),
    "grpo.maxGradientNorm": grpo("maxGradientNorm", 0.88),
    "grpo.temperature": grpo("temperature", 0.9),
    "grpo.topK": grpo("topK", 11),
    "grpo.advantageScale": grpo("advantageScale", "none"),
    "grpo.clipLow": grpo("clipLow", 0.12),
    "grpo.clipHigh": grpo("clipHigh", 0.34),
    "grpo.kl": {
      in: "training",
      value: "none",
      sees: [(trace) => first(trace).options.kl, (trace) => first(trace).reference],
      equals: "none",
    },
    "grpo.klCoefficient": grpo("klCoefficient", 0.0456),
    "grpo.denominator": grpo("denominator", "fixed-length"),
    "grpo.loss": grpo("loss", "cispo"),
    "grpo.dropEqualGroups": grpo("dropEqualGroups", true),
    "grpo.sharePrompt": grpo("sharePrompt", false),
    "evaluation.maxItems": { in: "data", value: 1, sees: ({ test }) => test.length, equals: 1 },
    "evaluation.rows": { in: "evaluation", value: 2, sees: ({ prefills }) => prefills },
    "evaluation.sampledAnswers": {
      in: "evaluation",
      value: 3,
      sees: ({ prefills }) => prefills.at(-1)!.group,
      equals: 3,
    },
    "evaluation.samples": { in: "evaluation", value: 2, sees: ({ report }) => countOf(/<td[^>]*>/g, report) },
    checkpointEvery: {
      in: "training",
      value: 1,
      sees: [
        ({ saves }) => saves.likelihood,
        (trace) => Object.entries(trace.saves).find(([name]) => name.startsWith("grpo")),
      ],
    },
    logitChunk: both("logitChunk", 99),
  };
}
