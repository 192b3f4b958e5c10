import { type ConvolutionDescriptor, type GpuOptions, resolveDescriptor } from './descriptor.js';
import { show, ValueError } from './errors.js';
import {
  checkTensor, checkTensorOf, type ConvolutionOptions, elements, operation, outputShape, type ResultTensor,
  type SeparableConv2dGradients, type TensorArgument,
} from './geometry.js';
import { PipelineManager } from './manager.js';
import { reading, readOptions, readTensor } from './options.js';

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

function checkManager(op: string, manager: PipelineManager | null | undefined): void {
  if (manager === undefined || reading(`${op}: manager`, () => typeof manager === 'object' && manager !== null && 'prepare' in manager)) return;
  throw new ValueError(`${op}: manager must be a PipelineManager, got ${show(manager)}`);
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
  const { manager, ...rest } = readOptions(options);
  const op = operation(rest.name);
  checkManager(op, manager);
  const x = readTensor(`${op}: input`, input);
  checkTensor(`${op}: input`, x);
  const descriptor = readOptions({ ...rest, inputShape: x.shape, depthwiseFilter, pointwiseFilter });
  const shape = outputShape(resolveDescriptor(descriptor));
  if (elements(shape) === 0) return { shape, data: new Float32Array(0) };
  const convolution = await (manager ?? (await sharedManager())).prepare(descriptor);
  try {
    return await convolution.run(x);
  } finally {
    convolution.destroy();
  }
}

/**
 * The gradients of a loss with respect to every argument of `separableConv2d`, from its gradient with respect to the output,
 * `[N, OH, OW, O]`: each of the shape of its argument, those of biases only where there are any. Tensors as for
 * `separableConv2d`; a GPU tensor as a bias counts as one. For more than one step use `PipelineManager.prepareGradients`.
 * @throws ValueError before any GPU call; UnsupportedError; DeviceLostError
 */
export async function separableConv2dGradients(
  outputGradient: TensorArgument, input: TensorArgument, depthwiseFilter: TensorArgument,
  pointwiseFilter: TensorArgument, options: SeparableConv2dOptions,
): Promise<SeparableConv2dGradients> {
  const { manager, ...rest } = readOptions(options);
  const op = operation(rest.name);
  checkManager(op, manager);
  const [dy, x] = [readTensor(`${op}: outputGradient`, outputGradient), readTensor(`${op}: input`, input)];
  checkTensor(`${op}: input`, x);
  const descriptor = readOptions({ ...rest, inputShape: x.shape, depthwiseFilter, pointwiseFilter });
  checkTensorOf(`${op}: outputGradient`, outputShape(resolveDescriptor(descriptor)), dy);
  const gradients = await (manager ?? (await sharedManager())).prepareGradients(descriptor);
  try {
    return await gradients.run(dy, x);
  } finally {
    gradients.destroy();
  }
}
