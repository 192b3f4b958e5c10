import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Comparison } from './onnxruntime-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
let opened: Opened;

beforeAll(async () => {
  opened = await open('onnxruntime');
});
afterAll(() => close(opened));

test('the example shows four scores', async () => {
  await shows(opened, 'pre', /^scores( +0\.\d{4}){4}$/);
});

// Softmax passes on the error of its logits, sums of 27, 9, 8, 256 and 24 products with values up to 6. The worst case,
// 324 * 6 * 2^-24 = 1.2e-4, needs all roundings to go one way; 1e-5 allows
// for more than their random walk of 18 * 6 * 2^-24.
test('model, layer and model agree with the CPU, and nothing but the scores is read back', async () => {
  const { actual, expected, readbacks } = await evaluate<Comparison>(opened, `checkClassify(${seed})`);
  for (const [i, score] of expected.entries()) {
    expect(Math.abs(actual[i]! - score), `score ${i}, seed ${seed}`).toBeLessThan(1e-5);
  }
  expect(Math.max(...expected) - Math.min(...expected)).toBeGreaterThan(1e-3); // Scores that tell something.
  expect(readbacks).toBe(0);
});
