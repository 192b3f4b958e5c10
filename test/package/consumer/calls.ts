// Compiled only, never run: calls as apps make them in strict TypeScript, with what they have at hand.
import {
  type ConvolutionDescriptor, type Gradients, type GpuTensor, PipelineManager, type ResultTensor, separableConv2d,
  separableConv2dGradients, type SeparableConv2dOptions, type Tensor4D,
} from 'sepconv-webgpu';
import { separableConv2dGradientsReference, separableConv2dReference } from 'sepconv-webgpu/reference';

/** As tfjs and others have tensors: the rank is not in the type. */
interface Loose { readonly shape: number[]; readonly data: Float32Array }

/** What a model's file or a configuration may say, or not. */
interface Layer {
  readonly bias: Float32Array | undefined;
  readonly name: string | undefined;
  readonly rate: number | undefined;
  readonly gpuBias: GpuTensor<number[]> | undefined;
  readonly manager: PipelineManager | undefined;
  readonly device: GPUDevice | undefined;
  readonly buffer: GPUBuffer | undefined;
}

/** Results go where arrays over an `ArrayBuffer` go, and only such. */
export async function results(device: GPUDevice, buffer: GPUBuffer, x: Tensor4D): Promise<Blob> {
  const y = await separableConv2d(x, x, x, { padding: 'SAME' });
  const expected: ResultTensor = separableConv2dReference(x, x, x, { padding: 'SAME' });
  device.queue.writeBuffer(buffer, 0, y.data);
  device.queue.writeBuffer(buffer, 0, expected.data);
  const manager = await PipelineManager.create();
  const conv = await manager.prepare({ inputShape: y.shape, depthwiseFilter: x, pointwiseFilter: x, padding: 'SAME' });
  const again: Tensor4D = await conv.run(y);
  const channels: number = y.shape[3];
  const gradients = await separableConv2dGradients(y, x, x, x, { padding: 'SAME' });
  const more = separableConv2dGradientsReference(y, x, x, x, { padding: 'SAME' });
  const prepared: Gradients = await manager.prepareGradients({
    inputShape: x.shape, depthwiseFilter: x, pointwiseFilter: x, padding: 'SAME',
  });
  const { input, bias } = await prepared.run(y, x);
  device.queue.writeBuffer(buffer, 0, gradients.depthwiseFilter.data);
  device.queue.writeBuffer(buffer, 0, more.pointwiseFilter.data);
  return new Blob([y.data, (await conv.run(x)).data, input.data, bias ?? `${channels} ${again.shape.join()}`]);
}

/** Shapes of any length, for the compiler. */
export async function shapes(x: Loose, filter: Loose, buffer: GPUBuffer, manager: PipelineManager): Promise<void> {
  const y = await separableConv2d(x, filter, filter, { padding: 'SAME' });
  await separableConv2dGradients(x, x, filter, filter, { padding: 'SAME' });
  separableConv2dReference(x, filter, filter, { padding: 'SAME' });
  separableConv2dGradientsReference(x, x, filter, filter, { padding: 'SAME' });
  const pointwiseFilter = { shape: filter.shape, buffer };
  const descriptor = { inputShape: x.shape, depthwiseFilter: filter, pointwiseFilter, padding: 'SAME' };
  const conv = await manager.prepare(descriptor);
  await conv.run(x);
  await (await manager.prepareGradients(descriptor)).run(x, y);
  await manager.warmUp([descriptor, { ...descriptor, depthwiseFilter: { shape: filter.shape } }]);
}

/** Options that were put into variables, where fields widen to `string` and `number[]`. */
export async function variables(x: Tensor4D, manager: PipelineManager): Promise<void> {
  const options = {
    padding: 'SAME', strategy: 'fused', dtype: 'f32', activation: 'relu6', depthwiseActivation: 'relu', strides: [1, 1],
    rate: [2, 2],
  };
  await separableConv2d(x, x, x, options);
  await separableConv2dGradients(x, x, x, x, { ...options, strides: [1, 2, 2, 1] });
  const tensors = { inputShape: [1, 8, 8, 4], depthwiseFilter: x, pointwiseFilter: x };
  await manager.prepare({ ...tensors, ...options });
  await manager.prepareGradients({ ...tensors, ...options });
  await manager.warmUp([{ ...tensors, ...options }]);
  const referenceOptions = { padding: [[1, 1], [0, 1]], activation: { leakyRelu: 0.1 }, strides: [2, 2], rate: 1 };
  separableConv2dReference(x, x, x, referenceOptions);
  separableConv2dGradientsReference(x, x, x, x, { ...referenceOptions, padding: 'VALID', activation: 'silu' });
  const nhwc: SeparableConv2dOptions = { ...referenceOptions, padding: [[0, 0], [1, 1], [0, 1], [0, 0]] };
  const creation = { adapterKind: 'gpu', tuning: 'measure', maxBindingBytes: 4096 };
  await separableConv2d(x, x, x, { ...nhwc, manager: await PipelineManager.create(creation) });
}

/** What may be undefined, which `exactOptionalPropertyTypes` tells from what is absent. */
export async function optional(
  layer: Layer, x: Tensor4D, pass: GPUComputePassEncoder, buffer: GPUBuffer,
): Promise<void> {
  const { bias, name, rate, gpuBias, manager, device, buffer: maybe } = layer;
  const options = {
    padding: 'SAME', bias, depthwiseBias: bias, name, rate, strides: rate, activation: name, depthwiseActivation: name,
    strategy: name, dtype: name, allowOverparameterized: undefined,
  };
  await separableConv2d(x, x, x, { ...options, manager });
  const { strategy, dtype, ...referenceOptions } = options;
  separableConv2dReference(x, x, x, referenceOptions);
  const creation = { device, tuning: undefined, adapterKind: name, maxBindingBytes: rate };
  const one = await PipelineManager.create(creation);
  const filter = { shape: [1, 1, 8, 16], buffer, offset: rate };
  const tensors = { inputShape: x.shape, depthwiseFilter: filter, pointwiseFilter: filter };
  const descriptor: ConvolutionDescriptor = { ...options, ...tensors, depthwiseBias: gpuBias, strategy, dtype };
  (await one.prepare(descriptor)).encode(pass, { input: buffer, output: buffer, intermediate: maybe });
  (await one.prepareGradients(descriptor)).encode(pass, {
    input: buffer, outputGradient: buffer, intermediate: maybe, output: maybe, inputGradient: maybe,
    depthwiseFilterGradient: maybe, pointwiseFilterGradient: maybe, depthwiseBiasGradient: maybe, biasGradient: maybe,
  });
  await one.warmUp([{ ...options, ...tensors }], { onProgress: undefined });
}
