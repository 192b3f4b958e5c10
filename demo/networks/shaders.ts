import type { Shape4D } from 'sepconv-webgpu';
import convolutionSource from '../shaders/convolution.wgsl?raw';
import maxPoolSource from '../shaders/max-pool.wgsl?raw';
import pictureSource from '../shaders/picture.wgsl?raw';
import type { FullLayer, MaxPoolLayer, Network } from './network.js';

/** The demo's own shaders, for what the operation is not. */
const sources = { 'picture': pictureSource, 'convolution': convolutionSource, 'max-pool': maxPoolSource };

export type ShaderName = keyof typeof sources;
export type Shaders = Readonly<Record<ShaderName, GPUComputePipeline>>;

/** One dispatch of such a shader. */
export interface Dispatch {
  readonly shader: ShaderName;
  readonly params: ArrayBuffer;
  /** Weights in the order of their bindings, between the input and the output. */
  readonly weights: readonly Float32Array<ArrayBuffer>[];
  readonly grid: readonly [x: number, y: number];
}

export async function compileShaders(device: GPUDevice): Promise<Shaders> {
  const pipelines = await Promise.all(Object.entries(sources).map(async ([name, code]) => {
    const module = device.createShaderModule({ label: `${name}.wgsl`, code });
    return [name, await device.createComputePipelineAsync({ label: `${name}.wgsl`, layout: 'auto', compute: { module } })] as const;
  }));
  return Object.fromEntries(pipelines) as Record<ShaderName, GPUComputePipeline>;
}

export function pictureDispatch({ inputSize, offset, scale }: Network): Dispatch {
  const tiles = Math.ceil(inputSize / 8);
  return { shader: 'picture', params: Float32Array.of(...offset, scale).buffer, weights: [], grid: [tiles, tiles] };
}

export function maxPoolDispatch({ stride }: MaxPoolLayer, [, H, W, C]: Shape4D, [, OH, OW]: Shape4D): Dispatch {
  const packs = C / 4;
  const params = Uint32Array.of(H, W, packs, OH, OW, stride, 0, 0).buffer;
  return { shader: 'max-pool', params, weights: [], grid: grid(OH * OW * packs) };
}

export function convolutionDispatch(
  { filter: { shape: [K], data }, bias, stride, padding, activation }: FullLayer, [, H, W, C]: Shape4D, [, OH, OW, O]: Shape4D,
): Dispatch {
  const before = (size: number, out: number) => (padding === 'VALID' ? 0 : Math.floor(Math.max((out - 1) * stride + K - size, 0) / 2));
  const params = new ArrayBuffer(48);
  new Int32Array(params).set([H, W, C, K, OH, OW, O, stride, before(H, OH), before(W, OW)]);
  const [ceiling, slope] = activation === 'relu6' ? [6, 0] : [3.4e38, activation.leakyRelu];
  new Float32Array(params).set([ceiling, slope], 10);
  return {
    shader: 'convolution', params, weights: [data as Float32Array<ArrayBuffer>, bias],
    grid: grid(OH * Math.ceil(OW / 8) * (O / 16)),
  };
}

/** Workgroups of 64, over two dimensions where one does not hold them. */
function grid(invocations: number): [number, number] {
  const workgroups = Math.ceil(invocations / 64);
  const y = Math.ceil(workgroups / 65535);
  return [Math.ceil(workgroups / y), y];
}
