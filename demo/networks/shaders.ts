import type { Shape4D, Tensor4D } from 'sepconv-webgpu';
import type { ReferenceOptions } from 'sepconv-webgpu/reference';
import maxPoolSource from '../shaders/max-pool.wgsl?raw';
import meanSource from '../shaders/mean.wgsl?raw';
import naiveSource from '../shaders/naive.wgsl?raw';
import patchesSource from '../shaders/patches.wgsl?raw';
import pictureSource from '../shaders/picture.wgsl?raw';
import upscaleSource from '../shaders/upscale.wgsl?raw';
import type { Encode, Resources } from '../resources.js';
import type {
  FaceNetwork, Layer, MaxPoolLayer, PatchesLayer, SeparableLayer, UpscaleLayer,
} from './network.js';

/** The demo's own shaders, for what the operation is not, and for what it is compared with. */
const sources = {
  'picture': { code: pictureSource, entryPoint: 'main' },
  'patches-picture': { code: patchesSource, entryPoint: 'ofPicture' },
  'patches-packs': { code: patchesSource, entryPoint: 'ofPacks' },
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
  /** The shape of what it writes, for the next dispatch to read; the last one writes the layer's output. */
  readonly output?: Shape4D;
}

/** Those that some dispatches need. */
export async function compileShaders(resources: Resources, dispatches: readonly Dispatch[]): Promise<Shaders> {
  const wanted = [...new Set(dispatches.map(({ shader }) => shader))];
  return Object.fromEntries(await Promise.all(wanted.map(async (label) => {
    const { code, entryPoint } = sources[label];
    return [label, await resources.pipeline(label, code, entryPoint)] as const;
  })));
}

/** Puts a dispatch's weights on the device and binds its tensors. */
export function bindDispatch(
  resources: Resources, name: string, shaders: Shaders, { shader, params, weights, grid }: Dispatch,
  inputs: readonly GPUBindingResource[], output: GPUBuffer,
): Encode {
  const { UNIFORM, STORAGE } = GPUBufferUsage;
  return resources.dispatch(shaders[shader]!, [
    { buffer: resources.upload(`${name} uniforms`, params, UNIFORM) }, ...inputs,
    ...weights.map((data) => ({ buffer: resources.upload(`${name} weights`, data, STORAGE) })), { buffer: output },
  ], grid);
}

/**
 * What the demo's own shaders do for a layer, one dispatch after the other: a separable layer as one would write it
 * first.
 */
export function dispatchesOf(layer: Layer, input: Shape4D, output: Shape4D): readonly Dispatch[] {
  switch (layer.kind) {
    case 'max-pool': return [maxPoolDispatch(layer, input, output)];
    case 'mean': return meanDispatches(input);
    case 'upscale': return [upscaleDispatch(layer, input)];
    case 'patches': return [patchesDispatch(layer, input, output)];
    case 'separable': return naiveDispatches(layer, input, output);
  }
}

export function pictureDispatch({ inputSize, offset, scale }: FaceNetwork): Dispatch {
  const tiles = Math.ceil(inputSize / 8);
  return { shader: 'picture', params: Float32Array.of(...offset, scale).buffer, weights: [], grid: [tiles, tiles] };
}

function maxPoolDispatch({ stride }: MaxPoolLayer, [, H, W, C]: Shape4D, [, OH, OW]: Shape4D): Dispatch {
  const packs = C / 4;
  const params = Uint32Array.of(H, W, packs, OH, OW, stride, 0, 0).buffer;
  return { shader: 'max-pool', params, weights: [], grid: grid(OH * OW * packs) };
}

/** Sums of runs of pixels, then the sum of these. */
function meanDispatches([, H, W, C]: Shape4D): readonly Dispatch[] {
  const run = Math.ceil(Math.sqrt(H * W));
  const runs = Math.ceil((H * W) / run);
  const dispatch = (pixels: number, length: number, factor: number): Dispatch => {
    const params = new ArrayBuffer(16);
    new Uint32Array(params).set([pixels, C / 4, length]);
    new Float32Array(params).set([factor], 3);
    const results = Math.ceil(pixels / length);
    return { shader: 'mean', params, weights: [], grid: grid(results * (C / 4)), output: [1, 1, results, C] };
  };
  return [dispatch(H * W, run, 1 / (H * W)), dispatch(runs, runs, 1)];
}

function upscaleDispatch({ skip, skipScale }: UpscaleLayer, [, H, W, C]: Shape4D): Dispatch {
  const params = Uint32Array.of(H, W, C / 4, 0).buffer;
  return { shader: 'upscale', params, others: [skip, skipScale], weights: [], grid: grid(H * W * (C / 4)) };
}

/** @throws Error for channels that the shader does not take */
function patchesDispatch(
  { name, size, stride, padding }: PatchesLayer, [, H, W, C]: Shape4D, [, OH, OW, depth]: Shape4D,
): Dispatch {
  const before = (extent: number, out: number) => (padding === 'VALID' ? 0 : paddingBefore(extent, out, size, stride));
  const params = Int32Array.of(H, W, C / 4, size, OH, OW, stride, before(H, OH), before(W, OW), 0, 0, 0).buffer;
  if (C === 3 && size === 3) return { shader: 'patches-picture', params, weights: [], grid: grid(OH * OW) };
  if (C % 4 > 0) throw new Error(`${name}: no shader copies ${size}×${size} pixels of ${C} channels`);
  return { shader: 'patches-packs', params, weights: [], grid: grid(OH * OW * (depth / 4)) };
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
      grid: grid(OH * OW * outputs), output: [1, OH, OW, outputs],
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
