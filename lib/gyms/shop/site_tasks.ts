/**
 * The tasks of the built-in site, in WebArena's form, drawn from its catalogue by templates. All follow from the site's seed.
 */
import { SHOP_STREAM } from "../../base/streams.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { Philox } from "../../tensor/random.ts";
import { type PageCheck, type ReferenceAnswers, taskJson } from "../../worlds/web_page/web_task.ts";
import {
  counted,
  initialShopData,
  meanStars,
  money,
  ORDER_STATUSES,
  type Product,
  type ShopData,
  slugOf,
  stockText,
} from "./shop_data.ts";
import { SHOP_ORIGIN, type ShopSite } from "./shop_site.ts";
import type { SiteArea, SiteTask, SolutionStep } from "./site_task.ts";
import { STREETS, TOWNS } from "./words.ts";

/** What a template says of a task; the rest is alike for all. */
type TaskDraft =
  & Pick<SiteTask, "intent" | "kind" | "area" | "solution" | "evaluation">
  & { readonly startPath?: string };

/** Rows of the back office's tables on their first page, where solutions look. */
const ROWS_AT_ONCE = 3;
/** Posts on the forum's first page. */
const POSTS_AT_ONCE = 5;
/** The kind of WebArena's sites that an area is like. */
const SITE_OF: Readonly<Record<SiteArea, string>> = {
  shop: "shopping",
  cart: "shopping",
  account: "shopping",
  "wish list": "shopping",
  reviews: "shopping",
  help: "shopping",
  admin: "shopping_admin",
  forum: "reddit",
};
/** Ids of a seed's tasks begin at the seed times this. */
const IDS_PER_SEED = 1000;

/** The tasks of a site: at least 40, for the site as its seed makes it, whatever has been done to it since. */
export function siteTasks(site: Pick<ShopSite, "seed">): SiteTask[] {
  return taskDrafts(initialShopData(site.seed), site.seed).map(({ startPath = "/", ...draft }, index) => ({
    ...draft,
    taskId: site.seed * IDS_PER_SEED + index,
    sites: [SITE_OF[draft.area]],
    startUrls: [SHOP_ORIGIN + startPath],
    requiresReset: draft.kind === "change",
    requiresLogin: true,
  }));
}

/** Writes a site's tasks as a file of WebArena's form; solutions are not in it. */
export async function writeSiteTasks(site: Pick<ShopSite, "seed">, path: string): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(siteTasks(site).map(taskJson), null, 2) + "\n");
}

function taskDrafts(data: ShopData, seed: number): TaskDraft[] {
  const stream = new Philox(seed, SHOP_STREAM.tasks);
  return [
    ...productQuestions(data, stream),
    ...categoryTasks(data, stream),
    ...cartTasks(data, stream),
    ...wishListTasks(data, stream),
    ...reviewTasks(data, stream),
    ...accountTasks(data, stream),
    ...helpTasks(data),
    ...forumTasks(data, stream),
    ...adminTasks(data, stream),
  ];
}

function productQuestions(data: ShopData, stream: Philox): TaskDraft[] {
  const [a, b, c, f, g] = draw(data.products, 5, stream);
  const scarce = draw(data.products.filter((product) => stockText(product) !== undefined), 2, stream);
  const described = draw(data.products.filter(({ description }) => description !== undefined), 1, stream);
  const details = click("DisclosureTriangle", "Details");
  const [, weight] = /^Weighs (\S+) kg/.exec(g.details)!, [, origin] = /made in (\w+)\.$/.exec(f.details)!;
  return [
    question("shop", `What is the price of the ${a.name}?`, money(a.price), [searchFor(a)]),
    question("shop", `How much does the ${b.name} cost?`, money(b.price), [searchFor(b)]),
    question("shop", `How is the ${c.name} rated, out of 5?`, meanStars(c).toFixed(1), [searchFor(c)]),
    ...scarce.map((product) =>
      question(
        "shop",
        `How many pieces of the ${product.name} are left? Say "none" if it is out of stock.`,
        product.stock > 0 ? { mustInclude: [String(product.stock)], mustExclude: ["none"] } : { exactMatch: "none" },
        toProduct(product),
        product.stock > 0 ? String(product.stock) : "none",
      )
    ),
    ...described.map((product) => {
      const purpose = /^Made for (.*)\.$/.exec(product.description!)![1];
      return question("shop", `What is the ${product.name} made for?`, purpose, toProduct(product));
    }),
    question("shop", `In which country is the ${f.name} made?`, origin, [...toProduct(f), details]),
    question("shop", `How many kilograms does the ${g.name} weigh?`, weight, [...toProduct(g), details]),
  ];
}

