import assert from "node:assert/strict";
import { GrpoTrainer } from "../../lib/train/grpo.ts";
import { checkReward, computeRewards } from "../../lib/train/reward.ts";
import { onOneEngine } from "../support/engines.ts";
import { TOY_GRPO, toyModel, toyTransitions, toyWorld } from "../support/toy_world.ts";

const world = toyWorld();
const predicted = [[1, 2, 3, 4], [1, 2, 0, 0], [7, 7, 7, 7]];
const truth = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]];

Deno.test("computeRewards: a distance counts against, a score for; every part is kept unsigned", async () => {
  const terms = [{ metric: "error", weight: 2 }, { metric: "exact", weight: 0.5 }];
  const { total, values } = await computeRewards(world, terms, predicted, truth, ["distance"]);
  assert.deepEqual([...total], [0.5, -1, -2]);
  assert.deepEqual([...values.error], [0, 0.5, 1]);
  assert.deepEqual([...values.exact], [1, 0, 0]);
  assert.deepEqual([...values.distance], [0, 1.75, 4.5]);
});

Deno.test("computeRewards: what is measured beside the reward does not change it", async () => {
  const terms = [{ metric: "distance", weight: 1 }];
  const alone = await computeRewards(world, terms, predicted, truth);
  const beside = await computeRewards(world, terms, predicted, truth, ["distance", "exact"]);
  assert.deepEqual(beside.total, alone.total);
  assert.deepEqual(Object.keys(alone.values), ["distance"]);
  assert.deepEqual(Object.keys(beside.values), ["distance", "exact"]);
});

Deno.test("computeRewards: what the parts of an answer add sums to its reward, weights and signs included", async () => {
  const [error, exact] = [world.metrics.error, world.metrics.exact];
  // All of it by the first of two parts, or by the second.
  const by = (metric: typeof error, part: number): typeof error => ({
    ...metric,
    compute: () => Promise.reject(new Error("the parts are known, and computed again")),
    computeParts: async (...states) => {
      const values = await metric.compute(...states);
      return { values, contributions: Float32Array.from([...values].flatMap((x) => part === 0 ? [x, 0] : [0, x])) };
    },
  });
  const parted = { ...world, metrics: { error: by(error, 0), exact: by(exact, 1) } };
  const terms = [{ metric: "error", weight: 2 }, { metric: "exact", weight: 0.5 }];
  const { total, contributions } = await computeRewards(parted, terms, predicted, truth, [], true);
  assert.deepEqual([...contributions!].map((each) => each + 0), [0, 0.5, -1, 0, -2, 0]);
  assert.deepEqual([...total], [0.5, -1, -2]);
});

onOneEngine("GrpoTrainer: the truth of a step is made once a prompt, and every state is given back", async (engine) => {
  const asked: unknown[] = [], held = new Set<unknown>(), whole = toyWorld();
  const holding = <States>(states: States) => (held.add(states), states);
  const model = toyModel(engine), transitions = toyTransitions(3, 0, 8);
  const trainer = new GrpoTrainer(model, undefined, {
    ...whole,
    decode: async (answers, owners) => holding(await whole.decode(answers, owners)),
    truth: async (owners) => (asked.push(...owners), holding(await whole.truth(owners))),
    select: (states, places) => holding(whole.select(states, places)),
    release: (states) => void assert.ok(held.delete(states)),
  }, { ...TOY_GRPO, scoreRows: 5 });
  const { reward } = await trainer.step(0, transitions);
  assert.deepEqual(asked, transitions);
  assert.equal(held.size, 0);
  // Cut into chunks or not, every answer is compared with its own prompt's truth.
  const plain = new GrpoTrainer(toyModel(engine), undefined, whole, TOY_GRPO);
  assert.equal(reward, (await plain.step(0, transitions)).reward);
  for (const each of [trainer, plain]) {
    each.optimizer.dispose();
    each.model.dispose();
  }
});

Deno.test("checkReward: bad terms are named", () => {
  assert.throws(() => checkReward([], world.metrics), /reward: needs at least one metric: received none/);
  assert.throws(
    () => checkReward([{ metric: "lpips", weight: 1 }], world.metrics),
    /there is no metric "lpips": choose among error, distance, exact/,
  );
  assert.throws(() => checkReward([{ metric: "toString", weight: 1 }], world.metrics), /there is no metric "toString"/);
  for (const weight of [0, -1, NaN, Infinity]) {
    assert.throws(
      () => checkReward([{ metric: "error", weight }], world.metrics),
      new RegExp(`the weight of error must be positive: received ${weight}`),
    );
  }
});
