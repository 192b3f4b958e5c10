import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  backend, getBackend, reshape, Tensor, tensor, type Tensor4D, type TensorLike, util,
} from '@tensorflow/tfjs-core';
import type { ConvolutionDescriptor, GpuTensor } from '../arguments/descriptor.js';
import { show, UnsupportedError, ValueError } from '../arguments/errors.js';
import {
  elements, FILTERS, type Geometry, outputShape, type Padding, type Passes, resolveGeometry,
} from '../arguments/geometry.js';
import type { Filter } from './factors.js';

/** tfjs's padding: `'same'`, `'valid'`, zeros on each side, or `[[0, 0], [top, bottom], [left, right], [0, 0]]`. */
export type TfjsPadding =
  'same' | 'valid' | number | [[number, number], [number, number], [number, number], [number, number]];

/** What one of tfjs's functions was given. Of the filters there are those of its passes. */
export interface Given {
  readonly passes: Passes;
  readonly x: unknown;
  readonly filters: Readonly<Partial<Record<Filter, unknown>>>;
  readonly strides: [number, number] | number;
  readonly pad: TfjsPadding;
  readonly dilations: [number, number] | number | undefined;
  readonly dataFormat: 'NHWC' | 'NCHW' | undefined;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil' | undefined;
}

/** A call whose arguments were checked, with its tensors of rank 4, and where its filters are. */
export interface Call {
  /** tfjs's name for the function: it starts every message. */
  readonly op: string;
  readonly webgpu: WebGPUBackend;
  readonly tensors: Readonly<{ x: Tensor4D } & Partial<Record<Filter, Tensor4D>>>;
  readonly geometry: Geometry;
  readonly descriptor: ConvolutionDescriptor;
  readonly filters: Readonly<Partial<Record<Filter, GpuTensor>>>;
}

/** tfjs's names for the operations, and for what this library calls otherwise. */
const NAMES: Readonly<Record<Passes, { readonly op: string; readonly arguments: Readonly<Record<string, string>> }>> = {
  both: { op: 'separableConv2d', arguments: { input: 'x', padding: 'pad', rate: 'dilation' } },
  depthwise: {
    op: 'depthwiseConv2d', arguments: { input: 'x', padding: 'pad', rate: 'dilations', depthwiseFilter: 'filter' },
  },
  pointwise: {
    op: 'conv2d', arguments: { input: 'x', padding: 'pad', rate: 'dilations', pointwiseFilter: 'filter' },
  },
};

/** Reads and checks what tfjs's function takes. @throws ValueError, UnsupportedError */
export function readCall(
  { passes, x, filters: given, strides, pad, dilations = 1, dataFormat = 'NHWC', dimRoundingMode }: Given,
): { readonly rank: number; readonly call: Call } {
  const { op, arguments: names } = NAMES[passes];
  const webgpu = webgpuBackend(op);
  const input = tensorOf(`${op}: x`, x, [3, 4]);
  const filterTensors = perFilter(passes, (filter) =>
    tensorOf(`${op}: ${names[filter] ?? filter}`, given[filter], [4]) as Tensor4D);
  if (dataFormat !== 'NHWC') {
    throw new ValueError(`${op}: dataFormat must be 'NHWC', got '${String(dataFormat)}'`);
  }
  if (dimRoundingMode && (dimRoundingMode !== 'floor' || typeof pad === 'string')) {
    throw new ValueError(`${op}: dimRoundingMode must be absent, or 'floor' where pad is no string, `
      + `got ${show(dimRoundingMode)}`);
  }
  const padding: Padding = typeof pad === 'number' ? [[pad, pad], [pad, pad]] : pad;
  const options = { strides, padding, rate: dilations, allowOverparameterized: true };
  const inputShape = [...(input.rank === 3 ? [1] : []), ...input.shape] as Tensor4D['shape'];
  const shapes = { input: inputShape, ...perFilter(passes, (filter) => filterTensors[filter]!.shape) };
  const geometry = inWordsOfTfjs(passes, () => resolveGeometry(shapes, options, passes));
  const filters = perFilter(passes, (filter): GpuTensor => {
    const one = filterTensors[filter]!;
    return { shape: one.shape, buffer: bufferOf({ op, webgpu }, one) };
  });
  const batch = (input.rank === 3 ? reshape(input, inputShape) : input) as Tensor4D;
  const descriptor = { ...options, ...filters, inputShape, ...(passes === 'pointwise' && { name: op }) };
  return {
    rank: input.rank, call: { op, webgpu, tensors: { x: batch, ...filterTensors }, geometry, descriptor, filters },
  };
}

