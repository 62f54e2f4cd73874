/** Pages of the built-in site where one buys: cart, checkout, orders, wish list. */
import { group, heading, link, type PageElement, postForm, text } from "./page.ts";
import { DELIVERIES, money, ORDER_STATUSES, type OrderLine, type Product, type ShopData } from "./shop_data.ts";
import {
  cleanLine,
  findProduct,
  notFound,
  ownOrders,
  paged,
  readWhole,
  reply,
  type ShopReply,
  type Visit,
} from "./shop_visit.ts";
import { tileOf } from "./storefront_pages.ts";

/** Products of a cart or a wish list on one page. */
const LINES_SHOWN = 4;
/** Most of one product that can be bought at once. */
const MOST_PIECES = 99;
/** Most different products in a cart or a wish list; the oldest go. */
const MOST_LINES = 12;

/** `GET /cart` */
export function cartPage(visit: Visit): ShopReply {
  const { session, data } = visit;
  if (session.cart.length === 0) {
    return reply(visit, "Cart", [heading("Cart"), text("Your cart is empty.", { id: "cart-items" })]);
  }
  const { shown, links } = paged(visit, session.cart, LINES_SHOWN);
  const cards = shown.map((line) => {
    const product = findProduct(data, line.slug)!;
    return group("card", [
      tileOf(product),
      link(product.name, `/product/${product.slug}`),
      text(lineText(line, product), { look: "note" }),
      removeForm("/cart/remove", product, line.choice),
    ]);
  });
  return reply(visit, "Cart", [
    heading("Cart"),
    group("cards", cards, "cart-items"),
    ...links,
    text(`Total ${money(totalOf(session.cart, data))}`, { look: "price", id: "cart-total" }),
    link("Checkout", "/checkout", { isStrong: true }),
  ]);
}

/** `2 x $24.00`, with the option that was chosen. */
export function lineText({ quantity, choice }: OrderLine, product: Product): string {
  return `${quantity} x ${money(product.price)}${choice === undefined ? "" : `, ${choice}`}`;
}

function removeForm(action: string, product: Product, choice?: string): PageElement {
  return {
    ...postForm(action, [{ kind: "button", text: `Remove ${product.name}` }]),
    hidden: { product: product.slug, ...choice === undefined ? {} : { choice } },
  };
}

function totalOf(lines: readonly OrderLine[], data: ShopData): number {
  return lines.reduce((sum, { slug, quantity }) => sum + quantity * findProduct(data, slug)!.price, 0);
}

/** `POST /cart/add` */
export function addToCart(visit: Visit): ShopReply {
  const { session, data, form } = visit;
  const product = findProduct(data, form.product);
  if (!product) return notFound(visit);
  const quantity = readWhole(form.quantity, 1, MOST_PIECES);
  if (quantity === undefined) return { redirect: `/product/${product.slug}?refused=quantity` };
  const choices = product.option?.choices;
  const choice = choices && (choices.includes(form.choice) ? form.choice : choices[0]);
  const inCart = session.cart.filter(({ slug }) => slug === product.slug).reduce((sum, line) => sum + line.quantity, 0);
  if (inCart + quantity > product.stock) return { redirect: `/product/${product.slug}?refused=stock` };
  const line = session.cart.find((each) => each.slug === product.slug && each.choice === choice);
  if (line) line.quantity += quantity;
  else session.cart.unshift({ slug: product.slug, choice, quantity });
  session.cart.length = Math.min(session.cart.length, MOST_LINES);
  return { redirect: "/cart?done=added" };
}

/** `POST /cart/remove` */
export function removeFromCart({ session, form }: Visit): ShopReply {
  const index = session.cart.findIndex(({ slug, choice }) => slug === form.product && choice === form.choice);
  if (index >= 0) session.cart.splice(index, 1);
  return { redirect: "/cart?done=removed" };
}

/** `GET /checkout` */
export function checkoutPage(visit: Visit): ShopReply {
  const { session, data } = visit;
  if (session.cart.length === 0) return { redirect: "/cart" };
  const { name, street, town } = session.address;
  const deliveries = Object.entries(DELIVERIES).map(([delivery, cost]) => `${delivery} ${money(cost)}`);
  return reply(visit, "Checkout", [
    heading("Checkout"),
    text(`Cart ${money(totalOf(session.cart, data))}`, { id: "checkout-total" }),
    postForm("/checkout", [
      { kind: "textbox", name: "name", label: "Name", value: name },
      { kind: "textbox", name: "street", label: "Street", value: street },
      { kind: "textbox", name: "town", label: "Town", value: town },
      { kind: "combobox", name: "delivery", label: "Delivery", options: deliveries, value: deliveries[0] },
      { kind: "button", text: "Place order", isStrong: true },
    ]),
  ]);
}

