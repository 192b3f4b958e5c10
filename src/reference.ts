import { activations, derivatives } from './activations.js';
import { derivesFromResult, type ResolvedActivation } from './arguments/activation.js';
import { type AdditionTensors, readAdditions } from './arguments/additions.js';
import {
  type Additions, checkData, checkTensor, checkTensorOf, type ConvolutionOptions, elements, FILTERS, type Geometry,
  operation, outputShape, type Passes, resolveGeometry, type ResultTensor, type SeparableConv2dGradients, type Tensor4D,
  type TensorArgument, withoutActivations,
} from './arguments/geometry.js';
import { DESCRIPTOR, readOptions, readTensor } from './arguments/reading.js';

export type { AdditionTensors } from './arguments/additions.js';
export { ValueError } from './arguments/errors.js';
export type {
  Additions, ConvolutionOptions, ResultArray, ResultTensor, SeparableConv2dGradients, Tensor4D, TensorArgument,
} from './arguments/geometry.js';

/** What `separableConv2dReference` takes beside tensors. */
export interface ReferenceOptions extends ConvolutionOptions, Additions {
  /** `[C*M]`, added before `depthwiseActivation`. */
  readonly depthwiseBias?: Float32Array | undefined;
  /** `[O]`, added before `activation`. */
  readonly bias?: Float32Array | undefined;
}

/** What `depthwiseConv2dReference` takes beside tensors. */
export interface DepthwiseReferenceOptions
  extends Pick<ReferenceOptions, 'strides' | 'padding' | 'rate' | 'name' | 'bias' | 'activation' | 'residual'> {}

/** What `pointwiseConv2dReference` takes beside tensors. */
export interface PointwiseReferenceOptions
  extends Partial<DepthwiseReferenceOptions>, Pick<ReferenceOptions, 'inputScale'> {}

/**
 * TensorFlow's `separable_conv2d` on the CPU in plain loops, summed in float64: what every kernel is checked against.
 * Input `[N, H, W, C]`, depthwise filter `[KH, KW, C, M]`, pointwise filter `[1, 1, C*M, O]`, result `[N, OH, OW, O]`.
 * `additions` are those that `options` says there are.
 * @throws ValueError for what TensorFlow refuses
 */
export function separableConv2dReference(
  input: TensorArgument, depthwiseFilter: TensorArgument, pointwiseFilter: TensorArgument, options: ReferenceOptions,
  additions?: AdditionTensors,
): ResultTensor {
  const { geometry, x, d, p, depthwiseBias, bias, others } =
    checked('both', { input, depthwiseFilter, pointwiseFilter }, options, additions);
  const intermediate = depthwise(geometry, x.data, d.data, depthwiseBias);
  return resultOf(geometry, pointwise(geometry, intermediate, p.data, bias, others));
}

/**
 * TensorFlow's `depthwise_conv2d` in the same way. Input `[N, H, W, C]`, filter `[KH, KW, C, M]`, result
 * `[N, OH, OW, C*M]`.
 * @throws ValueError for what TensorFlow refuses
 */
export function depthwiseConv2dReference(
  input: TensorArgument, depthwiseFilter: TensorArgument, options: DepthwiseReferenceOptions,
  additions?: AdditionTensors,
): ResultTensor {
  const { geometry, x, d, bias, others } = checked('depthwise', { input, depthwiseFilter }, options, additions);
  return resultOf(geometry, depthwise(geometry, x.data, d.data, bias, others.residual));
}

/**
 * TensorFlow's `conv2d` with a 1x1 filter in the same way. Input `[N, H, W, C]`, filter `[1, 1, C, O]`, result
 * `[N, OH, OW, O]`.
 * @throws ValueError for what TensorFlow refuses
 */
export function pointwiseConv2dReference(
  input: TensorArgument, pointwiseFilter: TensorArgument, options: PointwiseReferenceOptions = {},
  additions?: AdditionTensors,
): ResultTensor {
  const { geometry, x, p, bias, others } = checked('pointwise', { input, pointwiseFilter }, options, additions);
  return resultOf(geometry, pointwise(geometry, x.data, p.data, bias, others));
}

const resultOf = (geometry: Geometry, output: Float64Array): ResultTensor =>
  ({ shape: outputShape(geometry), data: Float32Array.from(output) });

