import type { ConvolutionDescriptor, GpuTensor, Strategy, WarmUpDescriptor } from './descriptor.js';
import { show, ValueError } from './errors.js';
import { checkData, checkTensor, type Geometry, operation, resolveGeometry, type TensorArgument } from './geometry.js';
import { DESCRIPTOR, readOptions } from './reading.js';

/** The arguments that a convolution keeps from run to run. */
export const WEIGHTS = ['depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias'] as const;
export type Weight = (typeof WEIGHTS)[number];

/** Where a weight's numbers are: on the CPU, `length` of them when they were checked, or in the caller's buffer. */
export type WeightSource =
  | { readonly kind: 'data'; readonly data: Float32Array; readonly length: number }
  | { readonly kind: 'buffer'; readonly tensor: GpuTensor<readonly number[]> };

/** A caller's arguments, read once, checked and resolved: all that planning and preparing need to know of them. */
export interface Call {
  /** Starts every message: the operation, and the caller's name for it. */
  readonly op: string;
  /** The caller's name, or the operation's. */
  readonly label: string;
  readonly geometry: Geometry;
  readonly strategy: Strategy;
  /** Absent biases, and filters of which only the shape is known, have none. */
  readonly weights: ReadonlyMap<Weight, WeightSource>;
  /** The weights that are in the caller's buffers, and may change from run to run. */
  readonly borrowed: ReadonlySet<Weight>;
}

/** Reads and checks what `prepare` takes, without touching the GPU. @throws ValueError */
export const readCall = (descriptor: ConvolutionDescriptor): Call => resolveCall(readOptions(descriptor, DESCRIPTOR));

/** The same for `warmUp`, whose filters need no data. @throws ValueError */
export const readShapes = (descriptor: WarmUpDescriptor): Call =>
  resolve(readOptions(descriptor, DESCRIPTOR), (tensor) => (tensor as TensorArgument | undefined)?.data !== undefined);

/** Checks a descriptor that `readOptions` gave. @throws ValueError */
export const resolveCall = (descriptor: ConvolutionDescriptor): Call => resolve(descriptor, () => true);

/** Filters that need data are checked whole, others by their shapes. */
function resolve(
  descriptor: WarmUpDescriptor & Pick<ConvolutionDescriptor, 'depthwiseBias' | 'bias'>,
  needsData: (filter: unknown) => boolean,
): Call {
  const { inputShape, depthwiseFilter, pointwiseFilter, name } = descriptor;
  const strategy = (descriptor.strategy ?? 'auto') as Strategy;
  const op = operation(name);
  for (const [weight, filter] of Object.entries({ depthwiseFilter, pointwiseFilter })) {
    if (!isGpuTensor(filter) && needsData(filter)) checkTensor(`${op}: ${weight}`, filter);
  }
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
  const weights = new Map<Weight, WeightSource>();
  for (const weight of WEIGHTS) {
    const source = sourceOf(descriptor[weight as 'bias']);
    if (source) weights.set(weight, source);
  }
  const borrowed = new Set([...weights].filter(([, { kind }]) => kind === 'buffer').map(([weight]) => weight));
  return { op, label: name ?? operation(), geometry, strategy, weights, borrowed };
}

function sourceOf(
  tensor: TensorArgument | Float32Array | GpuTensor<readonly number[]> | undefined,
): WeightSource | undefined {
  if (isGpuTensor(tensor)) return { kind: 'buffer', tensor };
  const data = ArrayBuffer.isView(tensor) ? tensor : tensor?.data;
  return data && { kind: 'data', data, length: data.length };
}

function isGpuTensor(tensor: unknown): tensor is GpuTensor<readonly number[]> {
  return typeof tensor === 'object' && tensor !== null && !ArrayBuffer.isView(tensor)
    && 'buffer' in tensor && 'shape' in tensor;
}
