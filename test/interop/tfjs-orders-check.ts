import * as tf from '@tensorflow/tfjs-core';
import { conv2d, depthwiseConv2d, prepare, prepareTraining, ready, separableConv2d } from 'sepconv-webgpu/tfjs';
import { random, randomData } from '../random.js';
import { onCall } from './calls.js';
import { type Case, inMatrices, type Operation, type Shape } from './matrices.js';

/** Runs in the page of the example tfjs: gradients of every order, and arguments other than tensors of rank 4. */

type Filters = [x: tf.Tensor4D, depthwiseFilter: tf.Tensor4D, pointwiseFilter: tf.Tensor4D];

/** Passes of this library that were encoded on this page, forward and backward. */
let encoded = 0;
onCall(GPUComputePassEncoder.prototype, 'pushDebugGroup', (label) => {
  if (/^(separableC|depthwiseC|c)onv2d/.test(String(label))) encoded++;
});

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

const sumOfSquares = (one: tf.Tensor): tf.Scalar => tf.sum(tf.mul(one, one));

/** The sum of the squares of what an operation gives, or of its derivatives of a higher order. */
function measure(operation: Operation, order: number): (...tensors: tf.Tensor4D[]) => tf.Scalar {
  if (order === 0) return (...tensors) => sumOfSquares(operation(...tensors));
  return (...tensors) => derivatives(operation, order, tensors).map(sumOfSquares).reduce((a, b) => tf.add(a, b));
}

const derivatives = (operation: Operation, order: number, tensors: tf.Tensor4D[]): tf.Tensor[] =>
  tf.grads((...args) => measure(operation, order - 1)(...(args as tf.Tensor4D[])))(tensors);

export interface WithoutAndWith { readonly before: number[]; readonly after: number[] }

/** The gradient of sum(g * g), where g is the gradient of sum(y * y) + sum(x * x), and y is x. */
export async function checkGradientOfGradient(): Promise<WithoutAndWith> {
  const [depthwise, pointwise] = [tf.ones([1, 1, 1, 1]), tf.ones([1, 1, 1, 1])] as [tf.Tensor4D, tf.Tensor4D];
  const x = tf.tensor4d([1, 2, 3, 4], [1, 2, 2, 1]);
  const loss = (one: tf.Tensor): tf.Scalar =>
    tf.add(sumOfSquares(separableConv2d(one as tf.Tensor4D, depthwise, pointwise, 1, 'same')), sumOfSquares(one));
  const values = async (): Promise<number[]> => {
    const gradient = tf.grad((one) => sumOfSquares(tf.grad(loss)(one)))(x);
    return [...await gradient.data()];
  };
  const before = await values();
  check(encoded === 0, 'kernels were there before they were compiled');
  await ready();
  const after = await values();
  check(encoded > 0, 'tfjs computed it after kernels were compiled');
  return { before, after };
}

const cases: readonly Case[] = [
  { x: [1, 4, 5, 2], depthwise: [3, 3, 2, 1], O: 3, strides: [1, 1], pad: 'same', rate: [1, 1] },
  { x: [2, 6, 6, 3], depthwise: [3, 3, 3, 2], O: 4, strides: [2, 2], pad: 'valid', rate: [1, 1] },
  { x: [1, 5, 6, 4], depthwise: [2, 3, 4, 1], O: 4, strides: [2, 2], pad: 'same', rate: [1, 1] },
  { x: [1, 7, 6, 2], depthwise: [3, 2, 2, 2], O: 5, strides: [1, 1], pad: 'same', rate: [2, 2] },
  { x: [1, 6, 7, 4], depthwise: [2, 3, 4, 1], O: 2, strides: [1, 1], pad: 'valid', rate: [3, 2] },
  { x: [1, 4, 3, 2], depthwise: [2, 2, 2, 1], O: 3, strides: [2, 1], pad: 3, rate: [1, 1] }, // 3 are beyond the filter.
  { x: [1, 4, 5, 1], depthwise: [2, 2, 1, 3], O: 2, strides: [1, 1], pad: 3, rate: [2, 1] },
  { x: [2, 5, 4, 3], depthwise: [3, 2, 3, 2], strides: [1, 1], pad: 'same', rate: [1, 2] },
  { x: [1, 6, 5, 4], depthwise: [3, 3, 4, 1], strides: [2, 2], pad: 1, rate: [1, 1] },
  { x: [2, 4, 3, 5], O: 3, strides: [1, 1], pad: 'same', rate: [1, 1] },
  { x: [1, 5, 6, 4], O: 6, strides: [2, 3], pad: 'valid', rate: [1, 1] },
];

