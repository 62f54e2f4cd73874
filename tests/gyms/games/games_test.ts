/** What holds for every built-in game: it can be won, its states are sound, and its steps depend on the state alone. */
import assert from "node:assert/strict";
import { pythonRepr } from "../../../lib/io/python_repr.ts";
import type { GameState } from "../../../lib/worlds/text_game/state.ts";
import { TEXT_GAMES } from "../../../lib/gyms/games/games.ts";
import { deepFreeze, randomWalk, throughJson } from "./support.ts";

const WALKS = 25, STEPS = 40;
const GAMES = Object.values(TEXT_GAMES);

/** Names, ids and contents fit together, and every object is held exactly once. */
function assertSound(state: GameState): void {
  const names = state.objects.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.equal(new Set(state.objects.map(({ uuid }) => uuid)).size, names.length);
  for (const { name, uuid } of state.objects) {
    assert.match(name, new RegExp(`^[a-z ]+ \\(ID: ${uuid}\\)$`));
    assert.ok(uuid < state.max_UUID, `${name} is not below ${state.max_UUID}`);
  }
  // Every name but the first is inside exactly one object that is listed before it.
  const held = state.objects.flatMap(({ contains }) => contains);
  assert.deepEqual(held.toSorted(), names.slice(1).toSorted());
  for (const { name, contains } of state.objects) {
    for (const inner of contains) assert.ok(names.indexOf(inner) > names.indexOf(name));
  }
  assert.deepEqual(Object.keys(state), [
    "observation",
    "look",
    "inventory",
    "taskDesc",
    "lastAction",
    "objects",
    "max_UUID",
  ]);
  assert.deepEqual(Object.keys(state.objects[0]), ["name", "uuid", "type", "properties", "contains"]);
}

Deno.test("there are thirteen games, listed by their names", () => {
  assert.equal(GAMES.length, 13);
  for (const [name, game] of Object.entries(TEXT_GAMES)) assert.equal(game.name, name);
});

for (const game of GAMES) {
  Deno.test(`${game.name}: the solution wins from every first state, and not before its end`, () => {
    for (let seed = 0; seed < 150; seed++) {
      let state = game.start(seed);
      const solution = game.solution(seed);
      assert.ok(solution.length > 0);
      solution.forEach((action, i) => {
        assert.equal(game.score(state).gameOver, false);
        assert.ok(action === "wait" || game.validActions(state).includes(action), `${action} is not offered`);
        const step = game.step(state, action);
        assert.equal(step.nextScore.gameWon, i === solution.length - 1, `seed ${seed}, step ${i}: ${action}`);
        state = step.nextState;
      });
      assert.equal(game.score(state).gameOver, true);
    }
  });

  Deno.test(`${game.name}: states of random walks are sound`, () => {
    for (let seed = 0; seed < WALKS; seed++) {
      const { states } = randomWalk(game, seed, STEPS);
      const fixed = states[0].objects.filter(({ type }) => type === "World" || type === "Agent");
      for (const state of states) {
        assertSound(state);
        assert.equal(state.taskDesc, game.taskDescription);
        const now = state.objects.map(({ uuid }) => uuid);
        for (const { uuid } of fixed) assert.ok(now.includes(uuid));
        for (const { uuid, name } of state.objects) {
          assert.ok(uuid < states[0].max_UUID || game.name === "mix-paint-toy", `${name} came from nowhere`);
        }
      }
    }
  });

  Deno.test(`${game.name}: a step depends on the state's JSON alone and changes nothing of it`, () => {
    for (let seed = 0; seed < WALKS; seed++) {
      const { states, actions } = randomWalk(game, seed, STEPS);
      assert.deepEqual(throughJson(states), states);
      actions.forEach((action, i) => {
        const step = game.step(deepFreeze(throughJson(states[i])), action);
        assert.deepEqual(step.nextState, states[i + 1]);
        assert.equal(step.nextState.lastAction, action);
        assert.equal(step.actionState.observation, step.nextState.observation);
        assert.deepEqual(step.currentScore, game.score(states[i]));
        assert.deepEqual(step.nextScore, game.score(states[i + 1]));
      });
    }
  });

  Deno.test(`${game.name}: seeds decide the scene`, () => {
    assert.deepEqual(game.start(5), game.start(5));
    const scenes = new Set(Array.from({ length: 100 }, (_, seed) => JSON.stringify(game.start(seed).objects)));
    assert.ok(scenes.size >= 95, `only ${scenes.size} of 100 scenes differ`);
  });

  Deno.test(`${game.name}: unknown and impossible actions say so; only time changes anything`, () => {
    const { states } = randomWalk(game, 3, STEPS);
    for (const state of states) {
      const [waited, ...names] = ["wait", ...state.objects.map(({ name }) => name)];
      const afterWait = game.step(state, waited).nextState;
      const strange = ["", "dance", "take it", "take ghost (ID: 99)", "put x (ID: 1) in", "take agent (ID: 0)"];
      strange.push(...names.map((name) => `put ${name} in agent (ID: 0)`));
      for (const action of [...strange, ...names.map((name) => `put ${name} in ${name}`), `eat ${names[2]}`]) {
        const { actionState, nextState } = game.step(state, action);
        assert.deepEqual(actionState.objects, state.objects, action);
        assert.deepEqual(nextState.objects, afterWait.objects, action);
        assert.notEqual(actionState.observation, "");
      }
    }
  });

  Deno.test(`${game.name}: states are compact, and a good part of the valid actions changes them`, () => {
    let characters = 0, states = 0, actions = 0, changed = 0;
    for (let seed = 0; seed < WALKS; seed++) {
      for (const state of randomWalk(game, seed, STEPS).states) {
        assert.ok(state.objects.length <= 7);
        characters += pythonRepr(state.objects).length;
        states++;
        for (const action of game.validActions(state)) {
          const { nextState } = game.step(state, action);
          changed += Number(JSON.stringify(nextState.objects) !== JSON.stringify(state.objects));
          actions++;
        }
      }
    }
    assert.ok(characters / states < 1000, `${characters / states} characters`);
    const share = changed / actions;
    assert.ok(share > 0.2 && (share < 0.8 || game.name === "solar-radio"), `share of changes ${share}`);
  });

  Deno.test(`${game.name}: the rules name every type, property and verb`, () => {
    for (let seed = 0; seed < WALKS; seed++) {
      for (const state of randomWalk(game, seed, STEPS).states) {
        for (const { type, properties } of state.objects) {
          if (!["World", "Agent", "Item"].includes(type)) assert.match(game.rules.object, new RegExp(`\\b${type}\\b`));
          for (const key of Object.keys(properties)) assert.match(game.rules.object, new RegExp(`\\b${key}\\b`));
        }
        for (const action of game.validActions(state)) {
          assert.match(game.rules.action, new RegExp(`^${action.split(" ")[0]}`, "m"));
        }
      }
    }
    assert.ok(game.rules.score.length > 20);
  });
}
