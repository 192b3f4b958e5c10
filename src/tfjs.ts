import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { backend, conv2d, customGrad, depthwiseConv2d, engine, getBackend, Tensor, type Tensor4D, zeros } from '@tensorflow/tfjs-core';
import type { Convolution } from './convolution.js';
import type { ConvolutionDescriptor, GpuTensor } from './arguments/descriptor.js';
import { UnsupportedError, ValueError } from './arguments/errors.js';
import { elements, type Geometry, outputShape, type Padding, resolveGeometry } from './arguments/geometry.js';
import type { Gradients } from './gradients.js';
import { PipelineManager } from './manager.js';
import { Recent } from './gpu/recent.js';

/** tfjs's: `'same'`, `'valid'`, so many zeros on each side, or `[[0, 0], [top, bottom], [left, right], [0, 0]]`. */
export type TfjsPadding = 'same' | 'valid' | number | [[number, number], [number, number], [number, number], [number, number]];

/** A call whose arguments were checked, with where its filters are. */
interface Call {
  readonly webgpu: WebGPUBackend;
  readonly geometry: Geometry;
  readonly descriptor: ConvolutionDescriptor & { readonly depthwiseFilter: GpuTensor; readonly pointwiseFilter: GpuTensor };
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
  readonly trainings: Recent<TrainingEntry>;
  /** By geometry and filter buffers. */
  readonly entries: Recent<Entry>;
}

/** Convolutions that a device keeps: each has a few small buffers, all share the intermediate. Enough for several models. */
const MOST_ENTRIES = 256;
const states = new WeakMap<GPUDevice, DeviceState>();
const bufferNumbers = new WeakMap<GPUBuffer, number>();
let lastBufferNumber = 0;

/**
 * `tf.separableConv2d` on the device and buffers of tfjs's backend `webgpu`, with tfjs's arguments. `x` is `[N, H, W, C]`, the
 * filters are `[KH, KW, C, M]` and `[1, 1, C*M, O]`, all float32; none is copied. The result is a tensor as tfjs's own are.
 *
 * It returns at once, as tfjs does, but this library's kernels compile in the background: until then tfjs's kernels compute,
 * equal but for rounding. `prepare` a call before, or run a model once and wait for `ready`: then this library's kernels run.
 * The same holds for the backward pass, where tfjs records gradients as in training; `prepareTraining` prepares both passes.
 * @throws ValueError for what tfjs refuses; UnsupportedError when tfjs's current backend is another; DeviceLostError
 * @see https://js.tensorflow.org/api/latest/#separableConv2d
 */
export function separableConv2d(
  x: Tensor4D, depthwiseFilter: Tensor4D, pointwiseFilter: Tensor4D, strides: [number, number] | number, pad: TfjsPadding,
  dilation: [number, number] | number = 1, dataFormat: 'NHWC' | 'NCHW' = 'NHWC',
): Tensor4D {
  const call = checkedCall(x, depthwiseFilter, pointwiseFilter, strides, pad, dilation, dataFormat);
  if (isEmpty(call)) return zeros<Tensor4D['rankType']>([...outputShape(call.geometry)]);
  if (engine().state.gradientDepth > 0) {
    const { training } = trainingFor(call);
    if (training) return differentiable(call, training, [x, depthwiseFilter, pointwiseFilter]);
  } else {
    const { convolution } = entryFor(call);
    if (convolution) return run(call, convolution, x);
  }
  return conv2d(depthwiseConv2d(x, depthwiseFilter, strides, pad, 'NHWC', dilation), pointwiseFilter, 1, 'valid');
}

/**
 * Compiles what `separableConv2d` needs for these arguments, of which `x` counts by its shape only: such calls run this
 * library's kernels from then on.
 * @throws what `separableConv2d` throws; UnsupportedError, for instance for tensors too large to bind, which tfjs then computes
 */
export async function prepare(...args: Parameters<typeof separableConv2d>): Promise<void> {
  const call = checkedCall(...args);
  if (!isEmpty(call)) await entryFor(call).prepared;
}

/** The same for calls under `tf.grads` and the like, both ways; the filters count by their shapes too. @throws what `prepare` throws */
export async function prepareTraining(...args: Parameters<typeof separableConv2d>): Promise<void> {
  const call = checkedCall(...args);
  if (!isEmpty(call)) await trainingFor(call).prepared;
}

/** Resolves when all calls so far on tfjs's current device are prepared. @throws what `prepare` throws for any of them */
export async function ready(): Promise<void> {
  const { entries, trainings } = stateOf(webgpuBackend().device);
  await Promise.all([...entries.entries(), ...trainings.entries()].map(async ([, { prepared }]) => {
    await prepared;
  }));
}

function checkedCall(...args: Parameters<typeof separableConv2d>): Call {
  const [x, depthwiseFilter, pointwiseFilter, strides, pad, dilation = 1, dataFormat = 'NHWC'] = args;
  const webgpu = webgpuBackend();
  checkTensors({ x, depthwiseFilter, pointwiseFilter });
  if (dataFormat !== 'NHWC') throw new ValueError(`separableConv2d: dataFormat must be 'NHWC', got '${String(dataFormat)}'`);
  const padding: Padding = typeof pad === 'number' ? [[pad, pad], [pad, pad]] : pad;
  const options = { strides, padding, rate: dilation, allowOverparameterized: true };
  const shapes = { input: x.shape, depthwiseFilter: depthwiseFilter.shape, pointwiseFilter: pointwiseFilter.shape };
  const geometry = resolveGeometry(shapes, options);
  const filters = {
    depthwiseFilter: { shape: shapes.depthwiseFilter, buffer: bufferOf(webgpu, depthwiseFilter) },
    pointwiseFilter: { shape: shapes.pointwiseFilter, buffer: bufferOf(webgpu, pointwiseFilter) },
  };
  return { webgpu, geometry, descriptor: { ...options, ...filters, inputShape: x.shape } };
}

