export type { Activation } from './activation.js';
export type { Convolution, EncodeTargets } from './convolution.js';
export type { ConvolutionDescriptor, GpuOptions, GpuTensor } from './descriptor.js';
export { DeviceLostError, SepconvError, UnsupportedError, ValueError } from './errors.js';
export type { ConvolutionOptions, Padding, Shape4D, Tensor4D } from './geometry.js';
export { PipelineManager, type PipelineManagerOptions } from './manager.js';
export type { Strategy } from './plan.js';
export type { AdapterKind } from './presets.js';
export { separableConv2d, type SeparableConv2dOptions } from './separable.js';