function categoryTasks({ categories, products }: ShopData, stream: Philox): TaskDraft[] {
  const [a, b, c, d] = draw(categories, 4, stream);
  const inside = (category: string) => products.filter((product) => product.category === category);
  const cheapest = (category: string) => inside(category).reduce((x, each) => each.price < x.price ? each : x).name;
  const sorted = (category: string, by: string) => [
    click("link", category),
    click("option", by),
    click("button", "Apply"),
  ];
  const rated = categories.find((category) => {
    const stars = inside(category).map(meanStars).sort((x, y) => y - x);
    return stars[0] > stars[1];
  });
  return [
    question("shop", `What is the cheapest product in ${a}?`, cheapest(a), sorted(a, "Price")),
    question("shop", `Name the product in ${b} with the lowest price.`, cheapest(b), sorted(b, "Price")),
    ...rated === undefined ? [] : [question(
      "shop",
      `Which product in ${rated} has the best rating?`,
      inside(rated).reduce((best, each) => meanStars(each) > meanStars(best) ? each : best).name,
      sorted(rated, "Rating"),
    )],
    navigation("shop", `Show me ${c} sorted by Price.`, `/category/${slugOf(c)}?sort=Price`, sorted(c, "Price")),
    navigation("shop", `Show me only what is in stock in ${d}.`, `/category/${slugOf(d)}?stock=1`, [
      click("link", d),
      click("checkbox", "In stock only"),
      click("button", "Apply"),
    ]),
  ];
}

function cartTasks(data: ShopData, stream: Philox): TaskDraft[] {
  const available = data.products.filter(({ stock }) => stock >= 5);
  const [a, b, c, d, e] = draw(available, 5, stream);
  const chosen = available.find(({ option, slug }) => option && ![a, b, c].some((each) => each.slug === slug));
  const quantity = stream.integer(2, 5);
  const inCart = (...contents: string[]) => pageHas("/cart", "cart-items", contents);
  const add = click("button", "Add to cart");
  return [
    change("cart", `Add the ${a.name} to my cart.`, [inCart(a.name)], [...toProduct(a), add]),
    change("cart", `Put ${quantity} pieces of the ${b.name} into the cart.`, [inCart(b.name, `${quantity} x`)], [
      ...toProduct(b),
      type("Quantity", String(quantity)),
      add,
    ]),
    ...chosen === undefined ? [] : [change(
      "cart",
      `Add the ${chosen.name} with ${chosen.option!.label} "${chosen.option!.choices[1]}" to the cart.`,
      [inCart(chosen.name, chosen.option!.choices[1])],
      [click("option", chosen.option!.choices[1]), add],
      productPath(chosen),
    )],
    question(
      "cart",
      `Put the ${c.name} into the cart and tell me the total.`,
      money(c.price),
      [add],
      money(c.price),
      productPath(c),
    ),
    navigation("cart", `Add the ${d.name} to the cart and go on to the checkout.`, "/checkout", [
      add,
      click("link", "Checkout"),
    ], productPath(d)),
    change(
      "cart",
      `Buy the ${e.name} with Express delivery.`,
      [pageHas("last", "order-items", [e.name]), pageHas("last", "order-total", ["Express"])],
      [add, click("link", "Checkout"), click("option", /^Express/), click("button", "Place order")],
      productPath(e),
    ),
  ];
}

