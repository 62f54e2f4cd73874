/** Pages of the built-in site where one looks around: home, categories, search, products, reviews, help. */
import { group, heading, link, type PageElement, postForm, text } from "./page.ts";
import { counted, meanStars, money, type Product, ratingText, slugOf, stockText } from "./shop_data.ts";
import { cleanLine, notFound, paged, productOf, readWhole, reply, type ShopReply, type Visit } from "./shop_visit.ts";

/** Products on a page of a listing. */
const LISTING_SIZE = 5;
/** Reviews on a page. */
const REVIEWS_SHOWN = 5;

/** `GET /` */
export function homePage(visit: Visit): ShopReply {
  const { data } = visit;
  return reply(visit, "Home", [
    heading("Welcome to the shop"),
    group("columns", data.categories.map((category) => link(category, `/category/${slugOf(category)}`))),
    heading("Product of the day", 2),
    ...productCards([data.featured]),
    link("Help", "/help"),
  ]);
}

/** `GET /category/NAME?sort=price|rating&stock=1&page=N` */
export function categoryPage(visit: Visit): ShopReply {
  const category = visit.data.categories.find((name) => slugOf(name) === visit.parts[0]);
  if (category === undefined) return notFound(visit);
  const inStockOnly = visit.query.get("stock") === "1";
  const sort = SORTS[visit.query.get("sort") ?? ""] ? visit.query.get("sort")! : "Name";
  const products = visit.data.products
    .filter((product) => product.category === category && (!inStockOnly || product.stock > 0))
    .sort(SORTS[sort]);
  return reply(visit, category, [
    heading(category),
    {
      kind: "form",
      method: "get",
      action: `/category/${slugOf(category)}`,
      look: "row",
      children: [
        { kind: "combobox", name: "sort", label: "Sort by", options: Object.keys(SORTS), value: sort },
        { kind: "checkbox", name: "stock", label: "In stock only", isChecked: inStockOnly },
        { kind: "button", text: "Apply" },
      ],
    },
    ...listing(visit, products),
  ]);
}

/** `GET /search?q=WORDS&page=N` */
export function searchPage(visit: Visit): ShopReply {
  const asked = cleanLine(visit.query.get("q"));
  const words = asked.toLowerCase().split(" ").filter((word) => word !== "");
  const found = visit.data.products
    .filter(({ name, category }) => {
      const searched = `${name} ${category}`.toLowerCase();
      return words.length > 0 && words.every((word) => searched.includes(word));
    })
    .sort(SORTS.Name);
  return reply(visit, "Search", [
    heading(`Results for ${asked === "" ? "nothing" : asked}`),
    text(found.length === 0 ? "No products found." : `${counted(found.length, "product")} found.`, { look: "note" }),
    ...listing(visit, found),
  ]);
}

/** How a listing can be sorted. */
const SORTS: Readonly<Record<string, (a: Product, b: Product) => number>> = {
  Name: (a, b) => a.name < b.name ? -1 : 1,
  Price: (a, b) => a.price - b.price,
  Rating: (a, b) => meanStars(b) - meanStars(a) || (a.name < b.name ? -1 : 1),
};

function listing(visit: Visit, products: readonly Product[]): PageElement[] {
  const { shown, links } = paged(visit, products, LISTING_SIZE);
  return [...productCards(shown), ...links];
}

function productCards(products: readonly Product[]): PageElement[] {
  const cards = products.map((product) =>
    group("card", [
      tileOf(product),
      link(product.name, `/product/${product.slug}`),
      text(`${money(product.price)}, ${ratingText(product)}`, { look: "note" }),
    ])
  );
  return cards.length > 0 ? [group("cards", cards, "products")] : [];
}

/** The picture of a product: equal for equal names. */
export function tileOf({ name, category }: Product): PageElement {
  const letters = name.split(" ").map((word) => word[0]).join("");
  return { kind: "tile", hue: [...category].reduce((sum, letter) => sum + letter.charCodeAt(0), 0), letters };
}

