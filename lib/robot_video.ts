/**
 * Robot video as a world: the next frame, or several with the actions between, from frames and a robot's actions.
 *
 * Episodes (a folder of `.npz` files, or any {@linkcode EpisodeSource}) are cut into clips; a frozen tokenizer makes tokens of
 * their frames, {@linkcode ActionBins} of the actions. {@linkcode RobotVideoWorld} asks for one frame after some,
 * {@linkcode MultiStepWorld} for several after one. Rewards and evaluations are made of image metrics ({@linkcode mae}, mse, psnr, ssim,
 * LPIPS). A predictor over a trained model makes an environment in Gymnasium's terms of it: {@linkcode WorldModelEnv}.
 *
 * @example A clip as tokens, and what the tokenizer alone loses: an untrained one, a lot.
 * ```ts
 * import { openEngine } from "@rlvr-world/rlvr-world";
 * import { tableTopEpisodes } from "@rlvr-world/rlvr-world/gyms";
 * import {
 *   ActionBins,
 *   FrameTokenizer,
 *   mae,
 *   psnr,
 *   RobotVideoWorld,
 *   RT1_ACTION_RANGES,
 *   TrainingClips,
 * } from "@rlvr-world/rlvr-world/robot_video";
 *
 * const { engine } = await openEngine({ engine: "wasm" });
 * const episodes = tableTopEpisodes({ episodes: 2, length: 12, height: 32, width: 32, seed: 0 });
 * const clips = new TrainingClips(episodes, [0, 1], { segment: 3, seed: 0 }); // two frames ask, the third answers
 *
 * const tokenizer = FrameTokenizer.initialize(engine, {
 *   height: 32,
 *   width: 32,
 *   channels: [16, 16],
 *   layersPerBlock: 1,
 *   latentChannels: 8,
 *   normGroups: 4,
 *   fsqLevels: [5, 5, 5],
 *   midAttention: false,
 *   pixelPatch: 4,
 * }, { seed: 0 });
 * const world = new RobotVideoWorld({ tokenizer, bins: new ActionBins(RT1_ACTION_RANGES), metrics: [mae, psnr] });
 *
 * const clip = await clips.clip(0);
 * const [{ question, answer }] = await world.encode([clip]);
 * console.log(`${question.length} tokens ask, ${answer.tokens.length} answer, of ${world.vocabularySize} kinds`);
 * const decoded = await world.decode([answer.tokens]), truth = await world.truth([clip]);
 * console.log(`MAE ${(await world.metrics.mae.compute(decoded, truth))[0].toFixed(3)}`);
 * engine.close();
 * ```
 *
 * @module
 */

// Episodes and clips
export type { Episode, EpisodeSource } from "./worlds/robot_video/episode.ts";
export { openNpzEpisodes } from "./worlds/robot_video/npz_episodes.ts";
export { ActionBins, computeActionRanges, RT1_ACTION_RANGES } from "./worlds/robot_video/actions.ts";
export { TrainingClips, type VideoClip } from "./worlds/robot_video/clips.ts";

// Tokenizers and worlds
export { FrameTokenizer } from "./models/frame_tokenizer.ts";
export type { FrameTokenizerConfig } from "./models/frame_tokenizer_config.ts";
export { CompressiveTokenizer } from "./models/compressive_tokenizer.ts";
export type { CompressiveTokenizerConfig } from "./models/compressive_tokenizer_config.ts";
export {
  type FrameBatch,
  RobotVideoWorld,
  type RobotVideoWorldOptions,
} from "./worlds/robot_video/single_step_world.ts";
export { MultiStepWorld, type MultiStepWorldOptions } from "./worlds/robot_video/multi_step_world.ts";
export { singleStepLengths } from "./worlds/robot_video/single_step_sequences.ts";
export { multiStepLengths } from "./worlds/robot_video/multi_step_sequences.ts";

// Metrics
export { lpipsMetric, mae, mse, psnr, ssim } from "./worlds/robot_video/metrics.ts";
export { Lpips } from "./models/lpips.ts";

// In a trained model
export { singleStepPredictor } from "./worlds/robot_video/single_step_predictor.ts";
export { multiStepPredictor } from "./worlds/robot_video/multi_step_predictor.ts";
export { WorldModelEnv, type WorldModelEnvOptions, WorldModelVectorEnv } from "./worlds/robot_video/world_model_env.ts";
export type { PolicyFrame } from "./worlds/robot_video/policy.ts";
