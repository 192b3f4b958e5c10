import { type Activation, type ResolvedActivation, resolveActivation } from './activation.js';
import { isObject, mustBe, show, ValueError } from './errors.js';

/** Extents of a tensor of rank 4, slowest first: non-negative integers. */
export type Shape4D = readonly [number, number, number, number];

/** A dense row-major tensor of rank 4; images are NHWC. */
export interface Tensor4D {
  /** Extents; may be 0. */
  readonly shape: Shape4D;
  /** As many values as the product of the extents. */
  readonly data: Float32Array;
}

/** A tensor as an argument. Its shape may have been kept as `number[]`: that it has rank 4 is checked by the call. */
export interface TensorArgument {
  /** Extents; may be 0. */
  readonly shape: readonly number[];
  /** As many values as the product of the extents. */
  readonly data: Float32Array;
}

/** `Float32Array<ArrayBuffer>`, as `Blob` and `writeBuffer` take it; `Float32Array` before TypeScript 5.7. */
export type ResultArray = ReturnType<Float32ArrayConstructor['of']>;

/** A tensor that was computed. */
export interface ResultTensor extends Tensor4D {
  readonly data: ResultArray;
}

/** What a loss changes by with each argument that there is: tensors of the arguments' shapes. */
export interface ConvolutionGradients {
  /** `[N, H, W, C]` */
  readonly input: ResultTensor;
  /** `[KH, KW, C, M]` */
  readonly depthwiseFilter?: ResultTensor;
  /** `[1, 1, C*M, O]` */
  readonly pointwiseFilter?: ResultTensor;
  /** `[C*M]` */
  readonly depthwiseBias?: ResultArray;
  /** `[O]` */
  readonly bias?: ResultArray;
  /** `[N, OH, OW, O]` */
  readonly residual?: ResultTensor;
  /** `[N, C*M]` */
  readonly inputScale?: ResultArray;
}

/** The same where there are both passes. */
export interface SeparableConv2dGradients extends ConvolutionGradients {
  readonly depthwiseFilter: ResultTensor;
  readonly pointwiseFilter: ResultTensor;
}

/** Along H and along W, or before and after. */
export type Pair = readonly [number, number];

/** `'SAME'` and `'VALID'` in any case, `[[top, bottom], [left, right]]`, or TensorFlow's four pairs in NHWC order. */
export type Padding =
  string | readonly [Pair, Pair] | readonly [Pair, Pair, Pair, Pair] | readonly (readonly number[])[];

/** How tensors are stored on the GPU; sums are float32 in both. */
export type Dtype = 'f32' | 'f16';

/**
 * What defines the operation, beside its tensors; the same on the GPU and in the reference. The types allow any string
 * and any array of numbers, so that options may be kept in variables; each call checks them.
 */
export interface ConvolutionOptions {
  /** Step of the depthwise pass: `number | [sh, sw] | [1, sh, sw, 1]`; default 1. */
  readonly strides?: number | Pair | Shape4D | readonly number[] | undefined;
  /** How many zeros the depthwise pass sees around the input. */
  readonly padding: Padding;
  /** Dilation of the depthwise taps: `number | [rh, rw]`; default 1. More than 1 needs strides of 1. */
  readonly rate?: number | Pair | readonly number[] | undefined;
  /** Appears in GPU debug labels and error messages. */
  readonly name?: string | undefined;
  /** Activation between the two passes; default `'linear'`. */
  readonly depthwiseActivation?: Activation | (string & {}) | undefined;
  /** Activation after the pointwise pass; default `'linear'`. */
  readonly activation?: Activation | (string & {}) | undefined;
  /** Accept `C * M > O`, which TensorFlow refuses; default false. */
  readonly allowOverparameterized?: boolean | undefined;
}

/** Which passes a convolution has: the operation is made of two, and either may be alone. */
export type Passes = 'both' | 'depthwise' | 'pointwise';

/** What a layer may have beside its weights: tensors that come with each run, as its input does. */
export interface Additions {
  /** Whether a tensor of the output's shape is added before the last activation; default false. */
  readonly residual?: boolean | undefined;
  /**
   * Whether the input of the pointwise pass is multiplied by `[N, C*M]` factors, one for each image and channel, as
   * squeeze-and-excite does; default false.
   */
  readonly inputScale?: boolean | undefined;
}

