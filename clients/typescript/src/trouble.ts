// When a broken stream is tried again, and for how long.

import { setTimeout as sleep } from "node:timers/promises";

const FIRST_WAIT = 0.2; // seconds; it doubles
const LONGEST_WAIT = 2;
const LONGEST_ASKED = 10; // a service may ask for a longer wait, up to this
const STEADY = 10; // a resumed stream that lives for so long counts as mended

/** Breaks that follow on one another. */
export class Trouble {
  readonly #within: number;
  #began: number | undefined;
  #mended: number | undefined;
  #attempts = 0;

  /** Gives up `within` seconds after the first break; 0: at once. */
  constructor(within: number) {
    this.#within = within;
  }

  /** Whether anything is to be tried at all. */
  get isAllowed(): boolean {
    return this.#within > 0;
  }

  /** Takes note that the conversation goes on. */
  mended(): void {
    this.#mended = performance.now() / 1000;
  }

  /** Waits before the next attempt, not at all before the first; false if it is time to give up. */
  async wait(retryDelay: number | undefined, signal: AbortSignal): Promise<boolean> {
    const now = performance.now() / 1000;
    if (this.#began === undefined || (this.#mended !== undefined && now - this.#mended >= STEADY)) {
      this.#began = now;
      this.#attempts = 0;
    }
    this.#mended = undefined;
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.#attempts - 1));
    const asked = Math.min(retryDelay ?? 0, LONGEST_ASKED);
    // Many clients break at once: they do not come back at once.
    const wait = this.#attempts++ ? Math.max(asked, longest * (0.5 + Math.random() / 2)) : 0;
    if (!this.isAllowed || now + wait > this.#began + this.#within) return false;
    await sleep(wait * 1000, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }
}
