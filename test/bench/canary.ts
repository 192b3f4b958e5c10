import type { Reading } from './contender.js';
import type { Outcome, Timing } from './measure.js';

/**
 * An empty dispatch takes the longer the lower the device's clock is. So one is timed before each sample, and where it
 * took much longer than it can, the sample was taken at a low clock.
 */

/** Much longer: so many times the least that was seen. SwiftShader undisturbed stays within 1.15; see the README. */
export const LOW = 1.25;
/** A sample is taken so often at most. */
const TAKES = 4;

export class Canary {
  /** Milliseconds of the fastest empty dispatch that was seen, on any device: all run the same kernel on one GPU. */
  least: number;

  constructor(least: number) {
    this.least = least;
  }

  /** Takes a sample, and takes it again while the clock is low; gives that of the highest clock. */
  async take(sample: () => Promise<Reading>): Promise<Reading> {
    const watched = async (): Promise<Reading> => {
      const reading = await sample();
      this.least = Math.min(this.least, reading.canary ?? Infinity);
      return reading;
    };
    let best = await watched();
    for (let takes = 1; takes < TAKES && this.#isLow(best.canary); takes++) {
      const another = await watched();
      if (another.canary! < best.canary!) best = another;
    }
    return best;
  }

  /** Rows whose timings say how many samples were taken at a low clock, by the least that is known in the end. */
  mark<T extends { readonly outcomes: Readonly<Partial<Record<string, Outcome>>> }>(rows: readonly T[]): T[] {
    const marked = (timing: Timing): Timing => (timing.canaries
      ? { ...timing, lowClock: timing.canaries.filter((canary) => this.#isLow(canary)).length }
      : timing);
    return rows.map((row) => ({
      ...row,
      outcomes: Object.fromEntries(Object.entries(row.outcomes).map(([name, outcome]) =>
        [name, { ...outcome, ...(outcome?.timing && { timing: marked(outcome.timing) }) }])),
    }));
  }

  /** False without a canary. */
  #isLow(canary = 0): boolean {
    return canary > LOW * this.least;
  }
}
