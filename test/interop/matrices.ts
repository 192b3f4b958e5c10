import * as tf from '@tensorflow/tfjs-core';

export type Operation = (...tensors: tf.Tensor4D[]) => tf.Tensor;
export type Shape = [number, number, number, number];

/** Either pass may be missing. */
export interface Case {
  readonly x: Shape;
  readonly depthwise?: Shape;
  readonly O?: number;
  readonly strides: [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly rate: [number, number];
}

/**
 * The operation as matrix products of tfjs, which have derivatives of every order: first with a constant matrix of 0
 * and 1 that has a row for each tap and pixel of the result, and a 1 where that is in the input.
 */
export function inMatrices({ x: [N, H, W, C], depthwise, O, strides, pad, rate }: Case): Operation {
  const [KH, KW, , M] = depthwise ?? [1, 1, C, 1];
  const [[SH, SW], [RH, RW]] = [strides, rate];
  const axis = (size: number, k: number, stride: number, apart: number): [out: number, before: number] => {
    const effective = (k - 1) * apart + 1;
    const zeros = pad === 'valid' ? 0 : pad;
    if (zeros !== 'same') return [Math.floor((size + 2 * zeros - effective) / stride) + 1, zeros];
    const out = Math.ceil(size / stride);
    return [out, Math.floor(Math.max((out - 1) * stride + effective - size, 0) / 2)];
  };
  const [[OH, top], [OW, left]] = [axis(H, KH, SH, RH), axis(W, KW, SW, RW)];
  const [taps, pixels] = [KH * KW, N * OH * OW];
  const places = new Float32Array(taps * pixels * N * H * W);
  for (let row = 0; row < taps * pixels; row++) {
    const [tap, pixel] = [Math.floor(row / pixels), row % pixels];
    const [n, oh, ow] = [Math.floor(pixel / (OH * OW)), Math.floor(pixel / OW) % OH, pixel % OW];
    const h = oh * SH + Math.floor(tap / KW) * RH - top;
    const w = ow * SW + (tap % KW) * RW - left;
    if (h >= 0 && h < H && w >= 0 && w < W) places[row * N * H * W + (n * H + h) * W + w] = 1;
  }
  return (x, ...filters) => {
    const weights = depthwise ? filters[0]! : tf.ones([1, 1, C, 1]);
    const seen = tf.matMul(tf.tensor2d(places, [taps * pixels, N * H * W]), tf.reshape(x, [N * H * W, C]));
    const products = tf.mul(tf.reshape(seen, [taps, pixels, C, 1]), tf.reshape(weights, [taps, 1, C, M]));
    const between = tf.reshape(tf.sum(products, 0), [pixels, C * M]);
    if (O === undefined) return tf.reshape(between, [N, OH, OW, C * M]);
    return tf.reshape(tf.matMul(between, tf.reshape(filters.at(-1)!, [C * M, O])), [N, OH, OW, O]);
  };
}
