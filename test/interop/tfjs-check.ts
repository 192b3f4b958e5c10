import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import type { Tensor4D } from 'sepconv-webgpu';
import { separableConv2dGradientsReference, separableConv2dReference } from 'sepconv-webgpu/reference';
import { prepare, prepareTraining, ready, separableConv2d } from 'sepconv-webgpu/tfjs';
import { swapLayers } from '../../demo/examples/tfjs/swap.js';
import { models, restore, time } from '../../demo/examples/tfjs/tfjs.js';
import { random, randomData } from '../random.js';
import { onCall } from './calls.js';

/** Runs in the page of the example. */

type Filters = [x: tf.Tensor4D, depthwiseFilter: tf.Tensor4D, pointwiseFilter: tf.Tensor4D];
type Shape = [number, number, number, number];
type Options = Parameters<typeof separableConv2d> extends [unknown, unknown, unknown, ...infer Rest] ? Rest : never;
interface Case { readonly x: Shape; readonly depthwise: Shape; readonly O: number; readonly options: Options }

type ModelName = keyof typeof models;

const cases: readonly Case[] = [
  { x: [1, 14, 14, 32], depthwise: [3, 3, 32, 1], O: 64, options: [1, 'same'] },
  { x: [2, 9, 11, 5], depthwise: [3, 3, 5, 2], O: 12, options: [[2, 2], 'same'] },
  { x: [1, 12, 10, 8], depthwise: [5, 3, 8, 1], O: 8, options: [1, 'valid', [2, 3]] },
  { x: [1, 8, 8, 4], depthwise: [3, 3, 4, 1], O: 4, options: [1, 2, 1, 'NHWC'] },
  { x: [1, 8, 9, 3], depthwise: [3, 3, 3, 1], O: 7, options: [2, [[0, 0], [1, 0], [0, 2], [0, 0]]] },
  { x: [1, 7, 7, 16], depthwise: [3, 3, 16, 1], O: 4, options: [1, 'same'] }, // overparameterized, which tfjs permits
];

/** Convolutions of this library that were encoded on this page. */
let encoded = 0;
let backward = 0;
onCall(GPUComputePassEncoder.prototype, 'pushDebugGroup', (label) => {
  if (['separableConv2d', 'depthwiseConv2d', 'conv2d'].includes(label as string)) encoded++;
  if (label === 'separableConv2d gradients') backward++;
});

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  check(actual.length === expected.length, `${actual.length} values, not ${expected.length}`);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(actual[i]! - value)), 0) / largest;
}

export interface Agreement { readonly ours: number; readonly theirs: number }

/** Every case before its kernels are there, by tfjs, and after, by this library: the largest errors. Nothing leaks. */
export async function checkCases(seed: number): Promise<Agreement> {
  const next = random(seed);
  const tensor = (shape: Shape): Tensor4D => ({ shape, data: randomData(shape.reduce((a, b) => a * b), next) });
  const errors = { ours: 0, theirs: 0 };
  const before = tf.memory().numTensors;
  for (const { x, depthwise, O, options } of cases) {
    const [strides, pad, rate = 1] = options;
    const data = [tensor(x), tensor(depthwise), tensor([1, 1, depthwise[2] * depthwise[3], O])] as const;
    const padding = typeof pad === 'number' ? [[pad, pad], [pad, pad]] as const : pad;
    const expected = separableConv2dReference(...data, { strides, padding, rate, allowOverparameterized: true });
    const tensors = data.map((one) => tf.tensor4d(one.data, one.shape as Shape)) as Filters;
    for (const whose of ['theirs', 'ours'] as const) {
      const count = encoded;
      // What tfjs has recorded but not submitted must come first: here x, doubled and halved again.
      const y = tf.tidy(() => separableConv2d(tf.div(tf.mul(tensors[0], 2), 2), tensors[1], tensors[2], ...options));
      check(encoded - count === (whose === 'ours' ? 1 : 0),
        `${whose} ran ${encoded - count} convolutions of this library`);
      check(String(y.shape) === String(expected.shape), `shape ${String(y.shape)}, not ${String(expected.shape)}`);
      errors[whose] = Math.max(errors[whose], relativeError(await y.data(), expected.data));
      y.dispose();
      await ready();
    }
    tf.dispose(tensors);
  }
  check(tf.memory().numTensors === before, `${tf.memory().numTensors - before} tensors were left`);
  return errors;
}