/** The shapes of a convolution's tensors; biases are absent or `[length]`. Only passes that there are have filters. */
export interface Shapes {
  readonly input: readonly number[];
  readonly depthwiseFilter?: readonly number[] | undefined;
  readonly pointwiseFilter?: readonly number[] | undefined;
  readonly depthwiseBias?: readonly number[] | undefined;
  readonly bias?: readonly number[] | undefined;
}

/**
 * A checked convolution: input `[N, H, W, C]`, depthwise filter `[KH, KW, C, M]`, pointwise filter `[1, 1, K, O]` with
 * `K = C*M`, output `[N, OH, OW, O]`; strides `SH SW`, rates `RH RW`; the input is padded by `padTop` rows and
 * `padLeft` columns (what is padded below and to the right is implied by `OH` and `OW`). `O_STRIDE` is `O`, or more
 * where only some of the output channels are computed. Counts are elements. `dtype` is how input, weights and output
 * are stored.
 *
 * A pass that is missing changes nothing: without a pointwise one `O` is `K`, without a depthwise one the filter is 1x1
 * with `M = 1`, and only its strides count. `depthwiseActivation` and `activation` follow the pass of their name.
 */
export interface Geometry {
  readonly passes: Passes;
  readonly N: number; readonly H: number; readonly W: number; readonly C: number;
  readonly KH: number; readonly KW: number; readonly M: number; readonly K: number;
  readonly OH: number; readonly OW: number; readonly O: number;
  readonly O_STRIDE: number;
  readonly SH: number; readonly SW: number; readonly RH: number; readonly RW: number;
  readonly padTop: number; readonly padLeft: number;
  readonly dtype: Dtype;
  readonly depthwiseActivation: ResolvedActivation;
  readonly activation: ResolvedActivation;
  /** Whether a tensor of the output's shape is added before the last activation. */
  readonly residual: boolean;
  /** Whether the pointwise pass multiplies its input by `[N, K]` factors. */
  readonly inputScale: boolean;
}

/** Starts every message: the operation, and the caller's name for it. */
export const operation = (name?: string, passes: Passes = 'both'): string =>
  (name ? `${OPERATIONS[passes]} '${name}'` : OPERATIONS[passes]);

const OPERATIONS = { both: 'separableConv2d', depthwise: 'depthwiseConv2d', pointwise: 'pointwiseConv2d' } as const;

/** The filters of the passes that there are. */
export const FILTERS = {
  both: ['depthwiseFilter', 'pointwiseFilter'], depthwise: ['depthwiseFilter'], pointwise: ['pointwiseFilter'],
} as const;

/** Bytes of one stored number. */
export const elementBytes = (dtype: Dtype): number => (dtype === 'f16' ? 2 : 4);

export const elements = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

export const outputShape = ({ N, OH, OW, O }: Geometry): Shape4D => [N, OH, OW, O];

/** The same convolution with results as they are before activations. */
export function withoutActivations(geometry: Geometry): Geometry {
  const linear = { kind: 'linear', alpha: 0 } as const;
  return { ...geometry, depthwiseActivation: linear, activation: linear };
}

/**
 * Checks shapes and options and works out the output's shape and the padding.
 * @throws ValueError for everything TensorFlow refuses, in TensorFlow's order
 * @see https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/nn/separable_conv2d
 */
