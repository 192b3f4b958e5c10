import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { beforeAll, describe, expect, test } from 'vitest';
import { activations, derivatives } from '../src/activations.js';
import { type Activation, derivesFromResult, resolveActivation } from '../src/arguments/activation.js';
import { resolveGeometry, type Tensor4D } from '../src/arguments/geometry.js';
import {
  type ReferenceOptions, separableConv2dGradientsReference, separableConv2dReference,
} from '../src/reference.js';
import { random, randomData } from './random.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
console.log(`reference of the gradients: seed ${seed}`);
const next = random(seed);

type Shape = [number, number, number, number];
const draw = (...shape: Shape): Tensor4D => ({ shape, data: randomData(shape.reduce((a, b) => a * b, 1), next) });
const pick = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

interface Arguments { x: Tensor4D; d: Tensor4D; p: Tensor4D; options: ReferenceOptions }

/** Any geometry: strides that differ, rates, multipliers, all paddings. */
function drawArguments(more: Partial<ReferenceOptions> = {}): Arguments {
  for (;;) {
    const [N, H, W, C, KH, KW, M] = [
      pick(1, 2), pick(1, 8), pick(1, 8), pick(1, 5), pick(1, 4), pick(1, 4), pick(1, 3),
    ];
    const dilated = next() < 0.3;
    const options: ReferenceOptions = {
      ...(dilated ? { rate: [pick(1, 3), pick(1, 3)] } : { strides: [pick(1, 4), pick(1, 4)] }),
      padding: next() < 0.5 ? 'SAME' : [[pick(0, 3), pick(0, 3)], [pick(0, 3), pick(0, 3)]],
      allowOverparameterized: true, ...more,
    };
    const [x, d, p] = [draw(N, H, W, C), draw(KH, KW, C, M), draw(1, 1, C * M, pick(1, 6))];
    try {
      resolveGeometry({ input: x.shape, depthwiseFilter: d.shape, pointwiseFilter: p.shape }, options);
      return { x, d, p, options };
    } catch { // The padding is too small for the kernel: drawn again.
    }
  }
}

const forward = ({ x, d, p, options }: Arguments) => separableConv2dReference(x, d, p, options);

test('linear in each argument: <dy, f(v)> = <gradient, v>, exactly', () => {
  for (let round = 0; round < 150; round++) {
    const args = drawArguments();
    const y = forward(args);
    const dy = draw(...y.shape as Shape);
    const gradients = separableConv2dGradientsReference(dy, args.x, args.d, args.p, args.options);
    for (const [name, gradient] of [
      ['x', gradients.input], ['d', gradients.depthwiseFilter], ['p', gradients.pointwiseFilter],
    ] as const) {
      const v = draw(...args[name].shape as Shape);
      const [along, expected] = [dot(gradient.data, v.data), dot(dy.data, forward({ ...args, [name]: v }).data)];
      // Both are sums in float64 of products in [-1, 1], rounded to float32 once: as many as <dy, y> has terms.
      const terms = dy.data.length * args.d.shape[0] * args.d.shape[1] * args.p.shape[2];
      expect(Math.abs(along - expected), `round ${round}, ${name}, ${JSON.stringify(args.options)}`)
        .toBeLessThanOrEqual(terms * 2 ** -22);
    }
  }
});

test('agrees with the gradients of tfjs where it has them', () => {
  tf.enableProdMode();
  let compared = 0;
  for (let round = 0; round < 60; round++) {
    const strides = pick(1, 3); // tfjs has no gradient for a rate above 1, and one stride for both axes.
    const { x, d, p, options } = drawArguments({ strides, rate: 1, padding: 'SAME' });
    const y = separableConv2dReference(x, d, p, options);
    const dy = draw(...y.shape as Shape);
    const ours = separableConv2dGradientsReference(dy, x, d, p, options);
    const theirs = tf.tidy(() => {
      const of = ({ shape, data }: Tensor4D) => tf.tensor4d(data, [...shape]);
      const gradients = tf.grads((input: tf.Tensor, depthwise: tf.Tensor, pointwise: tf.Tensor) =>
        tf.separableConv2d(input as tf.Tensor4D, depthwise as tf.Tensor4D, pointwise as tf.Tensor4D, strides, 'same'));
      return gradients([of(x), of(d), of(p)], of(dy)).map((gradient) => gradient.dataSync());
    });
    for (const [index, { data }] of [ours.input, ours.depthwiseFilter, ours.pointwiseFilter].entries()) {
      for (const [i, value] of data.entries()) {
        expect(Math.abs(value - theirs[index]![i]!), `round ${round}, gradient ${index}, element ${i}`)
          .toBeLessThan(
            1e-5 * d.shape[0] * d.shape[1] * p.shape[2] * p.shape[3] * Math.max(1, dy.data.length / p.shape[3]));
        compared++;
      }
    }
  }
  expect(compared).toBeGreaterThan(3000);
});

