import { PipelineManager } from 'sepconv-webgpu';
import { BackgroundBlur, type EffectOptions } from '../demo/blur/background-blur.js';
import type { StageTimes } from '../demo/blur/clock.js';
import { maskRows } from '../demo/networks/segmenter.js';

/** Runs in a real browser: the effect on a canvas that the GPU draws on, and on one that pixels are copied to. */

const options: EffectOptions = { background: 'blur', strength: 0.6, colour: [1, 0.5, 0] };

async function photo(name: string, width: number): Promise<ImageBitmap> {
  const blob = await (await fetch(`/node_modules/@vladmandic/face-api/demo/${name}`)).blob();
  return createImageBitmap(blob, { resizeWidth: width, resizeQuality: 'high' });
}

function pixelsOf(picture: CanvasImageSource & { width: number; height: number }): Uint8ClampedArray {
  const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height).data;
}

/** What the effect did to the picture where its mask is 0 and where it is 255. */
interface Regions {
  readonly kept: { readonly pixels: number; readonly maxDifference: number };
  /** How much is left of the detail: the squared difference from the pixel to the right. */
  readonly blurred: { readonly pixels: number; readonly detail: number };
}

function compareRegions(before: Uint8ClampedArray, { width, data: after }: ImageData, mask: ImageData): Regions {
  const kept = { pixels: 0, maxDifference: 0 };
  const blurred = { pixels: 0, detail: 0 };
  let [detailBefore, detailAfter] = [0, 0];
  for (let at = 0; at < mask.data.length - 4; at += 4) {
    if (at / 4 % width === width - 1) continue;
    const [here, beside] = [mask.data[at]!, mask.data[at + 4]!];
    for (let c = 0; c < 3; c++) {
      if (here === 255) kept.maxDifference = Math.max(kept.maxDifference, Math.abs(before[at + c]! - after[at + c]!));
      if (here + beside > 0) continue;
      detailBefore += (before[at + c]! - before[at + 4 + c]!) ** 2;
      detailAfter += (after[at + c]! - after[at + 4 + c]!) ** 2;
    }
    if (here === 255) kept.pixels++;
    if (here + beside === 0) blurred.pixels++;
  }
  blurred.detail = detailAfter / detailBefore;
  return { kept, blurred };
}

const differenceOf = (a: Uint8ClampedArray, b: Uint8ClampedArray): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

let manager: Promise<PipelineManager> | undefined;
let effect: Promise<BackgroundBlur> | undefined;
const canvas = document.body.appendChild(document.createElement('canvas'));
const invalid: string[] = [];

/** `kind`: for which adapter pixels come and go, whatever the adapter really is. */
function create(kind: 'software' | 'gpu'): Promise<BackgroundBlur> {
  manager ??= PipelineManager.create();
  effect ??= manager.then((created) => {
    created.device.addEventListener('uncapturederror', ({ error }) => invalid.push(error.message));
    return BackgroundBlur.create(created, canvas, undefined, kind === 'software');
  });
  return effect;
}

async function regions(
  kind: 'software' | 'gpu', name: string, strength: number,
): Promise<Regions & { shown: number; invalid: readonly string[] }> {
  const made = await create(kind);
  const picture = await photo(name, 960);
  const drawn = made.draw(picture, { ...options, strength });
  const canvasOfGpu = kind === 'gpu' && pixelsOf(canvas); // Later its texture may have gone to the page.
  await Promise.all([drawn, made.redraw({ ...options, strength })]); // Calls may overlap.
  const read = await made.readPicture();
  const shown = differenceOf(canvasOfGpu || pixelsOf(canvas), read.data);
  return { ...compareRegions(pixelsOf(picture), read, await made.readMask()), shown, invalid };
}

/** A video that plays what is drawn on a canvas. */
async function videoOf(paint: (context: CanvasRenderingContext2D) => void): Promise<HTMLVideoElement> {
  const source = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const context = source.getContext('2d')!;
  paint(context);
  const video = Object.assign(document.createElement('video'), { srcObject: source.captureStream(), muted: true });
  const ticking = setInterval(() => paint(context), 20);
  video.addEventListener('pause', () => clearInterval(ticking));
  await video.play();
  return video;
}

/** How often GPU objects are made and work is submitted in so many frames of a video, after the first. */
async function callsOf(kind: 'software' | 'gpu', frames: number): Promise<Record<string, number>> {
  const made = await create(kind);
  const video = await videoOf((context) => context.fillRect(0, 0, 160, 240));
  for (let warm = 0; warm < 2; warm++) await made.draw(video, options);
  const calls: Record<string, number> = {};
  const count = (owner: object, method: string): (() => void) => {
    const original = Reflect.get(owner, method) as (...args: unknown[]) => unknown;
    Reflect.set(owner, method, function counted(this: unknown, ...args: unknown[]) {
      calls[method] = (calls[method] ?? 0) + 1;
      return original.apply(this, args);
    });
    return () => void Reflect.set(owner, method, original);
  };
  const undo = [
    ...['createBuffer', 'createTexture', 'createBindGroup', 'createQuerySet', 'createSampler', 'createShaderModule',
      'createComputePipeline', 'createComputePipelineAsync', 'createRenderPipelineAsync',
      'importExternalTexture'].map((method) => count(GPUDevice.prototype, method)),
    count(GPUQueue.prototype, 'submit'), count(GPUTexture.prototype, 'createView'),
  ];
  for (let frame = 0; frame < frames; frame++) await made.draw(video, options, true);
  for (const restore of undo) restore();
  video.pause();
  return calls;
}

/**
 * How a video's mask follows the network's: the largest difference from the rule in moments.wgsl, and how many pixels
 * it makes a difference to.
 */
async function smoothing(kind: 'software' | 'gpu'): Promise<{ difference: number; slowed: number }> {
  const made = await create(kind);
  const pictures = await Promise.all(['sample3.jpg', 'sample6.jpg'].map((name) => photo(name, 320)));
  let shown = 0;
  const video = await videoOf((context) => context.drawImage(pictures[shown]!, 0, 0, 320, 240));
  await made.draw(video, options);
  const before = await made.readRawMask();
  shown = 1;
  await new Promise((resolve) => void setTimeout(resolve, 200)); // Until the video shows it.
  await made.draw(video, options, true);
  const fresh = maskRows((await made.segmenter.readLayers()).at(-1)!);
  const after = await made.readRawMask();
  video.pause();
  let [difference, slowed] = [0, 0];
  for (const [i, p] of fresh.entries()) {
    const kept = 0.75 * 4 * p * (1 - p);
    const expected = p + kept * (before[i]! - p);
    difference = Math.max(difference, Math.abs(after[i]! - expected));
    if (Math.abs(expected - p) > 0.05) slowed++;
  }
  return { difference, slowed };
}

/** The times of a photo's stages. */
async function stages(kind: 'software' | 'gpu'): Promise<StageTimes> {
  const made = await create(kind);
  await made.draw(await photo('sample3.jpg', 640), options);
  await made.timesRead();
  return made.times();
}

declare global {
  interface Window {
    effect: {
      regions: typeof regions; callsOf: typeof callsOf; stages: typeof stages; smoothing: typeof smoothing;
    };
  }
}
window.effect = { regions, callsOf, stages, smoothing };
