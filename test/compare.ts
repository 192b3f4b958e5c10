import type { Bounded } from './bounds.js';

export interface Comparison {
  /** Largest error relative to the largest expected value. */
  readonly maxError: number;
  /** Largest error as a share of its tolerance: above 1 is a failure. */
  readonly worst: number;
  /** The share of elements that are not compared, because they may overflow. */
  readonly overflowing: number;
  /** The worst element, as `(n, y, x, channel)` with both values; absent where there are none. */
  readonly where?: string;
  /** What is wrong there. */
  readonly failure?: string;
}

/** A share of a tolerance, rounded so that 1.00 is none that is below or above. */
export const shareText = (share: number): string =>
  ((share > 1 ? Math.ceil : Math.floor)(100 * share) / 100).toFixed(2);

/** How one comparison of a check went. */
export interface Report extends Partial<Comparison> {
  /** Case, preset and kernel variants. */
  readonly title: string;
}

/**
 * Compares a result `[N, OH, OW, channels]`, whose pixels stand `stride` values apart, with
 * what it must be within a tolerance of each element.
 */
export function compare(
  actual: Float32Array, { values, tolerances }: Bounded, shape: readonly [number, number, number, number],
  stride: number,
): Comparison {
  const [, height, width, channels] = shape;
  let [largest, maxError, worst, at, overflowing] = [0, 0, -1, 0, 0];
  for (let i = 0; i < values.length; i++) {
    if (tolerances[i] === Infinity) {
      overflowing++;
      continue;
    }
    const error = Math.abs(actual[Math.floor(i / channels) * stride + (i % channels)]! - values[i]!);
    const share = Number.isNaN(error) ? Infinity : error && error / tolerances[i]!;
    largest = Math.max(largest, Math.abs(values[i]!));
    maxError = Math.max(maxError, Number.isNaN(error) ? Infinity : error);
    if (share > worst) [worst, at] = [share, i];
  }
  const comparison = { maxError: maxError / (largest || 1), worst, overflowing: overflowing / (values.length || 1) };
  if (worst < 0) return comparison;
  const pixel = Math.floor(at / channels);
  const index = [Math.floor(pixel / width / height), Math.floor(pixel / width) % height, pixel % width, at % channels];
  const got = actual[pixel * stride + (at % channels)];
  const where = `at (${index.join(', ')}) expected ${values[at]}, got ${got}`;
  return {
    ...comparison, where, ...(worst > 1 && { failure: `${where}: ${shareText(worst)} times the tolerance` }),
  };
}
