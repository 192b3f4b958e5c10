import * as tf from '@tensorflow/tfjs-core';
import { depthwiseConv2dReference, pointwiseConv2dReference } from 'sepconv-webgpu/reference';
import { conv2d, depthwiseConv2d, prepare, prepareTraining, ready } from 'sepconv-webgpu/tfjs';
import { random, randomData } from '../random.js';
import { onCall } from './calls.js';

/** Runs in the page of the example tfjs: either pass alone, by tfjs's own names and signatures. */

type Shape = [number, number, number, number];
type Options = Parameters<typeof conv2d> extends [unknown, unknown, ...infer Rest] ? Rest : never;
interface Case { readonly name: 'depthwiseConv2d' | 'conv2d'; readonly x: number[]; readonly filter: Shape;
  readonly options: Options }

const cases: readonly Case[] = [
  { name: 'depthwiseConv2d', x: [1, 14, 14, 32], filter: [3, 3, 32, 1], options: [1, 'same'] },
  { name: 'depthwiseConv2d', x: [2, 9, 11, 5], filter: [5, 3, 5, 2], options: [[2, 2], 'same'] },
  { name: 'depthwiseConv2d', x: [12, 10, 8], filter: [3, 3, 8, 1], options: [1, 'valid', 'NHWC', [2, 3]] },
  { name: 'depthwiseConv2d', x: [1, 8, 8, 4], filter: [3, 3, 4, 1], options: [2, 1, 'NHWC', 1, 'floor'] },
  { name: 'depthwiseConv2d', x: [1, 8, 9, 3], filter: [3, 3, 3, 1],
    options: [1, [[0, 0], [1, 0], [0, 2], [0, 0]], 'NHWC'] },
  { name: 'conv2d', x: [1, 14, 14, 32], filter: [1, 1, 32, 64], options: [1, 'same'] },
  { name: 'conv2d', x: [2, 9, 11, 5], filter: [1, 1, 5, 7], options: [[2, 2], 'same'] },
  { name: 'conv2d', x: [12, 10, 8], filter: [1, 1, 8, 3], options: [2, 'valid', 'NHWC', [1, 1]] },
  { name: 'conv2d', x: [1, 8, 9, 4], filter: [1, 1, 4, 4], options: [1, 0, 'NHWC', 1, 'floor'] },
  { name: 'conv2d', x: [1, 8, 9, 4], filter: [1, 1, 4, 6], options: [1, [[0, 0], [0, 0], [0, 0], [0, 0]]] },
];
const ours = { depthwiseConv2d, conv2d } as const;
const theirs = { depthwiseConv2d: tf.depthwiseConv2d, conv2d: tf.conv2d } as const;

/** Passes of this library that were encoded on this page, and of them the backward ones. */
let [encoded, backward] = [0, 0];
onCall(GPUComputePassEncoder.prototype, 'pushDebugGroup', (label) => {
  if (/^(depthwiseC|c)onv2d/.test(String(label))) encoded++;
  if (/^(depthwiseC|c)onv2d gradients$/.test(String(label))) backward++;
});

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  check(actual.length === expected.length, `${actual.length} values, not ${expected.length}`);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  check(largest > 0, 'nothing but zeros');
  return Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(actual[i]! - value)), 0) / largest;
}

function referenceOf(
  { name, x, filter, options: [strides, pad,, rate = 1] }: Case, data: readonly [Float32Array, Float32Array],
): ArrayLike<number> {
  const tensors = [
    { shape: [...Array<number>(4 - x.length).fill(1), ...x], data: data[0] }, { shape: filter, data: data[1] },
  ] as const;
  if (name === 'conv2d') return pointwiseConv2dReference(...tensors, { strides }).data;
  const padding = typeof pad === 'number' ? [[pad, pad], [pad, pad]] as const : pad;
  return depthwiseConv2dReference(...tensors, { strides, padding, rate }).data;
}

export interface Report { readonly before: number; readonly after: number; readonly tfjs: number }

/**
 * Every case before its kernels are there, and after: the largest errors, and those of tfjs's function of that name,
 * whose shapes it has. Nothing leaks.
 */
