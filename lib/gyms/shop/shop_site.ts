/**
 * The built-in site: a small shop with search, categories, cart, account, wish list, reviews, help, a back office and a forum. It is the
 * ground truth of the web-page experiment: everything on it follows from its seed and from what was done to it.
 *
 * `handle` is the whole site: a request in, a page or a redirect out. `serve_site.ts` puts it behind HTTP for real browsers, and
 * `simulated_browser.ts` calls it directly; there is no second implementation of anything it does.
 */
import {
  accountPage,
  addressPage,
  continueAsCustomer,
  ordersPage,
  saveAddress,
  signIn,
  signInPage,
  signOut,
} from "./account_pages.ts";
import { adminOrderPage, adminOrdersPage, adminPage, adminProductPage, adminProductsPage } from "./admin_pages.ts";
import { saveOrder, saveProduct } from "./admin_pages.ts";
import { addToCart, addToWishList, cartPage, checkoutPage, orderPage, placeOrder } from "./cart_pages.ts";
import { removeFromCart, removeFromWishList, wishListPage } from "./cart_pages.ts";
import { addComment, addPost, forumPage, newPostPage, postPage, vote } from "./forum_pages.ts";
import type { SitePage } from "./page.ts";
import { initialShopData, type ShopData } from "./shop_data.ts";
import { type Handler, notFound, type ShopSession, signedIn, type Visit } from "./shop_visit.ts";
import { addReview, categoryPage, helpPage, homePage, productPage } from "./storefront_pages.ts";
import { reviewFormPage, reviewsPage, searchPage } from "./storefront_pages.ts";

/** Where the site is, in every browser: real ones are told by a resolver rule that this name is the machine itself. */
export const SHOP_ORIGIN = "http://shop.test";

/** A request to the site. */
export interface SiteRequest {
  /** POST for forms that change something. */
  readonly method: "GET" | "POST";
  /** Path and query: `/search?q=kettle`. */
  readonly path: string;
  /** What a form sent. */
  readonly form?: Readonly<Record<string, string>>;
  /** The visitor's session, as the last response named it. */
  readonly session?: string;
}

/** The site's response: a page, or the path and query to go to instead. */
export interface SiteResponse {
  /** HTTP status. */
  readonly status: number;
  /** The page to show. */
  readonly page?: SitePage;
  /** Where to go instead. */
  readonly redirect?: string;
  /** The visitor's session: the one of the request where it is known, a new one where not. */
  readonly session: string;
}

/** How a site is made. */
export interface ShopSiteOptions {
  /** Whole number of at least 0; other seeds are other catalogues. */
  readonly seed: number;
}

/** Sessions that are kept; the oldest goes when another comes. */
const MOST_SESSIONS = 1000;

const ROUTES: readonly (readonly ["GET" | "POST", RegExp, Handler])[] = [
  ["GET", /^\/$/, homePage],
  ["GET", /^\/category\/([^/]+)$/, categoryPage],
  ["GET", /^\/search$/, searchPage],
  ["GET", /^\/product\/([^/]+)$/, productPage],
  ["GET", /^\/product\/([^/]+)\/reviews$/, reviewsPage],
  ["GET", /^\/product\/([^/]+)\/review$/, signedIn(reviewFormPage)],
  ["POST", /^\/product\/([^/]+)\/review$/, signedIn(addReview)],
  ["GET", /^\/help$/, helpPage],
  ["GET", /^\/cart$/, cartPage],
  ["POST", /^\/cart\/add$/, addToCart],
  ["POST", /^\/cart\/remove$/, removeFromCart],
  ["GET", /^\/checkout$/, signedIn(checkoutPage)],
  ["POST", /^\/checkout$/, signedIn(placeOrder)],
  ["GET", /^\/order\/([^/]+)$/, signedIn(orderPage)],
  ["GET", /^\/wish-list$/, signedIn(wishListPage)],
  ["POST", /^\/wish-list\/add$/, signedIn(addToWishList)],
  ["POST", /^\/wish-list\/remove$/, signedIn(removeFromWishList)],
  ["GET", /^\/account$/, signedIn(accountPage)],
  ["GET", /^\/account\/sign-in$/, signInPage],
  ["POST", /^\/account\/sign-in$/, signIn],
  ["POST", /^\/account\/continue$/, continueAsCustomer],
  ["POST", /^\/account\/sign-out$/, signOut],
  ["GET", /^\/account\/orders$/, signedIn(ordersPage)],
  ["GET", /^\/account\/address$/, signedIn(addressPage)],
  ["POST", /^\/account\/address$/, signedIn(saveAddress)],
  ["GET", /^\/forum$/, forumPage],
  ["GET", /^\/forum\/new$/, newPostPage],
  ["POST", /^\/forum\/new$/, addPost],
  ["GET", /^\/forum\/([^/]+)$/, postPage],
  ["POST", /^\/forum\/([^/]+)\/vote$/, vote],
  ["POST", /^\/forum\/([^/]+)\/comment$/, addComment],
  ["GET", /^\/admin$/, signedIn(adminPage)],
  ["GET", /^\/admin\/orders$/, signedIn(adminOrdersPage)],
  ["GET", /^\/admin\/orders\/([^/]+)$/, signedIn(adminOrderPage)],
  ["POST", /^\/admin\/orders\/([^/]+)$/, signedIn(saveOrder)],
  ["GET", /^\/admin\/products$/, signedIn(adminProductsPage)],
  ["GET", /^\/admin\/products\/([^/]+)$/, signedIn(adminProductPage)],
  ["POST", /^\/admin\/products\/([^/]+)$/, signedIn(saveProduct)],
];

