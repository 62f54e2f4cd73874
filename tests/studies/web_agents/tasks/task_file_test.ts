/** WebArena's task files: what is read, what is refused and how. */
import assert from "node:assert/strict";
import { UserError } from "../../../../lib/base/user_error.ts";
import { loadTasks, parseTasks, type SkippedTask } from "../../../../lib/studies/web_agents/tasks/task_file.ts";
import { taskJson } from "../../../../lib/worlds/web_page/web_task.ts";

/** A task as it stands in WebArena's files, fields that do not matter here included. */
const TASK = {
  sites: ["shopping"],
  task_id: 21,
  require_login: true,
  storage_state: "./.auth/shopping_state.json",
  start_url: "__SHOPPING__/a.html |AND| __REDDIT__",
  geolocation: null,
  intent_template: "List out reviewers",
  instantiation_dict: { description: "ear cups" },
  intent: "List out reviewers who mention ear cups being small",
  require_reset: false,
  eval: {
    eval_types: ["string_match"],
    reference_answers: { must_include: ["Joseph", "Catso"] },
    reference_url: "",
    program_html: [] as unknown[],
    string_note: "",
    reference_answer_raw_annotation: "Joseph, Catso",
  },
  intent_template_id: 222,
};
const SITES = {
  __SHOPPING__: "http://shop.test/",
  __REDDIT__: "http://forum.test",
  __SHOPPING_ADMIN__: "http://shop.test/admin",
};

const parse = (tasks: unknown) => parseTasks(JSON.stringify(tasks), "tasks.json", { sites: SITES });
const withEval = (changes: Record<string, unknown>) => ({ ...TASK, eval: { ...TASK.eval, ...changes } });

Deno.test("task files: one task or a list, placeholders replaced", () => {
  const [task] = parse(TASK);
  assert.deepEqual(task, {
    taskId: 21,
    sites: ["shopping"],
    intent: TASK.intent,
    startUrls: ["http://shop.test/a.html", "http://forum.test"],
    storageState: "./.auth/shopping_state.json",
    requiresReset: false,
    requiresLogin: true,
    evaluation: {
      types: ["string_match"],
      referenceAnswers: { mustInclude: ["Joseph", "Catso"] },
      stringNote: "",
      referenceUrl: undefined,
      urlNote: "GOLD in PRED",
      programHtml: undefined,
      pageImages: undefined,
    },
  });
  assert.deepEqual(parse([TASK, { ...TASK, task_id: 22 }]).map(({ taskId }) => taskId), [21, 22]);
});

Deno.test("task files: pages and addresses", () => {
  const [{ evaluation }] = parse(withEval({
    eval_types: ["url_match", "program_html"],
    reference_answers: null,
    reference_url: "__SHOPPING_ADMIN__/orders |OR| __SHOPPING__/b",
    url_note: "GOLD in PRED",
    program_html: [{
      url: "func:shopping_get_latest_order_url()",
      locator: 'document.querySelector(".x").outerText',
      required_contents: { must_include: ["a |OR| b"] },
    }, {
      url: "func:reddit_get_post_url('__last_url__')",
      locator: "func:get_query_text(__page__, '.x')",
      required_contents: { must_include: ["see __REDDIT__/f/books/1", "__SHOPPING__"] },
    }, { url: "last", locator: "", required_contents: { exact_match: "" } }],
  }));
  assert.equal(evaluation.referenceUrl, "http://shop.test/admin/orders |OR| http://shop.test/b");
  assert.deepEqual(evaluation.programHtml?.map(({ required }) => required), [
    { mustInclude: ["a |OR| b"] },
    // Texts have placeholders too; what helpers fill in stays.
    { mustInclude: ["see http://forum.test/f/books/1", "http://shop.test"] },
    { exactMatch: "" },
  ]);
  assert.equal(evaluation.programHtml?.[1].url, "func:reddit_get_post_url('__last_url__')");
});

Deno.test("task files: written and read back, nothing is lost", () => {
  const all = withEval({
    eval_types: ["string_match", "url_match", "program_html", "page_image_query"],
    reference_answers: {
      exact_match: "x",
      must_exclude: ["y"],
      one_of: ["z"],
      required_values: [">= 3 |OR| == 0"],
      fuzzy_match: "N/A",
    },
    string_note: "why not",
    reference_url: "http://shop.test/a",
    url_note: "EXACT",
    program_html: [{
      url: "last",
      locator: "document.title",
      prep_actions: ["go()"],
      required_contents: { must_exclude: ["no"] },
    }, {
      url: "last",
      locator: "lambda:(() => { return document.title })()",
      required_contents: { required_values: ["< 70"] },
    }, { url: "last", locator: "", required_contents: { fuzzy_match: "it is late" } }],
    page_image_query: [
      { eval_image_url: "last", eval_image_class: ".photo", eval_vqa: [{ question: "Red?", answer: "yes" }] },
      { eval_image_url: "last", eval_image_class: "", eval_fuzzy_image_match: "a.png |OR| b.png", ssim_threshold: 0.9 },
    ],
  });
  const read = parse([TASK, { ...all, task_id: 3 }]);
  assert.deepEqual(parse(read.map(taskJson)), read);
  assert.equal(read[1].evaluation.pageImages?.[1].sameAs.length, 2);
});

