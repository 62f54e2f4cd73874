/** The stage before the model's own: a tokenizer learns to reconstruct frames. */
import { Discriminator, RELEASED_DISCRIMINATOR } from "../../models/discriminator.ts";
import type { Lpips } from "../../models/lpips.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import { pickMetrics, runStage, type StageContext } from "../../runs/stage.ts";
import { tokenizerDivergence, watchBatches } from "../../runs/stage_history.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { RobotVideoConfig } from "./config.ts";
import type { RobotVideoData } from "./data.ts";
import { setBackground, type VideoKind, type VideoTokenizer } from "./video_kind.ts";

/** What a tokenizer is trained with. */
export interface TokenizerStage {
  /** Engine that the tokenizer is computed on. */
  engine: Engine;
  /** The configuration, every value filled in. */
  config: RobotVideoConfig;
  /** Where frames come from. */
  data: RobotVideoData;
  /** Which tokenizer it is. */
  kind: VideoKind;
  /** Judges what it reconstructs, where the configuration asks for that. */
  lpips: Lpips | undefined;
  /** The run. */
  context: StageContext;
  /** A checkpoint of other data is not resumed. */
  learntFrom: LearntFrom;
}

/** Trains a tokenizer and keeps it in the run as `models/tokenizer`. @returns It, the caller's from now on, and seconds of training. */
export async function trainTokenizer(stage: TokenizerStage): Promise<{ tokenizer: VideoTokenizer; seconds: number }> {
  const { engine, config, config: { seed, tokenizer: settings }, data, kind, lpips, context, learntFrom } = stage;
  using owned = new DisposableStack();
  const tokenizer = kind.newTokenizer(engine, config, data);
  let isFinished = false;
  owned.defer(() => isFinished || tokenizer.dispose());
  if (settings.background) await setBackground(engine, tokenizer, data, seed);
  const discriminator = settings.adversarialWeight > 0
    ? owned.adopt(
      Discriminator.initialize(engine, RELEASED_DISCRIMINATOR, { seed }),
      (discriminator) => discriminator.dispose(),
    )
    : undefined;
  const perceptual = settings.lpipsWeight > 0 ? lpips : undefined;
  const trainer = kind.trainer(tokenizer, { config, data, perceptual, discriminator });
  owned.defer(() => trainer.dispose());
  const { seconds } = await runStage(context, {
    name: "tokenizer",
    steps: settings.steps,
    ...learntFrom,
    async save() {
      const { tensors, ...counts } = await trainer.stateToHost();
      return { "state.safetensors": tensors, "state.json": counts };
    },
    async load(checkpoint) {
      const counts = await checkpoint.json<{ step: number; tokenizerUpdates: number; discriminatorUpdates: number }>(
        "state.json",
      );
      await trainer.loadState(
        { ...counts, tensors: await checkpoint.tensors("state.safetensors") },
        checkpoint.folder,
      );
    },
    step: async () => ({ ...await trainer.step() }),
    show: (metrics) => pickMetrics(metrics, { absoluteError: "L1", codesUsed: "codes" }),
    watched: watchBatches("absoluteError", "lower"),
    divergence: tokenizerDivergence,
  });
  await tokenizer.save(context.run.file("models/tokenizer"));
  isFinished = true;
  return { tokenizer, seconds };
}
