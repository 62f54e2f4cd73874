/**
 * Metrics of predicted frame sequences: image metrics frame by frame, how they become one number a sequence, and how often
 * a prediction stands still.
 *
 * What an image is compared by is `metrics.ts`'s business; what a sequence is, `multi_step_world.ts`'s. Metrics of whole videos
 * (FVD) are not here.
 *
 * Axes: B sequences, T frames, H height, W width, N tokens a frame.
 *
 * Source: RLVR-World §6.3, Eq. 10, and its code's `msp_reward_fn`.
 */
import { tidy } from "../../tensor/scope.ts";
import { concat, type Tensor } from "../../tensor/tensor.ts";
import { sameShape, shapeText } from "../../tensor/dtype.ts";
import { type ImageMetric, repetition } from "./metrics.ts";

/**
 * How the numbers of a sequence's frames become one: their mean, the last frame's, or a mean that counts later frames less.
 *
 * @internal
 */
export type FrameAggregate = "mean" | "last" | "discount";

/** What a frame counts less than the one before it under `discount`, as released. */
const DISCOUNT = 0.9;

/**
 * The weight of each of T frames; they sum to 1.
 *
 * @throws {RangeError} if there is no frame.
 */
export function frameWeights(frames: number, how: FrameAggregate): Float64Array {
  if (!Number.isInteger(frames) || frames < 1) {
    throw new RangeError(`frames must be an integer of at least 1: received ${frames}`);
  }
  const weights = Float64Array.from(
    { length: frames },
    (_, t) => how === "mean" ? 1 : how === "last" ? (t === frames - 1 ? 1 : 0) : DISCOUNT ** t,
  );
  const total = weights.reduce((sum, each) => sum + each, 0);
  return weights.map((each) => each / total);
}

/**
 * One number a sequence.
 *
 * @param values [B, T] row-major, from {@linkcode perFrame}.
 * @returns [B].
 * @throws {RangeError} if T does not divide the number of values.
 */
export function aggregateFrames(values: Float32Array, frames: number, how: FrameAggregate): Float32Array {
  const weighted = frameContributions(values, frames, how);
  return Float32Array.from({ length: values.length / frames }, (_, b) => {
    let sum = 0;
    for (let t = 0; t < frames; t++) sum += weighted[b * frames + t];
    return sum;
  });
}

/**
 * What each frame adds to its sequence's number: values times the frames' weights.
 *
 * @param values [B, T] row-major.
 * @returns [B, T] row-major.
 * @throws {RangeError} if T does not divide the number of values.
 */
export function frameContributions(values: Float32Array, frames: number, how: FrameAggregate): Float64Array {
  const weights = frameWeights(frames, how);
  if (values.length % frames !== 0) {
    throw new RangeError(`${values.length} values are not those of sequences of ${frames} frames`);
  }
  return Float64Array.from(values, (value, i) => weights[i % frames] * value);
}

/**
 * The grid that the tokens of a frame lie in, row by row.
 *
 * @throws {RangeError} if so many tokens make no grid of square cells that divides the frame.
 */
export function tokenGrid(tokens: number, height: number, width: number): { rows: number; columns: number } {
  const side = Math.sqrt(height * width / tokens), rows = height / side, columns = width / side;
  if (![side, rows, columns].every(Number.isInteger)) {
    throw new RangeError(`${tokens} tokens are no grid of square patches of a frame of ${height} × ${width} pixels`);
  }
  return { rows, columns };
}

/**
 * An image metric of every frame.
 *
 * @param predicted [B, T, H, W, 3] in [0, 1].
 * @param truth The same shape.
 * @param framesAtOnce Frames that the metric looks at in one go: bounds memory. @default {64}
 * @returns [B, T] row-major.
 * @throws {RangeError} if the shapes differ or are not those of sequences of images.
 */
