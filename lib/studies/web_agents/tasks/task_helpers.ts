/**
 * Helpers that tasks call by name, `func:get_query_text(__page__, '.price')`: what they are called with, and those that need nothing but
 * the page or its address. Those that ask a site's own interface are given by the caller.
 *
 * Names and results are WebArena's and VisualWebArena's. Two differ: the latest comment of a user is looked for among comments alone,
 * not in the post above them, and among replies to comments of the same user too.
 */
import { z } from "zod";
import { UserError } from "../../../base/user_error.ts";
import { quote } from "./text_matches.ts";

/** The page that a helper looks at: the one of the check that calls it. */
export interface HelperPage {
  /** Value of a JavaScript expression on the page, as a text; empty where it fails. */
  read(expression: string): Promise<string>;
}

/** A helper that a task calls: `func:name('a', __last_url__)` calls it with the arguments as texts, `__page__` left out. */
export type TaskHelper = (args: readonly string[], page: HelperPage) => Promise<string> | string;

/** Helpers by the names that tasks call. */
export type TaskHelpers = Readonly<Record<string, TaskHelper>>;

/** A call that has been read. */
export interface HelperCall {
  readonly helper: TaskHelper;
  /** With what. */
  readonly args: readonly string[];
}

/**
 * Reads a call.
 *
 * @param given Helpers besides {@linkcode PAGE_HELPERS}.
 * @throws {UserError} When it is none, or the helper is not known.
 */
export function readHelperCall(expression: string, given: TaskHelpers = {}): HelperCall {
  const [, name, list] = /^func:\s*([a-z_]\w*)\((.*)\)$/is.exec(expression.trim()) ?? [];
  if (name === undefined) {
    throw new UserError(`${quote(expression)} is not a call of a helper: write func:name('argument')`);
  }
  const known: TaskHelpers = { ...PAGE_HELPERS, ...given };
  if (!Object.hasOwn(known, name)) throw new UserError(`helper ${name} is not known`);
  const args = [...list.matchAll(/'([^']*)'|"([^"]*)"|([^,\s]+)/g)].map(([, a, b, c]) => a ?? b ?? c);
  return { helper: known[name], args: args.filter((each) => each !== "__page__") };
}

/** Helpers that need nothing but the page. */
export const PAGE_HELPERS: TaskHelpers = {
  get_query_text: ([selector], page) => queryText(selector, page),
  get_query_text_lowercase: async ([selector], page) => (await queryText(selector, page)).toLowerCase(),
  reddit_get_post_url: ([address = ""]) => postUrl(address),
  reddit_get_latest_comment_content_by_username: async ([user], page) =>
    latestOf(await comments(page), user)?.content ?? "",
  reddit_get_parent_comment_username_of_latest_comment_by_username: async ([user], page) => {
    const all = await comments(page), latest = latestOf(all, user);
    return latest ? all[latest.parent]?.user ?? "" : "";
  },
  gitlab_get_project_memeber_role: ([account], page) =>
    page.read(
      `[...document.querySelectorAll("td.col-max-role span")][[...document.querySelectorAll(` +
        `"td[data-label='Account'] span.gl-avatar-labeled-sublabel")]` +
        `.findIndex((each) => each.outerText === ${JSON.stringify(`@${account}`)})].outerText`,
    ),
  shopping_get_product_attributes: ([names = ""], page) =>
    page.read(
      `[...document.querySelector("#productDetails_detailBullets_sections1 > tbody").children].filter((row) => ` +
        `${JSON.stringify(names.toLowerCase().split(" |or| "))}.some((name) => ` +
        `row.children[0].outerText.toLowerCase().includes(name))).map((row) => row.children[1].outerText).join(", ")`,
    ),
  shopping_get_product_price: (_, page) =>
    number(
      page,
      `parseFloat(document.querySelector("#maincontent > div.columns > div > div.product-info-main > ` +
        `div.product-info-price > div.price-box.price-final_price > span > span").outerText.slice(1))`,
    ),
  shopping_get_num_reviews: (_, page) =>
    number(page, `parseInt(document.querySelector("#tab-label-reviews-title").outerText.split(" ")[1])`),
  shopping_get_rating_as_percentage: (_, page) =>
    number(page, `parseFloat(document.querySelector(".rating-result").title.replace("%", ""))`),
  shopping_get_order_product_name_list: async (_, page) =>
    (await orderedProducts(page)).map(({ name }) => name).join(" |OR| "),
  shopping_get_order_product_quantity: async ([skus = ""], page) => {
    const product = (await orderedProducts(page)).find(({ sku }) => skus.split(" |OR| ").includes(sku.trim()));
    // It stands behind the word `Ordered`.
    return /^\s*(\d+)\s*$/.exec(product?.qty.slice(7) ?? "")?.[1] ?? "0";
  },
  shopping_get_order_product_option: async ([sku, option], page) => {
    const product = (await orderedProducts(page)).find((each) => each.sku.trim() === sku);
    return Object.hasOwn(product?.options ?? {}, option) ? product!.options![option] : "";
  },
};

