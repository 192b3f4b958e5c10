// Compiled only, never run: what the published types accept and refuse.
import {
  type Convolution, PipelineManager, type SavedTuning, separableConv2d, type Tensor4D, ValueError,
} from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
// @ts-expect-error: is no entry
export type { PipelineManager } from 'sepconv-webgpu/dist/manager.js';

export async function embed(
  device: GPUDevice, pass: GPUComputePassEncoder, buffer: GPUBuffer, x: Tensor4D,
): Promise<Convolution> {
  const manager: PipelineManager = await PipelineManager.create({ device, tuning: JSON.parse('{}') as SavedTuning });
  const filters = { depthwiseFilter: x, pointwiseFilter: { shape: [1, 1, 8, 16], buffer } } as const;
  const conv = await manager.prepare({
    inputShape: [1, 8, 8, 8], ...filters, padding: [[1, 1], [0, 1]], activation: { leakyRelu: 0.1 },
  });
  conv.encode(pass, { input: buffer, output: { buffer, offset: 256 } });
  const lost: GPUDeviceLostInfo = await manager.lost;
  console.log(lost.reason, conv.outputByteLength.toFixed());
  // @ts-expect-error: a number is no device
  await PipelineManager.create({ device: 1 });
  // @ts-expect-error: a number is no kind of adapter; any string may be, for what the compiler knows
  await PipelineManager.create({ adapterKind: 1 });
  // @ts-expect-error: needs both ends
  conv.encode(pass, { input: buffer });
  return conv;
}

export async function call(x: Tensor4D): Promise<Float32Array> {
  // @ts-expect-error: padding is required
  await separableConv2d(x, x, x, {});
  // @ts-expect-error: a number is no strategy; any string may be, for what the compiler knows
  await separableConv2d(x, x, x, { padding: 'SAME', strategy: 1 });
  // @ts-expect-error: no such option
  await separableConv2d(x, x, x, { padding: 'SAME', stride: 1 });
  // @ts-expect-error: not float32
  separableConv2dReference({ shape: [1, 2, 3, 1], data: new Float64Array(6) }, x, x, { padding: 'SAME' });
  try {
    return (await separableConv2d(x, x, x, { padding: 'VALID', strides: [1, 2, 2, 1], rate: 1 })).data;
  } catch (error) {
    if (error instanceof ValueError) console.warn(error.message satisfies string);
    throw error;
  }
}
