import fc from 'fast-check';
import type { Dtype, Passes } from '../../src/arguments/geometry.js';
import type { PresetName } from '../../src/plan/presets.js';
import type { Case } from '../cases.js';

/**
 * Random geometries that share their kernels' variants, because a software adapter compiles for
 * longer than it runs: they have the filter, strides, activations, and a few channel counts in
 * common, and differ in extents, padding, rate and values.
 */
export interface Family {
  readonly preset: PresetName;
  /** Artificial limits of the device. */
  readonly limits: {
    readonly maxComputeInvocationsPerWorkgroup?: number;
    readonly maxStorageBufferBindingSize?: number;
  };
  readonly cases: readonly Case[];
}

const MOST = 250;
const extent = (most: number) => fc.integer({ min: 1, max: most });
const ACTIVATIONS = [
  'linear', 'relu', 'relu6', 'sigmoid', 'tanh', 'hardSwish', 'silu', 'elu', { leakyRelu: 0.1 },
  { leakyRelu: -3 }, { leakyRelu: 0 },
] as const satisfies NonNullable<Case['activation']>[];

/** `presets` and `dtypes` are what the device has. */
export function families(
  presets: readonly PresetName[], dtypes: readonly Dtype[], software: boolean,
): fc.Arbitrary<Family> {
  const shared = fc.record({
    preset: fc.constantFrom(...presets),
    dtype: fc.constantFrom(...dtypes),
    passes: fc.oneof(
      { weight: 2, arbitrary: fc.constant<Passes>('both') },
      { weight: 1, arbitrary: fc.constantFrom<Passes[]>('depthwise', 'pointwise') }),
    filter: fc.tuple(extent(5), fc.oneof({ weight: 4, arbitrary: extent(5) }, { weight: 1, arbitrary: extent(19) }),
      fc.oneof(fc.constant(1), fc.constantFrom(1, 2, 3, 4, 5, 8))),
    channels: fc.array(
      fc.oneof(extent(8), extent(8).map((packs) => 4 * packs), extent(40)), { minLength: 1, maxLength: 3 }),
    outputs: fc.array(
      fc.oneof(extent(9), extent(12).map((packs) => 4 * packs), extent(70)), { minLength: 1, maxLength: 2 }),
    strides: fc.oneof(fc.constant([1, 1] as const), fc.tuple(extent(4), extent(4))),
    depthwiseActivation: fc.constantFrom<NonNullable<Case['activation']>[]>(...ACTIVATIONS),
    activation: fc.constantFrom<NonNullable<Case['activation']>[]>(...ACTIVATIONS),
    // Software adapters take seconds to compile large workgroups with barriers.
    maxComputeInvocationsPerWorkgroup: software ? fc.constantFrom(16, 8, 1) : fc.constantFrom(256, 128, 16),
    // Bands of many sizes take many variants, so that they are rare.
    maxStorageBufferBindingSize: fc.oneof(
      { weight: 7, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom(2048, 4096, 16384) }),
    residual: fc.constantFrom(false, false, true), inputScale: fc.constantFrom(false, false, true),
    wide: fc.boolean(),
  });
  return fc.noShrink(shared).chain(({
    preset, maxComputeInvocationsPerWorkgroup, maxStorageBufferBindingSize, channels, outputs, wide, filter: drawn,
    depthwiseActivation, inputScale, ...others
  }) => {
    const { passes, strides: [SH, SW], dtype } = others;
    const filter = passes === 'pointwise' ? [1, 1, 1] as const : drawn;
    const [KH, KW, M] = filter;
    const common = {
      ...others, filter, inputScale: inputScale && passes !== 'depthwise',
      ...(passes === 'both' && { depthwiseActivation }),
    };
    const banded = maxStorageBufferBindingSize !== undefined;
    const rate = SH === 1 && SW === 1 && passes !== 'pointwise'
      ? fc.oneof(fc.constant([1, 1] as const), fc.tuple(extent(4), extent(4)))
      : fc.constant([1, 1] as const);
    const most = banded ? 24 : 13;
    const member = fc.record({
      seed: fc.noShrink(fc.nat(2 ** 30)),
      N: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: extent(4) }),
      H: fc.oneof(extent(most), extent(4)), W: fc.oneof(extent(most), extent(4)),
      C: fc.constantFrom(...channels), O: fc.constantFrom(...outputs), rate,
      padding: fc.oneof(fc.constant('SAME' as const), fc.constant('VALID' as const),
        fc.tuple(fc.tuple(fc.nat(9), fc.nat(9)), fc.tuple(fc.nat(9), fc.nat(9)))),
      biases: fc.boolean(),
      exponents: wide ? exponents(dtype) : fc.constant(undefined),
    }).map(({ seed, N, H, W, C, O, rate: [RH, RW], padding, biases, exponents: range }): Case => {
      const one = {
        input: [N, H, W, C] as const, O: passes === 'depthwise' ? C * M : O, ...common, rate: [RH, RW] as const, biases,
        seed,
        ...(range && { exponents: range }),
      };
      const fits = (size: number, pad: readonly [number, number], k: number, r: number) =>
        size + pad[0] + pad[1] >= (k - 1) * r + 1;
      const pads = padding === 'VALID' ? [[0, 0], [0, 0]] as const : padding;
      const possible = typeof pads === 'string'
        || (passes !== 'pointwise' && fits(H, pads[0], KH, RH) && fits(W, pads[1], KW, RW));
      const actual = { ...one, padding: possible ? padding : 'SAME' as const };
      return { name: JSON.stringify(actual), ...actual };
    });
    return fc.record({
      preset: fc.constant(preset),
      limits: fc.constant({ maxComputeInvocationsPerWorkgroup, ...(banded && { maxStorageBufferBindingSize }) }),
      cases: fc.noBias(fc.array(member, { minLength: 1, maxLength: banded ? MOST / 10 : MOST, size: 'max' })),
    });
  });
}

/** Powers of two of which values are drawn, whose products and sums mostly stay finite. */
function exponents(dtype: Dtype): fc.Arbitrary<NonNullable<Case['exponents']>> {
  const [least, most, finite] = dtype === 'f16' ? [-24, 14, 10] : [-149, 118, 118];
  const whole = fc.integer({ min: 0, max: 2 ** 20 }).map((n) => n / 2 ** 20);
  const drawn = fc.noShrink(fc.tuple(whole, whole, whole, whole, fc.nat(40)));
  return drawn.map(([input, depthwise, pointwise, biases, spread]) => {
    const pick = (share: number, highest: number): readonly [number, number] => {
      const high = Math.round(least + share * (Math.max(least, Math.min(most, highest)) - least));
      return [Math.max(least, high - spread), high];
    };
    const x = pick(input, most);
    const d = pick(depthwise, finite - 8 - x[1]);
    const b = pick(biases, finite);
    const p = pick(pointwise, finite - 8 - Math.max(x[1] + d[1] + 8, b[1]));
    return { input: x, depthwiseFilter: d, pointwiseFilter: p, biases: b };
  });
}