function wishListTasks({ products }: ShopData, stream: Philox): TaskDraft[] {
  const [a, b, c] = draw(products, 3, stream);
  const wished = (product: Product) => pageHas("/wish-list", "wishes", [product.name]);
  const add = click("button", "Add to wish list");
  return [
    change("wish list", `Put the ${a.name} on my wish list.`, [wished(a)], [...toProduct(a), add]),
    change("wish list", `I would like to have the ${b.name} one day: add it to my wish list.`, [wished(b)], [
      ...toProduct(b),
      add,
    ]),
    change("wish list", `Add this ${c.name} to the wish list.`, [wished(c)], [add], productPath(c)),
  ];
}

function reviewTasks({ products }: ShopData, stream: Philox): TaskDraft[] {
  const [a, b, c, d, e] = draw(products, 5, stream);
  const reviews = ({ reviews }: Product) => click("link", counted(reviews.length, "review"));
  const write = click("link", "Write a review");
  const words = `Arrived on time, box number ${stream.integer(100, 1000)}.`;
  const stars = stream.integer(2, 5);
  return [
    question("reviews", `Who wrote the newest review of the ${a.name}?`, a.reviews[0].author, [
      ...toProduct(a),
      reviews(a),
    ]),
    question("reviews", `How many reviews does the ${b.name} have?`, String(b.reviews.length), toProduct(b)),
    question(
      "reviews",
      `Name somebody who reviewed the ${c.name}.`,
      { oneOf: [...new Set(c.reviews.map(({ author }) => author))] },
      [reviews(c)],
      c.reviews[0].author,
      productPath(c),
    ),
    navigation("reviews", `Open the reviews of the ${d.name}.`, `${productPath(d)}/reviews`, [
      ...toProduct(d),
      reviews(d),
    ]),
    navigation(
      "reviews",
      `Bring me to where I can write a review of the ${a.name}.`,
      `${productPath(a)}/review`,
      [
        ...toProduct(a),
        reviews(a),
        write,
      ],
      "/",
      "EXACT",
    ),
    change(
      "reviews",
      `Give the ${e.name} ${stars} stars with the review "${words}"`,
      [pageHas(`${productPath(e)}/reviews`, "reviews", [`${stars} of 5: ${words}`])],
      [reviews(e), write, click("option", `${stars} stars`), type("Review", words, true)],
      productPath(e),
    ),
  ];
}

function accountTasks({ customer, orders }: ShopData, stream: Philox): TaskDraft[] {
  const own = orders.filter((order) => order.customer === customer.name);
  const [a, b] = draw(own, 2, stream);
  const town = another(TOWNS, customer.town, stream);
  const street = `${stream.integer(81, 99)} ${another(STREETS, customer.street.replace(/^\d+ /, ""), stream)}`;
  const toOrders = [click("link", "Account"), click("link", "My orders")];
  const toAddress = [click("link", "Account"), click("link", "My address")];
  const address = (...contents: string[]) => pageHas("/account/address", "address", contents);
  return [
    question("account", `What is the status of my order ${a.number}?`, a.status, toOrders),
    question("account", `What did my order ${b.number} cost in total?`, money(b.total), toOrders),
    question("account", `Where was my order ${a.number} sent to? Tell me the town.`, customer.town, [
      ...toOrders,
      click("link", `Order ${a.number}`),
    ]),
    navigation("account", `Open my order ${b.number}.`, `/order/${b.number}`, [
      ...toOrders,
      click("link", `Order ${b.number}`),
    ]),
    navigation("account", "Show me the page where I can change my address.", "/account/address", toAddress),
    change("account", `I have moved to ${town}: change the town of my address.`, [address(town)], [
      ...toAddress,
      type("Town", town, true),
    ]),
    change("account", `Change the street of my address to "${street}".`, [address(street)], [
      ...toAddress,
      type("Street", street),
      click("button", "Save"),
    ]),
    change("account", "I want the shop to send me news: change my address settings.", [address("with news")], [
      ...toAddress,
      click("checkbox", "Send me news"),
      click("button", "Save"),
    ]),
    navigation("account", "Sign out.", "/account/sign-in", [click("link", "Account"), click("button", "Sign out")]),
  ];
}

