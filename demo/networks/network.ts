import type { Shape4D, Tensor4D } from 'sepconv-webgpu';
import type { ReferenceOptions } from 'sepconv-webgpu/reference';
import type { Face, PictureSize } from './faces.js';
import type { Weight } from './weights.js';

interface AnyLayer {
  readonly name: string;
  /** What the network's designer calls it. */
  readonly label: string;
  /** The layer whose output it reads; default: the one before, or the picture. */
  readonly from?: string;
  readonly stride: number;
}

/** One call of the operation, padding SAME. */
export interface SeparableLayer extends AnyLayer {
  readonly kind: 'separable';
  readonly depthwiseFilter: Tensor4D;
  readonly pointwiseFilter: Tensor4D;
  readonly options: ReferenceOptions;
}

/** A convolution that mixes channels and neighbours at once, which the operation is not: a shader of the demo's own. */
export interface FullLayer extends AnyLayer {
  readonly kind: 'full';
  /** `[K, K, C, O]`, O a multiple of 16 */
  readonly filter: Tensor4D;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly padding: 'SAME' | 'VALID';
  readonly activation: 'relu6' | { readonly leakyRelu: number };
}

/** The largest of 2×2 values, padding SAME. */
export interface MaxPoolLayer extends AnyLayer {
  readonly kind: 'max-pool';
}

export type Layer = SeparableLayer | FullLayer | MaxPoolLayer;

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

interface SeparableOptions extends Partial<ReferenceOptions> {
  readonly from?: string;
  readonly stride?: number;
}

export function separable(
  name: string, depthwise: Weight, pointwise: Weight, { from, stride = 1, ...extensions }: SeparableOptions = {},
): SeparableLayer {
  const [KH, KW] = depthwise.shape;
  return {
    kind: 'separable', name, label: `separable ${KH}×${KW}`, stride, ...(from !== undefined && { from }),
    depthwiseFilter: tensor(depthwise), pointwiseFilter: tensor(pointwise),
    // Networks that narrow are no mistake.
    options: { name, strides: stride, padding: 'SAME', allowOverparameterized: true, ...extensions },
  };
}

/** A 1×1 convolution `[1, 1, C, O]`: the depthwise pass leaves all as it is. */
export function pointwise(name: string, filter: Weight, options: SeparableOptions = {}): SeparableLayer {
  const C = filter.shape[2]!;
  const identity = { shape: [1, 1, C, 1], data: new Float32Array(C).fill(1) };
  return { ...separable(name, identity, filter, options), label: '1×1' };
}

export function full(
  name: string, filter: Weight, rest: Pick<FullLayer, 'bias' | 'stride' | 'padding' | 'activation'>,
): FullLayer {
  const [KH, KW] = filter.shape;
  return { kind: 'full', name, label: `full ${KH}×${KW}`, filter: tensor(filter), ...rest };
}

export const maxPool = (name: string, stride: number): MaxPoolLayer =>
  ({ kind: 'max-pool', name, label: 'max pool 2×2', stride });

/** The shapes that each layer reads and writes. */
export function layerShapes(
  { inputSize, layers }: Pick<Network, 'inputSize' | 'layers'>,
): { input: Shape4D; output: Shape4D }[] {
  const outputs = new Map<string, Shape4D>();
  let last: Shape4D = [1, inputSize, inputSize, 3];
  return layers.map((layer) => {
    const input = layer.from === undefined ? last : outputs.get(layer.from)!;
    last = outputShape(layer, input);
    outputs.set(layer.name, last);
    return { input, output: last };
  });
}

export function outputShape(layer: Layer, [N, H, W, C]: Shape4D): Shape4D {
  const taken = layer.kind === 'full' && layer.padding === 'VALID' ? layer.filter.shape[0] - 1 : 0;
  const filter = layer.kind === 'full' ? layer.filter : layer.kind === 'separable' ? layer.pointwiseFilter : undefined;
  return [N, Math.ceil((H - taken) / layer.stride), Math.ceil((W - taken) / layer.stride), filter?.shape[3] ?? C];
}

/** 0.1 as float32 */
export const LEAKY_RELU = { leakyRelu: Math.fround(0.1) };

function tensor({ shape, data }: Weight): Tensor4D {
  return { shape: shape as unknown as Shape4D, data };
}
