/** Numbers by priority, the lowest first; of equal priorities the lower number first. A binary heap. */
export class PriorityQueue {
  readonly #values: number[] = [];
  readonly #priorities: number[] = [];

  /** How many are in it. */
  get size(): number {
    return this.#values.length;
  }

  /** Puts a number in; it may be there already. */
  push(value: number, priority: number): void {
    let at = this.size;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isAfter(parent, value, priority)) break;
      this.#set(at, this.#values[parent], this.#priorities[parent]);
      at = parent;
    }
    this.#set(at, value, priority);
  }

  /** Takes the first out; undefined where there is none. */
  pop(): { value: number; priority: number } | undefined {
    if (this.size === 0) return undefined;
    const first = { value: this.#values[0], priority: this.#priorities[0] };
    const value = this.#values.pop()!, priority = this.#priorities.pop()!;
    if (this.size === 0) return first;
    let at = 0;
    for (let child = 1; child < this.size; child = 2 * at + 1) {
      const other = child + 1;
      if (other < this.size && this.#isAfter(child, this.#values[other], this.#priorities[other])) child = other;
      if (this.#isAfter(child, value, priority)) break;
      this.#set(at, this.#values[child], this.#priorities[child]);
      at = child;
    }
    this.#set(at, value, priority);
    return first;
  }

  /** Takes all out. */
  clear(): void {
    this.#values.length = this.#priorities.length = 0;
  }

  #isAfter(at: number, value: number, priority: number): boolean {
    const own = this.#priorities[at];
    return own !== priority ? own > priority : this.#values[at] > value;
  }

  #set(at: number, value: number, priority: number): void {
    this.#values[at] = value;
    this.#priorities[at] = priority;
  }
}