/** `POST /checkout` */
export function placeOrder({ session, data, form }: Visit): ShopReply {
  if (session.cart.length === 0) return { redirect: "/cart" };
  const name = cleanLine(form.name), street = cleanLine(form.street), town = cleanLine(form.town);
  if (name === "" || street === "" || town === "") return { redirect: "/checkout?refused=empty" };
  // Another visitor may have bought what lay in the cart.
  const isShort = session.cart.some(({ slug }) => piecesOf(session.cart, slug) > findProduct(data, slug)!.stock);
  if (isShort) return { redirect: "/cart?refused=stock" };
  const delivery = Object.keys(DELIVERIES).find((each) => form.delivery?.startsWith(each)) ??
    Object.keys(DELIVERIES)[0];
  const number = data.orders[0].number + 1;
  for (const { slug, quantity } of session.cart) findProduct(data, slug)!.stock -= quantity;
  data.orders.unshift({
    number,
    customer: name,
    lines: session.cart.splice(0),
    total: 0,
    delivery,
    address: `${street}, ${town}`,
    status: ORDER_STATUSES[0],
  });
  const order = data.orders[0];
  data.orders[0] = { ...order, total: totalOf(order.lines, data) + DELIVERIES[delivery] };
  session.placed.add(number);
  return { redirect: `/order/${number}?done=placed` };
}

function piecesOf(lines: readonly OrderLine[], slug: string): number {
  return lines.filter((line) => line.slug === slug).reduce((sum, { quantity }) => sum + quantity, 0);
}

/** `GET /order/NUMBER` */
export function orderPage(visit: Visit): ShopReply {
  const order = ownOrders(visit).find(({ number }) => String(number) === visit.parts[0]);
  if (!order) return notFound(visit);
  const lines = order.lines.flatMap((line) => {
    const product = findProduct(visit.data, line.slug)!;
    const choice = line.choice === undefined ? "" : `, ${line.choice}`;
    return [group("card", [
      tileOf(product),
      link(product.name, `/product/${product.slug}`),
      text(`${line.quantity} ordered${choice}`, { look: "note" }),
    ])];
  });
  return reply(visit, `Order ${order.number}`, [
    heading(`Order ${order.number}`),
    text(`Status: ${order.status}`, { id: "order-status" }),
    text(`Total: ${money(order.total)}, ${order.delivery}`, { id: "order-total" }),
    text(`To ${order.address}`, { id: "order-address" }),
    group("cards", lines.slice(0, LINES_SHOWN), "order-items"),
    link("All orders", "/account/orders"),
  ]);
}

/** `GET /wish-list` */
export function wishListPage(visit: Visit): ShopReply {
  const wishes = visit.session.wishes.map((slug) => findProduct(visit.data, slug)!);
  if (wishes.length === 0) {
    return reply(visit, "Wish list", [heading("Wish list"), text("Your wish list is empty.", { id: "wishes" })]);
  }
  const { shown, links } = paged(visit, wishes, LINES_SHOWN);
  const cards = shown.map((product) =>
    group("card", [
      tileOf(product),
      link(product.name, `/product/${product.slug}`),
      text(money(product.price), { look: "note" }),
      removeForm("/wish-list/remove", product),
    ])
  );
  return reply(visit, "Wish list", [heading("Wish list"), group("cards", cards, "wishes"), ...links]);
}

/** `POST /wish-list/add` */
export function addToWishList(visit: Visit): ShopReply {
  const { session, data, form } = visit;
  const product = findProduct(data, form.product);
  if (!product) return notFound(visit);
  if (!session.wishes.includes(product.slug)) session.wishes.unshift(product.slug);
  session.wishes.length = Math.min(session.wishes.length, MOST_LINES);
  return { redirect: "/wish-list?done=wished" };
}

/** `POST /wish-list/remove` */
export function removeFromWishList({ session, form }: Visit): ShopReply {
  const index = session.wishes.indexOf(form.product);
  if (index >= 0) session.wishes.splice(index, 1);
  return { redirect: "/wish-list?done=removed" };
}
