import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  backend, customGrad, engine, getBackend, type GradSaveFunc, reshape, Tensor, tensor, type Tensor3D, type Tensor4D,
  type TensorLike, tidy, util, zeros,
} from '@tensorflow/tfjs-core';
import type { Convolution } from './convolution.js';
import type { ConvolutionDescriptor, GpuTensor } from './arguments/descriptor.js';
import { show, UnsupportedError, ValueError } from './arguments/errors.js';
import {
  elements, type Geometry, outputShape, type Padding, resolveGeometry, type Shape4D,
} from './arguments/geometry.js';
import type { Gradients } from './gradients.js';
import { PipelineManager } from './manager.js';
import { LruMap } from './gpu/lru-map.js';
import { derivativeByTfjs, type Factor, FACTORS, type Factors, factorShape } from './tfjs-ops.js';

/** tfjs's padding: `'same'`, `'valid'`, zeros on each side, or `[[0, 0], [top, bottom], [left, right], [0, 0]]`. */
export type TfjsPadding =
  'same' | 'valid' | number | [[number, number], [number, number], [number, number], [number, number]];

/** A call whose arguments were checked, with its tensors of rank 4, and where its filters are. */
interface Call {
  readonly webgpu: WebGPUBackend;
  readonly tensors: Readonly<Record<Exclude<Factor, 'dy'>, Tensor4D>>;
  readonly geometry: Geometry;
  readonly descriptor: ConvolutionDescriptor & {
    readonly depthwiseFilter: GpuTensor; readonly pointwiseFilter: GpuTensor,
  };
}

interface Entry {
  /** Absent while it is being prepared, and where that failed. */
  convolution?: Convolution;
  readonly prepared: Promise<Convolution>;
}

/** Both passes for one geometry, on filters of their own: training gives filters new buffers at every step. */
interface Training {
  readonly convolution: Convolution;
  readonly gradients: Gradients;
  readonly depthwiseFilter: GPUBuffer;
  readonly pointwiseFilter: GPUBuffer;
}

interface TrainingEntry {
  /** Absent while it is being prepared, and where that failed. */
  training?: Training;
  readonly prepared: Promise<Training>;
}

interface DeviceState {
  readonly manager: Promise<PipelineManager>;
  /** By geometry. */
  readonly trainings: LruMap<TrainingEntry>;
  /** By geometry and filter buffers. */
  readonly entries: LruMap<Entry>;
}

/** Convolutions that a device keeps, enough for several models. Each has small buffers; all share the intermediate. */
const MOST_ENTRIES = 256;
const states = new WeakMap<GPUDevice, DeviceState>();
const bufferNumbers = new WeakMap<GPUBuffer, number>();
let lastBufferNumber = 0;

/**
 * `tf.separableConv2d` on the device and buffers of tfjs's backend `webgpu`, with tfjs's arguments. `x` is
 * `[N, H, W, C]`, or `[H, W, C]` for a result of rank 3; the filters are `[KH, KW, C, M]` and `[1, 1, C*M, O]`. All are
 * float32 tensors, none of which is copied, or nested arrays. The result is a tensor as tfjs's own are.
 *
 * It returns at once, as tfjs does, but this library's kernels compile in the background: until then tfjs's kernels
 * compute, equal but for rounding. `prepare` a call before, or run a model once and wait for `ready`: then this
 * library's kernels run. The same holds for the backward pass, where tfjs records gradients as in training, and for
 * gradients of gradients, of every order; `prepareTraining` prepares both passes.
 * @throws ValueError for what tfjs refuses; UnsupportedError when tfjs's current backend is another; DeviceLostError
 * @see https://js.tensorflow.org/api/latest/#separableConv2d
 */
export function separableConv2d(
  x: Tensor4D, depthwiseFilter: Tensor4D, pointwiseFilter: Tensor4D, strides: [number, number] | number,
  pad: TfjsPadding, dilation?: [number, number] | number, dataFormat?: 'NHWC' | 'NCHW',
): Tensor4D;
/** The same for an `x` of rank 3, and for nested arrays, which are uploaded at every call. */
export function separableConv2d<T extends Tensor3D | Tensor4D>(
  x: T | TensorLike, depthwiseFilter: Tensor4D | TensorLike, pointwiseFilter: Tensor4D | TensorLike,
  strides: [number, number] | number, pad: TfjsPadding, dilation?: [number, number] | number,
  dataFormat?: 'NHWC' | 'NCHW',
): T;
export function separableConv2d<T extends Tensor3D | Tensor4D>(
  x: T | TensorLike, depthwiseFilter: Tensor4D | TensorLike, pointwiseFilter: Tensor4D | TensorLike,
  strides: [number, number] | number, pad: TfjsPadding, dilation: [number, number] | number = 1,
  dataFormat: 'NHWC' | 'NCHW' = 'NHWC',
): T {
  return tidy(() => {
    const { rank, call } = checkedCall(x, depthwiseFilter, pointwiseFilter, strides, pad, dilation, dataFormat);
    const y = result(call);
    const [, ...shape] = y.shape;
    return (rank === 3 ? reshape(y, shape) : y) as T;
  });
}

