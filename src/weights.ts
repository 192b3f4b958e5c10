import { type Binding, resolveBinding } from './convolution.js';
import { type ConvolutionDescriptor, type GpuTensor, isGpuTensor, type Weight, WEIGHTS } from './descriptor.js';
import { ValueError } from './errors.js';
import type { Tensor4D } from './geometry.js';
import { FILTER_FORMAT } from './kernels.js';

/** How filters and biases get to the GPU, for both passes. */

/** The weights that are in the caller's buffers. @throws ValueError */
export function borrowedWeights(
  device: GPUDevice, op: string, descriptor: ConvolutionDescriptor, byteLengths: Readonly<Record<Weight, number>>,
): Map<Weight, Binding> {
  const borrowed = new Map<Weight, Binding>();
  for (const weight of WEIGHTS) {
    const tensor = descriptor[weight] as (GPUBufferBinding & GpuTensor) | Tensor4D | Float32Array | undefined;
    if (isGpuTensor(tensor)) borrowed.set(weight, resolveBinding(device, `${op}: ${weight}`, { offset: 0, ...tensor }, byteLengths[weight]));
  }
  return borrowed;
}

/** The numbers of a weight that is on the CPU; none for a bias that is absent. @throws ValueError for data that has gone meanwhile */
export function weightData(op: string, descriptor: ConvolutionDescriptor, weight: Weight): Float32Array | undefined {
  const tensor = descriptor[weight] as Tensor4D | Float32Array | undefined;
  const data = ArrayBuffer.isView(tensor) ? tensor : tensor?.data;
  if (data?.length === 0) throw new ValueError(`${op}: ${weight} must keep its data until prepare resolves, got a detached buffer`);
  return data;
}

/** Makes buffers with contents, or zeros, all of which `owned` gets. */
export const uploader = (device: GPUDevice, op: string, owned: (GPUBuffer | GPUTexture)[]) =>
  (what: string, byteLength: number, data: ArrayBuffer | ArrayBufferView | undefined, usage: GPUBufferUsageFlags): GPUBuffer => {
    const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
    const buffer = device.createBuffer({ label: `${op} ${what}`, size, usage: usage | GPUBufferUsage.COPY_DST });
    owned.push(buffer);
    if (data?.byteLength) device.queue.writeBuffer(buffer, 0, data as ArrayBufferView<ArrayBuffer>); // Deno panics at none.
    return buffer;
  };

/** Makes the texture that `filter-texture` fills with a pointwise filter of `[K, O]`, which `owned` gets. */
export function filterTexture(device: GPUDevice, op: string, owned: (GPUBuffer | GPUTexture)[], K: number, O: number): GPUTextureView {
  const texture = device.createTexture({
    label: `${op} pointwiseFilter`, size: [Math.ceil(O / 4), K], format: FILTER_FORMAT,
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.TEXTURE_BINDING,
  });
  owned.push(texture);
  return texture.createView();
}