function queryText(selector: string, page: HelperPage): Promise<string> {
  return page.read(`document.querySelector(${JSON.stringify(selector)}).textContent`);
}

/** A number on the page; 0 where there is none. */
async function number(page: HelperPage, expression: string): Promise<string> {
  const text = await page.read(expression);
  return text === "" || text === "NaN" ? "0" : text;
}

/** Address of a forum post without what follows its number: `http://host/f/books/12/title` → `http://host/f/books/12/`. */
function postUrl(address: string): string {
  const url = URL.parse(address), [, f, forum, post] = url?.pathname.split("/") ?? [];
  return url && f === "f" && post !== undefined ? `${url.protocol}//${url.host}/f/${forum}/${post}/` : address;
}

/** Products of an order: texts of the table's cells by the second class of each. */
const ORDERED_PRODUCTS = z.array(z.object({
  name: z.string().default(""),
  sku: z.string().default(""),
  qty: z.string().default(""),
  options: z.record(z.string(), z.string()),
}));

async function orderedProducts(page: HelperPage): Promise<z.output<typeof ORDERED_PRODUCTS>> {
  return await list(
    page,
    ORDERED_PRODUCTS,
    `[...document.querySelectorAll("#my-orders-table tbody")].map((row) => {
      const cells = [...row.querySelectorAll("td")].map((cell) => [cell.className.split(" ")[1], cell.outerText]);
      const terms = [...row.querySelectorAll("td dl")].flatMap(({ children }) => [...children]);
      const options = terms.flatMap((term, i) => i % 2 ? [] : [[term.outerText, terms[i + 1].outerText]]);
      return { ...Object.fromEntries(cells), options: Object.fromEntries(options) };
    })`,
  );
}

/** A post and its comments in the page's order; `time` in milliseconds, `parent` a place in the list. */
const COMMENTS = z.array(z.object({
  user: z.string(),
  content: z.string(),
  time: z.number().nullable(),
  parent: z.number().int().min(0),
}));
type ForumEntry = z.output<typeof COMMENTS>[number];

async function comments(page: HelperPage): Promise<ForumEntry[]> {
  return await list(
    page,
    COMMENTS,
    `(() => {
      const post = document.querySelector("#main"), entries = [post, ...post.querySelectorAll(".comment")];
      return entries.map((entry) => ({
        user: entry.querySelector(".fg-inherit").outerText,
        content: entry.querySelector(".comment__content")?.outerText ?? "",
        time: Date.parse(entry.querySelector(".comment__main > header > h1 > span > time")?.dateTime),
        parent: Math.max(0, entries.indexOf(entry.parentElement.closest(".comment"))),
      }));
    })()`,
  );
}

/** The latest comment of a user; the post is none. */
function latestOf(entries: readonly ForumEntry[], user: string): ForumEntry | undefined {
  return entries.slice(1).filter((each) => each.user === user)
    .reduce<ForumEntry | undefined>(
      (latest, each) => latest && (latest.time ?? 0) >= (each.time ?? 0) ? latest : each,
      undefined,
    );
}

/** A list that an expression gives; empty where it fails, or the page gives something else. */
async function list<T>(page: HelperPage, schema: z.ZodType<T[]>, expression: string): Promise<T[]> {
  const text = await page.read(expression);
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return [];
  }
}
