/**
 * A map that keeps the `most` entries used last. Getting or setting an entry makes it the newest; beyond `most` the
 * oldest is dropped.
 */
export class LruMap<Value> {
  readonly #most: number;
  readonly #dropped: ((value: Value) => void) | undefined;
  readonly #values = new Map<string, Value>();

  /** `dropped` is called with each entry that is dropped because it is the oldest. */
  constructor(most: number, dropped?: (value: Value) => void) {
    this.#most = most;
    this.#dropped = dropped;
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#values.delete(key); // A map's order is that of insertion.
    this.#values.set(key, value);
    for (const [oldest, dropped] of this.#values) {
      if (this.#values.size <= this.#most) break;
      this.#values.delete(oldest);
      this.#dropped?.(dropped);
    }
  }

  /** Forgets a key unless it has another value by now. */
  delete(key: string, value: Value): void {
    if (this.#values.get(key) === value) this.#values.delete(key);
  }

  clear(): void {
    this.#values.clear();
  }

  /** The oldest first. */
  entries(): Iterable<readonly [string, Value]> {
    return this.#values.entries();
  }
}
