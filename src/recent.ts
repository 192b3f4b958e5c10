/** A map that keeps the entries used last: getting one or setting it makes it the newest, and beyond `most` the oldest goes. */
export class Recent<Value> {
  readonly #most: number;
  readonly #values = new Map<string, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#values.delete(key); // A map's order is that of insertion.
    this.#values.set(key, value);
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#most) break;
      this.#values.delete(oldest);
    }
  }

  /** Forgets a key unless it has another value by now. */
  delete(key: string, value: Value): void {
    if (this.#values.get(key) === value) this.#values.delete(key);
  }

  /** The oldest first. */
  entries(): Iterable<readonly [string, Value]> {
    return this.#values.entries();
  }
}