/**
 * The gradients of a loss with respect to every argument of `separableConv2dReference`, from its gradient with respect
 * to the output, `[N, OH, OW, O]`; on the CPU, summed in float64.
 * @throws ValueError for what TensorFlow refuses, and unless `outputGradient` has the output's shape
 */
export function separableConv2dGradientsReference(
  outputGradient: TensorArgument, input: TensorArgument, depthwiseFilter: TensorArgument,
  pointwiseFilter: TensorArgument, options: ReferenceOptions, additions?: AdditionTensors,
): SeparableConv2dGradients {
  const { geometry, x, d, p, depthwiseBias, bias, op, others } =
    checked('both', { input, depthwiseFilter, pointwiseFilter }, options, additions);
  const dy = readTensor(`${op}: outputGradient`, outputGradient);
  checkTensorOf(`${op}: outputGradient`, outputShape(geometry), dy);
  const { depthwiseActivation, activation } = geometry;
  const forward = (pass: Geometry) => depthwise(pass, x.data, d.data, depthwiseBias);
  const intermediate = forward(geometry);
  const between = derivesFromResult(depthwiseActivation) ? intermediate : forward(withoutActivations(geometry));
  const last = derivesFromResult(activation) ? geometry : withoutActivations(geometry);
  const output = pointwise(last, intermediate, p.data, bias, others);

  const { inputScale } = others;
  const scaled = activationGradient(activation, dy.data, output);
  const product = pointwiseInputGradient(geometry, scaled, p.data);
  const before = inputScale ? timesScale(geometry, product, inputScale) : product;
  const intermediateGradient = activationGradient(depthwiseActivation, before, between);
  const multiplied = inputScale ? timesScale(geometry, intermediate, inputScale) : intermediate;
  const { K, O } = geometry;
  const tensor = ({ shape }: Tensor4D, data: Float64Array): ResultTensor => ({ shape, data: Float32Array.from(data) });
  return {
    input: tensor(x, depthwiseInputGradient(geometry, intermediateGradient, d.data)),
    depthwiseFilter: tensor(d, depthwiseFilterGradient(geometry, x.data, intermediateGradient)),
    pointwiseFilter: tensor(p, pointwiseFilterGradient(geometry, multiplied, scaled)),
    ...(depthwiseBias && { depthwiseBias: Float32Array.from(channelSums(intermediateGradient, K)) }),
    ...(bias && { bias: Float32Array.from(channelSums(scaled, O)) }),
    ...(geometry.residual && { residual: { shape: outputShape(geometry), data: Float32Array.from(scaled) } }),
    ...(inputScale && {
      inputScale: Float32Array.from(inputScaleGradient(geometry, product, intermediate)),
    }),
  };
}

/**
 * `[N, OH, OW, C*M]` times factors `[N, C*M]`.
 * @internal
 */
export const timesScale = (
  { OH, OW, K }: Geometry, values: ArrayLike<number>, scale: ArrayLike<number>,
): Float64Array =>
  Float64Array.from(values, (value, i) => value * scale[Math.floor(i / (OH * OW * K)) * K + i % K]!);

/**
 * `[N, C*M]`: what is multiplied by a factor, times the gradient behind it, summed over the pixels of an image.
 * @internal
 */
export function inputScaleGradient(
  { N, OH, OW, K }: Geometry, product: ArrayLike<number>, intermediate: ArrayLike<number>,
): Float64Array {
  const result = new Float64Array(N * K);
  for (let i = 0; i < product.length; i++) {
    result[Math.floor(i / (OH * OW * K)) * K + i % K]! += product[i]! * intermediate[i]!;
  }
  return result;
}

interface Tensors {
  readonly input: TensorArgument;
  readonly depthwiseFilter?: TensorArgument;
  readonly pointwiseFilter?: TensorArgument;
}