export interface ModelReport extends Agreement { readonly difference: number; readonly layers: number }

/**
 * The model as tfjs runs it and with its layers swapped: the largest difference, and the median milliseconds of both.
 */
export async function checkModel(name: ModelName, seed: number, samples: number): Promise<ModelReport> {
  const model = models[name];
  let undo = restore[name];
  const use = (whose: 'ours' | 'theirs'): void => {
    undo();
    undo = whose === 'ours' ? swapLayers(model) : () => undefined;
  };
  const x = tf.tensor4d(randomData(96 * 96 * 3, random(seed)), [1, 96, 96, 3]);
  const predict = (): Promise<ArrayLike<number>> => {
    const y = model.predict(x) as tf.Tensor;
    return y.data().finally(() => y.dispose());
  };
  use('ours');
  await predict();
  await ready();
  const count = encoded;
  const ours = await predict();
  const swapped = encoded - count;
  use('theirs');
  const difference = relativeError(ours, await predict());
  check(encoded - count === swapped, 'a restored model ran convolutions of this library');
  const times = { ours: [] as number[], theirs: [] as number[] };
  for (let sample = 0; sample < samples; sample++) {
    for (const whose of ['ours', 'theirs'] as const) {
      use(whose);
      times[whose].push(await time(model, x));
    }
  }
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(samples / 2)]!;
  use('ours');
  const predictions = async (): Promise<void> => {
    for (let run = 0; run < 20; run++) (model.predict(x) as tf.Tensor).dispose();
    await predict();
  };
  await predictions(); // tfjs's pool of buffers grows to what so many at a time need.
  const before = memory();
  await predictions();
  check(memory() === before, `after 20 predictions ${memory()}, before ${before}`);
  x.dispose();
  return { difference, layers: swapped, ours: median(times.ours), theirs: median(times.theirs) };
}

const memory = (): string => {
  const memory = tf.memory() as tf.MemoryInfo & { numBytesAllocatedInGPU: number };
  const { numTensors, numDataBuffers, numBytesAllocatedInGPU } = memory;
  return `${numTensors} tensors, ${numDataBuffers} data buffers, ${numBytesAllocatedInGPU} bytes`;
};

const ones = (...shape: Shape): tf.Tensor4D => tf.ones(shape);

/**
 * Gradients before kernels are ready, by tfjs's kernels, and after, by this library's: near those of the reference,
 * also at a rate, for which tfjs has none. Nothing leaks. The largest error.
 */
