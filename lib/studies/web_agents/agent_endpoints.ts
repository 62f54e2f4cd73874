/** Endpoints of a comparison: which role asks which model where, with which key; one client for those that are the same. */
import { ChatClient, type ChatClientOptions } from "../../serving/chat_client.ts";
import { JUDGE_SAMPLING } from "./chat_judge.ts";
import { UserError } from "../../base/user_error.ts";

/** Roles that may be models behind endpoints. */
export const ENDPOINT_ROLES = ["policy", "world-model", "summarizer", "translator", "value", "judge"] as const;
export type EndpointRole = typeof ENDPOINT_ROLES[number];

/** One endpoint. */
export interface EndpointSettings {
  /** `https://api.deepseek.com/v1`. */
  url: string;
  /** Name of the model; the only one of the server when null. */
  model: string | null;
  /** `completions` for models without a chat template. */
  kind: "chat" | "completions";
  /** Environment variable with the key; null: none is sent. */
  keyVariable: string | null;
}

/**
 * Endpoints by role.
 *
 * @internal
 */
export type EndpointChoice = Partial<Record<EndpointRole, EndpointSettings>>;

/** Clients by role, and what their servers made them repeat. */
export class Endpoints {
  readonly #clients = new Map<EndpointRole, ChatClient>();

  /**
   * Nothing is sent yet.
   *
   * @param options What all have in common.
   * @throws {UserError} When an address is none, or a variable that should hold a key is not set.
   */
  constructor(choice: EndpointChoice, options: Omit<ChatClientOptions, "apiKey" | "model" | "kind"> = {}) {
    const known = new Map<string, ChatClient>();
    for (
      const [role, { url, model, kind, keyVariable }] of Object.entries(choice) as [EndpointRole, EndpointSettings][]
    ) {
      const sampling = role === "judge" ? JUDGE_SAMPLING : {};
      const name = JSON.stringify([url, model, kind, keyVariable, sampling]);
      let client = known.get(name);
      if (!client) {
        const apiKey = keyVariable === null ? undefined : Deno.env.get(keyVariable);
        if (keyVariable !== null && !apiKey) {
          throw new UserError(`the key of the ${role} is to be in the variable ${keyVariable}, which is not set`);
        }
        client = new ChatClient(url, { ...options, ...sampling, model: model ?? undefined, kind, apiKey });
        known.set(name, client);
      }
      this.#clients.set(role, client);
    }
  }

  /** The client of a role, if it has one. */
  of(role: EndpointRole): ChatClient | undefined {
    return this.#clients.get(role);
  }

  /** Asks every server for its models. @throws {UserError} When one cannot be reached or lacks the model, by role. */
  async check(): Promise<void> {
    for (const client of new Set(this.#clients.values())) {
      try {
        await client.check();
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        const roles = [...this.#clients].filter(([, each]) => each === client).map(([role]) => role);
        throw new UserError(`${roles.join(", ")}: ${error.message}`);
      }
    }
  }

  /** Tries beyond the first, by the roles that share a client. */
  retries(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const client of new Set(this.#clients.values())) {
      const roles = [...this.#clients].filter(([, each]) => each === client).map(([role]) => role);
      counts[roles.join(", ")] = client.retries;
    }
    return counts;
  }
}
