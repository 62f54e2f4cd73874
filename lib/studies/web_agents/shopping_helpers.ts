/**
 * Helpers of tasks that ask WebArena's shop (Magento) through its own interface: what the latest order is, what the latest review of a
 * product says.
 *
 * Source: WebArena (Zhou et al., 2024) and VisualWebArena (Koh et al., 2024), their evaluation harnesses; Adobe Commerce's REST API.
 */
import { z } from "zod";
import { UserError } from "../../base/user_error.ts";
import { JsonClient, type JsonClientOptions } from "../../serving/json_client.ts";
import type { TaskHelpers } from "./tasks/task_helpers.ts";

export interface ShopAccount {
  /** Name of an administrator. */
  username: string;
  /** Its password. */
  password: string;
}

/** The administrator of WebArena's published shop. */
const PUBLISHED_ACCOUNT: ShopAccount = { username: "admin", password: "admin1234" };

const ORDERS = z.object({ items: z.array(z.object({ increment_id: z.string() })) });
const REVIEWS = z.array(z.object({
  nickname: z.string(),
  detail: z.string(),
  title: z.string(),
  ratings: z.array(z.object({ percent: z.number() })),
}));
const PRODUCT = z.object({ custom_attributes: z.array(z.object({ attribute_code: z.string(), value: z.unknown() })) });

/**
 * Helpers that ask a shop; nothing is sent until one is called.
 *
 * @param shop Where it is served: `http://localhost:7770`.
 * @returns Helpers that throw {@linkcode UserError} where the shop does not answer as it should.
 * @throws {UserError} When that is no HTTP address.
 */
export function shoppingHelpers(
  shop: string,
  { account = PUBLISHED_ACCOUNT, ...options }: JsonClientOptions & { account?: ShopAccount } = {},
): TaskHelpers {
  const base = shop.replace(/\/$/, ""), server = new JsonClient(base, options);
  const ask = async <T>(path: string, schema: z.ZodType<T>): Promise<T> => {
    const token = await server.json("/rest/default/V1/integration/admin/token", { body: account });
    if (typeof token !== "string") throw new UserError(`${base}: the shop gave no token`);
    const parsed = schema.safeParse(await new JsonClient(base, { ...options, apiKey: token }).json(path));
    if (!parsed.success) throw new UserError(`${base}${path}: the shop's answer is not as expected`);
    return parsed.data;
  };
  const latestReview = async (sku: string) =>
    (await ask(`/rest/V1/products/${encodeURIComponent(sku)}/reviews`, REVIEWS)).at(-1);
  return {
    shopping_get_latest_order_url: async () => {
      const sorting = "searchCriteria[sortOrders][0]";
      const query = new URLSearchParams({
        [`${sorting}[field]`]: "created_at",
        [`${sorting}[direction]`]: "DESC",
        "searchCriteria[pageSize]": "1",
      });
      const { items: [latest] } = await ask(`/rest/V1/orders?${query}`, ORDERS);
      if (!latest) throw new UserError(`${base}: the shop has no order`);
      return `${base}/sales/order/view/order_id/${Number(latest.increment_id)}/`;
    },
    shopping_get_sku_latest_review_author: async ([sku]) => (await latestReview(sku))?.nickname ?? "",
    shopping_get_sku_latest_review_rating: async ([sku]) =>
      String((await latestReview(sku))?.ratings[0]?.percent ?? ""),
    shopping_get_sku_latest_review_text: async ([sku]) => (await latestReview(sku))?.detail ?? "",
    shopping_get_sku_latest_review_title: async ([sku]) => (await latestReview(sku))?.title ?? "",
    shopping_get_sku_product_page_url: async ([sku]) => {
      const { custom_attributes: attributes } = await ask(`/rest/V1/products/${encodeURIComponent(sku)}`, PRODUCT);
      const key = attributes.find(({ attribute_code: code }) => code === "url_key");
      return key ? `${base}/${key.value}.html` : "";
    },
  };
}
