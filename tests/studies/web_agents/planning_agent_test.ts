import assert from "node:assert/strict";
import { countProposals, proposedAction } from "../../../lib/studies/web_agents/action_proposals.ts";
import { splitSections } from "../../../lib/studies/web_agents/change_sections.ts";
import { earlyStop } from "../../../lib/studies/web_agents/early_stop.ts";
import { LockStep } from "../../../lib/studies/web_agents/lock_step.ts";
import { type AgentRoles, PlanningAgent } from "../../../lib/studies/web_agents/planning_agent.ts";
import { type AgentState, type PastAction, RoleFailedError } from "../../../lib/studies/web_agents/roles.ts";
import { usageOf } from "../../../lib/serving/usage.ts";
import { parseAction } from "../../../lib/worlds/web_page/actions.ts";
import type { Observation } from "../../../lib/worlds/web_page/browser.ts";

const PAGE: Observation = {
  tree: "Tab 0 (current): A\n\n[1] RootWebArea 'A'\n\t[2] link 'B'\n\t[3] link 'C'",
  url: "http://a/",
  tabs: [{ title: "A", isCurrent: true }],
  nodes: new Map([
    [1, { role: "RootWebArea", name: "A", line: "[1] RootWebArea 'A'" }],
    [2, { role: "link", name: "B", line: "[2] link 'B'" }],
    [3, { role: "link", name: "C", line: "[3] link 'C'" }],
  ]),
};

function stateAfter(...actions: string[]): AgentState {
  const history = actions.map((text): PastAction => ({ action: parseAction(text), described: text }));
  return { objective: "Go to C", observation: PAGE, url: PAGE.url, history, stream: [1] };
}

const say = (action: string) => `I will do this: \`\`\`${action}\`\`\``;

/** Roles that say fixed things, and note what they were asked. */
function fixedRoles(answers: string[], scores: Record<string, number[]>): { roles: AgentRoles; asked: string[] } {
  const asked: string[] = [];
  const reply = <T>(role: string, value: T, queries: number) => {
    asked.push(role);
    return Promise.resolve({ value, usage: usageOf({ queries }) });
  };
  return {
    asked,
    roles: {
      policy: { propose: (_, samples) => reply(`policy ${samples}`, answers, samples) },
      lookahead: {
        worldModel: {
          predict: (_, all) =>
            reply(
              "world model",
              all.map(({ text }) => `New items:\n[9] link '${text}'\n\nDeleted items:\nNone`),
              all.length,
            ),
        },
        summarizer: {
          summarize: (_, all) => reply("summarizer", all.map(({ sections }) => `1. ${sections.newItems}`), all.length),
        },
        translator: {
          translate: (_, all) => reply("translator", all.map((each) => `about ${each.salientChanges}`), all.length),
        },
        value: {
          score: (_, all, samples) =>
            reply(`value ${samples}`, all.map(({ text }) => scores[text] ?? [0]), all.length * samples),
        },
      },
    },
  };
}

Deno.test("agent: one step asks each role once, in order, and takes the highest mean", async () => {
  const answers = [..."2232322"].map((id) => say(`click [${id}]`)).concat(
    say("go_back"),
    say("hover [2]"),
    say("go_back"),
  );
  const { roles, asked } = fixedRoles(answers, { "click [2]": [2, 3], "click [3]": [5, 4], go_back: [4, 4] });
  const decision = await new PlanningAgent(roles).decide(stateAfter());
  assert.deepEqual(asked, ["policy 20", "world model", "summarizer", "translator", "value 20"]);
  assert.deepEqual(decision.proposals, [
    { text: "click [2]", count: 5 },
    { text: "click [3]", count: 2 },
    { text: "go_back", count: 2 },
    { text: "hover [2]", count: 1 },
  ]);
  assert.deepEqual(decision.candidates.map(({ share }) => share), [5 / 9, 2 / 9, 2 / 9]);
  assert.deepEqual(decision.candidates.map(({ value }) => value), [2.5, 4.5, 4]);
  assert.deepEqual([decision.reason, decision.chosen, decision.described], [
    "highest value",
    1,
    "click [3] where [3] is link 'C'",
  ]);
  const { prediction, salientChanges, description } = decision.candidates[1];
  assert.equal(prediction, "New items:\n[9] link 'click [3]'\n\nDeleted items:\nNone");
  assert.equal(salientChanges, "1. [9] link 'click [3]'");
  assert.equal(description, "about 1. [9] link 'click [3]'");
  assert.equal(decision.costs.value?.queries, 60);
});

