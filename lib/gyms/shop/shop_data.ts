/**
 * What the built-in site holds, and how it begins: all of it follows from the seed.
 *
 * Names, prices and topics are drawn so that questions have one answer: product names and prices are unique in a catalogue, and so
 * are the titles of forum posts.
 */
import { SHOP_STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import {
  CATEGORIES,
  type CategoryWords,
  COMMENTS,
  COUNTRIES,
  FIRST_NAMES,
  LAST_NAMES,
  POST_TEXTS,
  POST_TITLES,
  QUALITIES,
  REVIEW_TEXTS,
  STREETS,
  TOWNS,
} from "./words.ts";

/** A review of a product. */
export interface Review {
  readonly author: string;
  /** 1 to 5. */
  readonly stars: number;
  readonly text: string;
}

/** A product. */
export interface Product {
  /** In its address: `copper-kettle`. */
  readonly slug: string;
  readonly name: string;
  /** Name of its category. */
  readonly category: string;
  /** One sentence; not every product has it. */
  readonly description?: string;
  /** Weight and origin, which only the product's page tells. */
  readonly details: string;
  /** A choice to make when buying. */
  readonly option?: { readonly label: string; readonly choices: readonly string[] };
  /** US cents. */
  price: number;
  stock: number;
  /** Newest first. */
  readonly reviews: Review[];
}

/** What can become of an order. */
export const ORDER_STATUSES = ["Pending", "Packed", "Shipped", "Delivered", "Canceled"] as const;

/** One line of a cart or an order. */
export interface OrderLine {
  /** The product. */
  readonly slug: string;
  /** The option chosen, if there was a choice. */
  readonly choice?: string;
  quantity: number;
}

/** An order. */
export interface Order {
  /** In its address. */
  readonly number: number;
  /** Full name. */
  readonly customer: string;
  /** What was bought. */
  readonly lines: readonly OrderLine[];
  /** US cents, delivery included. */
  readonly total: number;
  /** One of {@linkcode DELIVERIES}. */
  readonly delivery: string;
  /** Where it goes. */
  readonly address: string;
  /** One of {@linkcode ORDER_STATUSES}. */
  status: string;
}

/** A post of the forum. */
export interface Post {
  /** In its address. */
  readonly number: number;
  /** As shown; no two are equal. */
  readonly title: string;
  readonly text: string;
  readonly author: string;
  /** Votes so far. */
  votes: number;
  /** Oldest first. */
  readonly comments: { readonly author: string; readonly text: string }[];
}

/** An address. */
export interface PostalAddress {
  readonly name: string;
  /** Number and street. */
  readonly street: string;
  /** Town. */
  readonly town: string;
}

/** A question of the help page. */
export interface HelpTopic {
  readonly question: string;
  /** What is answered. */
  readonly answer: string;
}

/** Everything that all visitors share. */
export interface ShopData {
  /** Categories in the order of the home page. */
  readonly categories: readonly string[];
  /** All products, category by category. */
  readonly products: readonly Product[];
  /** Newest first. */
  readonly orders: Order[];
  /** How many of them were there from the start. */
  readonly seededOrders: number;
  /** Newest first. */
  readonly posts: Post[];
  /** The help page, from top to bottom. */
  readonly help: readonly HelpTopic[];
  /** Who the visitor is when signed in. */
  readonly customer: PostalAddress;
  /** The customer's password. */
  readonly password: string;
  /** The product that the home page shows. */
  readonly featured: Product;
}

/** Products with so many pieces or fewer say how many are left. */
export const LOW_STOCK = 9;

/** What costs how much to deliver, in US cents. */
export const DELIVERIES: Readonly<Record<string, number>> = { Standard: 400, Express: 900 };

/** Names the streams of random numbers, so that a change to one kind of data leaves the others as they are. */

/** The site's data as it is before anybody has done anything. */
export function initialShopData(seed: number): ShopData {
  const categories = chooseCategories(new Philox(seed, SHOP_STREAM.catalogue));
  const products = makeProducts(categories, new Philox(seed, SHOP_STREAM.catalogue, 1));
  addReviews(products, new Philox(seed, SHOP_STREAM.reviews));
  const people = new Philox(seed, SHOP_STREAM.people);
  const customer = {
    name: `${pick(FIRST_NAMES, people)} ${pick(LAST_NAMES, people)}`,
    street: `${people.integer(2, 80)} ${pick(STREETS, people)}`,
    town: pick(TOWNS, people),
  };
  return {
    categories: categories.map(({ name }) => name),
    products,
    orders: makeOrders(products, customer, new Philox(seed, SHOP_STREAM.orders)),
    seededOrders: ORDER_COUNT,
    posts: makePosts(products, new Philox(seed, SHOP_STREAM.forum)),
    help: makeHelp(new Philox(seed, SHOP_STREAM.help)),
    customer,
    password: "basket",
    featured: products[people.integer(0, products.length)],
  };
}

/** US cents as on the page: `$24.50`. */
export function money(cents: number): string {
  return `$${(cents / 100).toFixed(2)}`;
}

/** Mean of a product's stars as on the page: `4.5 of 5`. */
export function ratingText(product: Product): string {
  return `${meanStars(product).toFixed(1)} of 5`;
}

/** Mean of a product's stars; every product has a review. */
export function meanStars(product: Product): number {
  return product.reviews.reduce((sum, { stars }) => sum + stars, 0) / product.reviews.length;
}

/** What a product's page says of its stock, where it says anything. */
export function stockText({ stock }: Product): string | undefined {
  if (stock === 0) return "Out of stock";
  return stock <= LOW_STOCK ? `Only ${stock} left` : undefined;
}

/** `1 review`, `3 reviews`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Lower-case words with hyphens between, for addresses. */
export function slugOf(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

function chooseCategories(stream: Philox): CategoryWords[] {
  const count = 5 + stream.integer(0, 2);
  return [...stream.permutation(CATEGORIES.length)].slice(0, count).map((index) => CATEGORIES[index]);
}

function makeProducts(categories: readonly CategoryWords[], stream: Philox): Product[] {
  const prices = new Set<number>(), names = new Set<string>();
  return categories.flatMap((category) => {
    const nouns = [...stream.permutation(category.nouns.length)].slice(0, 2 + stream.integer(0, 6));
    return nouns.map((index): Product => {
      const noun = category.nouns[index];
      const name = drawUnique(names, () => `${pick(QUALITIES, stream)} ${noun}`);
      const price = drawUnique(prices, () => stream.integer(6, 240) * 50 + pick([0, 49, 45, 25], stream));
      return {
        slug: slugOf(name),
        name,
        category: category.name,
        price,
        stock: stream.uniform() < 0.15 ? 0 : stream.integer(1, 40),
        description: stream.uniform() < 0.5 ? `Made for ${pick(category.purposes, stream)}.` : undefined,
        details: `Weighs ${(stream.integer(2, 60) / 10).toFixed(1)} kg, made in ${pick(COUNTRIES, stream)}.`,
        option: stream.uniform() < 0.3 ? category.option : undefined,
        reviews: [],
      };
    });
  });
}

function addReviews(products: readonly Product[], stream: Philox): void {
  for (const product of products) {
    const lean = stream.integer(1, 4);
    for (let left = 1 + stream.integer(0, 4); left > 0; left--) {
      const stars = Math.min(5, lean + stream.integer(0, 3));
      const mood = stars <= 2 ? "poor" : stars === 3 ? "middling" : "good";
      product.reviews.push({ author: pick(FIRST_NAMES, stream), stars, text: pick(REVIEW_TEXTS[mood], stream) });
    }
  }
}

const ORDER_COUNT = 9, FIRST_ORDER = 1001;

function makeOrders(products: readonly Product[], customer: PostalAddress, stream: Philox): Order[] {
  const own = new Set([...stream.permutation(ORDER_COUNT)].slice(0, 3));
  const orders = Array.from({ length: ORDER_COUNT }, (_, index): Order => {
    const chosen = [...stream.permutation(products.length)].slice(0, 1 + stream.integer(0, 2));
    const lines = chosen.map((each) => ({
      slug: products[each].slug,
      choice: products[each].option && pick(products[each].option.choices, stream),
      quantity: 1 + stream.integer(0, 3),
    }));
    const delivery = pick(Object.keys(DELIVERIES), stream);
    const sum = lines.reduce((total, line, i) => total + line.quantity * products[chosen[i]].price, 0);
    const stranger = `${pick(FIRST_NAMES, stream)} ${pick(LAST_NAMES, stream)}`;
    const address = `${stream.integer(2, 80)} ${pick(STREETS, stream)}, ${pick(TOWNS, stream)}`;
    return {
      number: FIRST_ORDER + index,
      customer: own.has(index) ? customer.name : stranger,
      lines,
      total: sum + DELIVERIES[delivery],
      delivery,
      address: own.has(index) ? `${customer.street}, ${customer.town}` : address,
      status: pick(ORDER_STATUSES, stream),
    };
  });
  return orders.reverse();
}

const POST_COUNT = 7;

function makePosts(products: readonly Product[], stream: Philox): Post[] {
  const titles = [...stream.permutation(POST_TITLES.length)].slice(0, POST_COUNT);
  const about = stream.permutation(products.length);
  const posts = titles.map((title, index): Post => ({
    number: index + 1,
    title: POST_TITLES[title].replace("{}", products[about[index]].name),
    text: pick(POST_TEXTS, stream),
    author: pick(FIRST_NAMES, stream),
    votes: stream.integer(0, 40),
    comments: Array.from({ length: stream.integer(0, 4) }, () => ({
      author: pick(FIRST_NAMES, stream),
      text: pick(COMMENTS, stream),
    })),
  }));
  return posts.reverse();
}

function makeHelp(stream: Philox): HelpTopic[] {
  const days = stream.integer(2, 9), returns = stream.integer(2, 9) * 7, free = stream.integer(4, 20) * 10;
  return [
    { question: "How long does delivery take?", answer: `Standard takes ${days} days, Express takes 1 day.` },
    { question: "Can I send things back?", answer: `Yes, within ${returns} days.` },
    { question: "How can I pay?", answer: `By ${pick(["card", "bank transfer", "invoice", "voucher"], stream)}.` },
    { question: "Where do you deliver?", answer: `To ${pick(COUNTRIES, stream)} and ${free} other countries.` },
    { question: "How do I reach you?", answer: `Call 555-0${stream.integer(100, 1000)} on workdays.` },
  ];
}

function pick<T>(choices: readonly T[], stream: Philox): T {
  return choices[stream.integer(0, choices.length)];
}

function drawUnique<T>(taken: Set<T>, draw: () => T): T {
  let value = draw();
  while (taken.has(value)) value = draw();
  taken.add(value);
  return value;
}