/** The built-in shop: products, search, cart, account, reviews, an admin table and a forum, all decided by its seed. */
export class ShopSite {
  /** What its catalogue follows from. */
  readonly seed: number;
  #data!: ShopData;
  readonly #sessions = new Map<string, ShopSession>();
  #sessionCount = 0;

  /**
   * Makes the site as it is before anybody has come.
   *
   * @throws {RangeError} When the seed is not a whole number of at least 0.
   */
  constructor({ seed }: ShopSiteOptions) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed must be a whole number of at least 0: received ${seed}`);
    }
    this.seed = seed;
    this.reset();
  }

  /**
   * What all visitors share; not to be changed from outside.
   *
   * @internal
   */
  get data(): ShopData {
    return this.#data;
  }

  /** Undoes everything that was done: data as the seed gives it, no sessions. */
  reset(): void {
    this.#data = initialShopData(this.seed);
    this.#sessions.clear();
    this.#sessionCount = 0;
  }

  /** An independent copy of the site as it is now, its sessions included: what is done to one leaves the other alone. */
  clone(): ShopSite {
    const copy = new ShopSite({ seed: this.seed });
    copy.#data = structuredClone(this.#data);
    for (const [id, session] of this.#sessions) copy.#sessions.set(id, structuredClone(session));
    copy.#sessionCount = this.#sessionCount;
    return copy;
  }

  /**
   * Answers a request; for browsers and servers of the site.
   *
   * @internal
   */
  handle({ method, path, form = {}, session: id }: SiteRequest): SiteResponse {
    const session = this.#sessionOf(id);
    const url = new URL(path, SHOP_ORIGIN);
    const visit = { data: this.#data, session, query: url.searchParams, address: url.pathname + url.search, form };
    const reply = this.#route(method, url.pathname, visit);
    return "redirect" in reply
      ? { status: 303, redirect: reply.redirect, session: session.id }
      : { ...reply, session: session.id };
  }

  #route(method: "GET" | "POST", pathname: string, visit: Omit<Visit, "parts">) {
    for (const [verb, pattern, handler] of ROUTES) {
      const match = verb === method ? pattern.exec(pathname) : null;
      if (match) return handler({ ...visit, parts: match.slice(1) });
    }
    return notFound({ ...visit, parts: [] });
  }

  #sessionOf(id: string | undefined): ShopSession {
    const known = id === undefined ? undefined : this.#sessions.get(id);
    if (known) return known;
    const session: ShopSession = {
      id: String(++this.#sessionCount),
      isSignedIn: true,
      cart: [],
      wishes: [],
      address: this.#data.customer,
      wantsNews: false,
      votes: new Set(),
      placed: new Set(),
    };
    if (this.#sessions.size >= MOST_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(session.id, session);
    return session;
  }
}
