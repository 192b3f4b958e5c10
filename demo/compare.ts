export interface Difference {
  /** The largest, relative to the largest expected value. Infinity where lengths differ or a NaN disagrees. */
  readonly maxError: number;
  /** Where it is, as an index into the data, and both values there. */
  readonly worst: number;
  readonly actual: number;
  readonly expected: number;
}

/** Comparisons are written so that NaN counts as wrong. */
export function compare(actual: Float32Array, expected: Float32Array): Difference {
  if (actual.length !== expected.length) return { maxError: Infinity, worst: 0, actual: NaN, expected: NaN };
  let largest = 0;
  for (const value of expected) largest = Math.max(largest, Math.abs(value));
  let difference = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs((actual[i] ?? NaN) - (expected[i] ?? NaN));
    if (!(d <= difference)) {
      difference = Number.isNaN(d) ? Infinity : d;
      worst = i;
    }
  }
  return {
    maxError: difference === 0 ? 0 : difference / largest, worst,
    actual: actual[worst] ?? NaN, expected: expected[worst] ?? NaN,
  };
}