beforeAll(() => tf.setBackend('cpu'));

const kinds: readonly Activation[] = [
  ...(Object.keys(activations) as (keyof typeof activations)[]).filter((kind) => kind !== 'leakyRelu'),
  { leakyRelu: 0.1 }, { leakyRelu: 0 }, { leakyRelu: -0.5 },
];
const title = (activation: Activation) => JSON.stringify(activation);

describe('derivatives of activations against central differences', () => {
  test.each(kinds.map((activation) => [title(activation), activation] as const))('%s', (_, activation) => {
    const resolved = resolveActivation('test', activation);
    const { kind, alpha } = resolved;
    const apply = (x: number) => activations[kind](x, alpha);
    const derivative: (x: number, alpha: number) => number = derivatives[kind];
    for (let i = -400; i <= 400; i++) {
      const x = i / 50 + 0.003; // never at a kink
      const expected = (apply(x + 1e-5) - apply(x - 1e-5)) / 2e-5;
      expect(Math.abs(derivative(derivesFromResult(resolved) ? apply(x) : x, alpha) - expected), `at ${x}`)
        .toBeLessThan(1e-8);
    }
  });
});

describe('biases and activations against central differences', () => {
  // Smooth ones, so that no step crosses a kink; those with kinks share
  // all but their derivative, which is tested above.
  test.each(['sigmoid', 'tanh', 'silu'] as const)('%s', (activation) => {
    const args = drawArguments({ depthwiseActivation: activation, activation, padding: 'SAME' });
    const [K, O] = [args.p.shape[2], args.p.shape[3]];
    const biases = { depthwiseBias: randomData(K, next), bias: randomData(O, next) };
    const options = { ...args.options, ...biases };
    const dy = draw(...forward({ ...args, options }).shape as Shape);
    const gradients = separableConv2dGradientsReference(dy, args.x, args.d, args.p, options);
    const h = 1 / 64; // Results are float32, so that the step is large, and the error of the difference of order h^4.
    const difference = (loss: (sign: number) => number) =>
      (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h);
    const moved = (data: Float32Array, along: Float32Array, by: number) =>
      data.map((value, i) => value + by * along[i]!);
    const check = (
      what: string, data: Float32Array, gradient: Float32Array, f: (changed: Float32Array) => Tensor4D,
    ) => {
      const along = randomData(data.length, next).map((value) => value / Math.sqrt(data.length));
      const expected = difference((by) => dot(dy.data, f(moved(data, along, by)).data));
      expect(Math.abs(dot(gradient, along) - expected), what).toBeLessThan(1e-4 * Math.max(1, dy.data.length));
    };
    for (const [name, gradient] of [
      ['x', gradients.input], ['d', gradients.depthwiseFilter], ['p', gradients.pointwiseFilter],
    ] as const) {
      check(name, args[name].data, gradient.data, (data) =>
        forward({ ...args, options, [name]: { shape: args[name].shape, data } }));
    }
    check('depthwiseBias', biases.depthwiseBias, gradients.depthwiseBias!, (depthwiseBias) =>
      forward({ ...args, options: { ...options, depthwiseBias } }));
    check('bias', biases.bias, gradients.bias!, (bias) => forward({ ...args, options: { ...options, bias } }));
  });
});

test('empty outputs give zeros, absent biases no gradient, and a wrong gradient is refused', () => {
  const [x, d, p] = [draw(1, 2, 5, 2), draw(3, 3, 2, 1), draw(1, 1, 2, 4)];
  const none: Tensor4D = { shape: [1, 0, 3, 4], data: new Float32Array(0) };
  const options = { padding: [[0, 0], [0, 0]] } as const;
  const gradients = separableConv2dGradientsReference(none, x, d, p, options);
  for (const { data } of [gradients.input, gradients.depthwiseFilter, gradients.pointwiseFilter]) {
    expect(data.length).toBeGreaterThan(0);
    expect(data.every((value) => value === 0)).toBe(true);
  }
  expect(Object.keys(gradients)).toEqual(['input', 'depthwiseFilter', 'pointwiseFilter']);
  expect(() => separableConv2dGradientsReference(draw(1, 2, 5, 3), x, d, p, { padding: 'SAME' }))
    .toThrow('outputGradient must be [1, 2, 5, 4], got [1, 2, 5, 3]');
});