export function resolveGeometry(
  shapes: Shapes,
  options: Partial<ConvolutionOptions & Additions> & { readonly dtype?: string | undefined },
  passes: Passes = 'both',
): Geometry {
  const op = operation(options.name, passes);
  const fail = (argument: string, rule: string, got: unknown): never => {
    throw new ValueError(`${op}: ${argument} ${rule}, got ${show(got)}`);
  };
  const filters = FILTERS[passes];
  for (const argument of ['input', ...filters] as const) checkShape(`${op}: ${argument}`, shapes[argument]);
  const [N, H, W, C] = shapes.input as Shape4D;
  const depthwiseFilter = passes === 'pointwise' ? [1, 1, C, 1] as const : shapes.depthwiseFilter as Shape4D;
  const [KH, KW, depthwiseC, M] = depthwiseFilter;
  const K = C * M;
  const pointwiseFilter = passes === 'depthwise' ? [1, 1, K, K] as const : shapes.pointwiseFilter as Shape4D;
  const [one, alsoOne, pointwiseK, O] = pointwiseFilter;
  const kOf = passes === 'both' ? 'C*M' : 'C';
  if (one !== 1 || alsoOne !== 1) fail('pointwiseFilter', `must be [1, 1, ${kOf}, O]`, shapes.pointwiseFilter);
  for (const argument of filters) {
    if (elements(shapes[argument]!) === 0) fail(argument, 'must not be empty', shapes[argument]);
  }
  const allowed = options.allowOverparameterized;
  for (const argument of ['allowOverparameterized', 'residual', 'inputScale'] as const) {
    const flag: unknown = options[argument];
    if (flag !== undefined && typeof flag !== 'boolean') fail(argument, 'must be a boolean', flag);
  }
  const { residual = false, inputScale = false } = options;
  if (inputScale && passes === 'depthwise') {
    fail('inputScale', 'must be false where there is no pointwise pass', inputScale);
  }
  if (passes === 'both' && !allowed && M * C > O) {
    throw new ValueError(`${op}: Refusing to perform an overparameterized separable convolution: channel_multiplier * `
      + `in_channels = ${M} * ${C} = ${M * C} > ${O} = out_channels (allowOverparameterized: true permits it)`);
  }
  if (depthwiseC !== C) {
    fail('depthwiseFilter', `must be [KH, KW, ${C}, M] (C = ${C} input channels)`, shapes.depthwiseFilter);
  }
  if (pointwiseK !== K) {
    const why = passes === 'both' ? `C*M = ${C}*${M}` : `C = ${C} input channels`;
    fail('pointwiseFilter', `must be [1, 1, ${K}, O] (${why})`, shapes.pointwiseFilter);
  }
  if (passes !== 'both') {
    for (const [argument, got] of [
      ['depthwiseBias', shapes.depthwiseBias], ['depthwiseActivation', options.depthwiseActivation],
    ] as const) {
      if (got === undefined) continue;
      fail(argument, 'must be absent where there is one pass, which bias and activation follow', got);
    }
  }
  for (const [argument, shape, channels] of [
    ['depthwiseBias', shapes.depthwiseBias, K], ['bias', shapes.bias, O],
  ] as const) {
    if (shape && (shape.length !== 1 || shape[0] !== channels)) fail(argument, `must be [${channels}]`, shape);
  }

  const [SH, SW] = resolveStrides(op, options.strides);
  const [RH, RW] = resolveRate(op, options.rate);
  if ((RH > 1 || RW > 1) && (SH > 1 || SW > 1)) {
    fail('rate', `must be 1 where strides are not 1 (strides = [${SH}, ${SW}])`, [RH, RW]);
  }
  const padding = resolvePadding(op, passes === 'pointwise' ? options.padding ?? 'SAME' : options.padding);
  if (passes === 'pointwise') {
    if (RH > 1 || RW > 1) fail('rate', 'must be 1 for a pointwise pass alone', [RH, RW]);
    if (typeof padding !== 'string' && padding.flat().some(Boolean)) {
      fail('padding', 'must pad nothing for a pointwise pass alone', options.padding);
    }
  }
  const { dtype = 'f32' } = options;
  if (dtype !== 'f32' && dtype !== 'f16') fail('dtype', "must be 'f32' or 'f16'", dtype);
  const [OH, padTop] = extent(op, padding, 0, H, KH, SH, RH);
  const [OW, padLeft] = extent(op, padding, 1, W, KW, SW, RW);
  checkShape(`${op}: output`, [N, OH, OW, O]);
  checkShape(`${op}: depthwise result`, [N, OH, OW, K]);
  const between = resolveActivation(`${op}: depthwiseActivation`, options.depthwiseActivation);
  const last = resolveActivation(`${op}: activation`, options.activation);
  return {
    passes, N, H, W, C, KH, KW, M, K, OH, OW, O, O_STRIDE: O, SH, SW, RH, RW, padTop, padLeft, dtype: dtype as Dtype,
    depthwiseActivation: passes === 'depthwise' ? last : between, activation: passes === 'depthwise' ? between : last,
    residual, inputScale,
  };
}

/** Checks a tensor by itself: `{ shape, data }` that agree. @throws ValueError */
export function checkTensor(where: string, tensor: unknown): asserts tensor is Tensor4D {
  if (!isObject(tensor) || !('shape' in tensor) || !('data' in tensor)) {
    throw mustBe(where, '{ shape, data }', tensor);
  }
  checkShape(where, tensor.shape);
  checkData(`${where}.data`, tensor.shape, tensor.data);
}