Deno.test("task files: what could not be judged is refused in one line that names the task", () => {
  const refused = (tasks: unknown, message: RegExp) =>
    assert.throws(() => parse(tasks), (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.ok(!error.message.includes("\n"));
      assert.match(error.message, message);
      return true;
    });
  refused(
    withEval({ eval_types: ["string_match", "vibes"] }),
    /task_id 21: eval.eval_types.1: unknown evaluator "vibes": known are string_match/,
  );
  refused(withEval({ reference_answers: null }), /task_id 21: eval.reference_answers: string_match needs it/);
  refused(withEval({ reference_answers: {} }), /task_id 21: eval.reference_answers: string_match needs it/);
  refused(
    withEval({ reference_answers: { almost_match: ["3"] } }),
    /task_id 21: eval.reference_answers: .*almost_match/,
  );
  refused(
    withEval({ reference_answers: { required_values: ["about 3"] } }),
    /required_values.0: must be inequalities like ">= 12": received "about 3"/,
  );
  refused(
    withEval({ reference_answers: { fuzzy_match: "maybe" } }),
    /fuzzy_match must be a list or "N\/A": received "maybe"/,
  );
  refused(withEval({ eval_types: ["url_match"] }), /eval.reference_url: url_match needs it/);
  refused(withEval({ eval_types: ["program_html"] }), /eval.program_html: program_html needs it/);
  const page = (check: Record<string, unknown>) => withEval({ eval_types: ["program_html"], program_html: [check] });
  refused(
    page({ url: "last", locator: "page.title()", required_contents: { exact_match: "" } }),
    /eval.program_html.0.locator must be empty/,
  );
  refused(
    page({ url: "last", locator: "lambda: fetch('x')", required_contents: { exact_match: "" } }),
    /eval.program_html.0.locator: lambda: fetch is not known/,
  );
  const picture = (query: Record<string, unknown>) =>
    withEval({ eval_types: ["page_image_query"], page_image_query: [{ eval_image_url: "last", ...query }] });
  refused(picture({ eval_image_class: "img", eval_fuzzy_image_match: "a.png" }), /must be empty or a class/);
  refused(picture({ eval_image_class: ".a" }), /page_image_query.0: must ask something/);
  refused(page({ url: "last", locator: "", required_contents: {} }), /exactly one of exact_match/);
  refused(
    page({ url: "last", locator: "", required_contents: { exact_match: "", must_include: ["a"] } }),
    /exactly one/,
  );
  const { intent: _, ...withoutIntent } = TASK;
  refused(withoutIntent, /task_id 21: intent/);
  refused([TASK, TASK], /task_id 21 twice/);
  refused([], /holds no task/);
  refused([{ intent: "x" }], /task number 1: task_id/);
  refused({ ...TASK, start_url: "__GITLAB__/a" }, /task_id 21: __GITLAB__ is not known/);
  refused(
    page({ url: "last", locator: "", required_contents: { must_include: ["__GITLAB__/x"] } }),
    /task_id 21: __GITLAB__ is not known: say where that site is served/,
  );
  assert.throws(() => parseTasks("{", "broken.json"), /task file broken.json is no JSON/);
});

Deno.test("task files: tasks that cannot be used are left out and told, the others are read", () => {
  const skipped: SkippedTask[] = [];
  const list = [
    TASK,
    { ...TASK, task_id: 22, start_url: "__MAP__" },
    { ...TASK, task_id: 23, eval: { ...TASK.eval, eval_types: ["vibes"] } },
    { ...TASK, task_id: 24 },
    { intent: "x" },
  ];
  const read = (taskIds?: number[], tasks: unknown[] = list) =>
    parseTasks(JSON.stringify(tasks), "tasks.json", { sites: SITES, taskIds, onSkipped: (task) => skipped.push(task) });
  assert.deepEqual(read().map(({ taskId }) => taskId), [21, 24]);
  assert.deepEqual(skipped.map(({ taskId }) => taskId), [22, 23, undefined]);
  assert.equal(skipped[0].reason, "__MAP__ is not known: say where that site is served");
  assert.match(skipped[1].reason, /^eval.eval_types.0: unknown evaluator "vibes"/);
  // Where none is left, the first reason is the error.
  assert.throws(() => read(undefined, list.slice(1, 3)), /task_id 22: __MAP__ is not known/);
  // Those that are not wanted are not looked at.
  skipped.length = 0;
  assert.deepEqual(read([24]).map(({ taskId }) => taskId), [24]);
  assert.deepEqual(skipped, []);
  assert.throws(() => read([24, 99, 100]), /task file tasks.json has no task_id 99, 100/);
});

Deno.test("task files: a file that is not there", async () => {
  await assert.rejects(loadTasks("/nowhere/tasks.json"), /task file \/nowhere\/tasks.json cannot be read/);
});