function helpTasks({ help }: ShopData): TaskDraft[] {
  const ask = (index: number, intent: string, pattern: RegExp) =>
    question("help", intent, pattern.exec(help[index].answer)![1], [
      click("link", "Help"),
      click("DisclosureTriangle", help[index].question),
    ]);
  return [
    ask(0, "How many days does Standard delivery take?", /takes (\d+) days/),
    ask(1, "Within how many days can I send things back?", /within (\d+) days/),
    ask(4, "What is the phone number of the shop?", /Call (\S+)/),
  ];
}

function forumTasks({ posts }: ShopData, stream: Philox): TaskDraft[] {
  const [a, b, c, d] = draw(posts.slice(0, POSTS_AT_ONCE), 4, stream);
  const byVotes = [...posts].sort((x, y) => y.votes - x.votes);
  const forum = click("link", "Forum");
  const words = `I agree with number ${stream.integer(100, 1000)}.`;
  const title = `Question ${stream.integer(100, 1000)}`;
  const most = byVotes[0].votes > byVotes[1].votes
    ? [question("forum", "Which post of the forum has the most votes?", byVotes[0].title, [
      forum,
      click("link", "Most votes first"),
    ])]
    : [];
  return [
    question("forum", `How many votes does the forum post "${a.title}" have?`, String(a.votes), [forum]),
    question("forum", `Who wrote the forum post "${b.title}"?`, b.author, [forum]),
    ...most,
    navigation("forum", `Open the forum post "${c.title}".`, `/forum/${c.number}`, [forum, click("link", c.title)]),
    navigation("forum", "Show me the forum with the most voted posts first.", "/forum?sort=votes", [
      forum,
      click("link", "Most votes first"),
    ]),
    change("forum", `Vote for the forum post "${d.title}".`, [
      pageIs(`/forum/${d.number}`, "document.querySelector('#votes').outerText", counted(d.votes + 1, "vote")),
    ], [forum, click("link", d.title), click("button", "Vote")]),
    change("forum", `Comment "${words}" on the forum post "${a.title}".`, [
      pageHas(`/forum/${a.number}`, "comments", [words]),
    ], [forum, click("link", a.title), type("Comment", words, true)]),
    change("forum", `Write a forum post titled "${title}" with the text "Who can help?"`, [
      pageHas("/forum", "posts", [title]),
    ], [
      forum,
      click("link", "New post"),
      type("Title", title),
      type("Text", "Who can help?", true),
    ]),
  ];
}

function adminTasks({ orders, products }: ShopData, stream: Philox): TaskDraft[] {
  const [a, b] = draw(orders.slice(0, ROWS_AT_ONCE), 2, stream);
  const [c, d] = draw(products.slice(0, ROWS_AT_ONCE), 2, stream);
  const status = another(ORDER_STATUSES, b.status, stream);
  const price = money(c.price + stream.integer(1, 20) * 100).slice(1), stock = String(d.stock + stream.integer(41, 80));
  const toAdmin = [click("link", "Account"), click("link", "Store admin")];
  const valueOf = (id: string) => `document.querySelector('#${id}').value`;
  const pending = orders.filter((order) => order.status === ORDER_STATUSES[0]).length;
  return [
    question("admin", `Which customer placed order ${a.number}?`, a.customer, [...toAdmin, click("link", "Orders")]),
    question("admin", "How many pending orders does the store have?", `${pending}`, toAdmin),
    navigation("admin", "Open the table of all products in the store admin.", "/admin/products", [
      ...toAdmin,
      click("link", "Products"),
    ]),
    change(
      "admin",
      `Set the status of order ${b.number} to ${status}.`,
      [pageIs(`/admin/orders/${b.number}`, valueOf("admin-order-status"), status)],
      [click("link", `Order ${b.number}`), click("option", status), click("button", "Save")],
      "/admin/orders",
    ),
    change(
      "admin",
      `Change the price of the ${c.name} to ${price} in the store admin.`,
      [pageIs(`/admin/products/${c.slug}`, valueOf("admin-price"), price)],
      [click("link", c.name), type("Price", price, true)],
      "/admin/products",
    ),
    change(
      "admin",
      `There are ${stock} pieces of the ${d.name} now: change its stock.`,
      [pageIs(`/admin/products/${d.slug}`, valueOf("admin-stock"), stock)],
      [click("link", "Products"), click("link", d.name), type("Stock", stock, true)],
      "/admin",
    ),
  ];
}