/** The case by this library. */
const ours = ({ depthwise, O, strides, pad, rate }: Case): Operation => (x, ...filters) => {
  if (!depthwise) return conv2d(x, filters[0]!, strides, pad);
  if (O === undefined) return depthwiseConv2d(x, filters[0]!, strides, pad, 'NHWC', rate);
  return separableConv2d(x, filters[0]!, filters[1]!, strides, pad, rate);
};

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  check(actual.length === expected.length, `${actual.length} values, not ${expected.length}`);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  check(largest > 0, 'nothing but zeros');
  return Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(actual[i]! - value)), 0) / largest;
}

async function dataOf(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  const data = await Promise.all(tensors.map((one) => one.data<'float32'>()));
  tf.dispose([...tensors]);
  return data;
}

const randomTensor = (shape: Shape, next: () => number): tf.Tensor4D =>
  tf.tensor4d(randomData(shape.reduce((a, b) => a * b), next), shape);

/** The largest errors of each order, before kernels are ready and after. Nothing leaks. */
export async function checkOrders(seed: number): Promise<WithoutAndWith> {
  const next = random(seed);
  const errors: WithoutAndWith = { before: [0, 0, 0], after: [0, 0, 0] };
  for (const one of cases) {
    const { x, depthwise, O } = one;
    const channels = depthwise ? depthwise[2] * depthwise[3] : x[3];
    const shapes: Shape[] = [x, ...(depthwise ? [depthwise] : []), ...(O ? [[1, 1, channels, O] as Shape] : [])];
    const tensors = shapes.map((shape) => randomTensor(shape, next));
    const count = tf.memory().numTensors;
    const of = (operation: Operation, order: number) => dataOf(derivatives(operation, order, tensors));
    const expected = [await of(inMatrices(one), 1), await of(inMatrices(one), 2), await of(inMatrices(one), 3)];
    const passes = encoded;
    // All orders before the first wait, in which kernels may get ready.
    const results = expected.map((_, i) => derivatives(ours(one), i + 1, tensors));
    check(encoded === passes, 'kernels were there before they were compiled');
    const before = await Promise.all(results.map(dataOf));
    await ready();
    const after = [await of(ours(one), 1), await of(ours(one), 2), await of(ours(one), 3)];
    check(encoded > passes, 'tfjs computed it after kernels were compiled');
    for (const [order, gradients] of expected.entries()) {
      for (const [i, gradient] of gradients.entries()) {
        errors.before[order] = Math.max(errors.before[order]!, relativeError(before[order]![i]!, gradient));
        errors.after[order] = Math.max(errors.after[order]!, relativeError(after[order]![i]!, gradient));
      }
    }
    check(tf.memory().numTensors === count, `${tf.memory().numTensors - count} tensors were left`);
    tf.dispose(tensors);
  }
  return errors;
}

