export type { Activation } from './arguments/activation.js';
export type { AdditionTensors } from './arguments/additions.js';
export type { Convolution, EncodeTargets } from './convolution.js';
export type {
  ConvolutionDescriptor, GpuOptions, GpuTensor, PlannedStrategy, Pointwise, Strategy, WarmUpDescriptor,
} from './arguments/descriptor.js';
export { DeviceLostError, SepconvError, UnsupportedError, ValueError } from './arguments/errors.js';
export type {
  Additions, ConvolutionGradients, ConvolutionOptions, Dtype, Padding, Pair, ResultArray, ResultTensor,
  SeparableConv2dGradients, Shape4D, Tensor4D, TensorArgument,
} from './arguments/geometry.js';
export type { GradientName } from './plan/backward-values.js';
export type { Gradients, GradientTargets } from './gradients.js';
export { PipelineManager, type PipelineManagerOptions, type WarmUpOptions } from './manager.js';
export type { AdapterKind } from './kernels/profile.js';
export {
  depthwiseConv2d, type DepthwiseConv2dOptions, pointwiseConv2d, type PointwiseConv2dOptions, separableConv2d,
  separableConv2dGradients, type SeparableConv2dOptions,
} from './separable.js';
export type { TuningTrial } from './contest.js';
export type { SavedTuning, TuningEntry, TuningTable } from './tuning.js';