function click(role: string, name: string | RegExp): SolutionStep {
  return { select: { role, name }, action: "click" };
}

function type(name: string, text: string, pressEnter = false): SolutionStep {
  return { select: { role: "textbox", name }, action: "type", text, pressEnter };
}

function searchFor({ name }: Product): SolutionStep {
  return type("Search", name, true);
}

function toProduct(product: Product): SolutionStep[] {
  return [searchFor(product), click("link", product.name)];
}

function productPath({ slug }: Product): string {
  return `/product/${slug}`;
}

/** A task that is solved by an answer; a text as reference must stand in it. */
function question(
  area: SiteArea,
  intent: string,
  reference: string | ReferenceAnswers,
  steps: readonly SolutionStep[],
  answer = reference as string,
  startPath?: string,
): TaskDraft {
  const referenceAnswers = typeof reference === "string" ? { mustInclude: [reference] } : reference;
  return {
    kind: "information",
    area,
    intent,
    startPath,
    solution: [...steps, { stop: answer }],
    evaluation: { types: ["string_match"], referenceAnswers, urlNote: "GOLD in PRED" },
  };
}

/** A task that is solved by stopping on a page. */
function navigation(
  area: SiteArea,
  intent: string,
  path: string,
  steps: readonly SolutionStep[],
  startPath?: string,
  urlNote: "GOLD in PRED" | "EXACT" = "GOLD in PRED",
): TaskDraft {
  return {
    kind: "navigation",
    area,
    intent,
    startPath,
    solution: [...steps, { stop: "done" }],
    evaluation: { types: ["url_match"], referenceUrl: SHOP_ORIGIN + path, urlNote },
  };
}

/** A task that is solved by what pages hold afterwards. */
function change(
  area: SiteArea,
  intent: string,
  programHtml: readonly PageCheck[],
  steps: readonly SolutionStep[],
  startPath?: string,
): TaskDraft {
  return {
    kind: "change",
    area,
    intent,
    startPath,
    solution: [...steps, { stop: "done" }],
    evaluation: { types: ["program_html"], programHtml, urlNote: "GOLD in PRED" },
  };
}

/** An element of a page (`last`: where the agent stopped) has texts in it. */
function pageHas(page: string, id: string, contents: readonly string[]): PageCheck {
  const url = page === "last" ? page : SHOP_ORIGIN + page;
  return { url, locator: `document.querySelector('#${id}').outerText`, required: { mustInclude: contents } };
}

/** A part of a page is a text. */
function pageIs(path: string, locator: string, content: string): PageCheck {
  return { url: SHOP_ORIGIN + path, locator, required: { exactMatch: content } };
}

function draw<T>(from: readonly T[], count: number, stream: Philox): T[] {
  return [...stream.permutation(from.length)].slice(0, count).map((index) => from[index]);
}

/** One of the choices that is not the one there is. */
function another(choices: readonly string[], present: string, stream: Philox): string {
  const others = choices.filter((choice) => choice !== present);
  return others[stream.integer(0, others.length)];
}