/** Whether there is nothing to compute. */
export const isEmpty = ({ geometry }: Call): boolean =>
  elements(outputShape(geometry)) * geometry.H * geometry.W * geometry.C === 0;

export const perFilter = <T>(passes: Passes, of: (filter: Filter) => T): Partial<Record<Filter, T>> =>
  Object.fromEntries(FILTERS[passes].map((filter) => [filter, of(filter)]));

/** Runs a check of this library, whose errors name an operation and its argument, so that they have tfjs's names. */
function inWordsOfTfjs<T>(passes: Passes, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const { op, arguments: names } = NAMES[passes];
    throw new ValueError(error.message.replace(/^\w+: (\w+)/, (_, argument: string) =>
      `${op}: ${names[argument] ?? argument}`), { cause: error });
  }
}

export function webgpuBackend(op: string): WebGPUBackend {
  const name = getBackend();
  if (name === 'webgpu') return backend() as WebGPUBackend;
  throw new UnsupportedError(`${op}: tfjs's backend must be 'webgpu' (await tf.setBackend('webgpu')), `
    + `got ${name ? `'${name}'` : 'none'}`);
}

/** An argument as a tensor, made of nested arrays as tfjs makes it. Messages never show the values. */
function tensorOf(where: string, value: unknown, ranks: readonly number[]): Tensor {
  const rule = `${where} must be a float32 tensor of rank ${ranks.join(' or ')}`;
  if (!(value instanceof Tensor) && !isArray(value)) {
    throw new ValueError(`${rule}, or nested arrays, got ${show(value).slice(0, 40)}`);
  }
  const one = value instanceof Tensor ? value : tensorOfArrays(rule, value, Math.max(...ranks));
  if (!ranks.includes(one.rank) || one.dtype !== 'float32') {
    throw new ValueError(`${rule}, got ${one.dtype} [${one.shape.join(', ')}]`);
  }
  if (one.isDisposed) throw new ValueError(`${where} must not be disposed, got a disposed tensor`);
  return one;
}

/** What tfjs takes for a dimension of a tensor. */
function isArray(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || util.isTypedArray(value as object);
}

/** tfjs trusts the first array at each depth, so that a ragged one would give a tensor whose shape does not fit. */
function tensorOfArrays(rule: string, values: ArrayLike<unknown>, mostRank: number): Tensor {
  const shape: number[] = [];
  for (let part: unknown = values; isArray(part) && shape.length <= mostRank; part = part[0]) shape.push(part.length);
  if (shape.length <= mostRank && isRegular(values, shape)) return tensor(values as TensorLike);
  throw new ValueError(`${rule}, got an array [${shape.join(', ')}] that is deeper, ragged, or not of numbers`);
}

function isRegular(part: unknown, [size, ...sizes]: readonly number[]): boolean {
  if (size === undefined) return typeof part === 'number';
  return isArray(part) && part.length === size && Array.from(part).every((one) => isRegular(one, sizes));
}

/** Where tfjs keeps a tensor, after uploading what is still on the CPU. The tensor's own `dataToGPU` would copy it. */
export function bufferOf(
  { op, webgpu }: Pick<Call, 'op' | 'webgpu'>, { dataId }: { readonly dataId: object },
): GPUBuffer {
  webgpu.uploadToGPU(dataId);
  const { resource } = webgpu.tensorMap.get(dataId);
  if (resource instanceof GPUBuffer) return resource;
  throw new UnsupportedError(`${op}: tensors must be in GPU buffers, got one in a texture`);
}