/** The caller's arguments, read once and checked; `d` or `p` only where there is such a pass. */
function checked(
  passes: Passes, tensors: Tensors, options: Partial<ReferenceOptions>, additions: AdditionTensors = {},
) {
  // All that a call may be given, so that the two can be compared.
  const own = readOptions(options, [...DESCRIPTOR, 'manager'], operation(undefined, passes));
  const { depthwiseBias, bias, name } = own;
  const op = operation(name, passes);
  const read = (argument: keyof Tensors): Tensor4D => {
    const tensor = readTensor(`${op}: ${argument}`, tensors[argument]!);
    checkTensor(`${op}: ${argument}`, tensor);
    return tensor;
  };
  const x = read('input');
  const filters = Object.fromEntries(FILTERS[passes].map((argument) => [argument, read(argument)]));
  const { depthwiseFilter: d, pointwiseFilter: p } = filters as Readonly<Record<string, Tensor4D>>;
  for (const [argument, data] of Object.entries({ depthwiseBias, bias })) {
    if (data !== undefined) checkData(`${op}: ${argument}`, [(data as Float32Array | null)?.length ?? 0], data);
  }
  const geometry = resolveGeometry({
    input: x.shape, depthwiseFilter: d?.shape, pointwiseFilter: p?.shape,
    depthwiseBias: depthwiseBias && [depthwiseBias.length], bias: bias && [bias.length],
  }, own, passes);
  const others: AdditionData = Object.fromEntries(readAdditions(op, geometry, additions));
  return { geometry, x, d: d!, p: p!, depthwiseBias, bias, op, others };
}

/**
 * The depthwise pass: `[N, H, W, C]` to `[N, OH, OW, C*M]`. Taps outside the input are skipped. Twin of depthwise.wgsl.
 * @internal
 */
export function depthwise(
  geometry: Geometry, input: ArrayLike<number>, filter: ArrayLike<number>, bias?: ArrayLike<number>,
  residual?: ArrayLike<number>,
): Float64Array {
  const { N, H, W, C, KH, KW, M, K, OH, OW, SH, SW, RH, RW, padTop, padLeft } = geometry;
  const activate = activation(geometry.depthwiseActivation);
  const output = new Float64Array(elements([N, OH, OW, K]));
  for (let n = 0; n < N; n++) {
    for (let oy = 0; oy < OH; oy++) {
      for (let ox = 0; ox < OW; ox++) {
        for (let k = 0; k < K; k++) {
          const c = Math.floor(k / M);
          let sum = bias?.[k] ?? 0;
          for (let di = 0; di < KH; di++) {
            const y = oy * SH + di * RH - padTop;
            if (y < 0 || y >= H) continue;
            for (let dj = 0; dj < KW; dj++) {
              const x = ox * SW + dj * RW - padLeft;
              if (x < 0 || x >= W) continue;
              sum += input[((n * H + y) * W + x) * C + c]! * filter[(di * KW + dj) * K + k]!;
            }
          }
          const at = ((n * OH + oy) * OW + ox) * K + k;
          output[at] = activate(sum + (residual?.[at] ?? 0));
        }
      }
    }
  }
  return output;
}

/**
 * The pointwise pass: `[N, OH, OW, C*M]`, or alone `[N, H, W, C]`, to `[N, OH, OW, O]`. Twin of pointwise.wgsl.
 * @internal
 */
export function pointwise(
  geometry: Geometry, input: ArrayLike<number>, filter: ArrayLike<number>, bias?: ArrayLike<number>,
  { residual, inputScale }: AdditionData = {},
): Float64Array {
  const { N, OH, OW, K, O } = geometry;
  const activate = activation(geometry.activation);
  const output = new Float64Array(elements([N, OH, OW, O]));
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    const from = inputPixel(geometry, pixel) * K;
    const scales = Math.floor(pixel / (OH * OW)) * K;
    const to = pixel * O;
    for (let o = 0; o < O; o++) output[to + o] = (bias?.[o] ?? 0) + (residual?.[to + o] ?? 0);
    // Rows of the filter one after the other: 3 times as fast as columns with 1,024 of them.
    for (let k = 0; k < K; k++) {
      const x = input[from + k]! * (inputScale?.[scales + k] ?? 1);
      for (let o = 0; o < O; o++) output[to + o]! += x * filter[k * O + o]!;
    }
    for (let o = 0; o < O; o++) output[to + o] = activate(output[to + o]!);
  }
  return output;
}

/** A residual and the factors of an input, as far as there are any. @internal */
export interface AdditionData {
  /** `[N, OH, OW, O]` */
  readonly residual?: ArrayLike<number> | undefined;
  /** `[N, C*M]` */
  readonly inputScale?: ArrayLike<number> | undefined;
}