/** Gradients of an empty batch are there, of the first and the second order. */
export async function checkEmptyGradients(): Promise<void> {
  const tensors = [tf.zeros([0, 3, 3, 2]), tf.ones([2, 2, 2, 1]), tf.ones([1, 1, 2, 3])] as Filters;
  const dy = tf.zeros([0, 3, 3, 3]);
  const first = (args: tf.Tensor[]) => tf.grads((...all) => separableConv2d(...(all as Filters), 1, 'same'))(args, dy);
  const ofFilters = (...all: tf.Tensor[]) => { // tfjs sums no empty tensors.
    const [, depthwise, pointwise] = first(all);
    return tf.add(tf.sum(depthwise!), tf.sum(pointwise!));
  };
  const second = (args: tf.Tensor[]) => tf.grads(ofFilters)(args);
  for (const gradients of [first, second]) {
    const results = gradients(tensors);
    const shapes = results.map(({ shape }) => String(shape)).join(' ');
    check(shapes === '0,3,3,2 2,2,2,1 1,1,2,3', `gradients of shapes ${shapes}`);
    for (const data of await dataOf(results)) check(data.every((value) => value === 0), `${String(data)}, not zeros`);
  }
  tf.dispose([...tensors, dy]);
}

/** A call outside `tf.tidy` leaves its result, and nothing else, before its kernels are ready and after. */
export async function checkLeaks(): Promise<void> {
  const [depthwise, pointwise] = [tf.ones([2, 1, 3, 1]), tf.ones([1, 1, 3, 2])] as [tf.Tensor4D, tf.Tensor4D];
  const x: tf.Tensor4D = tf.ones([1, 5, 4, 3]);
  const rows = Array.from(Array(5), () => Array.from(Array(4), () => [1, 2, 3]));
  const calls = {
    tensors: () => separableConv2d(x, depthwise, pointwise, 1, 'same'),
    'an array': () => separableConv2d(rows, depthwise, pointwise, 1, 'same'),
    gradients: () => tf.grad((one) => separableConv2d(one as tf.Tensor4D, depthwise, pointwise, 1, 'same'))(x),
    nothing: () => separableConv2d(tf.tidy(() => tf.zeros([0, 5, 4, 3])), depthwise, pointwise, 1, 'same'),
  };
  for (const when of ['before', 'after']) {
    for (const [what, call] of Object.entries(calls)) {
      const count = tf.memory().numTensors;
      const y: tf.Tensor = call();
      const more = tf.memory().numTensors - count - (what === 'nothing' ? 2 : 1); // Of which one is the empty batch.
      check(more === 0, `${more} more tensors by ${what} ${when} kernels are ready`);
      y.dispose();
    }
    const count = tf.memory().numTensors;
    const arrays = [[[[1, 2, 3], [1, 2, 3]]], [[[[1], [1], [1]]]]] as const;
    await Promise.all([prepare, prepareTraining].map((one) => one(...arrays, pointwise, 1, 'same')));
    check(tf.memory().numTensors === count, 'tensors were left by preparing');
    await ready();
  }
  tf.dispose([x, depthwise, pointwise]);
}

const nested = (data: Float32Array, [size, ...rest]: readonly number[], typed = false): unknown => {
  if (rest.length === 0) return typed ? data : [...data];
  const part = data.length / size!;
  return Array.from({ length: size! }, (_, i) => nested(data.subarray(i * part, (i + 1) * part), rest, typed));
};

export type Report = Record<string, { readonly shapes: string[]; readonly errors: number[] }>;

