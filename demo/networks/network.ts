import type { Activation, Shape4D, Tensor4D } from 'sepconv-webgpu';
import type { ReferenceOptions } from 'sepconv-webgpu/reference';
import type { Face, PictureSize } from './faces.js';
import type { Weight } from './weights.js';

/** One call of the operation. */
export interface ConvolutionLayer {
  readonly kind: 'convolution';
  readonly name: string;
  /** What the network's designer calls it. */
  readonly label: string;
  /** The layer whose output it reads; default: the one before, or the picture. */
  readonly from?: string;
  readonly depthwiseFilter: Tensor4D;
  readonly pointwiseFilter: Tensor4D;
  readonly options: ReferenceOptions;
}

/** The largest of 2×2 values, padding SAME. */
export interface MaxPoolLayer {
  readonly kind: 'max-pool';
  readonly name: string;
  readonly label: string;
  readonly from?: string;
  readonly stride: number;
}

export type Layer = ConvolutionLayer | MaxPoolLayer;

/** A detector as data: what to do with a picture, layer by layer, and how to read the result. */
export interface Network {
  readonly id: string;
  /** Side of the square that the picture is scaled into, at its top left; the rest is black. */
  readonly inputSize: number;
  /** A colour from 0 to 1 becomes `scale * colour + offset`, for red, green and blue. */
  readonly scale: number;
  readonly offset: readonly [number, number, number];
  readonly layers: readonly Layer[];
  /** The layers whose outputs `decode` reads. */
  readonly heads: readonly string[];
  /** Faces with a score above `threshold`, the best first, boxes in the picture's pixels. */
  readonly decode: (heads: readonly Tensor4D[], size: PictureSize, threshold: number) => Face[];
}

type Options = Partial<ReferenceOptions> & { readonly from?: string };

export function separable(name: string, depthwise: Weight, pointwise: Weight, options: Options = {}): ConvolutionLayer {
  const { from, ...convolution } = options;
  const [KH, KW] = depthwise.shape;
  return {
    kind: 'convolution', name, label: `separable ${KH}×${KW}`, ...(from !== undefined && { from }),
    depthwiseFilter: tensor(depthwise), pointwiseFilter: tensor(pointwise),
    // Networks that narrow are no mistake.
    options: { padding: 'SAME', allowOverparameterized: true, name, ...convolution },
  };
}

/** A 1×1 convolution `[1, 1, C, O]`: the depthwise pass leaves all as it is. */
export function pointwise(name: string, filter: Weight, options: Options = {}): ConvolutionLayer {
  const C = filter.shape[2]!;
  const identity = { shape: [1, 1, C, 1], data: new Float32Array(C).fill(1) };
  return { ...separable(name, identity, filter, options), label: '1×1' };
}

/**
 * A convolution `[KH, KW, C, O]` written exactly as a separable one: the depthwise pass moves each of the KH*KW inputs
 * that an output reads to a channel of its own, where the pointwise pass finds them.
 */
export function full(name: string, { shape, data }: Weight, options: Options = {}): ConvolutionLayer {
  const [KH, KW, C, O] = shape as Shape4D;
  const M = KH * KW;
  const depthwise = new Float32Array(M * C * M);
  const pointwise = new Float32Array(C * M * O);
  for (let tap = 0; tap < M; tap++) {
    for (let c = 0; c < C; c++) {
      depthwise[(tap * C + c) * M + tap] = 1;
      pointwise.set(data.subarray((tap * C + c) * O, (tap * C + c + 1) * O), (c * M + tap) * O);
    }
  }
  const layer = separable(name, { shape: [KH, KW, C, M], data: depthwise }, { shape: [1, 1, C * M, O], data: pointwise }, options);
  return { ...layer, label: `full ${KH}×${KW}` };
}

export function maxPool(name: string, stride: number): MaxPoolLayer {
  return { kind: 'max-pool', name, label: 'max pool 2×2', stride };
}

/** The shape of what a layer makes of an input. */
export function poolShape([N, H, W, C]: Shape4D, stride: number): Shape4D {
  return [N, Math.ceil(H / stride), Math.ceil(W / stride), C];
}

export const LEAKY_RELU: Activation = { leakyRelu: 0.10000000149011612 }; // 0.1 as float32

function tensor({ shape, data }: Weight): Tensor4D {
  return { shape: shape as unknown as Shape4D, data };
}