/** The pixel of its input that the pointwise pass reads for one of its output: another only with strides of its own. */
function inputPixel({ passes, H, W, OH, OW, SH, SW }: Geometry, pixel: number): number {
  if (passes !== 'pointwise') return pixel;
  const [n, oy, ox] = [Math.floor(pixel / OW / OH), Math.floor(pixel / OW) % OH, pixel % OW];
  return (n * H + oy * SH) * W + ox * SW;
}

/**
 * Takes a gradient back through an activation: multiplies it by the derivative of the activation at `values`. Twin of
 * activation-gradient.wgsl.
 * @internal
 */
export function activationGradient(
  { kind, alpha }: ResolvedActivation, gradient: ArrayLike<number>, values: ArrayLike<number>,
): Float64Array {
  const derivative: (x: number, alpha: number) => number = derivatives[kind];
  return Float64Array.from(gradient, (value, i) => value * derivative(values[i]!, alpha));
}

/**
 * `[N, OH, OW, O]` to `[N, OH, OW, C*M]`: the product with the transposed filter.
 * @internal
 */
export function pointwiseInputGradient(
  { N, OH, OW, K, O }: Geometry, gradient: ArrayLike<number>, filter: ArrayLike<number>,
): Float64Array {
  const result = new Float64Array(N * OH * OW * K);
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    for (let k = 0; k < K; k++) {
      for (let o = 0; o < O; o++) result[pixel * K + k]! += gradient[pixel * O + o]! * filter[k * O + o]!;
    }
  }
  return result;
}

/**
 * `[C*M, O]`. Twin of pointwise-filter-gradient.wgsl with sum.wgsl.
 * @internal
 */
export function pointwiseFilterGradient(
  { N, OH, OW, K, O }: Geometry, intermediate: ArrayLike<number>, gradient: ArrayLike<number>,
): Float64Array {
  const result = new Float64Array(K * O);
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    for (let k = 0; k < K; k++) {
      for (let o = 0; o < O; o++) result[k * O + o]! += intermediate[pixel * K + k]! * gradient[pixel * O + o]!;
    }
  }
  return result;
}

/**
 * `[N, OH, OW, C*M]` to `[N, H, W, C]`. Twin of depthwise-input-gradient.wgsl.
 * @internal
 */
export function depthwiseInputGradient(
  geometry: Geometry, gradient: ArrayLike<number>, filter: ArrayLike<number>,
): Float64Array {
  const { N, H, W, C } = geometry;
  const result = new Float64Array(N * H * W * C);
  eachTap(geometry, (output, tap, input) => (result[input]! += gradient[output]! * filter[tap]!));
  return result;
}

/**
 * `[KH, KW, C, M]`. Twin of depthwise-filter-gradient.wgsl with sum.wgsl.
 * @internal
 */
export function depthwiseFilterGradient(
  geometry: Geometry, input: ArrayLike<number>, gradient: ArrayLike<number>,
): Float64Array {
  const { KH, KW, K } = geometry;
  const result = new Float64Array(KH * KW * K);
  eachTap(geometry, (output, tap, at) => (result[tap]! += gradient[output]! * input[at]!));
  return result;
}

/**
 * Sums over all pixels. Twin of sum.wgsl.
 * @internal
 */
export function channelSums(values: ArrayLike<number>, channels: number): Float64Array {
  const result = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) result[i % channels]! += values[i]!;
  return result;
}

/** Visits every multiplication of the depthwise pass: the indices of its output, filter and input. */
function eachTap(geometry: Geometry, visit: (output: number, tap: number, input: number) => void): void {
  const { N, H, W, C, KH, KW, M, K, OH, OW, SH, SW, RH, RW, padTop, padLeft } = geometry;
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    const [n, oy, ox] = [Math.floor(pixel / OW / OH), Math.floor(pixel / OW) % OH, pixel % OW];
    for (let tap = 0; tap < KH * KW; tap++) {
      const y = oy * SH + Math.floor(tap / KW) * RH - padTop;
      const x = ox * SW + (tap % KW) * RW - padLeft;
      if (y < 0 || y >= H || x < 0 || x >= W) continue;
      for (let k = 0; k < K; k++) visit(pixel * K + k, tap * K + k, ((n * H + y) * W + x) * C + Math.floor(k / M));
    }
  }
}

const activation = ({ kind, alpha }: ResolvedActivation) => (x: number): number => activations[kind](x, alpha);