/** Rank 3 and nested arrays: the shapes, and the largest differences from `tf.separableConv2d`, before and after. */
export async function checkOtherArguments(seed: number): Promise<Report> {
  const next = random(seed);
  const [xShape, dShape, pShape]: Shape[] = [[1, 5, 6, 3], [3, 2, 3, 2], [1, 1, 6, 4]];
  const data = [xShape!, dShape!, pShape!].map((shape) => randomData(shape.reduce((a, b) => a * b), next)) as
    [Float32Array, Float32Array, Float32Array];
  const x3 = tf.tensor3d(data[0], [5, 6, 3]);
  const x = tf.tensor4d(data[0], xShape!);
  const [depthwise, pointwise] = [tf.tensor4d(data[1], dShape!), tf.tensor4d(data[2], pShape!)];
  const arrays = (typed: boolean) => {
    const all = [nested(data[0], xShape!, typed), nested(data[1], dShape!, typed), nested(data[2], pShape!, typed)];
    return all as [number[][], number[][], number[][]];
  };
  const calls: Record<string, (operation: typeof tf.separableConv2d) => tf.Tensor> = {
    'rank 3': (operation) => operation(x3, depthwise, pointwise, [2, 2], 'same'),
    'an array of rank 3': (operation) => operation(arrays(false)[0][0]!, depthwise, pointwise, [2, 2], 'same'),
    'an array': (operation) => operation(arrays(false)[0], depthwise, pointwise, [2, 2], 'same'),
    'arrays of filters': (operation) => operation(x, arrays(false)[1], arrays(false)[2], [2, 2], 'same'),
    'typed arrays': (operation) => operation(...arrays(true), [2, 2], 'same'),
    'gradient of rank 3': (operation) =>
      tf.grad((one) => sumOfSquares(operation(one as tf.Tensor3D, depthwise, arrays(false)[2], [2, 2], 'same')))(x3),
  };
  const report: Report = {};
  const theirs = tf.separableConv2d;
  for (const [what, call] of Object.entries(calls)) {
    const expected = call(theirs);
    const [values] = [await expected.data()];
    const shapes = [String(expected.shape)];
    const errors: number[] = [];
    for (let times = 0; times < 2; times++) {
      const y = call(separableConv2d as typeof theirs);
      shapes.push(String(y.shape));
      errors.push(relativeError(await y.data(), values));
      y.dispose();
      await ready();
    }
    expected.dispose();
    report[what] = { shapes, errors };
  }
  const count = encoded;
  await prepare(x3, depthwise, pointwise, [2, 2], 'same');
  separableConv2d(x3, depthwise, pointwise, [2, 2], 'same').dispose();
  check(encoded === count + 1, 'tfjs computed a prepared call of rank 3');
  tf.dispose([x3, x, depthwise, pointwise]);
  return report;
}

/** What wrong arrays and others are told; none is long. */
export function messages(): string[] {
  const [x, depthwise, pointwise]: Filters = [tf.ones([1, 4, 4, 3]), tf.ones([3, 3, 3, 1]), tf.ones([1, 1, 3, 5])];
  const many = Array.from(Array(1000), (_, i) => i);
  const around: unknown[] = [];
  around.push(around); // As deep as one looks.
  const wrong: [x: unknown, depthwise: unknown, pointwise: unknown][] = [
    [many, depthwise, pointwise], [new Float32Array(1000), depthwise, pointwise],
    [new Int32Array(3), depthwise, pointwise], [[[[true]]], depthwise, pointwise], [x, [many, many], pointwise],
    [x, depthwise, tf.ones([3, 5])],
    [[[many, [1]]], depthwise, pointwise], [around, depthwise, pointwise],
    ['x'.repeat(1000), depthwise, pointwise], [null, depthwise, pointwise],
    [{ shape: [1, 4, 4, 3] }, depthwise, pointwise],
  ];
  return wrong.map((args) => {
    try {
      separableConv2d(...(args as Filters), 1, 'same');
      return 'none';
    } catch (error) {
      return String(error);
    }
  });
}

/** Notations that only this library knows mean the same before kernels are ready as after. */
export async function checkNotations(): Promise<string[]> {
  const tensors = [tf.ones([1, 6, 7, 2]), tf.ones([3, 3, 2, 1]), tf.ones([1, 1, 2, 2])] as Filters;
  const all: unknown = [[[1, 2, 2, 1], 'SAME'], [2, 'Valid'], [[1, 1], [[1, 0], [0, 2]]]];
  const results: string[] = [];
  for (const [strides, pad] of all as [[number, number], 'same'][]) {
    for (let times = 0; times < 2; times++) {
      const y = separableConv2d(...tensors, strides, pad);
      results.push(`${String(y.shape)} ${[...await y.data()].reduce((a, b) => a + b)}`);
      y.dispose();
      await ready();
    }
  }
  tf.dispose(tensors);
  return results;
}