Deno.test("agent: the paper's 89 queries a step", async () => {
  const answers = ["click [1]", "click [2]", "click [3]", "go_back"].map(say);
  const { costs } = await new PlanningAgent(fixedRoles(answers, {}).roles).decide(stateAfter());
  assert.equal(Object.values(costs).reduce((sum, { queries }) => sum + queries, 0), 89);
});

Deno.test("agent: the first among equals", async () => {
  const { roles } = fixedRoles(["click [3]", "click [2]"].map(say), { "click [3]": [4], "click [2]": [4] });
  assert.equal((await new PlanningAgent(roles).decide(stateAfter())).described, "click [3] where [3] is link 'C'");
});

Deno.test("agent: a stop among the most frequent is taken unjudged; typing the word is no stop", async () => {
  const stop = fixedRoles(["click [2]", "click [2]", "stop [7]"].map(say), {});
  const decision = await new PlanningAgent(stop.roles).decide(stateAfter());
  assert.deepEqual([decision.action, decision.reason], [{ kind: "stop", answer: "7" }, "stop proposed"]);
  assert.deepEqual(stop.asked, ["policy 20"]);
  const far = fixedRoles(["click [1]", "click [2]", "click [3]", "stop [7]"].map(say), {});
  assert.equal((await new PlanningAgent(far.roles).decide(stateAfter())).reason, "highest value");
  const bus = fixedRoles([say("type [2] [bus stop] [1]")], {});
  assert.equal((await new PlanningAgent(bus.roles).decide(stateAfter())).action.kind, "type");
});

Deno.test("agent: without a world model the most frequent proposal", async () => {
  const { roles: { policy } } = fixedRoles(["click [3]", "click [2]", "click [2]"].map(say), {});
  const decision = await new PlanningAgent({ policy }).decide(stateAfter());
  assert.deepEqual([decision.action, decision.reason], [{ kind: "click", id: 2 }, "most frequent"]);
});

Deno.test("agent: early stops, the released rules", () => {
  const stops = (actions: string[], options = {}) => earlyStop(actions.map(parseAction), options);
  assert.equal(stops(["click [1]", "go_back", "click [2]", "go_back"]), undefined);
  assert.match(
    stops(["click [1]", "go_back", "click [2]", "go_back", "hover [1]"])!,
    /^Early stop: the limit of 5 actions is reached$/,
  );
  const long = { maxSteps: 30 };
  assert.equal(stops(["?", "?"], long), undefined);
  assert.match(stops(["?", "what", "!"], long)!, /last 3 answers name no action/);
  assert.equal(stops(["click [1]", "?", "?", "click [1]", "?"], long), undefined);
  const click = "click [1]";
  assert.equal(stops([click, click, click, click], long), undefined);
  assert.match(stops([click, click, click, click, click], long)!, /done 5 times/);
  // Other actions between are no repetition; typing into one field is, however far apart.
  assert.equal(stops([click, click, "go_back", click, click, click], long), undefined);
  const type = (text: string) => `type [4] [${text}] [1]`;
  assert.match(stops([type("a"), click, type("b"), click, type("c"), type("d"), click, type("e")], long)!, /5 times/);
  assert.equal(stops([type("a"), click, type("b"), click, type("c"), type("d"), type("e"), click], long), undefined);
});

Deno.test("agent: an early stop asks nobody", async () => {
  const { roles, asked } = fixedRoles([], {});
  const decision = await new PlanningAgent(roles, { maxSteps: 1 }).decide(stateAfter("go_back"));
  assert.deepEqual([decision.action, decision.reason], [
    { kind: "stop", answer: "Early stop: the limit of 1 actions is reached" },
    "early stop",
  ]);
  assert.deepEqual(asked, []);
});

