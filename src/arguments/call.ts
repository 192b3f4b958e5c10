import type { ConvolutionDescriptor, GpuTensor, Pointwise, Strategy, WarmUpDescriptor } from './descriptor.js';
import { isObject, mustBe, ValueError } from './errors.js';
import {
  checkData, checkTensor, FILTERS, type Geometry, operation, type Passes, resolveGeometry, type TensorArgument,
} from './geometry.js';
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
  /** The caller's name, or the operation's: that of TensorFlow's function for the passes that there are. */
  readonly label: string;
  readonly geometry: Geometry;
  readonly strategy: Strategy;
  /** Absent biases, and filters of which only the shape is known, have none. */
  readonly weights: ReadonlyMap<Weight, WeightSource>;
  /** The weights that are in the caller's buffers, and may change from run to run. */
  readonly borrowed: ReadonlySet<Weight>;
}

/** Reads and checks what `prepare` takes, without touching the GPU. @throws ValueError */
export const readCall = (descriptor: ConvolutionDescriptor | Pointwise<ConvolutionDescriptor>): Call =>
  resolveCall(readOptions(descriptor as ConvolutionDescriptor, DESCRIPTOR));

/** The same for `warmUp`, whose filters need no data. @throws ValueError */
export const readShapes = (descriptor: WarmUpDescriptor | Pointwise<WarmUpDescriptor>): Call =>
  resolve(readOptions(descriptor as WarmUpDescriptor, DESCRIPTOR),
    (tensor) => (tensor as TensorArgument | undefined)?.data !== undefined);

/** Checks a descriptor that `readOptions` gave. Which passes it has, its filters tell, if not the caller. */
export const resolveCall = (descriptor: ConvolutionDescriptor, passes?: Passes): Call =>
  resolve(descriptor, () => true, passes);

/** Filters that need data are checked whole, others by their shapes. */
function resolve(
  descriptor: WarmUpDescriptor & Pick<ConvolutionDescriptor, 'depthwiseBias' | 'bias'>,
  needsData: (filter: unknown) => boolean, passes = passesOf(descriptor),
): Call {
  const { inputShape, name } = descriptor;
  const strategy = (descriptor.strategy ?? 'auto') as Strategy;
  const op = operation(name, passes);
  for (const weight of FILTERS[passes]) {
    const filter = descriptor[weight];
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
    input: inputShape,
    ...Object.fromEntries(FILTERS[passes].map((weight) => [weight, descriptor[weight]?.shape])),
    depthwiseBias: biasShape('depthwiseBias'), bias: biasShape('bias'),
  }, descriptor, passes);
  if (!(passes === 'both' ? ['auto', 'fused', 'two-pass'] : ['auto']).includes(strategy)) {
    const rule = passes === 'both' ? "'auto', 'fused' or 'two-pass'" : "'auto' where there is one pass";
    throw mustBe(`${op}: strategy`, rule, strategy);
  }
  const weights = new Map<Weight, WeightSource>();
  for (const weight of WEIGHTS) {
    const source = sourceOf(descriptor[weight as 'bias']);
    if (source) weights.set(weight, source);
  }
  const borrowed = new Set([...weights].filter(([, { kind }]) => kind === 'buffer').map(([weight]) => weight));
  return { op, label: name ?? operation(undefined, passes), geometry, strategy, weights, borrowed };
}

/** Which passes a descriptor has filters for. @throws ValueError where it has none */
function passesOf({ depthwiseFilter, pointwiseFilter, name }: WarmUpDescriptor): Passes {
  if (depthwiseFilter === undefined && pointwiseFilter === undefined) {
    throw new ValueError(`${operation(name)}: depthwiseFilter, pointwiseFilter or both must be given, got neither`);
  }
  return pointwiseFilter === undefined ? 'depthwise' : depthwiseFilter === undefined ? 'pointwise' : 'both';
}

function sourceOf(
  tensor: TensorArgument | Float32Array | GpuTensor<readonly number[]> | undefined,
): WeightSource | undefined {
  if (isGpuTensor(tensor)) return { kind: 'buffer', tensor };
  const data = ArrayBuffer.isView(tensor) ? tensor : tensor?.data;
  return data && { kind: 'data', data, length: data.length };
}

function isGpuTensor(tensor: unknown): tensor is GpuTensor<readonly number[]> {
  return isObject(tensor) && !ArrayBuffer.isView(tensor) && 'buffer' in tensor && 'shape' in tensor;
}
