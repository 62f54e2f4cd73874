/** The numbers of a policy evaluation, against the paper's Table 13 and against numpy's on made-up outcomes. */
import assert from "node:assert/strict";
import { agreement, policyTable, type TrialOutcome } from "../../../lib/studies/policies/table.ts";
import fixture from "./fixtures/policy_table.json" with { type: "json" };

/** RLVR-World, Table 13: success rates in per cent of RT-1 Begin, RT-1-X, RT-1 15 %, RT-1 Converged. */
const TABLE_13: Record<string, Record<string, number[]>> = {
  Open: {
    "Real": [0, 51.9, 70.4, 81.5],
    "SIMPLER-VA": [0.5, 6.9, 21.2, 27.0],
    "SIMPLER-VM": [0, 29.6, 46.3, 60.1],
    "Base": [4.4, 18.8, 50.0, 48.9],
    "RLVR-World": [3.3, 33.3, 62.2, 62.2],
  },
  Close: {
    "Real": [0, 74.1, 88.9, 92.6],
    "SIMPLER-VA": [13.2, 51.9, 32.3, 37.6],
    "SIMPLER-VM": [27.8, 89.1, 66.7, 86.1],
    "Base": [20.0, 56.7, 76.7, 81.1],
    "RLVR-World": [18.9, 71.1, 78.9, 88.9],
  },
};

/** Gap in percentage points and Pearson's r that follow from it. */
const DERIVED: Record<string, Record<string, [gap: string, r: string]>> = {
  Open: {
    "SIMPLER-VA": ["37.3", "0.915"],
    "SIMPLER-VM": ["17.0", "0.987"],
    "Base": ["22.6", "0.922"],
    "RLVR-World": ["12.4", "0.976"],
  },
  Close: {
    "SIMPLER-VA": ["36.8", "0.756"],
    "SIMPLER-VM": ["17.9", "0.891"],
    "Base": ["15.3", "0.979"],
    "RLVR-World": ["8.9", "0.995"],
  },
};

Deno.test("agreement: gap and r of the paper's Table 13", () => {
  for (const [task, methods] of Object.entries(DERIVED)) {
    const share = (method: string) => TABLE_13[task][method].map((percent) => percent / 100);
    for (const [method, [gap, r]] of Object.entries(methods)) {
      const found = agreement(share("Real"), share(method));
      assert.deepEqual([found.gap.toFixed(1), found.r!.toFixed(3)], [gap, r], `${task}, ${method}`);
    }
  }
});

const WORLDS = ["truth", "base", "rlvr"] as const;

/** The fixture's outcomes, models before the truth: the table orders them. */
function outcomes(): TrialOutcome[] {
  const wins: Record<string, number[][][]> = fixture.wins;
  return [...WORLDS].reverse().flatMap((world) =>
    wins[world].flatMap((byPolicy, t) =>
      byPolicy.flatMap((byStart, p) =>
        byStart.map((win, start) => ({
          world,
          task: fixture.tasks[t],
          policy: fixture.policies[p],
          start,
          success: win === 1,
        }))
      )
    )
  );
}

/** Resampling noise of both sides: a few per cent of the interval's width. */
function assertInterval(actual: { low: number; high: number }, [low, high]: number[]) {
  const tolerance = 0.06 * (high - low);
  assert.ok(Math.abs(actual.low - low) < tolerance, `low ${actual.low} against ${low}`);
  assert.ok(Math.abs(actual.high - high) < tolerance, `high ${actual.high} against ${high}`);
}

Deno.test("policyTable: rates, gaps, correlations and their intervals are numpy's and scipy's", () => {
  const table = policyTable(outcomes(), { seed: 3, resamples: 10_000 });
  assert.deepEqual(table.worlds[0], "truth");
  assert.deepEqual([table.tasks, table.policies], [fixture.tasks, fixture.policies]);
  const rates: Record<string, number[]> = fixture.rates;
  for (const world of WORLDS) {
    assert.deepEqual(table.cells.map((cell) => cell.rates[world].mean), rates[world]);
    assert.ok(table.cells.every((cell) => cell.rates[world].n === 40));
  }
  for (const model of ["base", "rlvr"] as const) {
    const found = table.models[model];
    assert.ok(Math.abs(found.gap - fixture.gap[model]) < 1e-9);
    assert.ok(Math.abs(found.r! - fixture.r[model]) < 1e-12);
    assertInterval(found.gapInterval, fixture.gap95[model]);
    assertInterval(found.rInterval!, fixture.r95[model]);
  }
  assert.equal(table.difference!.mean, table.models.rlvr.gap - table.models.base.gap);
  assertInterval(table.difference!, fixture.difference95);
});

Deno.test("policyTable: confusion counts starts by both outcomes", () => {
  const { cells } = policyTable(outcomes(), { seed: 0, resamples: 10 });
  const wins: Record<string, number[][][]> = fixture.wins;
  cells.forEach(({ confusion }, i) => {
    const truth = wins.truth[Math.floor(i / 3)][i % 3], base = wins.base[Math.floor(i / 3)][i % 3];
    const count = (a: number, b: number) => truth.filter((win, start) => win === a && base[start] === b).length;
    assert.deepEqual(confusion.base, {
      both: count(1, 1),
      truthOnly: count(1, 0),
      modelOnly: count(0, 1),
      neither: count(0, 0),
    });
  });
});

Deno.test("policyTable: the seed decides; missing outcomes, a missing truth and constant rates leave gaps", () => {
  const all = outcomes();
  assert.deepEqual(policyTable(all, { seed: 1, resamples: 200 }), policyTable(all, { seed: 1, resamples: 200 }));
  assert.notDeepEqual(
    policyTable(all, { seed: 1, resamples: 200 }).difference,
    policyTable(all, { seed: 2, resamples: 200 }).difference,
  );
  const unlabelled = policyTable(all.filter(({ world, start }) => world !== "base" || start < 7), {
    seed: 1,
    resamples: 50,
  });
  assert.equal(unlabelled.cells[0].rates.base.n, 7);
  assert.equal(unlabelled.cells[0].rates.truth.n, 40);
  const { both, truthOnly, modelOnly, neither } = unlabelled.cells[0].confusion.base;
  assert.equal(both + truthOnly + modelOnly + neither, 7);

  const blind = policyTable(all.filter(({ world }) => world !== "truth"), { seed: 1, resamples: 50 });
  assert.deepEqual([blind.models, blind.difference], [{}, undefined]);
  const flat = policyTable(all.map((each) => ({ ...each, success: true })), { seed: 1, resamples: 50 });
  assert.deepEqual([flat.models.base.gap, flat.models.base.r, flat.models.base.rInterval], [0, undefined, undefined]);

  assert.throws(() => policyTable([], { seed: 0 }), /at least one outcome/);
  assert.throws(() => policyTable([all[0], all[0]], { seed: 0 }), /start 0 is there twice/);
});
