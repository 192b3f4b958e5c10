import { activations, type ResolvedActivation } from './activation.js';
import {
  checkData, checkTensor, type ConvolutionOptions, elements, type Geometry, operation, outputShape,
  resolveGeometry, type Tensor4D,
} from './geometry.js';
import { readOptions, readTensor } from './options.js';

export { ValueError } from './errors.js';
export type { ConvolutionOptions, Tensor4D } from './geometry.js';

/** What `separableConv2dReference` takes beside tensors. */
export interface ReferenceOptions extends ConvolutionOptions {
  /** `[C*M]`, added before `depthwiseActivation`. */
  readonly depthwiseBias?: Float32Array;
  /** `[O]`, added before `activation`. */
  readonly bias?: Float32Array;
}

/**
 * TensorFlow's `separable_conv2d` on the CPU in plain loops, summed in float64: what every kernel is checked against.
 * Input `[N, H, W, C]`, depthwise filter `[KH, KW, C, M]`, pointwise filter `[1, 1, C*M, O]`, result `[N, OH, OW, O]`.
 * @throws ValueError for what TensorFlow refuses
 */
export function separableConv2dReference(
  input: Tensor4D, depthwiseFilter: Tensor4D, pointwiseFilter: Tensor4D, options: ReferenceOptions,
): Tensor4D {
  const checkedOptions = readOptions(options);
  const { depthwiseBias, bias, name } = checkedOptions;
  const op = operation(name);
  const [x, d, p] = Object.entries({ input, depthwiseFilter, pointwiseFilter }).map(([argument, tensor]) => {
    const own = readTensor(`${op}: ${argument}`, tensor);
    checkTensor(`${op}: ${argument}`, own);
    return own;
  }) as [Tensor4D, Tensor4D, Tensor4D];
  for (const [argument, data] of Object.entries({ depthwiseBias, bias })) {
    if (data !== undefined) checkData(`${op}: ${argument}`, [data.length], data);
  }
  const geometry = resolveGeometry({
    input: x.shape, depthwiseFilter: d.shape, pointwiseFilter: p.shape,
    depthwiseBias: depthwiseBias && [depthwiseBias.length], bias: bias && [bias.length],
  }, checkedOptions);
  const intermediate = depthwise(geometry, x.data, d.data, depthwiseBias);
  const output = pointwise(geometry, intermediate, p.data, bias);
  return { shape: outputShape(geometry), data: Float32Array.from(output) };
}

/**
 * The depthwise pass: `[N, H, W, C]` to `[N, OH, OW, C*M]`. Taps outside the input are skipped. Twin of depthwise.wgsl.
 * @internal
 */
export function depthwise(
  geometry: Geometry, input: ArrayLike<number>, filter: ArrayLike<number>, bias?: ArrayLike<number>,
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
          output[((n * OH + oy) * OW + ox) * K + k] = activate(sum);
        }
      }
    }
  }
  return output;
}

/**
 * The pointwise pass: `[N, OH, OW, C*M]` to `[N, OH, OW, O]`. Twin of pointwise.wgsl.
 * @internal
 */
export function pointwise(
  geometry: Geometry, input: ArrayLike<number>, filter: ArrayLike<number>, bias?: ArrayLike<number>,
): Float64Array {
  const { N, OH, OW, K, O } = geometry;
  const activate = activation(geometry.activation);
  const output = new Float64Array(elements([N, OH, OW, O]));
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    for (let o = 0; o < O; o++) {
      let sum = bias?.[o] ?? 0;
      for (let k = 0; k < K; k++) sum += input[pixel * K + k]! * filter[k * O + o]!;
      output[pixel * O + o] = activate(sum);
    }
  }
  return output;
}

const activation = ({ kind, alpha }: ResolvedActivation) => (x: number): number => activations[kind](x, alpha);
