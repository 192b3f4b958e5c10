/** Milliseconds between looks, and what is sleep between two: work of a check takes the processor for less. */
const [LOOK, ASLEEP] = [250, 10_000];
/** More often than that no machine sleeps in minutes: then it is work that takes so long. */
const MOST_SLEEPS = 5;

/**
 * How long a check is at work. What does not count is the time in which it cannot be: while its page is hidden, when
 * browsers hold timers back, and while the machine sleeps or the browser has the page frozen.
 */
export class Awake {
  readonly #page = (globalThis as Partial<typeof globalThis>).document;
  readonly #timers = new Set([setInterval(() => this.#look(), LOOK)]);
  #hidden = false;
  #seconds = 0;
  #interruptions = 0;
  #sleeps = 0;
  #looked = Date.now();

  constructor() {
    this.#page?.addEventListener('visibilitychange', this.#turn);
    this.#turn();
  }

  /** Since it was made. */
  get seconds(): number {
    this.#look();
    return this.#seconds;
  }

  /** How often the page was hidden, or the machine asleep. */
  get interruptions(): number {
    this.#look();
    return this.#interruptions;
  }

  /** Resolves when the page is not hidden, or at the signal. */
  async shown(signal: AbortSignal): Promise<void> {
    while (this.#hidden && !signal.aborted) {
      await new Promise((resolve) => {
        this.#page!.addEventListener('visibilitychange', resolve, { once: true, signal });
        signal.addEventListener('abort', resolve, { once: true });
      });
    }
  }

  /** Calls back after so many seconds, unless it is told not to before. Gives what tells it. */
  after(seconds: number, callBack: () => void): () => void {
    const end = this.seconds + seconds;
    const cancel = (): void => {
      clearInterval(timer);
      this.#timers.delete(timer);
    };
    const timer = setInterval(() => {
      if (this.seconds < end) return;
      cancel();
      callBack();
    }, LOOK);
    this.#timers.add(timer);
    return cancel;
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#page?.removeEventListener('visibilitychange', this.#turn);
  }

  readonly #turn = (): void => {
    this.#look();
    this.#hidden = this.#page?.visibilityState === 'hidden';
    if (this.#hidden) this.#interruptions++;
  };

  #look(): void {
    const now = Date.now();
    const milliseconds = Math.max(0, now - this.#looked); // Clocks are put right, backwards too.
    this.#looked = now;
    if (this.#hidden) return;
    if (milliseconds > ASLEEP && this.#sleeps < MOST_SLEEPS) {
      this.#sleeps++;
      this.#interruptions++;
    } else {
      this.#seconds += Math.min(milliseconds, ASLEEP) / 1000;
    }
  }
}
