import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { resolveGeometry, type Tensor4D } from '../src/arguments/geometry.js';
import {
  depthwise, depthwiseConv2dReference, pointwiseConv2dReference, separableConv2dReference,
} from '../src/reference.js';
import { random, randomData } from './random.js';

beforeAll(() => tf.setBackend('cpu'));

type Shape = [number, number, number, number];
const size = (shape: Shape) => shape.reduce((a, b) => a * b, 1);
/** 1, 2, 3 … times `step`. */
const count = (shape: Shape, step: number): Tensor4D =>
  ({ shape, data: Float32Array.from({ length: size(shape) }, (_, i) => (i + 1) * step) });

describe("TensorFlow's own examples", () => {
  // tensorflow/python/kernel_tests/nn_ops/conv_ops_test.py and
  // depthwise_conv_op_base.py count tensors up in steps of 0.5 or 1.
  test('separable_conv2d, [1,4,4,2] * [2,2,2,3] * [1,1,6,7]', () => {
    const y = separableConv2dReference(
      count([1, 4, 4, 2], 0.5), count([2, 2, 2, 3], 0.5), count([1, 1, 6, 7], 0.5), { padding: 'SAME' });
    expect(y.shape).toEqual([1, 4, 4, 7]);
    expect([...y.data.subarray(0, 7)]).toEqual([6644.5, 6971.5, 7298.5, 7625.5, 7952.5, 8279.5, 8606.5]);
    expect([...y.data.subarray(-7)]).toEqual([2036.25, 2119.5, 2202.75, 2286, 2369.25, 2452.5, 2535.75]);
  });
  test('separable_conv2d with as many channels out as between', () => {
    const y = separableConv2dReference(
      count([1, 4, 4, 2], 0.5), count([2, 2, 2, 3], 0.5), count([1, 1, 6, 6], 0.5), { padding: 'SAME' });
    expect([...y.data.subarray(0, 6)]).toEqual([5742, 6069, 6396, 6723, 7050, 7377]);
    expect([...y.data.subarray(-6)]).toEqual([1757.25, 1840.5, 1923.75, 2007, 2090.25, 2173.5]);
  });
  test('depthwise_conv2d, [1,2,3,2] * [2,2,2,2]', () => {
    const geometry = resolveGeometry(
      { input: [1, 2, 3, 2], depthwiseFilter: [2, 2, 2, 2], pointwiseFilter: [1, 1, 4, 4] }, { padding: 'VALID' });
    const y = depthwise(geometry, count([1, 2, 3, 2], 1).data, count([2, 2, 2, 2], 1).data);
    expect([...y]).toEqual([196, 216, 272, 296, 252, 280, 344, 376]);
  });
});

test('agrees with the CPU backend of tfjs over a sweep', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  console.log(`reference against tfjs: seed ${seed}`);
  const next = random(seed);
  const draw = (shape: Shape): Tensor4D => ({ shape, data: randomData(size(shape), next) });
  const pick = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  let compared = 0;
  for (let round = 0; round < 400; round++) {
    const [N, H, W, C, KH, KW, M] = [
      pick(1, 2), pick(1, 9), pick(1, 9), pick(1, 5), pick(1, 4), pick(1, 4), pick(1, 3),
    ];
    const O = C * M + pick(0, 4);
    const dilated = next() < 0.3;
    // tfjs knows one stride for both axes, and its VALID allows no kernel above the input either.
    const strides = dilated ? 1 : pick(1, 3);
    const rate: [number, number] = dilated ? [pick(1, 3), pick(1, 3)] : [1, 1];
    const padding = next() < 0.5 && (KH - 1) * rate[0] < H && (KW - 1) * rate[1] < W ? 'valid' : 'same';
    const [x, d, p] = [draw([N, H, W, C]), draw([KH, KW, C, M]), draw([1, 1, C * M, O])];
    const ours = separableConv2dReference(x, d, p, { strides, padding, rate });
    const theirs = tf.tidy(() => tf.separableConv2d(
      tf.tensor4d(x.data, [N, H, W, C]), tf.tensor4d(d.data, [KH, KW, C, M]), tf.tensor4d(p.data, [1, 1, C * M, O]),
      strides, padding, rate));
    expect(ours.shape, `round ${round}`).toEqual(theirs.shape);
    const data = theirs.dataSync();
    for (const [i, value] of ours.data.entries()) {
      expect(Math.abs(value - data[i]!), `round ${round}, element ${i}`).toBeLessThan(1e-5 * C * M * KH * KW);
      compared++;
    }
    theirs.dispose();
  }
  expect(compared).toBeGreaterThan(10_000);
});

