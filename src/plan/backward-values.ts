import { type Weight, WEIGHTS } from '../arguments/call.js';
import type { Geometry, Passes } from '../arguments/geometry.js';
import { channelStride } from '../kernels/cuts.js';
import { outputStride, pixelsOf } from '../kernels/gradients.js';
import type { Place } from './steps.js';

/** What the steps of a backward pass read and write: names, sizes, places. */

/** A gradient's name among the targets of `Gradients.encode`. */
export type GradientName =
  | 'inputGradient' | 'depthwiseFilterGradient' | 'pointwiseFilterGradient' | 'depthwiseBiasGradient' | 'biasGradient'
  | 'residualGradient' | 'inputScaleGradient';
export const GRADIENTS: readonly GradientName[] = [
  'inputGradient', 'depthwiseFilterGradient', 'pointwiseFilterGradient', 'depthwiseBiasGradient', 'biasGradient',
  'residualGradient', 'inputScaleGradient',
];

/** The gradients of arguments that a pass alone does not have. */
const ABSENT: Readonly<Record<Passes, readonly GradientName[]>> = {
  both: [], depthwise: ['pointwiseFilterGradient', 'depthwiseBiasGradient'],
  pointwise: ['depthwiseFilterGradient', 'depthwiseBiasGradient'],
};
const absentOf = ({ residual, inputScale }: Geometry, passes: Passes): readonly GradientName[] => [
  ...ABSENT[passes], ...(residual ? [] : ['residualGradient'] as const),
  ...(inputScale ? [] : ['inputScaleGradient'] as const),
];
/** The gradients that there are. */
export const gradientsOf = (geometry: Geometry): readonly GradientName[] =>
  GRADIENTS.filter((name) => !absentOf(geometry, geometry.passes).includes(name));

/**
 * What `encode` is given. The intermediate and the output may be absent: they are then computed again. So may the
 * residual where that needs none.
 */
export const GIVEN = ['outputGradient', 'input', 'intermediate', 'output', 'residual', 'inputScale'] as const;
export type GivenName = (typeof GIVEN)[number];

/** What only the steps use. A `…Sum` goes into an activation; `…Parts` are parts of sums, still to be summed. */
type Temporary =
  | 'depthwiseSum' | 'outputSum' | 'scaledGradient' | 'transposedFilter' | 'product' | 'intermediateGradient'
  | 'biasParts' | 'pointwiseParts' | 'depthwiseBiasParts' | 'depthwiseParts' | 'scaledIntermediate' | 'scaledProduct'
  | 'scaleTerms' | 'scaleParts';

/** The pointwise filter, its transpose, and the output's gradient as textures, for kernels that read textures. */
export type TextureName = 'filterTexture' | 'transposedTexture' | 'gradientTexture';

/**
 * Everything that steps read and write. `zeros` takes the place of a bias, and of what has no elements; `ones` that of
 * a depthwise filter which only gathers pixels.
 */
export type BufferValue = GradientName | GivenName | Weight | Temporary | 'zeros' | 'ones';
export type Value = BufferValue | TextureName | 'nearest';

/** The values that take the place of others where a pass is alone. */
export function aliasesOf({ passes, C, SH, SW, inputScale }: Geometry): Readonly<Partial<Record<Value, Value>>> {
  if (passes === 'both') return {};
  if (passes === 'depthwise') {
    return {
      depthwiseBias: 'bias', intermediate: 'output', depthwiseSum: 'outputSum', product: 'outputGradient',
      depthwiseBiasGradient: 'biasGradient',
    };
  }
  const gathers = SH * SW > 1;
  return {
    depthwiseFilter: 'ones', depthwiseBias: 'zeros',
    ...(!gathers && { [inputScale ? 'scaledProduct' : 'product']: 'inputGradient' }),
    ...(!gathers && C % 4 === 0 && { intermediate: 'input' }),
  };
}

/** Elements of each value; `geometry` is that of both passes, or of a depthwise one. */
export function countsOf(geometry: Geometry, passes: Passes): Record<BufferValue, number> {
  const { N, H, W, C, KH, KW, K, O } = geometry;
  const pointwiseFilter = passes === 'depthwise' ? 0 : K * O;
  const pixels = pixelsOf(geometry);
  const intermediate = pixels * channelStride(geometry);
  return {
    input: N * H * W * C, depthwiseFilter: KH * KW * K, depthwiseBias: K, pointwiseFilter, bias: O,
    inputGradient: N * H * W * C, depthwiseFilterGradient: KH * KW * K, depthwiseBiasGradient: K,
    pointwiseFilterGradient: pointwiseFilter, biasGradient: O, zeros: Math.ceil(Math.max(K, O) / 4) * 4, ones: K,
    intermediate, depthwiseSum: intermediate, output: pixels * O, outputSum: pixels * O, outputGradient: pixels * O,
    scaledGradient: pixels * outputStride(geometry), transposedFilter: pointwiseFilter,
    product: pixels * K, intermediateGradient: pixels * K,
    residual: geometry.residual ? pixels * O : 0, residualGradient: pixels * O,
    inputScale: geometry.inputScale ? N * K : 0, inputScaleGradient: N * K,
    scaledIntermediate: intermediate, scaledProduct: pixels * K, scaleTerms: pixels * K,
    // Set where sums are cut up.
    biasParts: 0, pointwiseParts: 0, depthwiseBiasParts: 0, depthwiseParts: 0, scaleParts: 0,
    ...Object.fromEntries(absentOf(geometry, passes).map((gradient) => [gradient, 0])),
  };
}

/** Where values are. `counts`: elements of each; `textures`: rows and columns. */
export function placesOf(
  counts: Readonly<Record<BufferValue, number>>,
  textures: ReadonlyMap<TextureName, readonly [rows: number, columns: number]>,
): ReadonlyMap<Value, Place> {
  const places = new Map<Value, Place>([['nearest', { kind: 'sampler' }]]);
  for (const [value, count] of Object.entries(counts) as [Value, number][]) {
    places.set(value, { ...placeOf(value), byteLength: count * 4 });
  }
  for (const [value, [rows, columns]] of textures) places.set(value, { kind: 'texture', rows, columns });
  return places;
}

function placeOf(value: Value): { readonly kind: 'caller' | 'scratch' | 'zeros' | 'ones' } | {
  readonly kind: 'weight'; readonly weight: Weight; readonly columns: undefined,
} {
  const weight = WEIGHTS.find((name) => name === value);
  if (weight) return { kind: 'weight', weight, columns: undefined };
  if (value === 'zeros' || value === 'ones') return { kind: value };
  const given = ['outputGradient', 'input', 'residual', 'inputScale', ...GRADIENTS].includes(value);
  return { kind: given ? 'caller' : 'scratch' };
}
