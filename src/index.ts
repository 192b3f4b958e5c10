export type { Activation } from './activation.js';
export type { Convolution, EncodeTargets } from './convolution.js';
export type { ConvolutionDescriptor, GpuOptions, GpuTensor, WarmUpDescriptor } from './descriptor.js';
export { DeviceLostError, SepconvError, UnsupportedError, ValueError } from './errors.js';
export type {
  ConvolutionOptions, Dtype, Padding, Pair, ResultArray, ResultTensor, SeparableConv2dGradients, Shape4D, Tensor4D,
  TensorArgument,
} from './geometry.js';
export type { GradientName } from './gradient-plan.js';
export type { Gradients, GradientTargets } from './gradients.js';
export { PipelineManager, type PipelineManagerOptions, type WarmUpOptions } from './manager.js';
export type { Strategy } from './plan.js';
export type { AdapterKind } from './presets.js';
export { separableConv2d, separableConv2dGradients, type SeparableConv2dOptions } from './separable.js';
export type { SavedTuning } from './tuning.js';