export async function checkCases(seed: number): Promise<Report> {
  const next = random(seed);
  const errors = { before: 0, after: 0, tfjs: 0 };
  for (const one of cases) {
    const { name, x, filter, options } = one;
    const data = [x, filter].map((shape) => randomData(shape.reduce((a, b) => a * b), next)) as
      [Float32Array, Float32Array];
    const expected = referenceOf(one, data);
    const tensors = [tf.tensor<tf.Rank>(data[0], x) as tf.Tensor4D, tf.tensor4d(data[1], filter)] as const;
    const count = tf.memory().numTensors;
    const shapes: string[] = [];
    for (const when of ['tfjs', 'before', 'after'] as const) {
      const passes = encoded;
      const y = (when === 'tfjs' ? theirs : ours)[name](...tensors, ...options);
      const ran = encoded - passes;
      check(ran === (when === 'after' ? 1 : 0), `${name} ${when}: ${ran} passes of this library`);
      shapes.push(String(y.shape));
      errors[when] = Math.max(errors[when], relativeError(await y.data(), expected));
      y.dispose();
      if (when === 'before') await ready();
    }
    check(new Set(shapes).size === 1, `${name}: shapes ${shapes.join(' and ')}`);
    check(tf.memory().numTensors === count, `${tf.memory().numTensors - count} tensors were left`);
    tf.dispose([...tensors]);
  }
  return errors;
}

/** Prepared calls run this library's kernels the first time, forward and backward. */
export async function checkPrepare(): Promise<void> {
  const [x, depthwise, pointwise]: tf.Tensor4D[] =
    [tf.ones([1, 5, 5, 3]), tf.ones([3, 3, 3, 1]), tf.ones([1, 1, 3, 6])];
  await prepare(depthwiseConv2d, x!, depthwise!, [2, 2], 'same');
  await prepare(conv2d, x!, pointwise!, 1, 'same');
  const count = encoded;
  const results = [depthwiseConv2d(x!, depthwise!, [2, 2], 'same'), conv2d(x!, pointwise!, 1, 'same')];
  check(encoded === count + 2, 'tfjs computed it');
  check((await results[0]!.data())[0] === 4, 'the corner of ones must be 2 * 2 taps');
  check((await results[1]!.data())[0] === 3, 'a pixel of ones must be 3 channels');
  await prepareTraining(depthwiseConv2d, x!, depthwise!, 1, 'same');
  await prepareTraining(conv2d, x!, pointwise!, 2, 'same');
  const passes = backward;
  const gradients = [
    tf.grad((one) => depthwiseConv2d(one as tf.Tensor4D, depthwise!, 1, 'same'))(x!),
    tf.grad((one) => conv2d(one as tf.Tensor4D, pointwise!, 2, 'same'))(x!),
  ];
  check(backward === passes + 2, 'tfjs computed gradients');
  check((await gradients[0]!.data())[0] === 4, 'the corner of ones is under 2 * 2 taps');
  const [first, second, third, fourth] = await gradients[1]!.data();
  check(String([first, second, third, fourth]) === '6,6,6,0', 'a pixel goes to 6 channels, one between to none');
  tf.dispose([x!, depthwise!, pointwise!, ...results, ...gradients]);
}

/** What each wrong call throws. */
export function messages(): string[] {
  const [x, depthwise, pointwise]: tf.Tensor4D[] =
    [tf.ones([1, 4, 4, 3]), tf.ones([3, 3, 3, 1]), tf.ones([1, 1, 3, 5])];
  const calls = [
    () => depthwiseConv2d(x!, pointwise!, 1, [[0, 0], [0, -1], [0, 0], [0, 0]]),
    () => depthwiseConv2d(x!, tf.ones([3, 3, 4, 1]), 1, 'same'),
    () => depthwiseConv2d(x!, depthwise!, 2, 'same', 'NHWC', 2),
    () => depthwiseConv2d(x!, depthwise!, 1, 'same', 'NCHW'),
    () => depthwiseConv2d(x!, depthwise!, 2, 0, 'NHWC', 1, 'ceil'),
    () => depthwiseConv2d(x!, [[1]], 1, 'same'),
    () => conv2d(x!, depthwise!, 1, 'same'),
    () => conv2d(x!, tf.ones([1, 1, 4, 5]), 1, 'same'),
    () => conv2d(x!, pointwise!, 1, 1),
    () => conv2d(x!, pointwise!, 1, 'same', 'NHWC', 2),
    () => conv2d(x!, pointwise!, 1, 'same', 'NHWC', 1, 'floor'),
    () => conv2d(x!, pointwise!, 0, 'same'),
  ];
  return calls.map((call) => {
    try {
      call();
      return 'none';
    } catch (error) {
      return String(error);
    }
  });
}