export async function checkGradients(seed: number): Promise<number> {
  const next = random(seed);
  let largest = 0;
  for (const [strides, rate] of [[2, 1], [1, 1], [1, 2]] as const) {
    const tensors = ([[1, 6, 6, 3], [3, 3, 3, 2], [1, 1, 6, 8]] as Shape[]).map((shape) =>
      tf.tensor4d(randomData(shape.reduce((a, b) => a * b), next), shape)) as Filters;
    const dy = tf.tensor4d(randomData((6 / strides) ** 2 * 8, next), [1, 6 / strides, 6 / strides, 8]);
    const gradients = async (operation: (...args: Filters) => tf.Tensor): Promise<Float32Array[]> => {
      const results = tf.grads((...args) => operation(...(args as Filters)))(tensors, dy);
      const data = await Promise.all(results.map((one) => one.data<'float32'>()));
      tf.dispose(results);
      return data;
    };
    const ours = () => gradients((...args) => separableConv2d(...args, strides, 'same', rate));
    const read = async (one: tf.Tensor4D): Promise<Tensor4D> =>
      ({ shape: one.shape, data: await one.data<'float32'>() });
    const data = [await read(dy), await read(tensors[0]), await read(tensors[1]), await read(tensors[2])] as const;
    const expected = Object.values(separableConv2dGradientsReference(...data, { strides, padding: 'SAME', rate }))
      .map((one) => (one as Tensor4D).data);
    const before = tf.memory().numTensors;
    const compare = (actual: readonly Float32Array[]): void => {
      for (const [i, one] of expected.entries()) largest = Math.max(largest, relativeError(actual[i]!, one));
    };
    const count = backward;
    compare(await ours());
    check(backward === count, 'gradients of this library before they were ready');
    await ready();
    compare(await ours());
    check(backward === count + 1, 'gradients of tfjs when those of this library were ready');
    check(tf.memory().numTensors === before, `${tf.memory().numTensors - before} tensors were left`);
    tf.dispose([...tensors, dy]);
  }
  return largest;
}

/** Training with swapped layers: the losses of both, step by step. */
export async function checkFit(seed: number): Promise<{ readonly ours: number[]; readonly theirs: number[] }> {
  const next = random(seed);
  const xs = tf.tensor4d(randomData(4 * 8 * 8 * 3, next), [4, 8, 8, 3]);
  const ys = tf.tensor2d(randomData(4 * 2, next), [4, 2]);
  const initial = ([[3, 3, 3, 1], [1, 1, 3, 8], [8], [8, 2], [2]] as number[][]).map((shape) =>
    tf.tensor(randomData(shape.reduce((a, b) => a * b), next), shape));
  const losses = async (whose: 'ours' | 'theirs'): Promise<number[]> => {
    const small = sequential({ layers: [
      layers.separableConv2d({ inputShape: [8, 8, 3], filters: 8, kernelSize: 3, padding: 'same', activation: 'relu' }),
      layers.globalAveragePooling2d({}), layers.dense({ units: 2 }),
    ] });
    small.setWeights(initial);
    small.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const undo = whose === 'ours' ? swapLayers(small) : () => undefined;
    if (whose === 'ours') {
      await prepareTraining(xs, initial[0] as tf.Tensor4D, initial[1] as tf.Tensor4D, [1, 1], 'same', [1, 1]);
    }
    const count = backward;
    const { history } = await small.fit(xs, ys, { epochs: 10, batchSize: 4, shuffle: false });
    check(backward - count === (whose === 'ours' ? 10 : 0),
      `${backward - count} backward passes of this library for ${whose}`);
    undo();
    small.dispose();
    return history['loss'] as number[];
  };
  const result = { ours: await losses('ours'), theirs: await losses('theirs') };
  tf.dispose([xs, ys, ...initial]);
  return result;
}

/**
 * A prepared call runs this library's kernels the first time, and makes
 * and copies no buffers once tfjs's pool has them.
 */
export async function checkPrepare(): Promise<void> {
  const tensors: Filters = [ones(1, 5, 5, 3), ones(3, 3, 3, 1), ones(1, 1, 3, 6)];
  await prepare(...tensors, [2, 2], 'same');
  const count = encoded;
  const y = separableConv2d(...tensors, [2, 2], 'same');
  check(encoded === count + 1, 'tfjs computed it');
  check((await y.data())[0] === 12, 'the corner of ones must be 2 * 2 taps by 3 channels');
  y.dispose();
  let moved = 0;
  onCall(GPUDevice.prototype, 'createBuffer', () => moved++);
  onCall(GPUCommandEncoder.prototype, 'copyBufferToBuffer', () => moved++);
  onCall(GPUQueue.prototype, 'writeBuffer', () => moved++);
  separableConv2d(...tensors, [2, 2], 'same').dispose();
  check(encoded === count + 2 && moved === 0, `${moved} buffers were made, copied or written`);
  tf.dispose(tensors);
}

