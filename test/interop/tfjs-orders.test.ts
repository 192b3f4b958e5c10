import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Report, WithoutAndWith } from './tfjs-orders-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
let opened: Opened;

beforeAll(async () => {
  opened = { ...await open('tfjs'), name: 'tfjs-orders' }; // The example's page, with other checks.
  await shows(opened, 'pre', /(MobileNet[^]*differ by[^]*){2}/);
});
afterAll(() => close(opened));

// 4x is the inner gradient, of 2x^2, so 32x is the outer one.
test('the gradient of a gradient is exact, before kernels are ready and after', async () => {
  const { before, after } = await evaluate<WithoutAndWith>(opened, 'checkGradientOfGradient()');
  expect(before).toEqual([32, 64, 96, 128]);
  expect(after).toEqual([32, 64, 96, 128]);
});

test('gradients of the orders 1 to 3 agree with matrix products, before kernels are ready and after', async () => {
  const { before, after } = await evaluate<WithoutAndWith>(opened, `checkOrders(${seed})`);
  console.log(`Largest errors by order: ours ${after.map((error) => error.toExponential(1)).join(', ')}, `
    + `tfjs ${before.map((error) => error.toExponential(1)).join(', ')}`);
  for (const error of [...before, ...after]) expect(error, `seed ${seed}`).toBeLessThanOrEqual(1e-5);
});

test('an empty batch has gradients', () => evaluate(opened, 'checkEmptyGradients()'));

test('a call outside tidy leaves its result only', () => evaluate(opened, 'checkLeaks()'));

test('notations that tfjs lacks mean the same before kernels are ready and after', async () => {
  expect(await evaluate(opened, 'checkNotations()')).toEqual([
    '1,3,4,2 320', '1,3,4,2 320', '1,2,3,2 216', '1,2,3,2 216', '1,5,7,2 1008', '1,5,7,2 1008',
  ]);
});

test('rank 3 and nested arrays give what tf.separableConv2d gives, before kernels are ready and after', async () => {
  const report = await evaluate<Report>(opened, `checkOtherArguments(${seed})`);
  const shapes = Object.fromEntries(Object.entries(report).map(([what, one]) => [what, one.shapes]));
  const same = (shape: string): string[] => [shape, shape, shape];
  expect(shapes).toEqual({
    'rank 3': same('3,3,4'), 'an array of rank 3': same('3,3,4'), 'an array': same('1,3,3,4'),
    'arrays of filters': same('1,3,3,4'), 'typed arrays': same('1,3,3,4'), 'gradient of rank 3': same('5,6,3'),
  });
  for (const [what, { errors }] of Object.entries(report)) {
    for (const error of errors) expect(error, `${what}, seed ${seed}`).toBeLessThanOrEqual(2e-6);
  }
});

test('messages about arrays are short', async () => {
  const x = 'ValueError: separableConv2d: x must be a float32 tensor of rank 3 or 4';
  expect(await evaluate(opened, 'messages()')).toEqual([
    `${x}, got float32 [1000]`,
    `${x}, got float32 [1000]`,
    `${x}, got int32 [3]`,
    `${x}, got an array [1, 1, 1] that is deeper, ragged, or not of numbers`,
    'ValueError: separableConv2d: depthwiseFilter must be a float32 tensor of rank 4, got float32 [2, 1000]',
    'ValueError: separableConv2d: pointwiseFilter must be a float32 tensor of rank 4, got float32 [3, 5]',
    `${x}, got an array [1, 2, 1000] that is deeper, ragged, or not of numbers`,
    `${x}, got an array [1, 1, 1, 1, 1] that is deeper, ragged, or not of numbers`,
    `${x}, or nested arrays, got '${'x'.repeat(39)}`,
    `${x}, or nested arrays, got null`,
    `${x}, or nested arrays, got [object Object]`,
  ]);
});
