import type { PipelineManager } from 'sepconv-webgpu';
import { createPictures, type Picture, pictureBuffer, pictureTexture } from '../pictures.js';

/** The same taps for red, green and blue. */
const perColour = (taps: readonly number[]): Float32Array => Float32Array.from(taps.flatMap((tap) => [tap, tap, tap]));

/** Finds edges: the Laplacian of each channel, then each channel less half of the other two's mean. */
export const edges = {
  depthwiseFilter: { shape: [3, 3, 3, 1], data: perColour([-1, -1, -1, -1, 8, -1, -1, -1, -1]) },
  pointwiseFilter: { shape: [1, 1, 3, 3], data: Float32Array.of(1, -0.25, -0.25, -0.25, 1, -0.25, -0.25, -0.25, 1) },
  padding: 'SAME',
} as const;

export interface PictureFilter {
  /** Filters a picture of the filter's size onto its canvas. Any number of calls a second; each is one submit. */
  draw(picture: Picture): void;
  destroy(): void;
}

/** Takes pictures of one size through a separable convolution to a canvas, all on the manager's device. */
export async function createFilter(
  manager: PipelineManager, canvas: HTMLCanvasElement | OffscreenCanvas, width: number, height: number,
): Promise<PictureFilter> {
  const { device } = manager;
  const pictures = await createPictures(device);
  const convolution = await manager.prepare({ inputShape: [1, height, width, 3], ...edges });
  const texture = pictureTexture(device, width, height);
  const [input, output] = [pictureBuffer(device, width, height), pictureBuffer(device, width, height)];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('webgpu');
  if (!context) throw new Error('This canvas has another context already');
  context.configure({ device, format: 'rgba8unorm', usage: GPUTextureUsage.STORAGE_BINDING });
  return {
    draw(picture) {
      pictures.copy(picture, texture);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pictures.toTensor(pass, texture, input);
      convolution.encode(pass, { input, output });
      pictures.toTexture(pass, output, context.getCurrentTexture());
      pass.end();
      device.queue.submit([encoder.finish()]);
    },
    destroy() {
      convolution.destroy();
      for (const resource of [texture, input, output]) resource.destroy();
    },
  };
}
