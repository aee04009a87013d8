// Events that have come and that nobody has taken yet.

/** A queue of at most `limit` items between one who puts and one who takes. */
export class Inbox<Item> {
  readonly #limit: number;
  #items: Item[] = [];
  #ended = false;
  #error: unknown;
  #wakeTaker: (() => void) | undefined;
  #wakePutter: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Puts an item at the end, and waits while the queue is full. After `end` items are dropped. */
  async put(item: Item): Promise<void> {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wakeTaker?.();
    while (this.#items.length >= this.#limit && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wakePutter = resolve));
    }
  }

  /** Takes the first item, waiting for one; undefined after the last. Throws the error of `end`. */
  async take(): Promise<Item | undefined> {
    while (!this.#items.length && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wakeTaker = resolve));
    }
    const item = this.#items.shift();
    this.#wakePutter?.();
    if (item === undefined && this.#error !== undefined) throw this.#error;
    return item;
  }

  /** Drops the items of which this holds. */
  drop(isDropped: (item: Item) => boolean): void {
    this.#items = this.#items.filter((item) => !isDropped(item));
    this.#wakePutter?.();
  }

  /** Nothing more will be put; what is there can be taken, and then `error` is thrown if there is one. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wakeTaker?.();
    this.#wakePutter?.();
  }
}
