import { type Call, resolveCall } from './arguments/call.js';
import type { ConvolutionDescriptor, GpuOptions } from './arguments/descriptor.js';
import { isObject, mustBe } from './arguments/errors.js';
import {
  checkTensor, checkTensorOf, type ConvolutionOptions, elements, operation, outputShape, type Passes,
  type ResultTensor, type SeparableConv2dGradients, type TensorArgument,
} from './arguments/geometry.js';
import { PipelineManager } from './manager.js';
import { ONE_CALL, reading, readOptions, readTensor } from './arguments/reading.js';

export interface SeparableConv2dOptions
  extends ConvolutionOptions, GpuOptions, Pick<ConvolutionDescriptor, 'depthwiseBias' | 'bias'> {
  /** Where to run; default: one manager that all such calls share, on a device requested at the first. */
  readonly manager?: PipelineManager | undefined;
}

/** What `depthwiseConv2d` takes beside tensors; each means what it does for `separableConv2d`. */
export interface DepthwiseConv2dOptions extends Pick<
  SeparableConv2dOptions, 'strides' | 'padding' | 'rate' | 'name' | 'bias' | 'activation' | 'dtype' | 'manager'
> {}

/** The same for `pointwiseConv2d`, where `padding` may be absent, and both it and `rate` must change nothing. */
export interface PointwiseConv2dOptions extends Partial<DepthwiseConv2dOptions> {}

let shared: Promise<PipelineManager> | undefined;

/** The manager of calls without one; made anew after a failure or the loss of its device. */
function sharedManager(): Promise<PipelineManager> {
  shared ??= PipelineManager.create().then(
    (manager) => {
      void manager.device.lost.then(() => { // Sooner than `manager.lost`.
        shared = undefined;
        manager.destroy();
      });
      return manager;
    },
    (error: unknown) => {
      shared = undefined;
      throw error;
    },
  );
  return shared;
}

/** The caller's arguments, each read once and checked. @throws ValueError */
function readArguments(
  passes: Passes, { input, ...filters }: Tensors, options: Partial<SeparableConv2dOptions>,
): { readonly call: Call; readonly x: TensorArgument; readonly manager: PipelineManager | undefined } {
  const own = readOptions(options, ONE_CALL[passes], operation(undefined, passes));
  const { manager } = own;
  const op = operation(own.name, passes);
  const isManager = (): boolean => isObject(manager) && 'prepareCall' in manager;
  if (manager !== undefined && !reading(`${op}: manager`, isManager)) {
    throw mustBe(`${op}: manager`, 'a PipelineManager', manager);
  }
  const x = readTensor(`${op}: input`, input);
  const weights = Object.entries(filters).map(([argument, tensor]) =>
    [argument, readTensor(`${op}: ${argument}`, tensor)] as const);
  checkTensor(`${op}: input`, x);
  // `own` has no prototype, and so nothing that other scripts could have put on one.
  const descriptor = Object.assign(own, { inputShape: x.shape }, Object.fromEntries(weights)) as ConvolutionDescriptor;
  const call = resolveCall(descriptor, passes);
  return { call, x, manager };
}

interface Tensors {
  readonly input: TensorArgument;
  readonly depthwiseFilter?: TensorArgument;
  readonly pointwiseFilter?: TensorArgument;
}

async function run(...args: Parameters<typeof readArguments>): Promise<ResultTensor> {
  const { call, x, manager } = readArguments(...args);
  const shape = outputShape(call.geometry);
  if (elements(shape) === 0) return { shape, data: new Float32Array(0) };
  const convolution = await (manager ?? (await sharedManager())).prepareCall(call);
  try {
    return await convolution.run(x);
  } finally {
    convolution.destroy();
  }
}

/**
 * TensorFlow's `tf.nn.separable_conv2d` on the GPU: uploads, dispatches, reads back. Input `[N, H, W, C]`, depthwise
 * filter `[KH, KW, C, M]`, pointwise filter `[1, 1, C*M, O]`, result `[N, OH, OW, O]`. An empty result takes no GPU.
 * Leave the tensors unchanged until the promise resolves. For more than one run use `PipelineManager.prepare`.
 * @throws ValueError before any GPU call; UnsupportedError; DeviceLostError
 * @see https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/nn/separable_conv2d
 */
export async function separableConv2d(
  input: TensorArgument, depthwiseFilter: TensorArgument, pointwiseFilter: TensorArgument,
  options: SeparableConv2dOptions,
): Promise<ResultTensor> {
  return run('both', { input, depthwiseFilter, pointwiseFilter }, options);
}

/**
 * TensorFlow's `tf.nn.depthwise_conv2d` on the GPU, as `separableConv2d` without its second pass. Input `[N, H, W, C]`,
 * filter `[KH, KW, C, M]`, result `[N, OH, OW, C*M]`.
 * @throws ValueError before any GPU call; UnsupportedError; DeviceLostError
 * @see https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/nn/depthwise_conv2d
 */
export async function depthwiseConv2d(
  input: TensorArgument, depthwiseFilter: TensorArgument, options: DepthwiseConv2dOptions,
): Promise<ResultTensor> {
  return run('depthwise', { input, depthwiseFilter }, options);
}

/**
 * TensorFlow's `tf.nn.conv2d` with a 1x1 filter on the GPU, as `separableConv2d` without its first pass. Input
 * `[N, H, W, C]`, filter `[1, 1, C, O]`, result `[N, OH, OW, O]` with `OH = ceil(H / strides[0])`, and OW likewise.
 * @throws ValueError before any GPU call; UnsupportedError; DeviceLostError
 * @see https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/nn/conv2d
 */
export async function pointwiseConv2d(
  input: TensorArgument, pointwiseFilter: TensorArgument, options: PointwiseConv2dOptions = {},
): Promise<ResultTensor> {
  return run('pointwise', { input, pointwiseFilter }, options);
}

/**
 * The gradients of a loss with respect to every argument of `separableConv2d`, from its gradient with respect to the
 * output, `[N, OH, OW, O]`: each of the shape of its argument, those of biases only where there are any. Tensors as for
 * `separableConv2d`; a GPU tensor as a bias counts as one. For more than one step use
 * `PipelineManager.prepareGradients`.
 * @throws ValueError before any GPU call; UnsupportedError; DeviceLostError
 */
export async function separableConv2dGradients(
  outputGradient: TensorArgument, input: TensorArgument, depthwiseFilter: TensorArgument,
  pointwiseFilter: TensorArgument, options: SeparableConv2dOptions,
): Promise<SeparableConv2dGradients> {
  const { call, x, manager } = readArguments('both', { input, depthwiseFilter, pointwiseFilter }, options);
  const dy = readTensor(`${call.op}: outputGradient`, outputGradient);
  checkTensorOf(`${call.op}: outputGradient`, outputShape(call.geometry), dy);
  const gradients = await (manager ?? (await sharedManager())).prepareGradientsCall(call);
  try {
    return await gradients.run(dy, x) as SeparableConv2dGradients;
  } finally {
    gradients.destroy();
  }
}
