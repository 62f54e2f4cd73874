/** Pages of the built-in site about the visitor: signing in and out, address, orders. */
import { group, heading, link, postForm, text } from "./page.ts";
import { money } from "./shop_data.ts";
import { cleanLine, ownOrders, paged, reply, type ShopReply, type Visit } from "./shop_visit.ts";

/** Orders on a page. */
const ORDERS_SHOWN = 5;

/** `GET /account` */
export function accountPage(visit: Visit): ShopReply {
  return reply(visit, "Account", [
    heading("Account"),
    text(`Signed in as ${visit.data.customer.name}.`, { id: "account-name" }),
    group("columns", [
      link("My orders", "/account/orders"),
      link("My address", "/account/address"),
      link("Store admin", "/admin"),
      link("Help", "/help"),
    ]),
    postForm("/account/sign-out", [{ kind: "button", text: "Sign out" }]),
  ]);
}

/** `GET /account/sign-in` */
export function signInPage(visit: Visit): ShopReply {
  const { customer, password } = visit.data;
  return reply(visit, "Sign in", [
    heading("Sign in"),
    postForm("/account/sign-in", [
      { kind: "textbox", name: "name", label: "Name", value: "" },
      { kind: "textbox", name: "password", label: "Password", value: "", isSecret: true },
      { kind: "button", text: "Sign in", isStrong: true },
      { kind: "button", text: `Continue as ${customer.name}`, action: "/account/continue" },
    ]),
    text(`This is a demo: the password is ${password}.`, { look: "note" }),
  ]);
}

/** `POST /account/sign-in` */
export function signIn({ session, data, form }: Visit): ShopReply {
  const isRight = cleanLine(form.name).toLowerCase() === data.customer.name.toLowerCase() &&
    form.password === data.password;
  if (!isRight) return { redirect: "/account/sign-in?refused=password" };
  session.isSignedIn = true;
  return { redirect: "/account" };
}

/** `POST /account/continue`: signs in without a password, since this is a demo. */
export function continueAsCustomer({ session }: Visit): ShopReply {
  session.isSignedIn = true;
  return { redirect: "/account" };
}

/** `POST /account/sign-out` */
export function signOut({ session }: Visit): ShopReply {
  session.isSignedIn = false;
  return { redirect: "/account/sign-in?done=out" };
}

/** `GET /account/address` */
export function addressPage(visit: Visit): ShopReply {
  const { address: { name, street, town }, wantsNews } = visit.session;
  return reply(visit, "My address", [
    heading("My address"),
    postForm("/account/address", [
      { kind: "textbox", name: "name", label: "Name", value: name, id: "address-name" },
      { kind: "textbox", name: "street", label: "Street", value: street, id: "address-street" },
      { kind: "textbox", name: "town", label: "Town", value: town, id: "address-town" },
      { kind: "checkbox", name: "news", label: "Send me news", isChecked: wantsNews, id: "address-news" },
      { kind: "button", text: "Save", isStrong: true },
    ]),
    text(`Parcels go to ${street}, ${town}${wantsNews ? ", with news" : ""}.`, { id: "address" }),
  ]);
}

/** `POST /account/address` */
export function saveAddress({ session, form }: Visit): ShopReply {
  const name = cleanLine(form.name), street = cleanLine(form.street), town = cleanLine(form.town);
  if (name === "" || street === "" || town === "") return { redirect: "/account/address?refused=empty" };
  session.address = { name, street, town };
  session.wantsNews = form.news === "1";
  return { redirect: "/account/address?done=saved" };
}

/** `GET /account/orders?page=N` */
export function ordersPage(visit: Visit): ShopReply {
  const { shown, links } = paged(visit, ownOrders(visit), ORDERS_SHOWN);
  const orders = shown.map(({ number, status, total }) =>
    group("card", [
      { kind: "tile", hue: number, letters: "#" },
      link(`Order ${number}`, `/order/${number}`),
      text(`${status}, ${money(total)}`, { look: "note" }),
    ])
  );
  return reply(visit, "My orders", [heading("My orders"), group("cards", orders, "orders"), ...links]);
}
