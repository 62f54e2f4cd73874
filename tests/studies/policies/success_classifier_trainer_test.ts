/** Training the judge on a small task that needs frame, first frame and words; and its quality in numbers. */
import assert from "node:assert/strict";
import { SuccessClassifier } from "../../../lib/models/success_classifier.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import {
  judgeQuality,
  type LabelledEpisode,
  qualityOf,
  trainSuccessClassifier,
} from "../../../lib/studies/policies/success_classifier_trainer.ts";
import { forEachEngine } from "../../support/engines.ts";

const SIDE = 12;

/** A grey square turns red or blue: "make it red" succeeds when it ends red. Most attempts fail. */
function episode(random: Philox): LabelledEpisode {
  const x = random.integer(0, SIDE - 2), y = random.integer(0, SIDE - 2);
  const draw = (colour: number[]) => {
    const frame = new Uint8Array(SIDE * SIDE * 3).fill(90);
    for (let p = 0; p < 9; p++) frame.set(colour, ((y + Math.floor(p / 3)) * SIDE + x + p % 3) * 3);
    return frame;
  };
  const wanted = random.uniform() < 0.5 ? "red" : "blue", success = random.uniform() < 0.3;
  const isRed = (wanted === "red") === success;
  return {
    first: draw([150, 150, 150]),
    final: draw(isRed ? [230, 30, 30] : [30, 30, 230]),
    instruction: `make it ${wanted}`,
    task: wanted,
    success,
  };
}

forEachEngine("judge: learns to see what the words ask for, and the seed decides", async (engine) => {
  const random = new Philox(1), episodes = Array.from({ length: 500 }, () => episode(random));
  const learn = episodes.slice(0, 300), test = episodes.slice(300);
  const trained = async (steps: number) => {
    const config = {
      height: SIDE,
      width: SIDE,
      words: ["blue", "it", "make", "red"],
      channels: [8, 12],
      hiddenSize: 16,
    };
    const judge = SuccessClassifier.initialize(engine, config, { seed: 0 }), losses: number[] = [];
    await trainSuccessClassifier(judge, learn, {
      steps,
      batch: 32,
      learningRate: 1e-2,
      seed: 5,
      onStep: (_, loss) => void losses.push(loss),
    });
    return { judge, losses };
  };
  const { judge, losses } = await trained(120);
  assert.equal(losses.length, 120);
  assert.ok(Math.abs(losses[0] - Math.LN2) < 0.1, `the first loss is a coin's: ${losses[0]}`);
  const quality = await judgeQuality(judge, test);
  assert.ok(quality.accuracy > 0.93, `accuracy ${quality.accuracy}`);
  assert.deepEqual(quality.successes, test.filter(({ success }) => success).length);
  const [one, two] = [await trained(3), await trained(3)];
  assert.deepEqual(one.losses, two.losses);
  for (const each of [judge, one.judge, two.judge]) each.dispose();
});

Deno.test("qualityOf: scikit-learn's accuracy, precision and recall", () => {
  // accuracy_score, precision_score and recall_score of scikit-learn 1.7 on these lists.
  const truth = [1, 1, 0, 0, 1, 0, 1, 0].map(Boolean), said = [1, 0, 0, 1, 1, 0, 1, 0].map(Boolean);
  assert.deepEqual(qualityOf(truth, said), { accuracy: 0.75, precision: 0.75, recall: 0.75, n: 8, successes: 4 });
  const shy = qualityOf(truth, truth.map(() => false));
  assert.ok(Number.isNaN(shy.precision) && shy.recall === 0 && shy.accuracy === 0.5);
  assert.throws(() => qualityOf([], []), /not empty: received 0 and 0/);
  assert.throws(() => qualityOf([true], []), /received 1 and 0/);
});

forEachEngine("judge: nothing to learn from is an error", async (engine) => {
  const judge = SuccessClassifier.initialize(engine, { height: 8, width: 8, words: ["a"] }, { seed: 0 });
  await assert.rejects(() => trainSuccessClassifier(judge, [], { steps: 1, seed: 0 }), /needs episodes to learn from/);
  judge.dispose();
});
