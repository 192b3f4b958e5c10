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
  const picture = await sources[kind]!(randomPicture(seed));
  const comparison = await filtered(picture, WIDTH, HEIGHT);
  if (picture instanceof VideoFrame) picture.close();
  return comparison;
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

/**
 * Red, green and blue from 0 to 1, read in the task that drew them: later a canvas may have been presented and cleared.
 */
function colours(picture: Picture, width: number, height: number): Tensor4D {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return {
    shape: [1, height, width, 3], data: Float32Array.from(data.filter((_, i) => i % 4 !== 3), (level) => level / 255),
  };
}

/** What the page says. */
export interface Counts { readonly frames: number; readonly skipped: number; readonly message: string }

export function counts(): Counts {
  const status = document.querySelector('#status')!.textContent;
  const number = (pattern: RegExp): number => Number(pattern.exec(status)?.[1] ?? 0);
  return {
    frames: number(/(\d+) frames/), skipped: number(/(\d+) skipped/),
    message: document.querySelector('#message')!.textContent,
  };
}

/** For so many frames, nothing can be copied: no video, and no canvas that it was drawn on. */
export function copyNothing(frames: number, name: string): void {
  let left = frames;
  onCall(GPUQueue.prototype, 'copyExternalImageToTexture', (from) => {
    if (left <= 0) return;
    // The second try of a frame.
    if ((from as GPUCopyExternalImageSourceInfo).source instanceof OffscreenCanvas) left--;
    throw name === 'TypeError' ? new TypeError('no copy') : new DOMException('no copy', name);
  });
}

export async function chooseFile(name: string, content: Blob | Promise<Blob>): Promise<void> {
  const input = document.querySelector('input')!;
  const files = new DataTransfer();
  files.items.add(new File([await content], name));
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
}

/** A canvas that always changes, because a stream has a frame for each change. */
function restless(width: number, height: number): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d')!;
  setInterval(() => {
    context.fillStyle = `hsl(${Math.random()}turn 90% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 40);
  return canvas;
}

/** Half a second. */
export const recordPictures = (width: number, height: number): Promise<Blob> =>
  record(restless(width, height).captureStream(25));

export function recordSound(): Promise<Blob> {
  const context = new AudioContext();
  const stream = context.createMediaStreamDestination();
  const tone = context.createOscillator();
  tone.connect(stream);
  tone.start();
  return record(stream.stream);
}

async function record(stream: MediaStream): Promise<Blob> {
  const recorder = new MediaRecorder(stream);
  const parts: Blob[] = [];
  recorder.addEventListener('dataavailable', ({ data }) => parts.push(data));
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await new Promise((resolve) => {
    recorder.addEventListener('stop', resolve);
    recorder.stop();
  });
  return new Blob(parts, { type: recorder.mimeType });
}

/** Waits until the video has begun anew so many times. */
export async function loops(times: number): Promise<void> {
  const video = document.querySelector('video')!;
  for (let i = 0; i < times; i++) {
    await new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
  }
}

/** Presses the button with this for the camera. */
export function useWebcam(camera: MediaStream | Promise<MediaStream>): void {
  navigator.mediaDevices.getUserMedia = () => Promise.resolve(camera);
  document.querySelector('button')!.click();
}

/** A camera that is turned after a second. */
export function changingCamera(): MediaStream {
  const canvas = restless(120, 90);
  setTimeout(() => Object.assign(canvas, { width: 90, height: 120 }), 1000);
  return canvas.captureStream(25);
}

/** As if it were unplugged. */
export function endWebcam(): void {
  const [track] = (document.querySelector('video')!.srcObject as MediaStream).getTracks();
  track!.dispatchEvent(new Event('ended'));
}

export async function loseDevice(): Promise<void> {
  const submit = new Promise<GPUDevice>((resolve) => {
    const original = Reflect.get(GPUDevice.prototype, 'createCommandEncoder') as GPUDevice['createCommandEncoder'];
    GPUDevice.prototype.createCommandEncoder = function hooked(...args) {
      resolve(this);
      return original.apply(this, args);
    };
  });
  (await submit).destroy();
}
