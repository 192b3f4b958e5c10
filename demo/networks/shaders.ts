import type { Shape4D, Tensor4D } from 'sepconv-webgpu';
import type { ReferenceOptions } from 'sepconv-webgpu/reference';
import convolution3x3Source from '../shaders/convolution-3x3.wgsl?raw';
import convolutionSource from '../shaders/convolution.wgsl?raw';
import maxPoolSource from '../shaders/max-pool.wgsl?raw';
import meanSource from '../shaders/mean.wgsl?raw';
import naiveSource from '../shaders/naive.wgsl?raw';
import pictureSource from '../shaders/picture.wgsl?raw';
import upscaleSource from '../shaders/upscale.wgsl?raw';
import type {
  FaceNetwork, FullLayer, Layer, MaxPoolLayer, MeanLayer, SeparableLayer, UpscaleLayer,
} from './network.js';

/** The demo's own shaders, for what the operation is not, and for what it is compared with. */
const sources = {
  'picture': { code: pictureSource, entryPoint: 'main' },
  'convolution': { code: convolutionSource, entryPoint: 'main' },
  'convolution-3x3': { code: convolution3x3Source, entryPoint: 'main' },
  'max-pool': { code: maxPoolSource, entryPoint: 'main' },
  'mean': { code: meanSource, entryPoint: 'main' },
  'upscale': { code: upscaleSource, entryPoint: 'main' },
  'naive-depthwise': { code: naiveSource, entryPoint: 'depthwise' },
  'naive-pointwise': { code: naiveSource, entryPoint: 'pointwise' },
};

export type ShaderName = keyof typeof sources;
export type Shaders = Readonly<Partial<Record<ShaderName, GPUComputePipeline>>>;

/** One dispatch of such a shader. */
export interface Dispatch {
  readonly shader: ShaderName;
  readonly params: ArrayBuffer;
  /** Other layers whose outputs it reads, bound after the input. */
  readonly others?: readonly string[];
  /** Weights in the order of their bindings, between the input and the output. */
  readonly weights: readonly Float32Array<ArrayBuffer>[];
  readonly grid: readonly [x: number, y: number];
}

/** Those that some dispatches need. */
export async function compileShaders(device: GPUDevice, dispatches: readonly Dispatch[]): Promise<Shaders> {
  const wanted = [...new Set(dispatches.map(({ shader }) => shader))];
  return Object.fromEntries(await Promise.all(wanted.map(async (label) => {
    const { code, entryPoint } = sources[label];
    const module = device.createShaderModule({ label, code });
    const compute = { module, entryPoint };
    return [label, await device.createComputePipelineAsync({ label, layout: 'auto', compute })] as const;
  })));
}

/**
 * What the demo's own shaders do for a layer, one dispatch after the other: a separable layer as one would write it
 * first.
 */
export function dispatchesOf(layer: Layer, input: Shape4D, output: Shape4D, shapeOf: ShapeOf): readonly Dispatch[] {
  switch (layer.kind) {
    case 'max-pool': return [maxPoolDispatch(layer, input, output)];
    case 'mean': return [meanDispatch(layer, input, shapeOf)];
    case 'upscale': return [upscaleDispatch(layer, input)];
    case 'full': return [convolutionDispatch(layer, input, output)];
    case 'separable': return naiveDispatches(layer, input, output);
  }
}

type ShapeOf = (layer: string) => Shape4D;

export function pictureDispatch({ inputSize, offset, scale }: FaceNetwork): Dispatch {
  const tiles = Math.ceil(inputSize / 8);
  return { shader: 'picture', params: Float32Array.of(...offset, scale).buffer, weights: [], grid: [tiles, tiles] };
}

function maxPoolDispatch({ stride }: MaxPoolLayer, [, H, W, C]: Shape4D, [, OH, OW]: Shape4D): Dispatch {
  const packs = C / 4;
  const params = Uint32Array.of(H, W, packs, OH, OW, stride, 0, 0).buffer;
  return { shader: 'max-pool', params, weights: [], grid: grid(OH * OW * packs) };
}

function meanDispatch({ from, plus = from }: MeanLayer, [, H, W, C]: Shape4D, shapeOf: ShapeOf): Dispatch {
  const [, plusH, plusW] = shapeOf(plus);
  const plusPixels = plus === from ? 0 : plusH * plusW;
  const params = Uint32Array.of(C / 4, H * W, plusPixels, 0).buffer;
  return { shader: 'mean', params, others: [plus], weights: [], grid: [C / 4, 1] };
}

