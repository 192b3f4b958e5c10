import type { Reading } from './contender.js';
import type { Row, Timing } from './measure.js';

/**
 * An empty dispatch takes as long as the device's clock is slow. So it is timed before each sample, and a sample before
 * which it took much longer than it can is taken at a low clock.
 */

/** So many times the least is much longer: clocks of GPUs go down by more, and the noise of a dispatch is less. */
export const LOW = 1.25;
/** A sample is taken so often at most. */
const TAKES = 4;

export class Canary {
  /** Milliseconds of the fastest empty dispatch that was seen. */
  least: number;

  constructor(least: number) {
    this.least = least;
  }

  isLow(canary: number): boolean {
    return canary > LOW * this.least;
  }

  /** Takes a sample, and takes it again while the clock is low; gives that at the highest clock. */
  async take(sample: () => Promise<Reading>): Promise<Reading> {
    let best = await sample();
    for (let takes = 1; this.#isLowAt(best) && takes < TAKES; takes++) {
      const another = await sample();
      if (another.canary! < best.canary!) best = another;
    }
    return best;
  }

  #isLowAt({ canary = 0 }: Reading): boolean {
    if (canary > 0) this.least = Math.min(this.least, canary);
    return this.isLow(canary);
  }

  /** Rows whose timings say how many of their samples were taken at a low clock, by the least that is known in the end. */
  mark(rows: readonly Row[]): Row[] {
    const marked = (timing: Timing): Timing =>
      ({ ...timing, lowClock: (timing.canaries ?? []).filter((canary) => this.isLow(canary)).length });
    return rows.map((row) => ({
      ...row,
      outcomes: Object.fromEntries(Object.entries(row.outcomes).map(([name, outcome]) =>
        [name, { ...outcome, ...(outcome.timing && { timing: marked(outcome.timing) }) }])),
    }));
  }
}
