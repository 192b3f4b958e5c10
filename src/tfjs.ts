import { reshape, type Tensor3D, type Tensor4D, type TensorLike, tidy } from '@tensorflow/tfjs-core';
import { type Given, isEmpty, readCall, type TfjsPadding, webgpuBackend } from './tfjs/arguments.js';
import { allPrepared, entryFor, trainingFor } from './tfjs/prepared.js';
import { result } from './tfjs/run.js';

export type { TfjsPadding } from './tfjs/arguments.js';

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
export function separableConv2d<T extends Tensor3D | Tensor4D>(...args: SeparableArguments): T {
  return run<T>(givenToSeparable(...args));
}

/**
 * `tf.depthwiseConv2d`, in the same way: `x` as there, the filter `[KH, KW, C, M]`. Of `dimRoundingMode` it knows
 * `'floor'`, which goes with paddings in numbers.
 * @throws what `separableConv2d` throws
 * @see https://js.tensorflow.org/api/latest/#depthwiseConv2d
 */
export function depthwiseConv2d<T extends Tensor3D | Tensor4D>(
  x: T | TensorLike, filter: Tensor4D | TensorLike, strides: [number, number] | number, pad: TfjsPadding,
  dataFormat?: 'NHWC' | 'NCHW', dilations?: [number, number] | number, dimRoundingMode?: 'floor' | 'round' | 'ceil',
): T {
  return run<T>(givenTo('depthwise', x, filter, strides, pad, dataFormat, dilations, dimRoundingMode));
}

/**
 * `tf.conv2d` with a filter `[1, 1, C, O]`, in the same way. There is nothing to pad and to dilate then: pads must be
 * 0, dilations 1.
 * @throws what `separableConv2d` throws; ValueError for a larger filter, which is tfjs's to compute
 * @see https://js.tensorflow.org/api/latest/#conv2d
 */
export function conv2d<T extends Tensor3D | Tensor4D>(
  x: T | TensorLike, filter: Tensor4D | TensorLike, strides: [number, number] | number, pad: TfjsPadding,
  dataFormat?: 'NHWC' | 'NCHW', dilations?: [number, number] | number, dimRoundingMode?: 'floor' | 'round' | 'ceil',
): T {
  return run<T>(givenTo('pointwise', x, filter, strides, pad, dataFormat, dilations, dimRoundingMode));
}

/** Of `separableConv2d`. */
export type SeparableArguments = [
  x: Tensor3D | Tensor4D | TensorLike, depthwiseFilter: Tensor4D | TensorLike, pointwiseFilter: Tensor4D | TensorLike,
  strides: [number, number] | number, pad: TfjsPadding, dilation?: [number, number] | number,
  dataFormat?: 'NHWC' | 'NCHW',
];
/** Of `depthwiseConv2d` and `conv2d`. */
export type OnePassArguments = Parameters<typeof conv2d>;
/** The arguments of `separableConv2d`, or one of the other functions followed by its own. */
export type CallArguments =
  SeparableArguments | [operation: typeof depthwiseConv2d | typeof conv2d, ...OnePassArguments];

/**
 * Compiles what `separableConv2d` needs for these arguments; of `x` only the shape counts. From then on such calls run
 * this library's kernels, if their filters are tensors. (Arrays get other buffers at other calls.) For another function
 * that comes first: `prepare(conv2d, x, filter, 1, 'same')`.
 * @throws what `separableConv2d` throws; UnsupportedError, for instance for tensors too large to bind, which tfjs then
 * computes
 */
export async function prepare(...args: CallArguments): Promise<void> {
  await preparedBy(entryFor, args);
}

/**
 * The same for calls under `tf.grads` and the like, forward and backward. Of the filters too only the shapes count.
 * @throws what `prepare` throws
 */
export async function prepareTraining(...args: CallArguments): Promise<void> {
  await preparedBy(trainingFor, args);
}

/**
 * Resolves when all calls so far on tfjs's current device are prepared.
 * @throws what `prepare` throws for any of them
 */
export async function ready(): Promise<void> {
  await allPrepared(webgpuBackend('ready').device);
}

const givenToSeparable = (
  ...[x, depthwiseFilter, pointwiseFilter, strides, pad, dilations, dataFormat]: SeparableArguments
): Given => ({
  passes: 'both', x, filters: { depthwiseFilter, pointwiseFilter }, strides, pad, dilations, dataFormat,
});

const givenTo = (
  passes: 'depthwise' | 'pointwise',
  ...[x, filter, strides, pad, dataFormat, dilations, dimRoundingMode]: OnePassArguments
): Given => ({
  passes, x, filters: { [`${passes}Filter`]: filter }, strides, pad, dilations, dataFormat, dimRoundingMode,
});

function givenToCall(args: CallArguments): Given {
  const [operation, ...given] = args;
  if (operation === depthwiseConv2d) return givenTo('depthwise', ...given as OnePassArguments);
  if (operation === conv2d) return givenTo('pointwise', ...given as OnePassArguments);
  return givenToSeparable(...args as SeparableArguments);
}

function run<T extends Tensor3D | Tensor4D>(given: Given): T {
  return tidy(() => {
    const { rank, call } = readCall(given);
    const y = result(call);
    const [, ...shape] = y.shape;
    return (rank === 3 ? reshape(y, shape) : y) as T;
  });
}

async function preparedBy(entryOf: typeof entryFor | typeof trainingFor, args: CallArguments): Promise<void> {
  let entry: ReturnType<typeof entryOf> | undefined;
  tidy(() => { // Frees the tensors that arrays become.
    const { call } = readCall(givenToCall(args));
    if (!isEmpty(call)) entry = entryOf(call);
  });
  await entry?.prepared;
}
