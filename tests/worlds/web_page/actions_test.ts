/** Actions: WebArena's grammar case by case, what histories say, what counts as the same. */
import assert from "node:assert/strict";
import {
  describeAction,
  formatAction,
  isEquivalent,
  parseAction,
  type WebAction,
} from "../../../lib/worlds/web_page/actions.ts";

/** What was said, what it means (worked out from WebArena's expressions by hand), and how it is written then. */
const CASES: readonly (readonly [text: string, action: WebAction, written: string])[] = [
  ["click [12]", { kind: "click", id: 12 }, "click [12]"],
  ["  click[12]  ", { kind: "click", id: 12 }, "click [12]"],
  ["click [12] where [12] is link", { kind: "click", id: 12 }, "click [12]"],
  ["hover [3]", { kind: "hover", id: 3 }, "hover [3]"],
  ["type [7] [kettle]", { kind: "type", id: 7, text: "kettle", pressEnter: true }, "type [7] [kettle] [1]"],
  ["type [7] [kettle] [1]", { kind: "type", id: 7, text: "kettle", pressEnter: true }, "type [7] [kettle] [1]"],
  ["type [7] [kettle] [0]", { kind: "type", id: 7, text: "kettle", pressEnter: false }, "type [7] [kettle] [0]"],
  ["type [7][a [b] c][0]", { kind: "type", id: 7, text: "a [b] c", pressEnter: false }, "type [7] [a [b] c] [0]"],
  // A flag that is none becomes part of the text.
  ["type [7] [a] [2]", { kind: "type", id: 7, text: "a] [2", pressEnter: true }, "type [7] [a] [2] [1]"],
  ["press [ctrl+a]", { kind: "press", keys: "Control+a" }, "press [Control+a]"],
  ["press [Ctrl + K]", { kind: "press", keys: "Control+k" }, "press [Control+k]"],
  ["press [ctrl+shift+K]", { kind: "press", keys: "Control+Shift+K" }, "press [Control+Shift+K]"],
  ["press [cmd+a]", { kind: "press", keys: "Meta+a" }, "press [Meta+a]"],
  ["press [esc]", { kind: "press", keys: "Escape" }, "press [Escape]"],
  ["press [space]", { kind: "press", keys: "Space" }, "press [Space]"],
  ["press [arrowleft]", { kind: "press", keys: "ArrowLeft" }, "press [ArrowLeft]"],
  ["press [Page Down]", { kind: "press", keys: "PageDown" }, "press [PageDown]"],
  ["press [shift+tab]", { kind: "press", keys: "Shift+Tab" }, "press [Shift+Tab]"],
  ["press [down]", { kind: "press", keys: "ArrowDown" }, "press [ArrowDown]"],
  ["press [K]", { kind: "press", keys: "K" }, "press [K]"],
  ["press [+]", { kind: "press", keys: "+" }, "press [+]"],
  ["press [ctrl++]", { kind: "press", keys: "Control++" }, "press [Control++]"],
  ["press [-]", { kind: "press", keys: "-" }, "press [-]"],
  ["press [enter]", { kind: "press", keys: "Enter" }, "press [Enter]"],
  ["press [Control+ARROWDOWN]", { kind: "press", keys: "Control+ArrowDown" }, "press [Control+ArrowDown]"],
  ["scroll [down]", { kind: "scroll", direction: "down" }, "scroll [down]"],
  ["scroll up", { kind: "scroll", direction: "up" }, "scroll [up]"],
  ["goto [http://shop.test/cart]", { kind: "goto", url: "http://shop.test/cart" }, "goto [http://shop.test/cart]"],
  ["new_tab", { kind: "newTab" }, "new_tab"],
  ["close_tab", { kind: "closeTab" }, "close_tab"],
  ["go_back please", { kind: "goBack" }, "go_back"],
  ["go_forward", { kind: "goForward" }, "go_forward"],
  ["tab_focus [1]", { kind: "tabFocus", index: 1 }, "tab_focus [1]"],
  ["stop [$24.00]", { kind: "stop", answer: "$24.00" }, "stop [$24.00]"],
  ["stop", { kind: "stop", answer: "" }, "stop []"],
  ["stop []", { kind: "stop", answer: "" }, "stop []"],
];

const NO_ACTIONS = [
  ...[
    "",
    "   ",
    "None",
    "click",
    "click 12",
    "click [x]",
    "click [-1]",
    "Click [12]",
    "I click [12]",
    "type [7]",
    "type [7] [1]",
  ],
  ...["type [7] []", "press []", "scroll [left]", "goto", "tab_focus [x]", "[12]", "click [1\n2]"],
];

Deno.test("actions: parsed and written as WebArena's grammar says", () => {
  for (const [text, action, written] of CASES) {
    assert.deepEqual(parseAction(text), action, text);
    assert.equal(formatAction(action), written, text);
    assert.deepEqual(parseAction(written), action, `${text} written and read again`);
  }
});

Deno.test("actions: what is not an action is kept as it was said", () => {
  for (const text of NO_ACTIONS) {
    assert.deepEqual(parseAction(text), { kind: "none", text }, JSON.stringify(text));
    assert.equal(formatAction(parseAction(text)), text);
  }
});

Deno.test("actions: histories say where an action went", () => {
  const nodes = new Map([
    [12, { role: "link", name: "Cart", line: "[12] link 'Cart'" }],
    [7, { role: "searchbox", name: "Search it", line: "[7] searchbox 'Search  it' focused: True" }],
  ]);
  const described = (text: string) => describeAction(parseAction(text), nodes);
  assert.equal(described("click [12]"), "click [12] where [12] is link 'Cart'");
  assert.equal(described("hover [12]"), "hover [12] where [12] is link 'Cart'");
  assert.equal(described("type [7] [a b]"), "type [7] [a b] where [7] is searchbox 'Search it' focused: True");
  assert.equal(described("click [99]"), "click [99]");
  assert.equal(described("tab_focus [2]"), "page_focus [2]");
  assert.equal(described("press [enter]"), "press [Enter]");
  assert.equal(described("stop [x]"), "stop [x]");
  assert.equal(described("dance"), "none");
});

Deno.test("actions: the same action again, as early stops count it", () => {
  const same = (a: string, b: string) => isEquivalent(parseAction(a), parseAction(b));
  assert.ok(same("click [1]", "click[1]"));
  assert.ok(!same("click [1]", "click [2]"));
  assert.ok(!same("click [1]", "hover [1]"));
  assert.ok(same("type [1] [a] [0]", "type [1] [b] [1]"));
  assert.ok(!same("type [1] [a]", "type [2] [a]"));
  assert.ok(same("scroll [up]", "scroll up"));
  assert.ok(!same("goto [http://a.test/]", "goto [http://b.test/]"));
  assert.ok(same("nonsense", "other nonsense"));
  assert.ok(!same("nonsense", "go_back"));
  assert.ok(!same("stop [a]", "stop [b]"));
});