test('either pass alone agrees with the CPU backend of tfjs', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  console.log(`reference of either pass against tfjs: seed ${seed}`);
  const next = random(seed);
  const draw = (shape: Shape): Tensor4D => ({ shape, data: randomData(size(shape), next) });
  const pick = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  for (let round = 0; round < 100; round++) {
    const [N, H, W, C, KH, KW, M, O] = [
      pick(1, 2), pick(1, 9), pick(1, 9), pick(1, 5), pick(1, 4), pick(1, 4), pick(1, 3), pick(1, 6),
    ];
    const [strides, bias] = [pick(1, 3), next() < 0.5];
    const [x, d, p] = [draw([N, H, W, C]), draw([KH, KW, C, M]), draw([1, 1, C, O])];
    const [dBias, pBias] = [randomData(C * M, next), randomData(O, next)];
    const ours = [
      depthwiseConv2dReference(x, d, { strides, padding: 'SAME', ...(bias && { bias: dBias }) }),
      pointwiseConv2dReference(x, p, { strides, activation: 'relu', ...(bias && { bias: pBias }) }),
    ];
    const theirs = tf.tidy(() => {
      const input = tf.tensor4d(x.data, [N, H, W, C]);
      const [a, b] = [
        tf.depthwiseConv2d(input, tf.tensor4d(d.data, [KH, KW, C, M]), strides, 'same'),
        tf.conv2d(input, tf.tensor4d(p.data, [1, 1, C, O]), strides, 'same'),
      ];
      return [bias ? tf.add(a, dBias) : a, tf.relu(bias ? tf.add(b, pBias) : b)] as const;
    });
    for (const [i, { shape, data }] of ours.entries()) {
      expect(shape, `round ${round}`).toEqual(theirs[i]!.shape);
      const expected = theirs[i]!.dataSync();
      for (const [at, value] of data.entries()) {
        expect(Math.abs(value - expected[at]!), `round ${round}, element ${at}`).toBeLessThan(1e-4);
      }
      theirs[i]!.dispose();
    }
  }
});

describe('beyond what tfjs computes', () => {
  const one = (value: number): Tensor4D => ({ shape: [1, 1, 1, 1], data: Float32Array.of(value) });
  test('strides that differ', () => {
    const y = separableConv2dReference(count([1, 4, 6, 1], 1), one(1), one(1), { padding: 'VALID', strides: [3, 2] });
    expect(y.shape).toEqual([1, 2, 3, 1]);
    expect([...y.data]).toEqual([1, 3, 5, 19, 21, 23]);
  });
  test('biases and activations in their places', () => {
    const options = {
      padding: 'SAME', depthwiseBias: Float32Array.of(-10), depthwiseActivation: 'relu', bias: Float32Array.of(-1),
      activation: { leakyRelu: 0.5 },
    } as const;
    expect([...separableConv2dReference(one(3), one(2), one(4), options).data]).toEqual([-0.5]);
    expect([...separableConv2dReference(one(8), one(2), one(4), options).data]).toEqual([23]);
  });
  test('taps outside are skipped: no Inf or NaN leaks in', () => {
    const y = separableConv2dReference(
      { shape: [1, 1, 2, 1], data: Float32Array.of(1, 2) },
      { shape: [1, 3, 1, 1], data: Float32Array.of(Infinity, 1, 0) }, one(1), { padding: 'SAME' });
    expect([...y.data]).toEqual([1, Infinity]);
  });
  test('empty batch and empty output', () => {
    const d: Tensor4D = { shape: [3, 3, 2, 1], data: new Float32Array(18) };
    const p: Tensor4D = { shape: [1, 1, 2, 4], data: new Float32Array(8) };
    expect(separableConv2dReference({ shape: [0, 5, 5, 2], data: new Float32Array(0) }, d, p, { padding: 'SAME' }))
      .toEqual({ shape: [0, 5, 5, 4], data: new Float32Array(0) });
    expect(separableConv2dReference(
      { shape: [1, 2, 5, 2], data: new Float32Array(20) }, d, p, { padding: [[0, 0], [0, 0]] }).shape)
      .toEqual([1, 0, 3, 4]);
  });
});