/**
 * Compiles what `separableConv2d` needs for these arguments; of `x` only the shape counts. From then on such calls run
 * this library's kernels, if their filters are tensors. (Arrays get other buffers at other calls.)
 * @throws what `separableConv2d` throws; UnsupportedError, for instance for tensors too large to bind, which tfjs then
 * computes
 */
export async function prepare(...args: Parameters<typeof separableConv2d>): Promise<void> {
  await preparedBy(entryFor, args);
}

/**
 * The same for calls under `tf.grads` and the like, forward and backward. Of the filters too only the shapes count.
 * @throws what `prepare` throws
 */
export async function prepareTraining(...args: Parameters<typeof separableConv2d>): Promise<void> {
  await preparedBy(trainingFor, args);
}

async function preparedBy(
  entryOf: (call: Call) => Entry | TrainingEntry, args: Parameters<typeof separableConv2d>,
): Promise<void> {
  let entry: Entry | TrainingEntry | undefined;
  tidy(() => { // Frees the tensors that arrays become.
    const { call } = checkedCall(...args);
    if (!isEmpty(call)) entry = entryOf(call);
  });
  await entry?.prepared;
}

/**
 * Resolves when all calls so far on tfjs's current device are prepared.
 * @throws what `prepare` throws for any of them
 */
export async function ready(): Promise<void> {
  const { entries, trainings } = stateOf(webgpuBackend().device);
  await Promise.all([...entries.entries(), ...trainings.entries()].map(async ([, { prepared }]) => {
    await prepared;
  }));
}

function checkedCall(...args: Parameters<typeof separableConv2d>): { readonly rank: number; readonly call: Call } {
  const [x, depthwise, pointwise, strides, pad, dilation = 1, dataFormat = 'NHWC'] = args;
  const webgpu = webgpuBackend();
  const given = tensorOf('x', x, [3, 4]);
  const depthwiseFilter = tensorOf('depthwiseFilter', depthwise, [4]) as Tensor4D;
  const pointwiseFilter = tensorOf('pointwiseFilter', pointwise, [4]) as Tensor4D;
  if (dataFormat !== 'NHWC') {
    throw new ValueError(`separableConv2d: dataFormat must be 'NHWC', got '${String(dataFormat)}'`);
  }
  const padding: Padding = typeof pad === 'number' ? [[pad, pad], [pad, pad]] : pad;
  const options = { strides, padding, rate: dilation, allowOverparameterized: true };
  const inputShape = [...(given.rank === 3 ? [1] : []), ...given.shape] as Tensor4D['shape'];
  const shapes = { input: inputShape, depthwiseFilter: depthwiseFilter.shape, pointwiseFilter: pointwiseFilter.shape };
  const geometry = resolveGeometry(shapes, options);
  const filters = {
    depthwiseFilter: { shape: shapes.depthwiseFilter, buffer: bufferOf(webgpu, depthwiseFilter) },
    pointwiseFilter: { shape: shapes.pointwiseFilter, buffer: bufferOf(webgpu, pointwiseFilter) },
  };
  const batch = given.rank === 3 ? reshape(given, inputShape) : given;
  const tensors = { x: batch as Tensor4D, depthwiseFilter, pointwiseFilter };
  return { rank: given.rank, call: { webgpu, tensors, geometry, descriptor: { ...options, ...filters, inputShape } } };
}

function result(call: Call): Tensor4D {
  if (engine().state.gradientDepth > 0) return derivatives(call, call.tensors, ['dy'])[0]!;
  if (isEmpty(call)) return zerosFor(call.geometry, 'dy');
  const { convolution } = entryFor(call);
  return convolution ? run(call, convolution) : derivativeByTfjs(call.geometry, call.tensors, 'dy');
}

const isEmpty = ({ geometry }: Call): boolean =>
  elements(outputShape(geometry)) * geometry.H * geometry.W * geometry.C === 0;

