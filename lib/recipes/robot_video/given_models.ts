/**
 * Models of the robot-video experiment that come from outside or from sizes in the configuration: whether they fit the data
 * and each other is found out here, before a run's folder is made.
 */
import { join } from "node:path";
import { openRandomAccess } from "../../io/random_access.ts";
import { openWeights } from "../../io/safetensors_folder.ts";
import { UserError } from "../../base/user_error.ts";
import { CausalTransformer } from "../../models/causal_transformer.ts";
import { readTransformerConfig } from "../../models/causal_transformer_files.ts";
import { isSeenByDiscriminator, RELEASED_DISCRIMINATOR } from "../../models/discriminator.ts";
import { readTokenizerJson } from "../../models/image_tokenizer.ts";
import { Lpips } from "../../models/lpips.ts";
import { checkModelFolder, findModelFolder } from "../../models/model_folder.ts";
import type { TransformerConfig } from "../../models/transformer_config.ts";
import type { Engine } from "../../tensor/engine.ts";
import { fingerprintOfModel } from "../../runs/fingerprint.ts";
import { lpipsUsers, type RobotVideoConfig, type RobotVideoUse } from "./config.ts";
import type { RobotVideoData } from "./data.ts";
import { videoKind } from "./kinds.ts";
import type { VideoPrediction, VideoTokenizer } from "./video_kind.ts";

/** Models that were given by folder or file. */
export interface GivenModels {
  lpips?: Lpips;
  tokenizer?: VideoTokenizer;
}

const NO_LPIPS = { vgg: null, linear: null };
/** Smallest side of an image that LPIPS can look at. */
const LPIPS_LEAST = 16;

/**
 * Sees that the folders and files that a configuration names are there and sound, as far as that is known without data.
 *
 * @throws {UserError} When one is not.
 */
export async function checkGivenFolders(config: RobotVideoConfig, use: RobotVideoUse): Promise<void> {
  const { model, tokenizer } = config;
  for (const path of Object.values(usedLpips(config, use))) if (path) (await openRandomAccess(path)).close();
  if (tokenizer.folder !== null) {
    await readTokenizerJson(join(tokenizer.folder, "config.json"));
    (await openWeights(tokenizer.folder)).close();
  }
  if (model.folder !== null) await checkModelFolder(model.folder);
}

/** Fingerprints of the given models, by the field that names each. @throws {UserError} When a file cannot be read. */
export async function givenFingerprints(
  { tokenizer, model, lpips }: RobotVideoConfig,
): Promise<Record<string, string>> {
  const placesOf: Record<string, string[]> = {
    "tokenizer.folder": [tokenizer.folder].filter((path) => path !== null),
    "model.folder": model.folder === null ? [] : Object.values(await findModelFolder(model.folder)),
    lpips: [lpips.vgg, lpips.linear].filter((path) => path !== null),
  };
  const fingerprints: Record<string, string> = {};
  for (const [field, places] of Object.entries(placesOf)) {
    if (places.length > 0) fingerprints[field] = await fingerprintOfModel(places);
  }
  return fingerprints;
}

function usedLpips(config: RobotVideoConfig, use: RobotVideoUse): RobotVideoConfig["lpips"] {
  return use === "training" || lpipsUsers(config, use).length > 0 ? config.lpips : NO_LPIPS;
}

/**
 * Loads what the configuration names but for the transformer, whose stages load it: of that, as of what will be made, the sizes
 * are checked.
 *
 * @param use What the models are for: LPIPS that no field asks for is only looked at by a training run.
 * @throws {UserError} When something is missing, damaged, or does not fit.
 */
export async function openGivenModels(
  engine: Engine,
  config: RobotVideoConfig,
  data: RobotVideoData,
  use: RobotVideoUse = "training",
): Promise<GivenModels> {
  const { computeType } = config.model, { height, width } = data.source;
  const { vgg, linear } = usedLpips(config, use);
  if (!engine.supports(computeType)) {
    throw new UserError(
      `model.computeType ${computeType} does not exist on ${engine.description}: use float32, or an engine that has it ` +
        `(deno task doctor)`,
    );
  }
  if (vgg && linear && Math.min(height, width) < LPIPS_LEAST) {
    throw new UserError(
      `LPIPS needs frames of at least ${LPIPS_LEAST} × ${LPIPS_LEAST}: received ${height} × ${width}`,
    );
  }
  const lpips = vgg && linear ? await Lpips.load(engine, { vgg, linear }) : undefined;
  const kind = videoKind(config);
  if (config.tokenizer.folder === null) {
    // The sizes are checked; a tokenizer of them is made by its stage.
    kind.checkSizes(config, data);
    if (use === "training") checkDiscriminator(config, data);
    return { lpips };
  }
  const tokenizer = await kind.loadTokenizer(engine, config.tokenizer.folder, config, data);
  if (config.model.folder !== null) {
    try {
      const { model } = await findModelFolder(config.model.folder),
        prediction = kind.prediction(tokenizer, config, data, lpips);
      checkFits(config.model.folder, await readTransformerConfig(model), prediction);
    } catch (error) {
      tokenizer.dispose();
      throw error;
    }
  }
  return { lpips, tokenizer };
}

/** @throws {UserError} When frames are too small for the discriminator, long before it would count. */
function checkDiscriminator({ tokenizer }: RobotVideoConfig, { source: { height, width } }: RobotVideoData): void {
  const { adversarialWeight, adversarialStart, steps } = tokenizer;
  if (adversarialWeight === 0 || adversarialStart >= steps) return;
  if (isSeenByDiscriminator(RELEASED_DISCRIMINATOR, height, width)) return;
  const halvings = 2 ** RELEASED_DISCRIMINATOR.depth;
  throw new UserError(
    `tokenizer.adversarialWeight is ${adversarialWeight}, but frames of ${height} × ${width} are too small for the ` +
      `discriminator: set it to 0, or take frames of which a side is above ${halvings}`,
  );
}

/**
 * Loads a transformer that speaks of the tokenizer's frames and the data's actions.
 *
 * @throws {UserError} When its folder is not sound, or its vocabulary or its longest sequence does not fit.
 */
export async function loadFittingModel(
  engine: Engine,
  folder: string,
  { model: { computeType } }: RobotVideoConfig,
  prediction: VideoPrediction,
): Promise<CausalTransformer> {
  const model = await CausalTransformer.load(engine, folder, { computeType });
  try {
    checkFits(folder, model.config, prediction);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

function checkFits(
  folder: string,
  { vocabularySize, maxPositions }: TransformerConfig,
  { world: { vocabulary: { size } }, sequenceLength, lengthField }: VideoPrediction,
): void {
  if (vocabularySize === size && maxPositions >= sequenceLength) return;
  throw new UserError(
    vocabularySize === size
      ? `${folder} reads at most ${maxPositions} tokens, a clip has ${sequenceLength}: lower ${lengthField}, or the ` +
        `frames' size`
      : `${folder} has a vocabulary of ${vocabularySize}, the tokenizer and the action bins need ${size}: give the ` +
        `tokenizer that the model was trained with (--tokenizer), and its number of action bins (data.actionBins)`,
  );
}
