/** Image metrics against scikit-image and PyTorch (`fixtures/make_metrics.py`), on every engine. */
import assert from "node:assert/strict";
import { readNpz } from "../../../lib/io/npz.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../../lib/tensor/gradient.ts";
import { concat, type Tensor, tensor, zeros } from "../../../lib/tensor/tensor.ts";
import { tidy } from "../../../lib/tensor/scope.ts";
import {
  type ImageMetric,
  lpipsMetric,
  mae,
  mse,
  psnr,
  repetition,
  ssim,
} from "../../../lib/worlds/robot_video/metrics.ts";
import { assertClose } from "../../support/compare.ts";
import { forEachEngine } from "../../support/engines.ts";

type Values = Record<"mae" | "mse" | "psnr" | "ssim", number[]>;

const fixture = JSON.parse(Deno.readTextFileSync(new URL("./fixtures/metrics.json", import.meta.url))) as {
  small: { name: string; shape: number[]; predicted: number[]; target: number[]; values: Values }[];
  real: { path: string; pairs: [number, number][]; values: Values }[];
};

const METRICS = { mae, mse, psnr, ssim };

const sharedData = Deno.env.get("RLVR_SHARED_DATA") ?? new URL("../../../../shared/data", import.meta.url).pathname;

function images(engine: Engine, bytes: ArrayLike<number>, shape: readonly number[]): Tensor {
  return tensor(engine, Float32Array.from(bytes, (byte) => byte / 255), shape);
}

async function computed(metric: ImageMetric, predicted: Tensor, target: Tensor): Promise<number[]> {
  const out = metric.compute(predicted, target);
  assert.deepEqual([out.shape, out.dtype], [[predicted.shape[0]], "float32"], metric.name);
  const values = [...await out.data()];
  out.dispose();
  return values;
}

async function check(predicted: Tensor, target: Tensor, values: Values, what: string): Promise<void> {
  for (const [name, metric] of Object.entries(METRICS)) {
    assertClose(await computed(metric, predicted, target), values[name as keyof Values], 1e-5, `${what}, ${name}`);
  }
}

forEachEngine("metrics of small images", async (engine) => {
  const before = engine.memory().tensors;
  for (const { name, shape, predicted, target, values } of fixture.small) {
    const [a, b] = [images(engine, predicted, shape), images(engine, target, shape)];
    await check(a, b, values, name);
    a.dispose();
    b.dispose();
  }
  assert.equal(engine.memory().tensors, before, "tensors left behind");
});

for (const { path, pairs, values } of fixture.real) {
  let there = true;
  try {
    Deno.statSync(`${sharedData}/${path}`);
  } catch {
    there = false;
  }
  const name = `metrics of real frames, ${path}`;
  if (!there) {
    Deno.test({ name: `${name} (ignored: not in ${sharedData})`, ignore: true, fn: () => {} });
    continue;
  }
  forEachEngine(name, async (engine) => {
    const { image } = await readNpz(`${sharedData}/${path}`, ["image"]);
    const [, ...shape] = image.shape, size = shape.reduce((product, n) => product * n);
    const batch = (side: 0 | 1) =>
      tidy(() =>
        concat(
          pairs.map((pair) =>
            images(engine, (image.data as Uint8Array).subarray(pair[side] * size, (pair[side] + 1) * size), [
              1,
              ...shape,
            ])
          ),
        )
      );
    const predicted = batch(0), target = batch(1);
    await check(predicted, target, values, path);
    predicted.dispose();
    target.dispose();
  });
}

forEachEngine("many large images are compared in parts, image by image", async (engine) => {
  // More than half of what is held at once, so that each image is a part. (Many channels: small windows are quick.)
  const [size, channels] = [24, 1024];
  const pattern = Float32Array.from({ length: size * size * channels }, (_, i) => (i * 7919 % 1009) / 1009);
  const predicted = tidy(() => {
    const one = tensor(engine, pattern, [1, size, size, channels]);
    return concat([one, one.mul(0.5), one.sub(0.1).abs()]);
  });
  const target = tidy(() => concat([0, 0, 0].map(() => predicted.narrow(0, 0, 1))));
  const together = await computed(ssim, predicted, target);
  for (let i = 0; i < 3; i++) {
    const [a, b] = [predicted.narrow(0, i, 1), target.narrow(0, i, 1)];
    assertClose(await computed(ssim, a, b), [together[i]], 1e-6, `image ${i}`);
    a.dispose();
    b.dispose();
  }
  assertClose([together[0]], [1], 1e-6, "equal images");
  assert.ok(together[1] < 0.99 && together[2] < 0.99 && Math.abs(together[1] - together[2]) > 1e-3);
  predicted.dispose();
  target.dispose();
});