/** `GET /product/SLUG` */
export function productPage(visit: Visit): ShopReply {
  const product = productOf(visit);
  if (!product) return notFound(visit);
  const { slug, name, option, description } = product, stock = stockText(product);
  return reply(visit, name, [
    heading(name),
    text(`${money(product.price)}, ${ratingText(product)}`, { look: "price", id: "product-price" }),
    {
      kind: "form",
      method: "post",
      action: "/cart/add",
      hidden: { product: slug },
      look: "row",
      children: [
        ...option
          ? [
            {
              kind: "combobox",
              name: "choice",
              label: option.label,
              options: option.choices,
              value: option.choices[0],
            } as const,
          ]
          : [],
        { kind: "textbox", name: "quantity", label: "Quantity", value: "1" },
        { kind: "button", text: "Add to cart", isStrong: true },
        { kind: "button", text: "Add to wish list", action: "/wish-list/add" },
      ],
    },
    { kind: "disclosure", summary: "Details", children: [text(product.details, { id: "product-details" })] },
    link(counted(product.reviews.length, "review"), `/product/${slug}/reviews`),
    link(`More in ${product.category}`, `/category/${slugOf(product.category)}`),
    // What not every product has stands last: nothing that every product has moves for it.
    ...description === undefined ? [] : [text(description)],
    ...stock === undefined ? [] : [text(stock, { id: "product-stock" })],
  ]);
}

/** `GET /product/SLUG/reviews` */
export function reviewsPage(visit: Visit): ShopReply {
  const product = productOf(visit);
  if (!product) return notFound(visit);
  const reviews = product.reviews.slice(0, REVIEWS_SHOWN).map(({ author, stars, text: words }) =>
    group("card", [
      { kind: "tile", hue: stars, letters: author[0] },
      text(`${author}, ${stars} of 5: ${words}`),
    ])
  );
  return reply(visit, "Reviews", [
    heading(`Reviews of ${product.name}`),
    text(`${counted(product.reviews.length, "review")}, ${ratingText(product)}`, { look: "note" }),
    group("cards", reviews, "reviews"),
    group("row", [
      link("Write a review", `/product/${product.slug}/review`, { isStrong: true }),
      link("Back to product", `/product/${product.slug}`),
    ]),
  ]);
}

/** Stars as the form of a review names them, best first. */
const STARS = ["5 stars", "4 stars", "3 stars", "2 stars", "1 star"];

/** `GET /product/SLUG/review` */
export function reviewFormPage(visit: Visit): ShopReply {
  const product = productOf(visit);
  if (!product) return notFound(visit);
  return reply(visit, "Write a review", [
    heading(`Your review of ${product.name}`),
    postForm(`/product/${product.slug}/review`, [
      { kind: "combobox", name: "stars", label: "Stars", options: STARS, value: STARS[0] },
      { kind: "textbox", name: "review", label: "Review", value: "" },
      { kind: "button", text: "Send", isStrong: true },
    ]),
  ]);
}

/** `POST /product/SLUG/review` */
export function addReview(visit: Visit): ShopReply {
  const product = productOf(visit);
  if (!product) return notFound(visit);
  const stars = readWhole(visit.form.stars?.slice(0, 1), 1, 5), words = cleanLine(visit.form.review);
  if (stars === undefined || words === "") return { redirect: `/product/${product.slug}/review?refused=empty` };
  product.reviews.unshift({ author: visit.session.address.name.split(" ")[0], stars, text: words });
  return { redirect: `/product/${product.slug}/reviews?done=reviewed` };
}

/** `GET /help` */
export function helpPage(visit: Visit): ShopReply {
  return reply(visit, "Help", [
    heading("Help"),
    text("Click a question to see the answer.", { look: "note" }),
    ...visit.data.help.map(({ question, answer }): PageElement => ({
      kind: "disclosure",
      summary: question,
      children: [text(answer)],
    })),
  ]);
}