/** Checks a tensor that must have a known shape. @throws ValueError */
export function checkTensorOf(where: string, shape: Shape4D, tensor: unknown, why = ''): asserts tensor is Tensor4D {
  checkTensor(where, tensor);
  if (tensor.shape.some((extent, axis) => extent !== shape[axis])) {
    throw mustBe(where, `${show(shape)}${why}`, tensor.shape);
  }
}

/** Checks that `data` has one float32 for each element of `shape`. @throws ValueError */
export function checkData(where: string, shape: readonly number[], data: unknown): asserts data is Float32Array {
  if (!ArrayBuffer.isView(data) || Object.prototype.toString.call(data) !== '[object Float32Array]') {
    throw mustBe(where, 'a Float32Array', data);
  }
  const { length } = data as Float32Array;
  if (length !== elements(shape)) {
    throw new ValueError(`${where} must have ${elements(shape)} elements for shape ${show(shape)}, got ${length}`);
  }
}

/** Checks a shape of rank 4. @throws ValueError */
export function checkShape(where: string, shape: unknown): asserts shape is Shape4D {
  if (!Array.isArray(shape) || shape.length !== 4) {
    throw new ValueError(`${where} must have a shape of rank 4, got ${show(shape)}`);
  }
  if (!shape.every(isCount) || !Number.isSafeInteger(elements(shape) * 4)) {
    throw new ValueError(`${where} must have non-negative integer dimensions, fewer than 2^51 elements, `
      + `got ${show(shape)}`);
  }
}

type ResolvedPadding = 'SAME' | 'VALID' | readonly [Pair, Pair];

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isPositive = (value: unknown): value is number => isCount(value) && value > 0;

function isPairOf(test: (value: unknown) => value is number, value: unknown): value is Pair {
  return Array.isArray(value) && value.length === 2 && value.every(test);
}

function resolveStrides(op: string, strides: unknown = 1): Pair {
  if (isPositive(strides)) return [strides, strides];
  const inner = Array.isArray(strides) && strides.length === 4 && strides[0] === 1 && strides[3] === 1
    ? strides.slice(1, 3) : strides;
  if (isPairOf(isPositive, inner)) return inner;
  throw mustBe(`${op}: strides`, 'a positive integer, [sh, sw] or [1, sh, sw, 1]', strides);
}

function resolveRate(op: string, rate: unknown = 1): Pair {
  if (isPositive(rate)) return [rate, rate];
  if (isPairOf(isPositive, rate)) return rate;
  throw mustBe(`${op}: rate`, 'a positive integer or [rh, rw]', rate);
}

function resolvePadding(op: string, padding: unknown): ResolvedPadding {
  if (typeof padding === 'string') {
    const upper = padding.toUpperCase();
    if (upper === 'SAME' || upper === 'VALID') return upper;
  }
  if (Array.isArray(padding)) {
    const pairs = padding.filter((pair) => isPairOf(isCount, pair));
    const [first, second, third, last] = pairs;
    if (padding.length === 2 && first && second) return [first, second];
    if (padding.length === 4 && first && second && third && last && [...first, ...last].every((n) => n === 0)) {
      return [second, third];
    }
  }
  throw mustBe(`${op}: padding`, "'SAME', 'VALID', [[top, bottom], [left, right]] or "
    + '[[0, 0], [top, bottom], [left, right], [0, 0]] with non-negative integers', padding);
}

/** Output extent and padding before the input, along one axis. */
function extent(
  op: string, padding: ResolvedPadding, axis: 0 | 1, size: number, k: number, stride: number, rate: number,
): Pair {
  const effective = (k - 1) * rate + 1;
  if (padding === 'SAME') {
    const out = Math.ceil(size / stride);
    return [out, Math.floor(Math.max((out - 1) * stride + effective - size, 0) / 2)];
  }
  const [before, after] = padding === 'VALID' ? [0, 0] : padding[axis];
  const out = Math.floor((size + before + after - effective) / stride) + 1;
  if (out < 0 || (padding === 'VALID' && out === 0) || !Number.isSafeInteger(out)) {
    const side = axis === 0 ? 'height' : 'width';
    throw mustBe(`${op}: input ${side} with its padding`, 'at least the effective kernel '
      + `((k - 1) * rate + 1 = ${effective}) under ${show(padding)} padding`, size + before + after);
  }
  return [out, before];
}