const isEmpty = ({ geometry }: Call): boolean => elements(outputShape(geometry)) * geometry.H * geometry.W * geometry.C === 0;

function webgpuBackend(): WebGPUBackend {
  const name = getBackend();
  if (name === 'webgpu') return backend() as WebGPUBackend;
  throw new UnsupportedError("separableConv2d: tfjs's backend must be 'webgpu' (await tf.setBackend('webgpu')), "
    + `got ${name ? `'${name}'` : 'none'}`);
}

function checkTensors(tensors: Readonly<Record<string, unknown>>): void {
  for (const [argument, tensor] of Object.entries(tensors)) {
    if (!(tensor instanceof Tensor) || tensor.rank !== 4 || tensor.dtype !== 'float32') {
      const got = tensor instanceof Tensor ? `${tensor.dtype} [${tensor.shape.join(', ')}]` : String(tensor);
      throw new ValueError(`separableConv2d: ${argument} must be a float32 tensor of rank 4, got ${got}`);
    }
    if (tensor.isDisposed) throw new ValueError(`separableConv2d: ${argument} must not be disposed, got a disposed tensor`);
  }
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
    entries: new Recent(MOST_ENTRIES, ({ prepared }) => void prepared.then((convolution) => convolution.destroy(), () => undefined)),
    trainings: new Recent(MOST_ENTRIES, ({ prepared }) => void prepared.then(destroyTraining, () => undefined)),
  };
  states.set(device, state);
  return state;
}

/**
 * The convolution that reads these very filter buffers, at every run: so it stays right when tfjs gives a buffer to another
 * tensor, and new weights in other buffers get another.
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
        label: 'sepconv-webgpu filter', size: Math.max(16, elements(shape) * 4), usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      });
      const [depthwiseFilter, pointwiseFilter] = [filter(descriptor.depthwiseFilter), filter(descriptor.pointwiseFilter)];
      const own = {
        ...descriptor, depthwiseFilter: { shape: descriptor.depthwiseFilter.shape, buffer: depthwiseFilter },
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

/** A result whose gradients this library computes too. */
function differentiable({ webgpu, geometry }: Call, training: Training, tensors: readonly [Tensor4D, Tensor4D, Tensor4D]): Tensor4D {
  const { convolution, gradients, depthwiseFilter, pointwiseFilter } = training;
  /** In the filters' own buffers and one pass. Uploads are recorded by tfjs too, so that all buffers are known before. */
  const compute = (label: string, [depthwise, pointwise]: readonly GPUBuffer[], encode: (pass: GPUComputePassEncoder) => void): void =>
    submit(webgpu, label, (encoder) => {
      encoder.copyBufferToBuffer(depthwise!, 0, depthwiseFilter, 0, tensors[1].size * 4);
      encoder.copyBufferToBuffer(pointwise!, 0, pointwiseFilter, 0, tensors[2].size * 4);
      const pass = encoder.beginComputePass({ label });
      encode(pass);
      pass.end();
    });
  const buffersOf = (...some: readonly Tensor[]) => some.map((tensor) => bufferOf(webgpu, tensor));
  const operation = customGrad((...args) => {
    const [x, ...filters] = args.slice(0, 3) as Tensor[];
    (args[3] as unknown as (saved: Tensor[]) => void)([x!, ...filters]);
    const value = resultOf(webgpu, outputShape(geometry));
    const [input, output] = buffersOf(x!, value) as [GPUBuffer, GPUBuffer];
    compute(convolution.label, buffersOf(...filters), (pass) => convolution.encode(pass, { input, output }));
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const results = saved.map(({ shape }) => resultOf(webgpu, shape));
      const [given, depthwise, pointwise, outputGradient] = buffersOf(...saved, dy) as [GPUBuffer, GPUBuffer, GPUBuffer, GPUBuffer];
      const [inputGradient, depthwiseFilterGradient, pointwiseFilterGradient] = buffersOf(...results) as [GPUBuffer, GPUBuffer, GPUBuffer];
      compute(`${gradients.label} gradients`, [depthwise, pointwise], (pass) => gradients.encode(pass, {
        input: given, outputGradient, inputGradient, depthwiseFilterGradient, pointwiseFilterGradient,
      }));
      return results;
    };
    return { value, gradFunc };
  });
  return operation(...tensors) as Tensor4D;
}

function bufferNumber(buffer: GPUBuffer): number {
  const number = bufferNumbers.get(buffer) ?? ++lastBufferNumber;
  bufferNumbers.set(buffer, number);
  return number;
}

function run({ webgpu, geometry }: Call, convolution: Convolution, x: Tensor4D): Tensor4D {
  const result = resultOf(webgpu, outputShape(geometry)) as Tensor4D;
  const [input, output] = [bufferOf(webgpu, x), bufferOf(webgpu, result)];
  submit(webgpu, convolution.label, (encoder) => {
    const pass = encoder.beginComputePass({ label: convolution.label });
    convolution.encode(pass, { input, output });
    pass.end();
  });
  return result;
}

/**
 * A tensor in a buffer from tfjs's pool, where it goes back to with the tensor; one of our own, as `tf.tensor` takes it with
 * `zeroCopy`, tfjs would never free.
 */
function resultOf(webgpu: WebGPUBackend, shape: readonly number[]): Tensor {
  return engine().makeTensorFromTensorInfo(webgpu.makeTensorInfo([...shape], 'float32'), webgpu);
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
