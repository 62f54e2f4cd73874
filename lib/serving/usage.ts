/** What queries cost: how many, how many failed, tokens as the server counts them, seconds. Local models count tokens as 0. */

/** Costs of some queries. */
export interface Usage {
  /** Queries that were made. A query that was tried again counts once. */
  queries: number;
  /** Of these: without an answer, after all tries. */
  failed: number;
  /** Tokens of the prompts, where the server says. */
  promptTokens: number;
  /** Tokens of the answers, where the server says. */
  answerTokens: number;
  /** Wall-clock seconds that were waited. Parallel queries share them. */
  seconds: number;
}

/**
 * What a role answered, and what that cost.
 *
 * @internal
 */
export interface Reply<T> {
  /** The answer. */
  value: T;
  /** Its costs. */
  usage: Usage;
  /** Why queries failed, each reason once. */
  problems?: string[];
}

/** No costs, or those named. */
export function usageOf(some: Partial<Usage> = {}): Usage {
  return { queries: 0, failed: 0, promptTokens: 0, answerTokens: 0, seconds: 0, ...some };
}

/** Costs of one thing after the other. */
export function addUsage(...parts: readonly Usage[]): Usage {
  const sum = usageOf();
  for (const part of parts) {
    for (const key of Object.keys(sum) as (keyof Usage)[]) sum[key] += part[key];
  }
  return sum;
}

/** Does local work, and says how long it took. */
export async function timed<T>(queries: number, work: () => T | Promise<T>): Promise<Reply<T>> {
  const start = performance.now();
  const value = await work();
  return { value, usage: usageOf({ queries, seconds: (performance.now() - start) / 1000 }) };
}