export async function perFrame(
  metric: ImageMetric,
  predicted: Tensor,
  truth: Tensor,
  framesAtOnce = 64,
): Promise<Float32Array> {
  const [values] = await comparedFrames(metric, predicted, truth, framesAtOnce, (a, b) => [metric.compute(a, b)]);
  return values;
}

/**
 * {@linkcode perFrame}, and what each cell of a grid adds to its frame's number.
 *
 * @param metric One that has `computeCells`.
 * @returns `values` [B, T] and `cells` [B, T, rows · columns], row-major.
 * @throws {RangeError} As `perFrame`, and if the grid does not divide the frames.
 */
export async function perCell(
  metric: ImageMetric,
  predicted: Tensor,
  truth: Tensor,
  grid: { rows: number; columns: number },
  framesAtOnce = 64,
): Promise<{ values: Float32Array; cells: Float32Array }> {
  const [values, cells] = await comparedFrames(metric, predicted, truth, framesAtOnce, (a, b) => {
    const compared = metric.computeCells!(a, b, grid);
    return [compared.values, compared.cells];
  });
  return { values, cells };
}

/** What a comparison says of the frames of sequences, some at a time. */
async function comparedFrames(
  { name }: ImageMetric,
  predicted: Tensor,
  truth: Tensor,
  framesAtOnce: number,
  compare: (predicted: Tensor, truth: Tensor) => Tensor[],
): Promise<Float32Array[]> {
  if (predicted.rank !== 5 || !sameShape(predicted.shape, truth.shape)) {
    throw new RangeError(
      `${name}: needs two batches of frame sequences [B, T, H, W, 3] of one shape: received ` +
        `${shapeText(predicted.shape)} and ${shapeText(truth.shape)}`,
    );
  }
  const results = tidy(() => {
    const images = (x: Tensor) => x.reshape([x.shape[0] * x.shape[1], ...x.shape.slice(2)]);
    const [a, b] = [images(predicted), images(truth)], chunks: Tensor[][] = [];
    for (let from = 0; from < a.shape[0]; from += framesAtOnce) {
      const count = Math.min(framesAtOnce, a.shape[0] - from);
      chunks.push(tidy(() => compare(a.narrow(0, from, count), b.narrow(0, from, count))));
    }
    return chunks.length === 1 ? chunks[0] : chunks[0].map((_, i) => concat(chunks.map((chunk) => chunk[i])));
  });
  try {
    return await Promise.all(results.map(async (result) => await result.data() as Float32Array));
  } finally {
    for (const result of results) result.dispose();
  }
}

/**
 * The rate of standing still: the share of consecutive predicted frames whose tokens are all the same. Its negative is the
 * paper's repetition-penalty reward.
 *
 * @param frames Tokens of the predicted frames, [T][N]; the start frame is not among them.
 * @returns In [0, 1]; 0 where there is no pair.
 */
export function repetitionRate(frames: readonly ArrayLike<number>[]): number {
  return repeats(frames).reduce((sum, each) => sum + each, 0);
}

/** What each frame adds to {@linkcode repetitionRate}: [T]; the first one nothing. */
export function repeats(frames: readonly ArrayLike<number>[]): number[] {
  return frames.map((frame, t) => t > 0 && repetition(frame, frames[t - 1]) ? 1 / (frames.length - 1) : 0);
}

/**
 * Whether a prediction stands still at its end: its last two frames have the same tokens. By this the released
 * evaluation rejects samples, and the repetition rate of its tables is the share of such samples.
 *
 * @param frames Tokens of the predicted frames, [T][N], as they were sampled: the released rule compares them before they are
 * clamped into the codebook.
 * @param start Tokens of the start frame, which a single predicted frame is compared with.
 */
export function endsRepeating(frames: readonly ArrayLike<number>[], start?: ArrayLike<number>): boolean {
  const last = frames.at(-1), before = frames.at(-2) ?? start;
  return last !== undefined && before !== undefined && repetition(last, before);
}
