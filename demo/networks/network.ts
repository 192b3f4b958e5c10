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

/** One call of the operation, or of either of its passes alone; padding SAME. */
export interface SeparableLayer extends AnyLayer {
  readonly kind: 'separable';
  readonly depthwiseFilter?: Tensor4D;
  readonly pointwiseFilter?: Tensor4D;
  readonly options: ReferenceOptions;
  /** The layer whose output is added before the activation. */
  readonly residual?: string;
  /** The layer whose output is multiplied into the pointwise pass's input: a factor for each channel. */
  readonly inputScale?: string;
}

/**
 * What each pixel of a full convolution reads, side by side: `[1, OH, OW, K*K*C]`, filled up to a multiple of 4. A 1×1
 * convolution makes a full one of it, which mixes channels and neighbours at once.
 */
export interface PatchesLayer extends AnyLayer {
  readonly kind: 'patches';
  /** Rows and columns of a patch. */
  readonly size: number;
  readonly padding: 'SAME' | 'VALID';
}

/** The largest of 2×2 values, padding SAME. */
export interface MaxPoolLayer extends AnyLayer {
  readonly kind: 'max-pool';
}

/** The mean of all pixels, `[1, 1, 1, C]` */
export interface MeanLayer extends AnyLayer {
  readonly kind: 'mean';
}

/**
 * Twice as many rows and columns, bilinear, pixels at the centres of their squares. Added are the values of a layer of
 * that size, times a factor for each channel.
 */
export interface UpscaleLayer extends AnyLayer {
  readonly kind: 'upscale';
  readonly from: string;
  readonly skip: string;
  readonly skipScale: string;
}

export type Layer = SeparableLayer | PatchesLayer | MaxPoolLayer | MeanLayer | UpscaleLayer;

/** A network as data: what to do with a picture, layer by layer. */
export interface Network {
  readonly id: string;
  /** Side of the square that the picture is scaled into; red, green, blue. */
  readonly inputSize: number;
  readonly layers: readonly Layer[];
}

/** A network that finds faces, and how to read what it gives. The picture lies at the square's top left. */
export interface FaceNetwork extends Network {
  /** A colour from 0 to 1 becomes `scale * colour + offset`, for red, green and blue; so does black beside it. */
  readonly scale: number;
  readonly offset: readonly [number, number, number];
  /** The layers whose outputs `decode` reads. */
  readonly heads: readonly string[];
  /** Faces with a score above `threshold`, the best first, boxes in the picture's pixels. */
  readonly decode: (heads: readonly Tensor4D[], size: PictureSize, threshold: number) => Face[];
}

/** The other layers that a layer reads. */
type Links = Pick<SeparableLayer, 'from' | 'residual' | 'inputScale'>;

interface SeparableOptions extends Omit<Partial<ReferenceOptions>, keyof Links>, Links {
  readonly stride?: number;
}

/** Networks that narrow are no mistake. */
const NARROWS = { allowOverparameterized: true };

export const separable = (
  name: string, depthwise: Weight, mixing: Weight, options: SeparableOptions = {},
): SeparableLayer => ({
  ...layerOf(name, `separable ${taps(depthwise)}`, { ...options, ...NARROWS }),
  depthwiseFilter: tensor(depthwise), pointwiseFilter: tensor(mixing),
});

export const depthwise = (name: string, filter: Weight, options: SeparableOptions = {}): SeparableLayer =>
  ({ ...layerOf(name, `depthwise ${taps(filter)}`, options), depthwiseFilter: tensor(filter) });

/** A 1×1 convolution `[1, 1, C, O]` */
export const pointwise = (name: string, filter: Weight, options: SeparableOptions = {}): SeparableLayer =>
  ({ ...layerOf(name, '1×1', options), pointwiseFilter: tensor(filter) });

function layerOf(
  name: string, label: string, { from, residual, inputScale, stride = 1, ...options }: SeparableOptions,
): SeparableLayer {
  return {
    kind: 'separable', name, label, stride,
    ...(from !== undefined && { from }), ...(residual !== undefined && { residual }),
    ...(inputScale !== undefined && { inputScale }),
    options: {
      name, strides: stride, padding: 'SAME', residual: residual !== undefined, inputScale: inputScale !== undefined,
      ...options,
    },
  };
}

const taps = ({ shape: [KH, KW] }: Weight): string => `${KH}×${KW}`;

type FullOptions = Omit<SeparableOptions, 'from' | 'padding'> & Partial<Pick<PatchesLayer, 'padding'>>;

/** A full convolution `[K, K, C, O]`, in two layers. */
export function full(
  name: string, { shape: [K, , C, O], data }: Weight,
  { stride = 1, padding = 'SAME', ...options }: FullOptions,
): readonly [PatchesLayer, SeparableLayer] {
  const depth = depthOf(K!, C!);
  const filter = new Float32Array(depth * O!);
  filter.set(data);
  return [
    { kind: 'patches', name: `${name} patches`, label: `patches ${K}×${K}`, stride, padding, size: K! },
    pointwise(name, { shape: [1, 1, depth, O!], data: filter }, options),
  ];
}

const depthOf = (size: number, C: number): number => Math.ceil((size * size * C) / 4) * 4;

export const maxPool = (name: string, stride: number): MaxPoolLayer =>
  ({ kind: 'max-pool', name, label: 'max pool 2×2', stride });

export const mean = (name: string, from: string): MeanLayer => ({ kind: 'mean', name, label: 'mean', stride: 1, from });

export const upscale = (name: string, links: Pick<UpscaleLayer, 'from' | 'skip' | 'skipScale'>): UpscaleLayer =>
  ({ kind: 'upscale', name, label: 'upscale', stride: 1, ...links });

/** The shapes that each layer reads and writes. */
export function layerShapes({ inputSize, layers }: Network): { input: Shape4D; output: Shape4D }[] {
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
  if (layer.kind === 'mean') return [N, 1, 1, C];
  if (layer.kind === 'upscale') return [N, 2 * H, 2 * W, C];
  const taken = layer.kind === 'patches' && layer.padding === 'VALID' ? layer.size - 1 : 0;
  const [OH, OW] = [H, W].map((size) => Math.ceil((size - taken) / layer.stride)) as [number, number];
  if (layer.kind === 'patches') return [N, OH, OW, depthOf(layer.size, C)];
  return [N, OH, OW, (layer.kind === 'separable' && layer.pointwiseFilter?.shape[3]) || C];
}

/** 0.1 as float32 */
export const LEAKY_RELU = { leakyRelu: Math.fround(0.1) };

function tensor({ shape, data }: Weight): Tensor4D {
  return { shape: shape as unknown as Shape4D, data };
}
