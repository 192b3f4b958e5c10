import { separableConv2dReference } from 'sepconv-webgpu/reference';
import type { CheckRequest, CheckResult } from './check.js';

/** The largest difference, relative to the largest reference value. Comparisons are written so that NaN counts as wrong. */
function compare(actual: Float32Array, expected: Float32Array): { maxError: number; worst: number } {
  if (actual.length !== expected.length) return { maxError: Infinity, worst: 0 };
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
  return { maxError: difference === 0 ? 0 : difference / largest, worst };
}

addEventListener('message', ({ data }: MessageEvent<CheckRequest>) => {
  const start = performance.now();
  const { input, depthwiseFilter, pointwiseFilter, options, actual } = data;
  const expected = separableConv2dReference(input, depthwiseFilter, pointwiseFilter, options);
  const { maxError, worst } = compare(actual.data, expected.data);
  const shapesAgree = actual.shape.join() === expected.shape.join();
  postMessage({
    maxError: shapesAgree ? maxError : Infinity,
    worst,
    actual: actual.data[worst] ?? NaN,
    expected: expected.data[worst] ?? NaN,
    milliseconds: performance.now() - start,
  } satisfies CheckResult);
});
