import { type Call, resolveCall } from './arguments/call.js';
import type { ConvolutionDescriptor, GpuOptions } from './arguments/descriptor.js';
import { show, ValueError } from './arguments/errors.js';
import {
  checkTensor, checkTensorOf, type ConvolutionOptions, elements, operation, outputShape, type ResultTensor,
  type SeparableConv2dGradients, type TensorArgument,
} from './arguments/geometry.js';
import { PipelineManager } from './manager.js';
import { ONE_CALL, reading, readOptions, readTensor } from './arguments/reading.js';

export interface SeparableConv2dOptions
  extends ConvolutionOptions, GpuOptions, Pick<ConvolutionDescriptor, 'depthwiseBias' | 'bias'> {
  /** Where to run; default: one manager that all such calls share, on a device requested at the first. */
  readonly manager?: PipelineManager | undefined;
}

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
  input: TensorArgument, depthwiseFilter: TensorArgument, pointwiseFilter: TensorArgument,
  options: SeparableConv2dOptions,
): { readonly call: Call; readonly x: TensorArgument; readonly manager: PipelineManager | undefined } {
  const own = readOptions(options, ONE_CALL);
  const { manager } = own;
  const op = operation(own.name);
  const isManager = (): boolean => typeof manager === 'object' && manager !== null && 'prepareCall' in manager;
  if (manager !== undefined && !reading(`${op}: manager`, isManager)) {
    throw new ValueError(`${op}: manager must be a PipelineManager, got ${show(manager)}`);
  }
  const [x, depthwise, pointwise] = Object.entries({ input, depthwiseFilter, pointwiseFilter }).map(
    ([argument, tensor]) => readTensor(`${op}: ${argument}`, tensor),
  ) as [TensorArgument, TensorArgument, TensorArgument];
  checkTensor(`${op}: input`, x);
  const tensors = { inputShape: x.shape, depthwiseFilter: depthwise, pointwiseFilter: pointwise };
  // `own` has no prototype, and so nothing that other scripts could have put on one.
  const call = resolveCall(Object.assign(own, tensors));
  return { call, x, manager };
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
  const { call, x, manager } = readArguments(input, depthwiseFilter, pointwiseFilter, options);
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
  const { call, x, manager } = readArguments(input, depthwiseFilter, pointwiseFilter, options);
  const dy = readTensor(`${call.op}: outputGradient`, outputGradient);
  checkTensorOf(`${call.op}: outputGradient`, outputShape(call.geometry), dy);
  const gradients = await (manager ?? (await sharedManager())).prepareGradientsCall(call);
  try {
    return await gradients.run(dy, x);
  } finally {
    gradients.destroy();
  }
}
