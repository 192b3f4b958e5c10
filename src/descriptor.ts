import { show, ValueError } from './errors.js';
import {
  checkData, checkTensor, type ConvolutionOptions, type Dtype, type Geometry, operation, resolveGeometry,
  type Shape4D, type TensorArgument,
} from './geometry.js';
import type { Strategy } from './plan.js';

/**
 * A filter or bias that is on the GPU already, dense numbers of the `dtype` from `offset` bytes (default 0), in a multiple
 * of 4 bytes. It is read at every run.
 */
export interface GpuTensor<Shape extends readonly number[] = Shape4D> {
  /** Extents, as the argument that it stands for demands. */
  readonly shape: Shape;
  /** Of the manager's device; usage STORAGE. It stays the caller's. */
  readonly buffer: GPUBuffer;
  /** Bytes; a multiple of the device's `minStorageBufferOffsetAlignment`. */
  readonly offset?: number | undefined;
}

/** How a convolution runs on the GPU. */
export interface GpuOptions {
  /** `'auto'` (default) takes what the plan finds faster; `'fused'` runs one kernel, `'two-pass'` two. */
  readonly strategy?: Strategy | (string & {}) | undefined;
  /**
   * How input, weights and output are stored; sums are float32. Default `'f32'`; `'f16'` needs a device with the feature
   * `shader-f16`. What lies between two passes is float32 in both, so that a sum beyond 65,504 stays finite.
   */
  readonly dtype?: Dtype | (string & {}) | undefined;
}

/** One convolution with its weights, for inputs of one shape. */
export interface ConvolutionDescriptor extends ConvolutionOptions, GpuOptions {
  /** `[N, H, W, C]` */
  readonly inputShape: readonly number[];
  /** `[KH, KW, C, M]` */
  readonly depthwiseFilter: TensorArgument | GpuTensor<readonly number[]>;
  /** `[1, 1, C*M, O]` */
  readonly pointwiseFilter: TensorArgument | GpuTensor<readonly number[]>;
  /** `[C*M]` */
  readonly depthwiseBias?: Float32Array | GpuTensor<readonly number[]> | undefined;
  /** `[O]` */
  readonly bias?: Float32Array | GpuTensor<readonly number[]> | undefined;
}

/** The arguments that a convolution keeps from call to call. */
export const WEIGHTS = ['depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias'] as const;
export type Weight = (typeof WEIGHTS)[number];

/** A descriptor whose tensors may be shapes only. */
export interface WarmUpDescriptor extends ConvolutionOptions, GpuOptions {
  /** `[N, H, W, C]` */
  readonly inputShape: readonly number[];
  /** `[KH, KW, C, M]` */
  readonly depthwiseFilter: Pick<TensorArgument, 'shape'>;
  /** `[1, 1, C*M, O]` */
  readonly pointwiseFilter: Pick<TensorArgument, 'shape'>;
}

/** Checks a descriptor that `readOptions` gave, without touching the GPU. @throws ValueError */
export function resolveDescriptor(descriptor: ConvolutionDescriptor): Geometry {
  const op = operation(descriptor.name);
  for (const filter of ['depthwiseFilter', 'pointwiseFilter'] as const) {
    const tensor: unknown = descriptor[filter];
    if (!isGpuTensor(tensor)) checkTensor(`${op}: ${filter}`, tensor);
  }
  return resolveShapes(descriptor);
}

/** The same of a descriptor whose filters need no data. @throws ValueError */
export function resolveShapes(descriptor: WarmUpDescriptor & Pick<ConvolutionDescriptor, 'depthwiseBias' | 'bias'>): Geometry {
  const { inputShape, depthwiseFilter, pointwiseFilter, name, strategy = 'auto' } = descriptor;
  const op = operation(name);
  const biasShape = (argument: 'depthwiseBias' | 'bias'): readonly number[] | undefined => {
    const bias: unknown = descriptor[argument];
    if (bias === undefined) return undefined;
    if (isGpuTensor(bias)) return bias.shape ?? [];
    checkData(`${op}: ${argument}`, [(bias as Float32Array | null)?.length ?? 0], bias);
    return [bias.length];
  };
  const geometry = resolveGeometry({
    input: inputShape, depthwiseFilter: depthwiseFilter?.shape, pointwiseFilter: pointwiseFilter?.shape,
    depthwiseBias: biasShape('depthwiseBias'), bias: biasShape('bias'),
  }, descriptor);
  if (!['auto', 'fused', 'two-pass'].includes(strategy)) {
    throw new ValueError(`${op}: strategy must be 'auto', 'fused' or 'two-pass', got ${show(strategy)}`);
  }
  return geometry;
}

export function isGpuTensor(tensor: unknown): tensor is GpuTensor<readonly number[]> {
  return typeof tensor === 'object' && tensor !== null && !ArrayBuffer.isView(tensor) && 'buffer' in tensor && 'shape' in tensor;
}
