import { PipelineManager } from 'sepconv-webgpu';
import { getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor } from '#litert';
import { maskRows, MASK_TOLERANCE, Segmenter } from '../../demo/networks/segmenter.js';
import { photoTensor } from '../photo-tensor.js';
import type { Pair } from './networks.js';

/**
 * Runs in the browser: the network that tells people from the background, by this library and by LiteRT.js on WebGPU,
 * each on a device of its own, from a tensor there to a mask there.
 */
export async function loadSegmenters(model: string, photo: string): Promise<{ pair: Pair; same: string }> {
  const segmenter = await Segmenter.create(await PipelineManager.create());
  const side = segmenter.network.inputSize;
  const picture = await photoTensor(photo, side);
  const { device } = segmenter;
  device.queue.writeBuffer(segmenter.input, 0, picture);
  const ours = async (): Promise<void> => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    segmenter.encode(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  };

  await loadLiteRt(new URL('/', location.href).href);
  const compiled = await loadAndCompile(new Uint8Array(await (await fetch(model)).arrayBuffer()), {
    accelerator: 'webgpu', gpuOptions: { precision: 'fp32' },
  });
  const input = await new Tensor(picture, [1, side, side, 3]).moveTo('webgpu');
  let results: readonly Tensor[] = [];
  const theirs = async (): Promise<void> => {
    for (const result of results) result.delete();
    results = await compiled.run([input]);
    await getWebGpuDevice()!.queue.onSubmittedWorkDone();
  };

  await ours();
  await theirs();
  const mask = maskRows((await segmenter.readLayers()).at(-1)!);
  const expected = await results[0]!.data();
  const difference = mask.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  if (!(difference <= MASK_TOLERANCE)) throw new Error(`the masks differ by ${difference}`);
  return { pair: { ours, theirs }, same: `masks, within ${difference.toExponential(1)}` };
}