function upscaleDispatch({ skip, skipScale }: UpscaleLayer, [, H, W, C]: Shape4D): Dispatch {
  const params = Uint32Array.of(H, W, C / 4, 0).buffer;
  return { shader: 'upscale', params, others: [skip, skipScale], weights: [], grid: grid(H * W * (C / 4)) };
}

function convolutionDispatch(
  { filter: { shape: [K], data }, bias, stride, padding, activation }: FullLayer,
  [, H, W, C]: Shape4D, [, OH, OW, O]: Shape4D,
): Dispatch {
  const before = (size: number, out: number) => (padding === 'VALID' ? 0 : paddingBefore(size, out, K, stride));
  const params = new ArrayBuffer(56);
  new Int32Array(params).set([H, W, C, K, OH, OW, O, stride, before(H, OH), before(W, OW)]);
  new Float32Array(params).set(activation === 'hardSwish' ? HARD_SWISH : [...ceilingAndSlope(activation), 0, 1], 10);
  return {
    shader: K === 3 && stride === 1 ? 'convolution-3x3' : 'convolution',
    params, weights: [data as Float32Array<ArrayBuffer>, bias],
    grid: grid(OH * Math.ceil(OW / 8) * (O / 16)),
  };
}

/** One scalar output per invocation; one dispatch for each pass. @throws Error for residuals and factors */
function naiveDispatches(
  { name, depthwiseFilter, pointwiseFilter, options, stride, residual, inputScale }: SeparableLayer,
  [, H, W, C]: Shape4D, [, OH, OW, O]: Shape4D,
): readonly Dispatch[] {
  if (residual !== undefined || inputScale !== undefined) throw new Error(`${name}: the naive shader adds nothing`);
  const [KH, KW,, M] = depthwiseFilter?.shape ?? [1, 1, C, 1];
  const dispatch = (
    shader: ShaderName, outputs: number, filter: Tensor4D,
    bias: ReferenceOptions['bias'], activation: ReferenceOptions['activation'],
  ): Dispatch => {
    const params = new ArrayBuffer(64);
    const [top, left] = [paddingBefore(H, OH, KH, stride), paddingBefore(W, OW, KW, stride)];
    new Int32Array(params).set([H, W, C, M, KH, KW, OH, OW, O, stride, top, left]);
    new Float32Array(params).set(ceilingAndSlope(activation), 12);
    return {
      shader, params, weights: [Float32Array.from(filter.data), Float32Array.from(bias ?? new Float32Array(outputs))],
      grid: grid(OH * OW * outputs),
    };
  };
  const { depthwiseBias, depthwiseActivation, bias, activation } = options;
  if (!pointwiseFilter) return [dispatch('naive-depthwise', C * M, depthwiseFilter!, bias, activation)];
  const pointwise = dispatch('naive-pointwise', O, pointwiseFilter, bias, activation);
  if (!depthwiseFilter) return [pointwise];
  return [dispatch('naive-depthwise', C * M, depthwiseFilter, depthwiseBias, depthwiseActivation), pointwise];
}

/** TensorFlow's padding SAME: what lies before the first row or column. */
const paddingBefore = (size: number, out: number, taps: number, stride: number): number =>
  Math.floor(Math.max((out - 1) * stride + taps - size, 0) / 2);

/** `ceiling`, `slope`, `gate`, `open` of convolution.wgsl. */
const HARD_SWISH = [3.4e38, 1, 1 / 6, 0.5];

/** An activation as `max(min(x, ceiling), slope * x)`. */
function ceilingAndSlope(activation: ReferenceOptions['activation'] = 'linear'): [ceiling: number, slope: number] {
  if (typeof activation === 'object' && 'leakyRelu' in activation) return [3.4e38, activation.leakyRelu];
  if (activation === 'relu6') return [6, 0];
  if (activation === 'linear') return [3.4e38, 1];
  throw new Error(`The demo's own shaders have no activation ${JSON.stringify(activation)}`);
}

/** Workgroups of 64, over two dimensions where one does not hold them. */
function grid(invocations: number): [number, number] {
  const workgroups = Math.ceil(invocations / 64);
  const y = Math.ceil(workgroups / 65535);
  return [Math.ceil(workgroups / y), y];
}