function webgpuBackend(): WebGPUBackend {
  const name = getBackend();
  if (name === 'webgpu') return backend() as WebGPUBackend;
  throw new UnsupportedError("separableConv2d: tfjs's backend must be 'webgpu' (await tf.setBackend('webgpu')), "
    + `got ${name ? `'${name}'` : 'none'}`);
}

/** An argument as a tensor, made of nested arrays as tfjs makes it. Messages never show the values. */
function tensorOf(argument: string, value: unknown, ranks: readonly number[]): Tensor {
  const rule = `separableConv2d: ${argument} must be a float32 tensor of rank ${ranks.join(' or ')}`;
  if (!(value instanceof Tensor) && !isArray(value)) {
    throw new ValueError(`${rule}, or nested arrays, got ${show(value).slice(0, 40)}`);
  }
  const one = value instanceof Tensor ? value : tensorOfArrays(rule, value, Math.max(...ranks));
  if (!ranks.includes(one.rank) || one.dtype !== 'float32') {
    throw new ValueError(`${rule}, got ${one.dtype} [${one.shape.join(', ')}]`);
  }
  if (one.isDisposed) throw new ValueError(`separableConv2d: ${argument} must not be disposed, got a disposed tensor`);
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
function bufferOf(webgpu: WebGPUBackend, { dataId }: { readonly dataId: object }): GPUBuffer {
  webgpu.uploadToGPU(dataId);
  const { resource } = webgpu.tensorMap.get(dataId);
  if (resource instanceof GPUBuffer) return resource;
  throw new UnsupportedError('separableConv2d: tensors must be in GPU buffers, got one in a texture');
}

function stateOf(device: GPUDevice): DeviceState {
  const known = states.get(device);
  if (known) return known;
  const state: DeviceState = {
    manager: PipelineManager.create({ device }),
    entries: new LruMap(MOST_ENTRIES, ({ prepared }) =>
      void prepared.then((convolution) => convolution.destroy(), () => undefined)),
    trainings: new LruMap(MOST_ENTRIES, ({ prepared }) => void prepared.then(destroyTraining, () => undefined)),
  };
  states.set(device, state);
  return state;
}

/**
 * The convolution that reads exactly these filter buffers. It reads them at every run, so it stays right when tfjs
 * gives a buffer to another tensor. New weights in other buffers get another convolution.
 */
function entryFor({ webgpu, geometry, descriptor }: Call): Entry {
  const { manager, entries } = stateOf(webgpu.device);
  const buffers = [descriptor.depthwiseFilter.buffer, descriptor.pointwiseFilter.buffer];
  const key = JSON.stringify([...buffers.map(bufferNumber), geometry]);
  const known = entries.get(key);
  if (known) return known;
  const entry: Entry = { prepared: manager.then((one) => one.prepare(descriptor)) };
  entry.prepared.then((convolution) => (entry.convolution = convolution), () => undefined); // `ready` reports it.
  entries.set(key, entry);
  return entry;
}

function trainingFor({ webgpu: { device }, geometry, descriptor }: Call): TrainingEntry {
  const { manager, trainings } = stateOf(device);
  const key = JSON.stringify(geometry);
  const known = trainings.get(key);
  if (known) return known;
  const entry: TrainingEntry = {
    prepared: manager.then(async (one) => {
      const filter = ({ shape }: GpuTensor) => device.createBuffer({
        label: 'sepconv-webgpu filter', size: Math.max(16, elements(shape) * 4),
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      });
      const depthwiseFilter = filter(descriptor.depthwiseFilter);
      const pointwiseFilter = filter(descriptor.pointwiseFilter);
      const own = {
        ...descriptor,
        depthwiseFilter: { shape: descriptor.depthwiseFilter.shape, buffer: depthwiseFilter },
        pointwiseFilter: { shape: descriptor.pointwiseFilter.shape, buffer: pointwiseFilter },
      };
      const [convolution, gradients] = await Promise.all([one.prepare(own), one.prepareGradients(own)]);
      return { convolution, gradients, depthwiseFilter, pointwiseFilter };
    }),
  };
  entry.prepared.then((training) => (entry.training = training), () => undefined); // `ready` reports it.
  trainings.set(key, entry);
  return entry;
}

function destroyTraining({ convolution, gradients, depthwiseFilter, pointwiseFilter }: Training): void {
  for (const one of [convolution, gradients, depthwiseFilter, pointwiseFilter]) one.destroy();
}

/**
 * The derivatives of the sum of `dy * y` by some factors, each of which has derivatives again, of every order. All are
 * computed in one pass, or by tfjs where this library's kernels are not there: they may have come or gone meanwhile.
 */
function derivatives(call: Call, factors: Factors, wanted: readonly Factor[]): Tensor4D[] {
  const { geometry } = call;
  const training = isEmpty(call) ? undefined : trainingFor(call).training;
  const computed = training && compute(call, training, factors, wanted);
  return wanted.map((factor, i) => {
    const others = FACTORS.filter((one) => one !== factor);
    const operation = customGrad((...args) => {
      const save = args.pop() as GradSaveFunc;
      save(args as Tensor[]);
      const byTfjs = () => (isEmpty(call) ? zerosFor(geometry, factor) : derivativeByTfjs(geometry, factors, factor));
      const gradFunc = (given: Tensor, saved: Tensor[]): Tensor[] => {
        const known = Object.fromEntries(others.map((one, j) => [one, saved[j]!]));
        return derivatives(call, { ...known, [factor]: given }, others);
      };
      return { value: computed?.[i] ?? byTfjs(), gradFunc };
    });
    return operation(...others.map((one) => factors[one]!)) as Tensor4D;
  });
}

/** Computes derivatives in one pass, on the training's own copies of the filters. tfjs records none of it. */
function compute(
  { webgpu, geometry }: Call, training: Training, factors: Factors, wanted: readonly Factor[],
): Tensor4D[] {
  const { convolution, gradients, depthwiseFilter, pointwiseFilter } = training;
  const results = wanted.map((factor) => resultOf(webgpu, factorShape(geometry, factor)));
  // tfjs records uploads too, so all buffers are requested before it submits.
  const buffers = (tensors: Factors): Partial<Record<Factor, GPUBuffer>> =>
    Object.fromEntries(Object.entries(tensors).map(([factor, one]) => [factor, bufferOf(webgpu, one)]));
  const from = buffers(factors);
  const to = buffers(Object.fromEntries(wanted.map((factor, i) => [factor, results[i]!])));
  submit(webgpu, convolution.label, (encoder) => {
    encoder.copyBufferToBuffer(from.depthwiseFilter!, 0, depthwiseFilter, 0, factors.depthwiseFilter!.size * 4);
    encoder.copyBufferToBuffer(from.pointwiseFilter!, 0, pointwiseFilter, 0, factors.pointwiseFilter!.size * 4);
    const pass = encoder.beginComputePass({ label: convolution.label });
    if (to.dy) convolution.encode(pass, { input: from.x!, output: to.dy });
    if (from.dy) {
      gradients.encode(pass, {
        input: from.x!, outputGradient: from.dy, ...(to.x && { inputGradient: to.x }),
        ...(to.depthwiseFilter && { depthwiseFilterGradient: to.depthwiseFilter }),
        ...(to.pointwiseFilter && { pointwiseFilterGradient: to.pointwiseFilter }),
      });
    }
    pass.end();
  });
  return results;
}

/** The result of an empty call: no elements, or sums of nothing. */
function zerosFor(geometry: Geometry, factor: Factor): Tensor4D {
  return zeros([...factorShape(geometry, factor)]);
}

function bufferNumber(buffer: GPUBuffer): number {
  const number = bufferNumbers.get(buffer) ?? ++lastBufferNumber;
  bufferNumbers.set(buffer, number);
  return number;
}

function run({ webgpu, tensors, geometry }: Call, convolution: Convolution): Tensor4D {
  const y = resultOf(webgpu, outputShape(geometry));
  const [input, output] = [bufferOf(webgpu, tensors.x), bufferOf(webgpu, y)];
  submit(webgpu, convolution.label, (encoder) => {
    const pass = encoder.beginComputePass({ label: convolution.label });
    convolution.encode(pass, { input, output });
    pass.end();
  });
  return y;
}

/**
 * A tensor in a buffer from tfjs's pool, to which the buffer returns when the tensor is disposed. A buffer of our own,
 * given to `tf.tensor` with `zeroCopy`, would never be freed by tfjs.
 */
function resultOf(webgpu: WebGPUBackend, shape: Shape4D): Tensor4D {
  return engine().makeTensorFromTensorInfo(webgpu.makeTensorInfo([...shape], 'float32'), webgpu) as Tensor4D;
}

/** Runs after all that tfjs has recorded so far, which may be what computes the input. */
function submit(webgpu: WebGPUBackend, label: string, record: (encoder: GPUCommandEncoder) => void): void {
  webgpu.endComputePassEncoder();
  webgpu.ensureCommandEncoderReady(); // `submitQueue` needs one.
  webgpu.submitQueue();
  const encoder = webgpu.device.createCommandEncoder({ label });
  record(encoder);
  webgpu.device.queue.submit([encoder.finish()]);
}
