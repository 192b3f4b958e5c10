import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Report } from './tfjs-passes-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
let opened: Opened;

beforeAll(async () => {
  opened = { ...await open('tfjs'), name: 'tfjs-passes' }; // The example's page, with other checks.
  await shows(opened, 'pre', /(MobileNet[^]*differ by[^]*){2}/);
});
afterAll(() => close(opened));

// The README's bound for this library's sums in float32; tfjs's are of the same kind.
test('either pass alone is what tfjs computes under that name, before kernels are ready and after', async () => {
  const { before, after, tfjs } = await evaluate<Report>(opened, `checkCases(${seed})`);
  console.log(`Largest errors, relative to the largest value: before ${before.toExponential(1)}, `
    + `after ${after.toExponential(1)}, tfjs ${tfjs.toExponential(1)}`);
  for (const error of [before, after, tfjs]) expect(error, `seed ${seed}`).toBeLessThanOrEqual(2e-6);
});

test('prepared calls run at once, forward and backward', () => evaluate(opened, 'checkPrepare()'));

test('errors have tfjs\'s names of the function and of the argument', async () => {
  expect(await evaluate(opened, 'messages()')).toEqual([
    "ValueError: depthwiseConv2d: pad must be 'SAME', 'VALID', [[top, bottom], [left, right]] or "
      + '[[0, 0], [top, bottom], [left, right], [0, 0]] with non-negative integers, '
      + 'got [[0, 0], [0, -1], [0, 0], [0, 0]]',
    'ValueError: depthwiseConv2d: filter must be [KH, KW, 3, M] (C = 3 input channels), got [3, 3, 4, 1]',
    'ValueError: depthwiseConv2d: dilations must be 1 where strides are not 1 (strides = [2, 2]), got [2, 2]',
    "ValueError: depthwiseConv2d: dataFormat must be 'NHWC', got 'NCHW'",
    "ValueError: depthwiseConv2d: dimRoundingMode must be absent, or 'floor' where pad is no string, got 'ceil'",
    'ValueError: depthwiseConv2d: filter must be a float32 tensor of rank 4, got float32 [1, 1]',
    'ValueError: conv2d: filter must be [1, 1, C, O], got [3, 3, 3, 1]',
    'ValueError: conv2d: filter must be [1, 1, 3, O] (C = 3 input channels), got [1, 1, 4, 5]',
    'ValueError: conv2d: pad must pad nothing for a pointwise pass alone, got [[1, 1], [1, 1]]',
    'ValueError: conv2d: dilations must be 1 for a pointwise pass alone, got [2, 2]',
    "ValueError: conv2d: dimRoundingMode must be absent, or 'floor' where pad is no string, got 'floor'",
    'ValueError: conv2d: strides must be a positive integer, [sh, sw] or [1, sh, sw, 1], got 0',
  ]);
});
