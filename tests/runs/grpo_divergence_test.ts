import assert from "node:assert/strict";
import { grpoDivergence, type LoggedTrainer } from "../../lib/runs/grpo_divergence.ts";
import type { KlEstimator } from "../../lib/train/objective.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { StageHistory } from "../../lib/runs/stage_history.ts";

function trainer(kl: KlEstimator = "k3", change: Partial<LoggedTrainer> = {}): LoggedTrainer {
  return {
    model: { config: { vocabularySize: 512 } },
    options: { kl, topK: 0 },
    ...change,
  };
}

/** A log of training that gets nowhere and harms nothing: noise around a reward of 0.4. */
function quiet(random: Philox): Record<string, number> {
  return {
    reward: 0.4 + 0.1 * (random.uniform() - 0.5),
    rewardStd: 0.15,
    equalGroups: 0.1,
    kl: 0.05,
    samplerMismatch: 1e-6,
    entropy: 1.5 + 0.2 * random.uniform(),
  };
}

/** What is said first of 120 such steps with some changed from step 30 on, as [step, since, what]. */
function firstFound(change: (step: number, random: Philox) => object, own = trainer(), from = 30) {
  const history = new StageHistory(), random = new Philox(1, 2, 3);
  for (let step = 0; step < 120; step++) {
    const entry = quiet(random);
    history.add({ ...entry, ...step >= from ? change(step, random) : {}, stage: "grpo", step });
    const found = grpoDivergence(history, own);
    if (found) return [step, found.since, found.what];
  }
  return undefined;
}

Deno.test("grpoDivergence: each thing that no training shows", () => {
  const far = "the divergence from the reference model, nats a token,";
  assert.deepEqual(firstFound(() => ({ kl: 8.5 })), [32, 30, far]);
  assert.deepEqual(firstFound(() => ({ kl: 9.5 }), trainer("k1")), [32, 30, far]);
  assert.deepEqual(firstFound(() => ({ kl: 41 }), trainer("k2")), [32, 30, far]);
  assert.deepEqual(firstFound(() => ({ samplerMismatch: 1.2 }))?.slice(0, 2), [32, 30]);
  assert.deepEqual(firstFound(() => ({ entropy: Math.log(512) }))?.slice(0, 2), [32, 30]);
  // Worse than a poor answer of the beginning was.
  const fallen = firstFound((_, random) => ({ reward: 0.15 + 0.1 * (random.uniform() - 0.5) }))!;
  assert.ok(fallen[0] as number <= 60 && fallen[1] as number >= 20, `${fallen}`);
  assert.match(fallen[2] as string, /^the mean reward of 20 steps, 0\.\d+ in the beginning,$/);
  // All answers the same, and not as good as before.
  assert.ok(firstFound(() => ({ reward: 0.33, rewardStd: 0, equalGroups: 1, entropy: 0 })));
  // From the first update on: only the very first step was before it.
  assert.ok(firstFound((_, random) => ({ reward: 0.01 * random.uniform(), rewardStd: 0.01 }), trainer(), 1));
});

Deno.test("grpoDivergence: poor, bold, finished or odd training goes on", () => {
  const changes: ((step: number, random: Philox) => object)[] = [
    () => ({}),
    // A reward that falls by less than answers differ.
    (step) => ({ reward: 0.4 - 0.001 * (step - 30) }),
    // A task that is solved: every answer is right and the same.
    () => ({ reward: 1, rewardStd: 0, equalGroups: 1, entropy: 0, kl: 3 }),
    // One that never was: nothing is ever right.
    () => ({ equalGroups: 1, rewardStd: 0 }),
    // Far from the reference, but within what another policy may be.
    () => ({ kl: 6 }),
    // For two steps only.
    (step) => step < 32 ? { kl: 9.5, samplerMismatch: 3, entropy: Math.log(512) } : {},
    // A hard batch now and then.
    (step) => step % 5 === 0 ? { reward: 0 } : {},
  ];
  for (const [i, change] of changes.entries()) assert.equal(firstFound(change), undefined, `change ${i}`);
  // Each estimator has a scale of its own.
  for (const [kl, value] of [["k1", 8.9], ["k2", 40]] as const) {
    assert.equal(firstFound(() => ({ kl: value }), trainer(kl)), undefined, kl);
  }
  const { options } = trainer();
  for (const change of [{ sampler: { followsPolicy: false } }, { options: { ...options, topK: 5 } }]) {
    assert.equal(firstFound(() => ({ samplerMismatch: 2 }), trainer("k3", change)), undefined, "another's are others");
  }
  // A model that has learned nothing yet draws blindly to begin with.
  const history = new StageHistory();
  for (let step = 0; step < 50; step++) {
    history.add({ ...quiet(new Philox(1, 2, step)), stage: "grpo", step, entropy: Math.log(512) - 1e-4 });
    assert.equal(grpoDivergence(history, trainer()), undefined);
  }
});

Deno.test("grpoDivergence: of 500 runs without any effect none is stopped", () => {
  for (let seed = 0; seed < 500; seed++) {
    const history = new StageHistory(), random = new Philox(seed, 0, 0);
    for (let step = 0; step < 100; step++) {
      // Rewards whose steps differ far more than the answers of a group.
      const reward = random.uniform() ** 3;
      history.add({ ...quiet(random), reward, rewardStd: 1e-3, stage: "grpo", step });
      assert.equal(grpoDivergence(history, trainer()), undefined, `seed ${seed}, step ${step}`);
    }
  }
});
