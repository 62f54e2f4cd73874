/** The built-in site's back office: tables of orders and products, and a form for each row. */
import { group, heading, link, postForm, type Table, text } from "./page.ts";
import { counted, money, ORDER_STATUSES } from "./shop_data.ts";
import {
  cleanLine,
  findProduct,
  notFound,
  paged,
  productOf,
  readWhole,
  reply,
  type ShopReply,
  type Visit,
} from "./shop_visit.ts";

/** Rows of a table on one page. */
const ROWS_SHOWN = 3;

/** `GET /admin` */
export function adminPage(visit: Visit): ShopReply {
  const { orders, products } = visit.data;
  const pending = orders.filter(({ status }) => status === ORDER_STATUSES[0]).length;
  const soldOut = products.filter(({ stock }) => stock === 0).length;
  return reply(visit, "Store admin", [
    heading("Store admin"),
    text(`${counted(pending, "pending order")}, ${counted(soldOut, "product")} out of stock.`, { id: "admin-counts" }),
    group("columns", [link("Orders", "/admin/orders"), link("Products", "/admin/products")]),
  ]);
}

/** `GET /admin/orders?page=N` */
export function adminOrdersPage(visit: Visit): ShopReply {
  const { shown, links } = paged(visit, visit.data.orders, ROWS_SHOWN);
  const rows = shown.map(({ number, status, customer }) => [
    link(`Order ${number}`, `/admin/orders/${number}`),
    text(`${status}, ${customer}`),
  ]);
  return reply(visit, "Orders", [heading("Orders"), table(["Number", "Status"], rows, "admin-orders"), ...links]);
}

/** `GET /admin/orders/NUMBER` */
export function adminOrderPage(visit: Visit): ShopReply {
  const order = visit.data.orders.find(({ number }) => String(number) === visit.parts[0]);
  if (!order) return notFound(visit);
  return reply(visit, `Order ${order.number}`, [
    heading(`Order ${order.number}`),
    text(`${order.customer}, ${order.address}`),
    text(`${counted(order.lines.reduce((sum, { quantity }) => sum + quantity, 0), "piece")}, ${money(order.total)}`),
    postForm(`/admin/orders/${order.number}`, [
      {
        kind: "combobox",
        name: "status",
        label: "Status",
        options: ORDER_STATUSES,
        value: order.status,
        id: "admin-order-status",
      },
      { kind: "button", text: "Save", isStrong: true },
    ], "row"),
    link("All orders", "/admin/orders"),
  ]);
}

/** `POST /admin/orders/NUMBER` */
export function saveOrder(visit: Visit): ShopReply {
  const order = visit.data.orders.find(({ number }) => String(number) === visit.parts[0]);
  if (!order) return notFound(visit);
  if ((ORDER_STATUSES as readonly string[]).includes(visit.form.status)) order.status = visit.form.status;
  return { redirect: `/admin/orders/${order.number}?done=saved` };
}

/** `GET /admin/products?page=N` */
export function adminProductsPage(visit: Visit): ShopReply {
  const { shown, links } = paged(visit, visit.data.products, ROWS_SHOWN);
  const rows = shown.map(({ name, slug, price, stock }) => [
    link(name, `/admin/products/${slug}`),
    text(`${money(price)}, ${stock} in stock`),
  ]);
  return reply(visit, "Products", [heading("Products"), table(["Product", "Price"], rows, "admin-products"), ...links]);
}

/** `GET /admin/products/SLUG` */
export function adminProductPage(visit: Visit): ShopReply {
  const product = productOf(visit);
  if (!product) return notFound(visit);
  return reply(visit, `Edit ${product.name}`, [
    heading(`Edit ${product.name}`),
    text(`Category ${product.category}`),
    postForm(`/admin/products/${product.slug}`, [
      { kind: "textbox", name: "stock", label: "Stock", value: String(product.stock), id: "admin-stock" },
      { kind: "textbox", name: "price", label: "Price", value: (product.price / 100).toFixed(2), id: "admin-price" },
      { kind: "button", text: "Save", isStrong: true },
    ]),
    link("All products", "/admin/products"),
    link("See in shop", `/product/${product.slug}`),
  ]);
}

/** `POST /admin/products/SLUG` */
export function saveProduct(visit: Visit): ShopReply {
  const product = findProduct(visit.data, visit.parts[0]);
  if (!product) return notFound(visit);
  const address = `/admin/products/${product.slug}`;
  const price = cleanLine(visit.form.price).replace(/^\$/, ""), stock = readWhole(visit.form.stock, 0, 9999);
  if (!/^\d{1,5}(\.\d{1,2})?$/.test(price)) return { redirect: `${address}?refused=price` };
  if (stock === undefined) return { redirect: `${address}?refused=pieces` };
  product.price = Math.round(Number(price) * 100);
  product.stock = stock;
  return { redirect: `${address}?done=saved` };
}

function table(columns: readonly string[], rows: Table["rows"], id: string): Table {
  return { kind: "table", columns, rows, id };
}
