import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, evaluate, open, type Opened, shows } from './page.js';
import type { Agreement, ModelReport } from './tfjs-check.js';

const seed = 1 + Math.floor(Math.random() * 2 ** 31);
const SAMPLES = 5;
let opened: Opened;

beforeAll(async () => {
  opened = await open('tfjs');
});
afterAll(() => close(opened));

test('the example shows how little the results differ', async () => {
  await shows(opened, 'pre', /(MobileNet[^]*differ by at most \d\.\de-\d\d?\.\n){2}$/);
  console.log(await opened.page.$eval('pre', ({ textContent }) => textContent));
});

// The README's bound for this library's sums in float32; tfjs's are of the same kind.
test('every kind of arguments agrees with the reference, before kernels are ready and after', async () => {
  const { ours, theirs } = await evaluate<Agreement>(opened, `checkCases(${seed})`);
  console.log(
    `Largest error, relative to the largest value: ours ${ours.toExponential(1)}, tfjs ${theirs.toExponential(1)}`);
  for (const error of [ours, theirs]) expect(error, `seed ${seed}`).toBeLessThanOrEqual(2e-6);
});

// Both libraries err by up to 2e-6 of the largest value in each layer; errors of random signs grow on their way as the
// values do, so that these add up at most; the layers after them average.
test.each([['MobileNetV1', 4], ['MobileNetV2', 13]] as const)(
  '%s with its layers swapped gives the same, and nothing leaks', async (name, count) => {
    const { difference, layers, ours, theirs } = await evaluate<ModelReport>(
      opened, `checkModel('${name}', ${seed}, ${SAMPLES})`);
    console.log(
      `${name}: differs by ${difference.toExponential(1)}; `
      + `median of ${SAMPLES}: ${ours.toFixed(1)} ms, by tfjs ${theirs.toFixed(1)} ms`);
    expect(layers).toBe(count);
    expect(difference).toBeGreaterThan(0);
    expect(difference, `seed ${seed}`).toBeLessThanOrEqual(count * 2 * 2e-6);
  });

// The bound of the library's own tests of its gradients.
test('gradients agree with the reference, before kernels are ready and after, also at a rate', async () => {
  const error = await evaluate<number>(opened, `checkGradients(${seed})`);
  console.log(`Gradients: largest error ${error.toExponential(1)} of the largest value`);
  expect(error).toBeGreaterThan(0);
  expect(error, `seed ${seed}`).toBeLessThanOrEqual(1e-5);
});

test('model.fit takes the same steps with swapped layers', async () => {
  const { ours, theirs } = await evaluate<{ ours: number[]; theirs: number[] }>(opened, `checkFit(${seed})`);
  console.log(`Losses: ${ours[0]} to ${ours.at(-1)}`);
  expect(ours).toHaveLength(10);
  expect(ours.at(-1)!, `seed ${seed}`).toBeLessThan(ours[0]!);
  for (const [i, loss] of theirs.entries()) {
    expect(Math.abs(ours[i]! - loss) / loss, `step ${i}, seed ${seed}`).toBeLessThanOrEqual(1e-4);
  }
});

test('a prepared call runs at once', () => evaluate(opened, 'checkPrepare()'));

test('weights come and go', () => evaluate(opened, 'checkManyWeights()'));

test('errors name the argument, the rule and the value', async () => {
  expect(await evaluate(opened, 'errors()')).toEqual([
    'ValueError: separableConv2d: x must be a float32 tensor of rank 3 or 4, got float32 [4, 3]',
    'ValueError: separableConv2d: x must be a float32 tensor of rank 3 or 4, got int32 [1, 4, 4, 3]',
    'ValueError: separableConv2d: x must not be disposed, got a disposed tensor',
    'ValueError: separableConv2d: pointwiseFilter must be [1, 1, 3, O] (C*M = 3*1), got [1, 1, 4, 5]',
    'ValueError: separableConv2d: dilation must be 1 where strides are not 1 (strides = [2, 2]), got [2, 2]',
    "ValueError: separableConv2d: pad must be 'SAME', 'VALID', [[top, bottom], [left, right]] or "
      + '[[0, 0], [top, bottom], [left, right], [0, 0]] with non-negative integers, got [[-1, -1], [-1, -1]]',
    "ValueError: separableConv2d: dataFormat must be 'NHWC', got 'NCHW'",
    "UnsupportedError: separableConv2d: tfjs's backend must be 'webgpu' (await tf.setBackend('webgpu')), got 'other'",
  ]);
});

test('kernels that cannot be had leave the work to tfjs', async () => {
  const messages = await evaluate<string[]>(opened, 'checkFailure()');
  expect(messages).toHaveLength(2);
  for (const message of messages) expect(message).toMatch(/^SepconvError: separableConv2d: Error: no compiler$/);
});
