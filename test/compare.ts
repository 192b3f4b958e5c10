import type { Dtype } from '../src/geometry.js';
import { type Expected, tolerance } from './cases.js';

export interface Comparison {
  /** Largest error relative to the largest expected value. */
  readonly maxError: number;
  /** Largest error as a share of its tolerance: above 1 is a failure. */
  readonly worst: number;
  /** The worst element where it fails, as `(n, y, x, channel)` with both values. */
  readonly failure?: string;
}

/** Compares a result `[N, OH, OW, channels]`, whose pixels stand `stride` values apart, with what it must be. */
export function compare(
  actual: Float32Array, { values, magnitudes }: Expected, terms: number, transcendental: boolean,
  shape: readonly [number, number, number, number], stride: number, dtype: Dtype = 'f32',
): Comparison {
  const [, height, width, channels] = shape;
  let [largest, maxError, worst, at] = [0, 0, -1, 0];
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(actual[Math.floor(i / channels) * stride + (i % channels)]! - values[i]!);
    const share = Number.isNaN(error) ? Infinity : error / tolerance(terms, magnitudes[i]!, transcendental, dtype, values[i]!);
    largest = Math.max(largest, Math.abs(values[i]!));
    maxError = Math.max(maxError, Number.isNaN(error) ? Infinity : error);
    if (share > worst) [worst, at] = [share, i];
  }
  const comparison = { maxError: maxError / (largest || 1), worst };
  if (worst <= 1) return comparison;
  const pixel = Math.floor(at / channels);
  const index = [Math.floor(pixel / width / height), Math.floor(pixel / width) % height, pixel % width, at % channels];
  const got = actual[pixel * stride + (at % channels)];
  return { ...comparison, failure: `at (${index.join(', ')}) expected ${values[at]}, got ${got}: ${worst.toFixed(1)} times the tolerance` };
}
