import { describe, expect, test } from 'vitest';
import { resolveActivation } from '../src/arguments/activation.js';
import { ValueError } from '../src/arguments/errors.js';
import { type ConvolutionOptions, resolveGeometry } from '../src/arguments/geometry.js';
import { separableConv2dReference } from '../src/reference.js';

const shapes = { input: [1, 5, 6, 3], depthwiseFilter: [3, 3, 3, 2], pointwiseFilter: [1, 1, 6, 8] };

/** `[OH, OW, padTop, padLeft]` for a size and a kernel of one channel. */
function extents(size: [number, number], kernel: [number, number], options: ConvolutionOptions): number[] {
  const { OH, OW, padTop, padLeft } = resolveGeometry(
    { input: [1, ...size, 1], depthwiseFilter: [...kernel, 1, 1], pointwiseFilter: [1, 1, 1, 1] }, options);
  return [OH, OW, padTop, padLeft];
}

describe('output extent and padding', () => {
  test.each([
    ['SAME puts the odd row and column after', [4, 4], [2, 2], { padding: 'SAME' }, [4, 4, 0, 0]],
    ['SAME with an odd kernel', [5, 6], [3, 5], { padding: 'SAME' }, [5, 6, 1, 2]],
    ['SAME with stride 2, even input', [6, 6], [3, 3], { padding: 'SAME', strides: 2 }, [3, 3, 0, 0]],
    ['SAME with stride 2, odd input', [5, 7], [3, 3], { padding: 'SAME', strides: 2 }, [3, 4, 1, 1]],
    ['SAME with a kernel below the stride', [7, 7], [1, 2], { padding: 'SAME', strides: 3 }, [3, 3, 0, 0]],
    ['SAME with a kernel above the input', [2, 3], [7, 7], { padding: 'SAME' }, [2, 3, 3, 3]],
    ['SAME with rate', [9, 9], [3, 3], { padding: 'same', rate: [2, 4] }, [9, 9, 2, 4]],
    ['SAME of nothing', [0, 3], [3, 3], { padding: 'SAME' }, [0, 3, 1, 1]],
    ['VALID', [5, 6], [3, 2], { padding: 'VALID' }, [3, 5, 0, 0]],
    ['VALID with stride', [7, 8], [3, 3], { padding: 'valid', strides: [1, 2, 3, 1] }, [3, 2, 0, 0]],
    ['VALID with rate', [7, 9], [3, 3], { padding: 'VALID', rate: 3 }, [1, 3, 0, 0]],
    ['explicit pairs', [5, 6], [3, 3], { padding: [[1, 2], [3, 4]], strides: [2, 1] }, [3, 11, 1, 3]],
    ['explicit, four pairs', [5, 6], [3, 3], { padding: [[0, 0], [1, 2], [3, 4], [0, 0]] }, [6, 11, 1, 3]],
    ['explicit with an empty result', [2, 6], [3, 3], { padding: [[0, 0], [0, 0]] }, [0, 4, 0, 0]],
  ] as const)('%s', (_, size, kernel, options, expected) => {
    expect(extents([...size], [...kernel], options)).toEqual(expected);
  });
});

