/**
 * Who frees a tensor: scopes.
 *
 * Every tensor belongs to the innermost `tidy` that was running when it was made, and is freed when that ends, unless it is
 * in what `tidy` returns (then it belongs to the next scope out) or was kept. Outside every scope the maker disposes of it.
 */

/**
 * What a scope can free.
 *
 * @internal
 */
export interface Disposable {
  /** Gives back what is held; a second call does nothing. */
  dispose(): void;
  /** Whether it has been given back. */
  readonly isDisposed: boolean;
}

const KEPT = Symbol("kept");
const scopes: Disposable[][] = [];

/** Puts a new tensor under the care of the innermost scope. Called by `Tensor` alone. */
export function adopt(item: Disposable): void {
  if (scopes.length > 0) scopes[scopes.length - 1].push(item);
}

/** Finds the disposables in a value: itself, or inside arrays, maps, sets and plain objects. */
function collect(value: unknown, isItem: (value: object) => boolean, found: Set<unknown>): void {
  if (typeof value !== "object" || value === null) return;
  if (isItem(value)) found.add(value);
  else if (Array.isArray(value) || value instanceof Set) { for (const each of value) collect(each, isItem, found); }
  else if (value instanceof Map) { for (const each of value.values()) collect(each, isItem, found); }
  else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
    for (const each of Object.values(value)) collect(each, isItem, found);
  }
}

function isDisposable(value: object): boolean {
  return typeof (value as Disposable).dispose === "function" && "isDisposed" in value;
}

/**
 * Runs `fn` and frees the tensors that it made, but for those in its result.
 *
 * @param fn Synchronous. Its result may hold tensors inside arrays, maps, sets and plain objects.
 * @throws {TypeError} When `fn` returns a promise: what is made after an `await` belongs to no scope.
 */
export function tidy<T>(fn: () => T): T {
  const scope: Disposable[] = [];
  const depth = scopes.push(scope);
  let result: T | undefined;
  try {
    result = fn();
    if (result instanceof Promise) {
      throw new TypeError("tidy: the function must be synchronous: received one that returns a promise");
    }
    return result;
  } finally {
    scopes.length = depth - 1;
    const survivors = new Set<unknown>();
    collect(result, isDisposable, survivors);
    const outer = depth >= 2 ? scopes[depth - 2] : undefined;
    for (const item of scope) {
      if (item.isDisposed || KEPT in item) continue;
      if (survivors.size > 0 && survivors.has(item)) outer?.push(item);
      else item.dispose();
    }
  }
}

/** Takes a tensor out of every scope: it lives until it is disposed of. Returns it. */
export function keep<T extends Disposable>(item: T): T {
  (item as { [KEPT]?: true })[KEPT] = true;
  return item;
}
