import { PipelineManager, type Tensor4D } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import type { Picture } from '../../demo/examples/pictures.js';
import { createFilter, edges } from '../../demo/examples/video/filter.js';
import { random } from '../random.js';
import { onCall } from './calls.js';

/** Runs in the page of the example. */

const [WIDTH, HEIGHT] = [61, 47]; // no multiples of a workgroup

export interface Comparison {
  /** The largest difference of a colour on the canvas from the reference, in levels of 255. */
  readonly largest: number;
  /** How far the canvas is from the picture itself: what a filter that does nothing would have. */
  readonly fromPicture: number;
}

/** A random picture as each kind of source. */
const sources: Readonly<Record<string, (canvas: OffscreenCanvas) => Promise<Picture>>> = {
  canvas: async (canvas) => canvas,
  ImageBitmap: (canvas) => createImageBitmap(canvas),
  VideoFrame: async (canvas) => new VideoFrame(canvas, { timestamp: 0 }),
};

/** From now on this page's browser is one that copies no videos. */
export function copyNoVideos(): void {
  onCall(GPUQueue.prototype, 'copyExternalImageToTexture', (from) => {
    const { source } = from as GPUCopyExternalImageSourceInfo;
    if (source instanceof VideoFrame || source instanceof HTMLVideoElement) throw new TypeError('no videos');
  });
}

export async function checkSource(kind: string, seed: number): Promise<Comparison> {
  return filtered(await sources[kind]!(randomPicture(seed)), WIDTH, HEIGHT);
}

/** A frame of the example's own video, which stands still for it. */
export async function checkVideo(): Promise<Comparison> {
  const video = document.querySelector('video')!;
  video.pause();
  return filtered(video, video.videoWidth, video.videoHeight);
}

function randomPicture(seed: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const next = random(seed);
  const data = Uint8ClampedArray.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => (i % 4 === 3 ? 255 : next() * 256));
  canvas.getContext('2d')!.putImageData(new ImageData(data, WIDTH, HEIGHT), 0, 0);
  return canvas;
}

async function filtered(picture: Picture, width: number, height: number): Promise<Comparison> {
  const manager = await PipelineManager.create();
  const errors: string[] = [];
  manager.device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
  const canvas = new OffscreenCanvas(width, height);
  const filter = await createFilter(manager, canvas, width, height);
  filter.draw(picture);
  const actual = colours(canvas, width, height);
  const input = colours(picture, width, height);
  const { data } = separableConv2dReference(input, edges.depthwiseFilter, edges.pointwiseFilter, edges);
  const difference = (expected: Float32Array): number => actual.data.reduce((most, colour, i) =>
    Math.max(most, Math.abs(colour - Math.min(Math.max(expected[i]!, 0), 1)) * 255), 0);
  await manager.device.queue.onSubmittedWorkDone();
  filter.destroy();
  manager.destroy();
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return { largest: difference(data), fromPicture: difference(input.data) };
}

/** Red, green and blue from 0 to 1, read in the task that drew them: later a canvas may have been presented and cleared. */
function colours(picture: Picture, width: number, height: number): Tensor4D {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { shape: [1, height, width, 3], data: Float32Array.from(data.filter((_, i) => i % 4 !== 3), (level) => level / 255) };
}