Deno.test("agent: some failed queries are noted, a role without any answer ends the task in one line", async () => {
  const { roles } = fixedRoles(["", say("click [2]"), ""], { "click [2]": [3] });
  const partly: AgentRoles = {
    ...roles,
    policy: {
      propose: () =>
        Promise.resolve({
          value: ["", say("click [2]")],
          usage: usageOf({ queries: 2, failed: 1 }),
          problems: ["busy"],
        }),
    },
  };
  const decision = await new PlanningAgent(partly).decide(stateAfter());
  assert.deepEqual(decision.proposals, [{ text: "click [2]", count: 1 }]);
  assert.deepEqual(decision.problems, ["policy: busy"]);
  const never: AgentRoles = {
    ...roles,
    lookahead: {
      ...roles.lookahead!,
      worldModel: {
        predict: () =>
          Promise.resolve({ value: [""], usage: usageOf({ queries: 1, failed: 1 }), problems: ["http://a: gave up"] }),
      },
    },
  };
  await assert.rejects(new PlanningAgent(never).decide(stateAfter()), (error: Error) => {
    assert.ok(error instanceof RoleFailedError);
    assert.equal(error.message, "the world model answered none of 1 queries: http://a: gave up");
    return true;
  });
});

Deno.test("agent: options that cannot be", () => {
  assert.throws(() => new PlanningAgent(fixedRoles([], {}).roles, { branching: 0 }), {
    name: "RangeError",
    message: "branching must be at least 1: received 0",
  });
});

Deno.test("proposals: what answers name", () => {
  // Cases by reading the released parser: triple back-ticks, else single ones, else the word None.
  assert.equal(proposedAction("In summary: ```click [12]```."), "click [12]");
  assert.equal(proposedAction("a `b` ```\nclick [1]\n``` ```click [2]```"), "click [1]");
  assert.equal(proposedAction("do `click [3]` or `click [4]`"), "click [3]");
  assert.equal(proposedAction("click [5]"), "None");
  assert.equal(proposedAction("```click [5]``"), "");
  // As in Python, where a line ends with a line feed only.
  assert.equal(proposedAction("```\r\ntype [1] [a\u2028b]\r\n```"), "type [1] [a\u2028b]");
  assert.deepEqual(countProposals(["", ""]), [{ text: "None", count: 0 }]);
  assert.deepEqual(countProposals(["`b`", "`a`", "x", "`a`"]), [
    { text: "a", count: 2 },
    { text: "b", count: 1 },
    { text: "None", count: 1 },
  ]);
});

Deno.test("sections: split as the released agent splits", () => {
  const answer =
    "<think>…</think>\nNew items:\n[1] link 'A'\n[2] link 'B'\n\nDeleted items:\nNone\n\nUpdated items:\n[3] x 'C'\n\nDone.";
  assert.deepEqual(splitSections(answer), {
    newItems: "[1] link 'A'\n[2] link 'B'",
    deletedItems: undefined,
    updatedItems: "[3] x 'C'",
  });
  assert.deepEqual(splitSections("New items:\nNone\n\nUpdated items:\n[3] x"), {
    newItems: undefined,
    deletedItems: undefined,
    updatedItems: "[3] x",
  });
  assert.deepEqual(Object.values(splitSections("nonsense")), [undefined, undefined, undefined]);
});

Deno.test("lock step: questions of all that run are one batch; who leaves is not waited for", async () => {
  const batches: number[][] = [];
  const steps = new LockStep<number, number>((questions) => {
    batches.push([...questions]);
    return Promise.resolve(questions.map((each) => each * 10));
  });
  const run = async (name: number, rounds: number) => {
    const got: number[] = [];
    for (let i = 0; i < rounds; i++) got.push(...await steps.ask([name, name + i]));
    return got;
  };
  const places = [1, 2, 3].map(() => steps.join());
  const all = await Promise.all([3, 1, 2].map(async (rounds, i) => {
    using _place = places[i];
    return await run(i + 1, rounds);
  }));
  assert.deepEqual(batches, [[1, 1, 2, 2, 3, 3], [1, 2, 3, 4], [1, 3]]);
  assert.deepEqual(all, [[10, 10, 10, 20, 10, 30], [20, 20], [30, 30, 30, 40]]);
});

Deno.test("lock step: a batch that fails fails for all who asked", async () => {
  const steps = new LockStep<number, number>(() => {
    throw new Error("out of memory");
  });
  using _place = steps.join();
  await assert.rejects(steps.ask([1]), /out of memory/);
});
