import { fromFloat16, toFloat16 } from '../src/gpu/float16.js';
import {
  type Dtype, elements, type Geometry, outputShape, type Passes, resolveGeometry,
} from '../src/arguments/geometry.js';
import type { ReferenceOptions } from '../src/reference.js';
import { random, randomData, randomMagnitudes } from './random.js';

/** One convolution to check, as plain data that travels between Node and a page. */
export interface Case extends Omit<ReferenceOptions, 'depthwiseBias' | 'bias'> {
  readonly name: string;
  /** `[N, H, W, C]` */
  readonly input: readonly [number, number, number, number];
  /** `[KH, KW, M]` */
  readonly filter: readonly [number, number, number];
  readonly O: number;
  /** Default: both. Without a pointwise pass O is C*M, without a depthwise one the filter is [1, 1, 1]. */
  readonly passes?: Passes;
  /** Whether both passes have random biases. */
  readonly biases?: boolean;
  readonly dtype?: Dtype;
  /** From which power of two to which the values go; default: between -1 and 1. */
  readonly exponents?: Readonly<
    Record<'input' | 'depthwiseFilter' | 'pointwiseFilter' | 'biases', readonly [number, number]>>;
  /** Of its values, where they are to be the same always. */
  readonly seed?: number;
}

/** A case's geometry and its random tensors. */
export interface Problem {
  readonly geometry: Geometry;
  readonly input: Float32Array;
  readonly depthwiseFilter: Float32Array;
  readonly pointwiseFilter: Float32Array;
  readonly depthwiseBias: Float32Array | undefined;
  readonly bias: Float32Array | undefined;
  readonly residual: Float32Array | undefined;
  readonly inputScale: Float32Array | undefined;
}

const shapesOf = ({ input, filter: [KH, KW, M], O }: Case) =>
  ({ input, depthwiseFilter: [KH, KW, input[3], M], pointwiseFilter: [1, 1, input[3] * M, O] });

export const geometryOf = (one: Case): Geometry =>
  resolveGeometry(shapesOf(one), { allowOverparameterized: true, ...one }, one.passes);

export function problem(one: Case, seed: number): Problem {
  const geometry = geometryOf(one);
  const shapes = shapesOf(one);
  const { passes, N, K, O } = geometry;
  const next = random(seed);
  const draw = (shape: readonly number[], what?: keyof NonNullable<Case['exponents']>) => {
    const within = (exponent: number) => (one.dtype === 'f16' ? Math.max(-24, Math.min(exponent, 14)) : exponent);
    const exponents = what && one.exponents?.[what].map(within) as [number, number] | undefined;
    const values = exponents ? randomMagnitudes(elements(shape), exponents, next) : randomData(elements(shape), next);
    return one.dtype === 'f16' ? fromFloat16(toFloat16(values).buffer, values.length) : values;
  };
  return {
    geometry, input: draw(shapes.input, 'input'),
    depthwiseFilter: passes === 'pointwise' ? new Float32Array(K).fill(1)
      : draw(shapes.depthwiseFilter, 'depthwiseFilter'),
    pointwiseFilter: draw(shapes.pointwiseFilter, 'pointwiseFilter'),
    depthwiseBias: one.biases && passes === 'both' ? draw([K], 'biases') : undefined,
    bias: one.biases ? draw([O], 'biases') : undefined,
    residual: one.residual ? draw(outputShape(geometry), 'biases') : undefined,
    inputScale: one.inputScale ? draw([N, K]) : undefined,
  };
}