/**
 * Where a shader does not compile, tfjs goes on to compute, and `prepare`
 * and `ready` say why. From then on `ready` rejects.
 */
export async function checkFailure(): Promise<string[]> {
  const [x, depthwise, pointwise] = [ones(1, 5, 5, 3), ones(5, 2, 3, 1), ones(1, 1, 3, 6)];
  let failing = true;
  onCall(GPUDevice.prototype, 'createComputePipelineAsync', () => {
    if (failing) throw new Error('no compiler');
  });
  const promises = [prepare(x, depthwise, pointwise, 1, 'valid'), ready()];
  const messages = await Promise.all(promises.map((promise) => promise.then(() => 'none', String)));
  failing = false;
  const count = encoded;
  const y = separableConv2d(x, depthwise, pointwise, 1, 'valid');
  check((await y.data())[0] === 30 && encoded === count, 'tfjs must compute 10 taps by 3 channels');
  return messages;
}

/** More weights than the adapter keeps: results stay right, also where tfjs gave a buffer to other weights. */
export async function checkManyWeights(): Promise<void> {
  const [x, pointwise] = [ones(1, 2, 2, 4), ones(1, 1, 4, 4)];
  const kept = Array.from({ length: 300 }, (_, i) => tf.fill([1, 1, 4, 1], i) as tf.Tensor4D);
  const value = async (depthwise: tf.Tensor4D): Promise<number> => {
    const y = separableConv2d(x, depthwise, pointwise, 1, 'same');
    const [first] = await y.data();
    y.dispose();
    return first!;
  };
  for (const depthwise of kept) separableConv2d(x, depthwise, pointwise, 1, 'same').dispose();
  await ready();
  const count = encoded;
  check(await value(kept[0]!) === 0 && encoded === count, 'the oldest was still kept');
  check(await value(kept[299]!) === 4 * 299 && encoded === count + 1, 'the newest was not kept');
  tf.dispose(kept);
  for (let i = 0; i < 20; i++) {
    const depthwise = tf.fill([1, 1, 4, 1], i) as tf.Tensor4D; // In a buffer that one of those had.
    check(await value(depthwise) === 4 * i, `weights ${i} in a reused buffer`);
    depthwise.dispose();
  }
  check(encoded > count + 1, 'no buffer was reused');
  const empty = separableConv2d(tf.zeros([0, 2, 2, 4]), ones(1, 1, 4, 1), pointwise, 1, 'same');
  check(String(empty.shape) === '0,2,2,4', `an empty batch gave ${String(empty.shape)}`);
}

/** Name and message of what each wrong call throws. */
export async function errors(): Promise<string[]> {
  const [x, depthwise, pointwise] = [ones(1, 4, 4, 3), ones(3, 3, 3, 1), ones(1, 1, 3, 5)];
  const disposed = ones(1, 4, 4, 3);
  disposed.dispose();
  const messages = [
    () => separableConv2d(tf.ones([4, 3]) as tf.Tensor as tf.Tensor4D, depthwise, pointwise, 1, 'same'),
    () => separableConv2d(tf.cast(x, 'int32'), depthwise, pointwise, 1, 'same'),
    () => separableConv2d(disposed, depthwise, pointwise, 1, 'same'),
    () => separableConv2d(x, depthwise, ones(1, 1, 4, 5), 1, 'same'),
    () => separableConv2d(x, depthwise, pointwise, 2, 'same', 2),
    () => separableConv2d(x, depthwise, pointwise, 1, -1),
    () => separableConv2d(x, depthwise, pointwise, 1, 'same', 1, 'NCHW'),
  ].map(thrown);
  tf.registerBackend('other', () => new tf.KernelBackend());
  await tf.setBackend('other');
  messages.push(thrown(() => separableConv2d(x, depthwise, pointwise, 1, 'same')));
  await tf.setBackend('webgpu');
  return messages;
}

function thrown(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return String(error);
  }
  return 'none';
}