describe('arguments that are errors', () => {
  const valid: ConvolutionOptions = { padding: 'SAME' };
  const call = (change: object, options: object = {}) => () =>
    resolveGeometry({ ...shapes, ...change }, { ...valid, ...options });

  test('the valid call that the others vary', () => expect(call({})()).toMatchObject({ N: 1, K: 6, O: 8 }));

  test.each([
    ['input of rank 3', { input: [5, 6, 3] }, {}, 'input must have a shape of rank 4, got [5, 6, 3]'],
    ['input dimension negative', { input: [1, -5, 6, 3] }, {}, 'input must have non-negative integer dimensions'],
    ['input dimension fractional', { input: [1, 5.5, 6, 3] }, {}, 'input must have non-negative integer dimensions'],
    ['input that overflows', { input: [2 ** 20, 2 ** 20, 2 ** 20, 3] }, {}, 'fewer than 2^51 elements'],
    ['depthwise filter of rank 2', { depthwiseFilter: [3, 3] }, {}, 'depthwiseFilter must have a shape of rank 4'],
    ['depthwise filter empty', { depthwiseFilter: [0, 3, 3, 2] }, {},
      'depthwiseFilter must not be empty, got [0, 3, 3, 2]'],
    ['depthwise filter of other channels', { depthwiseFilter: [3, 3, 4, 2] }, {},
      'depthwiseFilter must be [KH, KW, 3, M] (C = 3 input channels), got [3, 3, 4, 2]'],
    ['pointwise filter not 1x1', { pointwiseFilter: [1, 2, 6, 8] }, {},
      'pointwiseFilter must be [1, 1, C*M, O], got [1, 2, 6, 8]'],
    ['pointwise filter of other channels', { pointwiseFilter: [1, 1, 7, 8] }, {},
      'pointwiseFilter must be [1, 1, 6, O] (C*M = 3*2), got [1, 1, 7, 8]'],
    ['pointwise filter empty', { pointwiseFilter: [1, 1, 6, 0] }, {}, 'pointwiseFilter must not be empty'],
    ['overparameterized', { input: [1, 5, 6, 2], depthwiseFilter: [3, 3, 2, 3], pointwiseFilter: [1, 1, 6, 5] }, {},
      'Refusing to perform an overparameterized separable convolution: '
      + 'channel_multiplier * in_channels = 3 * 2 = 6 > 5 = out_channels'],
    ['overparameterized is found before the depth mismatch',
      { input: [1, 5, 6, 9] }, {}, '2 * 9 = 18 > 8 = out_channels'],
    ['depthwise bias of another length', { depthwiseBias: [3] }, {}, 'depthwiseBias must be [6], got [3]'],
    ['bias of another length', { bias: [6] }, {}, 'bias must be [8], got [6]'],
    ['stride 0', {}, { strides: 0 }, 'strides must be a positive integer, [sh, sw] or [1, sh, sw, 1], got 0'],
    ['stride fractional', {}, { strides: 1.5 }, 'strides must be'],
    ['strides of three', {}, { strides: [1, 2, 1] }, 'strides must be'],
    ['strides over the batch', {}, { strides: [2, 1, 1, 1] }, 'got [2, 1, 1, 1]'],
    ['strides over the channels', {}, { strides: [1, 1, 1, 2] }, 'got [1, 1, 1, 2]'],
    ['rate 0', {}, { rate: [1, 0] }, 'rate must be a positive integer or [rh, rw], got [1, 0]'],
    ['rate of four', {}, { rate: [1, 1, 1, 1] }, 'rate must be'],
    ['rate with stride', {}, { rate: 2, strides: 2 },
      'rate must be 1 where strides are not 1 (strides = [2, 2]), got [2, 2]'],
    ['rate with stride on the other axis', {}, { rate: [2, 1], strides: [1, 2] }, 'rate must be 1'],
    ['VALID kernel above the input', { input: [1, 2, 6, 3] }, { padding: 'VALID' },
      'input height with its padding must be at least the effective kernel'],
    ['VALID dilated kernel above the input', {}, { padding: 'VALID', rate: [1, 3] }, '(k - 1) * rate + 1 = 7'],
    ['explicit padding far too small', { input: [1, 1, 6, 3] }, { padding: [[0, 0], [0, 0]] }, 'got 1'],
    ['padding absent', {}, { padding: undefined }, "padding must be 'SAME', 'VALID'"],
    ['padding unknown', {}, { padding: 'FULL' }, "got 'FULL'"],
    ['padding negative', {}, { padding: [[0, -1], [0, 0]] }, 'got [[0, -1], [0, 0]]'],
    ['padding of the batch', {}, { padding: [[1, 0], [0, 0], [0, 0], [0, 0]] }, 'padding must be'],
    ['activation unknown', {}, { activation: 'gelu' }, "activation must be one of 'linear', 'relu'"],
    ['activation that is only a method name', {}, { activation: 'toString' }, "got 'toString'"],
    ['leakyRelu without its slope', {}, { depthwiseActivation: 'leakyRelu' }, 'depthwiseActivation must be one of'],
    ['leakyRelu with a slope that is no number', {}, { activation: { leakyRelu: NaN } }, 'activation must be one of'],
  ])('%s', (_, change, options, message) => {
    expect(call(change, options)).toThrow(ValueError);
    expect(call(change, options)).toThrow(message);
    expect(call(change, { ...options, name: 'block1' })).toThrow(/^separableConv2d 'block1': /);
  });

  test('equality of C*M and O passes, and allowOverparameterized opts out', () => {
    expect(call({ pointwiseFilter: [1, 1, 6, 6] })).not.toThrow();
    expect(call({ pointwiseFilter: [1, 1, 6, 5] }, { allowOverparameterized: true })).not.toThrow();
  });

  test('data that does not fit its shape, and options that do not exist', () => {
    const tensor = (shape: [number, number, number, number], length: number) =>
      ({ shape, data: new Float32Array(length) });
    const [d, p] = [tensor([1, 1, 1, 1], 1), tensor([1, 1, 1, 1], 1)];
    const run = (input: unknown, options: unknown) =>
      () => separableConv2dReference(input as typeof d, d, p, options as ConvolutionOptions);
    expect(run(tensor([1, 2, 2, 1], 3), valid))
      .toThrow('input.data must have 4 elements for shape [1, 2, 2, 1], got 3');
    expect(run({ shape: [1, 1, 1, 1], data: [1] }, valid)).toThrow('input.data must be a Float32Array');
    expect(run(undefined, valid)).toThrow('input must be { shape, data }, got undefined');
    expect(run(d, undefined)).toThrow('options must be an object');
    expect(run(d, { padding: 'SAME', stride: 2 })).toThrow("got 'stride'");
    expect(run(d, { padding: 'SAME', name: 3 })).toThrow('name must be a string, got 3');
  });
});

test('activations resolve to a function and its slope', () => {
  expect(resolveActivation('x', undefined)).toEqual({ kind: 'linear', alpha: 0 });
  expect(resolveActivation('x', 'relu6')).toEqual({ kind: 'relu6', alpha: 0 });
  expect(resolveActivation('x', { leakyRelu: 0.1 })).toEqual({ kind: 'leakyRelu', alpha: 0.1 });
});