/** Cases named by their relation to the kernels' tiles, and the regressions that other implementations had. */
export const cases: readonly Case[] = [
  { name: 'c_eq_tile', input: [1, 8, 8, 4], filter: [3, 3, 1], O: 16, padding: 'SAME' },
  { name: 'c_lt_tile', input: [1, 5, 5, 3], filter: [3, 3, 1], O: 3, padding: 'SAME' },
  { name: 'c_gt_tile', input: [1, 6, 6, 36], filter: [3, 3, 1], O: 72, padding: 'SAME' },
  { name: 'c_one', input: [2, 7, 5, 1], filter: [3, 3, 1], O: 1, padding: 'SAME' },
  { name: 'c_prime', input: [1, 5, 7, 31], filter: [3, 3, 1], O: 37, padding: 'SAME' },
  { name: 'o_div_4_k_not', input: [1, 5, 7, 5], filter: [3, 3, 1], O: 64, padding: 'SAME' },
  { name: 'k_div_4_o_not', input: [1, 5, 7, 8], filter: [3, 3, 1], O: 13, padding: 'VALID' },
  { name: 'o_gt_tile', input: [1, 4, 4, 8], filter: [3, 3, 1], O: 132, padding: 'SAME' },
  { name: 'k_gt_blocks', input: [1, 3, 5, 68], filter: [3, 3, 1],
    O: 20, padding: 'SAME', biases: true, activation: 'relu' },
  { name: 'pixels_lt_tile', input: [1, 2, 1, 8], filter: [3, 3, 1], O: 8, padding: 'SAME' },
  { name: 'pixels_prime', input: [1, 1, 61, 8], filter: [1, 3, 1], O: 8, padding: 'SAME' },
  { name: 'pixel_one', input: [1, 1, 1, 16], filter: [1, 1, 1], O: 16, padding: 'VALID' },
  { name: 'w_gt_tile', input: [1, 3, 37, 4], filter: [3, 3, 1], O: 8, padding: 'SAME' },
  { name: 'multiplier_2', input: [1, 6, 6, 8], filter: [3, 3, 2], O: 24, padding: 'SAME' },
  { name: 'multiplier_3', input: [1, 6, 6, 5], filter: [3, 3, 3], O: 17, padding: 'SAME' },
  { name: 'multiplier_4', input: [1, 6, 6, 3], filter: [3, 3, 4], O: 16, padding: 'SAME' },
  { name: 'multiplier_8', input: [1, 4, 4, 2], filter: [2, 2, 8], O: 16, padding: 'SAME' },
  { name: 'batch_3', input: [3, 5, 6, 8], filter: [3, 3, 1], O: 8, padding: 'SAME', strides: 2 },
  { name: 'kernel_gt_input', input: [1, 3, 2, 4], filter: [7, 5, 1], O: 4, padding: 'SAME' },
  { name: 'kernel_gt_taps', input: [1, 4, 30, 4], filter: [3, 19, 1], O: 4, padding: 'SAME' },
  { name: 'kernel_gt_taps_prime', input: [1, 3, 40, 4], filter: [2, 29, 1], O: 4, padding: 'SAME' },
  { name: 'kernel_tall', input: [1, 30, 3, 3], filter: [21, 1, 1], O: 5, padding: 'VALID' },
  { name: 'kernel_even', input: [1, 7, 7, 4], filter: [2, 4, 1], O: 4, padding: 'SAME' },
  { name: 'kernel_1x1', input: [1, 9, 9, 4], filter: [1, 1, 1], O: 8, padding: 'SAME', strides: 3 },
  { name: 'kernel_lt_stride', input: [1, 11, 10, 4], filter: [2, 1, 1], O: 4, padding: 'SAME', strides: 3 },
  { name: 'stride_gt_input', input: [1, 2, 3, 4], filter: [2, 2, 1], O: 4, padding: 'SAME', strides: [5, 7] },
  { name: 'stride_unequal', input: [1, 9, 10, 8], filter: [3, 3, 1], O: 8, padding: 'SAME', strides: [2, 1] },
  { name: 'stride_unequal_wide', input: [1, 9, 10, 8], filter: [5, 3, 1], O: 8, padding: 'VALID', strides: [1, 3] },
  { name: 'rate_2', input: [1, 9, 11, 8], filter: [3, 3, 1], O: 8, padding: 'SAME', rate: 2 },
  { name: 'rate_unequal', input: [1, 9, 11, 5], filter: [3, 2, 1], O: 8, padding: 'VALID', rate: [3, 4] },
  { name: 'rate_gt_output', input: [1, 5, 5, 8], filter: [3, 3, 1], O: 8, padding: 'SAME', rate: 7 },
  { name: 'rate_4_multiplier_3', input: [2, 13, 9, 3], filter: [3, 3, 3], O: 12, padding: 'SAME', rate: 4 },
  { name: 'padding_explicit', input: [1, 5, 6, 4], filter: [3, 3, 1], O: 4, padding: [[0, 3], [2, 1]], strides: 2 },
  { name: 'padding_gt_kernel', input: [1, 3, 3, 4], filter: [2, 2, 1], O: 4, padding: [[5, 4], [3, 6]], biases: true },
  { name: 'input_empty_padded', input: [1, 0, 3, 4], filter: [2, 2, 1], O: 4, padding: [[2, 1], [0, 0]], biases: true },
  { name: 'biases', input: [1, 5, 5, 6], filter: [3, 3, 1], O: 7, padding: 'SAME', biases: true },
  ...([
    'relu', 'relu6', 'sigmoid', 'tanh', 'hardSwish', 'silu', 'elu', { leakyRelu: 0.1 },
  ] as const).flatMap((activation) =>
    [[8, 1, 8], [5, 3, 7]].map(([C, M, O]): Case => ({
      name: `activation_${typeof activation === 'string' ? activation : 'leakyRelu'}_o${O}`,
      input: [1, 5, 5, C!], filter: [3, 3, M!], O: O!, padding: 'SAME', biases: true,
      depthwiseActivation: activation, activation,
      // Sums on both sides of all bends, of which the farthest is at 6.
      exponents: { input: [-2, 3], depthwiseFilter: [-1, 0], pointwiseFilter: [-1, 0], biases: [-1, 0] },
    }))),
  { name: 'depthwise_activation_nonzero_at_0', input: [1, 4, 4, 5], filter: [3, 3, 1],
    O: 6, padding: 'SAME', depthwiseActivation: 'sigmoid' },
  // A residual, and factors for each channel.
  ...([
    ['c_eq_tile', [1, 8, 8, 4], [3, 3, 1], 16, {}],
    ['c_prime', [2, 5, 7, 31], [3, 3, 1], 37, { biases: true, activation: 'relu6' }],
    ['o_div_4_k_not', [3, 5, 7, 5], [3, 3, 1], 64, { strides: 2, activation: 'silu' }],
    ['k_div_4_o_not', [2, 5, 7, 8], [3, 3, 1], 13, { padding: 'VALID' }],
    ['k_gt_blocks', [2, 3, 5, 68], [3, 3, 1], 20, { biases: true, activation: 'relu' }],
    ['multiplier_4', [2, 6, 6, 3], [3, 3, 4], 16, { rate: 2, depthwiseActivation: 'relu6' }],
    ['pixels_lt_tile', [5, 2, 1, 8], [3, 3, 1], 8, {}],
    ['bands_of_images', [13, 7, 9, 8], [3, 3, 1], 8, { activation: 'relu6' }],
    ['bands_of_rows_and_channels', [2, 40, 5, 64], [3, 3, 1], 72, { biases: true }],
    ['pointwise_c_5', [3, 5, 7, 5], [1, 1, 1], 7, { passes: 'pointwise', biases: true, activation: 'hardSwish' }],
    ['pointwise_c_8_stride_2', [2, 5, 7, 8], [1, 1, 1], 20, { passes: 'pointwise', strides: 2 }],
    ['pointwise_bands_of_rows', [2, 61, 17, 12], [1, 1, 1], 16, { passes: 'pointwise' }],
    ['depthwise_c_8', [2, 7, 6, 8], [3, 3, 1], 8, { passes: 'depthwise', activation: 'relu', biases: true }],
    ['depthwise_c_5_stride_2', [1, 7, 6, 5], [3, 3, 2], 10, { passes: 'depthwise', strides: 2 }],
    ['depthwise_bands_of_rows', [1, 61, 9, 12], [3, 3, 1], 12, { passes: 'depthwise' }],
  ] as const).flatMap(([name, input, filter, O, more], index): Case[] => {
    const one: Omit<Case, 'name'> = { input, filter, O, padding: 'SAME', ...more };
    if (one.passes === 'depthwise') return [{ name: `residual_${name}`, ...one, residual: true }];
    const each: Case[] = [
      { name: `residual_${name}`, ...one, residual: true }, { name: `scale_${name}`, ...one, inputScale: true },
    ];
    const both: Case = { name: `residual_and_scale_${name}`, ...one, residual: true, inputScale: true };
    return [...(index < 3 ? each : []), both];
  }),
  // Either pass alone.
  ...([
    ['c_eq_tile', [1, 8, 8, 4], [3, 3, 1], {}],
    ['c_prime', [2, 5, 7, 31], [3, 3, 1], { strides: 2, biases: true, activation: 'relu6' }],
    ['multiplier_3', [1, 6, 6, 5], [3, 5, 3], { biases: true, activation: 'hardSwish' }],
    ['multiplier_4', [1, 6, 7, 3], [3, 3, 4], { strides: [1, 2] }],
    ['rate_2', [1, 9, 11, 8], [3, 3, 1], { rate: 2, activation: 'silu' }],
    ['padding_gt_kernel', [1, 3, 3, 4], [2, 2, 1], { padding: [[5, 4], [3, 6]], biases: true }],
    ['input_empty_padded', [1, 0, 3, 4], [2, 2, 1], { padding: [[2, 1], [0, 0]], biases: true }],
    ['kernel_gt_taps', [1, 4, 30, 4], [3, 19, 1], {}],
    ['bands_of_rows', [1, 61, 9, 12], [3, 3, 1], { biases: true }],
    ['bands_of_images', [13, 7, 9, 7], [3, 3, 1], { strides: 2 }],
  ] as const).map(([name, input, filter, more]): Case => ({
    name: `depthwise_${name}`, passes: 'depthwise', input, filter, O: input[3] * filter[2], padding: 'SAME', ...more,
  })),
  ...([
    ['c_eq_tile', [1, 8, 8, 4], 16, {}],
    ['c_lt_tile', [1, 5, 5, 3], 3, { biases: true }],
    ['c_prime', [2, 5, 7, 31], 37, { activation: 'relu' }],
    ['c_div_4_o_not', [1, 5, 7, 8], 13, { biases: true, activation: 'silu' }],
    ['o_div_4_c_not', [1, 5, 7, 5], 64, { activation: 'hardSwish' }],
    ['o_gt_tile', [1, 4, 4, 8], 132, {}],
    ['k_gt_blocks', [1, 3, 5, 68], 20, { biases: true, activation: 'relu' }],
    ['pixel_one', [1, 1, 1, 16], 16, { padding: 'VALID' }],
    ['stride_2', [2, 9, 6, 8], 8, { strides: 2, biases: true }],
    ['stride_unequal_c_5', [3, 7, 11, 5], 7, { strides: [2, 3], activation: 'relu6' }],
    ['stride_gt_input', [1, 2, 3, 4], 4, { strides: [5, 7] }],
    ['bands_of_rows', [1, 61, 17, 12], 16, { biases: true }],
    ['bands_of_rows_stride_2', [1, 67, 17, 13], 18, { strides: 2 }],
    ['bands_of_images', [13, 7, 9, 7], 8, { strides: [2, 1] }],
    ['bands_of_channels', [1, 4, 3, 63], 75, { biases: true }],
    ['bands_of_rows_and_channels', [1, 40, 5, 64], 72, {}],
  ] as const).map(([name, input, O, more]): Case => ({
    name: `pointwise_${name}`, passes: 'pointwise', input, filter: [1, 1, 1], O, padding: 'SAME', ...more,
  })),
  // Larger than 16 KiB, for tests with bindings of no more.
  { name: 'bands_of_rows', input: [1, 61, 9, 12], filter: [3, 3, 1], O: 16, padding: 'SAME', biases: true },
  { name: 'bands_of_rows_stride_2', input: [2, 67, 17, 5], filter: [5, 3, 2],
    O: 23, padding: [[3, 4], [1, 0]], strides: [2, 3] },
  { name: 'bands_of_rows_rate_3', input: [1, 40, 11, 16], filter: [3, 2, 1], O: 16, padding: 'SAME', rate: 3 },
  { name: 'bands_of_images', input: [13, 7, 9, 8], filter: [3, 3, 1], O: 8, padding: 'SAME', activation: 'relu6' },
  { name: 'bands_of_channels', input: [1, 4, 3, 63], filter: [3, 3, 1], O: 75, padding: 'SAME', biases: true },
  { name: 'bands_of_rows_and_channels', input: [1, 40, 5, 64], filter: [3, 3, 1], O: 72, padding: 'SAME' },
  // Found by fuzzing.
  { name: 'activation_silu_of_huge_values', input: [1, 4, 5, 8], filter: [2, 2, 1], O: 8, padding: 'SAME',
    depthwiseActivation: 'silu', activation: 'silu',
    exponents: { input: [60, 100], depthwiseFilter: [0, 0], pointwiseFilter: [0, 20], biases: [0, 0] } },
  { name: 'activation_silu_of_large_values', input: [1, 4, 5, 8], filter: [1, 1, 1], O: 8, padding: 'SAME',
    depthwiseActivation: 'silu',
    exponents: { input: [24, 40], depthwiseFilter: [0, 0], pointwiseFilter: [-1, 0], biases: [0, 0] } },
  { name: 'activation_hardSwish_beyond_2^125', input: [1, 4, 5, 8], filter: [1, 1, 1], O: 8, padding: 'SAME',
    depthwiseActivation: 'hardSwish',
    exponents: { input: [125, 126], depthwiseFilter: [-1, -1], pointwiseFilter: [-9, -5], biases: [0, 0] } },
  { name: 'values_subnormal', input: [1, 4, 5, 8], filter: [2, 2, 1], O: 8, padding: 'SAME', biases: true,
    exponents: { input: [-149, -100], depthwiseFilter: [-20, 20], pointwiseFilter: [-20, 20], biases: [-149, -100] } },
  // Large enough for the largest tiles of the software preset.
  { name: 'large', input: [1, 30, 29, 64], filter: [3, 3, 1], O: 160, padding: 'SAME' },
  { name: 'large_c_272', input: [1, 9, 31, 272], filter: [3, 3, 1], O: 96, padding: 'SAME', biases: true },
  { name: 'large_c_63_o_161', input: [1, 29, 31, 63], filter: [3, 3, 1],
    O: 161, padding: 'SAME', biases: true, activation: 'relu' },
  { name: 'large_multiplier_2_stride_2', input: [2, 31, 33, 40], filter: [5, 3, 2],
    O: 200, padding: 'SAME', strides: 2 },
  { name: 'large_depthwise', passes: 'depthwise', input: [1, 57, 59, 144], filter: [5, 5, 1],
    O: 144, padding: 'SAME' },
  { name: 'large_pointwise_c_24_o_144', passes: 'pointwise', input: [1, 57, 59, 24], filter: [1, 1, 1],
    O: 144, padding: 'SAME', biases: true, activation: 'relu6' },
  // Regressions of other implementations.
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33].map((C): Case => ({
    name: `channels_${C} (tfjs #6284, onnxruntime #29651)`, input: [1, 5, 5, C], filter: [3, 3, 1],
    O: C, padding: 'SAME',
  })),
  ...[2, 3].flatMap((strides) => [1, 2, 3, 4, 5, 6, 7].map((k): Case => ({
    name: `same_stride_${strides}_k_${k} (onnxruntime #26734)`, input: [1, 8, 7, 4], filter: [k, k, 1],
    O: 4, padding: 'SAME', strides,
  }))),
  ...[2, 3, 4].map((rate): Case =>
    ({ name: `rate_${rate} (tfjs #6263)`, input: [1, 12, 13, 6], filter: [3, 3, 1], O: 8, padding: 'SAME', rate })),
  { name: '65x65x960_rate_4 (tfjs #5378, #5293)', input: [1, 65, 65, 960], filter: [3, 3, 1],
    O: 8, padding: 'SAME', rate: 4, allowOverparameterized: true },
];

/** Those whose gradients are checked too. Products of three huge values overflow. */
export const gradientCases = cases.filter(({ name }) => !/^large|65x65|huge|beyond|subnormal/.test(name));
