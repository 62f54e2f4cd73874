/**
 * What the built-in site's pages share: one visit (who asks for what), what can be replied, the header, messages, paging.
 *
 * A request that changes something is replied to with a redirect, and what has been done is told by a code in the address
 * (`?done=added`): loading a page, going back to it or looking at it for an evaluation changes nothing.
 */
import { group, link, type PageElement, type SitePage, text } from "./page.ts";
import type { Order, OrderLine, PostalAddress, Product, ShopData } from "./shop_data.ts";

/** What one visitor has, known by a cookie. Visits begin signed in, as WebArena's saved logins do. */
export interface ShopSession {
  /** What the cookie says. */
  readonly id: string;
  /** Whether the visitor is signed in. */
  isSignedIn: boolean;
  /** Newest first. */
  readonly cart: OrderLine[];
  /** Slugs, newest first. */
  readonly wishes: string[];
  /** Where parcels go. */
  address: PostalAddress;
  /** Whether the shop may send news. */
  wantsNews: boolean;
  /** Numbers of posts voted for. */
  readonly votes: Set<number>;
  /** Numbers of orders placed. */
  readonly placed: Set<number>;
}

/** One request, read. */
export interface Visit {
  /** What all visitors share. */
  readonly data: ShopData;
  readonly session: ShopSession;
  /** Parts of the path that the route names. */
  readonly parts: readonly string[];
  /** What stands behind the question mark. */
  readonly query: URLSearchParams;
  /** Path and query as asked for. */
  readonly address: string;
  /** What was sent. */
  readonly form: Readonly<Record<string, string>>;
}

/** A page to be shown, or the path and query of another. */
export type ShopReply = { readonly page: SitePage; readonly status: number } | { readonly redirect: string };

/** Replies to a visit. */
export type Handler = (visit: Visit) => ShopReply;

/** What has been done, by the code in the address. */
const MESSAGES: Readonly<Record<string, string>> = {
  added: "Added to your cart.",
  removed: "Removed.",
  wished: "Added to your wish list.",
  placed: "Thank you, your order is placed.",
  saved: "Saved.",
  reviewed: "Thank you for your review.",
  commented: "Your comment is published.",
  posted: "Your post is published.",
  out: "You are signed out.",
};

/** What was refused, by the code in the address. */
const REFUSALS: Readonly<Record<string, string>> = {
  stock: "There are not so many in stock.",
  quantity: "The quantity must be a number from 1 to 99.",
  empty: "Please fill in all fields.",
  password: "Name or password is wrong.",
  price: "The price must be an amount such as 24.50.",
  pieces: "The stock must be a number from 0 to 9999.",
};

/** The page with its header, and with the message that the address asks for. */
export function reply(visit: Visit, title: string, body: readonly PageElement[], status = 200): ShopReply {
  return {
    page: { title, header: header(visit), body: [...body.slice(0, 1), ...messages(visit), ...body.slice(1)] },
    status,
  };
}

/** The same lines on every page but for the cart's count, so that they have the same ids everywhere. */
function header({ session }: Visit): PageElement[] {
  const count = session.cart.reduce((sum, { quantity }) => sum + quantity, 0);
  return [
    link("Home", "/"),
    link(`Cart (${count})`, "/cart"),
    link("Wish list", "/wish-list"),
    link("Account", "/account"),
    link("Forum", "/forum"),
    {
      kind: "form",
      method: "get",
      action: "/search",
      look: "row",
      children: [
        { kind: "textbox", name: "q", label: "Search", value: "" },
        { kind: "button", text: "Search" },
      ],
    },
  ];
}

function messages({ query }: Visit): PageElement[] {
  const done = query.get("done") ?? "", refused = query.get("refused") ?? "";
  return [
    ...Object.hasOwn(MESSAGES, done) ? [text(MESSAGES[done], { look: "message", id: "message" })] : [],
    ...Object.hasOwn(REFUSALS, refused) ? [text(REFUSALS[refused], { look: "error", id: "message" })] : [],
  ];
}

/** The page for an address that there is none for. */
export function notFound(visit: Visit): ShopReply {
  return reply(visit, "Not found", [
    { kind: "heading", level: 1, text: "Page not found" },
    text("There is nothing at this address."),
    link("To the home page", "/"),
  ], 404);
}

/** Wraps a page that only the signed-in see: others are asked to sign in. */
export function signedIn(handler: Handler): Handler {
  return (visit) => visit.session.isSignedIn ? handler(visit) : { redirect: "/account/sign-in" };
}

/** The product that the first part of the path names. */
export function productOf(visit: Visit): Product | undefined {
  return findProduct(visit.data, visit.parts[0]);
}

/** The product of a slug. */
export function findProduct(data: ShopData, slug: string | undefined): Product | undefined {
  return data.products.find((product) => product.slug === slug);
}

/** Orders that the visitor sees as own, newest first. */
export function ownOrders({ data, session }: Pick<Visit, "data" | "session">): Order[] {
  const seeded = Math.min(...data.orders.map(({ number }) => number)) + data.seededOrders;
  return data.orders.filter((order) =>
    session.placed.has(order.number) || (order.customer === data.customer.name && order.number < seeded)
  );
}

/** Longest text that a field may bring to a page, in characters: pages stay short. */
const LONGEST_LINE = 80;

/** What somebody has typed, as one line of bounded length. */
export function cleanLine(value: string | null | undefined): string {
  return [...(value ?? "").replaceAll(/[\p{White_Space}\p{Cc}]+/gu, " ").trim()].slice(0, LONGEST_LINE).join("");
}

/** A whole number that somebody has typed; undefined when it is none or out of range. */
export function readWhole(value: string | null | undefined, least: number, most: number): number | undefined {
  const line = cleanLine(value);
  const number = Number(line);
  return /^\d{1,6}$/.test(line) && number >= least && number <= most ? number : undefined;
}

/** A part of a long list, and links to the parts before and after. */
export function paged<T>(
  visit: Visit,
  items: readonly T[],
  size: number,
): { readonly shown: readonly T[]; readonly links: readonly PageElement[] } {
  const last = Math.max(1, Math.ceil(items.length / size));
  const page = readWhole(visit.query.get("page"), 1, last) ?? 1;
  const to = (number: number) => withQuery(visit, { page: number === 1 ? undefined : String(number) });
  const links = [
    ...page > 1 ? [link("Previous page", to(page - 1))] : [],
    ...page < last ? [link("Next page", to(page + 1))] : [],
  ];
  return {
    shown: items.slice((page - 1) * size, page * size),
    links: links.length > 0 ? [group("row", links)] : [],
  };
}

/** The address of this page with other values behind the question mark; messages are not repeated. */
export function withQuery(visit: Visit, changes: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams(visit.query);
  for (const [name, value] of Object.entries({ done: undefined, refused: undefined, ...changes })) {
    if (value === undefined) query.delete(name);
    else query.set(name, value);
  }
  const path = visit.address.split("?")[0];
  return query.size > 0 ? `${path}?${query}` : path;
}
