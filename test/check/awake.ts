/** Milliseconds between looks, and what is sleep between two: no work of a check takes the processor for so long. */
const [LOOK, ASLEEP] = [250, 10_000];

/**
 * How long a check is at work. What does not count is the time in which it cannot be: while its page is hidden, when
 * browsers hold timers back, and while the machine sleeps or the browser has the page frozen.
 */
export class Awake {
  readonly #page = (globalThis as Partial<typeof globalThis>).document;
  readonly #timer = setInterval(() => this.#look(), LOOK);
  #hidden = false;
  #seconds = 0;
  #interruptions = 0;
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
    const timer = setInterval(() => {
      if (this.seconds < end) return;
      clearInterval(timer);
      callBack();
    }, LOOK);
    return () => clearInterval(timer);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#page?.removeEventListener('visibilitychange', this.#turn);
  }

  readonly #turn = (): void => {
    this.#look();
    this.#hidden = this.#page?.visibilityState === 'hidden';
    if (this.#hidden) this.#interruptions++;
  };

  #look(): void {
    const milliseconds = Math.max(0, Date.now() - this.#looked); // Clocks are put right, backwards too.
    this.#looked += milliseconds;
    if (this.#hidden) return;
    if (milliseconds > ASLEEP) this.#interruptions++;
    else this.#seconds += milliseconds / 1000;
  }
}