forEachEngine("what the cells of a grid add: their pixels' share, all of the number together", async (engine) => {
  const [height, width, rows, columns] = [4, 6, 2, 3];
  const numbers = (k: number) => Float32Array.from({ length: 2 * height * width * 3 }, (_, i) => (i * k % 101) / 101);
  const [x, y] = [numbers(37), numbers(53)];
  const [a, b] = [x, y].map((each) => tensor(engine, each, [2, height, width, 3]));
  for (const [metric, error] of [[mae, Math.abs], [mse, (d: number) => d * d]] as const) {
    const expected = new Float64Array(2 * rows * columns);
    x.forEach((each, i) => {
      const pixel = Math.floor(i / 3), image = Math.floor(pixel / (height * width));
      const [row, column] = [Math.floor(pixel / width) % height, pixel % width];
      const cell = Math.floor(row / 2) * columns + Math.floor(column / 2);
      expected[image * rows * columns + cell] += error(each - y[i]) / (height * width * 3);
    });
    const { values, cells } = metric.computeCells!(a, b, { rows, columns });
    assert.deepEqual([...await values.data()], await computed(metric, a, b), "the same to the last digit");
    assert.deepEqual(cells.shape, [2, rows * columns]);
    assertClose(await cells.data() as Float32Array, expected, 1e-6, metric.name);
    for (const result of [values, cells]) result.dispose();
    assert.throws(
      () => metric.computeCells!(a, b, { rows: 3, columns: 3 }),
      /a grid of 3 × 3 cells does not divide images of 4 × 6/,
    );
  }
  assert.equal(ssim.computeCells, undefined);
  a.dispose();
  b.dispose();
});

forEachEngine("images in bfloat16 are compared in float32", async (engine) => {
  const a = tensor(engine, [0.5, 0.25, 1, 0], [1, 2, 2, 1], "bfloat16");
  const b = tensor(engine, [0.5, 0.5, 1, 0.00390625], [1, 2, 2, 1], "bfloat16");
  assertClose(await computed(mae, a, b), [(0.25 + 0.00390625) / 4], 1e-6, "mae");
  a.dispose();
  b.dispose();
}, { needs: ["bfloat16"] });

forEachEngine("metrics are differentiable", async (engine) => {
  const { shape, predicted, target } = fixture.small[0];
  const a = images(engine, predicted, shape), b = images(engine, target, shape);
  for (const metric of Object.values(METRICS)) {
    const { value, gradients: [gradient] } = valueAndGrad(() => metric.compute(a, b).narrow(0, 0, 1).sum(), [a]);
    const numbers = await gradient.data();
    assert.ok(numbers.every(Number.isFinite), `${metric.name}: the gradient is finite`);
    assert.ok(numbers.some((each) => each !== 0), `${metric.name}: and not zero`);
    // A step along the gradient makes the metric larger.
    const scale = 1e-2 / Math.max(...numbers.map(Math.abs));
    const moved = tidy(() => a.add(gradient.mul(scale)));
    const [before, after] = [await value.item(), (await computed(metric, moved, b))[0]];
    assert.ok(after > before, `${metric.name}: from ${before} to ${after}`);
    for (const each of [value, gradient, moved]) each.dispose();
  }
  a.dispose();
  b.dispose();
});

forEachEngine("lpips takes its network as a function", async (engine) => {
  const metric = lpipsMetric((a, b) => a.sub(b).square().sum([1, 2, 3]));
  assert.deepEqual([metric.name, metric.better], ["lpips", "lower"]);
  const a = zeros(engine, [2, 2, 2, 3]), b = tidy(() => a.add(0.5));
  assert.deepEqual(await computed(metric, a, b), [3, 3]);
  a.dispose();
  b.dispose();
});

forEachEngine("what is no pair of images is refused", (engine) => {
  tidy(() => {
    const image = (...shape: number[]) => zeros(engine, shape);
    assert.throws(() => mse.compute(image(1, 12, 12, 3), image(1, 12, 13, 3)), {
      name: "RangeError",
      message: "mse: needs two batches of images [B, H, W, C] of one shape: received [1, 12, 12, 3] and [1, 12, 13, 3]",
    });
    assert.throws(() => mae.compute(image(12, 12, 3), image(12, 12, 3)), {
      name: "RangeError",
      message: "mae: needs two batches of images [B, H, W, C] of one shape: received [12, 12, 3] and [12, 12, 3]",
    });
    assert.throws(() => ssim.compute(image(1, 10, 32, 3), image(1, 10, 32, 3)), {
      name: "RangeError",
      message: "ssim: needs images of at least 11 × 11 pixels: received 10 × 32",
    });
    const bytes = zeros(engine, [1, 12, 12, 3], "int64");
    assert.throws(() => psnr.compute(bytes, bytes), {
      name: "TypeError",
      message: "psnr: needs floating pixels in [0, 1]: received int64: cast and divide by 255",
    });
  });
});

Deno.test("metrics say which direction is better", () => {
  const directions = Object.values(METRICS).map(({ name, better }) => [name, better]);
  assert.deepEqual(directions, [["mae", "lower"], ["mse", "lower"], ["psnr", "higher"], ["ssim", "higher"]]);
});

Deno.test("a frame repeats the last one when every token is the same", () => {
  assert.equal(repetition([3, 1, 4, 1], [3, 1, 4, 1]), true);
  assert.equal(repetition(Int32Array.of(3, 1, 4, 1), [3, 1, 4, 2]), false);
  assert.equal(repetition([9, 1, 4, 1], [3, 1, 4, 1]), false);
  assert.throws(() => repetition([1, 2, 3], [1, 2]), {
    name: "RangeError",
    message: "repetition: needs two frames of equally many tokens: received 3 and 2",
  });
  assert.throws(() => repetition([], []), RangeError);
});
